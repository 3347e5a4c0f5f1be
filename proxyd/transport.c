#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <openssl/err.h>
#include "proxyd/transport.h"

static BIO_METHOD *bio_method(void);
static void on_event(struct loop_watch *w, uint32_t events);

/* What an earlier failure anywhere in this thread left in the queue would make the next call into libssl fail. To clear it goes through all of it, empty or not:
 * 0.17 µs, five times a request. */
static void
clear_errors(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

/* SSL_set_cert_cb(3): what the client wants has been read, and nothing of the answer is there. */
static int
on_halfway(SSL *ssl, void *arg)
{
	struct transport *t = arg;

	(void)ssl;
	t->halfway = !t->was_halfway;
	t->was_halfway = true;
	return t->halfway ? -1 : 1;
}

enum err
transport_open(struct transport *t, struct loop *loop, int fd, SSL *ssl, bool connecting, void (*on_ready)(struct transport *t))
{
	enum err err = E_NOMEM;

	*t = (struct transport){
		.watch = { .fd = fd, .on_event = on_event },
		.loop = loop,
		.on_ready = on_ready,
		.connecting = connecting,
		.handshaken = !ssl && !connecting,
		.drained = true, /* being added reports what is there already */
		.full = connecting,
	};
	if (ssl) {
		BIO *bio = bio_method() ? BIO_new(bio_method()) : NULL;
		if (!bio)
			goto fail;
		BIO_set_data(bio, t);
		BIO_set_init(bio, 1);
		SSL_set_bio(ssl, bio, bio);
		if (SSL_is_server(ssl))
			SSL_set_cert_cb(ssl, on_halfway, t);
	}
	err = loop_add(loop, &t->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	if (err)
		goto fail;
	t->ssl = ssl;
	return OK;
fail:
	SSL_free(ssl);
	close(fd);
	t->watch.fd = -1;
	return err;
}

static void
on_event(struct loop_watch *w, uint32_t events)
{
	struct transport *t = (struct transport *)((char *)w - offsetof(struct transport, watch));

	/* After an error or a hang-up both directions answer at once: let the calls find out which. */
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		t->drained = false;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		t->full = false;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		t->ended = true;
	t->on_ready(t);
}

static ssize_t
receive(struct transport *t, char *p, size_t n, int flags)
{
	ssize_t r;

	if (t->drained) {
		errno = EAGAIN;
		return -1;
	}
	do
		r = recv(t->watch.fd, p, n, flags);
	while (r < 0 && errno == EINTR);
	t->at_end = r == 0;
	if (r < 0 && errno == EAGAIN)
		t->drained = true;
	else if (r > 0 && (size_t)r < n && !t->ended)
		t->drained = true; /* the FIN would not show: with t->ended we go on until recv says 0 */
	return r;
}

static ssize_t
transmit(struct transport *t, const char *p, size_t n)
{
	ssize_t r;

	if (t->full) {
		errno = EAGAIN;
		return -1;
	}
	do
		r = send(t->watch.fd, p, n, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if ((r < 0 && errno == EAGAIN) || (r >= 0 && (size_t)r < n))
		t->full = true;
	return r;
}

static int
bio_read(BIO *bio, char *p, int n)
{
	struct transport *t = BIO_get_data(bio);
	ssize_t r = receive(t, p, (size_t)n, 0);

	BIO_clear_retry_flags(bio);
	/* The end, too: libssl would answer it with an alert, which a peer that has closed answers with a reset. tls_result tells it from nothing yet. */
	if (r == 0 || (r < 0 && errno == EAGAIN))
		BIO_set_retry_read(bio);
	else if (r < 0)
		t->error = errno;
	return r > 0 ? (int)r : -1;
}

static int
bio_write(BIO *bio, const char *p, int n)
{
	struct transport *t = BIO_get_data(bio);
	ssize_t r = transmit(t, p, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (r < 0 && errno == EAGAIN)
		BIO_set_retry_write(bio);
	else if (r < 0)
		t->error = errno;
	return (int)r;
}

static long
bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio, (void)num, (void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

/* One per process, never freed: every connection points to it. */
static BIO_METHOD *
bio_method(void)
{
	static BIO_METHOD *method;

	if (!method && (method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "transport"))) {
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_ctrl(method, bio_ctrl);
	}
	return method;
}

static enum io
fail(struct transport *t, int error)
{
	t->cut = true;
	if (error)
		t->error = error;
	return IO_FAILED;
}

/* What a call into libssl that did not succeed means. */
static enum io
tls_result(struct transport *t, int ret)
{
	int why = SSL_get_error(t->ssl, ret);

	switch (why) {
	case SSL_ERROR_WANT_READ:
		if (!t->at_end)
			return IO_AGAIN;
		t->tls_error = ERR_PACK(ERR_LIB_SSL, 0, SSL_R_UNEXPECTED_EOF_WHILE_READING); /* RFC 8446 section 6.1: truncated */
		return fail(t, 0);
	case SSL_ERROR_WANT_WRITE:
	case SSL_ERROR_WANT_X509_LOOKUP: /* halfway */
		return IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return IO_EOF;
	case SSL_ERROR_SYSCALL:
		/* The socket's error, not the protocol's: what the peer sent before it may still be read. */
		if (t->error && !ERR_peek_error())
			return IO_FAILED;
		/* fall through */
	default:
		t->tls_error = ERR_peek_error();
		ERR_clear_error();
		return fail(t, 0);
	}
}

static enum io
finish_connect(struct transport *t)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (t->full)
		return IO_AGAIN;
	if (getsockopt(t->watch.fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error)
		return fail(t, error);
	t->connecting = false;
	t->handshaken = !t->ssl;
	return IO_OK;
}

enum io
transport_handshake(struct transport *t)
{
	if (t->cut)
		return IO_FAILED;
	if (t->connecting) {
		enum io io = finish_connect(t);
		if (io != IO_OK)
			return io;
	}
	if (t->handshaken)
		return IO_OK;
	t->halfway = false;
	clear_errors();
	int ret = SSL_do_handshake(t->ssl);
	if (ret == 1) {
		t->handshaken = true;
		return IO_OK;
	}
	enum io io = tls_result(t, ret);
	return io == IO_AGAIN ? io : fail(t, 0);
}

bool
transport_may_read(const struct transport *t)
{
	return !t->drained || t->cut || (t->ssl && SSL_has_pending(t->ssl));
}

static enum io
read_plain(struct transport *t, char *p, size_t n, size_t *got)
{
	ssize_t r = receive(t, p, n, 0);

	if (r > 0) {
		*got = (size_t)r;
		return IO_OK;
	}
	if (r == 0)
		return IO_EOF;
	return errno == EAGAIN ? IO_AGAIN : fail(t, errno);
}

enum io
transport_read(struct transport *t, char *p, size_t n, size_t *got)
{
	assert(n > 0);
	*got = 0;
	if (t->cut)
		return IO_FAILED;
	if (!transport_may_read(t))
		return IO_AGAIN;
	if (!t->ssl)
		return read_plain(t, p, n, got);
	clear_errors();
	int ret = SSL_read_ex(t->ssl, p, n, got);
	if (ret == 1)
		return IO_OK;
	enum io io = tls_result(t, ret);
	return io == IO_FAILED ? fail(t, 0) : io;
}

static enum io
write_some(struct transport *t, const char *p, size_t n, size_t *put)
{
	*put = 0;
	if (t->ssl) {
		clear_errors();
		int ret = SSL_write_ex(t->ssl, p, n, put);
		return ret == 1 ? IO_OK : tls_result(t, ret);
	}
	ssize_t r = transmit(t, p, n);
	if (r >= 0) {
		*put = (size_t)r;
		return IO_OK;
	}
	if (errno == EAGAIN)
		return IO_AGAIN;
	t->error = errno;
	return IO_FAILED;
}

enum io
transport_write(struct transport *t, const char *p, size_t n, size_t *put)
{
	*put = 0;
	if (t->cut || t->deaf)
		return IO_FAILED;
	while (*put < n) {
		size_t some;
		if (t->full)
			return IO_AGAIN;
		enum io io = write_some(t, p + *put, n - *put, &some);
		*put += some;
		if (io == IO_AGAIN)
			return io;
		if (io != IO_OK) {
			t->deaf = true;
			return IO_FAILED;
		}
	}
	return IO_OK;
}

bool
transport_say_end(struct transport *t)
{
	/* Called once more after it was written, SSL_shutdown would begin to read for the peer's. */
	if (t->said_end || !t->ssl || !t->handshaken || t->cut || t->deaf)
		return true;
	clear_errors();
	int ret = SSL_shutdown(t->ssl);
	t->said_end = ret >= 0 || SSL_get_error(t->ssl, ret) != SSL_ERROR_WANT_WRITE;
	ERR_clear_error();
	return t->said_end;
}

void
transport_end(struct transport *t)
{
	if (t->watch.fd < 0)
		return;
	transport_say_end(t);
	shutdown(t->watch.fd, SHUT_WR);
}

enum io
transport_discard(struct transport *t)
{
	static char waste[65536]; /* never read: a TCP socket does not even copy with MSG_TRUNC (tcp(7)) */

	for (size_t n = 0; n < TRANSPORT_DISCARD_MAX;) {
		ssize_t r = receive(t, waste, sizeof(waste), MSG_TRUNC);
		if (r == 0)
			return IO_EOF;
		if (r < 0)
			return errno == EAGAIN ? IO_AGAIN : fail(t, errno);
		n += (size_t)r;
	}
	return IO_OK;
}

enum io
transport_peek(struct transport *t, char *p, size_t n, size_t *got)
{
	ssize_t r = receive(t, p, n, MSG_PEEK);

	*got = r > 0 ? (size_t)r : 0;
	/* The bytes stay where they are: whether more comes is for the next event to say, whether these are taken, for the caller. */
	t->drained = r < 0 && errno == EAGAIN;
	if (r > 0)
		return IO_OK;
	return r == 0 ? IO_EOF : t->drained ? IO_AGAIN : fail(t, errno);
}

enum io
transport_skip(struct transport *t, size_t n)
{
	char waste[512];

	while (n) {
		ssize_t r = receive(t, waste, n < sizeof(waste) ? n : sizeof(waste), 0);
		if (r <= 0)
			return r == 0 ? IO_EOF : fail(t, errno);
		n -= (size_t)r;
	}
	t->drained = false;
	return IO_OK;
}

void
transport_rest(struct transport *t)
{
	if (t->ssl)
		SSL_free_buffers(t->ssl); /* 0: something is in them, and stays there */
}

void
transport_send_raw(struct transport *t, struct slice bytes)
{
	ssize_t r = transmit(t, bytes.p, bytes.n);
	(void)r;
}

void
transport_close(struct transport *t)
{
	if (t->watch.fd < 0)
		return;
	loop_remove(t->loop, &t->watch);
	if (t->ssl) {
		/* Without this mark libssl takes a session that was cut for a bad one and would not resume it. */
		if (!t->tls_error)
			SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(t->ssl);
		t->ssl = NULL;
	}
	close(t->watch.fd);
	t->watch.fd = -1;
}

bool
transport_is_plain_http(const struct transport *t)
{
	return ERR_GET_LIB(t->tls_error) == ERR_LIB_SSL && ERR_GET_REASON(t->tls_error) == SSL_R_HTTP_REQUEST;
}

const char *
transport_why(const struct transport *t, char out[TRANSPORT_WHY_MAX])
{
	const char *text = t->tls_error ? ERR_reason_error_string(t->tls_error) : NULL;
	long verdict = t->ssl ? SSL_get_verify_result(t->ssl) : X509_V_OK;

	if (text && verdict != X509_V_OK)
		snprintf(out, TRANSPORT_WHY_MAX, "%s: %s", text, X509_verify_cert_error_string(verdict));
	else if (text)
		snprintf(out, TRANSPORT_WHY_MAX, "TLS: %s", text);
	else if (t->error)
		snprintf(out, TRANSPORT_WHY_MAX, "%s", strerrordesc_np(t->error));
	else
		snprintf(out, TRANSPORT_WHY_MAX, "%s", "connection closed by peer");
	return out;
}
