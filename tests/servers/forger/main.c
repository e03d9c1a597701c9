// SPDX-License-Identifier: GPL-2.0
/*
 * forger PORT IMAGE CERTIFICATE KEY PRIORITY: an NBD server over TLS that breaks the rules of
 * TLS when it is told to. It serves the file IMAGE, a process for each connection. Who puts
 * a file into the folder "plans" (plan.h) tells it what to do, once:
 *
 *   starttls	in place of the answer to NBD_OPT_STARTTLS and the handshake
 *   option	in place of the answer to another option
 *   go		in place of the answer to NBD_OPT_GO
 *   reply	in place of the next reply of the transmission phase
 *
 * The file "updates" there gets a line, the process, when a client's requests have another key.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../wire.h"
#include "plan.h"

#define REQUEST_MAX	(1U << 20)

static uint8_t *image;
static uint64_t image_size;
static gnutls_certificate_credentials_t certificates;
static const char *priority;

static bool read_full(struct connection *c, void *buf, size_t len)
{
	uint8_t *at = buf;

	while (len) {
		ssize_t n = c->tls ? gnutls_record_recv(c->session, at, len) :
				     recv(c->fd, at, len, 0);

		if (c->tls && (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED))
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= n;
	}
	return true;
}

/* --- negotiation --- */

static size_t put_reply(uint8_t *at, uint32_t option, uint32_t type, const void *data,
			uint32_t len)
{
	struct nbd_option_reply head = {
		.magic = htobe64(NBD_REP_MAGIC),
		.option = htobe32(option),
		.type = htobe32(type),
		.length = htobe32(len),
	};

	memcpy(at, &head, sizeof(head));
	if (len)
		memcpy(at + sizeof(head), data, len);
	return sizeof(head) + len;
}

static bool answer_go(struct connection *c)
{
	struct nbd_info_export export = {
		.type = htobe16(NBD_INFO_EXPORT),
		.size = htobe64(image_size),
		.flags = htobe16(NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH |
				 NBD_FLAG_CAN_MULTI_CONN),
	};
	uint8_t answer[128 + PLAN_TAIL];
	size_t n = put_reply(answer, NBD_OPT_GO, NBD_REP_INFO, &export, sizeof(export));

	n += put_reply(answer + n, NBD_OPT_GO, NBD_REP_ACK, NULL, 0);
	return plan_play(c, "go", "data", answer, n);
}

/* 1: the transmission begins, 0: another option follows, -1: the connection is over. */
static int serve_option(struct connection *c)
{
	struct nbd_option head;
	uint8_t data[4096], answer[64 + PLAN_TAIL];
	uint32_t option, len;
	size_t n;

	if (!read_full(c, &head, sizeof(head)))
		return -1;
	option = be32toh(head.option);
	len = be32toh(head.length);
	if (len > sizeof(data) || !read_full(c, data, len))
		return -1;
	if (option == NBD_OPT_STARTTLS && !c->tls) {
		n = put_reply(answer, option, NBD_REP_ACK, NULL, 0);
		return plan_play(c, "starttls", "ack tls", answer, n) ? 0 : -1;
	}
	if (!c->tls || option == NBD_OPT_ABORT)
		return -1;
	if (option == NBD_OPT_GO)
		return answer_go(c) ? 1 : -1;
	n = put_reply(answer, option, NBD_REP_ERR_UNSUP, NULL, 0);
	return plan_play(c, "option", "data", answer, n) ? 0 : -1;
}

static bool negotiate(struct connection *c)
{
	struct nbd_greeting greeting = {
		.magic = htobe64(NBD_INIT_MAGIC),
		.version = htobe64(NBD_OPTS_MAGIC),
		.flags = htobe16(NBD_HS_FIXED_NEWSTYLE | NBD_HS_NO_ZEROES),
	};
	uint32_t flags;
	int ret = 0;

	if (!records_send_raw(&c->records, &greeting, sizeof(greeting)) ||
	    !read_full(c, &flags, sizeof(flags)))
		return false;
	while (!ret)
		ret = serve_option(c);
	return ret > 0;
}

/* --- transmission --- */

static void note_update(struct connection *c)
{
	gnutls_datum_t mac, iv, key;
	unsigned char number[8];
	int fd;

	if (gnutls_record_get_state(c->session, 1, &mac, &iv, &key, number) ||
	    key.size > sizeof(c->client_key) || !memcmp(key.data, c->client_key, key.size))
		return;
	memcpy(c->client_key, key.data, key.size);
	fd = open("plans/updates", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || dprintf(fd, "%d\n", getpid()) < 0)
		err(1, "plans/updates");
	close(fd);
}

static bool serve_request(struct connection *c)
{
	static uint8_t answer[sizeof(struct nbd_reply) + REQUEST_MAX + PLAN_TAIL];
	struct nbd_reply *reply = (void *)answer;
	struct nbd_request request;
	uint32_t type, len;
	uint64_t from;

	if (!read_full(c, &request, sizeof(request)))
		return false;
	note_update(c);
	type = be32toh(request.type) & 0xffff;
	len = be32toh(request.len);
	from = be64toh(request.from);
	if (type == NBD_CMD_DISC)
		return false;
	*reply = (struct nbd_reply) { .magic = htobe32(NBD_REPLY_MAGIC) };
	memcpy(&reply->handle, &request.handle, sizeof(reply->handle));
	if (len > REQUEST_MAX || from > image_size || len > image_size - from)
		errx(1, "a request that nobody could have made");
	if (type == NBD_CMD_WRITE && !read_full(c, image + from, len))
		return false;
	if (type != NBD_CMD_READ)
		len = 0;
	memcpy(answer + sizeof(*reply), image + from, len);
	return plan_play(c, "reply", "data", answer, sizeof(*reply) + len);
}

/* The process ends with the connection. */
static void serve(int fd)
{
	struct connection c = { .fd = fd };
	int one = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);	/* a plan may wait for ever */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	records_init(&c.records, fd);
	gnutls_init(&c.session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
	records_watch(&c.records, c.session);
	gnutls_credentials_set(c.session, GNUTLS_CRD_CERTIFICATE, certificates);
	if (gnutls_priority_set_direct(c.session, priority, NULL))
		errx(2, "no priority: %s", priority);
	gnutls_transport_set_int(c.session, fd);
	if (negotiate(&c))
		while (serve_request(&c))
			;
	records_free(&c.records);
	gnutls_deinit(c.session);
	close(fd);
}

static int listen_at(unsigned int port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (void *)&addr, sizeof(addr)) < 0 || listen(fd, 16) < 0)
		err(1, "port %u", port);
	return fd;
}

static void open_image(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		err(1, "%s", path);
	image_size = st.st_size;
	image = mmap(NULL, image_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (image == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
}

int main(int argc, char **argv)
{
	int listener, fd;

	if (argc != 6) {
		fputs("usage: forger PORT IMAGE CERTIFICATE KEY PRIORITY\n", stderr);
		return 2;
	}
	open_image(argv[2]);
	gnutls_certificate_allocate_credentials(&certificates);
	if (gnutls_certificate_set_x509_key_file(certificates, argv[3], argv[4],
						 GNUTLS_X509_FMT_PEM))
		errx(1, "%s, %s: no certificate and key", argv[3], argv[4]);
	priority = argv[5];
	signal(SIGCHLD, SIG_IGN);
	listener = listen_at(strtoul(argv[1], NULL, 10));
	for (;;) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0 && !fork()) {
			close(listener);
			serve(fd);
			return 0;
		}
		close(fd);
	}
}
