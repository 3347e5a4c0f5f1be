/* gateway_unit.h - a worker's data path with everything around it played by the test: the gateway's loop runs in a thread; client, authd and cluster are
 * blocking sockets in the test's own. Nobody verifies tokens here: "Bearer alice" is alice. */
#ifndef TESTS_GATEWAY_UNIT_H
#define TESTS_GATEWAY_UNIT_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include "proxyd/client.h"
#include "proxyd/exchange.h"
#include "proxyd/principal.h"
#include "proxyd/route.h"
#include "proxyd/session_client.h"
#include "tests/unit/end_unit.h"

/* ---- an authenticator that believes ---- */

struct authenticator {
	struct principal alice, due;
	struct review_question question;
	int sessions_gone;
	bool no_keys;
	atomic_bool alice_ended;
};
static struct authenticator believer;

static inline void
believer_init(void)
{
	static const char block[] = "Impersonate-User: alice\r\nImpersonate-Group: system:authenticated\r\n";

	memset(&believer, 0, sizeof(believer));
	believer.alice.identity.username = SLICE_LIT("alice");
	believer.alice.headers = SLICE_LIT(block);
	believer.alice.refs = 1;
	believer.alice.expires_at = ID_TOKEN_TIME_MAX;
	believer.due = believer.alice;
}
struct authenticator *
authenticator_new(const struct proxyd_config *config, const struct clock *clock)
{
	(void)config, (void)clock;
	return &believer;
}
void
authenticator_free(struct authenticator *a)
{
	(void)a;
}
void
authenticator_set_keycache(struct authenticator *a, struct keycache *kc)
{
	(void)a, (void)kc;
}
bool
authenticator_wants_keys(struct authenticator *a)
{
	(void)a;
	return false;
}
void
principal_ref(struct principal *p)
{
	p->refs++;
}
void
principal_unref(struct principal *p)
{
	if (p) {
		assert_true(p->refs > 1);
		p->refs--;
	}
}
struct slice
principal_token(const struct principal *p)
{
	return p == &believer.alice ? SLICE_LIT("the-session-s.id.token") : SLICE_NONE;
}
enum authentication
authenticate(struct authenticator *a, const struct http_head *h, const struct caller *caller, struct principal **out, const char **why)
{
	const struct http_header *f = caller->cookie_only ? NULL : http_head_find(h, FIELD_AUTHORIZATION);

	*out = NULL;
	if (a->no_keys)
		return AUTHENTICATION_UNAVAILABLE;
	if (f && slice_eq_str(f->value, "Bearer alice")) {
		principal_ref(*out = &a->alice);
		return AUTHENTICATED;
	}
	if (f && slice_has_prefix(f->value, SLICE_LIT("Bearer review-")) && caller->cluster.n) {
		/* "review-7": asked in the words of the token itself; its digest is padded with NULs. */
		memset(a->question.digest, 0, sizeof(a->question.digest));
		memcpy(a->question.digest, f->value.p + 7, f->value.n - 7 < CREDENTIAL_DIGEST_BYTES ? f->value.n - 7 : CREDENTIAL_DIGEST_BYTES);
		a->question.body = slice_of(f->value.p + 7, f->value.n - 7);
		return AUTHENTICATION_ASK_REVIEW;
	}
	if (f) {
		*why = "not alice";
		return AUTHENTICATION_REFUSED;
	}
	struct slice cookie = http_cookie(h, "gate");
	if (!cookie.p)
		return AUTHENTICATION_NONE;
	if (slice_eq_str(cookie, "due"))
		principal_ref(*out = &a->due);
	return AUTHENTICATION_ASK_SESSION;
}
const struct review_question *
authenticator_question(const struct authenticator *a)
{
	return &a->question;
}
struct shown_certificate
authenticator_certificate(struct authenticator *a, X509 *x, int64_t expires_at)
{
	(void)x, (void)expires_at;
	principal_ref(&a->alice);
	return (struct shown_certificate){ .principal = &a->alice };
}
enum authentication
authenticator_session(struct authenticator *a, struct slice cookie, struct slice jwt, struct slice id_tokens, int refresh_after_s, struct principal **out,
	const char **why)
{
	static char lines[256];

	(void)cookie;
	assert_true(id_tokens.n < sizeof(lines));
	if (id_tokens.n)
		memcpy(lines, id_tokens.p, id_tokens.n);
	a->alice.identity.id_tokens = slice_of(lines, id_tokens.n);
	assert_true(refresh_after_s > 0);
	if (slice_eq_str(jwt, "early")) {
		*why = "no keys yet";
		return AUTHENTICATION_UNAVAILABLE;
	}
	if (!slice_eq_str(jwt, "alice")) {
		*why = "not alice";
		return AUTHENTICATION_REFUSED;
	}
	principal_ref(*out = &a->alice);
	return AUTHENTICATED;
}
bool
authenticator_has_ended(struct authenticator *a, const struct principal *p)
{
	return a->alice_ended && p == &a->alice;
}
void
authenticator_session_gone(struct authenticator *a, struct slice cookie)
{
	(void)cookie;
	a->sessions_gone++;
}
void
authenticator_stats(const struct authenticator *a, struct authenticator_stats *out)
{
	(void)a;
	*out = (struct authenticator_stats){ 0 };
}

/* ---- the rig ---- */

struct rig {
	char folder[64];
	struct proxyd_config config;
	struct proxyd_cluster clusters[2];
	struct proxyd_route routes[2];
	struct gateway gateway;
	struct upstream *authd;
	struct unit_pem front, back;
	SSL_CTX *front_tls, *back_tls, *client_tls;
	struct clock clock;
	int listen_fd, authd_fd, cluster_fd;
	bool proxied; /* clients begin with a PROXY header */
	struct loop_watch listener, orders;
	int order_fds[2];
	pthread_t thread;
};

/* The loop's clock can be put forward. */
static atomic_uint_least64_t rig_ahead_ms;
static inline int64_t
rig_wall_s(const struct clock *c)
{
	(void)c;
	return clock_now_s(&clock_system);
}
static inline uint64_t
rig_mono_ms(const struct clock *c)
{
	(void)c;
	return clock_mono_ms(&clock_system) + atomic_load(&rig_ahead_ms);
}
static const struct clock rig_clock = { rig_wall_s, rig_mono_ms };

struct rig_order {
	void (*run)(struct rig *r, void *arg);
	void *arg;
	sem_t done;
};

static inline int
unit_tcp_listen(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static inline void
rig_on_listener(struct loop_watch *w, uint32_t events)
{
	struct rig *r = (struct rig *)((char *)w - offsetof(struct rig, listener));
	struct address peer = { .len = sizeof(peer.u) };
	int fd = accept4(w->fd, &peer.u.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	assert_true(fd >= 0);
	SSL *ssl = SSL_new(r->front_tls);
	if (!ssl)
		close(fd); /* out of memory, in a test that wants it */
	else if (client_new(&r->gateway, fd, ssl, &peer, r->proxied))
		return;
}

static inline void
rig_on_order(struct loop_watch *w, uint32_t events)
{
	struct rig *r = (struct rig *)((char *)w - offsetof(struct rig, orders));
	struct rig_order *o;

	(void)events;
	assert_int_equal(read(w->fd, &o, sizeof(o)), sizeof(o));
	o->run(r, o->arg);
	sem_post(&o->done);
}

/* Run something in the gateway's thread, and wait for it. */
static inline void
rig_run(struct rig *r, void (*run)(struct rig *r, void *arg), void *arg)
{
	struct rig_order o = { .run = run, .arg = arg }, *p = &o;

	sem_init(&o.done, 0, 0);
	assert_int_equal(write(r->order_fds[1], &p, sizeof(p)), sizeof(p));
	while (sem_wait(&o.done) < 0)
		;
	sem_destroy(&o.done);
}

static inline void
rig_order_nothing(struct rig *r, void *arg)
{
	(void)r, (void)arg;
}
/* So much time passes at once: what is due then has run when this returns. */
static inline void
rig_later(struct rig *r, uint64_t ms)
{
	atomic_fetch_add(&rig_ahead_ms, ms);
	rig_run(r, rig_order_nothing, NULL);
	rig_run(r, rig_order_nothing, NULL);
}

static inline void *
rig_thread(void *arg)
{
	struct rig *r = arg;

	assert_int_equal(loop_run(r->gateway.loop), OK);
	return NULL;
}

static inline void
rig_config(struct rig *r)
{
	static char text[128];
	uint16_t port;

	r->clusters[0] = (struct proxyd_cluster){ .name = "default", .http2 = PROXYD_HTTP2_NEVER };
	r->cluster_fd = unit_tcp_listen(&port);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	r->clusters[0].target = (struct kubeconfig){ .server = "https://cluster", .host = "127.0.0.1", .port = port, .base_path = "",
		.host_header = "cluster.test", .tls_server_name = "cluster.test", .ca_pem = slice_str(r->back.cert) };
	r->clusters[1] = r->clusters[0];
	r->clusters[1].name = "second";
	r->routes[0] = (struct proxyd_route){ .path = "/console" };
	r->routes[1] = (struct proxyd_route){ .path = "/oidc" };
	struct sockaddr_un *un = &r->routes[0].address.u.un;
	un->sun_family = AF_UNIX;
	snprintf(un->sun_path, sizeof(un->sun_path), "%s/authd.sock", r->folder);
	r->routes[0].address.len = sizeof(*un);
	r->routes[1].address = r->routes[0].address;
	r->authd_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->authd_fd, (struct sockaddr *)un, sizeof(*un)), 0);
	assert_int_equal(listen(r->authd_fd, 64), 0);
	r->config.clusters = (struct config_list){ r->clusters, 2 };
	r->config.routes = (struct config_list){ r->routes, 2 };
	r->config.authentication.session.cookie_name = "gate";
	r->config.session_socket = r->routes[0].address;
	r->config.limits.header_bytes = 65536;
	r->config.limits.header_timeout_ms = 10000;
	r->config.limits.idle_timeout_ms = 60000;
	r->config.limits.body_timeout_ms = 10000;
	r->config.limits.tunnel_idle_timeout_ms = 60000;
	r->config.limits.upstream_connect_timeout_ms = 5000;
	r->config.limits.upstream_idle_timeout_ms = 60000;
}

/* config: changes to the defaults; NULL: none. */
static inline void
rig_start(struct rig *r, void (*config)(struct proxyd_config *c))
{
	static const unsigned char secret[TLS_TICKET_SECRET_BYTES] = { 1, 2, 3 };
	struct gateway *g = &r->gateway;
	struct tls_error e;
	uint16_t port;

	signal(SIGPIPE, SIG_IGN);
	memset(r, 0, sizeof(*r));
	believer_init();
	unit_folder_make(r->folder);
	unit_pem_make(&r->front, "DNS:gate.test,IP:127.0.0.1");
	unit_pem_make(&r->back, "DNS:cluster.test");
	rig_config(r);
	if (config)
		config(&r->config);
	const struct tls_server_options front = { .cert_pem = slice_str(r->front.cert), .key_pem = slice_str(r->front.key),
		.context = SLICE_LIT("front"), .ticket_secret = secret, .clock = &clock_system };
	const struct tls_server_options back = { .cert_pem = slice_str(r->back.cert), .key_pem = slice_str(r->back.key),
		.context = SLICE_LIT("back"), .ticket_secret = secret, .clock = &clock_system };
	assert_int_equal(tls_server_new(&front, &r->front_tls, &e), OK);
	assert_int_equal(tls_server_new(&back, &r->back_tls, &e), OK);
	assert_non_null(r->client_tls = SSL_CTX_new(TLS_client_method()));
	g->config = &r->config;
	g->clock = &clock_system;
	assert_non_null(g->loop = loop_new(&rig_clock));
	g->authenticator = authenticator_new(&r->config, g->clock);
	assert_int_equal(gateway_init(g), OK);
	assert_int_equal(router_new(g->loop, &r->config, &g->router, &e), OK);
	const struct upstream_options authd = { .name = "authd", .addresses = &r->config.session_socket, .address_n = 1,
		.connect_timeout_ms = 3000, .idle_timeout_ms = 60000 };
	assert_int_equal(upstream_new(g->loop, &authd, &r->authd), OK);
	const struct session_client_options sessions = { .loop = g->loop, .authenticator = g->authenticator, .blocks = &g->blocks,
		.authd = r->authd, .cookie_name = "gate", .audiences = &r->config.id_token_audiences };
	assert_non_null(g->sessions = session_client_new(&sessions));
	r->listen_fd = unit_tcp_listen(&port);
	assert_int_equal(setsockopt(r->listen_fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)), 0); /* as worker.c does */
	r->listener = (struct loop_watch){ .fd = r->listen_fd, .on_event = rig_on_listener };
	assert_int_equal(loop_add(g->loop, &r->listener, EPOLLIN), OK);
	assert_int_equal(pipe(r->order_fds), 0);
	r->orders = (struct loop_watch){ .fd = r->order_fds[0], .on_event = rig_on_order };
	assert_int_equal(loop_add(g->loop, &r->orders, EPOLLIN), OK);
	assert_int_equal(pthread_create(&r->thread, NULL, rig_thread, r), 0);
}

static inline void
rig_order_stop(struct rig *r, void *arg)
{
	(void)arg;
	loop_stop(r->gateway.loop);
}

/* Also proves that nothing was left behind: no block is out, nobody holds alice. */
static inline void
rig_stop(struct rig *r)
{
	struct gateway *g = &r->gateway;
	char path[128];

	rig_run(r, rig_order_stop, NULL);
	pthread_join(r->thread, NULL);
	client_close_all(g);
	session_client_free(g->sessions);
	upstream_free(r->authd);
	router_free(g->router);
	loop_remove(g->loop, &r->listener);
	loop_remove(g->loop, &r->orders);
	loop_free(g->loop);
	assert_int_equal(g->blocks.held, 0);
	assert_int_equal(believer.alice.refs, 1);
	assert_int_equal(believer.due.refs, 1);
	gateway_fini(g);
	close(r->listen_fd);
	if (r->authd_fd >= 0)
		close(r->authd_fd);
	if (r->cluster_fd >= 0)
		close(r->cluster_fd);
	close(r->order_fds[0]);
	close(r->order_fds[1]);
	SSL_CTX_free(r->front_tls);
	SSL_CTX_free(r->back_tls);
	SSL_CTX_free(r->client_tls);
	snprintf(path, sizeof(path), "%s/authd.sock", r->folder);
	unlink(path);
	rmdir(r->folder);
}

/* A client with TLS, connected and shaken hands with. sni NULL: none. rcvbuf 0: the system's. */
static inline struct end
rig_client_with(struct rig *r, const char *sni, int rcvbuf)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	struct end e = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };

	assert_int_equal(getsockname(r->listen_fd, (struct sockaddr *)&a, &n), 0);
	if (rcvbuf)
		setsockopt(e.fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	end_patience(&e);
	assert_int_equal(connect(e.fd, (struct sockaddr *)&a, n), 0);
	assert_non_null(e.ssl = SSL_new(r->client_tls));
	char name[64]; /* libssl's macro wants it writable */
	if (sni) {
		snprintf(name, sizeof(name), "%s", sni);
		SSL_set_tlsext_host_name(e.ssl, name);
	}
	SSL_set_fd(e.ssl, e.fd);
	assert_int_equal(SSL_connect(e.ssl), 1);
	return e;
}
static inline struct end
rig_client(struct rig *r)
{
	return rig_client_with(r, "gate.test", 0);
}

static inline struct end
rig_accept(int listen_fd, SSL_CTX *tls)
{
	struct pollfd p = { .fd = listen_fd, .events = POLLIN };
	struct end e = { .fd = -1 };

	if (poll(&p, 1, UNIT_WAIT_S * 1000) != 1)
		fail_msg("nobody connects");
	e.fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(e.fd >= 0);
	end_patience(&e);
	if (tls) {
		assert_non_null(e.ssl = SSL_new(tls));
		SSL_set_fd(e.ssl, e.fd);
		assert_int_equal(SSL_accept(e.ssl), 1);
	}
	return e;
}
/* The gateway's next connection to the cluster, or to authd. */
static inline struct end
rig_cluster(struct rig *r)
{
	return rig_accept(r->cluster_fd, r->back_tls);
}
static inline struct end
rig_authd(struct rig *r)
{
	return rig_accept(r->authd_fd, NULL);
}
static inline bool
rig_nobody_connects(int listen_fd, int ms)
{
	struct pollfd p = { .fd = listen_fd, .events = POLLIN };

	return poll(&p, 1, ms) == 0;
}

#endif
