/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a server offers, for people and for programs. What the server says is sanitized.
 */
#ifndef NBD_LIST_H
#define NBD_LIST_H

#include <stdio.h>

#include "error.h"
#include "model.h"
#include "offer.h"

/**
 * nbd_list - print the exports that a server offers
 * @params:	the servers, of which the first that answers is asked
 * @json:	as JSON, or in the classic form
 * @out:	gets them, when all have come
 * @err:	says why not
 *
 * Return: 0 or a negative errno.
 */
int nbd_list(const struct nbd_params *params, bool json, FILE *out, struct nbd_err *err);

/* As nbd_list(), but all that can be known of the server and of each export. */
int nbd_info(const struct nbd_params *params, bool json, FILE *out, struct nbd_err *err);

/* What these print of @offer; what is not known of an export is left out. */
void nbd_list_text(const struct nbd_offer *offer, FILE *out);
void nbd_info_text(const struct nbd_offer *offer, FILE *out);
/* @goal says of which of the two. */
void nbd_offer_json(const struct nbd_offer *offer, enum nbd_goal goal, FILE *out);

#endif /* NBD_LIST_H */
