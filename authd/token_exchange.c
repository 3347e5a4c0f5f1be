/* Token exchange (RFC 8693): an ID or access token of this issuer that is meant for the asking client, or, with dex's parameter connector_id, an access token of that
 * connector's upstream, for an access or ID token of ours. No refresh token, and nothing that lives longer than what it was given for. */
#include "authd/own_token.h"
#include "authd/person.h"
#include "authd/person_session.h"
#include "authd/revocation.h"
#include "authd/session.h"
#include "authd/token_internal.h"
#include "oidc/subject.h"
#include "shared/log.h"

#define TYPE(name) "urn:ietf:params:oauth:token-type:" name
#define NOT_GOOD "the subject_token is not good here: unknown, expired, ended, or not meant for this client"

struct exchange {
	struct slice subject_token;
	bool subject_is_id, wants_id;
	struct connector *connector; /* whose token it is; NULL: ours */
	/* what it proves */
	struct record_user user;
	struct slice sid, scope;     /* scope: what may be asked for at most, with SCOPE_OPENID in it; .n 0: anything */
	int64_t auth_time, expires_at; /* expires_at 0: it does not say */
	/* of the connector, while r waits */
	enum connector_verdict verdict;
	enum err copied;
};

static void
refuse(struct request *r, const char *error, const char *description)
{
	client_endpoint_refuse_with(r, 400, error, description);
}

/* ---- the answer ---- */

static void
issued(struct request *r, enum err result)
{
	const struct token *t = r->state;
	const struct grant_redemption *g = &t->redemption;
	const struct exchange *x = t->exchange;
	struct buf body;

	if (result != OK) {
		client_endpoint_unavailable(r);
		return;
	}
	log_info("token exchanged", LOG_STR("client", t->client->id), LOG_SLICE("connector", x->user.connector_id), LOG_SLICE("user_id", x->user.user_id),
		LOG_SLICE("sid", x->sid), LOG_REQ(r->id));
	buf_init(&body, 0);
	token_answer_minted(r, mint_exchange_answer(r, &(struct mint){ .client = t->client, .scope = g->record.scope, .sid = g->record.sid, .grant_id = g->grant_id,
		.audiences = g->record.audiences, .user = &g->record.user, .auth_time = g->record.auth_time, .expires_at = g->access_expires_at }, x->wants_id, &body),
		&body);
}

static void
issue(struct request *r, struct token *t)
{
	struct grant_redemption *g = &t->redemption;
	struct exchange *x = t->exchange;
	struct slice code = request_secret(r, GRANT_CODE_BYTES);

	if (!x->sid.n)
		x->sid = request_secret(r, SESSION_SID_BYTES);
	if (!code.p || !x->sid.p) {
		client_endpoint_unavailable(r);
		return;
	}
	if (!token_redemption_prepare(r, t, code, SLICE_NONE))
		return;
	g->offline = false;
	if (x->expires_at && x->expires_at < g->access_expires_at)
		g->access_expires_at = x->expires_at;
	g->record = (struct record_code){ .client_id = g->client_id, .scope = t->wanted.scope, .user = x->user, .auth_time = x->auth_time, .sid = x->sid,
		.audiences = { t->wanted.audiences, t->wanted.audience_n } };
	request_write(r, grant_issue, g, issued);
}

/* ---- what is asked for ---- */

/* Section 2.1: the clients that the token is for. They must trust the asking one, as with dex's scope for the same. False: r has been answered. */
static bool
audiences_take(struct request *r, struct token *t, const struct form *form)
{
	struct authorization_lookup lookup;
	struct authorization_rules rules = authorization_rules_of(r, &lookup);
	struct slice kept = t->wanted.scope, refused;
	bool ok = true;

	for (size_t i = 0; i < form->n && ok; i++) {
		if (slice_eq_str(form->fields[i].name, "audience") && form->fields[i].value.n) {
			struct slice word = slice_str(arena_printf(&r->arena, "audience:server:client_id:%.*s", SLICE_FMT(form->fields[i].value)));
			ok = word.p && !memchr(word.p, ' ', word.n) && authorization_scope_parse(word, t->client, &rules, &t->wanted, &refused);
		}
		if (slice_eq_str(form->fields[i].name, "resource"))
			ok = false;
	}
	t->wanted.scope = kept;
	if (ok)
		return true;
	if (lookup.unreadable)
		client_endpoint_unavailable(r);
	else
		refuse(r, "invalid_target", "an audience is the id of a client that has the asking one among its trustedPeers; resource is not supported");
	return false;
}

/* Not more than the subject's token shows or was granted. False: r has been answered. */
static bool
scope_take(struct request *r, struct token *t)
{
	const struct exchange *x = t->exchange;
	struct slice asked = t->request.scope.n ? t->request.scope : x->scope;

	if (!client_endpoint_scope(r, t->client, asked, &t->wanted))
		return false;
	if (!(t->wanted.scopes & SCOPE_OFFLINE_ACCESS) && (!x->scope.n || !(t->wanted.scopes & ~scope_bits(x->scope))))
		return true;
	refuse(r, "invalid_scope", "more is asked for than the subject_token has; and offline_access is not for an exchange");
	return false;
}

static void
proved(struct request *r)
{
	struct token *t = r->state;
	struct exchange *x = t->exchange;
	bool allowed = app_generation_connector_allowed(r->generation, x->user.connector_id, t->client, GRANT_BIT(GRANT_TOKEN_EXCHANGE));

	if (!allowed)
		refuse(r, "invalid_request", "no token exchange is allowed for people of that connector, or not for this client");
	else if (scope_take(r, t) && audiences_take(r, t, t->form))
		issue(r, t);
}

/* ---- a token of ours ---- */

/* Words of the scope without offline_access: a refresh token is nothing that an access token stands for. */
static struct slice
scope_online(struct arena *arena, struct slice scope)
{
	struct slice kept = SLICE_NONE;
	struct buf b;

	buf_init(&b, 0);
	while (scope.n) {
		struct slice word = slice_cut(&scope, ' ');
		if (!word.n || slice_eq_str(word, "offline_access") || slice_has_prefix(word, SLICE_LIT("audience:")))
			continue;
		if (b.n)
			buf_add_char(&b, ' ');
		buf_add_slice(&b, word);
	}
	if (buf_ok(&b))
		kept = arena_slice(arena, buf_slice(&b));
	buf_fini(&b);
	return kept;
}

static struct slice
scope_shown(struct arena *arena, unsigned shown)
{
	return slice_str(arena_printf(arena, "openid%s%s%s%s", shown & SCOPE_EMAIL ? " email" : "", shown & SCOPE_PROFILE ? " profile" : "",
		shown & SCOPE_GROUPS ? " groups" : "", shown & SCOPE_FEDERATED_ID ? " federated:id" : ""));
}

/* Its client, or one that has it among its peers (as at introspection). */
static enum err
prove_access(struct request *r, struct token *t, struct exchange *x, const struct own_token *own)
{
	struct grant grant;
	enum err e = client_is_peer(t->client, own->client_id) ? grant_find(r->app->store, own->grant, &r->arena, &grant) : E_DENIED;

	if (e != OK)
		return e;
	x->user = grant.user;
	x->scope = scope_online(&r->arena, own->scope);
	return x->scope.p ? OK : E_NOMEM;
}

struct session_look {
	struct exchange *x;
	struct arena *arena;
};

/* The session behind an ID token. Local people are found without one. */
static enum err
session_look(struct store_txn *t, void *arg)
{
	const struct session_look *l = arg;
	struct record_session session;
	struct slice key;
	enum err e = revocation_check(t, l->x->sid, l->arena);

	if (e != OK)
		return e;
	e = person_session_find(t, &l->x->user, l->x->sid, l->arena, &key);
	if (e == OK)
		e = store_get(t, RECORD_SESSION, key, l->arena, &session);
	if (e == OK)
		l->x->user = session.user;
	return e == E_EMPTY && slice_eq_str(l->x->user.connector_id, AUTHD_PASSWORD_CONNECTOR) ? OK : e;
}

/* Who a sub of ours, in either form, is about. */
static enum err
subject_read(struct arena *arena, struct slice sub, struct record_user *out)
{
	struct slice rest = sub;

	if (!memchr(sub.p, ':', sub.n))
		return subject_parse(sub, arena, &out->user_id, &out->connector_id);
	out->connector_id = slice_cut(&rest, ':');
	out->user_id = rest;
	return OK;
}

static enum err
prove_id(struct request *r, struct token *t, struct exchange *x, const struct own_token *own)
{
	bool meant = false;
	enum err e;

	for (size_t i = 0; i < own->audiences.n; i++)
		meant |= slice_eq_str(own->audiences.items[i], t->client->id);
	if (!meant)
		return E_DENIED;
	x->auth_time = own->auth_time;
	x->scope = scope_shown(&r->arena, own->shown);
	e = x->scope.p ? subject_read(&r->arena, own->sub, &x->user) : E_NOMEM;
	return e == OK ? store_read(r->app->store, session_look, &(struct session_look){ x, &r->arena }) : e;
}

static void
prove_own(struct request *r, struct token *t)
{
	struct exchange *x = t->exchange;
	struct directory d = directory_of(r);
	struct own_token own;
	enum err e = own_token_open(r, x->subject_token, x->subject_is_id ? "JWT" : "at+jwt", false, &own);

	if (e == OK) {
		x->sid = own.sid;
		x->expires_at = own.expires_at;
		e = x->subject_is_id ? prove_id(r, t, x, &own) : prove_access(r, t, x, &own);
	}
	if (e == OK)
		e = person_refresh(&d, &x->user);
	if (e == OK)
		proved(r);
	else if (e == E_DENIED || e == E_EMPTY || e == E_FORMAT)
		refuse(r, "invalid_request", NOT_GOOD); /* section 2.2.2 */
	else
		client_endpoint_unavailable(r);
}

/* ---- a token of an upstream ---- */

static void
exchanged(struct request *r)
{
	struct token *t = r->state;
	const struct exchange *x = t->exchange;

	if (x->verdict == CONNECTOR_OK && x->copied == OK)
		proved(r);
	else if (x->verdict == CONNECTOR_DENIED || x->verdict == CONNECTOR_NO_EMAIL)
		refuse(r, "invalid_request", NOT_GOOD);
	else
		client_endpoint_unavailable(r);
}

static void
on_exchanged(void *arg, const struct connector_result *result)
{
	struct request *r = arg;
	struct exchange *x = ((struct token *)r->state)->exchange;

	x->verdict = result->verdict;
	x->copied = result->verdict == CONNECTOR_OK ? person_copy(&r->arena, &result->user, &x->user) : OK;
	x->auth_time = request_now_s(r);
	request_resume(r);
}

static void
prove_upstream(struct request *r, struct token *t)
{
	struct exchange *x = t->exchange;

	/* Before the upstream is asked: a connector that does not allow it is asked nothing. */
	if (!app_generation_connector_allowed(r->generation, slice_str(x->connector->id), t->client, GRANT_BIT(GRANT_TOKEN_EXCHANGE))) {
		refuse(r, "invalid_request", "no token exchange is allowed with that connector, or not for this client");
		return;
	}
	request_wait(r, exchanged);
	if (x->connector->ops->exchange(x->connector, x->subject_token, on_exchanged, r) != OK) {
		x->verdict = CONNECTOR_UNAVAILABLE;
		request_resume(r);
	}
}

/* ---- the request (section 2.1) ---- */

static const char *
request_read(struct request *r, const struct form *form, struct exchange *x)
{
	struct slice type = form_get(form, "subject_token_type"), wanted = form_get(form, "requested_token_type"), connector = form_get(form, "connector_id");

	x->subject_token = form_get(form, "subject_token");
	x->subject_is_id = slice_eq_str(type, TYPE("id_token"));
	x->wants_id = slice_eq_str(wanted, TYPE("id_token"));
	if (!x->subject_token.n)
		return "subject_token is missing";
	if (!x->subject_is_id && !slice_eq_str(type, TYPE("access_token")))
		return "subject_token_type must be " TYPE("access_token") " or " TYPE("id_token");
	if (wanted.n && !x->wants_id && !slice_eq_str(wanted, TYPE("access_token")))
		return "requested_token_type must be " TYPE("access_token") " or " TYPE("id_token");
	if (form_get(form, "actor_token").n || form_get(form, "actor_token_type").n)
		return "nobody can act for somebody else here: actor_token is not supported";
	if (!connector.n)
		return NULL;
	x->connector = app_generation_connector(r->generation, connector);
	if (!x->connector)
		return "connector_id names no connector that tokens can be exchanged with";
	return x->subject_is_id ? "this connector's upstream gives no ID tokens: subject_token_type must be " TYPE("access_token") : NULL;
}

void
token_exchange(struct request *r, struct token *t, const struct form *form)
{
	struct exchange *x = arena_alloc(&r->arena, sizeof *x);
	const char *wrong;

	if (!x) {
		client_endpoint_unavailable(r);
		return;
	}
	t->exchange = x;
	t->form = form;
	if ((wrong = request_read(r, form, x)))
		refuse(r, "invalid_request", wrong);
	else if (x->connector)
		prove_upstream(r, t);
	else
		prove_own(r, t);
}
