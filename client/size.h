/* SPDX-License-Identifier: GPL-2.0 */
/* Sizes for people. */
#ifndef NBD_SIZE_H
#define NBD_SIZE_H

#include <stdio.h>

#include "util.h"

/* As "3 bytes", "64 MiB", or "1.5 GiB" when it is no whole number of that unit. */
void nbd_print_size(u64 bytes, FILE *out);

#endif /* NBD_SIZE_H */
