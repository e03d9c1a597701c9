/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The handshake of an NBD client, as a state machine.
 *
 * Pure protocol: bytes go through a struct nbd_transport, nothing else is
 * touched, nothing blocks, nothing is allocated. Every length that the server
 * sends is checked before it is used, and no text of its reaches the user
 * unsanitized. A reply to another option than was sent costs the server the
 * connection. Deadlines are the caller's business.
 *
 * proto.md, "Handshake phase": fixed newstyle with NBD_OPT_GO, with
 * NBD_OPT_EXPORT_NAME where the server does not know that, or plain newstyle.
 */
#ifndef NBD_NEGOTIATE_H
#define NBD_NEGOTIATE_H

#include <stdbool.h>

#include "error.h"
#include "model.h"
#include "transport.h"
#include "util.h"

/** enum nbd_goal - what the handshake is for */
enum nbd_goal {
	NBD_GOAL_GO,		/* enter the transmission phase */
	NBD_GOAL_LIST,		/* list the exports, then say goodbye */
	NBD_GOAL_INFO,		/* ask about exports, then say goodbye */
};

/* The largest option reply that is not refused: an entry of NBD_OPT_LIST. */
#define NBD_HS_PAYLOAD_MAX (2 * NBD_STRING_MAX + 64)
/* So much is kept of any other; the rest is text that nobody will read. */
#define NBD_HS_KEPT_MAX 512
/* A server may answer one option with so many messages, list entries apart. */
#define NBD_HS_REPLIES_MAX 64
#define NBD_HS_ENTRIES_MAX 100000

/**
 * struct nbd_listing - receives what NBD_GOAL_LIST and NBD_GOAL_INFO bring
 * @restart:	called before each attempt: forget all so far
 * @entry:	called for each export of the list; both texts are raw bytes of the server,
 *		not terminated, at most NBD_STRING_MAX each
 * @next:	which export to ask about next, in words that stay valid until the next call;
 *		false for no more. Like all below for NBD_GOAL_INFO only, and after the list
 * @description: of the export that is asked about; raw bytes, maybe more than once
 * @described:	what it is
 * @refused:	why the server does not tell
 * @arg:	passed to all
 * @buf:	holds one entry or description while it comes in
 *
 * Where NBD_OPT_EXPORT_NAME has to do, @next is not called and the export is the one that the
 * user named, or the default one; @described comes without @description.
 */
struct nbd_listing {
	void (*restart)(void *arg);
	void (*entry)(void *arg, const char *name, size_t name_len,
		      const char *description, size_t description_len);
	bool (*next)(void *arg, const char **name, size_t *name_len);
	void (*description)(void *arg, const char *text, size_t len);
	void (*described)(void *arg, const struct nbd_export *export);
	void (*refused)(void *arg, const struct nbd_err *err);
	void *arg;
	unsigned char buf[NBD_HS_PAYLOAD_MAX];
};

/** enum nbd_hs_state - where the handshake stands; "recv" states wait for it */
enum nbd_hs_state {
	NBD_HS_RECV_GREETING,	/* magic, style, handshake flags */
	NBD_HS_RECV_REPLY,	/* header of an option reply */
	NBD_HS_RECV_PAYLOAD,	/* its payload */
	NBD_HS_RECV_EXPORT,	/* answer to NBD_OPT_EXPORT_NAME */
	NBD_HS_RECV_ZEROES,	/* its padding */
	NBD_HS_TLS_READY,	/* caller: do the TLS handshake, then resume */
	NBD_HS_GOODBYE,		/* NBD_OPT_ABORT on its way, then done */
	NBD_HS_DONE,
	NBD_HS_FAILED,
};

/**
 * struct nbd_handshake - one handshake
 * @state:	where it stands
 * @goal:	what it is for
 * @export:	result of NBD_GOAL_GO, valid in NBD_HS_DONE
 * @fixed:	the server knows options; newstyle without them is what is left
 * @structured:	NBD_OPT_STRUCTURED_REPLY was agreed on: READs are answered in chunks
 * @transmission: the server waits for requests now, and for a goodbye
 * @dropped_on_go: the server closed the connection in answer to NBD_OPT_GO or another
 *		option that old servers do not know: another try with @no_optgo may work
 *
 * The rest is private to negotiate.c.
 */
struct nbd_handshake {
	enum nbd_hs_state state;
	enum nbd_goal goal;
	struct nbd_export export;
	bool fixed;
	bool structured;
	bool transmission;
	bool dropped_on_go;

	const char *name;
	size_t name_len;
	bool named;
	bool no_optgo;
	bool want_structured;
	bool asked_list;
	unsigned int entries;
	bool want_tls;
	bool in_tls;
	bool no_zeroes;
	bool got_export;
	bool writing;
	u32 option;
	u32 reply_type;
	unsigned int replies;
	struct nbd_listing *listing;
	struct {
		const void *data;
		size_t len;
	} out[4];
	unsigned int out_n;
	unsigned int out_i;
	size_t out_done;
	unsigned char out_buf[64];
	size_t out_used;
	unsigned char *in;
	size_t in_size;
	size_t in_want;
	size_t in_got;
	size_t in_len;
	unsigned char in_buf[NBD_HS_KEPT_MAX];
	unsigned char surplus[256];
};

/**
 * nbd_handshake_init - prepare for a fresh connection
 * @hs:		zeroed or used before
 * @goal:	what for
 * @structured:	ask for structured replies, which may be refused
 * @params:	export_name, no_optgo and tls are used; must outlive @hs
 * @listing:	for NBD_GOAL_LIST and NBD_GOAL_INFO; must outlive @hs
 * @err:	says why not
 *
 * Return: 0, or -ENAMETOOLONG for an export name beyond NBD_STRING_MAX.
 */
int nbd_handshake_init(struct nbd_handshake *hs, enum nbd_goal goal,
		       bool structured, const struct nbd_params *params,
		       struct nbd_listing *listing, struct nbd_err *err);

/**
 * nbd_handshake_run - go on until done, failed, or the stream would block
 * @hs:		the handshake
 * @t:		the connection
 * @err:	why it failed
 *
 * Return: 0 in NBD_HS_DONE and NBD_HS_TLS_READY; -EAGAIN when it waits for
 * the stream, see nbd_handshake_writes(); another negative errno in
 * NBD_HS_FAILED, with @err filled in.
 */
int nbd_handshake_run(struct nbd_handshake *hs, struct nbd_transport *t,
		      struct nbd_err *err);

/* After -EAGAIN: it waits for the stream to take bytes, not to bring some. */
bool nbd_handshake_writes(const struct nbd_handshake *hs);

/* The TLS handshake is done; go on with nbd_handshake_run() over TLS. */
void nbd_handshake_tls_done(struct nbd_handshake *hs);

/* What the handshake waits for, in words, for a message about a deadline. */
const char *nbd_handshake_waits_for(const struct nbd_handshake *hs);

#endif /* NBD_NEGOTIATE_H */
