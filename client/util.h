/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's words for what every C program needs. */
#ifndef NBD_UTIL_H
#define NBD_UTIL_H

#include <linux/types.h>
#include <stddef.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#define U32_MAX			((u32)~0U)
#define U64_MAX			((u64)~0ULL)
#define S32_MAX			((s32)(U32_MAX >> 1))
#define S64_MAX			((s64)(U64_MAX >> 1))

#define BIT(n)			(1U << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

#define NBD_ATTRIBUTE(a)	__attribute__((a))
#define __packed		NBD_ATTRIBUTE(__packed__)
#define __aligned(n)		NBD_ATTRIBUTE(__aligned__(n))
#define __noreturn		NBD_ATTRIBUTE(__noreturn__)
#define __printf(fmt, args)	NBD_ATTRIBUTE(__format__(__printf__, fmt, args))

#endif /* NBD_UTIL_H */
