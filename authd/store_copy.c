#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "authd/store_copy.h"
#include "authd/store_internal.h"
#include "oidc/base64url.h"
#include "shared/clock.h"
#include "shared/rng.h"

#define COPY_BYTES (1u << 20)
#define RESTORING "data.mdb.restoring"

/* What the child reports, in one write to a pipe. */
struct outcome {
	enum err err;
	int error; /* errno, for E_SYSTEM */
	char why[400], kept[STORE_COPY_KEPT_BYTES];
	struct store_copy_report report;
};
_Static_assert(sizeof(struct outcome) <= 4096, "what a pipe takes at once");

struct job {
	const char *folder;
	int fd;
};

static void
outcome_say(struct outcome *o, enum err e, const char *about, const char *what, const char *advice)
{
	o->err = e;
	o->error = errno;
	if (e == E_SYSTEM)
		snprintf(o->why, sizeof(o->why), "%s: %s: %s; %s", about, what, strerrordesc_np(errno), advice);
	else
		snprintf(o->why, sizeof(o->why), "%s: %s; %s", about, what, advice);
}

/* ---- the child ---- */

/* Only root has something to give up; anybody else is the owner, or learns from the kernel what they may not. */
static bool
become_owner(const char *folder, struct outcome *o)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		bool none = errno == ENOENT;
		outcome_say(o, none ? E_EMPTY : E_SYSTEM, folder, none ? "there is no such folder" : "cannot look at this folder",
			"name storage.config.path of the configuration, or make the folder, owned by the user that authd runs as");
		return false;
	}
	close(fd);
	if (geteuid() != 0 || st.st_uid == 0)
		return true;
	if (setgroups(0, NULL) == 0 && setresgid(st.st_gid, st.st_gid, st.st_gid) == 0 && setresuid(st.st_uid, st.st_uid, st.st_uid) == 0)
		return true;
	outcome_say(o, E_SYSTEM, folder, "cannot become its owner", "run this as that user");
	return false;
}

static void
child_main(void (*work)(const struct job *j, struct outcome *o), const struct job *j, int report_fd)
{
	static const int fatal[] = { SIGBUS, SIGSEGV, SIGABRT, SIGILL, SIGFPE };
	const struct rlimit none = { 0, 0 };
	struct outcome o = { .err = OK };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	if (null >= 0)
		dup2(null, STDERR_FILENO); /* LMDB's assertions and sanitizers' reports */
	if (!j->folder || become_owner(j->folder, &o))
		work(j, &o);
	_exit(write(report_fd, &o, sizeof(o)) == sizeof(o) ? 0 : 1);
}

static enum err
in_child(void (*work)(const struct job *j, struct outcome *o), const struct job *j, struct outcome *o)
{
	const char *about = j->folder ? j->folder : "the copy";
	int ends[2] = { -1, -1 }, status;
	ssize_t got;
	pid_t child = -1;

	*o = (struct outcome){ .err = E_FORMAT };
	if (pipe2(ends, O_CLOEXEC) == 0)
		child = fork();
	if (child < 0) {
		outcome_say(o, E_SYSTEM, about, "cannot start a process", "raise the limits of files and processes");
		close(ends[0]);
		close(ends[1]);
		return E_SYSTEM;
	}
	if (child == 0)
		child_main(work, j, ends[1]);
	close(ends[1]);
	while ((got = read(ends[0], o, sizeof(*o))) < 0 && errno == EINTR)
		;
	close(ends[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (got != sizeof(*o)) {
		*o = (struct outcome){ .err = E_FORMAT };
		outcome_say(o, E_FORMAT, about, "reading it ended the process that read: it is damaged", "use another backup");
	}
	errno = o->error;
	return o->err;
}

static enum err
say(const struct outcome *o, char *why, size_t why_n)
{
	if (o->err != OK)
		snprintf(why, why_n, "%s", o->why);
	errno = o->error;
	return o->err;
}

/* ---- out ---- */

static void
say_lmdb(struct outcome *o, const char *about, int rc)
{
	if (rc > 0) {
		errno = rc;
		outcome_say(o, rc == ENOENT ? E_EMPTY : E_SYSTEM, about, rc == ENOENT ? "there is no database" : "cannot copy the database",
			rc == ENOSPC || rc == EDQUOT || rc == EFBIG ? "make room" : "run this as root or as the owner of the folder");
	} else {
		outcome_say(o, E_FORMAT, about, mdb_strerror(rc), "if it stays like this the database is damaged: restore an earlier backup");
	}
}

/* LMDB's compacting copy refuses a file in which a page is neither used nor free. Such a file is whole: it is copied as it is. */
static int
copy(MDB_env *env, int fd)
{
	int rc = mdb_env_copyfd2(env, fd, MDB_CP_COMPACT);

	if (rc >= 0 || ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0)
		return rc;
	return mdb_env_copyfd2(env, fd, 0);
}

static void
work_out(const struct job *j, struct outcome *o)
{
	MDB_env *env = NULL;
	int rc = mdb_env_create(&env);

	if (rc == 0 && (rc = mdb_env_set_maxreaders(env, STORE_READER_SLOTS)) == 0)
		rc = mdb_env_open(env, j->folder, MDB_RDONLY, 0600);
	if (rc == 0)
		rc = copy(env, j->fd);
	if (rc)
		say_lmdb(o, j->folder, rc);
	if (env)
		mdb_env_close(env);
}

enum err
store_copy_out(const char *folder, int fd, char *why, size_t why_n)
{
	struct job j = { folder, fd };
	struct outcome o;

	(void)!in_child(work_out, &j, &o);
	return say(&o, why, why_n);
}

/* ---- verification ---- */

static void
work_verify(const struct job *j, struct outcome *o)
{
	static const char about[] = "the copy", advice[] = "use another backup";
	MDB_env *env;
	MDB_envinfo info;
	MDB_stat st;
	struct stat file;
	char path[32];
	int64_t format = -1;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", j->fd);
	if (fstat(j->fd, &file) != 0 || !S_ISREG(file.st_mode) || file.st_size == 0) {
		outcome_say(o, E_FORMAT, about, "it is no database", advice);
		return;
	}
	if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, STORE_DBI_MAX) != 0) {
		outcome_say(o, E_NOMEM, about, "out of memory", "free some");
		return;
	}
	int rc = mdb_env_open(env, path, MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR, 0600);
	if (rc > 0) {
		errno = rc;
		outcome_say(o, E_SYSTEM, about, "cannot read it", "run this as its owner");
		return;
	}
	/* A copy has no free pages at its end: what is short was cut. */
	bool whole = rc == 0 && mdb_env_info(env, &info) == 0 && mdb_env_stat(env, &st) == 0 &&
		     (uint64_t)file.st_size / st.ms_psize > info.me_last_pgno;
	if (!whole || store_folder_walk(env, o->report.records) != OK || store_folder_format(env, &format) != OK || format < 1)
		outcome_say(o, E_FORMAT, about, "it is damaged, or no copy of authd's database", advice);
	else if (format > STORE_FORMAT)
		outcome_say(o, E_FORMAT, about, "it was made by a newer authd", "use that one");
	o->report.bytes = (uint64_t)file.st_size;
}

enum err
store_copy_verify(int fd, struct store_copy_report *out, char *why, size_t why_n)
{
	struct job j = { NULL, fd };
	struct outcome o;

	if (in_child(work_verify, &j, &o) == OK)
		*out = o.report;
	return say(&o, why, why_n);
}

/* ---- in ---- */

static bool
write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t put = write(fd, p, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return false;
		p += put;
		n -= (size_t)put;
	}
	return true;
}

static bool
copy_file(int from, int to)
{
	char *bytes = malloc(COPY_BYTES);
	off_t at = 0;
	ssize_t n = -1;

	while (bytes && (n = pread(from, bytes, COPY_BYTES, at)) > 0 && write_all(to, bytes, (size_t)n))
		at += n;
	free(bytes);
	return n == 0 && fsync(to) == 0;
}

/* A second name for the database that is there. "" where there is none. */
static bool
keep_old(int dir, char kept[STORE_COPY_KEPT_BYTES])
{
	char now[CLOCK_TEXT_BYTES];

	clock_format(clock_now_s(&clock_system), now);
	for (int i = 0; i < 100; i++) {
		snprintf(kept, STORE_COPY_KEPT_BYTES, i ? "data.mdb.before-%s-%d" : "data.mdb.before-%s", now, i + 1);
		if (linkat(dir, "data.mdb", dir, kept, 0) == 0)
			return true;
		if (errno == EEXIST)
			continue;
		kept[0] = '\0';
		return errno == ENOENT;
	}
	return false;
}

/* A reader of the news of ended sessions (revocation.h) counts on numbers that only grow. A restored store counts from an earlier one: by another epoch its
 * readers notice that, and ask for everything. */
static int
renew_feed(MDB_txn *txn)
{
	unsigned char random[12];
	char epoch[BASE64URL_ENCODED_BYTES(sizeof(random)) + 1];
	struct record_feed feed;
	struct arena arena;
	struct buf sealed;
	struct slice key, body;
	int64_t at;
	MDB_dbi dbi;
	MDB_cursor *cursor;
	MDB_val k, v;
	int rc = mdb_dbi_open(txn, record_kind_name(RECORD_FEED), 0, &dbi);

	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	if ((rc = mdb_cursor_open(txn, dbi, &cursor)))
		return rc;
	rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
	mdb_cursor_close(cursor);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	arena_init(&arena, 0);
	buf_init(&sealed, 0);
	key = arena_slice(&arena, slice_of(k.mv_data, k.mv_size));
	rc = EIO;
	if (key.p && store_value_open(RECORD_FEED, key, slice_of(v.mv_data, v.mv_size), &at, &body) == OK &&
		record_decode(RECORD_FEED, body, &arena, &feed) == OK && rng_fill(&rng_system, random, sizeof(random)) == OK) {
		feed.epoch = slice_of(epoch, base64url_encode(random, sizeof(random), epoch));
		if (store_value_seal(NULL, RECORD_FEED, key, &feed, &sealed) == OK) {
			v = (MDB_val){ sealed.n, sealed.p };
			k = (MDB_val){ key.n, (void *)(uintptr_t)key.p };
			rc = mdb_put(txn, dbi, &k, &v, 0);
		}
	}
	buf_fini(&sealed);
	arena_fini(&arena);
	return rc;
}

/* In the copy, before it is in place: nobody else has it open. */
static bool
make_later_than_the_last(int dir)
{
	char path[64];
	MDB_env *env = NULL;
	MDB_txn *txn;
	int rc = mdb_env_create(&env);

	snprintf(path, sizeof(path), "/proc/self/fd/%d/" RESTORING, dir);
	if (rc == 0 && (rc = mdb_env_set_maxdbs(env, STORE_DBI_MAX)) == 0)
		rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
	if (rc == 0 && (rc = mdb_txn_begin(env, NULL, 0, &txn)) == 0) {
		rc = renew_feed(txn);
		if (rc == 0)
			rc = mdb_txn_commit(txn); /* durable */
		else
			mdb_txn_abort(txn);
	}
	if (env)
		mdb_env_close(env);
	errno = rc > 0 ? rc : rc ? EIO : 0;
	return rc == 0;
}

static void
put_in_place(int dir, const struct job *j, struct outcome *o)
{
	static const char advice[] = "nothing was changed";
	int fd;

	if (unlinkat(dir, RESTORING, 0) != 0 && errno != ENOENT) {
		outcome_say(o, E_SYSTEM, j->folder, "cannot write here", advice);
		return;
	}
	fd = openat(dir, RESTORING, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || !copy_file(j->fd, fd) || !make_later_than_the_last(dir) || !keep_old(dir, o->kept) || renameat(dir, RESTORING, dir, "data.mdb") != 0) {
		outcome_say(o, E_SYSTEM, j->folder, "cannot put the copy in place", advice);
		unlinkat(dir, RESTORING, 0);
	} else if ((unlinkat(dir, "lock.mdb", 0) != 0 && errno != ENOENT) || fsync(dir) != 0) {
		outcome_say(o, E_SYSTEM, j->folder, "the copy is in place, but may not survive a power failure", "do it again");
	}
	if (fd >= 0)
		close(fd);
}

static void
work_in(const struct job *j, struct outcome *o)
{
	int dir = open(j->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int lock = dir < 0 ? -1 : openat(dir, STORE_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (lock < 0)
		outcome_say(o, E_SYSTEM, j->folder, "cannot write here", "run this as root or as the owner of the folder");
	else if (flock(lock, LOCK_EX | LOCK_NB) == 0)
		put_in_place(dir, j, o);
	else if (errno == EWOULDBLOCK)
		outcome_say(o, E_CONFLICT, j->folder, "an authd has it open", "stop that one first");
	else
		outcome_say(o, E_SYSTEM, j->folder, "cannot lock " STORE_LOCK_FILE, "use a local file system");
}

enum err
store_copy_in(const char *folder, int fd, char kept[STORE_COPY_KEPT_BYTES], char *why, size_t why_n)
{
	struct job j = { folder, fd };
	struct outcome o;

	if (in_child(work_in, &j, &o) == OK)
		memcpy(kept, o.kept, STORE_COPY_KEPT_BYTES);
	return say(&o, why, why_n);
}
