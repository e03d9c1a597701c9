/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What several test programs need of the driver: its devices (device.c), its netlink
 * family, byte by byte (netlink.c), and servers for its sockets (peer.c).
 *
 * Some functions report what they did as a step with an outcome. The program says what
 * becomes of that: it has say() and say_result() of its own, as uapi-probe, or takes one
 * of report/: quiet.c or lines.c.
 */
#ifndef NBD_LIBRARY_H
#define NBD_LIBRARY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/ioctl.h>

#include "../common.h"

/* --- the program's, or report/ --- */

/* The outcome of a step. */
void __printf(2, 3) say(const char *step, const char *fmt, ...);
/* "ok", a number if it is above zero, or the name of the errno -ret. */
void say_result(const char *step, long ret);

/* --- util.c --- */

const char *errno_name(int error);
/* A step's name of parts, in one of 16 static buffers, used in turn. */
__printf(1, 2)
const char *name(const char *fmt, ...);

/* What a system call returned, as a result: -errno or the value. */
long result(long ret);

/* True as soon as check(arg) is; false after @seconds. */
bool until(bool (*check)(void *arg), void *arg, double seconds);
double now(void);

/* --- device.c --- */

/* Open /dev/nbdN; -errno. */
int open_device(int index, int flags);
/* As open_device() for reading and writing, but the case ends if that fails. */
int must_open(int index);

/*
 * ioctl(), through the 32-bit entry if compat_calls is set; -errno or the value. -EOVERFLOW
 * if no long of this machine holds @arg, and nothing is called then.
 */
extern bool compat_calls;
long nbd_ioctl(int fd, unsigned int cmd, uint64_t arg);
const char *ioctl_name(unsigned int cmd);
/* nbd_ioctl() and its result as a step. */
long step_ioctl(int fd, unsigned int cmd, uint64_t arg);

/* From sysfs and the node: sectors (-1: no such device), logical block size. */
long long sysfs_size(int index);
int sysfs_number(int index, const char *attribute);
/* First line of an attribute of /sys/block/nbdN, "-" if there is none. */
const char *sysfs_text(int index, const char *attribute);
bool node_exists(int index);
/* Neither size nor pid file. */
bool is_free(int index);
bool wait_size(int index, long long sectors);
bool wait_free(int index);

/* "MAJOR:MINOR" of its node. */
const char *node_number(unsigned int index);

/* Size, read-only, block size, and whether it is attached, in one word. */
const char *shape(int index);

/* One read of @len bytes, uncached: 0 or -errno. */
long read_block(int index, uint64_t offset, size_t len);
long write_block(int index, uint64_t offset, size_t len);
/* Wait until nobody looks for partitions any more. */
void settle(int index);

/* A task in DO_IT. */
struct doit {
	pthread_t thread;
	int fd;
	int tid;
	long ret;
	bool done, joined;
};

void doit_start(struct doit *doit, int fd);
/* What it returned; "still running" after @seconds, "ended" if that was said before. */
const char *doit_outcome(struct doit *doit, double seconds);
/* A signal whose handler does nothing; with @restart, system calls go on after it. */
void doit_signal(struct doit *doit, bool restart);

/* Set up through ioctls, up to SET_SOCK, with 1 MiB and @block_size. */
void ioctl_setup(int fd, int sock, unsigned long block_size, unsigned long flags);

/* Uevents of /sys/block/nbdN since uevents_open(). */
int uevents_open(void);
/* "add=N change=N remove=N", of @index, after things were quiet for a while. */
const char *uevents_count(int fd, int index);
/* Wait for a change event of @index; false if none comes for a second. */
bool uevents_wait_change(int fd, int index);

/* --- peer.c --- */

enum peer_kind {
	PEER_UNIX,
	PEER_TCP,
};

/* The other end of a connection: a thread that serves the transmission phase. */
struct peer;

struct peer *peer_new(enum peer_kind kind);
/* Hang up and forget; the driver's end is closed, too. */
void peer_free(struct peer *peer);
/* From here on, and in children, all peers serve one image of PEER_IMAGE_BYTES. */
uint8_t *peer_share_image(void);
#define PEER_IMAGE_BYTES	(64U << 20)
/* The end for the driver. It stays ours to close. */
int peer_fd(struct peer *peer);
/* Keep READ and WRITE requests unanswered, or answer them again (and those kept). */
void peer_hold(struct peer *peer, bool hold);
/* Close the peer's end. */
void peer_hang_up(struct peer *peer);
/* Requests of a type so far. */
unsigned int peer_count(struct peer *peer, unsigned int type);
/* Until a request for that offset is kept unanswered. */
bool peer_wait_held(struct peer *peer, uint64_t offset);
/* The driver's end was shut down or closed. */
bool peer_saw_end(struct peer *peer);

/* --- netlink.c --- */

#define NL_BYTES	(512 * 1024)

/* A netlink message under construction. */
struct msg {
	size_t len;
	uint8_t buf[NL_BYTES];
};

/* A new request, in one static message. */
struct msg *msg_new(uint8_t cmd);
struct msg *msg_new_full(uint8_t cmd, uint8_t version, uint16_t flags, uint16_t type);
void msg_put(struct msg *msg, uint16_t type, const void *data, size_t len);
void msg_u32(struct msg *msg, uint16_t type, uint32_t value);
void msg_u64(struct msg *msg, uint16_t type, uint64_t value);
void msg_string(struct msg *msg, uint16_t type, const char *text);
/* Returns where the nest starts, for msg_end(). */
size_t msg_nest(struct msg *msg, uint16_t type);
void msg_end(struct msg *msg, size_t nest);
/* An attribute header whose length says @told. */
void msg_raw_attr(struct msg *msg, uint16_t type, uint16_t told, const void *data, size_t len);
/* NBD_ATTR_SOCKETS with these. */
void msg_sockets(struct msg *msg, const int *fds, unsigned int n);

/**
 * struct answer - what came back
 * @error:	0 or -errno
 * @text:	extended ack, or empty
 * @replies:	messages other than the acknowledgment
 * @data:	the attributes of the last of them
 * @len:	their length
 * @cmd:	its command
 */
struct answer {
	int error;
	char text[256];
	unsigned int replies;
	uint8_t *data;
	size_t len;
	uint8_t cmd;
};

/* Open the socket and resolve the family; false if there is none. */
bool nl_open(void);
extern uint16_t nl_family, nl_group;
/* Send @msg, wait for the acknowledgment. The answer is static. */
struct answer *nl_call(struct msg *msg);
/* Send @msg with a header that says @told bytes, and drop whatever is answered. */
void nl_throw(struct msg *msg, size_t told);
/* The error as a step, with the text as comment; "# -" where a refusal has none. */
void say_answer(const char *step, const struct answer *answer);
/* nl_call() and say_answer(). */
struct answer *nl_step(const char *step, struct msg *msg);

/* The attribute that @data begins with, which is stepped over; NULL if there is none. */
const uint8_t *attr_next(const uint8_t **data, size_t *len, uint16_t *type, size_t *attr_len);
/* The first attribute of that type in @data, NULL if there is none. */
const uint8_t *attr_find(const uint8_t *data, size_t len, uint16_t type, size_t *attr_len);
uint32_t attr_u32(const struct answer *answer, uint16_t type, uint32_t fallback);

/* CONNECT @index with sockets and a size, more may be added; index -1: any. */
struct msg *connect_msg(int index, const int *fds, unsigned int n, uint64_t size);
/* Connect and return the answer's error. */
int nl_connect(int index, int fd);
int nl_disconnect(int index);
/* STATUS: -errno, or the "connected" of the device, -ENOENT if it is not listed. */
int nl_connected(int index);
/* All that our driver tells of the device; the stock one refuses. */
struct answer *nl_status(int index);
/* Connections that carry requests, by an answer of nl_status(). */
unsigned int live_conns(const struct answer *answer);
struct msg *index_msg(uint8_t cmd, uint32_t index);

/* Join the multicast group; returns the socket. */
int group_join(void);
/* Hang up, and wait until the driver says that it saw it. */
void hang_up_and_wait(struct peer *peer);
/* "CMD:index ..." of the messages that came until it was quiet for @seconds. */
const char *group_messages(int fd, double seconds);

#endif /* NBD_LIBRARY_H */
