/* SPDX-License-Identifier: GPL-2.0 */
/* Loads nbd.ko, and what it is faster with, through libkmod, as modprobe.d says. */
#ifndef NBD_MODULE_H
#define NBD_MODULE_H

#include "error.h"

/* 0 when the driver is there afterwards; -ENOENT, -EPERM or another errno. */
int nbd_module_load(struct nbd_err *err);

/* For TLS: the CPU's own ciphers, if it has some. It is no error if they cannot be had. */
void nbd_module_load_ciphers(void);

#endif /* NBD_MODULE_H */
