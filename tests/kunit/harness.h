/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the KUnit suites of the driver share: a free device of the module's own, a
 * session on it whose connections are AF_UNIX socket pairs, the far end of each for
 * the test to read requests from and to write replies to, and requests of that
 * device that tell when they are completed. Nothing here takes the way of a bio: a
 * test is dispatch (rig_issue()), and says itself when what is pending goes out.
 */
#ifndef _NBD_TEST_HARNESS_H
#define _NBD_TEST_HARNESS_H

#include <kunit/test.h>
#include <linux/completion.h>
#include "../../kernel/device.h"
#include "../../kernel/index.h"
#include "../../kernel/issue.h"
#include "../../kernel/queue.h"
#include "../../kernel/session.h"
#include "../../kernel/slots.h"

#define RIG_CONNS	8
#define RIG_REQUESTS	4
/* Bytes of a READ or WRITE. */
#define RIG_BYTES	4096

/**
 * struct rig_request - a request of the device
 * @rq:		NULL if it was not made
 * @cmd:	the driver's part of it
 * @page:	its payload, or NULL
 * @ends:	how often it was completed
 * @status:	with what
 * @ended:	completed at each end
 */
struct rig_request {
	struct request *rq;
	struct nbd_cmd *cmd;
	u8 *page;
	atomic_t ends;
	blk_status_t status;
	struct completion ended;
};

/**
 * struct rig - a test's device
 * @nbd:	claimed
 * @session:	counted
 * @peers:	the far ends of all connections that were made
 * @nr_peers:	how many
 * @requests:	made by rig_request()
 * @nr_requests: how many
 */
struct rig {
	struct nbd_device *nbd;
	struct nbd_session *session;
	struct socket *peers[64];
	unsigned int nr_peers;
	struct rig_request requests[RIG_REQUESTS];
	unsigned int nr_requests;
};

/*
 * A session with @nr connections. @dead_timeout and @policy are those of struct
 * nbd_session_params. What is made is undone at the test's end by rig_exit().
 */
struct rig *rig_new(struct kunit *test, unsigned int nr, u64 dead_timeout, u32 policy);
void rig_exit(struct kunit *test);

/* Detaches, if that has not happened yet. */
void rig_detach(struct rig *rig);

/* A new connection, for a dead slot or as the only one; the number of its peer. */
unsigned int rig_connect(struct kunit *test, enum nbd_takeover how);

/* A started request of that operation, as nbd_queue_rq() prepares it. */
struct rig_request *rig_request(struct kunit *test, enum req_op op);

/* Gives it to the session; false if that refuses it. Nothing is sent. */
bool rig_issue(struct rig *rig, struct rig_request *r);

/* The connection in that slot, or NULL. Stays only as long as the test lets it. */
struct nbd_conn *rig_conn(struct rig *rig, unsigned int slot);
/* Whether the connection has the command in the session's table. */
bool rig_has(const struct nbd_conn *conn, const struct nbd_cmd *cmd);

/* The connection that has the command, after a while if need be, or NULL. */
struct nbd_conn *rig_owner(struct rig *rig, struct rig_request *r);
/* The command waits for a connection. */
bool rig_parked(struct rig *rig, struct rig_request *r);

/* Kills the connection and waits until it is buried. */
void rig_kill(struct rig *rig, struct nbd_conn *conn, int err);
/* Until the works that were queued have run: receivers, senders, burials. */
void rig_flush(void);

/* Waits until that many connections are left. */
bool rig_wait_live(struct rig *rig, unsigned int nr);

/* The next request that a peer receives; false if none comes within seconds. */
bool rig_receive(struct rig *rig, unsigned int peer, struct nbd_request *header);
/* Bytes from a peer to the driver. */
void rig_send(struct kunit *test, unsigned int peer, const void *data, size_t len);
void rig_reply(struct kunit *test, unsigned int peer, u64 cookie, u32 error);

/* Completed once, within seconds, with that status. */
void rig_expect_end(struct kunit *test, struct rig_request *r, blk_status_t status);
/* Not completed. */
void rig_expect_none(struct kunit *test, struct rig_request *r);

#endif /* _NBD_TEST_HARNESS_H */
