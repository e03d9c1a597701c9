// SPDX-License-Identifier: GPL-2.0
/*
 * Links in /dev/disk.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "device.h"
#include "keeper.h"
#include "store.h"
#include "udev.h"

#define RULE "59-nbd.rules"
#define CONTROL "/run/udev/control"
/* How long udev may take, and how often that is looked at. */
#define UDEV_WAIT_MS 5000
#define UDEV_LOOK_MS 10
/* What is longer than that is no name of a link, for -partN follows it. */
#define LINK_NAME_MAX 240

/*
 * Characters that udev replaces in the names of links, and the slash, become \xNN, which
 * it keeps.
 */
static void print_encoded(const char *text, size_t len, FILE *out)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (isalnum((unsigned char)text[i]) ||
		    (text[i] && strchr("#+-.:=@_", text[i])))
			fputc(text[i], out);
		else
			fprintf(out, "\\x%02x", (unsigned char)text[i]);
	}
}

/* The server that was asked for first, and the export. */
static void print_path(const struct nbd_params *p, FILE *out)
{
	const struct nbd_server *server = &p->servers[0];

	fputs("nbd-", out);
	print_encoded(server->host, server->host_len, out);
	if (server->family != NBD_UNIX) {
		fputc(':', out);
		print_encoded(server->port, strlen(server->port), out);
	}
	if (p->export_name && *p->export_name) {
		fputc('-', out);
		print_encoded(p->export_name, strlen(p->export_name), out);
	}
}

/* To be freed; NULL if there is none that can be a link. */
static char *path_text(const struct nbd_params *p)
{
	char *path = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&path, &len);

	if (f) {
		print_path(p, f);
		fclose(f);
	}
	if (len <= LINK_NAME_MAX)
		return path;
	free(path);
	return NULL;
}

static void print_record(s32 index, FILE *out)
{
	struct nbd_record record;
	char *path;

	if (nbd_keeper_find_record(index, &record, NULL))
		return;
	path = path_text(&record.params);
	if (path)
		fprintf(out, "ID_PATH=%s\n", path);
	free(path);
	nbd_record_free(&record);
}

static void print_identifier(s32 index, FILE *out)
{
	char text[NBD_BACKEND_MAX + 2];

	if (!nbd_device_attribute(index, "backend", text, sizeof(text)) || !*text)
		return;
	fputs("NBD_IDENTIFIER=", out);
	print_encoded(text, strlen(text), out);
	fputc('\n', out);
}

void nbd_udev_print(s32 index, FILE *out)
{
	print_identifier(index, out);
	print_record(index, out);
}

void nbd_udev_print_links(const struct nbd_params *p, FILE *out)
{
	char *path = path_text(p);

	if (path)
		fprintf(out, " /dev/disk/by-path/%s", path);
	free(path);
	if (!p->identifier || !*p->identifier)
		return;
	fputs(" /dev/disk/by-id/nbd-", out);
	print_encoded(p->identifier, strlen(p->identifier), out);
}

/* The first that is there counts; one that is a link to /dev/null takes the rule away. */
static bool has_rule(void)
{
	static const char *const folders[] = {
		"/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib",
	};
	char path[64];
	struct stat st;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/udev/rules.d/" RULE, folders[i]);
		if (!stat(path, &st))
			return S_ISREG(st.st_mode) && st.st_size;
	}
	return false;
}

static bool has_line(const char *path, const char *wanted)
{
	FILE *f = fopen(path, "re");
	bool found = false;
	char *line = NULL;
	size_t size = 0;

	while (f && !found && getline(&line, &size, f) >= 0)
		found = !strcmp(line, wanted);
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* Whether udev's database has that line of a device; also if there is no such device. */
static bool udev_knows(const char *sysfs, const char *line)
{
	unsigned int major, minor;
	char path[320];
	bool is_there;
	FILE *f;

	snprintf(path, sizeof(path), "%s/dev", sysfs);
	f = fopen(path, "re");
	if (!f)
		return true;
	is_there = fscanf(f, "%u:%u", &major, &minor) == 2;
	fclose(f);
	if (!is_there)
		return true;
	snprintf(path, sizeof(path), "/run/udev/data/b%u:%u", major, minor);
	return has_line(path, line);
}

typedef bool (*folder_fn)(const char *sysfs, const char *line);

/* Calls @fn with the folders of the disk and of its partitions, as long as it returns true. */
static bool visit_folders(s32 index, folder_fn fn, const char *line)
{
	char path[64 + NAME_MAX], prefix[24];
	struct dirent *e;
	bool good = true;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/block/nbd%d", index);
	snprintf(prefix, sizeof(prefix), "nbd%dp", index);
	if (!fn(path, line))
		return false;
	dir = opendir(path);
	if (!dir)
		return true;
	while (good && (e = readdir(dir))) {
		if (strncmp(e->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(path, sizeof(path), "/sys/block/nbd%d/%s", index, e->d_name);
		good = fn(path, line);
	}
	closedir(dir);
	return good;
}

/* @event: in the form of sysfs, see there "uevent" */
static bool trigger(const char *sysfs, const char *event)
{
	char path[320];
	int fd;

	snprintf(path, sizeof(path), "%s/uevent", sysfs);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	dprintf(fd, "%s", event);
	close(fd);
	return true;
}

/*
 * udev deals with the events of a device one after the other. So whatever it has to do yet,
 * partitions that come and go among that, is done when it has noted the last one's number.
 */
void nbd_udev_refresh(s32 index)
{
	s64 deadline = nbd_now_ms() + UDEV_WAIT_MS;
	char path[NBD_DEVICE_PATH_MAX], event[96], line[48];
	u64 number = nbd_keeper_new();

	if (access(CONTROL, F_OK) || !has_rule())
		return;
	snprintf(event, sizeof(event), "change 00000000-0000-0000-%04llx-%012llx NBDSEEN=%llu",
		 number >> 48, number & (BIT_ULL(48) - 1), number);
	snprintf(line, sizeof(line), "E:NBD_SEEN=%llu\n", number);
	visit_folders(index, trigger, event);
	while (!visit_folders(index, udev_knows, line)) {
		if (!nbd_poll_timeout(deadline)) {
			fprintf(stderr,
				"nbd-client: %s is attached, but udev has not made its links within %d s\n",
				nbd_device_path(index, path), UDEV_WAIT_MS / 1000);
			return;
		}
		poll(NULL, 0, UDEV_LOOK_MS);
	}
}
