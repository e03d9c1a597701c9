/* SPDX-License-Identifier: GPL-2.0 */
/* Loads nbd.ko through libkmod, with the parameters of modprobe.d. */
#ifndef NBD_MODULE_H
#define NBD_MODULE_H

#include "error.h"

/* 0 when the driver is there afterwards; -ENOENT, -EPERM or another errno. */
int nbd_module_load(struct nbd_err *err);

#endif /* NBD_MODULE_H */
