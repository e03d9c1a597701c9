/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /dev, /proc, /run and /sys for processes that may outlive their root.
 *
 * A process that was started in the initramfs keeps that as its root when the system
 * switches to another one. Those four folders are moved there, and what is left is
 * emptied: their paths lead nowhere then. A process that keeps them finds them
 * wherever they are, and holds nothing of the new root.
 */
#ifndef NBD_FOLDERS_H
#define NBD_FOLDERS_H

#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

/* From now on they are what their paths lead to now. Before, paths are paths. */
void nbd_folders_keep(void);

/**
 * nbd_folder_of - where to look for a path with openat() and its like
 * @path:	absolute; becomes relative to what is returned if it lies in a folder
 *		that is kept
 *
 * Return: the descriptor of that folder, or AT_FDCWD.
 */
int nbd_folder_of(const char **path);

/* open() and fopen(); @mode is that of a file which is created, fopen()'s is 0644. */
int nbd_folder_open(const char *path, int flags, mode_t mode);
FILE *nbd_folder_fopen(const char *path, const char *mode);

/*
 * For calls that take a path only: the kept folder in which @path lies is the current one
 * until nbd_folder_leave(), and the root is after that. Returns the path to use. Leaving
 * does not touch errno.
 */
const char *nbd_folder_enter(const char *path);
void nbd_folder_leave(void);

/* connect(), also to a Unix socket. */
int nbd_folder_connect(int fd, const struct sockaddr_storage *sa, socklen_t len);

#endif /* NBD_FOLDERS_H */
