// SPDX-License-Identifier: GPL-2.0
/*
 * /etc/nbdtab.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nbdtab.h"

/* Device, host, export, options. */
#define FIELDS 4

int nbd_tab_bad(const struct nbd_tab *tab, struct nbd_err *err)
{
	nbd_err_prefix(err, "%s, line %u", tab->file, tab->line);
	return -EINVAL;
}

/*
 * Splits at spaces and tabs, ends at a field that begins with "#", which may be part of
 * an export's name. Returns the number of fields.
 */
static int split_line(char *text, char *field[FIELDS])
{
	static const char space[] = " \t\r\n";
	char *save = NULL, *at;
	int n = 0;

	memset(field, 0, FIELDS * sizeof(*field));
	for (at = strtok_r(text, space, &save); at && at[0] != '#';
	     at = strtok_r(NULL, space, &save)) {
		if (n < FIELDS)
			field[n] = at;
		n++;
	}
	return n;
}

static const char *short_name(const char *device)
{
	return strncmp(device, "/dev/", 5) ? device : device + 5;
}

static int take_line(struct nbd_tab *tab, char *const field[FIELDS], int fields,
		     struct nbd_err *err)
{
	if (fields < 3 || fields > FIELDS) {
		nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			 "a definition has three or four fields: DEVICE HOST EXPORT [OPTIONS]");
		return nbd_tab_bad(tab, err);
	}
	tab->server = field[1];
	tab->export = field[2];
	tab->options = field[3];
	return 0;
}

int nbd_tab_read(struct nbd_tab *tab, const char *device, FILE *file, const char *name,
		 struct nbd_err *err)
{
	char *field[FIELDS];
	size_t size = 0;
	int fields;

	memset(tab, 0, sizeof(*tab));
	snprintf(tab->file, sizeof(tab->file), "%s", name);
	device = short_name(device);
	while (getline(&tab->text, &size, file) >= 0) {
		tab->line++;
		fields = split_line(tab->text, field);
		if (fields && !strcmp(short_name(field[0]), device))
			return take_line(tab, field, fields, err);
	}
	return nbd_fail(err, NBD_EXIT_FAILURE, ENOENT,
			"%s has no definition of %s, and no server was given on the command line",
			name, device);
}

static bool has_name(const struct nbd_tab_names *names, const char *name)
{
	unsigned int i = 0;

	while (i < names->n && strcmp(names->name[i], name))
		i++;
	return i < names->n;
}

static int add_name(struct nbd_tab_names *names, const char *name, struct nbd_err *err)
{
	char **grown = reallocarray(names->name, names->n + 1, sizeof(*grown));
	char *copy = strdup(name);

	if (grown)
		names->name = grown;
	if (!grown || !copy) {
		free(copy);
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	}
	names->name[names->n++] = copy;
	return 0;
}

int nbd_tab_names_read(struct nbd_tab_names *names, FILE *file, struct nbd_err *err)
{
	char *field[FIELDS], *text = NULL;
	size_t size = 0;
	int ret = 0;

	memset(names, 0, sizeof(*names));
	while (!ret && getline(&text, &size, file) >= 0)
		if (split_line(text, field) && !has_name(names, short_name(field[0])))
			ret = add_name(names, short_name(field[0]), err);
	free(text);
	return ret;
}

void nbd_tab_names_free(struct nbd_tab_names *names)
{
	while (names->n)
		free(names->name[--names->n]);
	free(names->name);
	names->name = NULL;
}

void nbd_tab_free(struct nbd_tab *tab)
{
	free(tab->text);
	tab->text = NULL;
}

bool nbd_tab_option(struct nbd_tab *tab, char **name, char **value)
{
	do {
		*name = strsep(&tab->options, ",");
		if (!*name)
			return false;
	} while (!**name || **name == '_');
	*value = strchr(*name, '=');
	if (*value)
		*(*value)++ = '\0';
	return true;
}
