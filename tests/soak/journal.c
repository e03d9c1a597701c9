// SPDX-License-Identifier: GPL-2.0
/*
 * journal write DEVICE RECORD: writes blocks and flushes them, until SIGTERM, and
 * leaves in RECORD which generation of each block was flushed and which was written
 * last.
 *
 * journal check IMAGE RECORD: a block of the server's image may be newer than what was
 * flushed, but not older, and whole.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "../common.h"

#define BLOCK		4096
#define BLOCKS		2048
/* Writes between two flushes, at most. */
#define BATCH		16
#define WORDS		(BLOCK / sizeof(uint64_t))

/* Generation 0 was never written. */
static struct {
	uint32_t flushed, written;
} record[BLOCKS];

static bool stop;

static void handle_term(int signal)
{
	(void)signal;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
}

static uint64_t word_of(uint32_t block, uint32_t generation, unsigned int i)
{
	return (uint64_t)generation << 32 | (block << 16 ^ i);
}

static void fill(uint64_t *data, uint32_t block, uint32_t generation)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		data[i] = word_of(block, generation, i);
}

/* One batch; its blocks are on stable storage when this returns. */
static void write_batch(int fd, uint64_t *data)
{
	uint32_t blocks[BATCH];
	unsigned int i, n = random() % BATCH + 1;

	for (i = 0; i < n; i++) {
		blocks[i] = random() % BLOCKS;
		fill(data, blocks[i], ++record[blocks[i]].written);
		if (pwrite(fd, data, BLOCK, (off_t)blocks[i] * BLOCK) != BLOCK)
			err(1, "write of block %u", blocks[i]);
	}
	if (fdatasync(fd))
		err(1, "flush");
	for (i = 0; i < n; i++)
		record[blocks[i]].flushed = record[blocks[i]].written;
}

static void write_journal(const char *device, const char *path)
{
	struct sigaction action = { .sa_handler = handle_term, .sa_flags = SA_RESTART };
	unsigned long batches = 0;
	unsigned int i;
	void *data;
	FILE *file;
	int fd;

	sigaction(SIGTERM, &action, NULL);
	fd = open(device, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || posix_memalign(&data, BLOCK, BLOCK))
		err(1, "%s", device);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		write_batch(fd, data);
		batches++;
	}
	file = fopen(path, "w");
	if (!file)
		err(1, "%s", path);
	for (i = 0; i < BLOCKS; i++)
		fprintf(file, "%u %u\n", record[i].flushed, record[i].written);
	if (fclose(file))
		err(1, "%s", path);
	printf("journal: %lu batches written and flushed\n", batches);
}

/* Whether the block is one whole generation that it may have. */
static bool check_block(const uint64_t *data, uint32_t block, uint32_t flushed,
			uint32_t written)
{
	uint32_t generation = data[0] >> 32;
	unsigned int i;

	if (generation < flushed || generation > written) {
		printf("journal: block %u has generation %u; %u was flushed, %u written\n",
		       block, generation, flushed, written);
		return false;
	}
	for (i = 0; generation && i < WORDS; i++)
		if (data[i] != word_of(block, generation, i)) {
			printf("journal: block %u is broken at word %u: %llx\n", block, i,
			       (unsigned long long)data[i]);
			return false;
		}
	return true;
}

static int check_journal(const char *image, const char *path)
{
	unsigned int block, used = 0, bad = 0, flushed, written;
	FILE *file = fopen(path, "r");
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	uint64_t data[WORDS];

	if (!file || fd < 0)
		err(1, "%s, %s", image, path);
	for (block = 0; block < BLOCKS; block++) {
		if (fscanf(file, "%u %u", &flushed, &written) != 2)
			errx(1, "%s: line %u is no record", path, block + 1);
		if (pread(fd, data, BLOCK, (off_t)block * BLOCK) != BLOCK)
			err(1, "%s: block %u", image, block);
		used += !!flushed;
		bad += !check_block(data, block, flushed, written);
	}
	printf("journal: %u of %u blocks were flushed, %u are not as they must be\n",
	       used, BLOCKS, bad);
	return bad || !used;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "write")) {
		write_journal(argv[2], argv[3]);
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "check"))
		return check_journal(argv[2], argv[3]);
	errx(2, "usage: journal write DEVICE RECORD | journal check IMAGE RECORD");
}
