// SPDX-License-Identifier: GPL-2.0
/*
 * /etc/nbdtab.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nbdtab.h"
#include "options.h"
#include "uri.h"

#define NBDTAB "/etc/nbdtab"
#define FIELDS 4

/**
 * struct line - one definition
 * @file:	name of the file, for messages
 * @number:	of the line, from 1
 * @field:	device, host, export, options (may be NULL); points into the line
 */
struct line {
	const char *file;
	unsigned int number;
	char *field[FIELDS];
};

static int bad_line(const struct line *line, struct nbd_err *err)
{
	nbd_err_prefix(err, "%s, line %u", line->file, line->number);
	return -EINVAL;
}

/*
 * Splits at spaces and tabs, ends at a field that begins with "#", which may be part of
 * an export's name. Returns the number of fields.
 */
static int split_line(char *text, struct line *line)
{
	static const char space[] = " \t\r\n";
	char *save = NULL, *field;
	int n = 0;

	memset(line->field, 0, sizeof(line->field));
	for (field = strtok_r(text, space, &save); field && field[0] != '#';
	     field = strtok_r(NULL, space, &save)) {
		if (n < FIELDS)
			line->field[n] = field;
		n++;
	}
	return n;
}

/* "port" belongs to the server, the rest to the option table. */
static int apply_option(struct nbd_command *cmd, char *option,
			const char **port, const struct line *line,
			struct nbd_err *err)
{
	char *value = strchr(option, '=');
	char clean[64];
	int ret;

	if (option[0] == '_')
		return 0;
	if (value)
		*value++ = '\0';
	if (!strcmp(option, "port") && value) {
		*port = value;
		return 0;
	}
	ret = nbd_options_set_tab(cmd, option, value, err);
	if (ret != -ENOENT)
		return ret;
	fprintf(stderr, "nbd-client: %s, line %u: unknown option \"%s\" is ignored\n",
		line->file, line->number,
		nbd_sanitize(clean, sizeof(clean), option, strlen(option)));
	return 0;
}

static int apply_options(struct nbd_command *cmd, const char **port,
			 const struct line *line, struct nbd_err *err)
{
	char *save = NULL, *option;
	int ret = 0;

	if (!line->field[3])
		return 0;
	for (option = strtok_r(line->field[3], ",", &save); option && !ret;
	     option = strtok_r(NULL, ",", &save))
		ret = apply_option(cmd, option, port, line, err);
	return ret;
}

/* An export called "-" means the default one, or the one that the URI names. */
static int apply_name(struct nbd_command *cmd, const char *name,
		      struct nbd_err *err)
{
	struct nbd_params *p = &cmd->params;

	if (!strcmp(name, "-"))
		return 0;
	p->given |= NBD_GIVEN_NAME;
	return nbd_set_text(&p->export_name, name, err);
}

static int apply_line(struct nbd_command *cmd, const struct line *line,
		      struct nbd_err *err)
{
	const char *port = NBD_DEFAULT_PORT;
	struct nbd_server first;
	struct nbd_params *p = &cmd->params;
	int ret = apply_name(cmd, line->field[2], err);

	if (!ret)
		ret = apply_options(cmd, &port, line, err);
	if (!ret)
		ret = nbd_options_take_server(cmd, line->field[1], port, err);
	if (ret)
		return bad_line(line, err);
	first = p->servers[p->nservers - 1];
	memmove(&p->servers[1], &p->servers[0],
		(p->nservers - 1) * sizeof(first));
	p->servers[0] = first;
	return 0;
}

static const char *short_name(const char *device)
{
	return strncmp(device, "/dev/", 5) ? device : device + 5;
}

int nbd_tab_read(struct nbd_command *cmd, FILE *file, const char *name,
		 struct nbd_err *err)
{
	const char *device = short_name(cmd->tab);
	struct line line = { .file = name };
	int ret = -ENOENT, fields;
	char *text = NULL;
	size_t size = 0;

	while (ret == -ENOENT && getline(&text, &size, file) >= 0) {
		line.number++;
		fields = split_line(text, &line);
		if (!fields || strcmp(short_name(line.field[0]), device))
			continue;
		if (fields < 3 || fields > FIELDS) {
			nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				 "a definition has three or four fields: DEVICE HOST EXPORT [OPTIONS]");
			ret = bad_line(&line, err);
		} else {
			ret = apply_line(cmd, &line, err);
		}
	}
	free(text);
	if (ret == -ENOENT)
		nbd_fail(err, NBD_EXIT_FAILURE, ENOENT,
			 "%s has no definition of %s, and no server was given on the command line",
			 name, device);
	return ret;
}

int nbd_tab_apply(struct nbd_command *cmd, struct nbd_err *err)
{
	const char *path = cmd->tab_file ? cmd->tab_file : NBDTAB;
	FILE *file = fopen(path, "re");
	char name[256];
	int ret;

	nbd_sanitize(name, sizeof(name), path, strlen(path));
	if (!file)
		return nbd_fail(err, NBD_EXIT_FAILURE, errno,
				"%s: no server was given, and that file, which could name it, cannot be read: %s",
				name, strerror(errno));
	ret = nbd_tab_read(cmd, file, name, err);
	fclose(file);
	return ret;
}
