/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The neutral model of an attachment.
 *
 * The command line, a URI, a line of nbdtab, a record under /run/nbd and the
 * driver's status all fill struct nbd_params; negotiation fills struct nbd_export;
 * what asks the kernel, what reconnects and what prints read both, and do not
 * care where they come from.
 */
#ifndef NBD_MODEL_H
#define NBD_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

struct nbd_credentials;
struct nbd_err;

#define NBD_DEFAULT_PORT	"10809"
#define NBD_CONNECTIONS_MAX	16
#define NBD_SERVERS_MAX		8
/* proto.md, "Conventions": no string is longer. */
#define NBD_STRING_MAX		4096
#define NBD_HOST_MAX		255
#define NBD_INDEX_AUTO		(-1)
/* Servers change their keys after twice the largest one; older kernels cannot follow. */
#define NBD_TLS_RENEW		(1 << 22)
#define NBD_TLS_RENEW_MAX	(1 << 23)

/** enum nbd_family - how a server is reached */
enum nbd_family {
	NBD_TCP,
	NBD_UNIX,
	NBD_VSOCK,
};

/**
 * struct nbd_server - where one server listens
 * @family:	how it is reached
 * @host:	TCP: name or address, an IPv6 zone included; VSOCK: the CID;
 *		UNIX: path of the socket, or an abstract name after a NUL byte
 * @host_len:	bytes in @host, which may hold a NUL for UNIX
 * @port:	TCP: number or service name; VSOCK: number
 */
struct nbd_server {
	enum nbd_family family;
	char host[NBD_HOST_MAX + 1];
	size_t host_len;
	char port[32];
};

/** enum nbd_reconnect - what happens when connections are lost */
enum nbd_reconnect {
	NBD_RECONNECT_DEFAULT,	/* -persist or nothing: new ones are made */
	NBD_RECONNECT_NEVER,	/* -no-persist */
};

/* The type of a setting's field, by its kind; see settings.h. */
#define NBD_TYPE_FLAG		bool
#define NBD_TYPE_CONSTANT	u32
#define NBD_TYPE_TEXT		char *
#define NBD_TYPE_NUMBER		u32
#define NBD_TYPE_LIMIT		u32
#define NBD_TYPE_POWER		u32
#define NBD_TYPE_BYTES		u64
#define NBD_TYPE_SECONDS	u64
#define NBD_TYPE_CHOICE		u32
#define NBD_TYPE_USER		u32

/**
 * struct nbd_params - what the user asked for
 * @given:		NBD_GIVEN_* bits of the fields that the user set
 * @index:		device number, or NBD_INDEX_AUTO
 * @servers:		addresses of the export, in order of preference
 * @nservers:		how many of them
 * @tls_for_good:	nobody will renew the connections: TLS must be of a version whose keys
 *			never change
 * @credentials:	for TLS, once they were loaded; nbd_params_free() frees them
 *
 * The others are the settings, in the order of settings.def, which explains each.
 * Strings are owned by the struct; nbd_params_free() frees them.
 */
struct nbd_params {
	u64 given;
	s32 index;
	struct nbd_server servers[NBD_SERVERS_MAX];
	unsigned int nservers;
	bool tls_for_good;
	struct nbd_credentials *credentials;
#define NBD_SETTING(ID, BIT, KIND, FIELD, ...)	NBD_TYPE_##KIND FIELD;
#define NBD_SWITCH(FIELD, ...)			bool FIELD;
#include "settings.def"
};

/* NBD_GIVEN_* bits have numbers below. */
#define NBD_SETTING_BITS	64

/** enum nbd_given - bits of @given in struct nbd_params */
enum nbd_given {
	NBD_GIVEN_INDEX = BIT(0),
#define NBD_SETTING(ID, NUMBER, ...)	NBD_GIVEN_##ID = BIT_ULL(NUMBER),
#include "settings.def"
};

/**
 * struct nbd_export - what the server said about the export
 * @size:		bytes
 * @flags:		transmission flags, NBD_FLAG_*
 * @has_block_sizes:	the following three are valid
 * @block_min:		smallest block, a power of two, 1..65536
 * @block_preferred:	efficient block, a power of two, at least @block_min
 * @block_max:		largest READ or WRITE, 0xffffffff for no limit
 */
struct nbd_export {
	u64 size;
	u16 flags;
	bool has_block_sizes;
	u32 block_min;
	u32 block_preferred;
	u32 block_max;
};

/* Replaces a string of struct nbd_params by a copy of @text; 0 or -ENOMEM. */
int nbd_set_text(char **field, const char *text, struct nbd_err *err);

/*
 * "host:port" or path of a server, printable, for messages. Returns @buf.
 */
#define NBD_SERVER_TEXT_MAX 1200
char *nbd_server_text(const struct nbd_server *server, char *buf, size_t size);

/* "export "name"" or "the default export", printable; returns @buf. */
char *nbd_export_text(const struct nbd_params *params, char *buf, size_t size);

#endif /* NBD_MODEL_H */
