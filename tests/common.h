/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Small things that every test program wants.
 */
#ifndef NBD_TEST_COMMON_H
#define NBD_TEST_COMMON_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#ifndef __packed
#define __packed	__attribute__((__packed__))
#endif
#ifndef __printf
#define __printf(a, b)	__attribute__((__format__(printf, a, b)))
#endif

/* The AF_UNIX address of @path; false if the path is too long for one. */
static inline bool unix_address(struct sockaddr_un *addr, const char *path)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	return snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", path) <
	       (int)sizeof(addr->sun_path);
}

#endif /* NBD_TEST_COMMON_H */
