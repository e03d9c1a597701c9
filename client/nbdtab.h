/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /etc/nbdtab and the files beside it, nbdtab(5): one device a line, "nbd0 HOST EXPORT
 * [OPTIONS]". This takes the line apart; what the words mean is for whoever reads them
 * (options.h).
 */
#ifndef NBD_NBDTAB_H
#define NBD_NBDTAB_H

#include <stdbool.h>
#include <stdio.h>

#include "error.h"

#define NBD_TAB_NAME_MAX 256

/**
 * struct nbd_tab_list - files to be read, in this order, or devices that these define, each
 * once: "nbd0", as it is in the file but for "/dev/"
 * @text:	their names
 * @n:		how many
 */
struct nbd_tab_list {
	char **text;
	unsigned int n;
};

void nbd_tab_list_free(struct nbd_tab_list *list);

/**
 * nbd_tab_files_find - which files there are
 * @files:	filled in; nbd_tab_list_free() it, on failure too
 * @file:	is the first if it is there, or if nothing else is
 * @folder:	the others are those in it whose names end in ".conf", in the order of their
 *		names; NULL for none
 * @err:	says why not
 */
int nbd_tab_files_find(struct nbd_tab_list *files, const char *file, const char *folder,
		       struct nbd_err *err);

/**
 * struct nbd_tab - the definition of one device
 * @file:	what messages call the file, printable
 * @line:	its number there, from 1
 * @server:	host, URI or path
 * @export:	name of the export, or "-"
 *
 * The rest is private to nbdtab.c.
 */
struct nbd_tab {
	char file[NBD_TAB_NAME_MAX];
	unsigned int line;
	char *server;
	char *export;

	char *options;
	char *text;
};

/**
 * nbd_tab_read - find the definition of a device
 * @tab:	filled in; nbd_tab_free() it, on failure too
 * @device:	"nbd0" or "/dev/nbd0"
 * @file:	to be read
 * @name:	what messages call it
 * @err:	names file and line
 *
 * Return: 0, -ENOENT without such a line, -EINVAL for one that has not three or four words.
 */
int nbd_tab_read(struct nbd_tab *tab, const char *device, FILE *file, const char *name,
		 struct nbd_err *err);
void nbd_tab_free(struct nbd_tab *tab);

/*
 * Adds the devices of a file to @names, which is empty at first, in the order of the lines,
 * whether these are right or not; -ENOMEM.
 */
int nbd_tab_names_read(struct nbd_tab_list *names, FILE *file, struct nbd_err *err);

/*
 * The next option, each once; false when there is none left. @value is NULL without a "=".
 * Those that begin with an underscore are the administrator's own, and left out. "\\040" and its
 * like are decoded, here and in the fields.
 */
bool nbd_tab_option(struct nbd_tab *tab, char **name, char **value);

/* Puts file and line in front of what @err says; returns -EINVAL. */
int nbd_tab_bad(const struct nbd_tab *tab, struct nbd_err *err);

#endif /* NBD_NBDTAB_H */
