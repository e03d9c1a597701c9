// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image.h"

/* What one bit of the dirty map stands for. */
#define GRAIN		512ULL

static int image_fd = -1;
static uint64_t image_size;
static uint8_t *current;	/* what reads see */
static uint8_t *durable;	/* what survives a power loss; NULL without a volatile cache */
static uint8_t *dirty;		/* one bit a grain: durable is behind current */
static int durable_fd = -1;

/* The address space is reserved once, so that growing never moves anything. */
static uint8_t *map_whole(int fd)
{
	void *p = mmap(NULL, IMAGE_MAX, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (p == MAP_FAILED)
		err(1, "cannot map the image");
	return p;
}

static int memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		err(1, "memfd_create");
	return fd;
}

void image_open(const char *path, uint64_t size, bool volatile_cache)
{
	off_t old;

	if (path) {
		image_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (image_fd < 0)
			err(1, "%s", path);
	} else {
		image_fd = memory_file("image");
	}
	old = lseek(image_fd, 0, SEEK_END);
	current = map_whole(image_fd);
	if (volatile_cache) {
		durable_fd = memory_file("durable");
		durable = map_whole(durable_fd);
		dirty = mmap(NULL, IMAGE_MAX / GRAIN / 8, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (dirty == MAP_FAILED)
			err(1, "cannot map the dirty map");
	}
	if (old > 0)
		image_size = old;
	image_grow(size);
	if (durable && old > 0)
		memcpy(durable, current, old);
}

void image_grow(uint64_t size)
{
	if (size > IMAGE_MAX)
		size = IMAGE_MAX;
	if (size < image_size)
		size = image_size;
	if (ftruncate(image_fd, size) < 0)
		err(1, "cannot grow the image to %llu bytes", (unsigned long long)size);
	if (durable && ftruncate(durable_fd, size) < 0)
		err(1, "cannot grow the durable copy");
	image_size = size;
}

/* How many of the @len bytes at @offset exist. */
static uint64_t inside(uint64_t offset, uint64_t len)
{
	if (offset >= image_size)
		return 0;
	return len < image_size - offset ? len : image_size - offset;
}

void image_read(void *buf, uint64_t offset, size_t len)
{
	size_t n = inside(offset, len);

	memcpy(buf, current + offset, n);
	memset((uint8_t *)buf + n, 0, len - n);
}

static void mark_dirty(uint64_t offset, uint64_t len)
{
	uint64_t g;

	for (g = offset / GRAIN; g <= (offset + len - 1) / GRAIN; g++)
		dirty[g / 8] |= 1 << (g % 8);
}

static void changed(uint64_t offset, uint64_t len, bool fua)
{
	if (!durable || !len)
		return;
	if (fua)
		memcpy(durable + offset, current + offset, len);
	else
		mark_dirty(offset, len);
}

void image_write(const void *buf, uint64_t offset, size_t len, bool fua)
{
	size_t n = inside(offset, len);

	memcpy(current + offset, buf, n);
	changed(offset, n, fua);
}

static void zero(int fd, uint8_t *base, uint64_t offset, uint64_t len)
{
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len) < 0)
		memset(base + offset, 0, len);
}

void image_zero(uint64_t offset, uint64_t len, bool fua)
{
	uint64_t n = inside(offset, len);

	if (!n)
		return;
	zero(image_fd, current, offset, n);
	changed(offset, n, fua);
}

/* Call fn(offset, arg) for each dirty grain and clean it. */
static void each_dirty(void (*fn)(uint64_t offset, size_t len, void *arg), void *arg)
{
	uint64_t bytes = (image_size / GRAIN + 8) / 8;
	uint64_t i;
	int bit;

	for (i = 0; i < bytes; i++) {
		if (i % sizeof(uint64_t) == 0 && !*(uint64_t *)(dirty + i)) {
			i += sizeof(uint64_t) - 1;
			continue;
		}
		for (bit = 0; bit < 8; bit++) {
			uint64_t offset = (i * 8 + bit) * GRAIN;

			if (dirty[i] & (1 << bit))
				fn(offset, inside(offset, GRAIN), arg);
		}
		dirty[i] = 0;
	}
}

static void make_durable(uint64_t offset, size_t len, void *arg)
{
	(void)arg;
	memcpy(durable + offset, current + offset, len);
}

static void go_back(uint64_t offset, size_t len, void *arg)
{
	uint64_t *lost = arg;

	if (memcmp(current + offset, durable + offset, len))
		*lost += len;
	memcpy(current + offset, durable + offset, len);
}

void image_flush(void)
{
	if (durable)
		each_dirty(make_durable, NULL);
}

uint64_t image_power_loss(void)
{
	uint64_t lost = 0;

	if (durable)
		each_dirty(go_back, &lost);
	return lost;
}

/* The next range of the image that is not a hole, from @from on. */
static bool next_data(uint64_t from, uint64_t *start, uint64_t *end)
{
	off_t data = lseek(image_fd, from, SEEK_DATA);
	off_t hole;

	if (data < 0)
		return false;
	hole = lseek(image_fd, data, SEEK_HOLE);
	*start = data;
	*end = hole < 0 ? image_size : (uint64_t)hole;
	return true;
}

uint64_t image_search(const void *needle, size_t len)
{
	uint64_t start, end, at = 0, found = 0;
	uint8_t *hit;

	while (at < image_size && next_data(at, &start, &end)) {
		hit = current + start;
		while ((hit = memmem(hit, current + end - hit, needle, len))) {
			found++;
			hit++;
		}
		at = end;
	}
	return found;
}

uint32_t crc32c(uint32_t crc, const void *buf, size_t len)
{
	static uint32_t table[256];
	const uint8_t *p = buf;
	int i, bit;

	if (!table[1])
		for (i = 0; i < 256; i++) {
			uint32_t c = i;

			for (bit = 0; bit < 8; bit++)
				c = c & 1 ? (c >> 1) ^ 0x82f63b78 : c >> 1;
			table[i] = c;
		}
	crc = ~crc;
	while (len--)
		crc = table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
	return ~crc;
}

uint32_t image_crc(uint64_t offset, uint64_t len)
{
	if (inside(offset, len) != len)
		return 0;
	return crc32c(0, current + offset, len);
}

static int save_range(int fd, uint64_t start, uint64_t end)
{
	while (start < end) {
		ssize_t n = pwrite(fd, current + start, end - start, start);

		if (n < 0)
			return -errno;
		start += n;
	}
	return 0;
}

int image_save(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t start, end, at = 0;
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, image_size) < 0)
		ret = -errno;
	while (!ret && at < image_size && next_data(at, &start, &end)) {
		ret = save_range(fd, start, end);
		at = end;
	}
	if (close(fd) < 0 && !ret)
		ret = -errno;
	return ret;
}
