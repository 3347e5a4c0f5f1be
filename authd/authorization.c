#include "authd/authorization.h"
#include "authd/browser.h"
#include "oidc/subject.h"

#define APPROVAL_KEPT_S (365 * 86400)

static const struct client *
client_find(void *arg, struct slice id)
{
	struct authorization_lookup *l = arg;
	struct directory d = directory_of(l->r);
	const struct client *client;
	enum err e = directory_client(&d, id, &client);

	l->unreadable |= e != OK && e != E_EMPTY;
	return e == OK ? client : NULL;
}

struct authorization_rules
authorization_rules_of(struct request *r, struct authorization_lookup *l)
{
	const struct authd_config *c = r->generation->config;

	*l = (struct authorization_lookup){ .r = r };
	return (struct authorization_rules){ .response_types = c->oauth2.response_types, .pkce_plain = c->oauth2.pkce_plain,
		.pkce_enforce = c->oauth2.pkce_enforce, .client_find = client_find, .arg = l };
}

struct record_auth_request
authorization_record(struct request *r, const struct authorization_request *a)
{
	int64_t now_s = request_now_s(r);

	return (struct record_auth_request){
		.client_id = a->client_id,
		.redirect_uri = a->redirect_uri,
		.state = a->state,
		.nonce = a->nonce,
		.scope = a->scope,
		.response_mode = authorization_mode_word(a->response_mode),
		.code_challenge = a->code_challenge,
		.audiences = { (struct slice *)(uintptr_t)a->audiences, a->audience_n },
		.response_type = a->response_type,
		.pkce_method = a->pkce,
		.prompt = a->prompt,
		.max_age_s = a->max_age_s,
		.login_hint = a->login_hint,
		.created_at = now_s,
		.expires_at = now_s + r->generation->config->expiry.auth_requests_ms / 1000,
		.remember = r->generation->config->sessions.remember_me,
	};
}

#define SPARED_MAX 256 /* for one that comes: each is read and written again, 10 us, and then stands behind all others */

/* The sign-in that expires first makes room, unless the person has proved who they are and is about to agree: those are as few as there are people, and
 * whoever floods us with sign-ins that nobody finishes must not push them out. */
static enum err
make_room(struct store_txn *t, int64_t newest_at, struct arena *arena, unsigned *spared)
{
	struct record_auth_request a;
	struct slice key;
	enum err e = store_first(t, RECORD_AUTH_REQUEST, arena, &key), found;

	if (e != OK)
		return e;
	found = store_get(t, RECORD_AUTH_REQUEST, key, arena, &a);
	if (found != OK && found != E_EMPTY)
		return found;
	if (found == OK && a.logged_in && (*spared)++ < SPARED_MAX) {
		a.expires_at = newest_at + 1;
		return store_put(t, RECORD_AUTH_REQUEST, key, &a);
	}
	return store_delete(t, RECORD_AUTH_REQUEST, key);
}

enum err
authorization_put(struct store_txn *t, struct slice id, const struct record_auth_request *a)
{
	struct arena arena;
	unsigned spared = 0;
	enum err e = store_put(t, RECORD_AUTH_REQUEST, id, a);

	arena_init(&arena, REQUEST_ARENA_BYTES_MAX);
	while (e == OK && store_count(t, RECORD_AUTH_REQUEST) > AUTH_REQUESTS_MAX) {
		e = make_room(t, a->expires_at, &arena, &spared);
		arena_fini_secret(&arena);
	}
	return e;
}

enum err
authorization_get(struct store_txn *t, struct slice id, struct slice login_cookie, struct arena *arena, struct record_auth_request *a)
{
	unsigned char bytes[32];
	struct slice hash;
	enum err e;

	if (id.n == 0 || id.n > 64 || login_cookie.n == 0)
		return E_EMPTY;
	hash = store_hash(login_cookie, bytes);
	e = hash.n ? store_get(t, RECORD_AUTH_REQUEST, id, arena, a) : E_NOMEM;
	if (e != OK)
		return e;
	return slice_eq_secret(a->browser_hash, hash) ? OK : E_EMPTY;
}

struct looking {
	struct request *r;
	struct slice id;
	struct record_auth_request *a;
};

static enum err
look(struct store_txn *t, void *arg)
{
	struct looking *l = arg;

	return authorization_get(t, l->id, browser_login_cookie(l->r), &l->r->arena, l->a);
}

enum err
authorization_lookup(struct request *r, struct slice id, struct record_auth_request *a)
{
	struct looking l = { r, id, a };
	struct directory d = directory_of(r);
	const struct client *client;
	enum err e = store_read(r->app->store, look, &l);

	/* What was asked for by a client that is gone is nobody's: it must not be taken for the console's. */
	return e == OK && a->client_id.n ? directory_client(&d, a->client_id, &client) : e;
}

const struct client *
authorization_client(struct request *r, const struct record_auth_request *a)
{
	struct directory d = directory_of(r);
	const struct client *client;

	return a->client_id.n && directory_client(&d, a->client_id, &client) == OK ? client : NULL;
}

unsigned
authorization_grants(const struct record_auth_request *a)
{
	if (a->device_key.n)
		return GRANT_BIT(GRANT_DEVICE_CODE);
	return (a->response_type & RESPONSE_CODE ? GRANT_BIT(GRANT_AUTHORIZATION_CODE) : 0) |
		(a->response_type & (RESPONSE_ID_TOKEN | RESPONSE_TOKEN) ? GRANT_BIT(GRANT_IMPLICIT) : 0);
}

/* ---- approval ---- */

/* Key: sub NUL client id. .p NULL: no memory. */
static struct slice
approval_key(struct arena *arena, const struct record_user *user, struct slice client_id)
{
	struct slice key = SLICE_NONE;
	struct buf b;

	buf_init(&b, 0);
	subject_add(&b, user->user_id, user->connector_id);
	buf_add_char(&b, 0);
	buf_add_slice(&b, client_id);
	if (buf_ok(&b))
		key = arena_slice(arena, buf_slice(&b));
	buf_fini(&b);
	return key;
}

static bool
word_in(struct slice words, struct slice word)
{
	while (words.n)
		if (slice_eq(slice_cut(&words, ' '), word))
			return true;
	return false;
}

static bool
words_within(struct slice asked, struct slice given)
{
	while (asked.n) {
		struct slice word = slice_cut(&asked, ' ');
		if (word.n && !word_in(given, word))
			return false;
	}
	return true;
}

enum err
authorization_approved(struct store_txn *t, const struct record_auth_request *a, const struct record_user *user, struct arena *arena, bool *approved)
{
	struct slice key = approval_key(arena, user, a->client_id);
	struct record_approval given;
	enum err e = key.p ? store_get(t, RECORD_APPROVAL, key, arena, &given) : E_NOMEM;

	*approved = e == OK && words_within(a->scope, given.scope);
	return e == E_EMPTY ? OK : e;
}

enum err
authorization_approve(struct store_txn *t, const struct record_auth_request *a, const struct record_user *user, struct arena *arena, int64_t now_s)
{
	struct slice key = approval_key(arena, user, a->client_id);
	struct record_approval given = { .scope = SLICE_NONE };
	enum err e = key.p ? store_get(t, RECORD_APPROVAL, key, arena, &given) : E_NOMEM;

	if (e != OK && e != E_EMPTY)
		return e;
	if (!words_within(a->scope, given.scope)) {
		char *both = arena_printf(arena, "%.*s %.*s", SLICE_FMT(given.scope), SLICE_FMT(a->scope));
		if (!both)
			return E_NOMEM;
		given.scope = slice_trim(slice_str(both));
	}
	given.approved_at = now_s;
	/* What was withdrawn stays so. */
	given.expires_at = given.withdrawn_at && (given.expires_at == 0 || given.expires_at > now_s + APPROVAL_KEPT_S) ? given.expires_at : now_s + APPROVAL_KEPT_S;
	e = store_put(t, RECORD_APPROVAL, key, &given);
	return e == E_LIMIT ? OK : e; /* a subject too long to be a key is asked again each time */
}

struct approvals_visit {
	size_t prefix_n;
	enum err (*visit)(void *arg, struct slice client_id, const struct record_approval *a);
	void *arg;
};

static enum err
approval_visited(void *arg, struct slice key, const void *record)
{
	const struct approvals_visit *v = arg;
	const struct record_approval *a = record;

	return a->scope.n ? v->visit(v->arg, slice_of(key.p + v->prefix_n, key.n - v->prefix_n), a) : OK;
}

enum err
authorization_approvals(struct store_txn *t, const struct record_user *user, struct arena *arena,
	enum err (*visit)(void *arg, struct slice client_id, const struct record_approval *a), void *arg)
{
	struct slice prefix = approval_key(arena, user, SLICE_NONE);
	struct approvals_visit v = { prefix.n, visit, arg };

	if (!prefix.p)
		return E_NOMEM;
	return prefix.n < STORE_KEY_BYTES_MAX ? store_each_prefix(t, RECORD_APPROVAL, prefix, arena, approval_visited, &v) : OK;
}

enum err
authorization_withdraw(struct store_txn *t, const struct record_user *user, struct slice client_id, struct arena *arena, int64_t now_s, int64_t kept_until)
{
	struct slice key = approval_key(arena, user, client_id);
	struct record_approval given;
	enum err e = key.p ? store_get(t, RECORD_APPROVAL, key, arena, &given) : E_NOMEM;

	if (e != OK || given.scope.n == 0)
		return e == OK ? E_EMPTY : e;
	given.scope = SLICE_NONE;
	given.withdrawn_at = now_s;
	given.expires_at = kept_until;
	return store_put(t, RECORD_APPROVAL, key, &given);
}

enum err
authorization_withdrawn_check(struct store_txn *t, const struct record_user *user, struct slice client_id, int64_t granted_at, struct arena *arena)
{
	struct slice key = approval_key(arena, user, client_id);
	struct record_approval given;
	enum err e = key.p ? store_get(t, RECORD_APPROVAL, key, arena, &given) : E_NOMEM;

	if (e != OK)
		return e == E_EMPTY ? OK : e;
	return given.withdrawn_at && granted_at <= given.withdrawn_at ? E_EMPTY : OK;
}
