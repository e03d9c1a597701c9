// SPDX-License-Identifier: GPL-2.0
/*
 * /etc/nbdtab.
 */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nbdtab.h"

/* Device, host, export, options. */
#define FIELDS 4

static int is_conf(const struct dirent *e)
{
	const char *end = strrchr(e->d_name, '.');

	return e->d_name[0] != '.' && end && !strcmp(end, ".conf");
}

/* Appends what @format says. */
static int __printf(3, 4)
add_text(struct nbd_tab_list *list, struct nbd_err *err, const char *format, ...)
{
	char **grown = reallocarray(list->text, list->n + 1, sizeof(*grown));
	va_list args;
	int len = -1;

	if (grown) {
		list->text = grown;
		va_start(args, format);
		len = vasprintf(&grown[list->n], format, args);
		va_end(args);
	}
	if (len < 0)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	list->n++;
	return 0;
}

static int add_folder(struct nbd_tab_list *files, const char *folder, struct nbd_err *err)
{
	struct dirent **entries = NULL;
	int i, n = scandir(folder, &entries, is_conf, alphasort), ret = 0;

	if (n < 0 && errno != ENOENT)
		return nbd_fail(err, NBD_EXIT_FAILURE, errno, "%s cannot be read: %s", folder,
				strerror(errno));
	for (i = 0; i < n; i++) {
		if (!ret)
			ret = add_text(files, err, "%s/%s", folder, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return ret;
}

int nbd_tab_files_find(struct nbd_tab_list *files, const char *file, const char *folder,
		       struct nbd_err *err)
{
	bool is_there = !access(file, F_OK);
	int ret = 0;

	memset(files, 0, sizeof(*files));
	if (is_there)
		ret = add_text(files, err, "%s", file);
	if (!ret && folder)
		ret = add_folder(files, folder, err);
	if (!ret && !files->n)
		ret = add_text(files, err, "%s", file);
	return ret;
}

void nbd_tab_list_free(struct nbd_tab_list *list)
{
	while (list->n)
		free(list->text[--list->n]);
	free(list->text);
	list->text = NULL;
}

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

/* The number of a backslash and three octal digits, or 0. */
static unsigned char octal_code(const char *text)
{
	if (text[0] != '\\' || strspn(text + 1, "01234567") < 3 || text[1] > '3')
		return 0;
	return (text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0');
}

/* As in fstab: that is the character of that number. */
static char *decode(char *word)
{
	char *from = word, *to = word;
	unsigned char code;

	while (*from) {
		code = octal_code(from);
		*to++ = code ?: *from;
		from += code ? 4 : 1;
	}
	*to = '\0';
	return word;
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
	tab->server = decode(field[1]);
	tab->export = decode(field[2]);
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

static bool has_name(const struct nbd_tab_list *names, const char *name)
{
	unsigned int i = 0;

	while (i < names->n && strcmp(names->text[i], name))
		i++;
	return i < names->n;
}

int nbd_tab_names_read(struct nbd_tab_list *names, FILE *file, struct nbd_err *err)
{
	char *field[FIELDS], *text = NULL;
	size_t size = 0;
	int ret = 0;

	while (!ret && getline(&text, &size, file) >= 0)
		if (split_line(text, field) && !has_name(names, short_name(field[0])))
			ret = add_text(names, err, "%s", short_name(field[0]));
	free(text);
	return ret;
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
	if (*value) {
		*(*value)++ = '\0';
		decode(*value);
	}
	return true;
}
