/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Failures, and how they reach the user.
 *
 * A function that can fail takes a struct nbd_err, returns 0 or a negative
 * errno, and describes the failure once, at the place that knows most about
 * it: what was tried, on what, why it failed, what to do. Callers may put a
 * context in front (nbd_err_prefix), or make it part of a longer text, but do
 * not drop it. A failure that ends what was asked for reaches main.c, which
 * prints it to stderr. What goes on in spite of one prints it at once: a client
 * to stderr, a process that stays (the monitor, one in NBD_DO_IT) to the log,
 * see log.h.
 */
#ifndef NBD_ERROR_H
#define NBD_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

/**
 * enum nbd_exit - exit statuses of nbd-client, documented in nbd-client(8)
 * @NBD_EXIT_OK:	done; with -check: the device is attached
 * @NBD_EXIT_FAILURE:	wrong usage, or a failure without a number of its own;
 *			with -check: the device is not attached
 * @NBD_EXIT_CHECK:	-check could not find out
 * @NBD_EXIT_NO_DRIVER:	the kernel has no nbd driver and it cannot be loaded
 * @NBD_EXIT_PERM:	no permission
 * @NBD_EXIT_BUSY:	the device is in use
 * @NBD_EXIT_CONNECT:	no connection to the server
 * @NBD_EXIT_EXPORT:	the server does not offer the export, or not to us
 * @NBD_EXIT_TLS:	the server demands TLS, or it was asked for: there is none
 * @NBD_EXIT_TIMEOUT:	the server, a name server, the kernel or the holder of a lock did
 *			not finish in time
 * @NBD_EXIT_PROTOCOL:	the server does not follow the NBD protocol
 * @NBD_EXIT_UNFIT:	the export cannot be used with these options, or for this device
 *			(size, block size, flags, another disk)
 * @NBD_EXIT_UNSUPPORTED: this kernel driver, server or program cannot do that
 */
enum nbd_exit {
	NBD_EXIT_OK = 0,
	NBD_EXIT_FAILURE = 1,
	NBD_EXIT_CHECK = 2,
	NBD_EXIT_NO_DRIVER = 3,
	NBD_EXIT_PERM = 4,
	NBD_EXIT_BUSY = 5,
	NBD_EXIT_CONNECT = 6,
	NBD_EXIT_EXPORT = 7,
	NBD_EXIT_TLS = 8,
	NBD_EXIT_TIMEOUT = 9,
	NBD_EXIT_PROTOCOL = 10,
	NBD_EXIT_UNFIT = 11,
	NBD_EXIT_UNSUPPORTED = 12,
};

#define NBD_ERR_TEXT_MAX 1024

/**
 * struct nbd_err - one failure
 * @status:	exit status that the program should end with
 * @text:	one message for people; printable, without a final newline
 */
struct nbd_err {
	enum nbd_exit status;
	char text[NBD_ERR_TEXT_MAX];
};

/**
 * nbd_fail - describe a failure
 * @err:	filled in; NULL if nobody wants to know
 * @status:	exit status
 * @error:	positive errno
 * @fmt:	printf format of the message
 *
 * Return: -@error, for "return nbd_fail(...)".
 */
int nbd_fail(struct nbd_err *err, enum nbd_exit status, int error,
	     const char *fmt, ...) __printf(4, 5);

/* Puts a context in front of the message: "context: message". */
void nbd_err_prefix(struct nbd_err *err, const char *fmt, ...)
	__printf(2, 3);

/* The exit status that fits an errno of a system call. */
enum nbd_exit nbd_exit_of_errno(int error);

/*
 * Trying again may help, for the cause is neither here nor in what was asked for: no
 * connection, no such export, no answer.
 */
bool nbd_err_may_pass(const struct nbd_err *err);

/* Length of the valid UTF-8 sequence at @s, or 0; *@code is its character. */
size_t nbd_utf8_sequence(const unsigned char *s, size_t len, u32 *code);

/* Characters that could steer a terminal or turn text around, and the backslash. */
bool nbd_is_harmful(u32 code);

/**
 * nbd_sanitize - copy untrusted text into a printable string
 * @dst:	receives a terminated string
 * @size:	bytes at @dst, at least 1
 * @src:	text, not terminated, any bytes
 * @len:	bytes at @src
 *
 * Valid UTF-8 is kept; control characters, escape sequences, bidirectional
 * overrides and broken UTF-8 become backslash escapes. What does not fit is
 * cut off at a character and ends in "...".
 *
 * Return: @dst.
 */
char *nbd_sanitize(char *dst, size_t size, const char *src, size_t len);

#endif /* NBD_ERROR_H */
