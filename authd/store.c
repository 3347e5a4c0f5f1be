#include <assert.h>
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include "authd/store_internal.h"

/* Reads that this thread is inside of: such a thread passes the gate that is closed while the map moves, since the writer waits for it. */
static _Thread_local unsigned reads_open;

static void
store_destroy(struct store *s)
{
	for (size_t i = 0; i < s->idle_n; i++)
		mdb_txn_abort(s->idle[i]);
	if (s->env)
		mdb_env_close(s->env);
	store_folder_release(s);
	vault_free(s->vault);
	buf_fini_secret(&s->scratch);
	pthread_mutex_destroy(&s->readers_lock);
	pthread_cond_destroy(&s->readers_changed);
	free(s->path);
	free(s);
}

enum err
store_open(const struct store_options *o, struct store **out, char *why, size_t why_n)
{
	struct store *s = calloc(1, sizeof(*s));

	if (why_n)
		why[0] = '\0';
	if (!s || !(s->path = strdup(o->path))) {
		free(s);
		snprintf(why, why_n, "%s: out of memory", o->path);
		return E_NOMEM;
	}
	s->clock = o->clock;
	s->lock_fd = -1;
	s->map_bytes_max = o->map_bytes_max ? o->map_bytes_max : STORE_MAP_BYTES_MAX;
	pthread_mutex_init(&s->readers_lock, NULL);
	pthread_cond_init(&s->readers_changed, NULL);
	buf_init(&s->scratch, STORE_VALUE_HEAD_BYTES + STORE_RECORD_BYTES_MAX);

	enum err e = store_folder_take(s, why, why_n);
	if (e == OK)
		e = store_folder_verify(s, why, why_n);
	if (e == OK)
		e = store_seal_prepare(s, o->keys, why, why_n);
	if (e == OK)
		e = store_folder_open_env(s, s->map_bytes_max, why, why_n);
	if (e == OK && (e = store_writer_start(s)) != OK)
		snprintf(why, why_n, "%s: the writer thread does not start: %s", s->path, strerror(errno));
	if (e != OK) {
		store_destroy(s);
		return e;
	}
	*out = s;
	return OK;
}

void
store_close(struct store *s)
{
	if (!s)
		return;
	store_writer_stop(s);
	assert(s->active_n == 0);
	store_destroy(s);
}

void
store_watch(struct store *s, enum record_kind kind, void (*fn)(void *arg), void *arg)
{
	s->watch_kind = kind;
	s->watch_arg = arg;
	s->watch = fn;
}

const char *
store_key_id(const struct store *s)
{
	return s->vault ? vault_id(s->vault) : NULL;
}

bool
store_reading(void)
{
	return reads_open > 0;
}

int
store_reader_begin(struct store *s, MDB_txn **out)
{
	MDB_txn *txn = NULL;

	pthread_mutex_lock(&s->readers_lock);
	while (!reads_open && (s->growing || s->active_n >= STORE_READERS_MAX))
		pthread_cond_wait(&s->readers_changed, &s->readers_lock);
	s->active_n++;
	if (s->idle_n)
		txn = s->idle[--s->idle_n];
	pthread_mutex_unlock(&s->readers_lock);

	int rc = txn ? mdb_txn_renew(txn) : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (rc) {
		if (txn)
			mdb_txn_abort(txn);
		pthread_mutex_lock(&s->readers_lock);
		s->active_n--;
		pthread_cond_broadcast(&s->readers_changed);
		pthread_mutex_unlock(&s->readers_lock);
		return rc;
	}
	reads_open++;
	*out = txn;
	return 0;
}

void
store_reader_end(struct store *s, MDB_txn *txn)
{
	mdb_txn_reset(txn);
	reads_open--;
	pthread_mutex_lock(&s->readers_lock);
	bool full = s->active_n-- >= STORE_READERS_MAX;
	if (s->idle_n < STORE_READERS_MAX) {
		s->idle[s->idle_n++] = txn;
		txn = NULL;
	}
	if (full || s->growing)
		pthread_cond_broadcast(&s->readers_changed);
	pthread_mutex_unlock(&s->readers_lock);
	if (txn)
		mdb_txn_abort(txn); /* of a nested read past the bound */
}

void
store_readers_stop(struct store *s)
{
	pthread_mutex_lock(&s->readers_lock);
	s->growing = true;
	while (s->active_n)
		pthread_cond_wait(&s->readers_changed, &s->readers_lock);
	pthread_mutex_unlock(&s->readers_lock);
}

void
store_readers_go(struct store *s)
{
	pthread_mutex_lock(&s->readers_lock);
	s->growing = false;
	pthread_cond_broadcast(&s->readers_changed);
	pthread_mutex_unlock(&s->readers_lock);
}

enum err
store_read(struct store *s, enum err (*fn)(struct store_txn *t, void *arg), void *arg)
{
	struct store_txn t = { .s = s };
	int rc = store_reader_begin(s, &t.mdb);

	if (rc)
		return store_txn_failed(&t, rc);
	t.now_s = clock_now_s(s->clock);
	enum err e = fn(&t, arg);
	store_reader_end(s, t.mdb);
	return e;
}

struct lookup {
	enum record_kind kind;
	struct slice key;
	struct arena *arena;
	void *record;
};

static enum err
look_up(struct store_txn *t, void *arg)
{
	struct lookup *l = arg;
	return store_get(t, l->kind, l->key, l->arena, l->record);
}

enum err
store_lookup(struct store *s, enum record_kind kind, struct slice key, struct arena *arena, void *record)
{
	struct lookup l = { kind, key, arena, record };
	return store_read(s, look_up, &l);
}

static enum err
touch_nothing(struct store_txn *t, void *arg)
{
	(void)arg;
	MDB_stat st;
	int rc = mdb_stat(t->mdb, t->s->records[RECORD_KEY], &st);
	return rc ? store_txn_failed(t, rc) : OK;
}

enum err
store_healthy(struct store *s)
{
	enum err e = store_read(s, touch_nothing, NULL);
	if (e == OK && atomic_load(&s->failing))
		e = E_SYSTEM;
	return e;
}

static enum err
read_size(struct store_txn *t, void *arg)
{
	size_t *used = arg;
	MDB_envinfo info;
	MDB_stat st;
	int rc = mdb_env_info(t->s->env, &info);

	if (rc || (rc = mdb_env_stat(t->s->env, &st)))
		return store_txn_failed(t, rc);
	*used = (info.me_last_pgno + 1) * st.ms_psize;
	return OK;
}

void
store_stats(struct store *s, struct store_stats *out)
{
	*out = (struct store_stats){
		.writes = atomic_load(&s->writes),
		.groups = atomic_load(&s->groups),
		.failed_groups = atomic_load(&s->failed_groups),
		.purged = atomic_load(&s->purged),
		.growths = atomic_load(&s->growths),
		.map_bytes = atomic_load(&s->map_bytes_now),
	};
	out->commit_us = atomic_load(&s->commit_us);
	for (size_t i = 0; i <= STORE_COMMIT_BOUNDS; i++)
		out->commits[i] = atomic_load(&s->commits[i]);
	if (store_read(s, read_size, &out->used_bytes) != OK)
		out->used_bytes = 0;
}
