// SPDX-License-Identifier: GPL-2.0
/*
 * A message of the driver; the input is what follows the netlink header. The
 * stock driver passes text on that another program gave it.
 */
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "../../client/kernel.h"
#include "fuzz.h"

static void check_status(const struct nbd_status *s)
{
	fuzz_check(s->nlive <= s->nconns);
	fuzz_check_printable(s->cause);
}

int fuzz_one(const unsigned char *data, size_t len)
{
	struct nlmsghdr *hdr = malloc(NLMSG_HDRLEN + len);
	static struct nbd_status status;
	struct nbd_notice notice;

	memset(hdr, 0, NLMSG_HDRLEN);
	memcpy(NLMSG_DATA(hdr), data, len);
	hdr->nlmsg_len = NLMSG_HDRLEN + len;
	hdr->nlmsg_type = 30;
	if (nbd_status_decode(hdr, &status))
		check_status(&status);
	if (nbd_notice_decode(hdr, &notice))
		fuzz_check_printable(notice.cause);
	free(hdr);
	return 0;
}
