#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include "authd/keys.h"
#include "shared/log.h"

#define RSA_BITS 2048
#define RETIRED_MARGIN_S 60 /* clocks of those who verify */
#define TICK_S_MAX 3600     /* look at least this often: the system's clock may be set */
#define TICK_FAILED_S 10

/* What keys_acquire hands out. */
struct held {
	struct key_set set;
	atomic_uint refs;
	struct buf json;
};

struct keys {
	struct store *store;
	pthread_mutex_t change; /* one change at a time */
	pthread_mutex_t lock;   /* options, current */
	struct keys_options o;
	int64_t token_lifetime_s; /* the longest since keys_open: what was signed before a shorter one was configured still counts */
	struct held *current;
	int64_t opened_at;
};

/* One key as stored. */
struct stored {
	struct slice kid;
	struct record_key r;
};
/* All keys of the store, and what is to be put at once. */
struct plan {
	struct arena arena;
	struct stored keys[JWK_SET_KEYS_MAX];
	size_t n;
	bool changed[JWK_SET_KEYS_MAX];
	bool gone[JWK_SET_KEYS_MAX];
};

static void
held_release(struct held *h)
{
	if (!h || atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	jwk_set_fini(&h->set.verify);
	EVP_PKEY_free(h->set.active_key);
	token_memory_free(h->set.verified);
	buf_fini(&h->json);
	free(h);
}

const struct key_set *
keys_acquire(struct keys *k)
{
	pthread_mutex_lock(&k->lock);
	struct held *h = k->current;
	atomic_fetch_add(&h->refs, 1);
	pthread_mutex_unlock(&k->lock);
	return &h->set;
}

void
keys_release(struct keys *k, const struct key_set *set)
{
	union {
		const struct key_set *set;
		struct held *held; /* set is its first member */
	} u = { .set = set };

	(void)k;
	held_release(u.held);
}

static struct keys_options
options(struct keys *k)
{
	pthread_mutex_lock(&k->lock);
	struct keys_options o = k->o;
	o.token_lifetime_max_s = k->token_lifetime_s;
	pthread_mutex_unlock(&k->lock);
	return o;
}

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

static EVP_PKEY *
read_private(struct slice pem)
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
plan_add(struct plan *p, enum jws_alg alg, enum record_key_state state, int64_t now_s, int64_t active_at)
{
	char thumbprint[44];
	struct stored s = { .r = { .alg = slice_str(jws_alg_name(alg)), .state = state, .created_at = now_s, .active_at = active_at } };

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
	struct plan *p = arg;

	if (p->n == JWK_SET_KEYS_MAX)
		return E_LIMIT;
	p->keys[p->n].r = *(const struct record_key *)record;
	p->keys[p->n].kid = arena_slice(&p->arena, kid);
	return p->keys[p->n++].kid.p ? OK : E_NOMEM;
}

static enum err
plan_read(struct store_txn *t, void *arg)
{
	struct plan *p = arg;

	p->n = 0;
	return store_each(t, RECORD_KEY, &p->arena, plan_visit, p);
}

static enum err
plan_write(struct store_txn *t, void *arg)
{
	struct plan *p = arg;
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

static struct stored *
plan_find(struct plan *p, enum record_key_state state)
{
	struct stored *newest = NULL;

	for (size_t i = 0; i < p->n; i++)
		if (!p->gone[i] && p->keys[i].r.state == state && (!newest || p->keys[i].r.active_at > newest->r.active_at))
			newest = &p->keys[i];
	return newest;
}

static void
plan_change(struct plan *p, struct stored *s)
{
	p->changed[s - p->keys] = true;
}

/* --- the states --- */

static bool
is_alg(const struct stored *s, enum jws_alg alg)
{
	return jws_alg_parse(s->r.alg) == alg;
}

/* next -> active, active -> retired: in one transaction, so there is always exactly one. */
static void
activate(struct plan *p, struct stored *next, struct stored *active, int64_t now_s)
{
	next->r.state = RECORD_KEY_ACTIVE;
	next->r.active_at = now_s;
	plan_change(p, next);
	if (active) {
		active->r.state = RECORD_KEY_RETIRED;
		active->r.retired_at = now_s;
		active->r.expires_at = now_s + active->r.token_lifetime_s + RETIRED_MARGIN_S;
		plan_change(p, active);
	}
	log_info("signing key is active", LOG_SLICE("kid", next->kid), LOG_SLICE("alg", next->r.alg));
}

/* The longest token that a key may have signed decides when it may go. It stands in the record before a token of that length is signed, and
 * never becomes less: a shorter lifetime in the configuration does not shorten what is out there. */
static void
note_lifetime(struct plan *p, struct stored *active, int64_t lifetime_s)
{
	if (active->r.token_lifetime_s >= lifetime_s)
		return;
	active->r.token_lifetime_s = lifetime_s;
	plan_change(p, active);
}

/* When a key that waits may sign. While authd was away nobody could fetch it, and its days in the store published it to nobody: after a
 * start everyone's cache runs out once more. */
static int64_t
signs_at(const struct stored *next, int64_t opened_at)
{
	int64_t seen_at = opened_at + KEYS_MAX_AGE_S;

	return next->r.active_at > seen_at ? next->r.active_at : seen_at;
}

/* What is due at now_s. soon: rotate at the earliest moment that is safe. *due_at: when to look again. */
static enum err
plan_advance(struct plan *p, const struct keys_options *o, int64_t opened_at, int64_t now_s, bool soon, int64_t *due_at)
{
	struct stored *active = plan_find(p, RECORD_KEY_ACTIVE), *next = plan_find(p, RECORD_KEY_NEXT);
	enum err err = OK;

	if (!active && !next) {
		/* The first key of all: nobody has a token or a cached JWK Set yet. */
		err = plan_add(p, o->alg, RECORD_KEY_ACTIVE, now_s, now_s);
		active = plan_find(p, RECORD_KEY_ACTIVE);
	}
	if (err == OK && active)
		note_lifetime(p, active, o->token_lifetime_max_s);
	if (err == OK && next && !is_alg(next, o->alg)) {
		p->gone[next - p->keys] = true;
		next = NULL;
		soon = true;
	}
	if (err == OK && active && !is_alg(active, o->alg))
		soon = true;
	int64_t planned = active ? active->r.active_at + o->rotation_period_s : now_s;
	if (err == OK && !next && (soon || now_s >= planned - KEYS_PUBLISH_S)) {
		int64_t at = soon || planned < now_s + KEYS_PUBLISH_S ? now_s + KEYS_PUBLISH_S : planned;
		err = plan_add(p, o->alg, RECORD_KEY_NEXT, now_s, at);
		next = plan_find(p, RECORD_KEY_NEXT);
		if (err == OK)
			log_info("signing key is published", LOG_SLICE("kid", next->kid), LOG_INT("active_in_s", at - now_s));
	} else if (err == OK && next && soon && next->r.active_at > next->r.created_at + KEYS_PUBLISH_S) {
		/* Already published long enough, or soon: there is no need to wait for its planned day. */
		next->r.active_at = next->r.created_at + KEYS_PUBLISH_S;
		plan_change(p, next);
	}
	/* Without an active one there is no choice. */
	if (err == OK && next && (!active || now_s >= signs_at(next, opened_at))) {
		activate(p, next, active, now_s);
		note_lifetime(p, next, o->token_lifetime_max_s);
		next = NULL;
		planned = now_s + o->rotation_period_s;
	}
	*due_at = next ? signs_at(next, opened_at) : planned - KEYS_PUBLISH_S;
	for (size_t i = 0; i < p->n; i++)
		if (p->keys[i].r.state == RECORD_KEY_RETIRED && p->keys[i].r.expires_at < *due_at)
			*due_at = p->keys[i].r.expires_at;
	return err;
}

/* --- the set in use --- */

static enum err
held_add(struct held *h, const struct stored *s, struct slice active_kid)
{
	enum jws_alg alg = jws_alg_parse(s->r.alg);
	EVP_PKEY *key = read_private(s->r.private_pem);

	if (!key)
		return E_FORMAT;
	enum err err = jwk_set_add(&h->set.verify, key, alg, s->kid);
	if (err == OK) {
		buf_add_str(&h->json, h->json.n ? "," : "{\"keys\":[");
		err = jwk_print_public(key, alg, s->kid, &h->json);
	}
	if (err == OK && slice_eq(s->kid, active_kid)) {
		h->set.active_key = key;
		h->set.active_alg = alg;
		snprintf(h->set.active_kid, sizeof(h->set.active_kid), "%.*s", SLICE_FMT(s->kid));
		return OK;
	}
	EVP_PKEY_free(key);
	return err;
}

static enum err
held_new(struct plan *p, int64_t now_s, struct held **out)
{
	struct held *h = calloc(1, sizeof(*h));
	const struct stored *active = plan_find(p, RECORD_KEY_ACTIVE);

	if (!h)
		return E_NOMEM;
	atomic_init(&h->refs, 1);
	h->set.verified = token_memory_new();
	buf_init(&h->json, JWK_SET_BYTES_MAX);
	enum err err = active ? OK : E_EMPTY;
	for (size_t i = 0; i < p->n && err == OK; i++) {
		bool over = p->keys[i].r.expires_at && p->keys[i].r.expires_at <= now_s;
		if (!p->gone[i] && !over)
			err = held_add(h, &p->keys[i], active->kid);
	}
	buf_add_str(&h->json, "]}");
	if (err == OK && !buf_ok(&h->json))
		err = E_LIMIT;
	h->set.jwks_json = buf_slice(&h->json);
	if (err == OK)
		*out = h;
	else
		held_release(h);
	return err;
}

static void
swap(struct keys *k, struct held *fresh)
{
	pthread_mutex_lock(&k->lock);
	struct held *old = k->current;
	k->current = fresh;
	pthread_mutex_unlock(&k->lock);
	held_release(old);
}

/* Read, advance, write, and only then use: a key that is not durable signs nothing. */
static enum err
advance(struct keys *k, bool soon, int64_t *due_at)
{
	struct plan *p = calloc(1, sizeof(*p));
	struct keys_options o = options(k);
	int64_t now_s = clock_now_s(o.clock);
	struct held *fresh = NULL;
	bool write = false;

	if (!p)
		return E_NOMEM;
	pthread_mutex_lock(&k->change);
	arena_init(&p->arena, 4u << 20);
	enum err err = store_read(k->store, plan_read, p);
	if (err == OK)
		err = plan_advance(p, &o, k->opened_at, now_s, soon, due_at);
	for (size_t i = 0; i < p->n; i++)
		write |= p->changed[i] || p->gone[i];
	if (err == OK && write)
		err = store_write_wait(k->store, plan_write, p);
	if (err == OK)
		err = held_new(p, now_s, &fresh);
	if (err == OK)
		swap(k, fresh);
	arena_fini_secret(&p->arena);
	pthread_mutex_unlock(&k->change);
	free(p);
	return err;
}

enum err
keys_open(struct store *s, const struct keys_options *o, struct keys **out, char *why, size_t why_n)
{
	struct keys *k = calloc(1, sizeof(*k));
	int64_t due_at;

	if (!k) {
		snprintf(why, why_n, "signing keys: out of memory");
		return E_NOMEM;
	}
	k->store = s;
	k->o = *o;
	k->token_lifetime_s = o->token_lifetime_max_s;
	k->opened_at = clock_now_s(o->clock);
	pthread_mutex_init(&k->lock, NULL);
	pthread_mutex_init(&k->change, NULL);
	enum err err = advance(k, false, &due_at);
	if (err != OK) {
		snprintf(why, why_n, "signing keys cannot be read or made (%s)%s", err_name(err),
			err == E_FORMAT ? ": a stored key is damaged; restore the store from a backup" : "");
		keys_close(k);
		return err;
	}
	*out = k;
	return OK;
}

void
keys_close(struct keys *k)
{
	if (!k)
		return;
	held_release(k->current);
	pthread_mutex_destroy(&k->lock);
	pthread_mutex_destroy(&k->change);
	free(k);
}

enum err
keys_tick(struct keys *k, int64_t *next_s)
{
	int64_t due_at = 0;
	enum err err = advance(k, false, &due_at);
	int64_t wait = due_at - clock_now_s(options(k).clock);

	*next_s = err != OK ? TICK_FAILED_S : wait < 1 ? 1 : wait > TICK_S_MAX ? TICK_S_MAX : wait;
	return err;
}

enum err
keys_rotate(struct keys *k)
{
	int64_t due_at;

	return advance(k, true, &due_at);
}

enum err
keys_describe(struct keys *k, struct arena *arena, struct key_info out[KEYS_DESCRIBED_MAX], size_t *n)
{
	struct plan *p = calloc(1, sizeof(*p));

	*n = 0;
	if (!p)
		return E_NOMEM;
	arena_init(&p->arena, 4u << 20);
	enum err err = store_read(k->store, plan_read, p);
	for (size_t i = 0; i < p->n && err == OK; i++) {
		const struct record_key *r = &p->keys[i].r;
		out[i] = (struct key_info){ arena_slice(arena, p->keys[i].kid), arena_slice(arena, r->alg), (enum record_key_state)r->state, r->created_at,
			r->active_at, r->retired_at, r->expires_at };
		if (!out[i].kid.p || !out[i].alg.p)
			err = E_NOMEM;
	}
	*n = p->n;
	arena_fini_secret(&p->arena);
	free(p);
	return err;
}

void
keys_reconfigure(struct keys *k, const struct keys_options *o)
{
	pthread_mutex_lock(&k->lock);
	k->o = *o;
	if (o->token_lifetime_max_s > k->token_lifetime_s)
		k->token_lifetime_s = o->token_lifetime_max_s;
	pthread_mutex_unlock(&k->lock);
}
