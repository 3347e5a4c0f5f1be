/* store_internal.h - what the store's own files share; nobody else includes it. LMDB's types appear by name only.
 *
 *   store.c         open, close, reads                  store_folder.c   folder, lock, format, verification before opening
 *   store_writer.c  queue, group commit, growth, purge  store_table.c    records inside a transaction
 *   store_seal.c    secrets under a key, and a new key
 *   store_value.c   checksums                           store_copy.c     backup and restore, in processes of their own */
#ifndef AUTHD_STORE_INTERNAL_H
#define AUTHD_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include "authd/store.h"

#define STORE_LOCK_FILE "authd.lock" /* not LMDB's lock.mdb, whose locks end when any descriptor of it closes */

struct MDB_env;
struct MDB_txn;

#define STORE_FORMAT 1
#define STORE_QUEUE_MAX 4096  /* at 30 us of work and 1/13 of a commit each: under half a second of waiting */
#define STORE_GROUP_MAX 256   /* about 8 ms of work for one commit */
#define STORE_PURGE_BATCH 500 /* about 4 ms */
#define STORE_PURGE_SPACING_MS 10000
#define STORE_IDLE_MS_MAX (3600 * 1000) /* the wall clock may have jumped */
#define STORE_READERS_MAX 120 /* at once, and kept */
#define STORE_READER_SLOTS 256 /* of LMDB's table: those kept, as many nested ones, and tools */
#define STORE_MAP_BYTES_MIN ((size_t)64 << 20)
#define STORE_MAP_BYTES_MAX ((size_t)16 << 30)
#define STORE_VERIFY_BYTES_MAX (16 << 20) /* a file up to here is read whole at each open: about 15 ms */
#define STORE_DISK_FULL_BYTES (1u << 20)
#define STORE_DBI_MAX (2 * RECORD_KINDS + 1)

/* One queued write. */
struct store_op {
	struct store_op *next;
	enum err (*fn)(struct store_txn *t, void *arg);
	void (*done)(void *arg, enum err result);
	void *arg;
	enum err result;
	bool borrowed; /* not from malloc */
};

struct store_txn {
	struct store *s;
	struct MDB_txn *mdb;    /* what to read and write in now: group, or nested */
	struct MDB_txn *group;  /* writing: the transaction that is committed */
	struct MDB_txn *nested; /* begun at the function's first change */
	bool writing;
	int rc;                 /* LMDB's first failure in this function */
	int64_t now_s;
	int64_t soonest;        /* earliest expiry put; 0: none */
	bool watched;           /* a record of the watched kind was put */
};

struct store {
	const struct clock *clock;
	struct vault *vault; /* NULL: nothing is sealed */
	char *path;
	int lock_fd;
	struct MDB_env *env;
	unsigned records[RECORD_KINDS];  /* key -> head, encoded record */
	unsigned expiries[RECORD_KINDS]; /* expires_at (8 bytes, big-endian), key -> nothing */

	/* Read transactions that are not in use, and the gate that keeps readers out while the map moves. */
	pthread_mutex_t readers_lock;
	pthread_cond_t readers_changed;
	struct MDB_txn *idle[STORE_READERS_MAX];
	size_t idle_n, active_n;
	bool growing;

	pthread_mutex_t queue_lock;
	pthread_cond_t queue_changed;
	struct store_op *first, **last;
	size_t queued;
	bool closing;
	pthread_t writer;

	/* The writer's own. */
	size_t map_bytes, map_bytes_max;
	int64_t next_expiry;      /* earliest in the database, or earlier; INT64_MAX: none */
	uint64_t purge_after_ms;  /* not before (CLOCK_MONOTONIC) */
	struct buf scratch;
	enum record_kind watch_kind;
	void (*watch)(void *arg); /* NULL: nobody watches */
	void *watch_arg;

	atomic_bool failing;      /* the last commit failed */
	atomic_uint_fast64_t writes, groups, failed_groups, purged, growths;
	atomic_size_t map_bytes_now;
	atomic_uint_fast64_t commits[STORE_COMMIT_BOUNDS + 1], commit_us;
};

/* store_folder.c. why as in store_open. */
MUST_CHECK enum err store_folder_take(struct store *s, char *why, size_t why_n);
/* Reads the database in a child process, which a damaged file may crash. OK also when there is none yet. */
MUST_CHECK enum err store_folder_verify(struct store *s, char *why, size_t why_n);
MUST_CHECK enum err store_folder_open_env(struct store *s, size_t map_bytes_max, char *why, size_t why_n);
void store_folder_release(struct store *s);

/* Read everything there is, and how many of each kind. E_FORMAT: damaged; E_SYSTEM: not readable. */
MUST_CHECK enum err store_folder_walk(struct MDB_env *env, uint64_t counts[RECORD_KINDS]);
/* 0: a new file; -1: not ours. */
MUST_CHECK enum err store_folder_format(struct MDB_env *env, int64_t *format);

/* store_seal.c. What the database is sealed under, against the keys that are given: makes s->vault, and the database anew under the first key where it is not sealed
 * under that one yet. Before the database is opened, with the folder taken. */
MUST_CHECK enum err store_seal_prepare(struct store *s, const struct vault_keys *keys, char *why, size_t why_n);
/* Id of the key that a database is sealed under, in meta; "" for none. */
MUST_CHECK int store_seal_read_id(struct MDB_txn *txn, unsigned meta, char out[VAULT_ID_BYTES]);
MUST_CHECK int store_seal_write_id(struct MDB_txn *txn, unsigned meta, const char *id);

/* store_writer.c */
MUST_CHECK enum err store_writer_start(struct store *s);
void store_writer_stop(struct store *s);

/* store_table.c */
/* Delete up to STORE_PURGE_BATCH expired records; *gone: how many went. Sets next_expiry. */
MUST_CHECK enum err store_table_purge(struct store_txn *t, size_t *gone);

/* store_value.c. A stored value is a checksum over everything else, key and kind included; the time of expiry; the encoded record. */
#define STORE_CHECKSUM_BYTES 8
#define STORE_VALUE_HEAD_BYTES (STORE_CHECKSUM_BYTES + 8)
/* out is reset first. v: seals the record's secrets; NULL: they stay as they are. E_LIMIT: the record is too long. */
MUST_CHECK enum err store_value_seal(const struct vault *v, enum record_kind kind, struct slice key, const void *record, struct buf *out);
/* E_FORMAT: damaged. */
MUST_CHECK enum err store_value_open(enum record_kind kind, struct slice key, struct slice value, int64_t *expires_at, struct slice *record);
/* Times are stored so that bytes sort as they do; those before 1970 as 1970. */
int64_t store_time_read(const char *p);
void store_time_write(char *p, int64_t at);

/* Notes LMDB's failure in t, sets errno, and is E_SYSTEM. */
enum err store_txn_failed(struct store_txn *t, int rc);

/* A read transaction, reused where there is one. */
MUST_CHECK int store_reader_begin(struct store *s, struct MDB_txn **out);
void store_reader_end(struct store *s, struct MDB_txn *txn);
/* Keep readers out, and wait until the last has gone. */
void store_readers_stop(struct store *s);
void store_readers_go(struct store *s);
bool store_reading(void);

#endif
