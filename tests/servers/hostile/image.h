/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The storage behind the export: a sparse memory image, or a file that is
 * mapped. In volatile mode it behaves like a disk with a write cache: what was
 * neither flushed nor written with FUA is gone after image_power_loss().
 *
 * The image may be smaller than the size that is told to clients (sizes that
 * cannot exist are announced to test the client): bytes beyond it read as zero
 * and writes to them are dropped.
 */
#ifndef NBD_TEST_IMAGE_H
#define NBD_TEST_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * image_open() - make the image
 * @path:	file to map, made or extended as needed; NULL: anonymous memory
 * @size:	bytes, capped at IMAGE_MAX
 * @volatile_cache: keep a second copy of what is durable
 *
 * Ends the program with a message when that fails.
 */
void image_open(const char *path, uint64_t size, bool volatile_cache);
/* Two of them fit into the address space. */
#define IMAGE_MAX	((size_t)1 << (sizeof(size_t) > 4 ? 40 : 29))

/* Grow the image to @size bytes, capped at IMAGE_MAX; never shrinks it. */
void image_grow(uint64_t size);

void image_read(void *buf, uint64_t offset, size_t len);
void image_write(const void *buf, uint64_t offset, size_t len, bool fua);
/* For TRIM and WRITE_ZEROES. */
void image_zero(uint64_t offset, uint64_t len, bool fua);
void image_flush(void);

/* Go back to what is durable. Returns the number of bytes that were lost. */
uint64_t image_power_loss(void);

/* How often the @len bytes at @needle stand in the image. */
uint64_t image_search(const void *needle, size_t len);

/* CRC32C of a range; 0 on a range that is not inside the image. */
uint32_t image_crc(uint64_t offset, uint64_t len);

/* Write the image to @path, sparse; 0 or -errno. */
int image_save(const char *path);

uint32_t crc32c(uint32_t crc, const void *buf, size_t len);

#endif /* NBD_TEST_IMAGE_H */
