// SPDX-License-Identifier: GPL-2.0
/*
 * Who uses a device.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "device.h"
#include "error.h"
#include "holders.h"

/* More device numbers (partitions) than a disk can have minors for here. */
#define NUMBERS_MAX 260
/* Mount namespaces that are looked at. */
#define NAMESPACES_MAX 256

/**
 * struct search - what to look for and what was found
 * @index:	the device
 * @n:		device numbers of the disk and its partitions
 * @number:	them
 * @seen:	mount namespaces whose mounts were looked at
 * @nseen:	how many
 * @mounted:	a mount of our own namespace was found
 * @holders:	the result
 */
struct search {
	s32 index;
	unsigned int n;
	dev_t number[NUMBERS_MAX];
	ino_t seen[NAMESPACES_MAX];
	unsigned int nseen;
	bool mounted;
	struct nbd_holders *holders;
};

static void add_holder(struct search *s, bool lasting, const char *kind,
		       const char *name)
{
	struct nbd_holders *h = s->holders;
	size_t used = strlen(h->text);
	char clean[160], entry[320];

	nbd_sanitize(clean, sizeof(clean), name, strlen(name));
	snprintf(entry, sizeof(entry), "%s%s", kind, clean);
	h->lasting |= lasting;
	if (strstr(h->text, entry))
		return;
	h->n++;
	snprintf(h->text + used, sizeof(h->text) - used, "%s%s",
		 used ? "; " : "", entry);
}

static void add_number(struct search *s, const char *sysfs)
{
	char path[320], text[32] = "";
	unsigned int maj, min;
	FILE *f;

	snprintf(path, sizeof(path), "%s/dev", sysfs);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(text, sizeof(text), f) &&
	    sscanf(text, "%u:%u", &maj, &min) == 2 && s->n < NUMBERS_MAX)
		s->number[s->n++] = makedev(maj, min);
	fclose(f);
}

static bool is_ours(const struct search *s, dev_t number)
{
	unsigned int i;

	for (i = 0; i < s->n; i++)
		if (s->number[i] == number)
			return true;
	return false;
}

static void find_upper_devices(struct search *s, const char *sysfs)
{
	char path[320];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/holders", sysfs);
	dir = opendir(path);
	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			add_holder(s, true, "used by block device ", e->d_name);
	closedir(dir);
}

/* The disk and its partitions: their numbers, and what is stacked on them. */
static void search_sysfs(struct search *s)
{
	char disk[64], prefix[32], path[320];
	struct dirent *e;
	DIR *dir;

	snprintf(disk, sizeof(disk), "/sys/block/nbd%d", s->index);
	snprintf(prefix, sizeof(prefix), "nbd%dp", s->index);
	add_number(s, disk);
	find_upper_devices(s, disk);
	dir = opendir(disk);
	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (strncmp(e->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(path, sizeof(path), "%s/%s", disk, e->d_name);
		add_number(s, path);
		find_upper_devices(s, path);
	}
	closedir(dir);
}

/* Undoes the octal escapes of mountinfo and swaps, in place. */
static void unescape(char *text)
{
	char *out = text;

	for (; *text; text++) {
		if (text[0] == '\\' && isdigit((unsigned char)text[1]) &&
		    isdigit((unsigned char)text[2]) &&
		    isdigit((unsigned char)text[3])) {
			*out++ = (text[1] - '0') << 6 | (text[2] - '0') << 3 |
				 (text[3] - '0');
			text += 3;
		} else {
			*out++ = *text;
		}
	}
	*out = '\0';
}

/* Does the mount's source, its second-last field group, name our device? */
static bool is_our_source(const struct search *s, char *line)
{
	char *dash = strstr(line, " - ");
	char source[256];
	struct stat st;

	if (!dash || sscanf(dash + 3, "%*s %255s", source) != 1)
		return false;
	unescape(source);
	return !strncmp(source, "/dev/", 5) && !stat(source, &st) &&
	       S_ISBLK(st.st_mode) && is_ours(s, st.st_rdev);
}

static void read_name(const char *pid, char *name, size_t size)
{
	char path[300];
	FILE *f;

	*name = '\0';
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(name, size, f))
		name[strcspn(name, "\n")] = '\0';
	fclose(f);
}

/*
 * The caller does not see a mount of another namespace, and ends it only there. A new
 * namespace has copies of its parent's: as long as there is one at home, that is to be ended
 * first.
 */
static void add_mount(struct search *s, const char *pid, const char *where)
{
	char name[32], clean[96], kind[192];

	if (!strcmp(pid, "self")) {
		add_holder(s, true, "mounted on ", where);
		s->mounted = true;
	} else if (!s->mounted) {
		read_name(pid, name, sizeof(name));
		nbd_sanitize(clean, sizeof(clean), name, strlen(name));
		snprintf(kind, sizeof(kind),
			 "mounted in another namespace, that of process %s (%s), on ", pid, clean);
		add_holder(s, true, kind, where);
	}
}

/* Some file systems (btrfs) have a number of their own: look at the source. */
static void search_mounts(struct search *s, const char *pid)
{
	char path[300];
	unsigned int maj, min;
	char *line = NULL;
	size_t size = 0;
	char where[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/mountinfo", pid);
	f = fopen(path, "re");
	if (!f)
		return;
	while (getline(&line, &size, f) > 0) {
		if (sscanf(line, "%*s %*s %u:%u %*s %255s", &maj, &min,
			   where) != 3)
			continue;
		if (!is_ours(s, makedev(maj, min)) && !is_our_source(s, line))
			continue;
		unescape(where);
		add_mount(s, pid, where);
	}
	free(line);
	fclose(f);
}

static void search_swaps(struct search *s)
{
	char *line = NULL;
	size_t size = 0;
	struct stat st;
	char path[256];
	FILE *f = fopen("/proc/swaps", "re");

	if (!f)
		return;
	while (getline(&line, &size, f) > 0) {
		if (sscanf(line, "%255s", path) != 1)
			continue;
		unescape(path);
		if (!stat(path, &st) && S_ISBLK(st.st_mode) &&
		    is_ours(s, st.st_rdev))
			add_holder(s, true, "swap area ", path);
	}
	free(line);
	fclose(f);
}

/* A new mount namespace is remembered; one that was looked at is not new. */
static bool is_new_namespace(struct search *s, const char *pid)
{
	char path[300];
	struct stat st;
	unsigned int i;

	snprintf(path, sizeof(path), "/proc/%s/ns/mnt", pid);
	if (stat(path, &st) || s->nseen == NAMESPACES_MAX)
		return false;
	for (i = 0; i < s->nseen; i++)
		if (s->seen[i] == st.st_ino)
			return false;
	s->seen[s->nseen++] = st.st_ino;
	return true;
}

/* Root's own, for others may have any name. */
static bool is_probe(const struct search *s, const char *pid)
{
	char path[300], name[NBD_PROBE_NAME_MAX], wanted[NBD_PROBE_NAME_MAX];
	struct stat st;

	read_name(pid, name, sizeof(name));
	snprintf(path, sizeof(path), "/proc/%s", pid);
	return !strcmp(name, nbd_device_probe_name(s->index, wanted)) &&
	       !stat(path, &st) && !st.st_uid;
}

static void add_process(struct search *s, const char *pid)
{
	char name[32], text[320];

	read_name(pid, name, sizeof(name));
	snprintf(text, sizeof(text), "%s (%s)", pid, name);
	add_holder(s, false, "open in process ", text);
}

/* statx() without synchronising: a dead network file system does not matter. */
static bool is_our_file(const struct search *s, int dir, const char *name)
{
	struct statx stx;

	return !statx(dir, name, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		      STATX_TYPE, &stx) &&
	       S_ISBLK(stx.stx_mode) &&
	       is_ours(s, makedev(stx.stx_rdev_major, stx.stx_rdev_minor));
}

/* The task is in ioctl(file, NBD_DO_IT), and the file is our device. */
static bool task_serves(const struct search *s, const char *pid,
			const char *task, int files)
{
	unsigned long file, request;
	char path[560], name[32];
	bool serves;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/task/%s/syscall", pid, task);
	f = fopen(path, "re");
	if (!f)
		return false;
	serves = fscanf(f, "%*s %lx %lx", &file, &request) == 2 &&
		 request == NBD_DO_IT;
	fclose(f);
	snprintf(name, sizeof(name), "%lu", file);
	return serves && is_our_file(s, files, name);
}

static bool process_serves(const struct search *s, const char *pid, int files)
{
	bool serves = false;
	struct dirent *e;
	char path[300];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!serves && (e = readdir(dir)))
		if (isdigit((unsigned char)e->d_name[0]))
			serves = task_serves(s, pid, e->d_name, files);
	closedir(dir);
	return serves;
}

static void search_files(struct search *s, const char *pid)
{
	unsigned int n = 0;
	struct dirent *e;
	char path[300];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && is_our_file(s, dirfd(dir), e->d_name))
			n++;
	if (n && process_serves(s, pid, dirfd(dir)))
		s->holders->served += n;
	else if (n)
		add_process(s, pid);
	closedir(dir);
}

static void search_processes(struct search *s)
{
	struct dirent *e;
	DIR *dir = opendir("/proc");

	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		if (is_new_namespace(s, e->d_name))
			search_mounts(s, e->d_name);
		if (is_probe(s, e->d_name))
			s->holders->probed++;
		else
			search_files(s, e->d_name);
	}
	closedir(dir);
}

void nbd_holders_find(s32 index, struct nbd_holders *holders)
{
	struct search s = { .index = index, .holders = holders };

	memset(holders, 0, sizeof(*holders));
	search_sysfs(&s);
	search_swaps(&s);
	if (is_new_namespace(&s, "self"))
		search_mounts(&s, "self");
	search_processes(&s);
}
