// SPDX-License-Identifier: GPL-2.0
/*
 * What is attached.
 */
#include <errno.h>
#include <linux/nbd.h>
#include <linux/tls.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "device.h"
#include "json.h"
#include "keeper.h"
#include "kernel.h"
#include "outage.h"
#include "presence.h"
#include "settings.h"
#include "size.h"
#include "status.h"
#include "store.h"
#include "util.h"

/* More text than this is not kept back until all is known; see open_draft(). */
#define DRAFT_BYTES (32 << 20)

/**
 * struct entry - one device
 * @status:	what the driver says
 * @record:	what the client noted down
 * @has_record:	@record is of this very attachment
 * @outage:	what the monitor tells of its attempts to reconnect it
 * @has_outage:	it tells that
 */
struct entry {
	const struct nbd_status *status;
	struct nbd_record record;
	bool has_record;
	struct nbd_outage outage;
	bool has_outage;
};

/**
 * struct listing - devices are printed as the driver tells of them, one after the other
 * @index:	device that is wanted, or NBD_INDEX_AUTO
 * @monitor:	as nbd_monitor_pid() says
 * @folder:	of the records, or a negative errno
 * @json:	for programs
 * @j:		writes that
 * @out:	gets the text
 * @n:		devices so far
 * @entry:	the last one of them
 */
struct listing {
	s32 index;
	pid_t monitor;
	int folder;
	bool json;
	struct nbd_json j;
	FILE *out;
	size_t n;
	struct entry entry;
};

static const char *state_name(u32 state)
{
	static const char *const names[] = {
		[NBD_STATE_FREE] = "free",
		[NBD_STATE_LIVE] = "live",
		[NBD_STATE_WAITING] = "waiting",
		[NBD_STATE_FAILED] = "failed",
		[NBD_STATE_CLOSING] = "closing",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static void attach_record(struct entry *e, int folder)
{
	e->has_record = false;
	if (folder < 0 || nbd_record_read_at(folder, &e->record, e->status->index, NULL))
		return;
	e->has_record = nbd_keeper_record_counts(&e->record, e->status);
	if (!e->has_record)
		nbd_record_free(&e->record);
}

/* Of this monitor, and of this attachment. What has all its connections has no outage. */
static void attach_outage(struct entry *e, pid_t monitor)
{
	const struct nbd_status *s = e->status;
	const struct nbd_outage *o = &e->outage;

	e->has_outage = false;
	if (!e->has_record || monitor <= 0 ||
	    (s->state == NBD_STATE_LIVE && s->nconns && s->nlive == s->nconns))
		return;
	e->has_outage = !nbd_outage_read(s->index, &e->outage) && o->monitor == monitor &&
			o->session_id == e->record.session_id && o->pid == e->record.pid;
}

/* --- for programs --- */

static void json_number(struct nbd_json *j, const struct nbd_setting *s, u64 value)
{
	if (nbd_setting_is_never(s, value))
		nbd_json_null(j, s->json);
	else if (s->kind == NBD_KIND_CHOICE)
		nbd_json_text(j, s->json, nbd_setting_choice(s, value));
	else if (s->kind == NBD_KIND_CONSTANT)
		nbd_json_bool(j, s->json, value == s->min);
	else if (s->kind == NBD_KIND_FLAG)
		nbd_json_bool(j, s->json, value);
	else
		nbd_json_number(j, s->json, value);
}

/* What the driver has. */
static void json_told(struct nbd_json *j, const struct nbd_status *status)
{
	const struct nbd_setting *s;

	nbd_for_each_setting(s)
		if (s->json && s->width)
			json_number(j, s, status->told[s->bit]);
}

/* What it does not know of. */
static void json_kept(struct nbd_json *j, const struct nbd_params *params)
{
	const struct nbd_setting *s;

	nbd_for_each_setting(s) {
		if (!s->json || s->attribute)
			continue;
		if (s->kind != NBD_KIND_TEXT)
			json_number(j, s, nbd_setting_number(s, params));
		else if (nbd_setting_text(s, params))
			nbd_json_text(j, s->json, nbd_setting_text(s, params));
	}
}

static const char *tls_version_name(u32 version)
{
	return version == TLS_1_3_VERSION ? "1.3" : version == TLS_1_2_VERSION ? "1.2" : "unknown";
}

static const char *tls_cipher_name(u32 cipher)
{
	switch (cipher) {
	case TLS_CIPHER_AES_GCM_128:
		return "AES-128-GCM";
	case TLS_CIPHER_AES_GCM_256:
		return "AES-256-GCM";
	case TLS_CIPHER_AES_CCM_128:
		return "AES-128-CCM";
	case TLS_CIPHER_CHACHA20_POLY1305:
		return "CHACHA20-POLY1305";
	default:
		return "unknown";
	}
}

static void json_conn_tls(struct nbd_json *j, const struct nbd_conn_info *c)
{
	nbd_json_open(j, "tls", '{');
	nbd_json_text(j, "version", tls_version_name(c->tls_version));
	nbd_json_text(j, "cipher", tls_cipher_name(c->tls_cipher));
	nbd_json_number(j, "records", c->tls_records);
	nbd_json_close(j, '}');
}

static void json_conns(struct nbd_json *j, const struct nbd_status *s)
{
	unsigned int i;

	nbd_json_open(j, "connections", '[');
	for (i = 0; i < s->nconns && i < NBD_STATUS_CONNS_MAX; i++) {
		const struct nbd_conn_info *c = &s->conns[i];

		nbd_json_open(j, NULL, '{');
		nbd_json_number(j, "slot", c->slot);
		nbd_json_text(j, "state", c->live ? "live" : "dead");
		nbd_json_number(j, "requests", c->requests);
		nbd_json_number(j, "replies", c->replies);
		nbd_json_number(j, "inflight", c->inflight);
		nbd_json_bool(j, "structured", c->structured);
		if (c->tls_version)
			json_conn_tls(j, c);
		nbd_json_close(j, '}');
	}
	nbd_json_close(j, ']');
}

static const struct {
	const char *key;
	const char *words;
} counters[NBD_COUNTER_MAX + 1] = {
	[NBD_COUNTER_RESENT] = { "resent", "resent" },
	[NBD_COUNTER_SLOW] = { "slow", "slow" },
	[NBD_COUNTER_TIMEDOUT] = { "timed_out", "timed out" },
	[NBD_COUNTER_CONN_DEATHS] = { "connection_deaths", "connections lost" },
	[NBD_COUNTER_CONNECTS] = { "connects", "connections made" },
	[NBD_COUNTER_SERVER_ERRORS] = { "server_errors", "server errors" },
	[NBD_COUNTER_FAILED] = { "failed", "failed" },
};

static void json_counters(struct nbd_json *j, const struct nbd_status *s)
{
	unsigned int i;

	nbd_json_open(j, "counters", '{');
	for (i = 0; i < ARRAY_SIZE(counters); i++)
		if (counters[i].key)
			nbd_json_number(j, counters[i].key, s->counters[i]);
	nbd_json_close(j, '}');
}

static void json_driver(struct nbd_json *j, const struct nbd_status *s)
{
	nbd_json_number(j, "session", s->session_id);
	nbd_json_number(j, "since_ms", s->since_ms);
	if (s->cause[0])
		nbd_json_text(j, "cause", s->cause);
	nbd_json_number(j, "size", s->size);
	nbd_json_number(j, "block_size", s->block_size);
	nbd_json_bool(j, "read_only", s->server_flags & NBD_FLAG_READ_ONLY);
	nbd_json_number(j, "flags", s->server_flags);
	nbd_json_number(j, "openers", s->openers);
	if (s->identifier[0])
		nbd_json_text(j, "identifier", s->identifier);
	json_told(j, s);
	json_conns(j, s);
	nbd_json_number(j, "retiring", s->retiring);
	nbd_json_number(j, "retiring_inflight", s->retiring_inflight);
	json_counters(j, s);
}

/* The path of a socket byte for byte, as are all names. */
static void json_server(struct nbd_json *j, const char *key,
			const struct nbd_server *server)
{
	char text[NBD_SERVER_TEXT_MAX];

	if (server->family == NBD_UNIX)
		nbd_json_bytes(j, key, server->host, server->host_len);
	else
		nbd_json_text(j, key, nbd_server_text(server, text,
						      sizeof(text)));
}

static void json_outage(struct nbd_json *j, const struct nbd_outage *o,
			const struct nbd_params *p)
{
	s64 now = nbd_now_ms();
	unsigned int i;

	nbd_json_open(j, "outage", '{');
	nbd_json_number(j, "since_ms", now - o->since);
	nbd_json_number(j, "failed_attempts", o->attempts);
	nbd_json_bool(j, "given_up", o->given_up);
	if (o->given_up)
		nbd_json_null(j, "next_attempt_ms");
	else
		nbd_json_number(j, "next_attempt_ms",
				o->next_try > now ? o->next_try - now : 0);
	nbd_json_text(j, "error", o->why);
	nbd_json_open(j, "servers", '[');
	for (i = 0; i < p->nservers; i++) {
		nbd_json_open(j, NULL, '{');
		json_server(j, "server", &p->servers[i]);
		if (o->server[i][0])
			nbd_json_text(j, "error", o->server[i]);
		nbd_json_close(j, '}');
	}
	nbd_json_close(j, ']');
	nbd_json_close(j, '}');
}

static void json_path(struct nbd_json *j, const char *key, const char *path)
{
	if (path)
		nbd_json_text(j, key, path);
	else
		nbd_json_null(j, key);
}

static void json_record(struct nbd_json *j, const struct nbd_record *r)
{
	const struct nbd_params *p = &r->params;
	char path[NBD_NAMESPACE_PATH_MAX];
	unsigned int i;

	nbd_json_text(j, "export", p->export_name ? p->export_name : "");
	nbd_json_open(j, "servers", '[');
	for (i = 0; i < p->nservers; i++)
		json_server(j, NULL, &p->servers[i]);
	nbd_json_close(j, ']');
	json_server(j, "server", &p->servers[r->in_use.server]);
	nbd_json_bool(j, "tls", p->tls);
	if (p->tls)
		nbd_json_bool(j, "tls_verified", !p->tls_insecure);
	json_kept(j, p);
	json_path(j, "netns", nbd_kept_net(&r->namespaces, p->index, path));
	json_path(j, "mntns", nbd_kept_mnt(&r->namespaces, p->index, path));
}

static void json_care(struct nbd_json *j, const struct entry *e)
{
	static const char *const words[] = {
		[NBD_CARE_HERE] = "here",
		[NBD_CARE_ELSEWHERE] = "elsewhere",
		[NBD_CARE_ENDED] = "ended",
		[NBD_CARE_NOBODY] = "nobody",
	};

	nbd_json_text(j, "care", words[nbd_care(e->status, e->has_record)]);
	if (e->status->keeper_pid)
		nbd_json_number(j, "keeper_pid", e->status->keeper_pid);
}

static void json_entry(struct nbd_json *j, const struct entry *e)
{
	char path[NBD_DEVICE_PATH_MAX];

	nbd_json_open(j, NULL, '{');
	nbd_json_text(j, "device", nbd_device_path(e->status->index, path));
	nbd_json_number(j, "index", e->status->index);
	nbd_json_text(j, "state", state_name(e->status->state));
	nbd_json_number(j, "pid", e->status->pid);
	if (e->status->detailed)
		json_driver(j, e->status);
	json_care(j, e);
	if (e->has_record)
		json_record(j, &e->record);
	if (e->has_outage)
		json_outage(j, &e->outage, &e->record.params);
	nbd_json_close(j, '}');
}

static void begin_json(struct nbd_json *j, pid_t monitor)
{
	nbd_json_open(j, NULL, '{');
	nbd_json_bool(j, "monitor", monitor);
	if (monitor > 0)
		nbd_json_number(j, "monitor_pid", monitor);
	nbd_json_open(j, "devices", '[');
}

static void end_json(struct nbd_json *j)
{
	nbd_json_close(j, ']');
	nbd_json_close(j, '}');
}

/* --- for people --- */

/* With what the last attempt to reach it failed of. */
static void print_server(const struct entry *e, unsigned int i, FILE *out)
{
	char text[NBD_SERVER_TEXT_MAX];

	fputs(" at ", out);
	fputs(nbd_server_text(&e->record.params.servers[i], text, sizeof(text)), out);
	fputc('\n', out);
	if (e->has_outage && e->outage.server[i][0])
		fprintf(out, "    last error: %s\n", e->outage.server[i]);
}

static void print_record(const struct entry *e, FILE *out)
{
	const struct nbd_record *r = &e->record;
	char name[600], path[NBD_NAMESPACE_PATH_MAX];
	unsigned int i;

	fputs("  ", out);
	fputs(nbd_export_text(&r->params, name, sizeof(name)), out);
	print_server(e, r->in_use.server, out);
	for (i = 0; i < r->params.nservers; i++) {
		if (i == r->in_use.server)
			continue;
		fputs("  or", out);
		print_server(e, i, out);
	}
	if (nbd_kept_net(&r->namespaces, r->params.index, path))
		fprintf(out, "  in the network namespace %s\n", path);
	if (nbd_kept_mnt(&r->namespaces, r->params.index, path))
		fprintf(out, "  in the mount namespace %s\n", path);
}

static void print_outage(const struct nbd_outage *o, FILE *out)
{
	s64 now = nbd_now_ms();

	fprintf(out, "  not reconnected for %.1f s: %s\n",
		(now - o->since) / 1000.0, o->why);
	fprintf(out, "  %u attempts of process %d have failed, ", o->attempts,
		o->monitor);
	if (o->given_up)
		fputs("and no more are made\n", out);
	else if (o->next_try > now)
		fprintf(out, "the next one is made in %.1f s\n",
			(o->next_try - now) / 1000.0);
	else
		fputs("and one is being made\n", out);
}

static void print_timer(const struct nbd_setting *s, u64 value, FILE *out)
{
	fputs(s->words, out);
	if (nbd_setting_is_never(s, value)) {
		fputs(" never", out);
		return;
	}
	fputs(" after ", out);
	nbd_print_number(out, value);
	fputs(" s", out);
}

#define TIMERS_MAX 8

/* In the order of their places; the table is gone through once. */
static const struct nbd_setting *const *find_timers(void)
{
	static const struct nbd_setting *timers[TIMERS_MAX + 1];
	const struct nbd_setting *s;

	if (timers[0])
		return timers;
	nbd_for_each_setting(s)
		if (s->place && s->place <= TIMERS_MAX)
			timers[s->place - 1] = s;
	return timers;
}

static void print_timers(const struct entry *e, FILE *out)
{
	const char *separator = "  requests: ";
	const struct nbd_setting *const *timers, *s;

	for (timers = find_timers(); (s = *timers); timers++) {
		if (!s->width && !e->has_record)
			continue;
		fputs(separator, out);
		print_timer(s, s->width ? e->status->told[s->bit] :
			    nbd_setting_number(s, &e->record.params), out);
		separator = ", ";
	}
	fputc('\n', out);
}

static void print_read_ahead(const struct nbd_status *s, FILE *out)
{
	static const struct nbd_setting *setting;

	if (!setting)
		setting = nbd_setting_of_tab("read_ahead");
	fputs("  reads ", out);
	nbd_print_size(s->told[setting->bit] << 10, out);
	fputs(" ahead\n", out);
}

/* Of the connection that has gone farthest. */
static void print_tls(const struct entry *e, FILE *out)
{
	const struct nbd_params *p = &e->record.params;
	const struct nbd_conn_info *worn = NULL;
	unsigned int i;

	for (i = 0; i < e->status->nconns && i < NBD_STATUS_CONNS_MAX; i++) {
		const struct nbd_conn_info *c = &e->status->conns[i];

		if (c->tls_version && (!worn || worn->tls_records < c->tls_records))
			worn = c;
	}
	if (!worn && !(e->has_record && p->tls))
		return;
	fputs("  TLS", out);
	if (worn)
		fprintf(out, " %s, %s", tls_version_name(worn->tls_version),
			tls_cipher_name(worn->tls_cipher));
	if (e->has_record)
		fprintf(out, ", the server is %sverified%s", p->tls_insecure ? "not " : "",
			p->tls_psk ? " by a pre-shared key" : "");
	if (worn && e->has_record && !p->tls_for_good)
		fprintf(out, ", %llu of %u records until the connections are made anew",
			worn->tls_records, p->tls_renew);
	else if (e->has_record && p->tls_for_good)
		fputs(", the keys are not renewed", out);
	fputc('\n', out);
}

static void print_retiring(const struct nbd_status *s, FILE *out)
{
	if (s->retiring)
		fprintf(out, "  replaced: %u connections, whose server has %u requests to answer\n",
			s->retiring, s->retiring_inflight);
}

static void print_counters(const struct nbd_status *s, FILE *out)
{
	const char *separator = "  counted: ";
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(counters); i++) {
		if (!counters[i].key)
			continue;
		fputs(separator, out);
		nbd_print_number(out, s->counters[i]);
		fputc(' ', out);
		fputs(counters[i].words, out);
		separator = ", ";
	}
	fputc('\n', out);
}

static const char no_monitor[] =
	"  no monitor runs, so no lost connection comes back: start nbd-client -monitor\n";

static void print_care(const struct entry *e, FILE *out)
{
	char text[NBD_CARE_TEXT_MAX];

	nbd_care_text(e->status, nbd_care(e->status, e->has_record), text,
		      sizeof(text));
	if (*text)
		fprintf(out, "  %s\n", text);
}

/* As "%.1f" does, to the last digit. */
static void print_seconds(u64 ms, FILE *out)
{
	const u64 tenths = (ms + 50) / 100;

	if (ms % 100 == 50 || ms > S32_MAX) {
		fprintf(out, "%.1f", ms / 1000.0);
		return;
	}
	nbd_print_number(out, tenths / 10);
	fputc('.', out);
	fputc('0' + tenths % 10, out);
}

static void print_driver(const struct nbd_status *s, FILE *out)
{
	fputs(" for ", out);
	print_seconds(s->since_ms, out);
	fputs(" s, ", out);
	nbd_print_size(s->size, out);
	if (s->server_flags & NBD_FLAG_READ_ONLY)
		fputs(" read-only", out);
	fputs(", ", out);
	nbd_print_number(out, s->nlive);
	fputs(" of ", out);
	nbd_print_number(out, s->nconns);
	fputs(" connections, open ", out);
	nbd_print_number(out, s->openers);
	fputs(" times", out);
}

static void print_entry(const struct entry *e, bool monitor, FILE *out)
{
	const struct nbd_status *s = e->status;
	char path[NBD_DEVICE_PATH_MAX];

	fputs(nbd_device_path(s->index, path), out);
	fputs(": ", out);
	fputs(state_name(s->state), out);
	if (s->detailed)
		print_driver(s, out);
	fputc('\n', out);
	if (s->cause[0])
		fprintf(out, "  %s: %s\n", s->state == NBD_STATE_LIVE ?
			"last lost connection" : "because", s->cause);
	if (e->has_record)
		print_record(e, out);
	print_tls(e, out);
	if (e->has_outage)
		print_outage(&e->outage, out);
	if (!monitor && e->has_record && nbd_record_monitored(&e->record))
		fputs(no_monitor, out);
	print_care(e, out);
	if (s->detailed) {
		print_retiring(s, out);
		print_timers(e, out);
		print_read_ahead(s, out);
		print_counters(s, out);
	}
}

/* --- all of them --- */

static void print_device(void *arg, const struct nbd_status *status)
{
	struct listing *l = arg;
	struct entry *e = &l->entry;

	if (status->state == NBD_STATE_FREE || (l->index >= 0 && status->index != l->index))
		return;
	l->n++;
	e->status = status;
	attach_record(e, l->folder);
	attach_outage(e, l->monitor);
	if (l->json)
		json_entry(&l->j, e);
	else
		print_entry(e, l->monitor, l->out);
	if (e->has_record)
		nbd_record_free(&e->record);
}

static int list_devices(struct listing *l, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];
	struct nbd_kernel kernel;
	int ret;

	ret = nbd_kernel_open(&kernel, false, err);
	if (ret == -ENOENT && l->index < 0)
		return 0;	/* without a driver nothing is attached */
	if (ret)
		return ret;
	l->folder = nbd_rundir_open(NULL);
	ret = nbd_kernel_status(&kernel, l->index, print_device, l, err);
	if (l->folder >= 0)
		close(l->folder);
	nbd_kernel_close(&kernel);
	if (!ret && l->index >= 0 && !l->n)
		ret = nbd_fail(err, NBD_EXIT_FAILURE, ENODEV, "%s is not attached",
			       nbd_device_path(l->index, path));
	return ret;
}

/**
 * struct draft - text that is kept back
 * @out:	where it goes
 * @dropped:	it is not wanted after all
 */
struct draft {
	FILE *out;
	bool dropped;
};

static ssize_t write_draft(void *cookie, const char *text, size_t size)
{
	struct draft *d = cookie;

	return d->dropped || fwrite(text, 1, size, d->out) == size ? (ssize_t)size : 0;
}

/*
 * The driver is not made to wait for whoever reads the text, and who is told of a failure gets
 * no text: it is written when all is known, as long as it fits into @buffer, of which memory
 * that is not used costs nothing.
 */
static FILE *open_draft(struct draft *d, char *buffer)
{
	const cookie_io_functions_t io = { .write = write_draft };
	FILE *file = buffer ? fopencookie(d, "w", io) : NULL;

	if (!file)
		return NULL;
	setvbuf(file, buffer, _IOFBF, DRAFT_BYTES);
	__fsetlocking(file, FSETLOCKING_BYCALLER);
	return file;
}

int nbd_print_status(s32 index, bool json, FILE *out, struct nbd_err *err)
{
	struct listing l = { .index = index, .json = json, .monitor = nbd_monitor_pid() };
	struct draft draft = { .out = out };
	char *buffer = malloc(DRAFT_BYTES);
	int ret;

	l.out = open_draft(&draft, buffer);
	l.j.out = l.out;
	if (!l.out) {
		free(buffer);
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	}
	if (json)
		begin_json(&l.j, l.monitor);
	ret = list_devices(&l, err);
	if (json)
		end_json(&l.j);
	draft.dropped = ret;
	fclose(l.out);
	free(buffer);
	return ret;
}
