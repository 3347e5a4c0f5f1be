/* logs.h - master's side of logging: opens the files, keeps a logger alive, gives each child its pipes.
 *
 * Owns: the logger's process, the open files, the read end of every pipe for as long as its writer lives. A logger that dies loses nothing but what it had read:
 * the next one goes on with the same pipes. Master writes into a pipe as well. */
#ifndef PROXYD_LOGS_H
#define PROXYD_LOGS_H

#include <sys/types.h>
#include "proxyd/config.h"
#include "proxyd/logger.h"
#include "shared/loop.h"

struct logs;

/* What a configuration says about logging, with its files open; -1 and NULL: no file. */
struct log_files {
	int fds[LOG_STREAMS];
	const char *paths[LOG_STREAMS]; /* the configuration's */
	enum log_level level;
	enum log_format format;
};
/* Open, creating what is not there. E_SYSTEM with e filled: file, line, key, why. out holds nothing unless OK. */
MUST_CHECK enum err log_files_open(const struct proxyd_config *c, struct log_files *out, struct config_error *e);
void log_files_close(struct log_files *f);

/* Starts the logger; this process logs through it from now on. files are taken; without a log file standard error is used. user: to become, or NULL. forget: as in
 * child_setup. NULL (errno): not started, files are closed. */
struct logs *logs_new(struct loop *loop, const struct clock *clock, struct log_files *files, const char *user, void (*forget)(void *arg), void *arg);
/* Lines go to these files from now on, those of old children too. files are taken. */
void logs_use(struct logs *l, struct log_files *files);
/* Open the same files again (they have been renamed): each that succeeds is used from now on, each that fails is said and stays as it is. */
void logs_reopen(struct logs *l);

/* Write ends for a child that is about to be forked; -1: none. */
struct log_ends {
	int fds[LOG_STREAMS];
};
/* audit: a pipe for audit events, too. E_SYSTEM (errno), E_NOMEM. */
MUST_CHECK enum err logs_pipe(struct logs *l, bool audit, struct log_ends *out);
/* In master after fork: close them. writer: the child; 0: there is none. */
void logs_piped(struct logs *l, struct log_ends *ends, pid_t writer);

/* Master reaped this process. True: it was the logger; another is started. False: it was not; its pipes are let go. */
bool logs_reaped(struct logs *l, pid_t pid, int status);
/* When all others have ended: lets the logger write what has come, for at most LOGS_END_MS. Log lines go to standard error afterwards. */
#define LOGS_END_MS 3000
void logs_free(struct logs *l);

#endif
