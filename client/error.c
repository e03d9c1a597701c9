// SPDX-License-Identifier: GPL-2.0
/*
 * Failures, and how they reach the user.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

int nbd_fail(struct nbd_err *err, enum nbd_exit status, int error,
	     const char *fmt, ...)
{
	va_list ap;

	if (err) {
		err->status = status;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return -error;
}

void nbd_err_prefix(struct nbd_err *err, const char *fmt, ...)
{
	char text[NBD_ERR_TEXT_MAX];
	va_list ap;
	size_t len;
	int used;

	if (!err)
		return;
	va_start(ap, fmt);
	used = vsnprintf(text, sizeof(text) - 2, fmt, ap);
	va_end(ap);
	if (used < 0 || used >= (int)sizeof(text) - 3)
		return;
	memcpy(text + used, ": ", 2);
	used += 2;
	len = strnlen(err->text, sizeof(text) - used - 1);
	memcpy(text + used, err->text, len);
	text[used + len] = '\0';
	memcpy(err->text, text, sizeof(err->text));
}

enum nbd_exit nbd_exit_of_errno(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return NBD_EXIT_PERM;
	case EBUSY:
		return NBD_EXIT_BUSY;
	case ETIMEDOUT:
		return NBD_EXIT_TIMEOUT;
	case EOPNOTSUPP:
		return NBD_EXIT_UNSUPPORTED;
	default:
		return NBD_EXIT_FAILURE;
	}
}

bool nbd_err_may_pass(const struct nbd_err *err)
{
	return err->status == NBD_EXIT_CONNECT || err->status == NBD_EXIT_EXPORT ||
	       err->status == NBD_EXIT_TIMEOUT;
}

size_t nbd_utf8_sequence(const unsigned char *s, size_t len, u32 *code)
{
	static const u32 smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n, i;

	if (s[0] < 0x80)
		n = 1;
	else if ((s[0] & 0xe0) == 0xc0)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if ((s[0] & 0xf8) == 0xf0)
		n = 4;
	else
		return 0;
	if (n > len)
		return 0;
	*code = n == 1 ? s[0] : s[0] & (0x7f >> n);
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (s[i] & 0x3f);
	}
	if (*code < smallest[n] || *code > 0x10ffff ||
	    (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return n;
}

bool nbd_is_harmful(u32 code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == '\\' ||
	       (code >= 0x200b && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

/* Writes one character's printable form; returns its length, at most 16. */
static size_t printable(char *out, const unsigned char *s, size_t len,
			size_t *consumed)
{
	u32 code = 0;
	size_t n = nbd_utf8_sequence(s, len, &code);
	size_t used = 0, i;

	*consumed = n ? n : 1;
	if (n && !nbd_is_harmful(code)) {
		memcpy(out, s, n);
		return n;
	}
	if (n && code == '\\') {
		memcpy(out, "\\\\", 2);
		return 2;
	}
	for (i = 0; i < *consumed; i++)
		used += snprintf(out + used, 17 - used, "\\x%02x", s[i]);
	return used;
}

/* Nearly all text is ASCII that means itself: copied as far as that goes and fits. */
static size_t copy_plain(char *dst, size_t size, const unsigned char *s, size_t len)
{
	size_t n = 0;

	while (n < len && n + 1 < size && s[n] >= ' ' && s[n] < 0x7f && s[n] != '\\') {
		dst[n] = s[n];
		n++;
	}
	return n;
}

char *nbd_sanitize(char *dst, size_t size, const char *src, size_t len)
{
	static const char dots[] = "...";
	const unsigned char *s = (const unsigned char *)src;
	size_t used = 0, room = 0, consumed, n;
	char piece[17];

	n = copy_plain(dst, size, s, len);
	if (n == len) {
		dst[n] = '\0';
		return dst;
	}
	while (len) {
		n = printable(piece, s, len, &consumed);
		if (used + n + 1 > size) {
			used = room;
			if (used + sizeof(dots) <= size) {
				memcpy(dst + used, dots, sizeof(dots) - 1);
				used += sizeof(dots) - 1;
			}
			break;
		}
		memcpy(dst + used, piece, n);
		used += n;
		if (used + sizeof(dots) <= size)
			room = used;
		s += consumed;
		len -= consumed;
	}
	dst[used] = '\0';
	return dst;
}
