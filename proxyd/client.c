#include <assert.h>
#include <stdlib.h>
#include <unistd.h>
#include "proxyd/client.h"
#include "proxyd/front_h1.h"
#include "proxyd/front_h2.h"
#include "proxyd/lasting.h"
#include "proxyd/metrics.h"
#include "proxyd/proxy_protocol.h"
#include "proxyd/tls.h"
#include "proxyd/tls_peer.h"
#include "shared/log.h"

#define PROXY_SAY_EVERY_MS 10000
#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))

static void on_ready(struct transport *t);
static void on_due(struct loop_timer *t);
static void on_turn(struct turn *t);

void
client_peer_address(const struct address *peer, unsigned char out[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff }; /* RFC 4291 section 2.5.5.2 */

	memset(out, 0, 16);
	if (peer->u.sa.sa_family == AF_INET6) {
		memcpy(out, &peer->u.in6.sin6_addr, 16);
	} else if (peer->u.sa.sa_family == AF_INET) {
		memcpy(out, mapped, sizeof(mapped));
		memcpy(out + sizeof(mapped), &peer->u.in4.sin_addr, 4);
	}
}

static void
count_handshake(const struct client *c, int n)
{
	metrics_add(&c->gateway->metrics->values[METRIC_HANDSHAKES_OPEN], (uint64_t)(int64_t)n);
}

static void
stranger_add(struct client *c)
{
	struct gateway *g = c->gateway;

	c->is_stranger = true;
	c->stranger_prev = g->strangers_last;
	*(g->strangers_last ? &g->strangers_last->stranger_next : &g->strangers) = c;
	g->strangers_last = c;
}

static void
stranger_remove(struct client *c)
{
	struct gateway *g = c->gateway;

	if (!c->is_stranger)
		return;
	c->is_stranger = false;
	*(c->stranger_prev ? &c->stranger_prev->stranger_next : &g->strangers) = c->stranger_next;
	*(c->stranger_next ? &c->stranger_next->stranger_prev : &g->strangers_last) = c->stranger_prev;
	c->stranger_next = c->stranger_prev = NULL;
}

void
client_known(struct client *c, struct turn_lane *caller)
{
	stranger_remove(c);
	c->lane = caller;
}

void
client_unknown(struct client *c)
{
	c->lane = turns_stranger(c->gateway->turns, c->address);
}

void
client_again(struct client *c)
{
	c->ready = true;
	turns_wait(c->gateway->turns, c->lane, &c->turn);
}

void
client_shed(struct gateway *g)
{
	metrics_add(&g->metrics->values[METRIC_CONNECTIONS_SHED], 1);
	client_close(g->strangers);
}

static bool
count_address(struct client *c)
{
	c->counted = limits_connect(&c->gateway->limits, c->address);
	if (c->counted)
		return true;
	metrics_add(&c->gateway->metrics->values[METRIC_CONNECTIONS_REFUSED_ADDRESS], 1);
	log_debug("connection refused: too many from one address", LOG_STR("client", c->ip));
	return false;
}

enum err
client_new(struct gateway *g, int fd, SSL *ssl, const struct address *peer, bool proxied)
{
	struct client *c = calloc(1, sizeof(*c));
	char ip[ADDRESS_TEXT_MAX];
	enum err err;

	if (!c) {
		SSL_free(ssl);
		close(fd);
		return E_NOMEM;
	}
	c->gateway = g;
	c->timer.on_due = on_due;
	c->turn.run = on_turn;
	c->state = proxied ? CLIENT_PROXY_HEADER : CLIENT_HANDSHAKE;
	client_peer_address(peer, c->address);
	client_unknown(c);
	if (peer->u.sa.sa_family != AF_UNIX) {
		address_format_ip(peer, ip);
		memcpy(c->ip, ip, strnlen(ip, sizeof(c->ip) - 1));
	}
	if (!proxied && !count_address(c)) {
		SSL_free(ssl);
		close(fd);
		free(c);
		return E_LIMIT;
	}
	if (ssl)
		SSL_set_accept_state(ssl);
	err = transport_open(&c->transport, g->loop, fd, ssl, false, on_ready);
	if (err) {
		if (c->counted)
			limits_disconnect(&g->limits, c->address);
		free(c);
		return err;
	}
	stranger_add(c);
	c->next = g->clients;
	if (g->clients)
		g->clients->prev = c;
	g->clients = c;
	g->client_n++;
	metrics_add(&g->metrics->values[METRIC_CONNECTIONS], 1);
	metrics_set(&g->metrics->values[METRIC_CONNECTIONS_OPEN], g->client_n);
	count_handshake(c, 1);
	client_timer_set(c, (uint64_t)g->config->limits.header_timeout_ms);
	return OK;
}

void
client_timer_set(struct client *c, uint64_t delay_ms)
{
	c->due = false;
	if (loop_timer_set(c->gateway->loop, &c->timer, delay_ms))
		log_warn("no memory for a timer", LOG_STR("client", c->ip));
}

static void
recycle(struct loop_deferred *d)
{
	struct client *c = OWNER(struct client, deferred, d);

	free(c->front);
	principal_unref(c->certificate.principal);
	free(c);
}

static void
let_front_go(struct client *c)
{
	if (c->protocol)
		c->protocol->close(c);
	c->protocol = NULL;
}

void
client_close(struct client *c)
{
	struct gateway *g = c->gateway;

	if (c->state == CLIENT_CLOSED)
		return;
	if (c->state == CLIENT_HANDSHAKE || c->state == CLIENT_PROXY_HEADER)
		count_handshake(c, -1);
	stranger_remove(c);
	turns_leave(&c->turn);
	if (c->counted)
		limits_disconnect(&g->limits, c->address);
	c->state = CLIENT_CLOSED;
	let_front_go(c);
	loop_timer_clear(g->loop, &c->timer);
	transport_close(&c->transport);
	*(c->prev ? &c->prev->next : &g->clients) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	g->client_n--;
	metrics_set(&g->metrics->values[METRIC_CONNECTIONS_OPEN], g->client_n);
	if (g->on_client_gone)
		g->on_client_gone(g, c);
	c->deferred.run = recycle;
	loop_defer(g->loop, &c->deferred);
}

void
client_drain_all(struct gateway *g)
{
	for (struct client *c = g->clients; c; c = c->next)
		if (c->state == CLIENT_OPEN && c->protocol->drain)
			c->protocol->drain(c);
}

size_t
client_close_most(struct gateway *g)
{
	for (struct client *c = g->clients; c; c = c->next)
		c->stays = false;
	lasting_mark_stays(g);
	for (struct client *c = g->clients, *next; c; c = next) {
		next = c->next;
		if (c->stays)
			continue;
		transport_end(&c->transport);
		client_close(c);
	}
	return g->client_n;
}

void
client_close_all(struct gateway *g)
{
	while (g->clients)
		client_close(g->clients);
}

static void
linger(struct client *c)
{
	enum io io = transport_discard(&c->transport);
	uint64_t now = loop_now_ms(c->gateway->loop);

	if (io == IO_EOF || io == IO_FAILED || now >= c->linger_until_ms) {
		client_close(c);
		return;
	}
	uint64_t left = c->linger_until_ms - now;
	client_timer_set(c, left < CLIENT_LINGER_IDLE_MS ? left : CLIENT_LINGER_IDLE_MS);
}

void
client_end(struct client *c)
{
	if (c->state != CLIENT_OPEN)
		return;
	c->state = CLIENT_LINGER;
	client_unknown(c);
	let_front_go(c);
	transport_end(&c->transport);
	c->linger_until_ms = loop_now_ms(c->gateway->loop) + CLIENT_LINGER_TOTAL_MS;
	linger(c);
}

static void
time_is_up(struct client *c)
{
	c->due = false;
	if (c->state == CLIENT_OPEN)
		c->protocol->on_timer(c);
	else
		client_close(c);
}

static void
refuse_handshake(struct client *c)
{
	const char *refusal = c->transport.ssl ? tls_peer_refusal(c->transport.ssl) : NULL;
	char why[TRANSPORT_WHY_MAX];

	metrics_add(&c->gateway->metrics->values[METRIC_HANDSHAKES_FAILED], 1);
	if (refusal)
		log_info("client certificate refused", LOG_STR("client", c->ip), LOG_STR("reason", refusal));
	else
		log_debug("TLS handshake failed", LOG_STR("client", c->ip), LOG_STR("reason", transport_why(&c->transport, why)));
	if (transport_is_plain_http(&c->transport))
		transport_send_raw(&c->transport,
			SLICE_LIT("HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
				  "This is an HTTPS port: use https://\n"));
	client_close(c);
}

/* Once for the connection: its requests differ in everything but this. */
static void
take_certificate(struct client *c)
{
	int64_t expires_at = 0;
	X509 *x = c->transport.ssl ? tls_peer_certificate(c->transport.ssl, &expires_at) : NULL;

	if (x)
		c->certificate = authenticator_certificate(c->gateway->authenticator, x, expires_at);
}

/* By ALPN (tls.c); who says nothing speaks HTTP/1.1. */
static const struct client_protocol *
chosen_protocol(const struct client *c)
{
	return c->transport.ssl && tls_chose_h2(c->transport.ssl) ? &front_h2_protocol : &front_h1_protocol;
}

static void
proceed_handshake(struct client *c)
{
	_Atomic uint64_t *values = c->gateway->metrics->values;

	switch (transport_handshake(&c->transport)) {
	case IO_AGAIN:
		if (c->transport.halfway)
			client_again(c);
		return;
	case IO_OK:
		break;
	default:
		refuse_handshake(c);
		return;
	}
	take_certificate(c);
	c->state = CLIENT_OPEN;
	c->protocol = chosen_protocol(c);
	count_handshake(c, -1);
	metrics_add(&values[c->transport.ssl && SSL_session_reused(c->transport.ssl) ? METRIC_HANDSHAKES_RESUMED : METRIC_HANDSHAKES_FULL], 1);
	metrics_add(&values[c->protocol == &front_h2_protocol ? METRIC_CONNECTIONS_H2 : METRIC_CONNECTIONS_H1], 1);
	if (c->protocol->open(c)) {
		client_again(c); /* its first request is as much work again */
	} else {
		c->protocol = NULL;
		client_close(c);
	}
}

static void
refuse_proxy_header(struct client *c, const char *why)
{
	struct gateway *g = c->gateway;
	uint64_t now = loop_now_ms(g->loop);

	metrics_add(&g->metrics->values[METRIC_CONNECTIONS_REFUSED_PROXY], 1);
	if (now >= g->proxy_silent_until_ms) {
		g->proxy_silent_until_ms = now + PROXY_SAY_EVERY_MS;
		log_warn("connection refused where listen.proxyProtocol is set", LOG_STR("peer", c->ip), LOG_STR("reason", why));
	}
	client_close(c);
}

/* Whom the load balancer has before it. False: not known yet, or never. */
static bool
take_proxy_header(struct client *c)
{
	const struct trusted_proxies *trusted = &c->gateway->config->trusted_proxies;
	struct ip peer;
	struct proxy_header header;
	char bytes[PROXY_BYTES_MAX];
	const char *why = "it ended before its header was whole";
	size_t got;

	memcpy(peer.bytes, c->address, sizeof(peer.bytes));
	if (*c->ip && !trusted_proxies_have(trusted, &peer)) {
		refuse_proxy_header(c, "its address is not among trustedProxies");
		return false;
	}
	enum io io = transport_peek(&c->transport, bytes, sizeof(bytes), &got);
	if (io == IO_AGAIN)
		return false;
	enum proxy_verdict verdict = io == IO_OK ? proxy_protocol_parse(bytes, got, &header, &why) : PROXY_BAD;
	if (verdict == PROXY_MORE && !c->transport.ended) {
		c->transport.drained = true;
		return false;
	}
	if (verdict != PROXY_OK || transport_skip(&c->transport, header.bytes) != IO_OK) {
		refuse_proxy_header(c, why);
		return false;
	}
	if (header.has_ip) {
		memcpy(c->address, header.ip.bytes, sizeof(c->address));
		ip_format(&header.ip, c->ip);
	}
	c->state = CLIENT_HANDSHAKE;
	client_unknown(c); /* it is another address */
	if (count_address(c))
		return true;
	client_close(c);
	return false;
}

static void
proceed(struct client *c)
{
	switch (c->state) {
	case CLIENT_PROXY_HEADER:
		if (take_proxy_header(c))
			client_again(c);
		break;
	case CLIENT_HANDSHAKE:
		proceed_handshake(c);
		break;
	case CLIENT_OPEN:
		c->protocol->on_ready(c);
		break;
	case CLIENT_LINGER:
		linger(c);
		break;
	case CLIENT_CLOSED:
		break;
	}
}

/* ---- whose turn it is ---- */

static void
on_ready(struct transport *t)
{
	struct client *c = OWNER(struct client, transport, t);

	if (turns_take(c->gateway->turns, c->lane))
		proceed(c);
	else
		client_again(c);
}

static void
on_due(struct loop_timer *t)
{
	struct client *c = OWNER(struct client, timer, t);

	if (turns_take(c->gateway->turns, c->lane)) {
		time_is_up(c);
		return;
	}
	c->due = true;
	turns_wait(c->gateway->turns, c->lane, &c->turn);
}

/* What has come while it waited counts: it may move the timer. */
static void
on_turn(struct turn *t)
{
	struct client *c = OWNER(struct client, turn, t);

	if (c->ready) {
		c->ready = false;
		proceed(c);
	}
	if (c->due)
		time_is_up(c);
}
