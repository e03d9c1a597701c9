// SPDX-License-Identifier: GPL-2.0
/*
 * What our long-lived processes do to live as long as their devices.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "log.h"
#include "process.h"

static char *process_name;

void nbd_process_init(char **argv)
{
	process_name = argv[0];
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

void nbd_process_survive_memory_pressure(void)
{
	be_immune_to_oom();
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		nbd_log(LOG_WARNING, "PR_SET_IO_FLUSHER: %s", strerror(errno));
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		nbd_log(LOG_WARNING, "mlockall: %s", strerror(errno));
}
