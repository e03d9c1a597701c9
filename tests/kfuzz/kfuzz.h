/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kfuzz throws random calls at the driver: netlink messages (message.c) and ioctls
 * (ioctls.c), well-formed and malformed, as root and as nobody, while others do I/O on
 * a device that it leaves alone. It knows few right answers; what it checks is that
 * each call ends, that nobody may change anything, and that everything can be
 * detached afterwards. The kernel's log and memory are for others to look at.
 *
 * A run is a sequence of calls that the seed determines; what the driver makes of them
 * depends on timing, too.
 */
#ifndef NBD_KFUZZ_H
#define NBD_KFUZZ_H

#include "../library/library.h"

/* Devices that are played with: [FIRST_INDEX, FIRST_INDEX + INDICES). Never nbd0. */
#define FIRST_INDEX	4
#define INDICES		6
/* No device has it, or a larger one. */
#define NO_INDEX	(1U << 20)
/* Sockets that are handed in. */
#define PEERS		8

/**
 * struct fuzz_totals - what a process did, in memory that all share
 * @calls:	made
 * @accepted:	answered with success
 * @refused:	answered with an error
 * @call_began:	when the present call began, 0 between calls
 */
struct fuzz_totals {
	unsigned long calls;
	unsigned long accepted;
	unsigned long refused;
	double call_began;
};

/* CAP_SYS_ADMIN is there. */
extern bool privileged;
extern struct peer *peers[PEERS];

/* --- kfuzz.c: random numbers --- */

uint64_t random_u64(void);
/* Below @n. */
unsigned int random_below(unsigned int n);
/* One of @n times. */
bool one_in(unsigned int n);
/* Mostly at the edges of something. */
uint64_t random_value(void);
int random_index(void);
/* A socket, or something that is none. */
int random_fd(void);

/* Ends the run: a promise was broken. */
__printf(1, 2)
void __attribute__((__noreturn__)) broken(const char *fmt, ...);
/* Counts the outcome of a call, 0 or -errno. */
void note_outcome(long outcome);

/* One call each. */
void fuzz_message(void);
void fuzz_ioctl(void);
/* Opens the devices for fuzz_ioctl(). Before privileges are dropped. */
void ioctls_prepare(void);

#endif /* NBD_KFUZZ_H */
