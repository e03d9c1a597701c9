// SPDX-License-Identifier: GPL-2.0
/*
 * Who we are and whom we believe, for TLS.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "credentials.h"
#include "gnutls.h"

/* No such file is larger; the system's authorities are some 220 KB. */
#define FILE_MAX (4 << 20)
#define PSK_HEX_MAX 512

static const char *const names[NBD_SECRETS_N] = {
	[NBD_SECRET_AUTHORITIES] = "authorities",
	[NBD_SECRET_CERTIFICATE] = "certificate",
	[NBD_SECRET_KEY] = "key",
	[NBD_SECRET_USER] = "user",
	[NBD_SECRET_PSK] = "psk",
};

static void free_secret(struct nbd_credentials *c, enum nbd_secret which)
{
	if (c->text[which])
		explicit_bzero(c->text[which], c->len[which]);
	free(c->text[which]);
	c->text[which] = NULL;
	c->len[which] = 0;
}

void nbd_credentials_free(struct nbd_credentials *c)
{
	unsigned int i;

	if (!c)
		return;
	for (i = 0; i < NBD_SECRETS_N; i++)
		free_secret(c, i);
	if (c->x509)
		nbd_gnutls.certificate_free_credentials(c->x509);
	if (c->psk)
		nbd_gnutls.psk_free_client_credentials(c->psk);
	free(c);
}

/* Takes @len bytes of @fd as they come; -EIO for a file that ends before. */
static int read_bytes(int fd, char *to, size_t len)
{
	ssize_t n;

	while (len) {
		n = read(fd, to, len);
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		to += n;
		len -= n;
	}
	return 0;
}

static int read_open_file(int fd, struct nbd_credentials *c, enum nbd_secret which)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (st.st_size > FILE_MAX)
		return -EFBIG;
	c->text[which] = calloc(1, st.st_size + 1);
	if (!c->text[which])
		return -ENOMEM;
	c->len[which] = st.st_size;
	return read_bytes(fd, c->text[which], st.st_size);
}

static int read_file(struct nbd_credentials *c, enum nbd_secret which, const char *path,
		     struct nbd_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int ret = fd < 0 ? -errno : read_open_file(fd, c, which);
	char text[256];

	if (fd >= 0)
		close(fd);
	if (!ret)
		return 0;
	return nbd_fail(err, NBD_EXIT_TLS, -ret, "TLS: cannot read %s: %s",
			nbd_sanitize(text, sizeof(text), path, strlen(path)), strerror(-ret));
}

/* Whoever reads them again has another working directory. */
static int make_absolute(char **path, struct nbd_err *err)
{
	char folder[PATH_MAX], *absolute;

	if (!*path || **path == '/')
		return 0;
	if (!getcwd(folder, sizeof(folder)))
		return nbd_fail(err, NBD_EXIT_FAILURE, errno,
				"the working directory of the file %s: %s", *path,
				strerror(errno));
	if (asprintf(&absolute, "%s/%s", folder, *path) < 0)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	free(*path);
	*path = absolute;
	return 0;
}

static int make_all_absolute(struct nbd_params *params, struct nbd_err *err)
{
	char **const paths[] = {
		&params->tls_ca, &params->tls_cert, &params->tls_key, &params->tls_psk,
	};
	unsigned int i;
	int ret = 0;

	for (i = 0; i < ARRAY_SIZE(paths) && !ret; i++)
		ret = make_absolute(paths[i], err);
	return ret;
}

static int read_authorities(struct nbd_credentials *c, const struct nbd_params *params,
			    struct nbd_err *err)
{
	const char *path = params->tls_ca;
	int ret;

	if (params->tls_insecure)
		return 0;
	ret = read_file(c, NBD_SECRET_AUTHORITIES, path ? path : NBD_SYSTEM_TRUST, err);
	if (ret && !path)
		nbd_fail(err, NBD_EXIT_TLS, -ret,
			 "TLS: there are no certificate authorities: name yours with -cacertfile FILE, or install the system's in %s (apt install ca-certificates)",
			 NBD_SYSTEM_TRUST);
	return ret;
}

static int read_x509(struct nbd_credentials *c, const struct nbd_params *params,
		     struct nbd_err *err)
{
	const char *key = params->tls_key ? params->tls_key : params->tls_cert;
	int ret = read_authorities(c, params, err);

	if (ret || !key)
		return ret;
	if (!params->tls_cert)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-keyfile is of no use without the certificate that it belongs to (-certfile)");
	ret = read_file(c, NBD_SECRET_CERTIFICATE, params->tls_cert, err);
	return ret ? ret : read_file(c, NBD_SECRET_KEY, key, err);
}

/* The key behind "@user:" at the start of a line of @text, or NULL; terminates it there. */
static char *find_psk(char *text, const char *user)
{
	size_t len = strlen(user);
	char *line, *save = NULL;

	for (line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
		if (!strncmp(line, user, len) && line[len] == ':')
			return line + len + 1;
	return NULL;
}

static int take_psk(struct nbd_credentials *c, const struct nbd_params *params, char *file,
		    struct nbd_err *err)
{
	const char *user = params->tls_user ? params->tls_user : "nbd";
	char *key = find_psk(file, user), text[128];
	size_t len = key ? strlen(key) : 0;

	nbd_sanitize(text, sizeof(text), user, strlen(user));
	if (!key)
		return nbd_fail(err, NBD_EXIT_TLS, ENOENT,
				"TLS: %s has no key of the user \"%s\" (-tlsuser names another; psktool -u makes one)",
				params->tls_psk, text);
	if (!len || len % 2 || len > PSK_HEX_MAX ||
	    strspn(key, "0123456789abcdefABCDEF") != len)
		return nbd_fail(err, NBD_EXIT_TLS, EINVAL,
				"TLS: in %s the key of the user \"%s\" does not consist of hexadecimal digits",
				params->tls_psk, text);
	c->text[NBD_SECRET_USER] = strdup(user);
	c->text[NBD_SECRET_PSK] = strdup(key);
	if (!c->text[NBD_SECRET_USER] || !c->text[NBD_SECRET_PSK])
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	c->len[NBD_SECRET_USER] = strlen(user);
	c->len[NBD_SECRET_PSK] = len;
	return 0;
}

static int read_psk(struct nbd_credentials *c, const struct nbd_params *params,
		    struct nbd_err *err)
{
	struct nbd_credentials file = { 0 };
	int ret;

	if (params->tls_ca || params->tls_cert || params->tls_key)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"TLS uses certificates or a pre-shared key (-pskfile), not both");
	ret = read_file(&file, NBD_SECRET_PSK, params->tls_psk, err);
	if (!ret)
		ret = take_psk(c, params, file.text[NBD_SECRET_PSK], err);
	free_secret(&file, NBD_SECRET_PSK);
	return ret;
}

bool nbd_credentials_are_psk(const struct nbd_credentials *c)
{
	return c->text[NBD_SECRET_PSK];
}

/* What the library says of one of them. */
static int bad_secret(const char *what, int code, struct nbd_err *err)
{
	return nbd_fail(err, NBD_EXIT_TLS, EINVAL, "TLS: the %s cannot be used: %s", what,
			nbd_gnutls.strerror(code));
}

static gnutls_datum_t datum(const struct nbd_credentials *c, enum nbd_secret which)
{
	return (gnutls_datum_t){ .data = (void *)c->text[which], .size = c->len[which] };
}

static int add_authorities(struct nbd_credentials *c, struct nbd_err *err)
{
	gnutls_datum_t pem = datum(c, NBD_SECRET_AUTHORITIES);
	int n;

	if (!pem.data)
		return 0;
	n = nbd_gnutls.certificate_set_x509_trust_mem(c->x509, &pem, GNUTLS_X509_FMT_PEM);
	if (n > 0)
		return 0;
	return bad_secret("file of certificate authorities", n ? n : GNUTLS_E_BASE64_DECODING_ERROR,
			  err);
}

static int add_certificate(struct nbd_credentials *c, struct nbd_err *err)
{
	gnutls_datum_t cert = datum(c, NBD_SECRET_CERTIFICATE), key = datum(c, NBD_SECRET_KEY);
	int code;

	if (!cert.data)
		return 0;
	code = nbd_gnutls.certificate_set_x509_key_mem(c->x509, &cert, &key,
						       GNUTLS_X509_FMT_PEM);
	return code < 0 ? bad_secret("client's certificate, or its key,", code, err) : 0;
}

static int make_x509(struct nbd_credentials *c, struct nbd_err *err)
{
	gnutls_certificate_credentials_t x509;
	int ret;

	if (nbd_gnutls.certificate_allocate_credentials(&x509))
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	c->x509 = x509;
	ret = add_authorities(c, err);
	return ret ? ret : add_certificate(c, err);
}

static int make_psk(struct nbd_credentials *c, struct nbd_err *err)
{
	gnutls_datum_t key = datum(c, NBD_SECRET_PSK);
	gnutls_psk_client_credentials_t psk;
	int code;

	if (nbd_gnutls.psk_allocate_client_credentials(&psk))
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	c->psk = psk;
	code = nbd_gnutls.psk_set_client_credentials(psk, c->text[NBD_SECRET_USER], &key,
						     GNUTLS_PSK_KEY_HEX);
	return code < 0 ? bad_secret("pre-shared key", code, err) : 0;
}

int nbd_credentials_ready(struct nbd_credentials *c, struct nbd_err *err)
{
	int ret = nbd_gnutls_open(err);

	if (ret || c->x509 || c->psk)
		return ret;
	return nbd_credentials_are_psk(c) ? make_psk(c, err) : make_x509(c, err);
}

int nbd_credentials_load(struct nbd_params *params, struct nbd_err *err)
{
	struct nbd_credentials *c;
	int ret;

	if (!params->tls)
		return 0;
	ret = make_all_absolute(params, err);
	if (ret)
		return ret;
	c = calloc(1, sizeof(*c));
	if (!c)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	ret = params->tls_psk ? read_psk(c, params, err) : read_x509(c, params, err);
	if (!ret)
		ret = nbd_credentials_ready(c, err);
	if (ret) {
		nbd_credentials_free(c);
		return ret;
	}
	nbd_credentials_free(params->credentials);
	params->credentials = c;
	return 0;
}

void nbd_credentials_print(const struct nbd_credentials *c, FILE *file)
{
	unsigned int i;

	for (i = 0; i < NBD_SECRETS_N; i++) {
		if (!c->text[i])
			continue;
		fprintf(file, "%s %zu\n", names[i], c->len[i]);
		fwrite(c->text[i], 1, c->len[i], file);
		fputc('\n', file);
	}
	fputs("end 0\n", file);
}

static int parse_secret(struct nbd_credentials *c, const char *name, size_t len, FILE *file)
{
	unsigned int i = 0;

	while (i < NBD_SECRETS_N && strcmp(names[i], name))
		i++;
	if (i == NBD_SECRETS_N || c->text[i] || len > FILE_MAX)
		return -EINVAL;
	c->text[i] = calloc(1, len + 1);
	if (!c->text[i])
		return -ENOMEM;
	c->len[i] = len;
	if (fread(c->text[i], 1, len, file) != len || fgetc(file) != '\n')
		return -EINVAL;
	return 0;
}

struct nbd_credentials *nbd_credentials_parse(FILE *file)
{
	struct nbd_credentials *c = calloc(1, sizeof(*c));
	bool complete = false;
	char name[16];
	size_t len;
	int ret = 0;

	while (c && !ret && !complete) {
		if (fscanf(file, "%15s %zu", name, &len) != 2 || fgetc(file) != '\n')
			ret = -EINVAL;
		else if (!strcmp(name, "end"))
			complete = true;
		else
			ret = parse_secret(c, name, len, file);
	}
	if (complete && !c->text[NBD_SECRET_PSK] == !c->text[NBD_SECRET_USER])
		return c;
	nbd_credentials_free(c);
	return NULL;
}
