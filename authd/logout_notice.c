#include "authd/logout_notice.h"
#include "authd/person_session.h"

/* A key is its client's part (16 bytes of the SHA-256 of its id), due_at (8 bytes, big-endian), sid: each client's in the order in which they are due, so that
 * one that cannot be reached, with thousands waiting, is stepped over at once. */
#define CLIENT_BYTES 16
#define DUE_BYTES 8
_Static_assert(LOGOUT_NOTICE_KEY_BYTES == CLIENT_BYTES + DUE_BYTES + 64, "a sid has at most 64 bytes");

struct slice
logout_notice_client_key(struct slice key)
{
	return slice_of(key.p, CLIENT_BYTES);
}

/* .n 0: no memory, or a sid that is none of ours. */
static struct slice
key_of(const struct record_logout_notice *n, char out[LOGOUT_NOTICE_KEY_BYTES])
{
	unsigned char hash[32];

	if (n->sid.n > LOGOUT_NOTICE_KEY_BYTES - CLIENT_BYTES - DUE_BYTES || !store_hash(n->client_id, hash).n)
		return SLICE_NONE;
	memcpy(out, hash, CLIENT_BYTES);
	for (size_t i = 0; i < DUE_BYTES; i++)
		out[CLIENT_BYTES + i] = (char)((uint64_t)n->due_at >> (56 - 8 * i));
	memcpy(out + CLIENT_BYTES + DUE_BYTES, n->sid.p, n->sid.n);
	return slice_of(out, CLIENT_BYTES + DUE_BYTES + n->sid.n);
}

/* ---- noting ---- */

struct noting {
	struct store_txn *t;
	struct arena *arena;
	struct slice sid;
	int64_t now_s;
};

static enum err
client_visited(void *arg, struct slice client_id, const struct record_session_client *c)
{
	const struct noting *n = arg;
	struct record_logout_notice notice = { .client_id = client_id, .sid = n->sid, .connector_id = c->connector_id, .user_id = c->user_id,
		.created_at = n->now_s, .due_at = n->now_s, .expires_at = n->now_s + LOGOUT_NOTICE_KEPT_S };
	char bytes[LOGOUT_NOTICE_KEY_BYTES];
	struct slice key = key_of(&notice, bytes), client_key = person_session_client_key(n->arena, n->sid, client_id);
	enum err e = key.n && client_key.p ? store_put(n->t, RECORD_LOGOUT_NOTICE, key, &notice) : E_NOMEM;

	return e == OK ? store_delete(n->t, RECORD_SESSION_CLIENT, client_key) : e;
}

enum err
logout_notice_put(struct store_txn *t, struct slice sid, struct arena *arena, int64_t now_s)
{
	struct noting n = { t, arena, sid, now_s };
	size_t gone;
	enum err e = person_session_clients(t, sid, arena, client_visited, &n);

	return e == OK ? store_trim(t, RECORD_LOGOUT_NOTICE, LOGOUT_NOTICES_MAX, &gone) : e;
}

/* ---- what is due ---- */

struct searching {
	struct logout_notice_search *s;
	char client[CLIENT_BYTES]; /* whose notices are looked at */
	size_t taken;              /* of its, with those under way */
	bool any, skip;            /* skip: on to the next client */
};

static enum err
notice_visited(void *arg, struct slice key, const void *record)
{
	struct searching *g = arg;
	struct logout_notice_search *s = g->s;
	const struct record_logout_notice *n = record;

	if (key.n <= CLIENT_BYTES + DUE_BYTES || key.n > LOGOUT_NOTICE_KEY_BYTES)
		return E_FORMAT;
	if (!g->any || memcmp(g->client, key.p, CLIENT_BYTES) != 0) {
		memcpy(g->client, key.p, CLIENT_BYTES);
		g->any = true;
		g->taken = s->under_way(s->arg, logout_notice_client_key(key));
	}
	if (n->due_at > s->now_s && (s->next_due_at == 0 || n->due_at < s->next_due_at))
		s->next_due_at = n->due_at;
	g->skip = n->due_at > s->now_s || g->taken >= s->per_client_max;
	if (g->skip || s->n == s->max)
		return E_LIMIT;
	if (s->is_under_way(s->arg, key))
		return OK;
	struct logout_notice_found *f = &s->found[s->n++];
	memcpy(f->key_bytes, key.p, key.n);
	f->key_n = key.n;
	f->record = *n;
	g->taken++;
	return OK;
}

enum err
logout_notice_search(struct store_txn *t, void *search)
{
	struct searching g = { .s = search };
	char after[LOGOUT_NOTICE_KEY_BYTES];
	struct slice from = SLICE_NONE;
	enum err e = OK;

	g.s->n = 0;
	g.s->next_due_at = 0;
	do {
		g.skip = false;
		e = store_each_after(t, RECORD_LOGOUT_NOTICE, from, g.s->arena, notice_visited, &g);
		memcpy(after, g.client, CLIENT_BYTES);
		memset(after + CLIENT_BYTES, 0xff, sizeof after - CLIENT_BYTES);
		from = slice_of(after, sizeof after);
	} while (e == E_LIMIT && g.skip);
	return e == E_LIMIT ? OK : e;
}

/* ---- what became of it ---- */

static int64_t
pause_s(int64_t attempts)
{
	int64_t pause = attempts < 9 ? INT64_C(1) << attempts : LOGOUT_NOTICE_PAUSE_S_MAX;

	return pause < LOGOUT_NOTICE_PAUSE_S_MAX ? pause : LOGOUT_NOTICE_PAUSE_S_MAX;
}

enum err
logout_notice_settle(struct store_txn *t, void *settling)
{
	struct logout_notice_settling *s = settling;
	const struct logout_notice_found *n = s->notice;
	struct record_logout_notice again = n->record;
	char bytes[LOGOUT_NOTICE_KEY_BYTES];
	struct slice key;
	enum err e = store_delete(t, RECORD_LOGOUT_NOTICE, slice_of(n->key_bytes, n->key_n));

	s->given_up = false;
	if (e == E_EMPTY) { /* it expired meanwhile, or made room for others */
		s->given_up = s->outcome == LOGOUT_NOTICE_FAILED;
		return OK;
	}
	if (e != OK || s->outcome != LOGOUT_NOTICE_FAILED)
		return e;
	again.due_at = s->now_s + pause_s(again.attempts++);
	s->given_up = again.due_at >= again.expires_at;
	if (s->given_up)
		return OK;
	key = key_of(&again, bytes);
	return key.n ? store_put(t, RECORD_LOGOUT_NOTICE, key, &again) : E_NOMEM;
}
