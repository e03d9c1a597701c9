/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The neutral model of an attachment.
 *
 * The command line, a URI, a line of nbdtab and a record under /run/nbd all
 * fill struct nbd_params; negotiation fills struct nbd_export; the kernel
 * backends and the printers read both. None of them knows of the others.
 */
#ifndef NBD_MODEL_H
#define NBD_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

struct nbd_err;

#define NBD_DEFAULT_PORT	"10809"
#define NBD_CONNECTIONS_MAX	16
#define NBD_SERVERS_MAX		8
/* proto.md, "Conventions": no string is longer. */
#define NBD_STRING_MAX		4096
#define NBD_HOST_MAX		255
#define NBD_INDEX_AUTO		(-1)

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

/** enum nbd_reconnect - what happens when all connections are lost */
enum nbd_reconnect {
	NBD_RECONNECT_DEFAULT,	/* -persist or nothing: the monitor reconnects */
	NBD_RECONNECT_NEVER,	/* -no-persist */
};

/**
 * struct nbd_params - what the user asked for
 * @given:		NBD_GIVEN_* bits of the fields that the user set
 * @index:		device number, or NBD_INDEX_AUTO
 * @servers:		addresses of the export, in order of preference
 * @nservers:		how many of them
 * @export_name:	name of the export, empty for the server's default
 * @connections:	number of connections
 * @block_size:		logical block size in bytes
 * @size:		size in bytes instead of the server's
 * @timeout:		seconds until a request is failed over, 0 never
 * @dead_timeout:	seconds without a connection until I/O fails
 * @peer_timeout:	seconds until a silent TCP peer is dead, 0 never
 * @slow_timeout:	seconds until a request is counted as slow
 * @connect_timeout:	seconds that connecting and negotiating may take
 * @queue_depth:	requests for each hardware queue
 * @read_ahead:		KiB that the kernel reads ahead
 * @write_policy:	enum nbd_write_policy
 * @reconnect_limit:	attempts before the monitor gives up, 0 never
 * @reconnect:		enum nbd_reconnect
 * @identifier:		backend identifier
 * @socket_user:	user whose Unix sockets are believed beside root's
 * @readonly:		device is read-only whatever the server says
 * @swap:		device holds swap space
 * @nofork:		stay in the foreground
 * @print_device:	print nothing but the name of the device
 * @ioctl_mode:		use the ioctl interface
 * @preinit:		the server sends no handshake
 * @replace_now:	with -replace: give the old connections up at once
 * @no_optgo:		negotiate with NBD_OPT_EXPORT_NAME
 * @no_identity_check:	never compare what the disk has as identity
 * @other_disk:		-replace: the server may have another disk
 * @systemd_mark:	mark processes as not to be killed at shutdown
 * @tls:		TLS is required
 * @tls_verify:		check the server's certificate
 * @tls_cert:		file of the client certificate
 * @tls_key:		file of its key
 * @tls_ca:		file of certificate authorities
 * @tls_hostname:	name that the server's certificate must have
 * @tls_priority:	GnuTLS priority string
 *
 * Strings are owned by the struct; nbd_params_free() frees them.
 */
struct nbd_params {
	u64 given;
	s32 index;
	struct nbd_server servers[NBD_SERVERS_MAX];
	unsigned int nservers;
	char *export_name;
	u32 connections;
	u32 block_size;
	u64 size;
	u32 timeout;
	u64 dead_timeout;
	u32 peer_timeout;
	u32 slow_timeout;
	u32 connect_timeout;
	u32 queue_depth;
	u32 read_ahead;
	u32 write_policy;
	u32 reconnect_limit;
	u32 reconnect;
	char *identifier;
	u32 socket_user;
	bool readonly;
	bool swap;
	bool nofork;
	bool print_device;
	bool ioctl_mode;
	bool preinit;
	bool replace_now;
	bool no_optgo;
	bool no_identity_check;
	bool other_disk;
	bool systemd_mark;
	bool tls;
	bool tls_verify;
	char *tls_cert;
	char *tls_key;
	char *tls_ca;
	char *tls_hostname;
	char *tls_priority;
};

#define NBD_GIVEN_INDEX			BIT_ULL(0)
#define NBD_GIVEN_NAME			BIT_ULL(1)
#define NBD_GIVEN_CONNECTIONS		BIT_ULL(2)
#define NBD_GIVEN_BLOCK_SIZE		BIT_ULL(3)
#define NBD_GIVEN_SIZE			BIT_ULL(4)
#define NBD_GIVEN_TIMEOUT		BIT_ULL(5)
#define NBD_GIVEN_DEAD_TIMEOUT		BIT_ULL(6)
#define NBD_GIVEN_PEER_TIMEOUT		BIT_ULL(7)
#define NBD_GIVEN_SLOW_TIMEOUT		BIT_ULL(8)
#define NBD_GIVEN_CONNECT_TIMEOUT	BIT_ULL(9)
#define NBD_GIVEN_QUEUE_DEPTH		BIT_ULL(10)
#define NBD_GIVEN_WRITE_POLICY		BIT_ULL(11)
#define NBD_GIVEN_RECONNECT_LIMIT	BIT_ULL(12)
#define NBD_GIVEN_RECONNECT		BIT_ULL(13)
#define NBD_GIVEN_IDENTIFIER		BIT_ULL(14)
#define NBD_GIVEN_READ_AHEAD		BIT_ULL(15)
#define NBD_GIVEN_SOCKET_USER		BIT_ULL(20)

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

/* Sets every field to its default. */
void nbd_params_init(struct nbd_params *params);
void nbd_params_free(struct nbd_params *params);

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
