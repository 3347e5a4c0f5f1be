#include <assert.h>
#include <errno.h>
#include <lmdb.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include "authd/store_internal.h"
#include "shared/log.h"

/* Real time, also under a clock that tests hold: it says how long to wait, never what has expired. */
static uint64_t
real_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t
real_ms(void)
{
	return real_us() / 1000;
}

/* Microseconds: a commit is one fsync, which takes a tenth of a millisecond on a good disk and seconds on one that is overloaded. */
const uint64_t store_commit_bounds_us[STORE_COMMIT_BOUNDS] = { 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 100000, 500000, 2000000 };

static void
count_commit(struct store *s, uint64_t us)
{
	size_t i = 0;

	while (i < STORE_COMMIT_BOUNDS && us > store_commit_bounds_us[i])
		i++;
	atomic_fetch_add(&s->commits[i], 1);
	atomic_fetch_add(&s->commit_us, us);
}

static bool
grow(struct store *s)
{
	size_t bytes = s->map_bytes > s->map_bytes_max / 2 ? s->map_bytes_max : s->map_bytes * 2;

	if (bytes <= s->map_bytes)
		return false;
	store_readers_stop(s);
	int rc = mdb_env_set_mapsize(s->env, bytes);
	store_readers_go(s);
	if (rc) {
		log_error("store: the map cannot grow", LOG_UINT("bytes", bytes), LOG_STR("reason", mdb_strerror(rc)));
		return false;
	}
	s->map_bytes = bytes;
	atomic_store(&s->map_bytes_now, bytes);
	atomic_fetch_add(&s->growths, 1);
	return true;
}

/* What the function changed joins the group only when it returns OK. */
static void
run_op(struct store_txn *t, struct store_op *op)
{
	t->mdb = t->group;
	t->nested = NULL;
	t->rc = 0;
	t->now_s = clock_now_s(t->s->clock);
	op->result = op->fn(t, op->arg);
	if (t->rc && op->result == OK)
		op->result = E_SYSTEM; /* it overlooked a failure */
	if (!t->nested)
		return;
	if (op->result != OK) {
		mdb_txn_abort(t->nested);
		return;
	}
	int rc = mdb_txn_commit(t->nested);
	if (rc)
		op->result = store_txn_failed(t, rc);
}

/* One transaction. Returns LMDB's or errno's code when nothing of it is visible. */
static int
try_group(struct store *s, struct store_op *ops, int64_t *soonest, bool *watched)
{
	struct store_txn t = { .s = s, .writing = true };
	int rc = mdb_txn_begin(s->env, NULL, 0, &t.group);

	if (rc)
		return rc;
	for (struct store_op *op = ops; op; op = op->next) {
		run_op(&t, op);
		if (t.rc == MDB_MAP_FULL) {
			mdb_txn_abort(t.group);
			return MDB_MAP_FULL;
		}
	}
	*soonest = t.soonest;
	*watched = t.watched;
	uint64_t began_us = real_us();
	int committed = mdb_txn_commit(t.group);
	if (!committed)
		count_commit(s, real_us() - began_us);
	return committed;
}

/* LMDB calls a write that was cut short EIO, and the usual reason is a disk that has just become full. */
static int
write_error(const struct store *s, int rc)
{
	struct statvfs fs;

	if (rc == EIO && statvfs(s->path, &fs) == 0 && fs.f_bavail * fs.f_frsize < STORE_DISK_FULL_BYTES)
		return ENOSPC;
	return rc;
}

/* Logged when it begins and when it ends, not at every group of a full disk. */
static void
note_commit(struct store *s, int rc)
{
	if (rc && !atomic_exchange(&s->failing, true))
		log_error("store: nothing can be written; sign-ins fail until this ends", LOG_STR("path", s->path),
			LOG_STR("reason", rc == MDB_MAP_FULL ? "the database has reached its largest size" : mdb_strerror(rc)));
	else if (!rc && atomic_exchange(&s->failing, false))
		log_info("store: writing works again", LOG_STR("path", s->path));
}

static int
run_group(struct store *s, struct store_op *ops)
{
	int64_t soonest = 0;
	bool watched = false;
	int rc;

	/* Each round doubles the map: at most log2(largest / smallest) of them. */
	do {
		rc = try_group(s, ops, &soonest, &watched);
	} while (rc == MDB_MAP_FULL && grow(s));
	rc = write_error(s, rc);
	note_commit(s, rc);
	if (!rc && soonest && soonest < s->next_expiry)
		s->next_expiry = soonest;
	if (!rc && watched)
		s->watch(s->watch_arg);
	return rc;
}

/* Hands out the results; every operation is the caller's again, or freed. */
static void
end_group(struct store_op *ops, int rc)
{
	while (ops) {
		struct store_op *op = ops;
		ops = op->next;
		/* Also what a function refused: it may have looked at another's change, which is undone. */
		enum err result = rc ? E_SYSTEM : op->result;
		void (*done)(void *arg, enum err result) = op->done;
		void *arg = op->arg;
		if (!op->borrowed)
			free(op);
		if (rc)
			errno = rc > 0 ? rc : rc == MDB_MAP_FULL ? ENOSPC : EIO;
		done(arg, result);
	}
}

static void
serve(struct store *s, struct store_op *ops)
{
	size_t n = 0;
	int rc = run_group(s, ops);

	for (const struct store_op *op = ops; op; op = op->next)
		n++;
	atomic_fetch_add(&s->writes, n);
	atomic_fetch_add(rc ? &s->failed_groups : &s->groups, 1);
	end_group(ops, rc);
}

struct purge {
	size_t gone;
	enum err result;
};

static enum err
purge_step(struct store_txn *t, void *arg)
{
	struct purge *p = arg;
	return store_table_purge(t, &p->gone);
}

static void
purge_done(void *arg, enum err result)
{
	struct purge *p = arg;
	p->result = result;
}

/* One batch; the next follows at once only when there is more, so that writers wait for one batch at most. */
static void
purge(struct store *s)
{
	struct purge p = { 0 };
	struct store_op op = { .fn = purge_step, .done = purge_done, .arg = &p, .borrowed = true };
	int dead;

	end_group(&op, run_group(s, &op));
	if (p.result != OK) {
		s->next_expiry = 0; /* unknown: look again */
		p.gone = 0;
	}
	atomic_fetch_add(&s->purged, p.gone);
	s->purge_after_ms = real_ms() + (p.gone == STORE_PURGE_BATCH ? 0 : STORE_PURGE_SPACING_MS);
	/* Slots of processes that were killed while reading (a backup, a tool) keep old pages from being used again. */
	if (mdb_reader_check(s->env, &dead) == 0 && dead)
		log_info("store: freed the reader slots of dead processes", LOG_INT("slots", dead));
}

/* When to purge next, on the real clock. */
static uint64_t
purge_due_ms(const struct store *s, uint64_t now_ms)
{
	int64_t now_s = clock_now_s(s->clock);
	uint64_t due = now_ms + STORE_IDLE_MS_MAX;

	if (s->next_expiry <= now_s)
		due = now_ms;
	else if (s->next_expiry - now_s < STORE_IDLE_MS_MAX / 1000)
		due = now_ms + (uint64_t)(s->next_expiry - now_s) * 1000;
	return due > s->purge_after_ms ? due : s->purge_after_ms;
}

/* Waits for writes, for something that expires, or the end. Cuts up to STORE_GROUP_MAX operations off the queue; NULL: none. */
static struct store_op *
take_group(struct store *s, bool *closing)
{
	uint64_t due = purge_due_ms(s, real_ms());
	struct timespec until = { .tv_sec = (time_t)(due / 1000), .tv_nsec = (long)(due % 1000) * 1000000 };
	int rc = 0;

	pthread_mutex_lock(&s->queue_lock);
	while (!s->first && !s->closing && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&s->queue_changed, &s->queue_lock, &until);
	struct store_op *ops = s->first, **end = &s->first;
	for (size_t n = 0; n < STORE_GROUP_MAX && *end; n++) {
		end = &(*end)->next;
		s->queued--;
	}
	s->first = *end;
	*end = NULL;
	if (!s->first)
		s->last = &s->first;
	*closing = s->closing;
	pthread_mutex_unlock(&s->queue_lock);
	return ops;
}

static void *
writer_main(void *arg)
{
	struct store *s = arg;

	pthread_setname_np(pthread_self(), "store");
	for (;;) {
		bool closing;
		struct store_op *ops = take_group(s, &closing);
		if (ops)
			serve(s, ops);
		else if (closing)
			return NULL;
		uint64_t now_ms = real_ms();
		if (!closing && purge_due_ms(s, now_ms) <= now_ms)
			purge(s);
	}
}

enum err
store_writer_start(struct store *s)
{
	pthread_condattr_t monotonic;

	s->last = &s->first;
	s->next_expiry = 0; /* unknown */
	pthread_mutex_init(&s->queue_lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->queue_changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	int rc = pthread_create(&s->writer, NULL, writer_main, s);
	if (rc == 0)
		return OK;
	pthread_cond_destroy(&s->queue_changed);
	pthread_mutex_destroy(&s->queue_lock);
	errno = rc;
	return E_SYSTEM;
}

void
store_writer_stop(struct store *s)
{
	pthread_mutex_lock(&s->queue_lock);
	s->closing = true;
	pthread_cond_signal(&s->queue_changed);
	pthread_mutex_unlock(&s->queue_lock);
	pthread_join(s->writer, NULL);
	pthread_cond_destroy(&s->queue_changed);
	pthread_mutex_destroy(&s->queue_lock);
}

static enum err
enqueue(struct store *s, struct store_op *op)
{
	pthread_mutex_lock(&s->queue_lock);
	bool full = s->queued == STORE_QUEUE_MAX;
	if (!full) {
		assert(!s->closing);
		*s->last = op;
		s->last = &op->next;
		if (s->queued++ == 0)
			pthread_cond_signal(&s->queue_changed);
	}
	pthread_mutex_unlock(&s->queue_lock);
	return full ? E_LIMIT : OK;
}

enum err
store_write(struct store *s, enum err (*fn)(struct store_txn *t, void *arg), void (*done)(void *arg, enum err result), void *arg)
{
	struct store_op *op = malloc(sizeof(*op));

	if (!op)
		return E_NOMEM;
	*op = (struct store_op){ .fn = fn, .done = done, .arg = arg };
	enum err e = enqueue(s, op);
	if (e != OK)
		free(op);
	return e;
}

struct waiter {
	enum err (*fn)(struct store_txn *t, void *arg);
	void *arg;
	sem_t ended;
	enum err result;
	int error;
};

static enum err
waiter_run(struct store_txn *t, void *arg)
{
	struct waiter *w = arg;
	return w->fn(t, w->arg);
}

static void
waiter_done(void *arg, enum err result)
{
	struct waiter *w = arg;

	w->result = result;
	w->error = errno;
	sem_post(&w->ended);
}

enum err
store_write_wait(struct store *s, enum err (*fn)(struct store_txn *t, void *arg), void *arg)
{
	struct waiter w = { .fn = fn, .arg = arg };
	struct store_op op = { .fn = waiter_run, .done = waiter_done, .arg = &w, .borrowed = true };

	assert(!pthread_equal(pthread_self(), s->writer) && !store_reading());
	sem_init(&w.ended, 0, 0);
	enum err e = enqueue(s, &op);
	if (e == OK) {
		while (sem_wait(&w.ended) != 0)
			; /* a signal's return */
		e = w.result;
		errno = w.error;
	}
	sem_destroy(&w.ended);
	return e;
}

enum err
store_purge(struct store *s, size_t *gone)
{
	struct purge p;
	enum err e = OK;

	*gone = 0;
	do {
		p.gone = 0;
		e = store_write_wait(s, purge_step, &p);
		if (e == OK)
			*gone += p.gone;
	} while (e == OK && p.gone == STORE_PURGE_BATCH);
	return e;
}
