// SPDX-License-Identifier: GPL-2.0
/*
 * Control calls against each other: several tasks, each a process that repeats one
 * thing with random pauses, for some seconds. What each call returns does not
 * matter while it races; that everything ends, that nothing is left and that the
 * device works afterwards does. The kernel log is the caller's to look at.
 *
 *	races --list
 *	races [--seconds N] [--seed N] [SCENARIO...]
 *
 * Prints "SCENARIO: N calls, ok" or what was wrong. With the same seed the tasks do
 * the same things, though not at the same moments.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>

#include "../library/library.h"

#define TASKS_MAX	16
#define DEVICE		5		/* what they fight for */
#define SIZE		(64ULL << 20)
#define MULTI		(NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_CAN_MULTI_CONN)

/**
 * struct task - one task of a scenario
 * @run:	does the thing once
 * @times:	how many processes do it
 */
struct task {
	void (*run)(void);
	unsigned int times;
};

/**
 * struct scenario - tasks that race
 * @name:	to choose it
 * @tasks:	ended by one without function
 * @before:	called once before they start; may be NULL
 * @after:	called once when they have ended and everything is detached; false if
 *		something is wrong
 */
struct scenario {
	const char *name;
	struct task tasks[TASKS_MAX];
	void (*before)(void);
	bool (*after)(void);
};

/* Shared with the tasks. */
static struct shared {
	unsigned long calls;
	unsigned long node_errors;	/* opens of a device that was there, refused */
	unsigned long publication;	/* odd while the device is or becomes there */
	unsigned long unloads;		/* that did not fail */
	bool must_unload;		/* one at least, or nothing was raced against */
	unsigned int highest;		/* index that CONNECT chose */
} *shared;

/* Seconds beyond the deadline until what must happen has. */
#define PATIENCE	30

static double deadline;
static unsigned int seconds = 6, seed = 1;

static unsigned int chance(unsigned int n)
{
	return (unsigned int)random() % n;
}

/* Mostly nothing, sometimes up to 2 ms. */
static void pause_a_little(void)
{
	if (!chance(4))
		usleep(chance(2000));
}

/* --- tasks --- */

static struct peer *peers[4];
static unsigned int n_peers;

static void drop_peers(void)
{
	while (n_peers)
		peer_free(peers[--n_peers]);
}

/* CONNECT with one to four sockets of new peers, which live until the next call. */
static int connect_some(int index, uint64_t client_flags, uint64_t dead_timeout)
{
	unsigned int n = 1 + chance(4), i;
	struct answer *answer;
	struct msg *msg;
	int fds[4];

	drop_peers();
	for (i = 0; i < n; i++) {
		peers[i] = peer_new(chance(2) ? PEER_TCP : PEER_UNIX);
		fds[i] = peer_fd(peers[i]);
	}
	n_peers = n;
	msg = connect_msg(index, fds, n, SIZE);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	msg_u64(msg, NBD_ATTR_CLIENT_FLAGS, client_flags);
	if (dead_timeout)
		msg_u64(msg, NBD_ATTR_DEAD_CONN_TIMEOUT, dead_timeout);
	answer = nl_call(msg);
	return answer->error ? answer->error : (int)attr_u32(answer, NBD_ATTR_INDEX, 0);
}

static void task_connect(void)
{
	connect_some(DEVICE, chance(4), chance(3));
	pause_a_little();
}

static void task_connect_plain(void)
{
	connect_some(DEVICE, 0, 2);
	pause_a_little();
}

static void task_connect_destroy(void)
{
	connect_some(DEVICE, NBD_CFLAG_DESTROY_ON_DISCONNECT, 0);
	pause_a_little();
}

/* Servers that are gone before the device is there. */
static void task_connect_fin(void)
{
	unsigned int i;

	connect_some(DEVICE, 0, chance(2));
	for (i = 0; i < n_peers; i++)
		peer_hang_up(peers[i]);
}

static void task_connect_any(void)
{
	int index = connect_some(-1, 0, 0);

	if (index < 0)
		return;
	if ((unsigned int)index > shared->highest)
		shared->highest = index;
	pause_a_little();
	nl_disconnect(index);
}

static void task_disconnect(void)
{
	pause_a_little();
	nl_disconnect(DEVICE);
}

/* Fresh sockets, flags, sizes, timeouts. */
static void task_reconfigure(void)
{
	struct msg *msg = index_msg(NBD_CMD_RECONFIGURE, DEVICE);
	unsigned int n = chance(4), i;
	int fds[4];

	drop_peers();
	for (i = 0; i < n; i++) {
		peers[i] = peer_new(chance(2) ? PEER_TCP : PEER_UNIX);
		fds[i] = peer_fd(peers[i]);
	}
	n_peers = n;
	if (n)
		msg_sockets(msg, fds, n);
	if (chance(2))
		msg_u64(msg, NBD_ATTR_CLIENT_FLAGS, chance(4));
	if (chance(2))
		msg_u64(msg, NBD_ATTR_SIZE_BYTES, SIZE - chance(2) * (SIZE / 2));
	if (chance(2))
		msg_u64(msg, NBD_ATTR_TIMEOUT, chance(3));
	nl_call(msg);
}

static void task_status(void)
{
	nl_connected(chance(2) ? DEVICE : (int)chance(40));
	nl_call(msg_new(NBD_CMD_STATUS));
}

static void task_open(void)
{
	int fd = open_device(DEVICE, chance(2) ? O_RDONLY : O_RDWR);

	pause_a_little();
	if (fd >= 0)
		close(fd);
}

static void task_read(void)
{
	char buffer[512] __attribute__((aligned(512)));
	int fd = open_device(DEVICE, O_RDONLY | O_DIRECT), i;

	for (i = 0; fd >= 0 && i < 20; i++)
		if (pread(fd, buffer, sizeof(buffer), 512 * chance(SIZE / 512)) < 0)
			break;
	if (fd >= 0)
		close(fd);
}

static void task_write(void)
{
	static char buffer[65536] __attribute__((aligned(4096)));
	int fd = open_device(DEVICE, O_WRONLY | O_DIRECT), i;

	for (i = 0; fd >= 0 && i < 10; i++)
		if (pwrite(fd, buffer, sizeof(buffer), 65536 * chance(SIZE / 65536)) < 0)
			break;
	if (fd >= 0)
		close(fd);
}

static void task_partitions(void)
{
	int fd = open_device(DEVICE, O_RDONLY);

	if (fd < 0)
		return;
	ioctl(fd, BLKRRPART, 0);
	close(fd);
}

static void task_clear(void)
{
	int fd = open_device(DEVICE, O_RDONLY);

	if (fd < 0)
		return;
	nbd_ioctl(fd, chance(3) ? NBD_CLEAR_SOCK : NBD_DISCONNECT, 0);
	close(fd);
	pause_a_little();
}

/* Any ioctl on any state. */
static void task_ioctls(void)
{
	static const unsigned int cmds[] = {
		NBD_SET_BLKSIZE, NBD_SET_SIZE, NBD_CLEAR_SOCK, NBD_CLEAR_QUE, NBD_PRINT_DEBUG,
		NBD_SET_SIZE_BLOCKS, NBD_DISCONNECT, NBD_SET_TIMEOUT, NBD_SET_FLAGS,
	};
	int fd = open_device(DEVICE, O_RDWR), i;

	for (i = 0; fd >= 0 && i < 10; i++)
		nbd_ioctl(fd, cmds[chance(ARRAY_SIZE(cmds))], chance(2) ? 0 : 1024);
	if (fd >= 0)
		close(fd);
}

/* The classic client: SET_SOCK many times, DO_IT, and somebody ends it. */
static void task_doit(void)
{
	int fd = open_device(DEVICE, O_RDWR);
	unsigned int i, n = 1 + chance(4);
	struct doit doit;

	if (fd < 0)
		return;
	drop_peers();
	for (i = 0; i < n; i++) {
		peers[i] = peer_new(chance(2) ? PEER_TCP : PEER_UNIX);
		nbd_ioctl(fd, NBD_SET_SOCK, peer_fd(peers[i]));
	}
	n_peers = n;
	nbd_ioctl(fd, NBD_SET_SIZE, SIZE);
	nbd_ioctl(fd, NBD_SET_FLAGS, MULTI);
	doit_start(&doit, fd);
	usleep(chance(3000));
	switch (chance(4)) {
	case 0:
		doit_signal(&doit, false);
		break;
	case 1:
		nbd_ioctl(fd, NBD_DISCONNECT, 0);
		break;
	case 2:
		for (i = 0; i < n; i++)
			peer_hang_up(peers[i]);
		break;
	default:
		nbd_ioctl(fd, NBD_CLEAR_SOCK, 0);
	}
	/* the signal may have come before DO_IT slept */
	while (!strcmp(doit_outcome(&doit, 1), "still running"))
		nbd_ioctl(fd, NBD_CLEAR_SOCK, 0);
	nbd_ioctl(fd, NBD_CLEAR_SOCK, 0);
	close(fd);
}

/* SET_SOCK by somebody else, whatever state the device is in. */
static void task_set_sock(void)
{
	int fd = open_device(DEVICE, O_RDWR);
	unsigned int i;

	if (fd < 0)
		return;
	for (i = 0; i < 16; i++) {
		struct peer *peer = peer_new(PEER_UNIX);

		nbd_ioctl(fd, NBD_SET_SOCK, peer_fd(peer));
		peer_free(peer);
	}
	close(fd);
}

/* A process in DO_IT that is killed. */
static void task_doit_killed(void)
{
	int fd = open_device(DEVICE, O_RDWR);
	struct peer *peer = peer_new(PEER_UNIX);
	pid_t pid;

	if (fd >= 0) {
		nbd_ioctl(fd, NBD_SET_SIZE, SIZE);
		pid = fork();
		if (!pid) {
			nbd_ioctl(fd, NBD_SET_SOCK, peer_fd(peer));
			nbd_ioctl(fd, NBD_DO_IT, 0);
			_exit(0);
		}
		usleep(chance(3000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(fd);
	}
	peer_free(peer);
}

/* Makes the device and removes it, and says when. */
static void task_publish(void)
{
	__atomic_fetch_add(&shared->publication, 1, __ATOMIC_SEQ_CST);
	connect_some(DEVICE, NBD_CFLAG_DESTROY_ON_DISCONNECT, 0);
	usleep(chance(3000));
	__atomic_fetch_add(&shared->publication, 1, __ATOMIC_SEQ_CST);
	nl_disconnect(DEVICE);
	while (node_exists(DEVICE))
		usleep(500);
}

/* The moment the node appears it can be opened: L5. */
static void task_open_new_node(void)
{
	unsigned long before = __atomic_load_n(&shared->publication, __ATOMIC_SEQ_CST);
	int fd = open_device(DEVICE, O_RDONLY);

	if (fd >= 0) {
		close(fd);
		return;
	}
	/* a node of devtmpfs that belongs to no device yet, or no more, gives ENOENT */
	if (fd == -ENXIO && before % 2 &&
	    before == __atomic_load_n(&shared->publication, __ATOMIC_SEQ_CST))
		__atomic_fetch_add(&shared->node_errors, 1, __ATOMIC_RELAXED);
}

static void task_mount(void)
{
	static const char *const dir = "/tmp/races-mount";
	char path[32], file[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/nbd%d", DEVICE);
	if (mount(path, dir, "ext4", 0, "errors=continue"))
		return;
	snprintf(file, sizeof(file), "%s/file%u", dir, chance(20));
	fd = open(file, O_CREAT | O_WRONLY, 0600);
	if (fd >= 0) {
		if (write(fd, file, sizeof(file)) > 0)
			fsync(fd);
		close(fd);
	}
	pause_a_little();
	while (umount2(dir, chance(2) ? MNT_DETACH : 0) && errno == EBUSY)
		usleep(1000);
}

/* Where modprobe would find the module. */
static const char *module_path(void)
{
	static char path[512];
	FILE *in;

	if (*path)
		return path;
	in = popen("modinfo -n nbd", "r");
	if (!in || !fgets(path, sizeof(path), in))
		errx(1, "no module nbd");
	pclose(in);
	path[strcspn(path, "\n")] = 0;
	return path;
}

/* As modprobe, without a process; the kernel unpacks what is packed. */
static long load_module(const char *parameters)
{
	const char *path = module_path();
	size_t len = strlen(path);
	bool packed = len > 3 && strcmp(path + len - 3, ".ko");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long ret = syscall(SYS_finit_module, fd, parameters, packed ? 4 : 0);

	close(fd);
	return ret;
}

static void task_load(void)
{
	load_module(chance(2) ? "nbds_max=8" : "nbds_max=8 max_part=0");
	usleep(chance(20000));
}

static void unload_module(void)
{
	/* fails while somebody uses it */
	if (!syscall(SYS_delete_module, "nbd", O_NONBLOCK))
		__atomic_fetch_add(&shared->unloads, 1, __ATOMIC_RELAXED);
}

static void task_unload(void)
{
	unload_module();
	usleep(chance(5000));
}

/* Each process of the unload scenario resolves the family anew. */
static void task_after_reload(void)
{
	static void (*const tasks[])(void) = {
		task_connect, task_disconnect, task_status, task_open, task_ioctls,
		task_reconfigure,
	};

	if (nl_open())
		tasks[chance(ARRAY_SIZE(tasks))]();
	else
		usleep(1000);
}

/* All connections die at once, and the module goes at once: U2. */
static void task_dead_links(void)
{
	struct peer *many[16];
	int fds[16];
	struct msg *msg;
	unsigned int i;

	if (!nl_open())
		return;
	for (i = 0; i < 16; i++) {
		many[i] = peer_new(PEER_UNIX);
		fds[i] = peer_fd(many[i]);
	}
	msg = connect_msg(DEVICE, fds, 16, SIZE);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	nl_call(msg);
	for (i = 0; i < 16; i++)
		peer_hang_up(many[i]);
	nl_disconnect(DEVICE);
	unload_module();
	for (i = 0; i < 16; i++)
		peer_free(many[i]);
}

/* --- before and after --- */

/* An ext4 file system in the image that all peers share. */
static void make_file_system(void)
{
	uint8_t *image = peer_share_image();
	int fd;

	mkdir("/tmp/races-mount", 0700);
	if (system("truncate -s 64M /tmp/races.img && mkfs.ext4 -q -F /tmp/races.img"))
		errx(1, "mkfs.ext4");
	fd = open("/tmp/races.img", O_RDONLY);
	if (read(fd, image, SIZE) != (ssize_t)SIZE)
		err(1, "/tmp/races.img");
	close(fd);
	unlink("/tmp/races.img");
}

static bool unmount_all(void)
{
	while (!umount2("/tmp/races-mount", MNT_DETACH))
		;
	rmdir("/tmp/races-mount");
	return true;
}

static bool no_refused_opens(void)
{
	if (!shared->node_errors)
		return true;
	printf("%lu opens of a device that was there got ENXIO\n", shared->node_errors);
	return false;
}

/* Automatic indices are used again; four tasks and a prober need no more than these. */
static bool few_devices(void)
{
	if (shared->highest < 16)
		return true;
	printf("the index rose to %u\n", shared->highest);
	return false;
}

/* The command that the kernel loads modules with. */
static void set_modprobe(const char *path)
{
	int fd = open("/proc/sys/kernel/modprobe", O_WRONLY | O_TRUNC);

	if (fd < 0 || write(fd, path, strlen(path)) < 0)
		err(1, "/proc/sys/kernel/modprobe");
	close(fd);
}

/* Else each look at the absent family would start a process to load the module. */
static void load_by_hand(void)
{
	shared->must_unload = true;
	set_modprobe("\n");
}

static bool load_again(void)
{
	set_modprobe("/sbin/modprobe\n");
	if (!shared->unloads) {
		printf("the module was never unloaded\n");
		return false;
	}
	/* the family has another number every time */
	return !system("modprobe -r nbd; modprobe nbd") && nl_open();
}

static const struct scenario scenarios[] = {
	{ "connect-disconnect", {
		{ task_connect, 2 }, { task_disconnect, 1 }, { task_reconfigure, 1 },
		{ task_open, 4 }, { task_status, 1 }, { task_partitions, 1 },
	}, NULL, NULL },
	{ "reconnect-disconnect", {
		{ task_connect_plain, 1 }, { task_disconnect, 1 }, { task_reconfigure, 3 },
		{ task_open, 2 }, { task_read, 2 },
	}, NULL, NULL },
	{ "reconnect-clear", {
		{ task_connect_plain, 1 }, { task_clear, 1 }, { task_reconfigure, 3 },
		{ task_open, 2 }, { task_read, 2 },
	}, NULL, NULL },
	{ "destroy-recreate", {
		{ task_connect_destroy, 1 }, { task_connect_plain, 1 }, { task_disconnect, 2 },
		{ task_reconfigure, 1 }, { task_open, 4 }, { task_status, 1 },
	}, NULL, NULL },
	{ "destroy-publish", {
		{ task_publish, 1 }, { task_open_new_node, 4 },
	}, NULL, no_refused_opens },
	{ "fin-at-once", {
		{ task_connect_fin, 2 }, { task_disconnect, 1 }, { task_reconfigure, 1 },
		{ task_clear, 1 }, { task_open, 2 }, { task_read, 1 },
	}, NULL, NULL },
	{ "teardown-io", {
		{ task_connect_plain, 1 }, { task_disconnect, 1 }, { task_read, 6 },
		{ task_write, 3 },
	}, NULL, NULL },
	{ "doit", {
		{ task_doit, 2 }, { task_set_sock, 2 }, { task_ioctls, 1 }, { task_read, 2 },
		{ task_open, 2 },
	}, NULL, NULL },
	{ "doit-killed", {
		{ task_doit_killed, 2 }, { task_open, 2 }, { task_read, 2 }, { task_clear, 1 },
	}, NULL, NULL },
	{ "mixed", {
		{ task_doit, 1 }, { task_connect, 1 }, { task_disconnect, 1 }, { task_clear, 1 },
		{ task_ioctls, 1 }, { task_reconfigure, 1 }, { task_read, 2 }, { task_write, 1 },
		{ task_partitions, 1 }, { task_status, 1 },
	}, NULL, NULL },
	{ "any-index", {
		{ task_connect_any, 4 }, { task_open, 2 }, { task_status, 1 },
	}, NULL, few_devices },
	{ "mount", {
		{ task_connect_plain, 1 }, { task_disconnect, 1 }, { task_clear, 1 },
		{ task_mount, 1 }, { task_partitions, 1 },
	}, make_file_system, unmount_all },
	{ "unload", {
		{ task_load, 1 }, { task_unload, 1 }, { task_after_reload, 8 },
	}, load_by_hand, load_again },
	{ "unload-dead-links", {
		{ task_load, 1 }, { task_dead_links, 1 }, { task_read, 1 },
	}, load_by_hand, load_again },
};

/* --- running --- */

/* A busy machine may need longer for what has to happen. */
static bool go_on(void)
{
	if (shared->must_unload && !shared->unloads)
		return now() < deadline + PATIENCE;
	return now() < deadline;
}

static void run_task(void (*run)(void), unsigned int number)
{
	srandom(seed * 1000 + number);
	if (!nl_open() && run != task_load && run != task_after_reload)
		_exit(1);
	while (go_on()) {
		run();
		__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
	}
	_exit(0);
}

/* Starts the tasks; sets pids, returns their number. */
static unsigned int start_tasks(const struct scenario *s, pid_t *pids)
{
	const struct task *task;
	unsigned int n = 0, i;

	deadline = now() + seconds;
	for (task = s->tasks; task->run; task++)
		for (i = 0; i < task->times; i++) {
			pids[n] = fork();
			if (pids[n] < 0)
				err(1, "fork");
			if (!pids[n])
				run_task(task->run, n);
			n++;
		}
	return n;
}

static void show_file(const char *path)
{
	char text[2048];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));

	if (n > 0)
		printf("%s:\n%.*s", path, (int)n, text);
	if (fd >= 0)
		close(fd);
}

/* Where the threads of a task are that does not end. */
static void show_stacks(pid_t pid)
{
	char path[300];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stack", pid, entry->d_name);
		show_file(path);
		snprintf(path, sizeof(path), "/proc/%d/task/%s/syscall", pid, entry->d_name);
		show_file(path);
	}
	if (dir)
		closedir(dir);
}

/* Waits for all of them. False if one does not end, or ended badly. */
static bool end_tasks(pid_t *pids, unsigned int n)
{
	double limit = deadline + PATIENCE + 30;
	bool good = true;
	unsigned int i;
	int status = 0;

	for (i = 0; i < n; i++) {
		while (waitpid(pids[i], &status, WNOHANG) == 0) {
			if (now() > limit) {
				printf("task %u does not end\n", i);
				show_stacks(pids[i]);
				kill(pids[i], SIGKILL);
				good = false;
				break;
			}
			usleep(10000);
		}
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			printf("task %u ended with status 0x%x\n", i, status);
			good = false;
		}
		status = 0;
	}
	return good;
}

static bool everything_is_free(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 64; i++)
		if (!is_free(i))
			return false;
	return true;
}

static bool free_everything(void)
{
	int i;

	/* a module that is not loaded holds nothing */
	for (i = 0; i < 64 && nl_open(); i++)
		if (!is_free(i))
			nl_disconnect(i);
	if (until(everything_is_free, NULL, 10))
		return true;
	printf("a device cannot be freed\n");
	return false;
}

/* The same index with a healthy server: what is written can be read. */
static bool still_works(void)
{
	struct peer *peer = peer_new(PEER_TCP);
	bool good;
	int ret = nl_connect(DEVICE, peer_fd(peer));

	/* 1 MiB */
	good = !ret && !write_block(DEVICE, 65536, 65536) && !read_block(DEVICE, 65536, 65536);
	if (!good)
		printf("the device does not work any more: connect %s\n",
		       ret ? errno_name(-ret) : "ok");
	nl_disconnect(DEVICE);
	peer_free(peer);
	return good;
}

static bool run_scenario(const struct scenario *s)
{
	pid_t pids[64];
	unsigned int n;
	bool good;

	memset(shared, 0, sizeof(*shared));
	printf("%s: ", s->name);
	fflush(stdout);
	if (s->before)
		s->before();
	n = start_tasks(s, pids);
	good = end_tasks(pids, n) && shared->calls >= n;
	good = free_everything() && good;
	if (s->after && !s->after())
		good = false;
	good = good && still_works();
	printf("seed %u, %s\ntally: %lu racing calls\n", seed, good ? "ok" : "FAILED",
	       shared->calls);
	return good;
}

static bool chosen(const char *scenario, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, scenario))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	bool good = true;
	size_t i;

	for (argv++; *argv && !strncmp(*argv, "--", 2); argv++) {
		if (!strcmp(*argv, "--list")) {
			for (i = 0; i < ARRAY_SIZE(scenarios); i++)
				puts(scenarios[i].name);
			return 0;
		}
		if (!argv[1])
			errx(2, "%s needs a value", *argv);
		if (!strcmp(*argv, "--seconds"))
			seconds = strtoul(*++argv, NULL, 0);
		else if (!strcmp(*argv, "--seed"))
			seed = strtoul(*++argv, NULL, 0);
		else
			errx(2, "unknown option %s", *argv);
	}
	(void)argc;
	signal(SIGPIPE, SIG_IGN);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		if (chosen(scenarios[i].name, argv))
			good = run_scenario(&scenarios[i]) && good;
	return !good;
}
