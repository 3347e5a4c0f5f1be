#include <errno.h>
#include <fcntl.h>
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
#include "authd/store_internal.h"

#define DATA_FILE "data.mdb"
#define FORMAT_KEY "format"

static enum err
say(enum err e, char *why, size_t why_n, const struct store *s, const char *what, const char *advice)
{
	snprintf(why, why_n, "%s: %s; %s", s->path, what, advice);
	return e;
}

static enum err
say_errno(char *why, size_t why_n, const struct store *s, const char *what, const char *advice)
{
	int saved = errno;

	snprintf(why, why_n, "%s: %s: %s; %s", s->path, what, strerror(saved), advice);
	errno = saved;
	return E_SYSTEM;
}

static enum err
damaged(char *why, size_t why_n, const struct store *s)
{
	return say(E_FORMAT, why, why_n, s, DATA_FILE " is damaged",
		"restore it from a backup, or move it away to start without sessions and with new signing keys");
}

enum err
store_folder_take(struct store *s, char *why, size_t why_n)
{
	if (mkdir(s->path, 0700) != 0 && errno != EEXIST)
		return say_errno(why, why_n, s, "cannot make this folder", "make it, owned by the user that authd runs as");
	int dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return say_errno(why, why_n, s, "cannot open this folder", "storage.config.path must be a folder of authd's own");
	s->lock_fd = openat(dir, STORE_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int saved = errno;
	close(dir);
	errno = saved;
	if (s->lock_fd < 0)
		return say_errno(why, why_n, s, "cannot write here", "the user that authd runs as needs to own the folder");
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return OK;
	if (errno == EWOULDBLOCK)
		return say(E_CONFLICT, why, why_n, s, "another authd has it open", "stop that one first, or choose another folder");
	return say_errno(why, why_n, s, "cannot lock " STORE_LOCK_FILE, "use a local file system");
}

void
store_folder_release(struct store *s)
{
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->lock_fd = -1;
}

/* ---- verification, in a child process ---- */

/* Exit statuses. From VERIFY_UNREADABLE on: it cannot be read, and what is added is the errno. */
enum { VERIFIED = 0, VERIFY_DAMAGED = 1, VERIFY_UNREADABLE = 64 };

/* Adds to *n what it counts. */
static enum err
walk(MDB_txn *txn, MDB_dbi dbi, int kind, uint64_t *n)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	int64_t at;
	struct slice body;
	int rc = mdb_cursor_open(txn, dbi, &cursor);

	if (rc)
		return E_FORMAT;
	for (; (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0; (*n)++)
		if (kind >= 0 && store_value_open((enum record_kind)kind, slice_of(k.mv_data, k.mv_size),
			slice_of(v.mv_data, v.mv_size), &at, &body) != OK)
			return E_FORMAT;
	return rc == MDB_NOTFOUND ? OK : E_FORMAT;
}

static void
expiry_name(enum record_kind kind, char out[64])
{
	snprintf(out, 64, "%s.expiry", record_kind_name(kind));
}

static enum err
walk_kind(MDB_txn *txn, enum record_kind kind, uint64_t *n)
{
	uint64_t others = 0;
	char name[64];
	MDB_dbi dbi;
	enum err e = OK;

	if (mdb_dbi_open(txn, record_kind_name(kind), 0, &dbi) == 0)
		e = walk(txn, dbi, (int)kind, n);
	expiry_name(kind, name);
	if (e == OK && mdb_dbi_open(txn, name, 0, &dbi) == 0)
		e = walk(txn, dbi, -1, &others);
	return e;
}

/* The free list and the list of tables (0 and 1 in every LMDB file), then each table. */
enum err
store_folder_walk(MDB_env *env, uint64_t counts[RECORD_KINDS])
{
	uint64_t others = 0;
	MDB_txn *txn;
	enum err e;

	memset(counts, 0, RECORD_KINDS * sizeof(counts[0]));
	if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
		return E_SYSTEM;
	e = walk(txn, 0, -1, &others);
	if (e == OK)
		e = walk(txn, 1, -1, &others);
	for (enum record_kind kind = 0; kind < RECORD_KINDS && e == OK; kind++)
		e = walk_kind(txn, kind, &counts[kind]);
	mdb_txn_abort(txn);
	return e;
}

static int
verify(const char *path, off_t bytes)
{
	uint64_t counts[RECORD_KINDS];
	MDB_env *env;
	MDB_envinfo info;
	MDB_stat st;

	if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, STORE_DBI_MAX) != 0)
		return VERIFY_UNREADABLE + ENOMEM;
	int rc = mdb_env_open(env, path, MDB_RDONLY | MDB_NOLOCK, 0600);
	if (rc)
		return rc > 0 && rc < VERIFY_UNREADABLE && rc != ENOENT ? VERIFY_UNREADABLE + rc : VERIFY_DAMAGED;
	if (mdb_env_info(env, &info) != 0 || mdb_env_stat(env, &st) != 0)
		return VERIFY_DAMAGED;
	/* A file may end before its last page and be whole: LMDB does not write pages that a transaction took and gave back. So being
	 * short is a reason to read everything, not yet damage; what is really missing then ends this process by SIGBUS. */
	bool is_short = (uint64_t)bytes / st.ms_psize <= info.me_last_pgno;
	if (!is_short && bytes > STORE_VERIFY_BYTES_MAX)
		return VERIFIED;
	switch (store_folder_walk(env, counts)) {
	case OK:
		return VERIFIED;
	case E_SYSTEM:
		return VERIFY_UNREADABLE + EIO;
	default:
		return VERIFY_DAMAGED;
	}
}

/* The child of what may be a process with threads: it takes no lock of ours, writes nowhere, and ends without cleaning up. */
static void
verify_child(const char *path, off_t bytes, int lock_fd)
{
	const struct rlimit none = { 0, 0 };
	static const int fatal[] = { SIGBUS, SIGSEGV, SIGABRT, SIGILL, SIGFPE };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	close(lock_fd); /* whoever killed our parent may start another at once */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none); /* its memory holds keys */
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], SIG_DFL); /* a handler of the parent's has no place here */
	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO); /* LMDB's assertions and sanitizers' reports */
	}
	_exit(verify(path, bytes));
}

enum err
store_folder_verify(struct store *s, char *why, size_t why_n)
{
	char *file = NULL;
	struct stat st;
	int status;

	if (asprintf(&file, "%s/" DATA_FILE, s->path) < 0)
		return say(E_NOMEM, why, why_n, s, "out of memory", "free some");
	int rc = stat(file, &st);
	free(file);
	if (rc != 0 && errno == ENOENT)
		return OK;
	if (rc != 0)
		return say_errno(why, why_n, s, "cannot read " DATA_FILE, "the user that authd runs as needs to own it");
	if (!S_ISREG(st.st_mode))
		return say(E_FORMAT, why, why_n, s, DATA_FILE " is not a file", "move it away");
	if (st.st_size == 0)
		return OK;

	pid_t child = fork();
	if (child < 0)
		return say_errno(why, why_n, s, "cannot start a process to verify " DATA_FILE, "raise the limit of processes");
	if (child == 0)
		verify_child(s->path, st.st_size, s->lock_fd);
	while ((rc = waitpid(child, &status, 0)) < 0 && errno == EINTR)
		;
	if (rc < 0)
		return say_errno(why, why_n, s, "cannot verify " DATA_FILE, "SIGCHLD must not be ignored");
	if (WIFEXITED(status) && WEXITSTATUS(status) == VERIFIED)
		return OK;
	if (WIFEXITED(status) && WEXITSTATUS(status) > VERIFY_UNREADABLE) {
		errno = WEXITSTATUS(status) - VERIFY_UNREADABLE;
		return say_errno(why, why_n, s, "cannot read " DATA_FILE,
			errno == ENOMEM ? "let authd have more memory (address space)" : "the user that authd runs as needs to own it");
	}
	return damaged(why, why_n, s);
}

/* ---- opening ---- */

static int
open_tables(struct store *s, MDB_txn *txn)
{
	char name[64];
	int rc = 0;

	for (enum record_kind kind = 0; kind < RECORD_KINDS && !rc; kind++) {
		rc = mdb_dbi_open(txn, record_kind_name(kind), MDB_CREATE, &s->records[kind]);
		expiry_name(kind, name);
		if (!rc)
			rc = mdb_dbi_open(txn, name, MDB_CREATE, &s->expiries[kind]);
	}
	return rc;
}

/* *format: 0 for a new file, which has no *meta yet; -1 for one that is not ours. */
static int
read_format(MDB_txn *txn, MDB_dbi *meta, int64_t *format)
{
	MDB_val k = { sizeof(FORMAT_KEY) - 1, (char[]){ FORMAT_KEY } }, v;
	MDB_dbi root;
	MDB_stat st;
	uint64_t n;
	int rc = mdb_dbi_open(txn, NULL, 0, &root);

	*format = -1;
	if (rc || (rc = mdb_stat(txn, root, &st)))
		return rc;
	if (st.ms_entries == 0) {
		*format = 0;
		return 0;
	}
	rc = mdb_dbi_open(txn, "meta", 0, meta);
	if (rc == 0)
		rc = mdb_get(txn, *meta, &k, &v);
	if (rc == 0 && slice_to_u64(slice_of(v.mv_data, v.mv_size), INT32_MAX, &n) && n > 0)
		*format = (int64_t)n;
	return rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE ? 0 : rc;
}

enum err
store_folder_format(MDB_env *env, int64_t *format)
{
	MDB_txn *txn;
	MDB_dbi meta;
	int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return E_SYSTEM;
	rc = read_format(txn, &meta, format);
	mdb_txn_abort(txn);
	return rc ? E_FORMAT : OK;
}

static int
write_format(MDB_txn *txn, MDB_dbi meta)
{
	char text[16];
	MDB_val k = { sizeof(FORMAT_KEY) - 1, (char[]){ FORMAT_KEY } };
	MDB_val v = { (size_t)snprintf(text, sizeof(text), "%d", STORE_FORMAT), text };

	return mdb_put(txn, meta, &k, &v, 0);
}

static enum err
say_lmdb(int rc, char *why, size_t why_n, const struct store *s)
{
	if (rc > 0) {
		errno = rc;
		return say_errno(why, why_n, s, "cannot open the database",
			rc == ENOSPC || rc == EFBIG || rc == EDQUOT ? "make room on the disk" :
								      "the user that authd runs as needs to own the folder and its files");
	}
	if (rc == MDB_VERSION_MISMATCH)
		return say(E_FORMAT, why, why_n, s, DATA_FILE " is of another LMDB version", "use the authd that made it");
	return damaged(why, why_n, s);
}

static enum err
prepare(struct store *s, char *why, size_t why_n)
{
	MDB_txn *txn;
	MDB_dbi meta;
	int64_t format = -1;
	int rc = mdb_txn_begin(s->env, NULL, 0, &txn);

	if (rc)
		return say_lmdb(rc, why, why_n, s);
	rc = read_format(txn, &meta, &format);
	if (rc == 0 && format != 0 && format != STORE_FORMAT) {
		mdb_txn_abort(txn);
		return format < 0 ?
			       say(E_FORMAT, why, why_n, s, "this database was not made by authd", "choose another folder") :
			       say(E_FORMAT, why, why_n, s, "this database was made by a newer authd", "use that one, or a backup from before");
	}
	if (rc == 0 && format == 0 && (rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &meta)) == 0)
		rc = write_format(txn, meta);
	if (rc == 0 && format == 0 && s->vault)
		rc = store_seal_write_id(txn, meta, vault_id(s->vault));
	if (rc == 0)
		rc = open_tables(s, txn);
	if (rc)
		mdb_txn_abort(txn);
	else
		rc = mdb_txn_commit(txn);
	return rc ? say_lmdb(rc, why, why_n, s) : OK;
}

enum err
store_folder_open_env(struct store *s, size_t map_bytes_max, char *why, size_t why_n)
{
	MDB_envinfo info;
	int dead;
	int rc = mdb_env_create(&s->env);

	if (rc) {
		s->env = NULL;
		return say_lmdb(rc, why, why_n, s);
	}
	s->map_bytes = map_bytes_max < STORE_MAP_BYTES_MIN ? map_bytes_max : STORE_MAP_BYTES_MIN;
	if ((rc = mdb_env_set_maxdbs(s->env, STORE_DBI_MAX)) || (rc = mdb_env_set_maxreaders(s->env, STORE_READER_SLOTS)) ||
		(rc = mdb_env_set_mapsize(s->env, s->map_bytes)) || (rc = mdb_env_open(s->env, s->path, MDB_NOTLS, 0600)) ||
		(rc = mdb_reader_check(s->env, &dead)) || (rc = mdb_env_info(s->env, &info)))
		return say_lmdb(rc, why, why_n, s);
	s->map_bytes = info.me_mapsize; /* at least what the file holds */
	atomic_store(&s->map_bytes_now, s->map_bytes);
	return prepare(s, why, why_n);
}
