// SPDX-License-Identifier: GPL-2.0
/*
 * Servers to socket addresses.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/vm_sockets.h>
#include <sys/un.h>

#include "address.h"

static void append(struct nbd_address_list *list, unsigned int number,
		   const void *sa, socklen_t len)
{
	struct nbd_address *a;

	if (list->n == NBD_ADDRESSES_MAX || len > sizeof(a->sa))
		return;
	a = &list->addr[list->n++];
	memset(a, 0, sizeof(*a));
	a->server = number;
	a->len = len;
	memcpy(&a->sa, sa, len);
}

/* The next entry of that kind, the first one's family or not. */
static struct addrinfo *next_of(struct addrinfo *ai, int family, bool same)
{
	while (ai && (ai->ai_family == family) != same)
		ai = ai->ai_next;
	return ai;
}

/*
 * The resolver sorts by preference; alternate the families, so that a host
 * whose IPv6 leads nowhere costs one attempt and not several.
 */
static void append_alternating(struct nbd_address_list *list,
			       unsigned int number, struct addrinfo *ai)
{
	int family = ai->ai_family;
	struct addrinfo *a = ai;
	struct addrinfo *b = next_of(ai, family, false);

	while (a || b) {
		if (a) {
			append(list, number, a->ai_addr, a->ai_addrlen);
			a = next_of(a->ai_next, family, true);
		}
		if (b) {
			append(list, number, b->ai_addr, b->ai_addrlen);
			b = next_of(b->ai_next, family, false);
		}
	}
}

static int append_unix(struct nbd_address_list *list,
		       const struct nbd_server *server, unsigned int number)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (server->host_len > sizeof(un.sun_path) - 1)
		return -ENAMETOOLONG;
	memcpy(un.sun_path, server->host, server->host_len);
	append(list, number, &un, offsetof(struct sockaddr_un, sun_path) +
	       server->host_len + (server->host[0] ? 1 : 0));
	return 0;
}

/* A whole decimal number that fits into 32 bits. */
static bool parse_u32(const char *text, unsigned int *value)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || n > U32_MAX)
		return false;
	*value = n;
	return true;
}

static int append_vsock(struct nbd_address_list *list,
			const struct nbd_server *server, unsigned int number)
{
	struct sockaddr_vm vm = { .svm_family = AF_VSOCK };

	if (!parse_u32(server->host, &vm.svm_cid) ||
	    !parse_u32(server->port, &vm.svm_port))
		return -EINVAL;
	append(list, number, &vm, sizeof(vm));
	return 0;
}

static const struct addrinfo tcp_hints = {
	.ai_socktype = SOCK_STREAM,
	.ai_protocol = IPPROTO_TCP,
};

static int append_numeric(struct nbd_address_list *list,
			  const struct nbd_server *server, unsigned int number)
{
	struct addrinfo hints = tcp_hints;
	struct addrinfo *ai;

	hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
	if (getaddrinfo(server->host, server->port, &hints, &ai))
		return -EAGAIN;
	append_alternating(list, number, ai);
	freeaddrinfo(ai);
	return 0;
}

int nbd_resolve_numeric(struct nbd_address_list *list,
			const struct nbd_server *server, unsigned int number)
{
	switch (server->family) {
	case NBD_UNIX:
		return append_unix(list, server, number);
	case NBD_VSOCK:
		return append_vsock(list, server, number);
	default:
		return append_numeric(list, server, number);
	}
}

/* The resolver's errors: what they mean, and whether trying again helps. */
static int resolver_failed(const struct nbd_server *server, int error,
			   struct nbd_err *err)
{
	char text[NBD_SERVER_TEXT_MAX];

	nbd_server_text(server, text, sizeof(text));
	switch (error) {
	case EAI_NONAME:
	case EAI_NODATA:
		return nbd_fail(err, NBD_EXIT_CONNECT, ENOENT,
				"%s: no such host: %s", text,
				gai_strerror(error));
	case EAI_SERVICE:
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"%s: no such port", text);
	case EAI_SYSTEM:
		return nbd_fail(err, NBD_EXIT_CONNECT, EAGAIN,
				"%s: cannot resolve the name: %s", text,
				strerror(errno));
	default:
		return nbd_fail(err, NBD_EXIT_CONNECT, EAGAIN,
				"%s: cannot resolve the name: %s (this may pass)",
				text, gai_strerror(error));
	}
}

static int resolve_name(struct nbd_address_list *list,
			const struct nbd_server *server, unsigned int number,
			struct nbd_err *err)
{
	struct addrinfo *ai;
	int ret = getaddrinfo(server->host, server->port, &tcp_hints, &ai);

	if (ret)
		return resolver_failed(server, ret, err);
	append_alternating(list, number, ai);
	freeaddrinfo(ai);
	return 0;
}

int nbd_resolve(struct nbd_address_list *list, const struct nbd_server *server,
		unsigned int number, struct nbd_err *err)
{
	char text[NBD_SERVER_TEXT_MAX];

	switch (nbd_resolve_numeric(list, server, number)) {
	case 0:
		return 0;
	case -ENAMETOOLONG:
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"%s: the path of a Unix socket has at most %zu bytes",
				nbd_server_text(server, text, sizeof(text)),
				sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	case -EINVAL:
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"%s: a vsock address is two numbers, CID and port",
				nbd_server_text(server, text, sizeof(text)));
	default:
		return resolve_name(list, server, number, err);
	}
}

bool nbd_address_is_path(const struct nbd_address *address)
{
	const struct sockaddr_un *un = (const void *)&address->sa;

	return un->sun_family == AF_UNIX && un->sun_path[0];
}

static void unix_text(const struct nbd_address *address, char *buf, size_t size)
{
	const struct sockaddr_un *un = (const void *)&address->sa;
	size_t len = address->len - offsetof(struct sockaddr_un, sun_path);

	if (len && un->sun_path[0])
		len--;
	nbd_sanitize(buf, size, un->sun_path, len);
}

char *nbd_address_text(const struct nbd_address *address, char *buf,
		       size_t size)
{
	const struct sockaddr_vm *vm = (const void *)&address->sa;
	char host[INET6_ADDRSTRLEN + 32], port[16];

	if (address->sa.ss_family == AF_UNIX) {
		unix_text(address, buf, size);
	} else if (address->sa.ss_family == AF_VSOCK) {
		snprintf(buf, size, "vsock %u:%u", vm->svm_cid, vm->svm_port);
	} else {
		if (getnameinfo((const void *)&address->sa, address->len, host,
				sizeof(host), port, sizeof(port),
				NI_NUMERICHOST | NI_NUMERICSERV)) {
			snprintf(buf, size, "an unprintable address");
			return buf;
		}
		snprintf(buf, size, address->sa.ss_family == AF_INET6 ?
			 "[%s]:%s" : "%s:%s", host, port);
	}
	return buf;
}

bool nbd_address_same(const struct nbd_address *a, const struct nbd_address *b)
{
	return a->len == b->len && !memcmp(&a->sa, &b->sa, a->len);
}

static bool list_has(const struct nbd_address_list *list,
		     const struct nbd_address *a)
{
	unsigned int i;

	for (i = 0; i < list->n; i++)
		if (list->addr[i].server == a->server &&
		    nbd_address_same(&list->addr[i], a))
			return true;
	return false;
}

bool nbd_address_list_covers(const struct nbd_address_list *list,
			     const struct nbd_address_list *other)
{
	unsigned int i;

	for (i = 0; i < other->n; i++)
		if (!list_has(list, &other->addr[i]))
			return false;
	return true;
}

unsigned int nbd_addresses_of_each(unsigned int nservers)
{
	return nservers > 1 ? NBD_ADDRESSES_MAX / nservers : NBD_ADDRESSES_MAX;
}

/* Appends at most @room of those of one server; returns how many there were. */
static unsigned int append_server(struct nbd_address_list *list,
				  const struct nbd_address_list *from,
				  unsigned int server, unsigned int room)
{
	unsigned int i, n = 0;

	for (i = 0; i < from->n && n < room; i++) {
		if (from->addr[i].server != server ||
		    list->n == NBD_ADDRESSES_MAX)
			continue;
		list->addr[list->n++] = from->addr[i];
		n++;
	}
	return n;
}

void nbd_address_list_append(struct nbd_address_list *list,
			     const struct nbd_address_list *more,
			     unsigned int nservers)
{
	if (more->n)
		append_server(list, more, more->addr[0].server,
			      nbd_addresses_of_each(nservers));
}

void nbd_address_list_keep(struct nbd_address_list *list,
			   const struct nbd_address_list *old,
			   unsigned int nservers)
{
	const unsigned int room = nbd_addresses_of_each(nservers);
	const struct nbd_address_list fresh = *list;
	unsigned int i;

	list->n = 0;
	for (i = 0; i < nservers; i++)
		if (!append_server(list, &fresh, i, room))
			append_server(list, old, i, room);
}
