#include <assert.h>
#include <errno.h>
#include <lmdb.h>
#include <openssl/crypto.h>
#include "authd/store_internal.h"
#include "shared/log.h"

#define EXPIRY_BYTES 8
#define EXPIRY_KEY_BYTES_MAX (EXPIRY_BYTES + STORE_KEY_BYTES_MAX)
_Static_assert(EXPIRY_KEY_BYTES_MAX <= 511, "LMDB's longest key");

enum err
store_txn_failed(struct store_txn *t, int rc)
{
	if (t->rc == 0)
		t->rc = rc;
	/* LMDB's own codes are negative. */
	errno = rc > 0 ? rc : rc == MDB_MAP_FULL ? ENOSPC : EIO;
	return E_SYSTEM;
}

/* LMDB's struct for a slice; LMDB does not write through it. */
static MDB_val
val(struct slice s)
{
	union {
		const char *in;
		void *out;
	} p = { .in = s.p };
	return (MDB_val){ s.n, p.out };
}

static struct slice
val_slice(MDB_val v)
{
	return slice_of(v.mv_data, v.mv_size);
}

static bool
key_ok(struct slice key)
{
	return key.n >= 1 && key.n <= STORE_KEY_BYTES_MAX;
}

static enum err
damaged(enum record_kind kind)
{
	log_error("store: a record is damaged; restore the database from a backup", LOG_STR("kind", record_kind_name(kind)));
	return E_FORMAT;
}

/* Key of the expiry index: time first, so that it sorts by time; the record's key behind makes it unique. */
static struct slice
expiry_key(int64_t at, struct slice key, char out[EXPIRY_KEY_BYTES_MAX])
{
	store_time_write(out, at);
	memcpy(out + EXPIRY_BYTES, key.p, key.n);
	return slice_of(out, EXPIRY_BYTES + key.n);
}

/* The first change of a function opens its nested transaction: one that only looks and refuses costs nothing to undo. */
static enum err
begin_change(struct store_txn *t)
{
	assert(t->writing);
	if (t->nested)
		return OK;
	int rc = mdb_txn_begin(t->s->env, t->group, 0, &t->nested);
	if (rc) {
		t->nested = NULL;
		return store_txn_failed(t, rc);
	}
	t->mdb = t->nested;
	return OK;
}

static enum err
open_value(enum record_kind kind, MDB_val k, MDB_val v, int64_t *expires_at, struct slice *body)
{
	enum err e = store_value_open(kind, val_slice(k), val_slice(v), expires_at, body);
	return e == E_FORMAT ? damaged(kind) : e;
}

static bool
expired(const struct store_txn *t, int64_t expires_at)
{
	return expires_at > 0 && expires_at <= t->now_s;
}

static enum err
decode(struct store_txn *t, enum record_kind kind, struct slice key, struct slice body, struct arena *arena, void *record)
{
	struct vault_box box = vault_box(t->s->vault, (unsigned char)kind, key);
	enum err e = record_decode_sealed(kind, body, &box, arena, record);

	vault_box_fini(&box);
	return e == E_FORMAT ? damaged(kind) : e;
}

enum err
store_get(struct store_txn *t, enum record_kind kind, struct slice key, struct arena *arena, void *record)
{
	MDB_val k = val(key), v;
	int64_t expires_at;
	struct slice body;

	if (!key_ok(key))
		return E_EMPTY;
	int rc = mdb_get(t->mdb, t->s->records[kind], &k, &v);
	if (rc)
		return rc == MDB_NOTFOUND ? E_EMPTY : store_txn_failed(t, rc);
	enum err e = open_value(kind, k, v, &expires_at, &body);
	if (e == OK && expired(t, expires_at))
		e = E_EMPTY;
	if (e == OK)
		e = decode(t, kind, key, body, arena, record);
	return e;
}

/* When the stored record of that key expires; 0: never, or there is none. */
static enum err
stored_expiry(struct store_txn *t, enum record_kind kind, struct slice key, int64_t *at, bool *found)
{
	MDB_val k = val(key), v;
	int rc = mdb_get(t->mdb, t->s->records[kind], &k, &v);

	*at = 0;
	*found = rc == 0;
	if (rc)
		return rc == MDB_NOTFOUND ? OK : store_txn_failed(t, rc);
	if (v.mv_size < STORE_VALUE_HEAD_BYTES)
		return damaged(kind);
	*at = store_time_read((const char *)v.mv_data + STORE_CHECKSUM_BYTES);
	return OK;
}

static enum err
forget_expiry(struct store_txn *t, enum record_kind kind, int64_t at, struct slice key)
{
	char bytes[EXPIRY_KEY_BYTES_MAX];
	MDB_val k = val(expiry_key(at, key, bytes));
	int rc = mdb_del(t->mdb, t->s->expiries[kind], &k, NULL);

	return rc == 0 || rc == MDB_NOTFOUND ? OK : store_txn_failed(t, rc);
}

static enum err
note_expiry(struct store_txn *t, enum record_kind kind, int64_t at, struct slice key)
{
	char bytes[EXPIRY_KEY_BYTES_MAX];
	MDB_val k = val(expiry_key(at, key, bytes)), nothing = { 0, NULL };
	int rc = mdb_put(t->mdb, t->s->expiries[kind], &k, &nothing, 0);

	if (rc)
		return store_txn_failed(t, rc);
	if (t->soonest == 0 || at < t->soonest)
		t->soonest = at;
	return OK;
}

enum err
store_put(struct store_txn *t, enum record_kind kind, struct slice key, const void *record)
{
	struct buf *value = &t->s->scratch;
	int64_t before, at = record_expires_at(kind, record);
	bool found;

	if (!key_ok(key))
		return E_LIMIT;
	enum err e = begin_change(t);
	if (e == OK)
		e = stored_expiry(t, kind, key, &before, &found);
	if (e == OK)
		e = store_value_seal(t->s->vault, kind, key, record, value);
	if (e != OK)
		return e;
	if (found && before > 0 && before != at)
		e = forget_expiry(t, kind, before, key);
	if (e == OK && at > 0 && before != at)
		e = note_expiry(t, kind, at, key);
	if (e != OK)
		return e;
	t->watched |= t->s->watch && kind == t->s->watch_kind;
	MDB_val k = val(key), v = val(buf_slice(value));
	int rc = mdb_put(t->mdb, t->s->records[kind], &k, &v, 0);
	OPENSSL_cleanse(value->p, value->n); /* a private key among others */
	return rc ? store_txn_failed(t, rc) : OK;
}

/* found: whether there was a record, expired or not. */
static enum err
delete_record(struct store_txn *t, enum record_kind kind, struct slice key, int64_t *at, bool *found)
{
	enum err e = stored_expiry(t, kind, key, at, found);

	if (e != OK || !*found)
		return e;
	if ((e = begin_change(t)) != OK)
		return e;
	if (*at > 0 && (e = forget_expiry(t, kind, *at, key)) != OK)
		return e;
	MDB_val k = val(key);
	int rc = mdb_del(t->mdb, t->s->records[kind], &k, NULL);
	return rc ? store_txn_failed(t, rc) : OK;
}

enum err
store_delete(struct store_txn *t, enum record_kind kind, struct slice key)
{
	int64_t at;
	bool found;

	assert(t->writing);
	if (!key_ok(key))
		return E_EMPTY;
	enum err e = delete_record(t, kind, key, &at, &found);
	if (e != OK)
		return e;
	return !found || expired(t, at) ? E_EMPTY : OK;
}

/* The first record whose key is not before (`after`: is behind) from. E_EMPTY: none. */
static enum err
seek(struct store_txn *t, MDB_cursor *cursor, struct slice from, bool after, MDB_val *k, MDB_val *v)
{
	*k = val(from);
	int rc = mdb_cursor_get(cursor, k, v, from.n ? MDB_SET_RANGE : MDB_FIRST);
	if (rc == 0 && after && slice_eq(val_slice(*k), from))
		rc = mdb_cursor_get(cursor, k, v, MDB_NEXT);
	if (rc == 0 && !key_ok(val_slice(*k)))
		rc = MDB_CORRUPTED;
	if (rc == MDB_NOTFOUND)
		return E_EMPTY;
	return rc ? store_txn_failed(t, rc) : OK;
}

/* Decodes the next unexpired record behind *key (none yet: from prefix on) whose key starts with prefix; *key becomes its key, kept in bytes.
 * E_EMPTY: no more. */
static enum err
next_record(struct store_txn *t, enum record_kind kind, struct slice prefix, struct arena *arena, char bytes[STORE_KEY_BYTES_MAX],
	struct slice *key, void **record)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	int64_t expires_at;
	bool after = key->n > 0;
	struct slice body, from = after ? *key : prefix;

	int rc = mdb_cursor_open(t->mdb, t->s->records[kind], &cursor);
	if (rc)
		return store_txn_failed(t, rc);
	enum err e;
	while ((e = seek(t, cursor, from, after, &k, &v)) == OK) {
		e = open_value(kind, k, v, &expires_at, &body);
		from = val_slice(k);
		after = true;
		if (!slice_has_prefix(from, prefix))
			e = E_EMPTY;
		if (e != OK || !expired(t, expires_at))
			break;
	}
	if (e == OK) {
		*key = slice_of(memcpy(bytes, from.p, from.n), from.n);
		*record = arena_alloc(arena, record_size(kind));
		e = *record ? decode(t, kind, *key, body, arena, *record) : E_NOMEM;
	}
	mdb_cursor_close(cursor);
	return e;
}

/* No cursor stays open over a visit: it would not survive the nested transaction that the visit's first change begins. Finding the
 * place again costs about a microsecond. */
static enum err
each(struct store_txn *t, enum record_kind kind, struct slice prefix, struct slice after, struct arena *arena,
	enum err (*visit)(void *arg, struct slice key, const void *record), void *arg)
{
	char bytes[STORE_KEY_BYTES_MAX];
	struct slice key = after;
	void *record = NULL;
	enum err e;

	if (after.n)
		key = slice_of(memcpy(bytes, after.p, after.n), after.n);
	while ((e = next_record(t, kind, prefix, arena, bytes, &key, &record)) == OK) {
		e = visit(arg, key, record);
		if (e != OK)
			return e;
	}
	return e == E_EMPTY ? OK : e;
}

enum err
store_each_prefix(struct store_txn *t, enum record_kind kind, struct slice prefix, struct arena *arena,
	enum err (*visit)(void *arg, struct slice key, const void *record), void *arg)
{
	return each(t, kind, prefix, SLICE_NONE, arena, visit, arg);
}

enum err
store_each_after(struct store_txn *t, enum record_kind kind, struct slice after, struct arena *arena,
	enum err (*visit)(void *arg, struct slice key, const void *record), void *arg)
{
	return after.n <= STORE_KEY_BYTES_MAX ? each(t, kind, SLICE_NONE, after, arena, visit, arg) : E_LIMIT;
}

enum err
store_each(struct store_txn *t, enum record_kind kind, struct arena *arena,
	enum err (*visit)(void *arg, struct slice key, const void *record), void *arg)
{
	return each(t, kind, SLICE_NONE, SLICE_NONE, arena, visit, arg);
}

size_t
store_count(struct store_txn *t, enum record_kind kind)
{
	MDB_stat st;
	int rc = mdb_stat(t->mdb, t->s->records[kind], &st);

	if (rc)
		store_txn_failed(t, rc);
	return rc ? 0 : st.ms_entries;
}

static enum err
counts_read(struct store_txn *t, void *arg)
{
	size_t *counts = arg;

	for (enum record_kind kind = 0; kind < RECORD_KINDS; kind++)
		counts[kind] = store_count(t, kind);
	return OK;
}

enum err
store_counts(struct store *s, size_t counts[RECORD_KINDS])
{
	return store_read(s, counts_read, counts);
}

/* The record that expires first. E_EMPTY: none expires. Copies its key to out. */
static enum err
first_to_expire(struct store_txn *t, enum record_kind kind, int64_t *at, char out[EXPIRY_KEY_BYTES_MAX], struct slice *key)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	int rc = mdb_cursor_open(t->mdb, t->s->expiries[kind], &cursor);

	if (rc)
		return store_txn_failed(t, rc);
	rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
	if (rc == 0 && (k.mv_size <= EXPIRY_BYTES || k.mv_size > EXPIRY_KEY_BYTES_MAX))
		rc = MDB_CORRUPTED;
	if (rc == 0) {
		memcpy(out, k.mv_data, k.mv_size);
		*at = store_time_read(out);
		*key = slice_of(out + EXPIRY_BYTES, k.mv_size - EXPIRY_BYTES);
	}
	mdb_cursor_close(cursor);
	if (rc == MDB_NOTFOUND)
		return E_EMPTY;
	return rc ? store_txn_failed(t, rc) : OK;
}

/* Delete what an entry of the expiry index names, and the entry. */
static enum err
delete_expiring(struct store_txn *t, enum record_kind kind, int64_t at, struct slice key)
{
	int64_t stored;
	bool found;
	enum err e = begin_change(t);

	if (e == OK)
		e = stored_expiry(t, kind, key, &stored, &found);
	if (e == OK && found && stored == at)
		return delete_record(t, kind, key, &stored, &found);
	return e == OK ? forget_expiry(t, kind, at, key) : e;
}

enum err
store_first(struct store_txn *t, enum record_kind kind, struct arena *arena, struct slice *key)
{
	char bytes[EXPIRY_KEY_BYTES_MAX];
	int64_t at;
	enum err e = first_to_expire(t, kind, &at, bytes, key);

	if (e == OK)
		*key = arena_slice(arena, *key);
	return e != OK || key->p ? e : E_NOMEM;
}

enum err
store_trim(struct store_txn *t, enum record_kind kind, size_t max, size_t *gone)
{
	char bytes[EXPIRY_KEY_BYTES_MAX];
	struct slice key;
	int64_t at;
	size_t n = store_count(t, kind);

	assert(t->writing);
	*gone = 0;
	if (t->rc)
		return E_SYSTEM;
	for (; n > max && *gone < STORE_TRIM_MAX; n--, (*gone)++) {
		enum err e = first_to_expire(t, kind, &at, bytes, &key);
		if (e == E_EMPTY)
			break;
		if (e == OK)
			e = delete_expiring(t, kind, at, key);
		if (e != OK)
			return e;
	}
	return OK;
}

enum err
store_table_purge(struct store_txn *t, size_t *gone)
{
	char bytes[EXPIRY_KEY_BYTES_MAX];
	struct slice key;
	int64_t at, next = INT64_MAX;

	*gone = 0;
	for (enum record_kind kind = 0; kind < RECORD_KINDS; kind++) {
		for (;;) {
			enum err e = first_to_expire(t, kind, &at, bytes, &key);
			if (e == E_EMPTY)
				break;
			if (e == OK && (!expired(t, at) || *gone == STORE_PURGE_BATCH)) {
				next = at < next ? at : next;
				break;
			}
			if (e == OK)
				e = delete_expiring(t, kind, at, key);
			if (e != OK)
				return e;
			(*gone)++;
		}
	}
	t->s->next_expiry = next;
	return OK;
}
