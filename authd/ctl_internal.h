/* ctl_internal.h - what the files of `authd ctl` share. Nobody else includes it.
 *
 *   ctl.c          arguments, the table of commands        ctl_call.c      requests over the control socket
 *   ctl_print.c    tables and JSON                         ctl_secret.c    passwords and secrets from a terminal or standard input
 *   ctl_people.c   sessions, users                         ctl_store.c     keys, stats, backup, restore
 *   ctl_clients.c  clients */
#ifndef AUTHD_CTL_INTERNAL_H
#define AUTHD_CTL_INTERNAL_H

#include <stdio.h>
#include "oidc/strict_json.h"
#include "shared/arena.h"
#include "shared/buf.h"
#include "shared/fetch.h"

#define CTL_CONFIG "/etc/gatehouse/authd.yaml"
#define CTL_ARGUMENTS_MAX 256

/* Exit statuses. */
enum { CTL_DONE = 0, CTL_FAILED = 1, CTL_USAGE = 2, CTL_UNREACHABLE = 3 };

struct ctl_option {
	const char *name, *value; /* value NULL: a switch */
};

struct ctl {
	struct arena arena;
	struct fetcher *fetcher;
	const char *config, *socket, *store; /* as given; NULL: not given */
	bool json;
	struct ctl_option options[CTL_ARGUMENTS_MAX]; /* of the command */
	size_t option_n;
	const char *operands[CTL_ARGUMENTS_MAX];
	size_t operand_n;
};

/* ---- arguments ---- */

/* Value of an option; NULL: it was not given. */
const char *ctl_option(const struct ctl *c, const char *name);
bool ctl_switch(const struct ctl *c, const char *name);
/* "authd ctl: …" on the standard error; returns status. */
int ctl_say(int status, const char *fmt, ...) PRINTF_LIKE(2, 3);
int ctl_no_memory(void);
/* The folder of the store, from --store or the configuration. NULL: it was said why not, *status is set. */
const char *ctl_store_folder(struct ctl *c, int *status);

/* ---- requests ---- */

/* "name=value" onto a form; nothing where value is NULL. */
void ctl_form_add(struct buf *form, const char *name, const char *value);
/* All values of an option, as one list. */
void ctl_form_add_list(struct buf *form, const char *name, const struct ctl *c, const char *option);
/* Ask; form NULL: GET, else POST, and it is freed. path may have a query. CTL_DONE: *answer is the caller's. Otherwise it was said why not. */
MUST_CHECK int ctl_call(struct ctl *c, const char *path, struct buf *form, json_t **answer);
/* Each item of a list, page by page. query: without "after"; may be "". each returns CTL_DONE to go on. */
MUST_CHECK int ctl_each(struct ctl *c, const char *path, const char *query, int (*each)(void *arg, const json_t *items), void *arg);

/* ---- output ---- */

struct ctl_column {
	const char *title, *member; /* member NULL ends the table */
};
struct ctl_list {
	struct ctl *c;
	const struct ctl_column *columns;
	size_t widths[16];
	size_t n; /* items printed */
};
/* Begin, print a page (ctl_each's each; arg is the list), end. JSON: one array, an item on each line. */
void ctl_list_begin(struct ctl_list *l, struct ctl *c, const struct ctl_column *columns);
int ctl_list_page(void *list, const json_t *items);
int ctl_list_end(struct ctl_list *l);
/* An object: JSON, or "name  value" lines. */
int ctl_print_object(struct ctl *c, const json_t *object);
/* Whether everything that was printed has arrived. */
int ctl_flush(void);

/* ctl_each, printed. */
int ctl_print_list(struct ctl *c, const char *path, const char *query, const struct ctl_column *columns);

/* ---- ending what people have ---- */

struct ctl_ended {
	long long browser, offline;
};
/* End what a form selects, page by page; *n grows. */
MUST_CHECK int ctl_end_selected(struct ctl *c, const struct buf *form, long long *n);
/* Sessions and refresh tokens that more ("&name=value…") selects. by_client: a browser's session is of none. */
MUST_CHECK int ctl_end_both(struct ctl *c, struct slice more, bool by_client, struct ctl_ended *n);
int ctl_print_ended(struct ctl *c, const struct ctl_ended *n);
/* The operand, as name, is taken away by a POST to path. */
MUST_CHECK int ctl_remove(struct ctl *c, const char *path, const char *name, json_t **answer);

/* ---- secrets ---- */

/* A password: asked for twice at the terminal, or the first line of standard input where that is none. *out lives in the arena. */
MUST_CHECK int ctl_password(struct ctl *c, const char *what, struct slice *out);
/* First line of standard input. */
MUST_CHECK int ctl_line(struct ctl *c, const char *what, struct slice *out);

/* ---- commands ---- */

int ctl_sessions_list(struct ctl *c), ctl_sessions_end(struct ctl *c);
int ctl_clients_list(struct ctl *c), ctl_clients_show(struct ctl *c), ctl_clients_add(struct ctl *c), ctl_clients_set(struct ctl *c), ctl_clients_remove(struct ctl *c);
int ctl_users_list(struct ctl *c), ctl_users_add(struct ctl *c), ctl_users_remove(struct ctl *c), ctl_users_passwd(struct ctl *c);
int ctl_keys_list(struct ctl *c), ctl_keys_rotate(struct ctl *c), ctl_stats(struct ctl *c);
int ctl_backup(struct ctl *c), ctl_restore(struct ctl *c);

#endif
