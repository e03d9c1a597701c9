// SPDX-License-Identifier: GPL-2.0
/*
 * What the monitor knows of an attachment that it cannot reconnect.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "folders.h"
#include "outage.h"
#include "rundir.h"

static char *outage_path(s32 index, const char *end, char *buf, size_t size)
{
	snprintf(buf, size, "%s/.outage.nbd%d%s", NBD_RUN_DIR, index, end);
	return buf;
}

void nbd_outage_print(const struct nbd_outage *o, FILE *file)
{
	unsigned int i;

	fprintf(file, "monitor %d\n", o->monitor);
	fprintf(file, "session %llu\n", o->session_id);
	fprintf(file, "pid %u\n", o->pid);
	fprintf(file, "attempts %u\n", o->attempts);
	fprintf(file, "since %lld\n", o->since);
	fprintf(file, "next %lld\n", o->next_try);
	fprintf(file, "given-up %d\n", o->given_up);
	fprintf(file, "why %s\n", o->why);
	for (i = 0; i < NBD_SERVERS_MAX; i++)
		if (o->server[i][0])
			fprintf(file, "server%u %s\n", i, o->server[i]);
	fputs("end\n", file);
}

/* What others will print: nobody but root can have written it, but that may be old. */
static void take_text(char *text, const char *value)
{
	size_t len = strlen(value), i;

	if (len >= NBD_OUTAGE_TEXT_MAX)
		len = NBD_OUTAGE_TEXT_MAX - 1;
	for (i = 0; i < len; i++)
		text[i] = (unsigned char)value[i] < ' ' || value[i] == 0x7f ?
			  '?' : value[i];
	text[len] = '\0';
}

static bool take_line(struct nbd_outage *o, const char *key, const char *value)
{
	unsigned int server;

	if (!strcmp(key, "monitor"))
		o->monitor = strtol(value, NULL, 10);
	else if (!strcmp(key, "session"))
		o->session_id = strtoull(value, NULL, 10);
	else if (!strcmp(key, "pid"))
		o->pid = strtoul(value, NULL, 10);
	else if (!strcmp(key, "attempts"))
		o->attempts = strtoul(value, NULL, 10);
	else if (!strcmp(key, "since"))
		o->since = strtoll(value, NULL, 10);
	else if (!strcmp(key, "next"))
		o->next_try = strtoll(value, NULL, 10);
	else if (!strcmp(key, "given-up"))
		o->given_up = *value == '1';
	else if (!strcmp(key, "why"))
		take_text(o->why, value);
	else if (sscanf(key, "server%u", &server) == 1 && server < NBD_SERVERS_MAX)
		take_text(o->server[server], value);
	return !strcmp(key, "end");
}

int nbd_outage_parse(struct nbd_outage *o, FILE *file)
{
	char line[NBD_OUTAGE_TEXT_MAX + 32], *value;
	bool complete = false;

	memset(o, 0, sizeof(*o));
	while (!complete && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		value = line + strcspn(line, " ");
		if (*value)
			*value++ = '\0';
		complete = take_line(o, line, value);
	}
	return complete ? 0 : -EINVAL;
}

/* Whoever may ask for the status may read it, whatever the umask is. */
static int write_file(const char *path, const struct nbd_outage *o)
{
	int fd = nbd_folder_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
				 0644);
	int ret = 0;
	FILE *file;

	if (fd < 0)
		return -errno;
	file = fchmod(fd, 0644) ? NULL : fdopen(fd, "w");
	if (!file) {
		ret = -errno;
		close(fd);
		return ret;
	}
	nbd_outage_print(o, file);
	if (ferror(file))
		ret = -EIO;
	if (fclose(file) && !ret)
		ret = -errno;
	return ret;
}

int nbd_outage_publish(s32 index, const struct nbd_outage *o)
{
	char path[64], draft[64];
	const char *from = outage_path(index, ".new", draft, sizeof(draft));
	const char *to = outage_path(index, "", path, sizeof(path));
	int ret = write_file(draft, o);
	int from_folder, to_folder;

	from_folder = nbd_folder_of(&from);
	to_folder = nbd_folder_of(&to);
	if (!ret && renameat(from_folder, from, to_folder, to))
		ret = -errno;
	if (ret)
		unlinkat(from_folder, from, 0);
	return ret;
}

void nbd_outage_withdraw(s32 index)
{
	char buf[64];
	const char *path = outage_path(index, "", buf, sizeof(buf));
	int folder = nbd_folder_of(&path);

	unlinkat(folder, path, 0);
}

static bool is_roots(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && !st.st_uid &&
	       !(st.st_mode & 0022);
}

int nbd_outage_read(s32 index, struct nbd_outage *o)
{
	char path[64];
	int fd = nbd_folder_open(outage_path(index, "", path, sizeof(path)),
				 O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	FILE *file;
	int ret;

	if (fd < 0)
		return -errno;
	file = is_roots(fd) ? fdopen(fd, "r") : NULL;
	if (!file) {
		close(fd);
		return -EPERM;
	}
	ret = nbd_outage_parse(o, file);
	fclose(file);
	return ret;
}
