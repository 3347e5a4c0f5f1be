#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "authd/store_internal.h"
#include "shared/log.h"

#define KEY_ID "key"
#define SEALING "data.mdb.sealing"
#define SEALING_BATCH 5000 /* records in one transaction of the new file */
#define SEALING_SPARE_BYTES ((size_t)64 << 20)

static MDB_val
val(const void *p, size_t n)
{
	return (MDB_val){ n, (void *)(uintptr_t)p };
}

int
store_seal_read_id(MDB_txn *txn, unsigned meta, char out[VAULT_ID_BYTES])
{
	MDB_val k = val(KEY_ID, sizeof(KEY_ID) - 1), v;
	int rc = mdb_get(txn, meta, &k, &v);

	out[0] = '\0';
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	if (v.mv_size != VAULT_ID_BYTES - 1)
		return MDB_CORRUPTED;
	memcpy(out, v.mv_data, v.mv_size);
	out[v.mv_size] = '\0';
	return 0;
}

int
store_seal_write_id(MDB_txn *txn, unsigned meta, const char *id)
{
	MDB_val k = val(KEY_ID, sizeof(KEY_ID) - 1), v = val(id, strlen(id));

	return mdb_put(txn, meta, &k, &v, 0);
}

static enum err
say(enum err e, char *why, size_t why_n, const struct store *s, const char *what, const char *advice)
{
	snprintf(why, why_n, "%s: %s; %s", s->path, what, advice);
	return e;
}

/* ---- making the database anew ---- */

struct sealing {
	const struct store *s;
	const struct vault *from, *to; /* from NULL: it is not sealed */
	MDB_env *old, *new;
	MDB_txn *reading, *writing;
	size_t batch, records;
	struct arena arena;
	struct buf value;
	enum err err; /* of a record */
};

/* The record under the new key, with the checksum that goes with it. */
static int
reseal(struct sealing *z, enum record_kind kind, MDB_val k, MDB_val *v)
{
	struct slice key = slice_of(k.mv_data, k.mv_size), body;
	struct vault_box box = vault_box(z->from, (unsigned char)kind, key);
	void *record = arena_alloc(&z->arena, record_size(kind));
	int64_t at;

	z->err = record ? store_value_open(kind, key, slice_of(v->mv_data, v->mv_size), &at, &body) : E_NOMEM;
	if (z->err == OK)
		z->err = record_decode_sealed(kind, body, &box, &z->arena, record);
	if (z->err == OK)
		z->err = store_value_seal(z->to, kind, key, record, &z->value);
	vault_box_fini(&box);
	arena_fini_secret(&z->arena);
	*v = val(z->value.p, z->value.n);
	z->records++;
	return z->err == OK ? 0 : EINVAL;
}

static int
next_batch(struct sealing *z)
{
	int rc = mdb_txn_commit(z->writing); /* which frees it in any case */

	z->writing = NULL;
	return rc ? rc : mdb_txn_begin(z->new, NULL, 0, &z->writing);
}

/* kind -1: values are copied as they are. */
static int
copy_table(struct sealing *z, const char *name, int kind)
{
	unsigned flags;
	MDB_dbi from, to;
	MDB_cursor *cursor;
	MDB_val k, v;
	int rc = mdb_dbi_open(z->reading, name, 0, &from);

	if (rc == 0 && (rc = mdb_dbi_flags(z->reading, from, &flags)) == 0)
		rc = mdb_dbi_open(z->writing, name, flags | MDB_CREATE, &to);
	if (rc == 0)
		rc = mdb_cursor_open(z->reading, from, &cursor);
	if (rc)
		return rc;
	while (rc == 0 && (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
		if (kind >= 0)
			rc = reseal(z, (enum record_kind)kind, k, &v);
		if (rc == 0)
			rc = mdb_put(z->writing, to, &k, &v, 0);
		if (rc == 0 && ++z->batch % SEALING_BATCH == 0)
			rc = next_batch(z);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
kind_of(const char *name)
{
	for (enum record_kind kind = 0; kind < RECORD_KINDS; kind++)
		if (strcmp(name, record_kind_name(kind)) == 0)
			return record_has_secrets(kind) ? (int)kind : -1;
	return -1;
}

/* Every table that there is, known or not. */
static int
copy_all(struct sealing *z)
{
	MDB_dbi root, meta;
	MDB_cursor *cursor;
	MDB_val k, v;
	char name[128];
	int rc = mdb_dbi_open(z->reading, NULL, 0, &root);

	if (rc || (rc = mdb_cursor_open(z->reading, root, &cursor)))
		return rc;
	while (rc == 0 && (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
		if (k.mv_size >= sizeof(name)) {
			rc = MDB_CORRUPTED;
			break;
		}
		memcpy(name, k.mv_data, k.mv_size);
		name[k.mv_size] = '\0';
		rc = copy_table(z, name, kind_of(name));
	}
	mdb_cursor_close(cursor);
	if (rc == MDB_NOTFOUND && (rc = mdb_dbi_open(z->writing, "meta", 0, &meta)) == 0)
		rc = store_seal_write_id(z->writing, meta, vault_id(z->to));
	return rc;
}

static int
copy_file(struct sealing *z, const char *path)
{
	MDB_envinfo info;
	MDB_stat st;
	int rc = mdb_env_info(z->old, &info);

	/* Sealing adds 28 bytes to a secret: twice the old size is more than enough. The file itself is as long as what is in it. */
	if (rc == 0 && (rc = mdb_env_stat(z->old, &st)) == 0 && (rc = mdb_env_create(&z->new)) == 0 &&
		(rc = mdb_env_set_maxdbs(z->new, STORE_DBI_MAX)) == 0 &&
		(rc = mdb_env_set_mapsize(z->new, 2 * (info.me_last_pgno + 1) * st.ms_psize + SEALING_SPARE_BYTES)) == 0 &&
		(rc = mdb_env_open(z->new, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600)) == 0 &&
		(rc = mdb_txn_begin(z->old, NULL, MDB_RDONLY, &z->reading)) == 0)
		rc = mdb_txn_begin(z->new, NULL, 0, &z->writing);
	if (rc == 0 && (rc = copy_all(z)) == 0) {
		rc = mdb_txn_commit(z->writing);
		z->writing = NULL;
	}
	if (z->writing)
		mdb_txn_abort(z->writing);
	if (z->reading)
		mdb_txn_abort(z->reading);
	if (rc == 0)
		rc = mdb_env_sync(z->new, 1);
	if (z->new)
		mdb_env_close(z->new);
	z->new = NULL;
	return rc;
}

/* The new file, durable, in the place of the old one; readers' slots of the old one mean nothing in it. */
static int
put_in_place(const struct store *s)
{
	int dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;

	if (dir >= 0 && renameat(dir, SEALING, dir, "data.mdb") == 0 && (unlinkat(dir, "lock.mdb", 0) == 0 || errno == ENOENT) && fsync(dir) == 0) {
		close(dir);
		return 0;
	}
	error = errno;
	if (dir >= 0)
		close(dir);
	return error;
}

static enum err
say_failed(const struct sealing *z, int rc, char *why, size_t why_n)
{
	if (z->err == E_FORMAT)
		return say(E_FORMAT, why, why_n, z->s, "a record is damaged, so secrets cannot be sealed under the new key", "restore the store from a backup");
	if (z->err == E_NOMEM || rc == ENOMEM)
		return say(E_NOMEM, why, why_n, z->s, "out of memory while secrets are sealed under the new key", "free some");
	errno = rc > 0 ? rc : rc == MDB_MAP_FULL ? ENOSPC : EIO;
	snprintf(why, why_n, "%s: cannot seal secrets under the new key: %s; make room for a second copy of the database; the store is as it was", z->s->path,
		rc > 0 ? strerrordesc_np(rc) : mdb_strerror(rc));
	return E_SYSTEM;
}

static enum err
make_anew(struct store *s, MDB_env *old, const struct vault *from, char *why, size_t why_n)
{
	struct sealing z = { .s = s, .from = from, .to = s->vault, .old = old };
	char *path = NULL;
	int rc;

	if (asprintf(&path, "%s/" SEALING, s->path) < 0)
		return say(E_NOMEM, why, why_n, s, "out of memory", "free some");
	arena_init(&z.arena, 0);
	buf_init(&z.value, 0);
	log_info("store: secrets are being sealed under a new key", LOG_STR("path", s->path), LOG_STR("key", vault_id(s->vault)));
	rc = copy_file(&z, path);
	if (rc == 0)
		rc = put_in_place(s);
	if (rc)
		unlink(path);
	else
		log_info("store: secrets are sealed", LOG_UINT("records", z.records));
	buf_fini_secret(&z.value);
	arena_fini_secret(&z.arena);
	free(path);
	return rc ? say_failed(&z, rc, why, why_n) : OK;
}

/* ---- which key ---- */

/* "" where there is no database yet, or it is not sealed. */
static int
read_id(MDB_env *env, char id[VAULT_ID_BYTES])
{
	MDB_txn *txn;
	MDB_dbi meta;
	int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	id[0] = '\0';
	if (rc)
		return rc;
	rc = mdb_dbi_open(txn, "meta", 0, &meta);
	rc = rc == 0 ? store_seal_read_id(txn, meta, id) : rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE ? MDB_NOTFOUND : rc;
	mdb_txn_abort(txn);
	return rc;
}

static enum err
say_key(char *why, size_t why_n, const struct store *s, const char *id, const struct vault_keys *keys)
{
	if (!keys || keys->n == 0)
		snprintf(why, why_n,
			"%s: its secrets are sealed under key %s, and no key is given; name the file of that key in storage.config.keyFile, or choose another folder to start anew",
			s->path, id);
	else
		snprintf(why, why_n,
			"%s: its secrets are sealed under key %s, and storage.config.keyFile has %s; put that key into the file (behind a new one, on a line of its own, to change keys)",
			s->path, id, keys->items[0].id);
	return E_DENIED;
}

static enum err
change_key(struct store *s, MDB_env *env, const char *id, const struct vault_keys *keys, char *why, size_t why_n)
{
	const struct vault_key *key = *id ? vault_keys_find(keys, slice_str(id)) : NULL;
	struct vault *from;
	enum err e;

	if (*id && !key)
		return say_key(why, why_n, s, id, keys);
	if (!s->vault || strcmp(id, vault_id(s->vault)) == 0)
		return OK;
	if (!key)
		return make_anew(s, env, NULL, why, why_n);
	from = vault_new(key, &rng_system);
	e = from ? make_anew(s, env, from, why, why_n) : say(E_NOMEM, why, why_n, s, "out of memory", "free some");
	vault_free(from);
	return e;
}

/* A database that may be sealed. */
static bool
has_database(const struct store *s)
{
	int dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	bool has = dir >= 0 && fstatat(dir, "data.mdb", &st, 0) == 0 && st.st_size > 0;

	if (dir >= 0) {
		unlinkat(dir, SEALING, 0); /* of a start that was cut short */
		close(dir);
	}
	return has;
}

enum err
store_seal_prepare(struct store *s, const struct vault_keys *keys, char *why, size_t why_n)
{
	char id[VAULT_ID_BYTES];
	MDB_env *env = NULL;
	enum err e = OK;
	int rc;

	if (keys && keys->n && !(s->vault = vault_new(&keys->items[0], &rng_system)))
		return say(E_NOMEM, why, why_n, s, "out of memory", "free some");
	if (!has_database(s))
		return OK;
	rc = mdb_env_create(&env);
	if (rc == 0 && (rc = mdb_env_set_maxdbs(env, STORE_DBI_MAX)) == 0 && (rc = mdb_env_open(env, s->path, MDB_RDONLY | MDB_NOLOCK, 0600)) == 0)
		rc = read_id(env, id);
	if (rc == 0)
		e = change_key(s, env, id, keys, why, why_n);
	/* Whatever else is wrong with the file is said by those who open it next. */
	if (env)
		mdb_env_close(env);
	return e;
}
