/* What an idle watch cannot do without: OpenSSL's state of two connections, a client's and an apiserver's, made with proxyd's own contexts; and, for HTTP/2, nghttp2's of a
 * stream. Resident memory of this process, for each of N.
 *
 *   proxy_bare N CERT KEY CA    prints the KiB of a watch over HTTP/1.1 and of one of a hundred on a connection over HTTP/2 */
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "proxyd/tls.h"
#include "shared/file.h"

#define STREAMS 100

static double
resident_kib(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%ld %ld", &pages, &resident) != 2)
		exit(1);
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "proxy_bare: %s\n", what);
	exit(1);
}

static struct slice
read_whole(const char *path)
{
	struct buf *b = calloc(1, sizeof(*b));

	must(b != NULL, "memory");
	buf_init(b, 0);
	must(file_read(path, 1 << 20, b) == OK, path);
	return buf_slice(b);
}

/* The other end of one connection, in a process of its own: handshake, a request or an answer, then silence. */
static void
play(SSL_CTX *ctx, int fd, bool accepts)
{
	char bytes[512] = { 0 };
	SSL *ssl = SSL_new(ctx);

	must(ssl && SSL_set_fd(ssl, fd) == 1, "memory");
	must((accepts ? SSL_accept(ssl) : SSL_connect(ssl)) == 1, "no handshake there");
	if (accepts)
		must(SSL_read(ssl, bytes, sizeof(bytes)) > 0 && SSL_write(ssl, bytes, 300) == 300, "no exchange there");
	else
		must(SSL_write(ssl, bytes, 500) == 500 && SSL_read(ssl, bytes, sizeof(bytes)) > 0, "no exchange there");
}

static void
hold(SSL *ssl, int fd, bool accepts)
{
	char bytes[512] = { 0 };

	must(ssl && SSL_set_fd(ssl, fd) == 1, "memory");
	must((accepts ? SSL_accept(ssl) : SSL_connect(ssl)) == 1, "no handshake");
	if (accepts)
		must(SSL_read(ssl, bytes, sizeof(bytes)) > 0 && SSL_write(ssl, bytes, 300) == 300, "no exchange");
	else
		must(SSL_write(ssl, bytes, 500) == 500 && SSL_read(ssl, bytes, sizeof(bytes)) > 0, "no exchange");
	must(SSL_free_buffers(ssl) == 1, "something is left to be read"); /* 10 KiB of a client's, which libssl keeps after a ticket */
}

/* KiB of one of n connections. server NULL: as the apiserver's client. */
static double
measure(int n, SSL_CTX *server, struct tls_client *client, SSL_CTX *other)
{
	int (*pairs)[2] = calloc((size_t)n, sizeof(*pairs));

	must(pairs != NULL, "memory");
	for (int i = 0; i < n; i++)
		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]) == 0, "descriptors");
	pid_t pid = fork();
	must(pid >= 0, "fork");
	for (int i = 0; i < n; i++)
		close(pairs[i][pid != 0]);
	if (pid == 0) {
		for (int i = 0; i < n; i++)
			play(other, pairs[i][1], server == NULL);
		pause();
	}
	double before = resident_kib();
	for (int i = 0; i < n; i++)
		hold(server ? SSL_new(server) : tls_client_connect(client, false), pairs[i][0], server != NULL);
	double each = (resident_kib() - before) / n;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	free(pairs);
	return each;
}

static ssize_t
nothing_yet(nghttp2_session *s, int32_t id, uint8_t *p, size_t n, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	(void)s, (void)id, (void)p, (void)n, (void)flags, (void)source, (void)arg;
	return NGHTTP2_ERR_DEFERRED;
}

/* The library copies both. */
static nghttp2_nv
field(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
}

static void
carry(nghttp2_session *from, nghttp2_session *to)
{
	const uint8_t *p;
	ssize_t n;

	while ((n = nghttp2_session_mem_send(from, &p)) > 0)
		must(nghttp2_session_mem_recv(to, p, (size_t)n) == n, "HTTP/2");
}

/* KiB of one of n streams, STREAMS of them a session, the session's own state included. */
static double
measure_streams(int n)
{
	nghttp2_nv request[] = { field(":method", "GET"), field(":scheme", "https"), field(":authority", "localhost"), field(":path", "/api/v1/pods?watch=1") };
	nghttp2_nv answer[] = { field(":status", "200") };
	const nghttp2_settings_entry many = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000 };
	const nghttp2_data_provider later = { .read_callback = nothing_yet };
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *client, *server;
	double sum = 0;

	must(nghttp2_session_callbacks_new(&callbacks) == 0, "memory");
	for (int i = 0; i < n / STREAMS; i++) {
		must(nghttp2_session_client_new(&client, callbacks, NULL) == 0, "memory");
		double before = resident_kib();
		must(nghttp2_session_server_new(&server, callbacks, NULL) == 0, "memory");
		nghttp2_submit_settings(client, 0, NULL, 0);
		nghttp2_submit_settings(server, 0, &many, 1);
		carry(client, server);
		carry(server, client);
		for (int s = 0; s < STREAMS; s++)
			must(nghttp2_submit_request(client, NULL, request, 4, NULL, NULL) > 0, "HTTP/2");
		carry(client, server);
		for (int s = 0; s < STREAMS; s++)
			must(nghttp2_submit_response(server, 2 * s + 1, answer, 1, &later) == 0, "HTTP/2");
		carry(server, client);
		sum += resident_kib() - before;
		nghttp2_session_del(client); /* its memory is the next one's: what grows is the server's */
	}
	nghttp2_session_callbacks_del(callbacks);
	return sum / n;
}

int
main(int argc, char **argv)
{
	static const unsigned char secret[TLS_TICKET_SECRET_BYTES] = { 1 };
	struct tls_error e;
	SSL_CTX *server = NULL, *plain_server = SSL_CTX_new(TLS_server_method()), *plain_client = SSL_CTX_new(TLS_client_method());
	struct tls_client *client = NULL;

	must(argc == 5 && plain_server && plain_client, "usage: proxy_bare N CERT KEY CA");
	int n = atoi(argv[1]);
	const struct tls_server_options o = { .cert_pem = read_whole(argv[2]), .key_pem = read_whole(argv[3]), .context = SLICE_LIT("bare"), .ticket_secret = secret,
		.clock = &clock_system };
	const struct kubeconfig k = { .host = "localhost", .tls_server_name = "localhost", .ca_pem = read_whole(argv[4]), .cert_pem = o.cert_pem, .key_pem = o.key_pem };
	must(tls_server_new(&o, &server, &e) == OK && tls_client_new(&k, &client, &e) == OK, e.text);
	must(SSL_CTX_use_certificate_file(plain_server, argv[2], SSL_FILETYPE_PEM) == 1 && SSL_CTX_use_PrivateKey_file(plain_server, argv[3], SSL_FILETYPE_PEM) == 1, argv[2]);
	/* An apiserver asks for a certificate: it stands in the ticket that the connection keeps. */
	must(SSL_CTX_load_verify_file(plain_server, argv[4]) == 1 && SSL_CTX_set_purpose(plain_server, X509_PURPOSE_ANY) == 1 &&
		     SSL_CTX_set_session_id_context(plain_server, (const unsigned char *)"bare", 4) == 1, argv[4]);
	SSL_CTX_set_verify(plain_server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	double back = measure(n, NULL, client, plain_server), front = measure(n, server, NULL, plain_client), streams = measure_streams(n);
	printf("%.3f %.3f\n", front + back, back + front / STREAMS + streams);
	return 0;
}
