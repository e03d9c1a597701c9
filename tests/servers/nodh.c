// SPDX-License-Identifier: GPL-2.0
/*
 * For LD_PRELOAD into Debian's nbd-server: it computes Diffie-Hellman parameters for
 * TLS before it serves its first client, whether TLS is configured or not. In an
 * emulated guest that takes up to a minute, at random.
 */
#include <gnutls/gnutls.h>

int gnutls_dh_params_generate2(gnutls_dh_params_t params, unsigned int bits)
{
	(void)params;
	(void)bits;
	return 0;
}
