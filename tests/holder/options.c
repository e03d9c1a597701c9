// SPDX-License-Identifier: GPL-2.0
/* Socket options, and what is put on top of a socket. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "../library/library.h"
#include "holder.h"

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif

long set_int(int fd, int level, int option, int value)
{
	return result(setsockopt(fd, level, option, &value, sizeof(value)));
}

/* All values of interest for all options of a level; what is refused is no matter. */
static long sweep(int fd, int level, int options)
{
	static const int values[] = { 1, 0, -1, 65536, 0x7fffffff, 4096, 0 };
	unsigned int i;
	int option;

	for (i = 0; i < ARRAY_SIZE(values); i++)
		for (option = 0; option < options; option++)
			set_int(fd, level, option, values[i]);
	return 0;
}

static long sweep_get(int fd)
{
	static const int levels[] = { SOL_SOCKET, IPPROTO_TCP, IPPROTO_IP, SOL_TLS };
	unsigned char buf[512];
	unsigned int i;
	int option;

	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		for (option = 0; option < 100; option++) {
			socklen_t len = sizeof(buf);

			getsockopt(fd, levels[i], option, buf, &len);
		}
	}
	return 0;
}

static long sweep_socket(int fd)
{
	return sweep(fd, SOL_SOCKET, 90);
}

static long sweep_tcp(int fd)
{
	return sweep(fd, IPPROTO_TCP, 50);
}

static long sweep_ip(int fd)
{
	return sweep(fd, IPPROTO_IP, 60);
}

static long ulp(int fd, const char *name)
{
	return result(setsockopt(fd, IPPROTO_TCP, TCP_ULP, name, strlen(name)));
}

static long ulp_tls(int fd)
{
	struct tls12_crypto_info_aes_gcm_128 keys = {
		.info = { TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128 },
	};
	long ret = ulp(fd, "tls");

	setsockopt(fd, SOL_TLS, TLS_TX, &keys, sizeof(keys));
	setsockopt(fd, SOL_TLS, TLS_RX, &keys, sizeof(keys));
	return ret;
}

static long ulp_bare(int fd)
{
	return ulp(fd, "tls");
}

static long ulp_smc(int fd)
{
	return ulp(fd, "smc");
}

static long ulp_of_the_driver(int fd)
{
	return ulp(fd, "nbd");
}

/* SMC takes the file away from a socket that is not connected. */
static long disconnect_smc(int fd)
{
	struct sockaddr addr = { .sa_family = AF_UNSPEC };

	connect(fd, &addr, sizeof(addr));
	return ulp(fd, "smc");
}

/* In a sockmap it has callbacks and calls of BPF's. */
static long sockmap(int fd)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_SOCKMAP,
		.key_size = 4,
		.value_size = 4,
		.max_entries = 1,
	};
	int map = syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)), key = 0;
	long ret;

	if (map < 0)
		return -errno;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&fd;
	ret = result(syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)));
	usleep(50000);
	close(map);
	return ret;
}

static long repair(int fd)
{
	return set_int(fd, IPPROTO_TCP, TCP_REPAIR, 1);
}

/* What is sent goes to the receive queue then. */
static long repair_recv_queue(int fd)
{
	long ret = repair(fd);

	set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, 1);
	return ret;
}

static long repair_send_queue(int fd)
{
	long ret = repair(fd);

	set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, 2);
	send(fd, "garbage", 7, MSG_NOSIGNAL | MSG_DONTWAIT);
	set_int(fd, IPPROTO_TCP, TCP_REPAIR, 0);
	return ret;
}

static long md5(int fd)
{
	struct tcp_md5sig sig = { .tcpm_keylen = 4, .tcpm_key = "key" };
	socklen_t len = sizeof(sig.tcpm_addr);

	if (getpeername(fd, (void *)&sig.tcpm_addr, &len) < 0)
		return -errno;
	return result(setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &sig, sizeof(sig)));
}

static long congestion(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
	return result(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
}

static long cork(int fd)
{
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 0);
	return set_int(fd, IPPROTO_TCP, TCP_CORK, 1);
}

static long rcvlowat(int fd)
{
	return set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 1 << 20);
}

static long buffers(int fd)
{
	set_int(fd, SOL_SOCKET, SO_SNDBUF, 0);
	return set_int(fd, SOL_SOCKET, SO_RCVBUF, 0);
}

static long window(int fd)
{
	return set_int(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 1);
}

static long linger(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	return result(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
}

static long peek_off(int fd)
{
	return set_int(fd, SOL_SOCKET, SO_PEEK_OFF, 3);
}

static long busy_poll(int fd)
{
	set_int(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, 1);
	return set_int(fd, SOL_SOCKET, SO_BUSY_POLL, 100);
}

static long zerocopy(int fd)
{
	static char page[65536];

	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	return result(send(fd, page, sizeof(page), MSG_ZEROCOPY | MSG_DONTWAIT | MSG_NOSIGNAL));
}

static long timeouts(int fd)
{
	struct timeval soon = { .tv_usec = 1 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
	return result(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)));
}

static long user_timeout(int fd)
{
	return set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1);
}

static long pacing(int fd)
{
	return set_int(fd, SOL_SOCKET, SO_MAX_PACING_RATE, 100);
}

/* A classic filter that returns @keep: so many bytes of each segment are left. */
static long filter(int fd, unsigned int keep)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, keep) };
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	return result(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)));
}

static long filter_all(int fd)
{
	return filter(fd, 0);
}

static long filter_tails(int fd)
{
	return filter(fd, 100);
}

static long filter_for_a_while(int fd)
{
	long ret = filter(fd, 0);

	usleep(100000);
	set_int(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	return ret;
}

const struct abuse option_abuses[] = {
	{ "ulp_tls", ON_TCP, ulp_tls, ON_TCP },
	{ "ulp_bare", ON_TCP, ulp_bare, ON_TCP },
	{ "ulp_smc", ON_TCP, ulp_smc, ON_TCP },
	{ "ulp_of_the_driver", ON_TCP, ulp_of_the_driver, ON_TCP },
	{ "disconnect_smc", ON_TCP, disconnect_smc, ON_TCP },
	{ "sockmap", ON_BOTH, sockmap, ON_BOTH },
	{ "repair", ON_TCP, repair, 0 },
	{ "repair_recv_queue", ON_TCP, repair_recv_queue, 0 },
	{ "repair_send_queue", ON_TCP, repair_send_queue, 0 },
	{ "md5", ON_TCP, md5, 0 },
	{ "congestion", ON_TCP, congestion, 0 },
	{ "cork", ON_TCP, cork, 0 },
	{ "rcvlowat", ON_BOTH, rcvlowat, 0 },
	{ "buffers", ON_BOTH, buffers, 0 },
	{ "window", ON_TCP, window, 0 },
	{ "linger", ON_BOTH, linger, 0 },
	{ "peek_off", ON_BOTH, peek_off, 0 },
	{ "busy_poll", ON_BOTH, busy_poll, 0 },
	{ "zerocopy", ON_BOTH, zerocopy, 0 },
	{ "timeouts", ON_BOTH, timeouts, 0 },
	{ "user_timeout", ON_TCP, user_timeout, 0 },
	{ "pacing", ON_TCP, pacing, 0 },
	{ "filter_all", ON_BOTH, filter_all, 0 },
	{ "filter_tails", ON_BOTH, filter_tails, 0 },
	{ "filter_for_a_while", ON_BOTH, filter_for_a_while, 0 },
	{ "sweep_socket", ON_BOTH, sweep_socket, 0 },
	{ "sweep_tcp", ON_TCP, sweep_tcp, 0 },
	{ "sweep_ip", ON_TCP, sweep_ip, 0 },
	{ "sweep_get", ON_BOTH, sweep_get, 0 },
	{ }
};
