/* Which key comes next, signs, or goes: the records of all keys, and what is due. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include "authd/key_plan.h"
#include "shared/log.h"

#define RSA_BITS 2048
#define RETIRED_MARGIN_S 60 /* clocks of those who verify */

/* --- keys as records --- */

static EVP_PKEY *
generate(enum jws_alg alg)
{
	EVP_PKEY *key = alg == JWS_ES256 ? EVP_EC_gen("P-256") : EVP_RSA_gen(RSA_BITS);

	if (!key)
		ERR_clear_error();
	return key;
}

/* PEM readers ask for a pass phrase through this, by default at the terminal. */
static int
no_passphrase(char *out, int bytes, int writing, void *arg)
{
	(void)out;
	(void)bytes;
	(void)writing;
	(void)arg;
	return -1;
}

EVP_PKEY *
key_stored_private(struct slice pem)
{
	BIO *in = pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;

	BIO_free(in);
	if (!key)
		ERR_clear_error();
	return key;
}

static enum err
write_private(EVP_PKEY *key, struct arena *arena, struct slice *pem)
{
	BIO *out = BIO_new(BIO_s_secmem());
	char *text = NULL;
	enum err err = E_NOMEM;

	if (out && PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1) {
		long n = BIO_get_mem_data(out, &text);
		*pem = arena_slice(arena, slice_of(text, (size_t)n));
		err = pem->p ? OK : E_NOMEM;
	}
	BIO_free(out);
	return err;
}

/* A fresh key in the plan. Takes about 100 ms for RSA: never on the store's writer thread. */
static enum err
plan_add(struct key_plan *p, enum jws_alg alg, enum record_key_state state, int64_t now_s, int64_t active_at)
{
	char thumbprint[44];
	struct key_stored s = { .r = { .alg = slice_str(jws_alg_name(alg)), .state = state, .created_at = now_s, .active_at = active_at } };

	if (p->n == JWK_SET_KEYS_MAX)
		return E_LIMIT;
	EVP_PKEY *key = generate(alg);
	enum err err = key ? jwk_thumbprint(key, thumbprint) : E_SYSTEM;
	if (err == OK)
		err = write_private(key, &p->arena, &s.r.private_pem);
	EVP_PKEY_free(key);
	if (err == OK) {
		s.kid = arena_slice(&p->arena, slice_str(thumbprint));
		err = s.kid.p ? OK : E_NOMEM;
	}
	if (err == OK) {
		p->changed[p->n] = true;
		p->keys[p->n++] = s;
	}
	return err;
}

static enum err
plan_visit(void *arg, struct slice kid, const void *record)
{
	struct key_plan *p = arg;

	if (p->n == JWK_SET_KEYS_MAX)
		return E_LIMIT;
	p->keys[p->n].r = *(const struct record_key *)record;
	p->keys[p->n].kid = arena_slice(&p->arena, kid);
	return p->keys[p->n++].kid.p ? OK : E_NOMEM;
}

enum err
key_plan_read(struct store_txn *t, void *arg)
{
	struct key_plan *p = arg;

	p->n = 0;
	return store_each(t, RECORD_KEY, &p->arena, plan_visit, p);
}

enum err
key_plan_write(struct store_txn *t, void *arg)
{
	struct key_plan *p = arg;
	enum err err = OK;

	for (size_t i = 0; i < p->n && err == OK; i++) {
		if (p->gone[i])
			err = store_delete(t, RECORD_KEY, p->keys[i].kid);
		else if (p->changed[i])
			err = store_put(t, RECORD_KEY, p->keys[i].kid, &p->keys[i].r);
		if (err == E_EMPTY)
			err = OK;
	}
	return err;
}

static bool
is_alg(const struct key_stored *s, enum jws_alg alg)
{
	return jws_alg_parse(s->r.alg) == alg;
}

struct key_stored *
key_plan_find(struct key_plan *p, enum jws_alg alg, enum record_key_state state)
{
	struct key_stored *newest = NULL;

	for (size_t i = 0; i < p->n; i++)
		if (!p->gone[i] && p->keys[i].r.state == state && (!alg || is_alg(&p->keys[i], alg)) && (!newest || p->keys[i].r.active_at > newest->r.active_at))
			newest = &p->keys[i];
	return newest;
}

static void
plan_change(struct key_plan *p, struct key_stored *s)
{
	p->changed[s - p->keys] = true;
}

/* --- the states --- */

static void
retire(struct key_plan *p, struct key_stored *active, int64_t now_s)
{
	active->r.state = RECORD_KEY_RETIRED;
	active->r.retired_at = now_s;
	active->r.expires_at = now_s + active->r.token_lifetime_s + RETIRED_MARGIN_S;
	plan_change(p, active);
}

/* next -> active, active -> retired: in one transaction, so there is always exactly one of a ring. */
static void
activate(struct key_plan *p, struct key_stored *next, struct key_stored *active, int64_t now_s)
{
	next->r.state = RECORD_KEY_ACTIVE;
	next->r.active_at = now_s;
	plan_change(p, next);
	if (active)
		retire(p, active, now_s);
	log_info("signing key is active", LOG_SLICE("kid", next->kid), LOG_SLICE("alg", next->r.alg));
}

/* The longest token that a key may have signed decides when it may go. It stands in the record before a token of that length is signed, and
 * never becomes less: a shorter lifetime in the configuration does not shorten what is out there. */
static void
note_lifetime(struct key_plan *p, int64_t lifetime_s)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->keys[i].r.state == RECORD_KEY_ACTIVE && p->keys[i].r.token_lifetime_s < lifetime_s) {
			p->keys[i].r.token_lifetime_s = lifetime_s;
			p->changed[i] = true;
		}
}

/* When a key that waits may sign. While authd was away nobody could fetch it, and its days in the store published it to nobody: after a
 * start everyone's cache runs out once more. */
static int64_t
signs_at(const struct key_stored *next, int64_t opened_at)
{
	int64_t seen_at = opened_at + KEYS_MAX_AGE_S;

	return next->r.active_at > seen_at ? next->r.active_at : seen_at;
}

struct key_stored *
key_plan_default(struct key_plan *p, enum jws_alg alg, int64_t now_s)
{
	struct key_stored *own = key_plan_find(p, alg, RECORD_KEY_ACTIVE);

	if (!own)
		return key_plan_find(p, JWS_ALG_NONE, RECORD_KEY_ACTIVE);
	for (size_t i = 0; i < p->n && now_s < own->r.created_at + KEYS_PUBLISH_S; i++)
		if (p->keys[i].r.state == RECORD_KEY_ACTIVE && p->keys[i].r.created_at < own->r.created_at)
			return &p->keys[i];
	return own;
}

static void
earlier(int64_t *due_at, int64_t at)
{
	*due_at = at < *due_at ? at : *due_at;
}

/* One ring in use. soon: rotate at the earliest moment that is safe. at_once: something has to sign by it now. */
static enum err
ring_advance(struct key_plan *p, enum jws_alg alg, int64_t period_s, int64_t opened_at, int64_t now_s, bool soon, bool at_once, int64_t *due_at)
{
	struct key_stored *active = key_plan_find(p, alg, RECORD_KEY_ACTIVE), *next = key_plan_find(p, alg, RECORD_KEY_NEXT);
	enum err err = OK;

	if (!active && !next && at_once) {
		/* The first key of all: nobody has a token or a cached JWK Set yet; or of a client, which waits for it. */
		err = plan_add(p, alg, RECORD_KEY_ACTIVE, now_s, now_s);
		active = key_plan_find(p, alg, RECORD_KEY_ACTIVE);
	}
	if (err == OK && !active)
		soon = true;
	int64_t planned = active ? active->r.active_at + period_s : now_s;
	if (err == OK && !next && (soon || now_s >= planned - KEYS_PUBLISH_S)) {
		int64_t at = soon || planned < now_s + KEYS_PUBLISH_S ? now_s + KEYS_PUBLISH_S : planned;
		err = plan_add(p, alg, RECORD_KEY_NEXT, now_s, at);
		next = key_plan_find(p, alg, RECORD_KEY_NEXT);
		if (err == OK)
			log_info("signing key is published", LOG_SLICE("kid", next->kid), LOG_SLICE("alg", next->r.alg), LOG_INT("active_in_s", at - now_s));
	} else if (err == OK && next && soon && next->r.active_at > next->r.created_at + KEYS_PUBLISH_S) {
		/* Already published long enough, or soon: there is no need to wait for its planned day. */
		next->r.active_at = next->r.created_at + KEYS_PUBLISH_S;
		plan_change(p, next);
	}
	if (err == OK && next && ((!active && at_once) || now_s >= signs_at(next, opened_at))) {
		activate(p, next, active, now_s);
		next = NULL;
		planned = now_s + period_s;
	}
	earlier(due_at, err == OK && next ? signs_at(next, opened_at) : planned - KEYS_PUBLISH_S);
	return err;
}

/* One that nobody uses: a key that waits is of no use any more, the active one goes as any other, but not while it stands in for the signer's own. */
static void
ring_retire(struct key_plan *p, enum jws_alg alg, const struct key_stored *stands_in, int64_t now_s)
{
	struct key_stored *active = key_plan_find(p, alg, RECORD_KEY_ACTIVE), *next = key_plan_find(p, alg, RECORD_KEY_NEXT);

	if (next)
		p->gone[next - p->keys] = true;
	if (active && active != stands_in) {
		retire(p, active, now_s);
		log_info("signing key is retired: nobody asks for its algorithm any more", LOG_SLICE("kid", active->kid), LOG_SLICE("alg", active->r.alg));
	}
}

bool
keys_in_use(const struct keys_options *o, enum jws_alg alg)
{
	return alg == o->alg || (o->client_algs & KEYS_ALG(alg));
}

enum err
key_plan_advance(struct key_plan *p, const struct keys_options *o, int64_t opened_at, int64_t now_s, unsigned soon, int64_t *due_at)
{
	static const enum jws_alg algs[KEYS_RINGS] = { JWS_RS256, JWS_ES256 };
	bool none = !key_plan_find(p, JWS_ALG_NONE, RECORD_KEY_ACTIVE);
	enum err err = OK;

	*due_at = INT64_MAX;
	note_lifetime(p, o->token_lifetime_max_s);
	for (size_t i = 0; i < KEYS_RINGS && err == OK; i++) {
		bool asked_for = o->client_algs & KEYS_ALG(algs[i]);
		if (keys_in_use(o, algs[i]))
			err = ring_advance(p, algs[i], o->rotation_period_s, opened_at, now_s, soon & KEYS_ALG(algs[i]), asked_for || none, due_at);
	}
	const struct key_stored *first = key_plan_default(p, o->alg, now_s), *own = key_plan_find(p, o->alg, RECORD_KEY_ACTIVE);
	for (size_t i = 0; i < KEYS_RINGS && err == OK; i++)
		if (!keys_in_use(o, algs[i]))
			ring_retire(p, algs[i], first, now_s);
	note_lifetime(p, o->token_lifetime_max_s);
	if (own && first != own)
		earlier(due_at, own->r.created_at + KEYS_PUBLISH_S);
	for (size_t i = 0; i < p->n; i++)
		if (p->keys[i].r.state == RECORD_KEY_RETIRED)
			earlier(due_at, p->keys[i].r.expires_at);
	return err;
}
