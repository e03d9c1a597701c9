// SPDX-License-Identifier: GPL-2.0
/*
 * Loads modules through libkmod. The library is opened when a module has to be loaded and
 * not before: with what it needs itself it is several times as large as this program, and
 * the monitor, which never loads one, locks all that it has into memory.
 */
#include <dlfcn.h>
#include <errno.h>
#include <libkmod.h>
#include <stdbool.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

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

/* What is used of the library. */
struct kmod {
	void *library;
	bool incomplete;	/* a function is not there */
	typeof(kmod_new) *new;
	typeof(kmod_unref) *unref;
	typeof(kmod_module_new_from_lookup) *lookup;
	typeof(kmod_list_next) *list_next;
	typeof(kmod_module_unref_list) *unref_list;
	typeof(kmod_module_get_module) *get_module;
	typeof(kmod_module_probe_insert_module) *insert;
	typeof(kmod_module_unref) *unref_module;
};

static void *kmod_function(struct kmod *kmod, const char *name)
{
	void *function = dlsym(kmod->library, name);

	if (!function)
		kmod->incomplete = true;
	return function;
}

static int kmod_open(struct kmod *kmod)
{
	kmod->incomplete = false;
	kmod->library = dlopen("libkmod.so.2", RTLD_NOW);
	if (!kmod->library)
		return -ELIBACC;
	kmod->new = kmod_function(kmod, "kmod_new");
	kmod->unref = kmod_function(kmod, "kmod_unref");
	kmod->lookup = kmod_function(kmod, "kmod_module_new_from_lookup");
	kmod->list_next = kmod_function(kmod, "kmod_list_next");
	kmod->unref_list = kmod_function(kmod, "kmod_module_unref_list");
	kmod->get_module = kmod_function(kmod, "kmod_module_get_module");
	kmod->insert = kmod_function(kmod, "kmod_module_probe_insert_module");
	kmod->unref_module = kmod_function(kmod, "kmod_module_unref");
	if (!kmod->incomplete)
		return 0;
	dlclose(kmod->library);
	return -ELIBBAD;
}

static int probe(const struct kmod *kmod, struct kmod_ctx *ctx, const char *module)
{
	struct kmod_list *list = NULL, *entry;
	int ret;

	ret = kmod->lookup(ctx, module, &list);
	if (ret < 0)
		return ret;
	ret = list ? 0 : -ENOENT;
	for (entry = list; entry && !ret; entry = kmod->list_next(list, entry)) {
		struct kmod_module *mod = kmod->get_module(entry);

		ret = kmod->insert(mod, 0, NULL, NULL, NULL, NULL);
		kmod->unref_module(mod);
	}
	kmod->unref_list(list);
	return ret;
}

int nbd_module_load(struct nbd_err *err)
{
	struct kmod_ctx *ctx;
	struct kmod kmod;
	int ret = kmod_open(&kmod);

	if (ret)
		return nbd_fail(err, NBD_EXIT_NO_DRIVER, -ret,
				"the nbd driver is not loaded, and the library libkmod.so.2, which would load it, cannot be used: load it yourself (modprobe nbd)");
	ctx = kmod.new(NULL, NULL);
	if (ctx) {
		ret = probe(&kmod, ctx, "nbd");
		kmod.unref(ctx);
		if (ret)
			ret = load_failed(ret < 0 ? -ret : EINVAL, err);
	} else {
		ret = nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	}
	dlclose(kmod.library);
	return ret;
}

/* Where it is not loaded, and there is one: the CPU's own AES is several times as fast. */
void nbd_module_load_ciphers(void)
{
	static const char module[] = "aesni_intel";
	struct kmod_ctx *ctx;
	struct kmod kmod;

	if (!access("/sys/module/aesni_intel", F_OK) || kmod_open(&kmod))
		return;
	ctx = kmod.new(NULL, NULL);
	if (ctx) {
		probe(&kmod, ctx, module);
		kmod.unref(ctx);
	}
	dlclose(kmod.library);
}
