// SPDX-License-Identifier: GPL-2.0
/*
 * Loads nbd.ko through libkmod.
 */
#include <errno.h>
#include <libkmod.h>
#include <string.h>
#include <sys/utsname.h>

#include "module.h"

static int load_failed(int error, struct nbd_err *err)
{
	struct utsname uts;

	uname(&uts);
	if (error == ENOENT)
		return nbd_fail(err, NBD_EXIT_NO_DRIVER, ENOENT,
				"the kernel has no nbd driver, and there is no module \"nbd\" in /lib/modules/%s: install it (make install, make dkms-install, or the kernel's package of modules)",
				uts.release);
	if (error == EPERM)
		return nbd_fail(err, NBD_EXIT_PERM, EPERM,
				"the nbd driver is not loaded, and loading the module \"nbd\" is not permitted: run as root, or load it before (modprobe nbd)");
	return nbd_fail(err, NBD_EXIT_NO_DRIVER, error,
			"the nbd driver is not loaded, and loading the module \"nbd\" failed: %s (the kernel log may say more)",
			strerror(error));
}

static int probe(struct kmod_ctx *ctx)
{
	struct kmod_list *list = NULL, *entry;
	int ret;

	ret = kmod_module_new_from_lookup(ctx, "nbd", &list);
	if (ret < 0)
		return ret;
	ret = list ? 0 : -ENOENT;
	kmod_list_foreach(entry, list) {
		struct kmod_module *mod = kmod_module_get_module(entry);

		ret = kmod_module_probe_insert_module(mod, 0, NULL, NULL, NULL,
						      NULL);
		kmod_module_unref(mod);
		if (ret)
			break;
	}
	kmod_module_unref_list(list);
	return ret;
}

int nbd_module_load(struct nbd_err *err)
{
	struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	int ret;

	if (!ctx)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	ret = probe(ctx);
	kmod_unref(ctx);
	return ret ? load_failed(ret < 0 ? -ret : EINVAL, err) : 0;
}
