/* admin.h - what `authd ctl` may ask over the control socket: paths, parameters, answers. Handlers of that socket alone, whose peers are root and ourselves
 * (server_exchange.c); one that takes a while delays only other administrators.
 *
 * Requests are forms; a list is one value with a line feed between its items. Answers are JSON objects: of a list {"items": […], "after": "where to go on"}, without
 * "after" at its end; of an error {"error": "what, and what to do"}. Times are RFC 3339 text or null. */
#ifndef AUTHD_ADMIN_H
#define AUTHD_ADMIN_H

#include "authd/app.h"
#include "authd/routes.h"

#define CTL_PATH "/internal/ctl"

/* ---- answers ---- */

/* body is taken. */
void admin_send(struct request *r, int status, struct buf *body);
void admin_refuse(struct request *r, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* 503: the store could not, and why. */
void admin_refuse_store(struct request *r, enum err e);

/* Members of an object that has begun: ,"name":value. */
void admin_add_text(struct buf *b, const char *name, struct slice value);
void admin_add_bool(struct buf *b, const char *name, bool value);
void admin_add_time(struct buf *b, const char *name, int64_t at_s); /* 0: null */
void admin_add_texts(struct buf *b, const char *name, const struct slice *items, size_t n);
void admin_add_strings(struct buf *b, const char *name, const struct config_strings *list);

/* ---- requests ---- */

/* The form of a POST, or the query of a GET; a parameter that comes twice is refused. NULL: r has been answered. */
struct form *admin_form(struct request *r);
/* Items of a list, in the arena. E_FORMAT: an empty item; E_LIMIT: more than RECORD_LIST_MAX; E_NOMEM. */
MUST_CHECK enum err admin_list(struct arena *arena, struct slice value, struct record_strings *out);

/* ---- pages of a long list ---- */

#define ADMIN_PAGE_BYTES 262144    /* of an answer, more or less */
#define ADMIN_PAGE_RECORDS 5000    /* looked at for one answer: about 15 ms */

struct admin_page {
	struct request *r;
	struct buf body;       /* "{"items":[" and what was added */
	struct arena scratch;  /* of the record that is being looked at */
	size_t looked;
	bool full;             /* visit says so: look no further */
	bool more;             /* result: there are records behind `after` */
	struct slice after;    /* key that was looked at last, in the request's arena */
	/* Looks at one record; adds "{…}" by way of admin_page_item. Returns OK; an error ends the list. */
	enum err (*visit)(struct admin_page *p, struct slice key, const void *record);
	void *arg;
};
/* Begins; false: "after" makes no sense, and r has been answered. */
bool admin_page_begin(struct admin_page *p, struct request *r, const struct form *form);
/* A comma where one is due. */
struct buf *admin_page_item(struct admin_page *p);
/* Runs visit over a kind from `after` on, until the page is full. */
MUST_CHECK enum err admin_page_run(struct admin_page *p, enum record_kind kind);
/* ,"after":"…", if there is more. */
void admin_page_add_after(const struct admin_page *p, struct buf *b);
/* Sends it, or what went wrong; or only ends it. */
void admin_page_send(struct admin_page *p, enum err e);
void admin_page_fini(struct admin_page *p);

#endif
