/* log.h - structured log lines, text or JSON, one write(2) per line. Thread-safe; usable after fork.
 *
 *   log_info("login", LOG_STR("connector", id), LOG_INT("status", 200), LOG_REQ(request_id));
 *   {"time":"2026-01-02T03:04:05.678Z","level":"info","msg":"login","connector":"github","status":200,"request_id":"…"}
 *
 * Values are typed. There is deliberately no way to log a secret by type: LOG_SECRET takes the value and prints only
 * the first 8 hex digits of its SHA-256, so that two lines can be matched and nothing can be used. */
#ifndef SHARED_LOG_H
#define SHARED_LOG_H

#include "shared/err.h"
#include "shared/slice.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum log_kind { LOG_KIND_SLICE, LOG_KIND_INT, LOG_KIND_UINT, LOG_KIND_BOOL, LOG_KIND_SECRET, LOG_KIND_ERRNO };
struct log_field {
	const char *key; /* NULL ends the list; a field whose string value is NULL is left out */
	enum log_kind kind;
	struct slice s;
	int64_t i;
};
#define LOG_SLICE(k, v) ((struct log_field){ (k), LOG_KIND_SLICE, (v), 0 })
#define LOG_STR(k, v) ((struct log_field){ (k), LOG_KIND_SLICE, slice_str(v), 0 })
#define LOG_INT(k, v) ((struct log_field){ (k), LOG_KIND_INT, SLICE_NONE, (int64_t)(v) })
#define LOG_UINT(k, v) ((struct log_field){ (k), LOG_KIND_UINT, SLICE_NONE, (int64_t)(v) })
#define LOG_BOOL(k, v) ((struct log_field){ (k), LOG_KIND_BOOL, SLICE_NONE, (v) ? 1 : 0 })
#define LOG_SECRET(k, v) ((struct log_field){ (k), LOG_KIND_SECRET, (v), 0 })
/* "error":"Permission denied" from an errno value. */
#define LOG_ERRNO(v) ((struct log_field){ "error", LOG_KIND_ERRNO, SLICE_NONE, (v) })
#define LOG_REQ(id) ((struct log_field){ "request_id", LOG_KIND_SLICE, slice_str(id), 0 })

/* Process-wide settings. program: static string ("authd"), printed as "program" with the pid.
 * fd: where lines go (default 2); not closed. The pid is looked up here: a forked child calls it again. */
void log_setup(const char *program, int fd, enum log_level least, enum log_format format);
void log_set_fd(int fd);
/* Lines, whole and with their line feed, go to take instead of the descriptor; NULL: to the descriptor again. For processes with one thread.
 * take must not log. */
void log_set_sink(void (*take)(void *arg, enum log_level level, struct slice line), void *arg);
void log_set_level(enum log_level least);
/* Fields of these keys are left out of every line from now on. Copied. Any thread; E_NOMEM: as before. */
MUST_CHECK enum err log_exclude(const char *const *keys, size_t n);
enum log_level log_level_get(void);

/* fields: ended by a key of NULL. Control bytes and invalid UTF-8 in values are escaped; a line is at most
 * LOG_LINE_BYTES_MAX, longer values are cut with "…". Never fails loudly: a line that cannot be written is counted. */
#define LOG_LINE_BYTES_MAX 8192
void log_write(enum log_level level, const char *msg, const struct log_field *fields);
/* To the descriptor whatever the sink, and neither allocating nor locking: for a signal's handler. In a process with a sink it may come before lines that are held back. */
void log_write_direct(enum log_level level, const char *msg, const struct log_field *fields);
uint64_t log_lines_lost(void);
#define LOG_AT(level, msg, ...) log_write((level), (msg), (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ) { NULL, LOG_KIND_INT, { NULL, 0 }, 0 } })
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
