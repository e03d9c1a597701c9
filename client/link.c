// SPDX-License-Identifier: GPL-2.0
/*
 * One connection to one address of a server.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "folders.h"
#include "link.h"
#include "peer.h"
#include "tls.h"

/* How long to leave a Unix server alone whose backlog is full. */
#define BACKLOG_RETRY_MS 20

static void end_helper(struct nbd_link *link)
{
	if (link->state == NBD_LINK_ELSEWHERE)
		nbd_helper_end(&link->helper);
}

static void wipe_secrets(struct nbd_link *link)
{
	explicit_bzero(&link->secrets, sizeof(link->secrets));
}

static void end_tls(struct nbd_link *link)
{
	nbd_tls_free(link->tls);
	link->tls = NULL;
}

static int link_fail(struct nbd_link *link, int ret)
{
	char text[NBD_ADDRESS_TEXT_MAX];

	nbd_err_prefix(&link->err, "%s",
		       nbd_address_text(link->address, text, sizeof(text)));
	end_helper(link);
	link->state = NBD_LINK_FAILED;
	nbd_link_close(link);
	return ret;
}

/* The system says only that an argument is invalid. */
static bool lacks_link(const struct nbd_address *address)
{
	const struct sockaddr_in6 *in6 = (const void *)&address->sa;

	return in6->sin6_family == AF_INET6 && !in6->sin6_scope_id &&
	       IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
}

static void connect_failed(struct nbd_link *link, int error)
{
	enum nbd_exit status = error == EACCES ? NBD_EXIT_PERM : NBD_EXIT_CONNECT;
	const char *hint = "";

	if (error == ECONNREFUSED)
		hint = ": is a server running there?";
	else if (error == ENOENT)
		hint = ": no server has made that socket";
	if (error == EINVAL && lacks_link(link->address)) {
		hint = ": it is the address of a link, whose name is missing, as in fe80::1%eth0";
		status = NBD_EXIT_FAILURE;
	}
	link_fail(link, nbd_fail(&link->err, status, error,
				 "cannot connect: %s%s", strerror(error), hint));
}

static int int_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/*
 * A peer is dead when its TCP stack is silent for peer_timeout seconds, on an
 * idle connection (keep-alive) as well as with data on its way (user timeout).
 */
static void set_tcp_options(int fd, unsigned int peer_timeout)
{
	unsigned int interval = peer_timeout >= 3 ? peer_timeout / 3 : 1;

	int_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!peer_timeout)
		return;
	int_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	int_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, interval);
	int_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval);
	int_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 2);
	int_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, peer_timeout * 1000);
}

static void begin_handshake(struct nbd_link *link)
{
	struct nbd_params params = *link->params;
	int flags = fcntl(link->fd, F_GETFL);

	if (nbd_peer_check(link->fd, link->place, &params, &link->peer,
			   &link->err)) {
		link_fail(link, 0);
		return;
	}
	if (flags >= 0)
		fcntl(link->fd, F_SETFL, flags & ~O_NONBLOCK);
	if (params.preinit) {
		memset(&link->hs.export, 0, sizeof(link->hs.export));
		link->hs.structured = false;
		link->hs.export.size = params.size;
		link->hs.export.flags = NBD_FLAG_HAS_FLAGS;
		link->state = NBD_LINK_UP;
		return;
	}
	params.no_optgo |= link->without_go;
	if (nbd_handshake_init(&link->hs, link->goal, link->structured, &params,
			       link->listing, &link->err)) {
		link_fail(link, 0);
		return;
	}
	nbd_socket_transport_init(&link->transport, link->fd);
	link->state = NBD_LINK_HANDSHAKE;
}

static void connect_went(struct nbd_link *link, int error)
{
	if (!error || error == EISCONN) {
		begin_handshake(link);
	} else if (error == EINPROGRESS || error == EINTR) {
		link->state = NBD_LINK_CONNECTING;
	} else if (error == EAGAIN) {
		link->state = NBD_LINK_RETRY;
		link->retry_at = nbd_now_ms() + BACKLOG_RETRY_MS;
	} else {
		connect_failed(link, error);
	}
}

/* In the helper: the socket is the link's own, and the path is looked up there. */
static void connect_elsewhere(void *arg, int ret, int out)
{
	const struct nbd_link *link = arg;
	int error = -ret;

	if (!ret && connect(link->fd, (const void *)&link->address->sa,
			    link->address->len))
		error = errno;
	if (write(out, &error, sizeof(error)) != sizeof(error))
		_exit(1);
}

static void start_helper(struct nbd_link *link)
{
	unsigned int seconds = link->params->connect_timeout;
	const int kept[] = { link->fd, -1 };
	int ret = nbd_helper_start(&link->helper, link->place, kept, seconds,
				   connect_elsewhere, link);

	if (ret)
		connect_failed(link, -ret);
	else
		link->state = NBD_LINK_ELSEWHERE;
}

static void finish_helper(struct nbd_link *link)
{
	struct pollfd pfd = { .fd = link->helper.fd, .events = POLLIN };
	int error;

	if (poll(&pfd, 1, 0) <= 0)
		return;
	if (!nbd_helper_read(&link->helper, &error, sizeof(error)))
		error = ETIMEDOUT;
	nbd_helper_end(&link->helper);
	connect_went(link, error);
}

static void try_connect(struct nbd_link *link)
{
	const struct nbd_address *a = link->address;

	if (link->place->mnt >= 0 && nbd_address_is_path(a))
		start_helper(link);
	else
		connect_went(link, nbd_folder_connect(link->fd, &a->sa, a->len) ?
			     errno : 0);
}

static void open_socket(struct nbd_link *link)
{
	int family = link->address->sa.ss_family;

	link->fd = nbd_place_socket(link->place, family, SOCK_STREAM |
				    SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (link->fd < 0) {
		link_fail(link, nbd_fail(&link->err, NBD_EXIT_CONNECT, errno,
					 "cannot make a socket: %s",
					 strerror(errno)));
		return;
	}
	if (family == AF_INET || family == AF_INET6)
		set_tcp_options(link->fd, link->params->peer_timeout);
	try_connect(link);
}

void nbd_link_start(struct nbd_link *link, enum nbd_goal goal, bool structured,
		    const struct nbd_params *params,
		    struct nbd_listing *listing,
		    const struct nbd_address *address,
		    const struct nbd_place *place, s64 deadline)
{
	link->fd = -1;
	link->address = address;
	link->deadline = deadline;
	link->params = params;
	link->listing = listing;
	link->goal = goal;
	link->structured = structured;
	link->place = place;
	link->without_go = false;
	link->tls = NULL;
	wipe_secrets(link);
	link->check = NULL;
	memset(&link->finding, 0, sizeof(link->finding));
	open_socket(link);
}

static void finish_connect(struct nbd_link *link)
{
	struct pollfd pfd = { .fd = link->fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int error = 0;

	if (poll(&pfd, 1, 0) <= 0)
		return;
	if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error)
		connect_failed(link, error);
	else
		begin_handshake(link);
}

/* An old server that hangs up on NBD_OPT_GO gets another chance without. */
static bool start_without_go(struct nbd_link *link)
{
	if (!link->hs.dropped_on_go || link->without_go)
		return false;
	nbd_link_close(link);
	link->without_go = true;
	open_socket(link);
	return true;
}

/* The handshake of TLS, in the middle of that of NBD. */
static int run_tls(struct nbd_link *link)
{
	int ret;

	if (!link->tls)
		link->tls = nbd_tls_start(link->params,
					  &link->params->servers[link->address->server],
					  link->goal == NBD_GOAL_GO ? link->fd : -1,
					  &link->transport.base, &link->err);
	if (!link->tls)
		return -EPROTO;
	ret = nbd_tls_handshake(link->tls, &link->err);
	if (!ret)
		nbd_handshake_tls_done(&link->hs);
	return ret;
}

static int run_options(struct nbd_link *link)
{
	struct nbd_transport *t = &link->transport.base;
	int ret;

	if (link->tls)
		t = nbd_tls_transport(link->tls);
	ret = nbd_handshake_run(&link->hs, t, &link->err);
	if (ret && ret != -EAGAIN && link->tls && nbd_tls_explain(link->tls, &link->err))
		link->hs.dropped_on_go = false;
	return ret;
}

/* From here on the socket is plain for us; but a list has no use for it any more. */
static int leave_tls(struct nbd_link *link)
{
	int ret = 0;

	if (link->tls && link->goal == NBD_GOAL_GO)
		ret = nbd_tls_hand_over(link->tls, &link->secrets, &link->err);
	else if (link->tls)
		nbd_tls_goodbye(link->tls);
	end_tls(link);
	return ret;
}

static void run_handshake(struct nbd_link *link)
{
	int ret;

	do {
		if (link->hs.state == NBD_HS_TLS_READY)
			ret = run_tls(link);
		else
			ret = run_options(link);
	} while (!ret && link->hs.state != NBD_HS_DONE);
	if (ret == -EAGAIN)
		return;
	if (ret && start_without_go(link))
		return;
	if (!ret)
		ret = leave_tls(link);
	if (ret)
		link_fail(link, ret);
	else
		link->state = NBD_LINK_UP;
}

bool nbd_link_check(struct nbd_link *link, const struct nbd_record *record,
		    bool overrule)
{
	if (nbd_check_start(&link->check, record, overrule, &link->hs.export,
			    link->hs.structured, &link->err)) {
		link_fail(link, 0);
		return false;
	}
	if (!link->check)
		return true;
	nbd_socket_transport_init(&link->transport, link->fd);
	link->state = NBD_LINK_CHECK;
	return false;
}

static void run_check(struct nbd_link *link)
{
	int ret = nbd_check_run(link->check, &link->transport.base,
				&link->finding, &link->err);

	if (ret == -EAGAIN)
		return;
	nbd_check_free(link->check);
	link->check = NULL;
	if (ret)
		link_fail(link, ret);
	else
		link->state = NBD_LINK_UP;
}

static void check_deadline(struct nbd_link *link)
{
	const char *what = "cannot connect: no answer from that address in time";
	struct nbd_err *err = &link->err;

	if (!nbd_link_busy(link) || nbd_now_ms() < link->deadline)
		return;
	if (link->state == NBD_LINK_HANDSHAKE)
		nbd_fail(err, NBD_EXIT_TIMEOUT, ETIMEDOUT,
			 "connected, but the server is silent: waited for %s in vain (is it an NBD server?)",
			 nbd_handshake_waits_for(&link->hs));
	else if (link->state == NBD_LINK_CHECK)
		nbd_fail(err, NBD_EXIT_TIMEOUT, ETIMEDOUT,
			 "connected, but what disk it is cannot be found out: waited for %s in vain",
			 nbd_check_waits_for(link->check));
	else
		nbd_fail(err, NBD_EXIT_TIMEOUT, ETIMEDOUT, "%s", what);
	link_fail(link, 0);
}

void nbd_link_run(struct nbd_link *link)
{
	if (link->state == NBD_LINK_RETRY && nbd_now_ms() >= link->retry_at)
		try_connect(link);
	if (link->state == NBD_LINK_ELSEWHERE)
		finish_helper(link);
	if (link->state == NBD_LINK_CONNECTING)
		finish_connect(link);
	if (link->state == NBD_LINK_HANDSHAKE)
		run_handshake(link);
	if (link->state == NBD_LINK_CHECK)
		run_check(link);
	check_deadline(link);
}

bool nbd_link_busy(const struct nbd_link *link)
{
	return link->state == NBD_LINK_ELSEWHERE ||
	       link->state == NBD_LINK_CONNECTING ||
	       link->state == NBD_LINK_RETRY ||
	       link->state == NBD_LINK_HANDSHAKE ||
	       link->state == NBD_LINK_CHECK;
}

static bool handshake_writes(const struct nbd_link *link)
{
	if (link->hs.state == NBD_HS_TLS_READY)
		return link->tls && nbd_tls_writes(link->tls);
	return nbd_handshake_writes(&link->hs);
}

struct pollfd nbd_link_poll(const struct nbd_link *link)
{
	struct pollfd pfd = { .fd = -1 };

	if (link->state == NBD_LINK_ELSEWHERE) {
		pfd.fd = link->helper.fd;
		pfd.events = POLLIN;
	} else if (link->state == NBD_LINK_CONNECTING) {
		pfd.fd = link->fd;
		pfd.events = POLLOUT;
	} else if (link->state == NBD_LINK_HANDSHAKE) {
		pfd.fd = link->fd;
		pfd.events = handshake_writes(link) ? POLLOUT : POLLIN;
	} else if (link->state == NBD_LINK_CHECK) {
		pfd = nbd_check_poll(link->check, link->fd);
	}
	return pfd;
}

s64 nbd_link_wake(const struct nbd_link *link)
{
	if (link->state == NBD_LINK_RETRY)
		return nbd_min_time(link->retry_at, link->deadline);
	return link->deadline;
}

/* Best effort: a server whose socket buffer is full will see the hang-up. */
static void say_goodbye(struct nbd_link *link)
{
	const struct nbd_request disc = {
		.magic = htobe32(NBD_REQUEST_MAGIC),
		.type = htobe32(NBD_CMD_DISC),
	};

	send(link->fd, &disc, sizeof(disc), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void nbd_link_close(struct nbd_link *link)
{
	nbd_check_free(link->check);
	link->check = NULL;
	end_tls(link);
	wipe_secrets(link);
	if (link->fd < 0)
		return;
	end_helper(link);
	if (link->state == NBD_LINK_UP &&
	    (link->goal == NBD_GOAL_GO || link->hs.transmission))
		say_goodbye(link);
	close(link->fd);
	link->fd = -1;
}

void nbd_link_hand_over(struct nbd_link *link)
{
	wipe_secrets(link);
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}
