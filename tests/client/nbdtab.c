// SPDX-License-Identifier: GPL-2.0
/* nbdtab(5). */
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd-netlink.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../client/options.h"
#include "../../client/settings.h"
#include "tap.h"

static const char file[] =
	"# a comment\n"
	"\n"
	"nbd0 server.example.com swapexport swap,persist\n"
	"  nbd1\tserver.example.com \t data   # no options\n"
	"nbd2 /run/nbd.sock exp unix,bs=4096,conns=3,timeout=7,_netdev,no_optgo\n"
	"nbd3 host exp port=99,readonly\n"
	"nbd4 nbd://host:99/disk - identifier=vm\n"
	"nbd5 host exp server=other:1,dead_timeout=forever\n"
	"nbd10 host ten\n"
	"nbd6 host\n"
	"nbd7 host exp a b c\n"
	"nbd8 host exp bs=1000\n"
	"nbd9 host exp bs\n"
	"nbd12 host disk#1 timeout=7 #bs=512\n"
	"nbd13 /run/with\\040blank my\\040disk\\134x\\9\\000 unix,identifier=a\\054b\\011c\n"
	"/dev/nbd11 host -";	/* no line end */

static int read_tab(struct nbd_command *cmd, const char *device,
		    struct nbd_err *err)
{
	FILE *f = fmemopen((void *)file, sizeof(file) - 1, "r");
	int ret;

	memset(cmd, 0, sizeof(*cmd));
	nbd_params_init(&cmd->params);
	cmd->tab = device;
	ret = nbd_options_apply_tab(cmd, f, "tab", err);
	fclose(f);
	return ret;
}

static void refuse(const char *device, int error, const char *words)
{
	struct nbd_command cmd;
	struct nbd_err err;

	tap_test("nbdtab: refused: %s", device);
	expect_number(read_tab(&cmd, device, &err), error);
	expect_words(err.text, words);
	nbd_command_free(&cmd);
}

/*
 * What an option of nbdtab says, and what the command line says to the contrary, where that
 * is not just another value.
 */
static const struct {
	const char *tab;
	const char *option;
	const char *value;
} contrary[] = {
	{ "timeout=1", "-timeout", "0" },
	{ "peer_timeout=1", "-peer-timeout", "15" },
	{ "dead_timeout=1", "-dead-timeout", "forever" },
	{ "persist", "-no-persist", NULL },
	{ "no_persist", "-persist", NULL },
	{ "write_policy=strict", "-write-policy", "back" },
	{ "identifier=a", "-identifier", "" },
};

/* All settings in words. */
static void describe(const struct nbd_params *p, FILE *out)
{
	const struct nbd_setting *s;

	fprintf(out, "%llx", p->given);
	nbd_for_each_setting(s) {
		if (s->kind != NBD_KIND_TEXT)
			fprintf(out, " %s=%llu", s->name, nbd_setting_number(s, p));
		else if (nbd_setting_text(s, p))
			fprintf(out, " %s=%s", s->name, nbd_setting_text(s, p));
	}
}

/* What "nbd-client -nbdtab @line @option @value nbd0" asks for, to be freed. */
static char *meaning(const char *line, const char *option, const char *value)
{
	char path[] = "/tmp/test-nbdtab.XXXXXX", program[] = "nbd-client";
	char *argv[7] = { program, "-nbdtab", path, "nbd0", (char *)option, (char *)value };
	struct nbd_command cmd;
	struct nbd_err err;
	char *text = NULL;
	size_t size;
	FILE *out;
	int fd = mkstemp(path);

	if (fd >= 0)
		dprintf(fd, "%s\n", line);
	close(fd);
	if (nbd_options_parse(&cmd, option ? value ? 6 : 5 : 4, argv, &err))
		tap_failure(__FILE__, __LINE__, "%s", err.text);
	unlink(path);
	out = open_memstream(&text, &size);
	describe(&cmd.params, out);
	fclose(out);
	nbd_command_free(&cmd);
	return text;
}

static void test_contrary(const char *with, const char *without, const char *option,
			  const char *value)
{
	char *got, *wanted;

	tap_test("nbdtab: %s: %s %s is stronger", with, option, value ?: "");
	got = meaning(with, option, value);
	wanted = meaning(without, option, value);
	expect_text(got, wanted);
	free(got);
	free(wanted);
}

/* Two values of an option: @second tells which. */
static void sample(const struct nbd_setting *s, bool second, char *buf, size_t size)
{
	u64 number = s->kind == NBD_KIND_POWER ? s->min << second : s->min + second;

	if (s->kind == NBD_KIND_TEXT)
		snprintf(buf, size, "%s", second ? "b" : "a");
	else if (s->kind == NBD_KIND_CHOICE)
		snprintf(buf, size, "%s", s->choices[second]);
	else
		snprintf(buf, size, "%llu", number);
}

static void test_other_values(void)
{
	char line[128], option[64], in_tab[64], given[64];
	const struct nbd_setting *s;

	nbd_for_each_setting(s) {
		if (!s->tab || !s->arg)
			continue;
		sample(s, false, in_tab, sizeof(in_tab));
		sample(s, true, given, sizeof(given));
		snprintf(line, sizeof(line), "nbd0 host exp %s=%s", s->tab, in_tab);
		snprintf(option, sizeof(option), "-%s", s->name);
		test_contrary(line, "nbd0 host exp", option, given);
		test_contrary("nbd0 host exp", line, option, in_tab);
	}
}

static void test_precedence(void)
{
	char line[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(contrary); i++) {
		snprintf(line, sizeof(line), "nbd0 host exp %s", contrary[i].tab);
		test_contrary(line, "nbd0 host exp", contrary[i].option,
			      contrary[i].value);
	}
	test_contrary("nbd0 host exp", "nbd0 host -", "-name", "other");
	test_contrary("nbd0 host exp", "nbd0 host -", "-name", "");
	test_contrary("nbd0 nbd://host/exp -", "nbd0 host -", "-name", "other");
	test_other_values();
}

/* Each once, in order, whatever else is in the line. */
static void test_names(void)
{
	static const char text[] = "# no\n/dev/nbd1 host a\n\nnbd0 host\nnbd1 host b\n nbd11 #\n";
	FILE *f = fmemopen((void *)text, sizeof(text) - 1, "r");
	struct nbd_tab_list names = { 0 };
	struct nbd_err err;

	tap_test("nbdtab: the devices");
	expect_number(nbd_tab_names_read(&names, f, &err), 0);
	fclose(f);
	expect_number(names.n, 3);
	if (names.n == 3) {
		expect_text(names.text[0], "nbd1");
		expect_text(names.text[1], "nbd0");
		expect_text(names.text[2], "nbd11");
	}
	nbd_tab_list_free(&names);
}

static void make_file(const char *folder, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void expect_files(const char *folder, const char *file, const char *const *names)
{
	struct nbd_tab_list files;
	struct nbd_err err;
	unsigned int n = 0;
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	expect_number(nbd_tab_files_find(&files, path, folder, &err), 0);
	for (; names[n] && n < files.n; n++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[n]);
		expect_text(files.text[n], path);
	}
	expect(!names[n]);
	expect_number(files.n, n);
	nbd_tab_list_free(&files);
}

/* The file, then those of the folder in the order of their names; nothing else in it. */
static void test_files(void)
{
	static const char *const all[] = { "nbdtab", "10-a.conf", "20-b.conf", NULL };
	static const char *const others[] = { "10-a.conf", "20-b.conf", NULL };
	static const char *const none[] = { "missing", NULL };
	static const char *const made[] = {
		"nbdtab", "20-b.conf", "10-a.conf", ".hidden.conf", "c.conf.dpkg-new", "README",
	};
	char folder[] = "/tmp/test-nbdtab.XXXXXX", path[128];
	size_t i;

	tap_test("nbdtab: the files");
	expect(mkdtemp(folder));
	expect_files(folder, "missing", none);
	for (i = 0; i < ARRAY_SIZE(made); i++)
		make_file(folder, made[i]);
	expect_files(folder, "nbdtab", all);
	expect_files(folder, "missing", others);
	for (i = 0; i < ARRAY_SIZE(made); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, made[i]);
		unlink(path);
	}
	rmdir(folder);
}

static struct nbd_command *parse_of_tab(struct nbd_command *cmd, const char *device,
					const char *line, struct nbd_err *err)
{
	char path[] = "/tmp/test-nbdtab.XXXXXX", program[] = "nbd-client";
	char *argv[7] = { program, "-a", "-nbdtab", path, "-timeout", "9", NULL };
	int fd = mkstemp(path), ret;

	dprintf(fd, "%s\n", line);
	close(fd);
	ret = nbd_options_parse_tab(cmd, device, 6, argv, err);
	unlink(path);
	return ret ? NULL : cmd;
}

/* For each device of "-a" it is as if that had been given alone. */
static void test_one_of_all(void)
{
	struct nbd_command cmd;
	struct nbd_err err;

	tap_test("nbdtab: one of several devices");
	expect(parse_of_tab(&cmd, "nbd4", "nbd4 host exp timeout=5,bs=4096", &err));
	expect_number(cmd.params.index, 4);
	expect_text(cmd.params.servers[0].host, "host");
	expect_text(cmd.params.export_name, "exp");
	expect_number(cmd.params.block_size, 4096);
	expect_number(cmd.params.timeout, 9);
	nbd_command_free(&cmd);
	expect(!parse_of_tab(&cmd, "nbd4", "nbd4 host exp bs=1", &err));
	expect_words(err.text, "line 1: -block-size");
	nbd_command_free(&cmd);
	expect(!parse_of_tab(&cmd, "disk", "nbd0 host\ndisk host exp", &err));
	expect_words(err.text, "line 2: ");
	expect_words(err.text, "disk");
	nbd_command_free(&cmd);
}

void test_nbdtab(void)
{
	struct nbd_command cmd;
	struct nbd_params *p = &cmd.params;
	struct nbd_err err;

	tap_test("nbdtab: options");
	expect_number(read_tab(&cmd, "nbd0", &err), 0);
	expect_text(p->servers[0].host, "server.example.com");
	expect_text(p->servers[0].port, "10809");
	expect_text(p->export_name, "swapexport");
	expect(p->swap && p->given & NBD_GIVEN_RECONNECT);
	nbd_command_free(&cmd);

	tap_test("nbdtab: tabs, blanks and a comment behind");
	expect_number(read_tab(&cmd, "/dev/nbd1", &err), 0);
	expect_text(p->export_name, "data");
	nbd_command_free(&cmd);

	tap_test("nbdtab: # within a field is no comment");
	expect_number(read_tab(&cmd, "nbd12", &err), 0);
	expect_text(p->export_name, "disk#1");
	expect_number(p->timeout, 7);
	expect_number(p->block_size, 0);
	nbd_command_free(&cmd);

	tap_test("nbdtab: a Unix socket and values");
	expect_number(read_tab(&cmd, "nbd2", &err), 0);
	expect_number(p->servers[0].family, NBD_UNIX);
	expect_text(p->servers[0].host, "/run/nbd.sock");
	expect_number(p->block_size, 4096);
	expect_number(p->connections, 3);
	expect_number(p->timeout, 7);
	expect(p->no_optgo);
	nbd_command_free(&cmd);

	tap_test("nbdtab: a port");
	expect_number(read_tab(&cmd, "nbd3", &err), 0);
	expect_text(p->servers[0].port, "99");
	expect(p->readonly);
	nbd_command_free(&cmd);

	tap_test("nbdtab: a URI");
	expect_number(read_tab(&cmd, "nbd4", &err), 0);
	expect_text(p->servers[0].port, "99");
	expect_text(p->export_name, "disk");
	expect_text(p->identifier, "vm");
	nbd_command_free(&cmd);

	tap_test("nbdtab: a second server comes second");
	expect_number(read_tab(&cmd, "nbd5", &err), 0);
	expect_number(p->nservers, 2);
	expect_text(p->servers[0].host, "host");
	expect_text(p->servers[1].host, "other");
	expect(p->dead_timeout == NBD_DEAD_CONN_FOREVER);
	nbd_command_free(&cmd);

	tap_test("nbdtab: nbd1 is not nbd10, and /dev/ is optional");
	expect_number(read_tab(&cmd, "nbd10", &err), 0);
	expect_text(p->export_name, "ten");
	nbd_command_free(&cmd);
	expect_number(read_tab(&cmd, "nbd11", &err), 0);
	expect(!p->export_name);
	nbd_command_free(&cmd);

	tap_test("nbdtab: characters that a field cannot have");
	expect_number(read_tab(&cmd, "nbd13", &err), 0);
	expect_text(p->servers[0].host, "/run/with blank");
	expect_text(p->export_name, "my disk\\x\\9\\000");
	expect_text(p->identifier, "a,b\tc");
	nbd_command_free(&cmd);

	refuse("nbd6", -EINVAL, "tab, line 10: a definition has three or four");
	refuse("nbd7", -EINVAL, "tab, line 11: a definition has three or four");
	refuse("nbd8", -EINVAL, "tab, line 12: -block-size: \"1000\"");
	refuse("nbd9", -EINVAL, "tab, line 13: option \"bs\" needs a value");
	refuse("nbd99", -ENOENT, "no definition of nbd99");
	test_names();
	test_files();
	test_one_of_all();
	test_precedence();
}
