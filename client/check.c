// SPDX-License-Identifier: GPL-2.0
/*
 * Whether a server has the disk that an attached device had.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "check.h"
#include "folders.h"
#include "helper.h"
#include "probe.h"
#include "record.h"
#include "writers.h"

/* What the process may take: seconds, bytes of memory more than the caller has. */
#define HELPER_SECONDS	5
#define HELPER_MEMORY	(256ULL << 20)

/**
 * struct verdict - what the process writes
 * @found:	what the disk has
 * @who:	who may have changed it, or empty
 */
struct verdict {
	struct nbd_identity found;
	char who[96];
};

/**
 * struct nbd_check - one check
 * @known:	what udev knows
 * @other_fs:	what -other-disk has accepted, as in struct nbd_record; or empty
 * @other_table: likewise
 * @overrule:	accept whatever is found
 * @index:	the device
 * @disk:	its number
 * @server:	thread in NBD_DO_IT, or 0
 * @block_size:	its logical block size
 * @probe:	the reads
 * @memory:	where the areas of @probe are mapped
 * @memfd:	the file that looks like the disk
 * @proc:	/proc, or -1
 * @helper:	the process
 * @judging:	it is at work
 */
struct nbd_check {
	struct nbd_identity known;
	char other_fs[NBD_UUID_MAX];
	char other_table[NBD_UUID_MAX];
	bool overrule;
	s32 index;
	dev_t disk;
	pid_t server;
	u32 block_size;
	struct nbd_probe probe;
	void *memory[2];
	int memfd;
	int proc;
	struct nbd_helper helper;
	bool judging;
};

/* --- before --- */

static void read_numbers(struct nbd_check *c)
{
	unsigned int maj = 0, min = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/nbd%d/dev", c->index);
	file = nbd_folder_fopen(path, "re");
	if (file && fscanf(file, "%u:%u", &maj, &min) == 2)
		c->disk = makedev(maj, min);
	if (file)
		fclose(file);
	snprintf(path, sizeof(path), "/sys/block/nbd%d/pid", c->index);
	file = nbd_folder_fopen(path, "re");
	if (file && fscanf(file, "%d", &c->server) != 1)
		c->server = 0;
	if (file)
		fclose(file);
}

static int map_areas(struct nbd_check *c, u64 size, struct nbd_err *err)
{
	unsigned int i;

	c->memfd = memfd_create("nbd-disk", MFD_CLOEXEC);
	if (c->memfd < 0 || ftruncate(c->memfd, size))
		return nbd_fail(err, NBD_EXIT_FAILURE, errno,
				"cannot make a file in memory to look at the disk: %s",
				strerror(errno));
	for (i = 0; i < 2; i++) {
		struct nbd_probe_area *area = &c->probe.area[i];
		void *at;

		if (!area->length)
			continue;
		at = mmap(NULL, area->length, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, c->memfd, area->offset);
		if (at == MAP_FAILED)
			return nbd_fail(err, NBD_EXIT_FAILURE, errno,
					"no memory to look at the disk: %s",
					strerror(errno));
		c->memory[i] = at;
		area->memory = at;
	}
	return 0;
}

static void copy_uuid(char *to, const char *from)
{
	snprintf(to, NBD_UUID_MAX, "%s", from ? from : "");
}

/* The disk ends where udev saw it end, though the export may have grown. */
static u64 disk_size(const struct nbd_record *record, const struct nbd_export *e)
{
	u64 size = record->export.size;

	if (record->params.given & NBD_GIVEN_SIZE)
		size = record->params.size;
	return size && size < e->size ? size : e->size;
}

int nbd_check_start(struct nbd_check **check, const struct nbd_record *record,
		    bool overrule, const struct nbd_export *e,
		    bool structured, struct nbd_err *err)
{
	struct nbd_export disk = *e;
	struct nbd_identity known;
	struct nbd_check *c;
	int ret;

	*check = NULL;
	nbd_identity_of_device(&known, record->params.index);
	if (!nbd_identity_known(&known))
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	c->known = known;
	copy_uuid(c->other_fs, record->other_fs);
	copy_uuid(c->other_table, record->other_table);
	c->overrule = overrule;
	c->index = record->params.index;
	c->block_size = record->block_size ? record->block_size : 512;
	c->memfd = -1;
	c->proc = -1;
	read_numbers(c);
	disk.size = disk_size(record, e);
	ret = nbd_probe_init(&c->probe, &disk, structured, err);
	if (!ret)
		ret = map_areas(c, disk.size, err);
	if (ret)
		nbd_check_free(c);
	else
		*check = c;
	return ret;
}

/* --- in the process --- */

static void limit(int resource, rlim_t most)
{
	const struct rlimit r = { .rlim_cur = most, .rlim_max = most };

	setrlimit(resource, &r);
}

static void limit_memory(int proc)
{
	int fd = openat(proc, "self/statm", O_RDONLY | O_CLOEXEC);
	unsigned long long data = 0;
	char text[160] = "";

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
	    sscanf(text, "%*u %*u %*u %*u %*u %llu", &data) == 1)
		limit(RLIMIT_DATA, data * sysconf(_SC_PAGESIZE) + HELPER_MEMORY);
	if (fd >= 0)
		close(fd);
}

/* It is the one that -other-disk has accepted. */
static bool was_accepted(const struct nbd_check *c,
			 const struct nbd_identity *found)
{
	return !strcmp(c->other_fs, nbd_identity_uuid(&found->fs)) &&
	       !strcmp(c->other_table, nbd_identity_uuid(&found->table));
}

static bool fits(const struct nbd_check *c, const struct nbd_identity *found)
{
	return c->overrule || nbd_identity_same(&c->known, found) ||
	       was_accepted(c, found);
}

static void judge(void *arg, int ret, int out)
{
	const struct nbd_check *c = arg;
	struct verdict v = { 0 };

	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_CPU, HELPER_SECONDS);
	limit_memory(c->proc);
	if (ret || nbd_identity_find(&v.found, c->memfd, c->block_size))
		return;
	if (!fits(c, &v.found))
		nbd_writer_find(c->proc, c->disk, c->server, v.who,
				sizeof(v.who));
	if (write(out, &v, sizeof(v)) != sizeof(v))
		_exit(1);
}

/* --- around it --- */

static int start_helper(struct nbd_check *c, struct nbd_err *err)
{
	int kept[2], ret;

	c->proc = nbd_folder_open("/proc/.", O_RDONLY | O_DIRECTORY, 0);
	kept[0] = c->memfd;
	kept[1] = c->proc;
	ret = c->proc < 0 ? -errno :
	      nbd_helper_start(&c->helper, &nbd_here, kept, HELPER_SECONDS,
			       judge, c);
	if (ret)
		return nbd_fail(err, NBD_EXIT_FAILURE, -ret,
				"cannot start a process to look at the disk: %s",
				strerror(-ret));
	c->judging = true;
	return 0;
}

/* What the process wrote is no more trusted than the server. */
static int take_verdict(struct nbd_check *c, struct verdict *v,
			struct nbd_err *err)
{
	if (!nbd_helper_read(&c->helper, v, sizeof(*v)))
		return nbd_fail(err, NBD_EXIT_FAILURE, EIO,
				"refused: what the server has there as a disk cannot be understood: the process that looked for UUIDs did not survive it");
	v->who[sizeof(v->who) - 1] = '\0';
	v->found.fs.type[sizeof(v->found.fs.type) - 1] = '\0';
	v->found.fs.uuid[sizeof(v->found.fs.uuid) - 1] = '\0';
	v->found.table.type[sizeof(v->found.table.type) - 1] = '\0';
	v->found.table.uuid[sizeof(v->found.table.uuid) - 1] = '\0';
	return 0;
}

static int refuse(const struct nbd_check *c, const struct nbd_identity *found,
		  struct nbd_err *err)
{
	char had[NBD_IDENTITY_TEXT_MAX], has[NBD_IDENTITY_TEXT_MAX];

	return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
			"refused: this is another disk: the device has %s, the server's disk has %s (if it is right all the same: nbd-client -replace -other-disk /dev/nbd%d)",
			nbd_identity_text(&c->known, &c->known, had, sizeof(had)),
			nbd_identity_text(found, &c->known, has, sizeof(has)),
			c->index);
}

static int conclude(struct nbd_check *c, struct nbd_finding *finding,
		    struct nbd_err *err)
{
	char has[NBD_IDENTITY_TEXT_MAX], clean[160];
	struct verdict v;
	int ret = take_verdict(c, &v, err);

	if (ret && !c->overrule)
		return ret;
	finding->checked = !ret;
	if (ret)
		return 0;
	finding->found = v.found;
	if (fits(c, &v.found))
		return 0;
	if (!v.who[0])
		return refuse(c, &v.found, err);
	snprintf(finding->note, sizeof(finding->note),
		 "the server's disk has %s, which udev does not know; process %s, which has the disk open for writing, may have changed it",
		 nbd_identity_text(&v.found, &c->known, has, sizeof(has)),
		 nbd_sanitize(clean, sizeof(clean), v.who, strlen(v.who)));
	return 0;
}

static int look(struct nbd_check *c, struct nbd_transport *t,
		struct nbd_finding *finding, struct nbd_err *err)
{
	int ret = nbd_probe_run(&c->probe, t, err);

	if (ret)
		return ret;
	if (!c->probe.error)
		return start_helper(c, err) ? -EIO : -EAGAIN;
	snprintf(finding->note, sizeof(finding->note),
		 "whether it is the same disk is not known: the server answers reads of its begin or end with error %u",
		 c->probe.error);
	return 0;
}

int nbd_check_run(struct nbd_check *c, struct nbd_transport *t,
		  struct nbd_finding *finding, struct nbd_err *err)
{
	struct pollfd pfd = { .events = POLLIN };

	memset(finding, 0, sizeof(*finding));
	if (!c->judging)
		return look(c, t, finding, err);
	pfd.fd = c->helper.fd;
	if (poll(&pfd, 1, 0) <= 0)
		return -EAGAIN;
	return conclude(c, finding, err);
}

struct pollfd nbd_check_poll(const struct nbd_check *c, int fd)
{
	struct pollfd pfd = { .fd = c->judging ? c->helper.fd : fd,
			      .events = POLLIN };

	if (!c->judging && nbd_probe_writes(&c->probe))
		pfd.events |= POLLOUT;
	return pfd;
}

const char *nbd_check_waits_for(const struct nbd_check *c)
{
	return c->judging ? "the UUIDs on it" : "its first and last blocks";
}

void nbd_check_free(struct nbd_check *c)
{
	unsigned int i;

	if (!c)
		return;
	if (c->judging)
		nbd_helper_end(&c->helper);
	for (i = 0; i < 2; i++)
		if (c->memory[i])
			munmap(c->memory[i], c->probe.area[i].length);
	if (c->memfd >= 0)
		close(c->memfd);
	if (c->proc >= 0)
		close(c->proc);
	free(c);
}
