// SPDX-License-Identifier: GPL-2.0
/*
 * What our long-lived processes do to live as long as their devices.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "process.h"

static char *process_name;

/*
 * A device or a socket that took the place of a closed one would get what we print. What
 * takes it instead lets nothing be written, so that this is noticed.
 */
static void occupy_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDONLY);
	} while (fd >= STDIN_FILENO && fd < STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

void nbd_process_init(char **argv)
{
	process_name = argv[0];
	occupy_standard_descriptors();
}

/* All numbers of users mean themselves: what is not so is another user namespace. */
static bool in_initial_userns(void)
{
	FILE *file = fopen("/proc/self/uid_map", "re");
	unsigned int inside, outside, count;
	bool initial = true;

	if (!file)
		return true;
	if (fscanf(file, "%u %u %u", &inside, &outside, &count) == 3)
		initial = !inside && !outside && count == UINT32_MAX;
	fclose(file);
	return initial;
}

bool nbd_process_is_privileged(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data))
		return true;	/* the driver will tell */
	return data[0].effective & 1U << CAP_SYS_ADMIN && in_initial_userns();
}

void nbd_process_mark_for_systemd(void)
{
	if (process_name && *process_name)
		*process_name = '@';
}

static void be_immune_to_oom(void)
{
	static const char path[] = "/proc/self/oom_score_adj";
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		nbd_log(LOG_WARNING, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * Memory that the kernel keeps back from other tasks is given to real-time ones. When
 * all others wait for pages to be written to a device that has lost its connection,
 * nothing but this lets the packets of a new one be allocated.
 */
static void draw_on_reserves(void)
{
	struct sched_param param = { .sched_priority = sched_get_priority_min(SCHED_RR) };

	if (sched_setscheduler(0, SCHED_RR, &param))
		nbd_log(LOG_WARNING, "SCHED_RR: %s", strerror(errno));
}

void nbd_process_survive_memory_pressure(void)
{
	be_immune_to_oom();
	draw_on_reserves();
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		nbd_log(LOG_WARNING, "PR_SET_IO_FLUSHER: %s", strerror(errno));
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		nbd_log(LOG_WARNING, "mlockall: %s", strerror(errno));
}

void nbd_process_allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		nbd_log(LOG_WARNING, "RLIMIT_NOFILE: %s", strerror(errno));
}

void nbd_process_uninterruptible(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, old);
}

void nbd_process_interruptible(const sigset_t *old)
{
	sigprocmask(SIG_SETMASK, old, NULL);
}
