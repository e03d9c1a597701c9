// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kfuzz.h"

/* Seconds after which a call must be waiting for a server, and for ever. */
#define RESCUE_AFTER	0.5
#define STUCK_AFTER	60.0
#define NOBODY		65534

enum role {
	ROLE_ROOT,
	ROLE_NOBODY,
	ROLES,
};

bool privileged;
struct peer *peers[PEERS];

static struct fuzz_totals *totals, *mine;
static uint64_t seed, state;

/* --- random numbers: splitmix64 --- */

uint64_t random_u64(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

unsigned int random_below(unsigned int n)
{
	return n ? random_u64() % n : 0;
}

bool one_in(unsigned int n)
{
	return !random_below(n);
}

uint64_t random_value(void)
{
	static const uint64_t edges[] = {
		0, 1, 2, 3, 511, 512, 1024, 4096, 8192, 65535, 65536, 1 << 20,
		0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
		0x8000000000000000, 0xffffffffffffffff,
	};

	switch (random_below(4)) {
	case 0:
		return random_u64() >> random_below(64);
	case 1:
		return edges[random_below(ARRAY_SIZE(edges))] + random_below(3) - 1;
	default:
		return edges[random_below(ARRAY_SIZE(edges))];
	}
}

int random_index(void)
{
	if (one_in(16))
		return NO_INDEX | random_u64();
	return FIRST_INDEX + random_below(INDICES);
}

int random_fd(void)
{
	static const int others[] = { -1, 0, 1, 999, 0x7fffffff };

	if (one_in(10))
		return others[random_below(ARRAY_SIZE(others))];
	return peer_fd(peers[random_below(PEERS)]);
}

void broken(const char *fmt, ...)
{
	va_list ap;

	printf("kfuzz: seed %llu, call %lu%s: ", (unsigned long long)seed,
	       mine ? mine->calls : 0, privileged ? "" : " as nobody");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	exit(1);
}

void note_outcome(long outcome)
{
	if (outcome)
		mine->refused++;
	else
		mine->accepted++;
}

/* --- the calls --- */

static void new_peer(unsigned int i)
{
	if (peers[i])
		peer_free(peers[i]);
	peers[i] = peer_new(one_in(2) ? PEER_UNIX : PEER_TCP);
}

/* What servers do between the calls. */
static void stir(void)
{
	unsigned int i = random_below(PEERS);

	if (one_in(4))
		new_peer(i);
	else if (one_in(8))
		peer_hang_up(peers[i]);
}

static void drop_privileges(void)
{
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		err(1, "becoming nobody");
}

static void run(enum role role, unsigned long calls)
{
	unsigned int i;

	privileged = role == ROLE_ROOT;
	mine = &totals[role];
	state = seed + role;
	for (i = 0; i < PEERS; i++)
		new_peer(i);
	if (!privileged)
		drop_privileges();
	if (!nl_open())
		broken("the family cannot be found");
	while (mine->calls < calls) {
		stir();
		mine->call_began = now();
		if (one_in(3))
			fuzz_ioctl();
		else
			fuzz_message();
		mine->call_began = 0;
		mine->calls++;
	}
}

static pid_t start(enum role role, unsigned long calls)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		run(role, calls);
		fflush(stdout);
		_exit(0);
	}
	return pid;
}

/* --- the watchdog --- */

/* Detach whatever is attached but nbd0. */
static unsigned int detach_all(void)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	unsigned int n = 0;
	int index;

	while (dir && (entry = readdir(dir)))
		if (sscanf(entry->d_name, "nbd%d", &index) == 1 && index && !is_free(index)) {
			nl_disconnect(index);
			n++;
		}
	closedir(dir);
	return n;
}

/* True if a call waits, for a server presumably. */
static bool waits(const struct fuzz_totals *t)
{
	double began = t->call_began;

	if (began && now() - began > STUCK_AFTER)
		broken("stuck, after %lu calls", t->calls);
	return began && now() - began > RESCUE_AFTER;
}

/* Until all children ended; how often a call had to be helped. */
static unsigned int watch(unsigned int children)
{
	unsigned int rescues = 0;
	int status;

	while (children) {
		while (children && waitpid(-1, &status, WNOHANG) > 0) {
			children--;
			if (status)
				broken("a process ended with status %#x", status);
		}
		usleep(20000);
		if (waits(&totals[ROLE_ROOT]) || waits(&totals[ROLE_NOBODY])) {
			detach_all();
			rescues++;
		}
	}
	return rescues;
}

static void tell(enum role role, const char *who)
{
	const struct fuzz_totals *t = &totals[role];

	printf("kfuzz: as %s %lu accepted, %lu refused\ntally: %lu fuzzed calls\n", who,
	       t->accepted, t->refused, t->calls);
	if (role == ROLE_ROOT && (t->accepted < t->calls / 50 || t->refused < t->calls / 50))
		broken("hardly anything was accepted, or refused");
}

int main(int argc, char **argv)
{
	unsigned long calls = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	unsigned int rescues;

	if (!calls || argc > 3) {
		fprintf(stderr, "usage: kfuzz CALLS [SEED]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) << 20 | getpid();
	printf("kfuzz: seed %llu\n", (unsigned long long)seed);
	totals = mmap(NULL, ROLES * sizeof(*totals), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (totals == MAP_FAILED || !nl_open())
		err(1, "start");
	ioctls_prepare();
	start(ROLE_ROOT, calls - calls / 5);
	start(ROLE_NOBODY, calls / 5);
	rescues = watch(2);
	detach_all();
	if (detach_all())
		broken("a device cannot be detached");
	tell(ROLE_ROOT, "root");
	tell(ROLE_NOBODY, "nobody");
	printf("kfuzz: %u times a call waited for a server and was helped\n", rescues);
	return 0;
}
