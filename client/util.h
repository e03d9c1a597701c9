/* SPDX-License-Identifier: GPL-2.0 */
/* What every C program defines for itself. */
#ifndef NBD_UTIL_H
#define NBD_UTIL_H

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif /* NBD_UTIL_H */
