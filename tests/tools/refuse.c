// SPDX-License-Identifier: GPL-2.0
/* For LD_PRELOAD into nbd-client: the driver refuses NBD_DO_IT. */
#include <errno.h>
#include <linux/nbd.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list ap;

	if (request == (unsigned long)NBD_DO_IT) {
		errno = EPERM;
		return -1;
	}
	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	return syscall(SYS_ioctl, fd, request, arg);
}
