#include "authd/directory.h"
#include "shared/log.h"

static enum err
stored(const struct directory *d, enum record_kind kind, struct slice key, void *record)
{
	return d->txn ? store_get(d->txn, kind, key, d->arena, record) : store_lookup(d->store, kind, key, d->arena, record);
}

/* ---- clients ---- */

static enum err
texts_of(struct arena *arena, const struct record_strings *from, const char ***items)
{
	*items = arena_alloc(arena, (from->n + 1) * sizeof(**items));
	for (size_t i = 0; *items && i < from->n; i++)
		if (!((*items)[i] = arena_strndup(arena, from->items[i].p, from->items[i].n)))
			return E_NOMEM;
	return *items ? OK : E_NOMEM;
}

/* Empty: NULL, as the configuration has it. */
static enum err
text_of(struct arena *arena, struct slice from, const char **to)
{
	*to = from.n ? arena_strndup(arena, from.p, from.n) : NULL;
	return from.n && !*to ? E_NOMEM : OK;
}

/* Some other version's may be among them, which are no grants here; they limit the client all the same. */
static unsigned
grants_of(const struct record_strings *names)
{
	enum grant_type grant;
	unsigned bits = 0;

	for (size_t i = 0; i < names->n; i++)
		if (grant_type_find(names->items[i], &grant))
			bits |= GRANT_BIT(grant);
	return names->n && !bits ? GRANT_BIT(GRANT_TYPES) : bits;
}

static enum err
claims_of(struct arena *arena, const struct record_strings *from, struct client *to)
{
	struct client_claim *claims = arena_alloc(arena, (from->n / 3 + 1) * sizeof(*claims));

	if (!claims)
		return E_NOMEM;
	if (from->n % 3)
		return E_FORMAT;
	for (size_t i = 0; i + 2 < from->n; i += 3) {
		struct client_claim *c = &claims[to->claim_n];
		*c = (struct client_claim){ .from = CLAIM_TEXT };
		if (text_of(arena, from->items[i], &c->name) != OK || text_of(arena, from->items[i + 1], &c->text) != OK)
			return E_NOMEM;
		to->claim_n += c->name && (c->text ? true : client_claim_from_find(from->items[i + 2], &c->from));
	}
	to->claims = claims;
	return OK;
}

enum err
directory_client_of(struct arena *arena, struct slice id, const struct record_client *r, const struct client **out)
{
	struct client *c = arena_alloc(arena, sizeof(*c));
	const char **redirects, **peers, **connectors, **post_logout, **groups;

	if (!c || text_of(arena, id, &c->id) != OK || text_of(arena, r->name, &c->name) != OK || text_of(arena, r->logo_url, &c->logo_url) != OK ||
		text_of(arena, r->backchannel_logout_uri, &c->backchannel_logout_uri) != OK ||
		texts_of(arena, &r->redirect_uris, &redirects) != OK || texts_of(arena, &r->trusted_peers, &peers) != OK ||
		texts_of(arena, &r->allowed_connectors, &connectors) != OK || texts_of(arena, &r->post_logout_redirect_uris, &post_logout) != OK ||
		texts_of(arena, &r->groups, &groups) != OK)
		return E_NOMEM;
	c->secret_hash = r->secret_hash;
	c->redirect_uris = redirects;
	c->redirect_uri_n = r->redirect_uris.n;
	c->trusted_peers = peers;
	c->trusted_peer_n = r->trusted_peers.n;
	c->allowed_connectors = connectors;
	c->allowed_connector_n = r->allowed_connectors.n;
	c->post_logout_redirect_uris = post_logout;
	c->post_logout_redirect_uri_n = r->post_logout_redirect_uris.n;
	c->groups = groups;
	c->group_n = r->groups.n;
	c->grant_types = grants_of(&r->grant_types);
	c->signing_alg = jws_alg_parse(r->signing_alg);
	c->plain_subject = r->plain_subject;
	c->id_tokens_s = r->id_tokens_s;
	c->refresh_absolute_s = r->refresh_absolute_s;
	c->refresh_idle_s = r->refresh_idle_s;
	c->public = r->public;
	*out = c;
	return claims_of(arena, &r->claims, c);
}

static enum err
strings_to(struct arena *arena, const char *const *from, size_t n, struct record_strings *to)
{
	*to = (struct record_strings){ .items = arena_alloc(arena, (n + 1) * sizeof(*to->items)), .n = n };
	for (size_t i = 0; to->items && i < n; i++)
		if (!(to->items[i] = arena_slice(arena, slice_str(from[i]))).p)
			return E_NOMEM;
	return to->items ? OK : E_NOMEM;
}

static enum err
grants_to(struct arena *arena, unsigned bits, struct record_strings *to)
{
	const char *names[GRANT_TYPES];
	size_t n = 0;

	for (size_t i = 0; i < GRANT_TYPES; i++)
		if (bits & GRANT_BIT(i))
			names[n++] = grant_type_name((enum grant_type)i);
	return strings_to(arena, names, n, to);
}

static enum err
claims_to(struct arena *arena, const struct client *c, struct record_strings *to)
{
	const char **texts = arena_alloc(arena, (3 * c->claim_n + 1) * sizeof(*texts));

	for (size_t i = 0; texts && i < c->claim_n; i++) {
		texts[3 * i] = c->claims[i].name;
		texts[3 * i + 1] = c->claims[i].text ? c->claims[i].text : "";
		texts[3 * i + 2] = client_claim_from_name(c->claims[i].from);
	}
	return texts ? strings_to(arena, texts, 3 * c->claim_n, to) : E_NOMEM;
}

enum err
directory_client_record(struct arena *arena, const struct client *c, struct record_client *r)
{
	*r = (struct record_client){ .name = arena_slice(arena, slice_str(c->name)), .logo_url = arena_slice(arena, slice_str(c->logo_url)),
		.backchannel_logout_uri = arena_slice(arena, slice_str(c->backchannel_logout_uri)), .public = c->public,
		.signing_alg = c->signing_alg ? slice_str(jws_alg_name(c->signing_alg)) : SLICE_NONE, .plain_subject = c->plain_subject,
		.id_tokens_s = c->id_tokens_s, .refresh_absolute_s = c->refresh_absolute_s, .refresh_idle_s = c->refresh_idle_s };
	if (!r->name.p || !r->logo_url.p || !r->backchannel_logout_uri.p || strings_to(arena, c->redirect_uris, c->redirect_uri_n, &r->redirect_uris) != OK ||
		strings_to(arena, c->trusted_peers, c->trusted_peer_n, &r->trusted_peers) != OK ||
		strings_to(arena, c->allowed_connectors, c->allowed_connector_n, &r->allowed_connectors) != OK ||
		strings_to(arena, c->post_logout_redirect_uris, c->post_logout_redirect_uri_n, &r->post_logout_redirect_uris) != OK ||
		strings_to(arena, c->groups, c->group_n, &r->groups) != OK || grants_to(arena, c->grant_types, &r->grant_types) != OK ||
		claims_to(arena, c, &r->claims) != OK)
		return E_NOMEM;
	return OK;
}

enum err
directory_client(const struct directory *d, struct slice id, const struct client **out)
{
	struct record_client r;

	*out = authd_config_client(d->generation->config, id);
	if (*out)
		return OK;
	enum err e = stored(d, RECORD_CLIENT, id, &r);
	return e == OK ? directory_client_of(d->arena, id, &r, out) : e;
}

bool
directory_secret_ok(const struct client *c, struct slice secret)
{
	unsigned char hash[32];

	if (c->secret)
		return slice_eq_secret(slice_str(c->secret), secret);
	return c->secret_hash.n && slice_eq_secret(c->secret_hash, store_hash(secret, hash));
}

/* ---- what clients want of the keys ---- */

void
directory_needs_add(struct directory_needs *n, const struct client *c)
{
	if (c->signing_alg)
		n->algs |= KEYS_ALG(c->signing_alg);
	if (c->id_tokens_s > n->tokens_s)
		n->tokens_s = c->id_tokens_s;
}

struct counting {
	struct arena arena; /* of one record at a time */
	struct directory_needs *needs;
};

static enum err
needs_visit(void *arg, struct slice id, const void *record)
{
	struct counting *n = arg;
	const struct client *c;
	enum err e = directory_client_of(&n->arena, id, record, &c);

	if (e == OK)
		directory_needs_add(n->needs, c);
	arena_fini(&n->arena);
	return e;
}

static enum err
needs_read(struct store_txn *t, void *arg)
{
	struct counting *n = arg;

	return store_each(t, RECORD_CLIENT, &n->arena, needs_visit, n);
}

enum err
directory_needs(const struct directory *d, struct directory_needs *out)
{
	const struct authd_config *c = d->generation->config;
	struct counting n = { .needs = out };

	*out = (struct directory_needs){ .tokens_s = authd_config_tokens_longest_s(c) };
	for (size_t i = 0; i < c->client_n; i++)
		directory_needs_add(out, &c->clients[i]);
	arena_init(&n.arena, 4u << 20);
	enum err e = d->txn ? needs_read(d->txn, &n) : store_read(d->store, needs_read, &n);
	arena_fini(&n.arena);
	return e;
}

/* ---- people ---- */

static struct slice
name_key(struct arena *arena, const char *prefix, struct slice name, bool lower)
{
	struct slice key = slice_str(arena_printf(arena, "%s%.*s", prefix, SLICE_FMT(name)));
	char *p = arena_strndup(arena, key.p ? key.p : "", key.n);

	if (!key.p || !p)
		return SLICE_NONE;
	for (size_t i = 0; lower && i < key.n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] | 0x20);
	return slice_of(p, key.n);
}

struct slice
directory_email_key(struct arena *arena, struct slice email)
{
	return name_key(arena, "email:", email, true);
}

struct slice
directory_username_key(struct arena *arena, struct slice username)
{
	return name_key(arena, "username:", username, false);
}

enum err
directory_account_of(struct arena *arena, struct slice user_id, const struct record_account *r, const struct authd_password **out)
{
	struct authd_password *p = arena_alloc(arena, sizeof(*p));

	if (!p || text_of(arena, user_id, &p->user_id) != OK || text_of(arena, r->hash, &p->hash) != OK || text_of(arena, r->email, &p->email) != OK ||
		text_of(arena, r->username, &p->username) != OK || text_of(arena, r->name, &p->name) != OK ||
		text_of(arena, r->preferred_username, &p->preferred_username) != OK || texts_of(arena, &r->groups, &p->groups.items) != OK)
		return E_NOMEM;
	p->groups.n = r->groups.n;
	p->email_verified = r->email_verified;
	*out = p;
	return p->hash && p->email ? OK : E_FORMAT;
}

static enum err
stored_account(const struct directory *d, struct slice user_id, const struct authd_password **out)
{
	struct record_account r;
	enum err e = stored(d, RECORD_ACCOUNT, user_id, &r);

	return e == OK ? directory_account_of(d->arena, user_id, &r, out) : e;
}

enum err
directory_account(const struct directory *d, struct slice user_id, const struct authd_password **out)
{
	const struct authd_password *all = d->generation->config->passwords.items;

	for (size_t i = 0; i < d->generation->config->passwords.n; i++)
		if (slice_eq_str(user_id, all[i].user_id)) {
			*out = &all[i];
			return OK;
		}
	return stored_account(d, user_id, out);
}

/* The configured entries of that user name. */
static size_t
configured_by_username(const struct authd_config *c, struct slice username, const struct authd_password **out)
{
	const struct authd_password *all = c->passwords.items;
	size_t n = 0;

	for (size_t i = 0; i < c->passwords.n; i++)
		if (all[i].username && slice_eq_str(username, all[i].username)) {
			*out = &all[i];
			n++;
		}
	return n;
}

static enum err
stored_by_name(const struct directory *d, struct slice key, const struct authd_password **out)
{
	struct record_account_name name;

	if (!key.p)
		return E_NOMEM;
	enum err e = stored(d, RECORD_ACCOUNT_NAME, key, &name);
	return e == OK ? stored_account(d, name.user_id, out) : e;
}

enum err
directory_account_by_login(const struct directory *d, struct slice login, const struct authd_password **out)
{
	enum err e;

	if (login.n == 0 || memchr(login.p, '\0', login.n))
		return E_EMPTY;
	*out = authd_config_password(d->generation->config, login);
	if (*out)
		return OK;
	e = stored_by_name(d, directory_email_key(d->arena, login), out);
	if (e != E_EMPTY)
		return e;
	switch (configured_by_username(d->generation->config, login, out)) {
	case 0:
		return stored_by_name(d, directory_username_key(d->arena, login), out);
	case 1:
		return OK;
	default:
		return E_EMPTY; /* who is meant cannot be told */
	}
}

/* ---- cost ---- */

struct costs {
	struct arena arena; /* of one record at a time */
	unsigned most;
};

static enum err
cost_visit(void *arg, struct slice key, const void *record)
{
	const struct record_account *a = record;
	struct costs *c = arg;
	unsigned cost = password_hash_cost(a->hash);

	(void)key;
	c->most = cost > c->most ? cost : c->most;
	arena_fini(&c->arena);
	return OK;
}

static enum err
costs_read(struct store_txn *t, void *arg)
{
	struct costs *c = arg;

	return store_each(t, RECORD_ACCOUNT, &c->arena, cost_visit, c);
}

unsigned
directory_password_cost(const struct directory *d)
{
	struct costs c = { .most = authd_config_password_cost(d->generation->config) };

	arena_init(&c.arena, 4u << 20);
	enum err e = d->txn ? costs_read(d->txn, &c) : store_read(d->store, costs_read, &c);
	arena_fini(&c.arena);
	if (e != OK)
		log_error("stored accounts could not all be read: unknown names may be told from known ones by time", LOG_STR("reason", err_name(e)));
	return c.most;
}
