#include <stdlib.h>
#include "authd/logout_notice.h"
#include "authd/mint.h"
#include "authd/revocation.h"
#include "oidc/base64url.h"

#define FEED_KEY SLICE_LIT("feed")
#define SEQUENCE_BYTES 8

/* ---- notes ---- */

static struct slice
sequence_key(int64_t sequence, char out[SEQUENCE_BYTES])
{
	for (size_t i = 0; i < SEQUENCE_BYTES; i++)
		out[i] = (char)((uint64_t)sequence >> (56 - 8 * i));
	return slice_of(out, SEQUENCE_BYTES);
}

static int64_t
sequence_of(struct slice key)
{
	uint64_t v = 0;

	for (size_t i = 0; i < key.n; i++)
		v = v << 8 | (unsigned char)key.p[i];
	return (int64_t)v;
}

static enum err
lifetime_visited(void *arg, struct slice key, const void *record)
{
	const struct record_key *k = record;
	int64_t *longest_s = arg;

	(void)key;
	if (k->token_lifetime_s > *longest_s)
		*longest_s = k->token_lifetime_s;
	return OK;
}

enum err
revocation_put(struct store_txn *t, struct slice sid, struct arena *arena, int64_t now_s)
{
	char key[SEQUENCE_BYTES];
	struct record_feed feed;
	int64_t longest_s = MINT_SESSION_S;
	enum err e = revocation_check(t, sid, arena);

	if (e != OK || sid.n == 0)
		return e == E_EMPTY ? OK : e;
	/* Each key knows the longest token that it may have signed, whatever the configuration has said meanwhile. */
	e = store_each(t, RECORD_KEY, arena, lifetime_visited, &longest_s);
	if (e == OK)
		e = store_get(t, RECORD_FEED, FEED_KEY, arena, &feed);
	if (e != OK)
		return e == E_EMPTY ? E_FORMAT : e; /* revocations_open made it */
	feed.sequence++;
	int64_t expires_at = now_s + longest_s + REVOCATION_SKEW_S;
	e = store_put(t, RECORD_FEED, FEED_KEY, &feed);
	if (e == OK)
		e = store_put(t, RECORD_ENDED, sid, &(struct record_ended){ feed.sequence, expires_at });
	if (e == OK)
		e = logout_notice_put(t, sid, arena, now_s);
	if (e == OK)
		e = store_put(t, RECORD_REVOCATION, sequence_key(feed.sequence, key), &(struct record_revocation){ sid, expires_at });
	return e;
}

enum err
revocation_check(struct store_txn *t, struct slice sid, struct arena *arena)
{
	struct record_ended ended;
	enum err e = store_get(t, RECORD_ENDED, sid, arena, &ended);

	return e == OK ? E_EMPTY : e == E_EMPTY ? OK : e;
}

/* ---- reading ---- */

static enum err
note_visited(void *arg, struct slice key, const void *record)
{
	const struct record_revocation *note = record;
	struct revocation_news *n = arg;

	if (n->n == REVOCATION_ANSWER_MAX) {
		n->more = true;
		return E_LIMIT;
	}
	buf_add_str(n->revoked, n->n++ ? ",{\"sid\":" : "{\"sid\":");
	buf_add_json(n->revoked, note->sid);
	buf_printf(n->revoked, ",\"until\":%lld}", (long long)note->expires_at);
	n->sequence = sequence_of(key);
	return OK;
}

enum err
revocation_read(struct store_txn *t, void *news)
{
	struct revocation_news *n = news;
	char key[SEQUENCE_BYTES];
	struct record_feed feed;
	enum err e = store_get(t, RECORD_FEED, FEED_KEY, n->arena, &feed);

	if (e != OK)
		return e;
	n->now_epoch = feed.epoch;
	n->fresh = !slice_eq(n->epoch, feed.epoch) || n->after < 0 || n->after > feed.sequence;
	n->n = 0;
	n->more = false;
	n->sequence = n->fresh ? 0 : n->after;
	e = store_each_after(t, RECORD_REVOCATION, sequence_key(n->sequence, key), n->arena, note_visited, n);
	if (e != OK && !n->more)
		return e;
	if (!n->more)
		n->sequence = feed.sequence; /* what has expired meanwhile is past */
	return OK;
}

/* ---- waiting ---- */

struct waiter {
	struct request *r;
	uint64_t due_ms;
};

struct revocations {
	struct store *store;
	pthread_mutex_t lock;
	uint64_t changes;
	bool stopped;
	void (*follow)(void *arg); /* NULL: nobody */
	void *follow_arg;
	struct waiter waiters[REVOCATION_WAITERS_MAX];
	size_t n;
};

/* Resume those due by now_ms. Locked. */
static void
resume_due(struct revocations *f, uint64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (f->waiters[i].due_ms <= now_ms)
			request_resume(f->waiters[i].r);
		else
			f->waiters[kept++] = f->waiters[i];
	}
	f->n = kept;
}

static void
on_noted(void *arg)
{
	struct revocations *f = arg;

	pthread_mutex_lock(&f->lock);
	f->changes++;
	resume_due(f, UINT64_MAX);
	if (f->follow)
		f->follow(f->follow_arg);
	pthread_mutex_unlock(&f->lock);
}

void
revocations_follow(struct revocations *f, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&f->lock);
	f->follow = fn;
	f->follow_arg = arg;
	pthread_mutex_unlock(&f->lock);
}

struct beginning {
	struct arena arena;
	struct slice epoch;
};

static enum err
begin(struct store_txn *t, void *arg)
{
	struct beginning *b = arg;
	struct record_feed feed;
	enum err e = store_get(t, RECORD_FEED, FEED_KEY, &b->arena, &feed);

	return e == E_EMPTY ? store_put(t, RECORD_FEED, FEED_KEY, &(struct record_feed){ .epoch = b->epoch }) : e;
}

enum err
revocations_open(struct store *s, const struct rng *rng, struct revocations **out, char *why, size_t why_n)
{
	struct revocations *f = calloc(1, sizeof *f);
	unsigned char bytes[REVOCATION_EPOCH_BYTES];
	char text[BASE64URL_ENCODED_BYTES(REVOCATION_EPOCH_BYTES) + 1];
	struct beginning b;
	enum err e = f ? rng_fill(rng, bytes, sizeof bytes) : E_NOMEM;

	arena_init(&b.arena, 0);
	if (e == OK) {
		b.epoch = slice_of(text, base64url_encode(bytes, sizeof bytes, text));
		e = store_write_wait(s, begin, &b);
	}
	arena_fini(&b.arena);
	if (e != OK) {
		snprintf(why, why_n, "the list of ended sessions cannot be opened: %s", err_name(e));
		free(f);
		return e;
	}
	f->store = s;
	pthread_mutex_init(&f->lock, NULL);
	store_watch(s, RECORD_REVOCATION, on_noted, f);
	*out = f;
	return OK;
}

void
revocations_close(struct revocations *f)
{
	if (!f)
		return;
	pthread_mutex_destroy(&f->lock);
	free(f);
}

uint64_t
revocations_changes(struct revocations *f)
{
	pthread_mutex_lock(&f->lock);
	uint64_t changes = f->changes;
	pthread_mutex_unlock(&f->lock);
	return changes;
}

enum err
revocations_wait(struct revocations *f, struct request *r, uint64_t changes, uint64_t now_ms, void (*next)(struct request *r))
{
	enum err e = OK;

	pthread_mutex_lock(&f->lock);
	if (f->n == REVOCATION_WAITERS_MAX) {
		e = E_LIMIT;
	} else {
		request_wait(r, next);
		f->waiters[f->n++] = (struct waiter){ r, now_ms + REVOCATION_WAIT_MS };
		if (f->stopped || f->changes != changes)
			resume_due(f, UINT64_MAX);
	}
	pthread_mutex_unlock(&f->lock);
	return e;
}

void
revocations_tick(struct revocations *f, uint64_t now_ms)
{
	pthread_mutex_lock(&f->lock);
	resume_due(f, now_ms);
	pthread_mutex_unlock(&f->lock);
}

void
revocations_stop(struct revocations *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stopped = true;
	resume_due(f, UINT64_MAX);
	pthread_mutex_unlock(&f->lock);
}
