// SPDX-License-Identifier: GPL-2.0
/*
 * GnuTLS, opened when somebody asks for TLS.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "gnutls.h"
#include "util.h"

#define LIBRARY "libgnutls.so.30"

struct nbd_gnutls nbd_gnutls;

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
#define NBD_GNUTLS(NAME) { "gnutls_" #NAME, offsetof(struct nbd_gnutls, NAME) },
#include "gnutls.def"
};

/* Whether it has all of them. */
static bool find_functions(struct nbd_gnutls *g, void *library)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		void *function = dlsym(library, functions[i].name);

		if (!function)
			return false;
		memcpy((char *)g + functions[i].offset, &function, sizeof(function));
	}
	return true;
}

int nbd_gnutls_open(struct nbd_err *err)
{
	void *library;

	if (nbd_gnutls.library)
		return 0;
	library = dlopen(LIBRARY, RTLD_NOW);
	if (!library)
		return nbd_fail(err, NBD_EXIT_TLS, ELIBACC,
				"TLS needs the library %s: install it (apt install libgnutls30)",
				LIBRARY);
	if (!find_functions(&nbd_gnutls, library)) {
		dlclose(library);
		return nbd_fail(err, NBD_EXIT_TLS, ELIBBAD,
				"TLS needs a newer library than the %s that is there", LIBRARY);
	}
	nbd_gnutls.library = library;
	return 0;
}
