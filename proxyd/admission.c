#include "proxyd/caller_headers.h"
#include "proxyd/cluster_list.h"
#include "proxyd/client.h"
#include "proxyd/exchange_state.h"
#include "proxyd/host_name.h"
#include "proxyd/metrics.h"
#include "proxyd/origin.h"
#include "proxyd/route_rules.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))

static void admit(struct exchange *x);

/* Who asks is looked for, to tell authd's console what they may use; but it lets in whom it knows itself. */
static bool
needs_nobody(const struct exchange *x)
{
	return x->to && x->to->access == ROUTE_FOR_ALL;
}

static bool
tells_clusters(const struct exchange *x)
{
	return x->to->forward.kind == FORWARD_AUTHD && x->gateway->config->clusters.n && cluster_list_is_shown(&x->request->head);
}

/* Where a browser signs in, and comes back from. A target that would make a URL too long for a browser is not remembered. */
#define SIGNIN_TARGET_MAX 2000
static void
redirect_to_signin(struct exchange *x)
{
	const struct http_head *h = &x->request->head;
	struct buf location;

	buf_init(&location, 3 * SIGNIN_TARGET_MAX + 64);
	buf_add_str(&location, "/console/signin");
	if (h->path.n + h->query.n < SIGNIN_TARGET_MAX) {
		buf_add_str(&location, "?to=");
		buf_add_urlencoded(&location, h->path);
		if (h->query.p) {
			buf_add_str(&location, "%3F");
			buf_add_urlencoded(&location, h->query);
		}
	}
	exchange_redirect(x, buf_ok(&location) ? location.p : "/console/signin");
	buf_fini(&location);
}

/* No credential that counts. */
static void
answer_unauthorized(struct exchange *x)
{
	const struct http_head *h = &x->request->head;

	if (needs_nobody(x)) {
		x->why = NULL;
		admit(x);
		return;
	}
	if (status_wants_page(h) && route_is_authd(x->gateway->router, h->host, "/console/signin"))
		redirect_to_signin(x);
	else
		exchange_answer(x, 401, "Unauthorized");
}

/* A token may have been refused for want of its key only. */
static bool
look_for_keys(struct gateway *g)
{
	bool wants = authenticator_wants_keys(g->authenticator);

	if (wants && g->on_keys_wanted)
		g->on_keys_wanted(g);
	return wants;
}

static void
count_refusal(struct exchange *x)
{
	limits_refused(&x->gateway->limits, x->address, loop_now_ms(x->gateway->loop));
	if (x->context->client)
		client_unknown(x->context->client);
}

/* "User "jane" cannot use cluster "prod": …" */
static void
answer_forbidden(struct exchange *x, const char *why)
{
	struct slice user = x->principal->identity.username;
	struct buf message;

	buf_init(&message, 0);
	buf_printf(&message, "User \"%.*s\" cannot use %s \"%s\": %s", SLICE_FMT(user), x->to->forward.kind == FORWARD_CLUSTER ? "cluster" : "route",
		x->to->name, why);
	x->why = why;
	exchange_forbid(x, buf_ok(&message) ? message.p : why);
	buf_fini(&message);
}

static void
list_clusters(struct exchange *x)
{
	struct buf list;

	buf_init(&list, 0);
	cluster_list_json(x->gateway->config, &x->principal->identity, &list);
	if (buf_ok(&list))
		exchange_answer_json(x, buf_slice(&list));
	else
		exchange_answer(x, 500, "out of memory");
	buf_fini(&list);
}

/* What the destination says of its callers. False: answered. */
static bool
may_use(struct exchange *x)
{
	const struct http_head *h = &x->request->head;
	const struct destination *to = x->to;

	if (to->forward.kind != FORWARD_CLUSTER && h->upgrade != UPGRADE_NONE && origin_of(h, to->origins) == ORIGIN_OTHERS) {
		/* Whatever the backend has for a cookie, or for an address that it trusts, is not for pages of others. */
		exchange_answer(x, 403, x->why = "a page of another origin may not open a channel here");
		return false;
	}
	if (to->access == ROUTE_FOR_ALL)
		return true;
	if (!route_groups_allow(to->groups, &x->principal->identity)) {
		answer_forbidden(x, "they are in none of its allowedGroups");
		return false;
	}
	const char *missing = caller_headers_missing(to, x->principal);
	if (missing)
		answer_forbidden(x, missing);
	return !missing;
}

/* From here on what this request does is on its caller's account, or on that of strangers of its address. */
static void
choose_lane(struct exchange *x)
{
	static const unsigned char nowhere[16];
	struct turns *turns = x->gateway->turns;
	struct principal *p = x->principal;

	if (!p) {
		x->lane = turns_stranger(turns, x->address ? x->address : nowhere);
		return;
	}
	if (!p->lane)
		p->lane = turns_caller(turns, p->identity.username);
	x->lane = p->lane;
	if (x->context->client)
		client_known(x->context->client, x->lane);
}

/* Known, or where nobody has to be: check what the client sent and go. */
void
admission_go_on(struct exchange *x)
{
	struct gateway *g = x->gateway;
	const struct http_head *h = &x->request->head;

	x->phase = EXCHANGE_ADMISSION;
	enum limit limit = limits_enter(&g->limits, x->principal ? x->principal->identity.username : SLICE_NONE, x->address,
		loop_now_ms(g->loop), x->flight_key);
	if (limit != LIMIT_NONE) {
		exchange_limit(x, limit);
		return;
	}
	x->in_flight = true;
	enum forward_verdict verdict = forward_check(h, &x->why);

	switch (verdict) {
	case FORWARD_OK:
		break;
	case FORWARD_BAD:
		exchange_answer(x, 400, x->why);
		return;
	case FORWARD_IMPERSONATES:
		if (x->to && x->to->impersonation_reviewed && x->principal)
			break;
		exchange_forbid(x, x->why);
		return;
	}
	if (!x->to && cluster_list_is_asked(h)) {
		list_clusters(x);
		return;
	}
	if (!x->to) {
		exchange_answer(x, 404, "there is no cluster of this name here");
		return;
	}
	if (!may_use(x))
		return;
	if (verdict == FORWARD_IMPERSONATES)
		admission_as(x);
	else
		exchange_forward(x);
}

/* A caller begins so many in a batch of events; with the others of theirs they wait for themselves, and not everybody for them. */
static void
admit(struct exchange *x)
{
	choose_lane(x);
	if (!x->principal || turns_take(x->gateway->turns, x->lane)) {
		admission_go_on(x);
	} else {
		x->phase = EXCHANGE_WAITING;
		exchange_take_turn(x);
	}
}

static void
ask_session(struct exchange *x)
{
	struct gateway *g = x->gateway;
	struct slice cookie = SLICE_NONE;

	if (x->principal && (!g->sessions || session_client_is_down(g->sessions))) {
		admit(x);
		return;
	}
	if (g->sessions)
		cookie = http_cookie(&x->request->head, g->config->authentication.session.cookie_name);
	if (!cookie.p) {
		answer_unauthorized(x);
		return;
	}
	x->phase = EXCHANGE_ASKING;
	metrics_add(&g->metrics->values[METRIC_SESSIONS_ASKED], 1);
	if (session_client_ask(g->sessions, cookie, &x->wait))
		admission_on_session(&x->wait, SESSION_DOWN, NULL);
}

void
admission_on_session(struct session_wait *w, enum session_answer answer_is, struct principal *principal)
{
	struct exchange *x = OWNER(struct exchange, wait, w);

	switch (answer_is) {
	case SESSION_VERIFIED:
		principal_unref(x->principal);
		x->principal = principal;
		admit(x);
		break;
	case SESSION_NONE:
	case SESSION_REFUSED:
		principal_unref(x->principal);
		x->principal = NULL;
		x->why = answer_is == SESSION_NONE ? "no such session" : "a session's token was refused";
		count_refusal(x);
		/* authd would send who is signed in there straight back here, and so on; but for want of a key that is right. */
		if (!look_for_keys(x->gateway) && answer_is == SESSION_REFUSED && status_wants_page(&x->request->head) && !needs_nobody(x))
			exchange_answer(x, 403, "you are signed in, but not accepted here with what your sign-in says of you; an administrator can tell why");
		else
			answer_unauthorized(x);
		break;
	case SESSION_DOWN:
		x->why = "the sign-in service did not answer";
		if (x->principal || needs_nobody(x))
			admit(x);
		else
			exchange_answer(x, 503, "the sign-in service does not answer; try again");
		break;
	}
}

static void
ask_review(struct exchange *x)
{
	struct gateway *g = x->gateway;

	x->phase = EXCHANGE_ASKING;
	if (!g->token_reviews || review_client_ask(g->token_reviews, x->to, authenticator_question(g->authenticator), &x->review))
		admission_on_token_review(&x->review, REVIEW_UNKNOWN, NULL, "too many wait for reviews");
}

void
admission_on_token_review(struct review_wait *w, enum review_verdict verdict, struct principal *principal, const char *why)
{
	struct exchange *x = OWNER(struct exchange, review, w);

	x->why = why;
	switch (verdict) {
	case REVIEW_YES:
		x->principal = principal;
		admit(x);
		break;
	case REVIEW_NO:
		count_refusal(x);
		answer_unauthorized(x);
		break;
	case REVIEW_UNKNOWN:
		exchange_answer(x, 503, "the cluster does not say whose this token is; try again");
		break;
	case REVIEW_DENIED:
		exchange_answer(x, 502, "the gateway may not ask this cluster whose token this is");
		break;
	}
}

static void
authenticate_caller(struct exchange *x)
{
	struct gateway *g = x->gateway;
	const struct http_head *h = &x->request->head;
	const struct caller caller = { .certificate = x->context->certificate, .origins = x->to ? x->to->origins : NULL,
		.cookie_only = x->to && x->to->access != ROUTE_FOR_CALLERS,
		.cluster = x->to && x->to->forward.kind == FORWARD_CLUSTER ? slice_str(x->to->name) : SLICE_NONE,
		.known_only = !limits_try(&g->limits, x->address, loop_now_ms(g->loop)) };

	enum authentication result = authenticate(g->authenticator, h, &caller, &x->principal, &x->why);
	if (result == AUTHENTICATION_REFUSED && caller.known_only)
		result = AUTHENTICATION_LIMITED; /* the same garbage again and again is a flood, too */
	switch (result) {
	case AUTHENTICATED:
		x->why = NULL;
		admit(x);
		break;
	case AUTHENTICATION_REFUSED:
		look_for_keys(g);
		count_refusal(x);
		/* fall through */
	case AUTHENTICATION_NONE:
		answer_unauthorized(x);
		break;
	case AUTHENTICATION_LIMITED:
		if (needs_nobody(x))
			admit(x);
		else
			exchange_limit(x, LIMIT_REFUSALS);
		break;
	case AUTHENTICATION_ASK_REVIEW:
		ask_review(x);
		break;
	case AUTHENTICATION_ASK_SESSION:
		ask_session(x);
		break;
	case AUTHENTICATION_UNAVAILABLE:
		if (needs_nobody(x))
			admit(x);
		else
			exchange_answer(x, 503, "the keys to verify a sign-in with are not there yet; try again");
		break;
	}
}

/* A trusted proxy has one connection for many: who is calling it says with each request. */
static void
look_behind_proxies(struct exchange *x)
{
	const struct trusted_proxies *trusted = &x->gateway->config->trusted_proxies;
	struct ip peer;

	if (trusted->n == 0 || !x->address)
		return;
	memcpy(peer.bytes, x->address, sizeof(peer.bytes));
	if (!forwarded_for(&x->request->head, trusted, &peer, &x->forwarded_ip))
		return;
	x->address = x->forwarded_ip.bytes;
}

void
admission_start(struct exchange *x)
{
	struct gateway *g = x->gateway;
	const struct http_head *h = &x->request->head;
	struct destination *to = NULL;

	look_behind_proxies(x);
	if (!limits_ask(&g->limits, x->address, loop_now_ms(g->loop))) {
		exchange_limit(x, LIMIT_ADDRESS_RATE);
		return;
	}
	if (host_name_is_misdirected(x->context->sni, h->host)) {
		exchange_answer(x, 421, "this connection was made for another host");
		return;
	}
	enum route_verdict verdict = route_find(g->router, h->host, h->path, &to);
	bool nowhere = !to || to->forward.kind == FORWARD_CLUSTER;
	if (nowhere && slice_eq_str(h->path, "/") && status_wants_page(h) && route_is_authd(g->router, h->host, "/console/")) {
		exchange_redirect(x, "/console/");
		return;
	}
	x->to = to;
	if (verdict == ROUTE_AMBIGUOUS)
		exchange_answer(x, 400, x->why = "the path is escaped where it is routed");
	else if (to && to->access == ROUTE_FOR_ALL && !tells_clusters(x))
		admit(x);
	else
		authenticate_caller(x);
}
