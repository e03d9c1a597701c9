// SPDX-License-Identifier: GPL-2.0
/* What a JSON parser gets out of the text of names. */
#include <stdlib.h>
#include <string.h>

#include "../../client/json.h"
#include "../../client/util.h"
#include "tap.h"

#define TEXT(literal) literal, sizeof(literal) - 1

static const struct {
	const char *what;
	const char *bytes;
	size_t len;
	const char *json;
} cases[] = {
	{ "nothing", TEXT(""), "\"\"" },
	{ "plain", TEXT("a name"), "\"a name\"" },
	{ "quotes and backslashes", TEXT("a\"b\\c"), "\"a\\\"b\\\\c\"" },
	{ "control characters", TEXT("a\tb\nc\x01\x7f"), "\"a\\u0009b\\u000ac\\u0001\\u007f\"" },
	{ "a NUL", TEXT("\0name"), "\"\\u0000name\"" },
	{ "UTF-8", TEXT("ü漢\xf0\x9f\x91\xa8"), "\"ü漢\xf0\x9f\x91\xa8\"" },
	{ "a joiner", TEXT("\xe2\x80\x8d"), "\"\\u200d\"" },
	{ "an override", TEXT("\xe2\x80\xae"), "\"\\u202e\"" },
	{ "bytes that are no UTF-8", TEXT("\xff\xfe" "a"), "\"\\udcff\\udcfea\"" },
	{ "a sequence that is cut off", TEXT("a\xe2\x80"), "\"a\\udce2\\udc80\"" },
	{ "an overlong slash", TEXT("\xc0\xaf"), "\"\\udcc0\\udcaf\"" },
	{ "a surrogate in UTF-8", TEXT("\xed\xb3\xbf"), "\"\\udced\\udcb3\\udcbf\"" },
};

/* Deeper than any document is, and longer than the buffer. */
static void test_depth(void)
{
	static const char begin[] = "[\n  [\n    [\n      [\n", end[] = "\n    ]\n  ]\n]\n";
	struct nbd_json j = { 0 };
	unsigned int i, lines = 0;
	size_t size, widest = 0;
	char *text, *line;

	tap_test("json: the depth of what is open");
	j.out = open_memstream(&text, &size);
	for (i = 0; i < 1000; i++)
		nbd_json_open(&j, NULL, '[');
	for (i = 0; i < 1000; i++)
		nbd_json_close(&j, ']');
	fclose(j.out);
	expect(!strncmp(text, begin, strlen(begin)));
	expect(size > strlen(end) && !strcmp(text + size - strlen(end), end));
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (strspn(line, " ") > widest)
			widest = strspn(line, " ");
		lines++;
	}
	expect_number(lines, 1999);
	expect_number(widest, 16);
	free(text);
}

void test_json(void)
{
	size_t i, size;
	char *text;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nbd_json j = { 0 };

		tap_test("json: %s", cases[i].what);
		j.out = open_memstream(&text, &size);
		nbd_json_bytes(&j, NULL, cases[i].bytes, cases[i].len);
		fclose(j.out);
		expect_text(text, cases[i].json);
		free(text);
	}
	test_depth();
}
