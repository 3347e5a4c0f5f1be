#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init and its kin: unlike EVP they neither allocate nor lock */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <openssl/sha.h>
#include "shared/clock.h"
#include "shared/log.h"

static _Atomic(const char *) log_program;
static atomic_int log_fd = 2;
static atomic_int log_least = LOG_LEVEL_INFO;
static atomic_int log_format = LOG_FORMAT_TEXT;
static _Atomic uint64_t log_lost;
static void (*log_sink)(void *arg, enum log_level level, struct slice line);
static void *log_sink_arg;
static atomic_int log_pid;

static const char *const level_words[] = { "debug", "info", "warn", "error" };

void
log_setup(const char *program, int fd, enum log_level least, enum log_format format)
{
	atomic_store(&log_program, program);
	atomic_store(&log_fd, fd);
	atomic_store(&log_least, (int)least);
	atomic_store(&log_format, (int)format);
	atomic_store(&log_pid, (int)getpid());
}

void
log_set_fd(int fd)
{
	atomic_store(&log_fd, fd);
}

void
log_set_sink(void (*take)(void *arg, enum log_level level, struct slice line), void *arg)
{
	log_sink = take;
	log_sink_arg = arg;
}

void
log_set_level(enum log_level least)
{
	atomic_store(&log_least, (int)least);
}

/* Another thread may be reading the list before: it stays. One that does not change is not made anew, so they are as few as the changes. */
struct excluded {
	const struct excluded *before;
	size_t n;
	char *keys[];
};
static _Atomic(const struct excluded *) log_excluded;

static bool
is_excluded(const struct excluded *x, const char *key)
{
	for (size_t i = 0; x && i < x->n; i++)
		if (strcmp(x->keys[i], key) == 0)
			return true;
	return false;
}

static bool
excludes_these(const struct excluded *x, const char *const *keys, size_t n)
{
	if ((x ? x->n : 0) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(x->keys[i], keys[i]) != 0)
			return false;
	return true;
}

enum err
log_exclude(const char *const *keys, size_t n)
{
	const struct excluded *before = atomic_load(&log_excluded);
	struct excluded *x;

	if (excludes_these(before, keys, n))
		return OK;
	x = calloc(1, sizeof(*x) + n * sizeof(x->keys[0]));
	if (!x)
		return E_NOMEM;
	x->before = before;
	while (x->n < n && (x->keys[x->n] = strdup(keys[x->n])))
		x->n++;
	if (x->n == n) {
		atomic_store(&log_excluded, x);
		return OK;
	}
	while (x->n)
		free(x->keys[--x->n]);
	free(x);
	return E_NOMEM;
}

enum log_level
log_level_get(void)
{
	return (enum log_level)atomic_load_explicit(&log_least, memory_order_relaxed);
}

uint64_t
log_lines_lost(void)
{
	return atomic_load(&log_lost);
}

/* A line under construction. The last LINE_TAIL bytes are kept for the brace and line feed that close it, so that a
 * cut line is still JSON. */
#define LINE_TAIL 2
struct line {
	size_t n;
	char text[LOG_LINE_BYTES_MAX];
};

static size_t
room(const struct line *l)
{
	return sizeof(l->text) - LINE_TAIL - l->n;
}

static bool
put(struct line *l, const char *p, size_t n)
{
	if (n > room(l))
		return false;
	memcpy(l->text + l->n, p, n);
	l->n += n;
	return true;
}

static inline bool
put_str(struct line *l, const char *s)
{
	return put(l, s, strlen(s));
}

/* Into the kept tail: once per line. */
static void
close_with(struct line *l, const char *s)
{
	size_t n = strlen(s);
	memcpy(l->text + l->n, s, n);
	l->n += n;
}

static void
put_uint(struct line *l, uint64_t v, bool negative)
{
	char digits[21]; /* 20 and a sign */
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	if (negative)
		digits[--at] = '-';
	put(l, digits + at, sizeof(digits) - at);
}

/* How the first character of s is written: its escape in esc, or as it is. *used: bytes of s it takes.
 * Escaped are control characters (C0, DEL, and C1, which terminals obey too), quote, backslash and bytes that are no UTF-8. */
static struct slice
escape(struct slice s, bool json, char esc[6], size_t *used)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = slice_utf8_first(s);
	unsigned char u = (unsigned char)s.p[0];
	bool c1 = n == 2 && u == 0xC2 && (unsigned char)s.p[1] < 0xA0;

	*used = n ? n : 1;
	if (n == 0 && json)
		return SLICE_LIT("\\ufffd");
	if (n == 0) {
		memcpy(esc, (char[]){ '\\', 'x', hex[u >> 4], hex[u & 15] }, 4);
		return slice_of(esc, 4);
	}
	if (u == '"' || u == '\\' || u == '\n' || u == '\r' || u == '\t') {
		esc[0] = '\\';
		esc[1] = (char)(u == '\n' ? 'n' : u == '\r' ? 'r' : u == '\t' ? 't' : u);
		return slice_of(esc, 2);
	}
	if (u < ' ' || u == 0x7f || c1) {
		unsigned char code = c1 ? (unsigned char)s.p[1] : u;
		memcpy(esc, (char[]){ '\\', 'u', '0', '0', hex[code >> 4], hex[code & 15] }, 6);
		return slice_of(esc, 6);
	}
	return slice_of(s.p, n);
}

/* Bytes that stand for themselves: in a value without quotes, or in one between quotes. */
enum { BARE = 1, QUOTED = 2 };
static const unsigned char stands[256] = {
	[' '] = QUOTED,
	['!'] = BARE | QUOTED, /* not '"' */
	['#' ... '<'] = BARE | QUOTED,
	['='] = QUOTED,
	['>' ... '['] = BARE | QUOTED, /* not '\\' */
	[']' ... '~'] = BARE | QUOTED,
};

static bool
is_bare(struct slice s)
{
	unsigned all = s.n ? BARE : 0;

	for (size_t i = 0; i < s.n; i++)
		all &= stands[(unsigned char)s.p[i]];
	return all;
}

/* How many, from the start of s. */
static size_t
quoted_run(struct slice s)
{
	size_t n = 0;

	while (n < s.n && stands[(unsigned char)s.p[n]] & QUOTED)
		n++;
	return n;
}

/* A quoted value. One value never takes more than half of what is left: a long one does not push out those behind it. */
static void
put_text(struct line *l, struct slice s, bool json)
{
	size_t limit = l->n + room(l) / 2;
	char esc[6];
	size_t used;

	if (!json && s.n < limit - l->n && is_bare(s)) {
		put(l, s.p, s.n);
		return;
	}
	if (!put(l, "\"", 1))
		return;
	for (; s.n; s = slice_of(s.p + used, s.n - used)) {
		struct slice c = { s.p, quoted_run(s) };
		used = c.n;
		if (c.n == 0) {
			c = escape(s, json, esc, &used);
		} else if (l->n + c.n > limit && l->n < limit) {
			c.n = limit - l->n;
			used = c.n;
		}
		if (l->n + c.n > limit) {
			put(l, "…", strlen("…"));
			break;
		}
		put(l, c.p, c.n);
	}
	put(l, "\"", 1);
}

static void
put_value(struct line *l, const struct log_field *f, bool json)
{
	switch (f->kind) {
	case LOG_KIND_SLICE:
		put_text(l, f->s, json);
		break;
	case LOG_KIND_INT:
		put_uint(l, f->i < 0 ? -(uint64_t)f->i : (uint64_t)f->i, f->i < 0);
		break;
	case LOG_KIND_UINT:
		put_uint(l, (uint64_t)f->i, false);
		break;
	case LOG_KIND_BOOL:
		put_str(l, f->i ? "true" : "false");
		break;
	case LOG_KIND_SECRET: {
		static const char hex[] = "0123456789abcdef";
		unsigned char digest[SHA256_DIGEST_LENGTH];
		char text[8];
		SHA256_CTX sha;
		SHA256_Init(&sha);
		SHA256_Update(&sha, f->s.p, f->s.n);
		SHA256_Final(digest, &sha);
		for (size_t i = 0; i < sizeof(text); i += 2) {
			text[i] = hex[digest[i / 2] >> 4];
			text[i + 1] = hex[digest[i / 2] & 15];
		}
		put_text(l, slice_of(text, sizeof(text)), json);
		break;
	}
	case LOG_KIND_ERRNO: {
		const char *text = f->i >= 0 && f->i <= 4095 ? strerrordesc_np((int)f->i) : NULL;
		put_text(l, slice_str(text ? text : "unknown error"), json);
		break;
	}
	}
}

/* The smallest room in which a field is begun: its key, and a value that is worth reading. */
#define FIELD_ROOM 96

static void
put_field(struct line *l, const struct log_field *f, bool json)
{
	bool text = f->kind == LOG_KIND_SLICE || f->kind == LOG_KIND_SECRET;
	const struct slice key = slice_str(f->key);

	if ((text && !f->s.p) || room(l) < key.n + FIELD_ROOM)
		return;
	put_str(l, json ? ",\"" : " ");
	put(l, key.p, key.n);
	put_str(l, json ? "\":" : "=");
	put_value(l, f, json);
}

static void
put_time(struct line *l)
{
	struct timespec t;
	char text[CLOCK_TEXT_BYTES];
	long ms;

	clock_gettime(CLOCK_REALTIME, &t);
	ms = t.tv_nsec / 1000000;
	clock_format(t.tv_sec, text);
	put(l, text, 19);
	put(l, (char[]){ '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z' }, 5);
}

static void
put_head_json(struct line *l, enum log_level level, const char *program, const char *msg)
{
	put_str(l, "{\"time\":\"");
	put_time(l);
	put_str(l, "\",\"level\":\"");
	put_str(l, level_words[level]);
	put_str(l, "\",\"msg\":");
	put_text(l, slice_str(msg), true);
	if (program) {
		put_str(l, ",\"program\":");
		put_text(l, slice_str(program), true);
		put_str(l, ",\"pid\":");
		put_uint(l, (uint64_t)atomic_load_explicit(&log_pid, memory_order_relaxed), false);
	}
}

static void
put_head_text(struct line *l, enum log_level level, const char *program, const char *msg)
{
	put_time(l);
	put_str(l, " ");
	put_str(l, level_words[level]);
	if (program) {
		put_str(l, " ");
		put_str(l, program);
		put_str(l, "[");
		put_uint(l, (uint64_t)atomic_load_explicit(&log_pid, memory_order_relaxed), false);
		put_str(l, "]");
	}
	put_str(l, " msg=");
	put_text(l, slice_str(msg), false);
}

static void
build(struct line *l, enum log_level level, const char *msg, const struct log_field *fields)
{
	bool json = atomic_load_explicit(&log_format, memory_order_relaxed) == LOG_FORMAT_JSON;
	const char *program = atomic_load_explicit(&log_program, memory_order_relaxed);

	l->n = 0;
	if (json)
		put_head_json(l, level, program, msg);
	else
		put_head_text(l, level, program, msg);
	const struct excluded *excluded = atomic_load(&log_excluded);
	for (; fields->key; fields++)
		if (!is_excluded(excluded, fields->key))
			put_field(l, fields, json);
	close_with(l, json ? "}\n" : "\n");
}

static void
write_line(const struct line *l)
{
	ssize_t written;

	do
		written = write(atomic_load(&log_fd), l->text, l->n);
	while (written < 0 && errno == EINTR);
	if (written != (ssize_t)l->n)
		atomic_fetch_add(&log_lost, 1);
}

void
log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
	int saved = errno;
	struct line l;

	if (level < log_level_get())
		return;
	build(&l, level, msg, fields);
	if (log_sink)
		log_sink(log_sink_arg, level, slice_of(l.text, l.n));
	else
		write_line(&l);
	errno = saved;
}

void
log_write_direct(enum log_level level, const char *msg, const struct log_field *fields)
{
	int saved = errno;
	struct line l;

	if (level < log_level_get())
		return;
	build(&l, level, msg, fields);
	write_line(&l);
	errno = saved;
}
