/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The exports of a server.
 */
#ifndef NBD_LIST_H
#define NBD_LIST_H

#include <stdio.h>

#include "error.h"
#include "model.h"

/**
 * nbd_list - print the exports that a server offers, in the classic form
 * @params:	the servers, of which the first that answers is asked
 * @out:	gets them, when all have come; what the server says is sanitized
 * @err:	says why not
 *
 * Return: 0 or a negative errno.
 */
int nbd_list(const struct nbd_params *params, FILE *out, struct nbd_err *err);

#endif /* NBD_LIST_H */
