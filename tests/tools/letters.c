// SPDX-License-Identifier: GPL-2.0
/*
 * Reads a device whose blocks are filled with one letter, on each processor, and tells
 * which letters came: for a test whose servers each have another one.
 *
 *	letters DEVICE
 *
 * Each line of its input is a question. The answer is a line
 *
 *	seen LETTERS now LETTERS
 *
 * The first are all that were read since the last question, the others those of the reads
 * that began after the question, some from each processor. A read that fails is a "!",
 * a block of several letters a "?". While reads wait for a server, the answer does, too.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK		4096
#define BLOCKS		16
#define READERS		2
/* Reads of each processor that an answer waits for. */
#define ENOUGH		6
/* Between two reads, so that the guest has time for other things. */
#define PAUSE_NS	2000000

/* Which characters were read: one bit each. */
struct letters {
	bool has[128];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress = PTHREAD_COND_INITIALIZER;
/* Under lock: */
static struct letters seen, fresh;
static unsigned int question, answered[READERS];

static int device;

static char letter_of(const char *block, ssize_t len)
{
	if (len != BLOCK)
		return '!';
	if (memcmp(block, block + 1, BLOCK - 1) || block[0] < 'A' || block[0] > 'z')
		return '?';
	return block[0];
}

static void note(unsigned int reader, unsigned int asked, char letter)
{
	pthread_mutex_lock(&lock);
	seen.has[(int)letter] = true;
	if (asked == question) {
		fresh.has[(int)letter] = true;
		answered[reader]++;
		pthread_cond_signal(&progress);
	}
	pthread_mutex_unlock(&lock);
}

static unsigned int present_question(void)
{
	unsigned int n;

	pthread_mutex_lock(&lock);
	n = question;
	pthread_mutex_unlock(&lock);
	return n;
}

static void *read_on(void *arg)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	unsigned int reader = (size_t)arg, i = 0, asked;
	cpu_set_t cpu;
	ssize_t len;
	void *block;

	CPU_ZERO(&cpu);
	CPU_SET(reader, &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
	if (posix_memalign(&block, BLOCK, BLOCK))
		err(1, "memory");
	for (;;) {
		asked = present_question();
		len = pread(device, block, BLOCK, (off_t)(i++ % BLOCKS) * BLOCK);
		note(reader, asked, letter_of(block, len));
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void print_letters(const char *what, const struct letters *letters)
{
	unsigned int c;

	printf("%s ", what);
	for (c = '!'; c < sizeof(letters->has); c++)
		if (letters->has[c])
			putchar(c);
}

static bool enough(void)
{
	unsigned int i;

	for (i = 0; i < READERS; i++)
		if (answered[i] < ENOUGH)
			return false;
	return true;
}

static void answer(void)
{
	pthread_mutex_lock(&lock);
	question++;
	memset(&fresh, 0, sizeof(fresh));
	memset(answered, 0, sizeof(answered));
	while (!enough())
		pthread_cond_wait(&progress, &lock);
	print_letters("seen", &seen);
	print_letters(" now", &fresh);
	putchar('\n');
	fflush(stdout);
	memset(&seen, 0, sizeof(seen));
	pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv)
{
	char line[64];
	pthread_t thread;
	size_t i;

	if (argc != 2) {
		fprintf(stderr, "usage: letters DEVICE\n");
		return 2;
	}
	device = open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (device < 0)
		err(1, "%s", argv[1]);
	for (i = 0; i < READERS; i++) {
		errno = pthread_create(&thread, NULL, read_on, (void *)i);
		if (errno)
			err(1, "thread");
	}
	while (fgets(line, sizeof(line), stdin))
		answer();
	return 0;
}
