/* store.h - everything durable, in LMDB. The only files that know LMDB are authd/store*.c.
 *
 * Writers queue: one thread takes what has queued, runs each caller's function inside one transaction (each as a nested one, so that a
 * failing function leaves nothing behind) and commits once with fsync (group commit). An acknowledged write survives kill -9 and
 * power loss. Expired records are invisible at once and purged in small batches by the same thread. Each record carries a checksum: a
 * damaged one is reported (E_FORMAT), never served. */
#ifndef AUTHD_STORE_H
#define AUTHD_STORE_H

#include "authd/record.h"
#include "shared/clock.h"
#include "shared/err.h"

struct store;
struct store_txn;

struct store_options {
	const char *path;        /* folder, made with mode 0700 if absent */
	size_t map_bytes_max;    /* 0: 16 GiB; the map grows towards it */
	const struct clock *clock;
	const struct vault_keys *keys; /* secrets are sealed under the first; NULL: they are not */
};

/* Opens, checks the format version and integrity of the meta pages, starts the writer. why (>= 256 bytes): "PATH: what, and what to do".
 * E_SYSTEM (folder, permissions, disk full), E_FORMAT (not ours, damaged, newer version), E_CONFLICT (another authd has it open), E_DENIED (sealed
 * under a key that is not given), E_NOMEM. A store that is not sealed under the first key is made anew under it, which takes a second for each 100,000 records. */
MUST_CHECK enum err store_open(const struct store_options *o, struct store **out, char *why, size_t why_n);
/* Commits what has queued, then closes. */
void store_close(struct store *s);

/* fn runs on the writer thread: look, decide, put; it must not block. It may run again from the start, on the same state, when the
 * database file had to grow: what it leaves in arg must come from its last run alone. Its result is handed to done after the commit
 * is durable; what it put is kept only when it returns OK. When the commit fails done gets E_SYSTEM with errno (disk full, I/O), and nothing
 * of the group is visible. done runs on the writer thread and must be short.
 * E_LIMIT: the queue is full; E_NOMEM (done is not called). */
MUST_CHECK enum err store_write(struct store *s, enum err (*fn)(struct store_txn *t, void *arg), void (*done)(void *arg, enum err result), void *arg);
/* The same, waiting. Never from the writer thread. */
MUST_CHECK enum err store_write_wait(struct store *s, enum err (*fn)(struct store_txn *t, void *arg), void *arg);
/* A consistent snapshot on the calling thread; fn must not put, nor wait for a write. Returns what fn returned, or E_SYSTEM with errno. */
MUST_CHECK enum err store_read(struct store *s, enum err (*fn)(struct store_txn *t, void *arg), void *arg);

#define STORE_KEY_BYTES_MAX 400
#define STORE_RECORD_BYTES_MAX (1u << 20)

/* Inside fn. key: 1..STORE_KEY_BYTES_MAX bytes. Decoded slices live in arena. E_EMPTY: none (a key of another length included), or
 * expired (now >= expires_at). E_FORMAT: the stored bytes are damaged; E_NOMEM; E_SYSTEM. */
MUST_CHECK enum err store_get(struct store_txn *t, enum record_kind kind, struct slice key, struct arena *arena, void *record);
/* Insert or replace, with its expiry (record_expires_at). E_LIMIT: the key's length, or more than STORE_RECORD_BYTES_MAX. */
MUST_CHECK enum err store_put(struct store_txn *t, enum record_kind kind, struct slice key, const void *record);
/* E_EMPTY: there was none. */
MUST_CHECK enum err store_delete(struct store_txn *t, enum record_kind kind, struct slice key);
/* Visit every unexpired record of a kind in key order; stops when visit returns anything but OK, and returns that. visit may put and
 * delete: what it puts behind its own key is visited too. */
MUST_CHECK enum err store_each(struct store_txn *t, enum record_kind kind, struct arena *arena,
	enum err (*visit)(void *arg, struct slice key, const void *record), void *arg);
/* The same for the records whose key starts with prefix, and no others are looked at. */
MUST_CHECK enum err store_each_prefix(struct store_txn *t, enum record_kind kind, struct slice prefix, struct arena *arena,
	enum err (*visit)(void *arg, struct slice key, const void *record), void *arg);
/* The same from behind a key on (empty: from the first): a page of a long list. The visit may free the arena's memory when it is done with its record. */
MUST_CHECK enum err store_each_after(struct store_txn *t, enum record_kind kind, struct slice after, struct arena *arena,
	enum err (*visit)(void *arg, struct slice key, const void *record), void *arg);
/* Unexpired and not yet purged ones together: an upper bound, O(1). */
size_t store_count(struct store_txn *t, enum record_kind kind);
/* The same of every kind, in a transaction of its own. As store_read. */
MUST_CHECK enum err store_counts(struct store *s, size_t counts[RECORD_KINDS]);
/* Bounded table: when a kind has more than max records, delete those that expire first (at most STORE_TRIM_MAX at a call; records that
 * never expire stay). *gone: how many went. */
#define STORE_TRIM_MAX 10000
MUST_CHECK enum err store_trim(struct store_txn *t, enum record_kind kind, size_t max, size_t *gone);

/* Key of the record that expires first, or has expired and is not purged yet, in arena. E_EMPTY: there is none. */
MUST_CHECK enum err store_first(struct store_txn *t, enum record_kind kind, struct arena *arena, struct slice *key);

/* Call fn(arg) on the writer thread after each commit in which a record of that kind was put, before the writers of that group hear of it. fn must be
 * short. One watch per store; set before the first write. */
void store_watch(struct store *s, enum record_kind kind, void (*fn)(void *arg), void *arg);

/* Convenience: one record by store_read. */
MUST_CHECK enum err store_lookup(struct store *s, enum record_kind kind, struct slice key, struct arena *arena, void *record);

/* Delete everything that has expired, in batches, waiting. The writer does the same by itself when something is due. */
MUST_CHECK enum err store_purge(struct store *s, size_t *gone);

/* For health checks: E_SYSTEM when nothing can be read, or the last commit failed (disk full). */
MUST_CHECK enum err store_healthy(struct store *s);

/* Id of the key that secrets are sealed under; NULL: none. */
const char *store_key_id(const struct store *s);

#define STORE_COMMIT_BOUNDS 11
extern const uint64_t store_commit_bounds_us[STORE_COMMIT_BOUNDS]; /* of the histogram of commits */

struct store_stats {
	uint64_t writes, groups, failed_groups, purged, growths; /* since store_open; groups of callers' writes, and records purged by the writer itself */
	size_t map_bytes, used_bytes;
	uint64_t commits[STORE_COMMIT_BOUNDS + 1], commit_us; /* that succeeded, purges too, by how long they took; and together */
};
void store_stats(struct store *s, struct store_stats *out);

/* SHA-256 of a secret, as stored keys are. out: 32 bytes, slice points to it. */
struct slice store_hash(struct slice secret, unsigned char out[32]);

#endif
