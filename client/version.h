/* SPDX-License-Identifier: GPL-2.0 */
/* The version of this program. */
#ifndef NBD_VERSION_H
#define NBD_VERSION_H

#ifndef NBD_VERSION
#define NBD_VERSION "1.0"
#endif

#endif /* NBD_VERSION_H */
