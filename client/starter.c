// SPDX-License-Identifier: GPL-2.0
/*
 * Starting the monitor.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "monitor.h"
#include "presence.h"
#include "rundir.h"
#include "starter.h"

/* Held by the client that starts the monitor. */
#define START_NAME ".start"
#define START_WAIT_MS 30000
/* How long systemd may take to start the service, and how often that is looked at. */
#define SERVICE_WAIT_MS 5000
#define SERVICE_LOOK_MS 20
/* How long another client may take to start it: both. How often that is looked at. */
#define STARTER_WAIT_MS (START_WAIT_MS + SERVICE_WAIT_MS)
#define STARTER_LOOK_MS 1000

/* Until one that is there is at work. */
static bool gets_to_work(s64 until)
{
	while (!nbd_monitor_is_at_work()) {
		if (!nbd_monitor_runs() || nbd_now_ms() >= until)
			return false;
		poll(NULL, 0, SERVICE_LOOK_MS);
	}
	return true;
}

/*
 * In the child. Nothing of the caller's must be kept open or be waited for, but
 * @ready, which the monitor closes when it is at work.
 */
static void __noreturn exec_monitor(bool systemd_mark, int ready)
{
	char name[] = "nbd-client";
	char *const argv[] = { name, "-monitor", "-background", NULL };
	int exe = open("/proc/self/exe", O_RDONLY);
	int null = open("/dev/null", O_RDWR);

	if (systemd_mark)
		name[0] = '@';
	if (setsid() < 0 || fork() || chdir("/"))
		_exit(0);
	exe = fcntl(exe, F_DUPFD_CLOEXEC, 10);
	dup2(ready, NBD_MONITOR_READY_FD);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	close_range(NBD_MONITOR_READY_FD + 1, exe - 1, 0);
	close_range(exe + 1, ~0U, 0);
	fexecve(exe, argv, environ);
	_exit(1);
}

/*
 * wait_for_monitor - until the one that was started is at work, or ends
 * @ready:	what comes from its NBD_MONITOR_READY_FD
 */
static int wait_for_monitor(int ready, struct nbd_err *err)
{
	struct pollfd pfd = { .fd = ready, .events = POLLIN };
	s64 until = nbd_now_ms() + START_WAIT_MS;
	char why[NBD_ERR_TEXT_MAX];
	ssize_t len = 0;

	if (poll(&pfd, 1, START_WAIT_MS) > 0)
		len = read(ready, why, sizeof(why) - 1);
	else
		len = snprintf(why, sizeof(why), "no sign of it for %d seconds",
			       START_WAIT_MS / 1000);
	if (gets_to_work(until))
		return 0;
	if (len <= 0)
		len = snprintf(why, sizeof(why), "it ended at once");
	why[len] = 0;
	return nbd_fail(err, NBD_EXIT_FAILURE, EIO,
			"the monitor, which would reconnect the device, does not start: %s",
			why);
}

static void __noreturn exec_systemctl(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execlp("systemctl", "systemctl", "--no-block", "start",
	       "nbd-monitor.service", NULL);
	_exit(1);
}

/* Whether @child ends with status 0, and soon. */
static bool succeeds(pid_t child)
{
	struct pollfd pfd = { .events = POLLIN };
	int status = 1;

	pfd.fd = syscall(SYS_pidfd_open, child, 0);
	if (pfd.fd < 0 || poll(&pfd, 1, SERVICE_WAIT_MS) <= 0)
		kill(child, SIGKILL);
	if (pfd.fd >= 0)
		close(pfd.fd);
	waitpid(child, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/*
 * A child of ours would be part of the unit that attached the first device, and be ended
 * with that, whatever others rely on it. So systemd is asked first; it may have no such
 * unit, or be busy starting or stopping the machine.
 */
static bool start_service(void)
{
	s64 until = nbd_now_ms() + SERVICE_WAIT_MS;
	pid_t child;

	if (access("/run/systemd/system", F_OK))
		return false;
	child = fork();
	if (!child)
		exec_systemctl();
	if (child < 0 || !succeeds(child))
		return false;
	while (!nbd_monitor_runs() && nbd_now_ms() < until)
		poll(NULL, 0, SERVICE_LOOK_MS);
	return gets_to_work(until);
}

static int start_monitor(bool systemd_mark, struct nbd_err *err)
{
	int pipes[2], ret;
	pid_t child;

	/* Another client has started it, or a service manager. */
	if (gets_to_work(nbd_now_ms() + START_WAIT_MS))
		return 0;
	/* The mark is for a monitor that outlives systemd's units. */
	if (!systemd_mark && start_service())
		return 0;
	if (pipe2(pipes, O_CLOEXEC))
		return nbd_fail(err, NBD_EXIT_FAILURE, errno,
				"cannot make a pipe: %s", strerror(errno));
	child = fork();
	if (!child)
		exec_monitor(systemd_mark, pipes[1]);
	close(pipes[1]);
	if (child > 0) {
		waitpid(child, NULL, 0);
		ret = wait_for_monitor(pipes[0], err);
	} else {
		ret = nbd_fail(err, NBD_EXIT_FAILURE, errno,
			       "cannot make a process: %s", strerror(errno));
	}
	close(pipes[0]);
	return ret;
}

int nbd_monitor_ensure(bool systemd_mark, struct nbd_err *err)
{
	s64 until = nbd_now_ms() + STARTER_WAIT_MS;
	int lock, ret;

	do {
		if (nbd_monitor_is_at_work())
			return 0;
		lock = nbd_rundir_lock(START_NAME, LOCK_EX, STARTER_LOOK_MS, err);
	} while (lock == -ETIMEDOUT && nbd_now_ms() < until);
	if (lock < 0)
		return lock;
	ret = start_monitor(systemd_mark, err);
	close(lock);
	return ret;
}
