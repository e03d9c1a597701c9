// SPDX-License-Identifier: GPL-2.0
/*
 * Whose socket it is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "peer.h"

static bool is_unix(int fd)
{
	socklen_t len = sizeof(int);
	int family = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) &&
	       family == AF_UNIX;
}

static bool is_named(const struct nbd_params *params, u32 user)
{
	return params->given & NBD_GIVEN_SOCKET_USER &&
	       user == params->socket_user;
}

/* Who attaches and names nobody takes who is there. */
static bool is_believed(const struct nbd_place *place,
			const struct nbd_params *params, u32 user)
{
	if (!user || is_named(params, user))
		return true;
	if (place->owner != NBD_ANYBODY)
		return user == place->owner;
	return !(params->given & NBD_GIVEN_SOCKET_USER);
}

static int refuse(const struct nbd_place *place, const struct nbd_params *params,
		  u32 user, struct nbd_err *err)
{
	char owner[64] = "", named[64] = "";

	if (place->owner != NBD_ANYBODY && place->owner)
		snprintf(owner, sizeof(owner),
			 ", nor user %u, as when it was attached", place->owner);
	if (params->given & NBD_GIVEN_SOCKET_USER)
		snprintf(named, sizeof(named), ", nor user %u, as -socket-user says",
			 params->socket_user);
	return nbd_fail(err, NBD_EXIT_PERM, EACCES,
			"refused: user %u serves this socket, not root%s%s: if that is right, say so with -socket-user %u (for an attached device together with -replace)",
			user, owner, named, user);
}

int nbd_peer_check(int fd, const struct nbd_place *place,
		   const struct nbd_params *params, u32 *peer,
		   struct nbd_err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	*peer = 0;
	if (!is_unix(fd))
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return nbd_fail(err, NBD_EXIT_PERM, EACCES,
				"refused: cannot find out whose socket it is: %s",
				strerror(errno));
	*peer = cred.uid;
	return is_believed(place, params, cred.uid) ? 0 :
	       refuse(place, params, cred.uid, err);
}
