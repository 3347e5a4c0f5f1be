/* end_unit.h - one end of a connection, plain or with TLS, that blocks: what the test says and what it hears; and certificates for such. */
#ifndef TESTS_END_UNIT_H
#define TESTS_END_UNIT_H

#include <errno.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include "tests/unit/unit.h"
#include "tests/unit/unit_tls.h"

/* ---- certificates ---- */

struct unit_pem {
	char cert[4096], key[2048];
};

static inline void
unit_pem_make(struct unit_pem *out, const char *san)
{
	EVP_PKEY *key = test_key_new(0);
	X509 *cert = unit_cert_make(key, "unit", san, NULL, NULL, time(NULL) - 60, time(NULL) + 3600);
	BIO *b = BIO_new(BIO_s_mem());
	int n;

	assert_int_equal(PEM_write_bio_X509(b, cert), 1);
	assert_true((n = BIO_read(b, out->cert, sizeof(out->cert) - 1)) > 0);
	out->cert[n] = '\0';
	assert_int_equal(PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_true((n = BIO_read(b, out->key, sizeof(out->key) - 1)) > 0);
	out->key[n] = '\0';
	BIO_free(b);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* ---- a blocking end of a connection ---- */

#define UNIT_WAIT_S 5
struct end {
	int fd;
	SSL *ssl; /* NULL: plain */
};

static inline void
end_patience(struct end *e)
{
	const struct timeval patience = { .tv_sec = UNIT_WAIT_S };

	assert_int_equal(setsockopt(e->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(setsockopt(e->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
	setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)); /* a unix socket has none */
}

/* Bytes read, 0: EOF, -1: reset, cut or nothing in time. */
static inline ssize_t
end_read(struct end *e, char *p, size_t n)
{
	ERR_clear_error();
	if (e->ssl) {
		int r = SSL_read(e->ssl, p, (int)n);
		return r > 0 ? r : SSL_get_error(e->ssl, r) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
	}
	return recv(e->fd, p, n, 0);
}

static inline void
end_write(struct end *e, const char *p, size_t n)
{
	while (n) {
		ERR_clear_error();
		ssize_t r = e->ssl ? SSL_write(e->ssl, p, n < 1 << 20 ? (int)n : 1 << 20) : send(e->fd, p, n, MSG_NOSIGNAL);
		assert_true(r > 0);
		p += r;
		n -= (size_t)r;
	}
}
static inline void
end_say(struct end *e, const char *text)
{
	end_write(e, text, strlen(text));
}

/* The next strlen(text) bytes are these. */
static inline void
end_hear(struct end *e, const char *text)
{
	char got[65536];
	size_t n = 0, want = strlen(text);

	assert_true(want < sizeof(got));
	while (n < want) {
		ssize_t r = end_read(e, got + n, want - n);
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	got[n] = '\0';
	assert_string_equal(got, text);
}

/* A head, up to and with its empty line, into out (NUL-terminated). Reads no byte behind it. */
static inline void
end_hear_head(struct end *e, char *out, size_t cap)
{
	size_t n = 0;

	while (n + 1 < cap) {
		ssize_t r = end_read(e, out + n, 1);
		if (r != 1)
			fail_msg("no whole head: \"%.*s\"", (int)n, out);
		n++;
		if (n >= 4 && memcmp(out + n - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	out[n] = '\0';
}

/* A head whose status this is. */
static inline void
end_hear_status(struct end *e, const char *status, char *out, size_t cap)
{
	char expected[32];

	end_hear_head(e, out, cap);
	snprintf(expected, sizeof(expected), "HTTP/1.1 %s ", status);
	if (strncmp(out, expected, strlen(expected)) != 0)
		fail_msg("%s, expected %s", out, status);
}

static inline void
end_hear_eof(struct end *e)
{
	char c;

	assert_int_equal(end_read(e, &c, 1), 0);
}
/* Ended without the end being said: what was under way is not to be taken for whole. */
static inline void
end_hear_cut(struct end *e)
{
	char waste[4096];
	ssize_t r;

	while ((r = end_read(e, waste, sizeof(waste))) > 0)
		;
	assert_int_equal(r, -1);
	assert_int_not_equal(errno, EAGAIN);
}
/* Nothing is said for so long; session tickets do not count. */
static inline bool
end_is_silent(struct end *e, int ms)
{
	const struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 + 1 };
	char c;
	bool silent;

	setsockopt(e->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	ERR_clear_error();
	if (e->ssl) {
		int r = SSL_peek(e->ssl, &c, 1);
		silent = r <= 0 && SSL_get_error(e->ssl, r) == SSL_ERROR_WANT_READ;
	} else {
		silent = recv(e->fd, &c, 1, MSG_PEEK) < 0 && errno == EAGAIN;
	}
	end_patience(e);
	return silent;
}

static inline void
end_close(struct end *e)
{
	if (e->ssl) {
		SSL_shutdown(e->ssl);
		SSL_free(e->ssl);
	}
	if (e->fd >= 0)
		close(e->fd);
	*e = (struct end){ .fd = -1 };
}
/* Without a word: RST. */
static inline void
end_reset(struct end *e)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	SSL_free(e->ssl);
	close(e->fd);
	*e = (struct end){ .fd = -1 };
}

#endif
