#include "authd/person_session.h"
#include "oidc/subject.h"

#define PERSON_BYTES 32

/* SHA-256 of the sub: however long that is, the key is short. .n 0: no memory. */
static struct slice
person_key(const struct record_user *user, char out[PERSON_BYTES])
{
	unsigned char hash[PERSON_BYTES];
	struct buf sub;
	bool ok;

	buf_init(&sub, 0);
	subject_add(&sub, user->user_id, user->connector_id);
	ok = buf_ok(&sub) && store_hash(buf_slice(&sub), hash).n;
	buf_fini(&sub);
	if (!ok)
		return SLICE_NONE;
	memcpy(out, hash, sizeof hash);
	return slice_of(out, sizeof hash);
}

/* E_EMPTY: no session has such a sid. */
static enum err
key_of(const struct record_user *user, struct slice sid, char out[PERSON_SESSION_KEY_BYTES], struct slice *key)
{
	if (sid.n == 0 || sid.n > PERSON_SESSION_KEY_BYTES - PERSON_BYTES)
		return E_EMPTY;
	if (!person_key(user, out).n)
		return E_NOMEM;
	memcpy(out + PERSON_BYTES, sid.p, sid.n);
	*key = slice_of(out, PERSON_BYTES + sid.n);
	return OK;
}

/* ---- sessions ---- */

/* 0: never. */
static int64_t
later(int64_t a, int64_t b)
{
	return a == 0 || b == 0 ? 0 : a > b ? a : b;
}

struct lengthening {
	struct store_txn *t;
	struct arena *arena;
	struct slice sid;
	int64_t ends_at;
};

static enum err
lengthen_client(void *arg, struct slice client_id, const struct record_session_client *c)
{
	struct lengthening *l = arg;
	struct record_session_client now = *c;
	struct slice key = person_session_client_key(l->arena, l->sid, client_id);

	now.expires_at = later(c->expires_at, l->ends_at);
	if (now.expires_at == c->expires_at)
		return OK;
	return key.p ? store_put(l->t, RECORD_SESSION_CLIENT, key, &now) : E_NOMEM;
}

enum err
person_session_note(struct store_txn *t, struct slice session_key, const struct record_session *s, int64_t ends_at, struct arena *arena)
{
	struct lengthening l = { t, arena, s->sid, ends_at };
	struct record_person_session noted;
	char bytes[PERSON_SESSION_KEY_BYTES];
	struct slice key;
	enum err e = key_of(&s->user, s->sid, bytes, &key);

	if (e != OK)
		return e == E_EMPTY ? E_FORMAT : e;
	e = store_get(t, RECORD_PERSON_SESSION, key, arena, &noted);
	if (e == OK && noted.expires_at == ends_at && slice_eq(noted.session_key, session_key))
		return OK;
	if (e == OK || e == E_EMPTY)
		e = store_put(t, RECORD_PERSON_SESSION, key, &(struct record_person_session){ session_key, ends_at });
	return e == OK ? person_session_clients(t, s->sid, arena, lengthen_client, &l) : e;
}

enum err
person_session_find(struct store_txn *t, const struct record_user *user, struct slice sid, struct arena *arena, struct slice *session_key)
{
	struct record_person_session noted;
	char bytes[PERSON_SESSION_KEY_BYTES];
	struct slice key;
	enum err e = key_of(user, sid, bytes, &key);

	if (e == OK)
		e = store_get(t, RECORD_PERSON_SESSION, key, arena, &noted);
	if (e == OK)
		*session_key = noted.session_key;
	return e;
}

struct visiting {
	struct store_txn *t;
	struct arena scratch; /* of one at a time: a person may have thousands */
	enum err (*visit)(void *arg, struct slice session_key, const struct record_session *s);
	void *arg;
};

static enum err
session_visited(void *arg, struct slice key, const void *record)
{
	struct visiting *v = arg;
	const struct record_person_session *noted = record;
	struct record_session s;
	enum err e = store_get(v->t, RECORD_SESSION, noted->session_key, &v->scratch, &s);

	(void)key;
	if (e == OK)
		e = v->visit(v->arg, noted->session_key, &s);
	else if (e == E_EMPTY)
		e = OK; /* not used for too long */
	arena_fini_secret(&v->scratch);
	return e;
}

enum err
person_session_each(struct store_txn *t, const struct record_user *user, enum err (*visit)(void *arg, struct slice session_key, const struct record_session *s),
	void *arg)
{
	struct visiting v = { .t = t, .visit = visit, .arg = arg };
	char bytes[PERSON_BYTES];
	struct slice prefix = person_key(user, bytes);
	enum err e;

	arena_init(&v.scratch, REQUEST_ARENA_BYTES_MAX);
	e = prefix.n ? store_each_prefix(t, RECORD_PERSON_SESSION, prefix, &v.scratch, session_visited, &v) : E_NOMEM;
	arena_fini_secret(&v.scratch);
	return e;
}

enum err
person_session_forget(struct store_txn *t, const struct record_user *user, struct slice sid)
{
	char bytes[PERSON_SESSION_KEY_BYTES];
	struct slice key;
	enum err e = key_of(user, sid, bytes, &key);

	if (e == OK)
		e = store_delete(t, RECORD_PERSON_SESSION, key);
	return e == E_EMPTY ? OK : e;
}

/* ---- clients ---- */

struct slice
person_session_client_key(struct arena *arena, struct slice sid, struct slice client_id)
{
	return slice_str(arena_printf(arena, "%.*s.%.*s", SLICE_FMT(sid), SLICE_FMT(client_id)));
}

enum err
person_session_client_note(struct store_txn *t, const struct record_user *user, struct slice sid, struct slice client_id, int64_t now_s, int64_t ends_at,
	struct arena *arena)
{
	struct record_session_client c = { .connector_id = user->connector_id, .user_id = user->user_id, .since = now_s, .expires_at = ends_at };
	struct record_session_client before = { .since = now_s };
	struct record_person_session noted;
	char bytes[PERSON_SESSION_KEY_BYTES];
	struct slice key, client_key;
	enum err e = key_of(user, sid, bytes, &key);

	if (e == E_EMPTY)
		return OK; /* tokens that belong to no session */
	client_key = person_session_client_key(arena, sid, client_id);
	if (e != OK || !client_key.p)
		return E_NOMEM;
	e = store_get(t, RECORD_PERSON_SESSION, key, arena, &noted);
	if (e == OK)
		c.expires_at = later(ends_at, noted.expires_at);
	if (e == OK || e == E_EMPTY)
		e = store_get(t, RECORD_SESSION_CLIENT, client_key, arena, &before);
	if (e == OK) {
		c.since = before.since;
		c.expires_at = later(c.expires_at, before.expires_at);
		if (c.expires_at == before.expires_at)
			return OK;
	}
	return e == OK || e == E_EMPTY ? store_put(t, RECORD_SESSION_CLIENT, client_key, &c) : e;
}

struct client_visiting {
	size_t prefix_n;
	enum err (*visit)(void *arg, struct slice client_id, const struct record_session_client *c);
	void *arg;
};

static enum err
client_visited(void *arg, struct slice key, const void *record)
{
	const struct client_visiting *v = arg;

	return v->visit(v->arg, slice_of(key.p + v->prefix_n, key.n - v->prefix_n), record);
}

enum err
person_session_clients(struct store_txn *t, struct slice sid, struct arena *arena,
	enum err (*visit)(void *arg, struct slice client_id, const struct record_session_client *c), void *arg)
{
	struct slice prefix = person_session_client_key(arena, sid, SLICE_NONE);
	struct client_visiting v = { prefix.n, visit, arg };

	return prefix.p ? store_each_prefix(t, RECORD_SESSION_CLIENT, prefix, arena, client_visited, &v) : E_NOMEM;
}
