#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "authd/key_plan.h"
#include "authd/keys.h"

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

static void
held_release(struct held *h)
{
	if (!h || atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	jwk_set_fini(&h->set.verify);
	for (size_t i = 0; i < KEYS_RINGS; i++)
		EVP_PKEY_free(h->set.signing[i].key);
	token_memory_free(h->set.verified);
	buf_fini(&h->json);
	free(h);
}

const struct key_signing *
key_set_signing(const struct key_set *set, enum jws_alg alg)
{
	for (size_t i = 1; i < set->signing_n; i++)
		if (set->signing[i].alg == alg)
			return &set->signing[i];
	return &set->signing[0];
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

/* --- the set in use --- */

/* Of each ring its newest active key signs; plan's default comes first. */
static bool
signs(struct key_plan *p, const struct key_stored *s)
{
	return s->r.state == RECORD_KEY_ACTIVE && key_plan_find(p, jws_alg_parse(s->r.alg), RECORD_KEY_ACTIVE) == s;
}

static enum err
held_add(struct held *h, const struct key_stored *s, struct key_signing *signing)
{
	enum jws_alg alg = jws_alg_parse(s->r.alg);
	EVP_PKEY *key = key_stored_private(s->r.private_pem);

	if (!key)
		return E_FORMAT;
	enum err err = jwk_set_add(&h->set.verify, key, alg, s->kid);
	if (err == OK) {
		buf_add_str(&h->json, h->json.n ? "," : "{\"keys\":[");
		err = jwk_print_public(key, alg, s->kid, &h->json);
		h->set.algs |= KEYS_ALG(alg);
	}
	if (err == OK && signing) {
		*signing = (struct key_signing){ .alg = alg, .key = key };
		snprintf(signing->kid, sizeof(signing->kid), "%.*s", SLICE_FMT(s->kid));
		return OK;
	}
	EVP_PKEY_free(key);
	return err;
}

static enum err
held_new(struct key_plan *p, enum jws_alg own, int64_t now_s, struct held **out)
{
	struct held *h = calloc(1, sizeof(*h));
	const struct key_stored *first = key_plan_default(p, own, now_s);

	if (!h)
		return E_NOMEM;
	atomic_init(&h->refs, 1);
	h->set.verified = token_memory_new();
	h->set.signing_n = 1;
	buf_init(&h->json, JWK_SET_BYTES_MAX);
	enum err err = first ? OK : E_EMPTY;
	for (size_t i = 0; i < p->n && err == OK; i++) {
		const struct key_stored *s = &p->keys[i];
		struct key_signing *signing = s == first ? &h->set.signing[0] : NULL;
		bool over = s->r.expires_at && s->r.expires_at <= now_s;
		if (p->gone[i] || over)
			continue;
		if (!signing && signs(p, s) && h->set.signing_n < KEYS_RINGS)
			signing = &h->set.signing[h->set.signing_n++];
		err = held_add(h, s, signing);
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
advance(struct keys *k, unsigned soon, int64_t *due_at)
{
	struct key_plan *p = calloc(1, sizeof(*p));
	struct held *fresh = NULL;
	bool write = false;

	if (!p)
		return E_NOMEM;
	pthread_mutex_lock(&k->change);
	struct keys_options o = options(k);
	int64_t now_s = clock_now_s(o.clock);
	arena_init(&p->arena, 4u << 20);
	enum err err = store_read(k->store, key_plan_read, p);
	if (err == OK)
		err = key_plan_advance(p, &o, k->opened_at, now_s, soon, due_at);
	for (size_t i = 0; i < p->n; i++)
		write |= p->changed[i] || p->gone[i];
	if (err == OK && write)
		err = store_write_wait(k->store, key_plan_write, p);
	if (err == OK)
		err = held_new(p, o.alg, now_s, &fresh);
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
	enum err err = advance(k, 0, &due_at);
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
	enum err err = advance(k, 0, &due_at);
	int64_t wait = due_at - clock_now_s(options(k).clock);

	*next_s = err != OK ? TICK_FAILED_S : wait < 1 ? 1 : wait > TICK_S_MAX ? TICK_S_MAX : wait;
	return err;
}

enum err
keys_rotate(struct keys *k, enum jws_alg alg)
{
	struct keys_options o = options(k);
	int64_t due_at;

	if (alg && !keys_in_use(&o, alg))
		return E_EMPTY;
	return advance(k, alg ? KEYS_ALG(alg) : ~0u, &due_at);
}

enum err
keys_prepare(struct keys *k, unsigned algs, int64_t token_lifetime_max_s)
{
	int64_t due_at;

	pthread_mutex_lock(&k->lock);
	unsigned added = algs & ~k->o.client_algs;
	k->o.client_algs |= algs;
	if (token_lifetime_max_s > k->token_lifetime_s)
		k->token_lifetime_s = token_lifetime_max_s;
	pthread_mutex_unlock(&k->lock);
	enum err err = advance(k, 0, &due_at);
	if (err != OK) {
		pthread_mutex_lock(&k->lock);
		k->o.client_algs &= ~added;
		pthread_mutex_unlock(&k->lock);
	}
	return err;
}

enum err
keys_describe(struct keys *k, struct arena *arena, struct key_info out[KEYS_DESCRIBED_MAX], size_t *n)
{
	struct key_plan *p = calloc(1, sizeof(*p));

	*n = 0;
	if (!p)
		return E_NOMEM;
	arena_init(&p->arena, 4u << 20);
	enum err err = store_read(k->store, key_plan_read, p);
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
