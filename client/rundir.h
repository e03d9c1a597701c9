/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The folder /run/nbd and the files in it.
 *
 * Root believes what they say about where a device's data are, so they are used only if
 * nobody but root can have made or changed them: the folder and each file belong to root,
 * nobody else may write to them, and a file is a regular one with a single name. What they
 * are made with does not depend on the umask.
 *
 * Locks are flock()s on files that only root can open.
 */
#ifndef NBD_RUNDIR_H
#define NBD_RUNDIR_H

#include <sys/stat.h>

#include "error.h"
#include "util.h"

#define NBD_RUN_DIR "/run/nbd"

/* How long somebody else may hold a lock before that is an error. */
#define NBD_LOCK_WAIT_MS 5000
/* For nbd_rundir_lock(). */
#define NBD_LOCK_TRY 0

/**
 * nbd_distrust - why a folder or file under /run/nbd is not to be believed
 * @st:		what it is
 * @type:	S_IFDIR or S_IFREG: what it should be
 * @buf:	gets the reason, to follow the name
 * @size:	bytes at @buf
 *
 * Return: @buf, or NULL if it is root's alone.
 */
const char *nbd_distrust(const struct stat *st, mode_t type, char *buf, size_t size);

/* The folder exists afterwards, and is root's; 0 or a negative errno. */
int nbd_rundir_make(struct nbd_err *err);

/*
 * Descriptor (O_PATH) of the folder; -ENOENT without one, -EINVAL if it is not to be
 * believed, or another negative errno.
 */
int nbd_rundir_open(struct nbd_err *err);

/* A file that is there, for reading; errors as nbd_rundir_open(). */
int nbd_rundir_open_file(const char *name, struct nbd_err *err);

/* The same in @folder, which is nbd_rundir_open()'s: for who reads many. */
int nbd_rundir_open_file_at(int folder, const char *name, struct nbd_err *err);

/*
 * A file for reading and writing, with exactly that mode; made if there is none. The
 * folder must exist.
 */
int nbd_rundir_create_file(const char *name, mode_t mode, struct nbd_err *err);

/**
 * nbd_rundir_lock - lock a file, which is made if there is none
 * @name:	file in the folder, which is made too
 * @operation:	LOCK_SH or LOCK_EX
 * @wait_ms:	how long to wait for others, or NBD_LOCK_TRY
 * @err:	names the process that holds it, and says what to do
 *
 * Return: a descriptor to close, -EWOULDBLOCK if somebody else has it and NBD_LOCK_TRY was
 * given, -ETIMEDOUT, or another negative errno.
 */
int nbd_rundir_lock(const char *name, int operation, s64 wait_ms,
		    struct nbd_err *err);

#endif /* NBD_RUNDIR_H */
