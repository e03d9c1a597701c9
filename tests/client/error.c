// SPDX-License-Identifier: GPL-2.0
/* Untrusted text and messages. */
#include <errno.h>
#include <stdlib.h>

#include "../../client/error.h"
#include "../../client/util.h"
#include "tap.h"

#define TEXT(s) s, sizeof(s) - 1

static const struct {
	const char *what;
	const char *in;
	size_t len;
	size_t size;
	const char *out;
} sanitized[] = {
	{ "plain text", TEXT("export 1"), 64, "export 1" },
	{ "nothing", TEXT(""), 64, "" },
	{ "an escape sequence", TEXT("a\033[31mb"), 64, "a\\x1b[31mb" },
	{ "a NUL byte", TEXT("a\0b"), 64, "a\\x00b" },
	{ "a line end", TEXT("a\nb\r"), 64, "a\\x0ab\\x0d" },
	{ "UTF-8", TEXT("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xbe"), 64,
	  "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xbe" },
	{ "a lone continuation byte", TEXT("a\x80z"), 64, "a\\x80z" },
	{ "a sequence that is cut off", TEXT("a\xe2\x82"), 64, "a\\xe2\\x82" },
	{ "an overlong sequence", TEXT("\xc0\xaf"), 64, "\\xc0\\xaf" },
	{ "a surrogate", TEXT("\xed\xa0\x80"), 64, "\\xed\\xa0\\x80" },
	{ "a C1 control", TEXT("\xc2\x9b" "31m"), 64, "\\xc2\\x9b31m" },
	{ "a bidirectional override", TEXT("a\xe2\x80\xae" "b"), 64,
	  "a\\xe2\\x80\\xae" "b" },
	{ "a backslash", TEXT("a\\x1b"), 64, "a\\\\x1b" },
	{ "a text that just fits", TEXT("1234567"), 8, "1234567" },
	{ "a text that is too long", TEXT("123456789"), 8, "1234..." },
	{ "an escape at the edge", TEXT("12345\033"), 8, "1234..." },
	{ "a character at the edge", TEXT("1234\xe2\x82\xac" "5"), 8,
	  "1234..." },
	{ "no room at all", TEXT("abc"), 1, "" },
	{ "room for one", TEXT("abc"), 2, "" },
};

void test_error(void)
{
	struct nbd_err err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sanitized); i++) {
		/* exactly as big as said, so that ASan sees an overrun */
		char *out = malloc(sanitized[i].size);

		tap_test("sanitize: %s", sanitized[i].what);
		nbd_sanitize(out, sanitized[i].size, sanitized[i].in,
			     sanitized[i].len);
		expect_text(out, sanitized[i].out);
		free(out);
	}

	tap_test("error: a failure is described");
	expect_number(nbd_fail(&err, NBD_EXIT_BUSY, EBUSY, "no %d", 7), -EBUSY);
	expect_number(err.status, NBD_EXIT_BUSY);
	expect_text(err.text, "no 7");

	tap_test("error: a context is put in front");
	nbd_err_prefix(&err, "device %d", 3);
	expect_text(err.text, "device 3: no 7");

	tap_test("error: nobody wants to know");
	expect_number(nbd_fail(NULL, NBD_EXIT_BUSY, EIO, "x"), -EIO);
	nbd_err_prefix(NULL, "x");

	tap_test("error: a long message stays terminated");
	memset(err.text, 'x', sizeof(err.text) - 1);
	err.text[sizeof(err.text) - 1] = '\0';
	nbd_err_prefix(&err, "%s", "context");
	expect_number(strlen(err.text), sizeof(err.text) - 1);
	expect_words(err.text, "context: xxx");
}
