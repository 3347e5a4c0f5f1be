/* console.h - what the console's pages share. */
#ifndef AUTHD_CONSOLE_H
#define AUTHD_CONSOLE_H

#include "authd/session.h"

#define CONSOLE_PATH "/console/"
#define CONSOLE_SESSIONS_PATH CONSOLE_PATH "sessions"
#define CONSOLE_APPLICATIONS_PATH CONSOLE_PATH "applications"

struct page;

/* In the arena; the default one first. */
struct console_clusters {
	const char **names;
	size_t n;
	bool told; /* by proxyd: these are the ones that the person may use */
};
/* False: no memory. */
bool console_clusters_of(struct request *r, struct console_clusters *out);
void console_clusters_add(struct page *p, const struct console_clusters *c);

/* The session, or the way to get one. False: r has been answered. */
bool console_session_needed(struct request *r, struct session *s);
/* The same, and what read finds in the store for a page of that person's; arg is read's. False: r has been answered. */
struct store_txn;
bool console_read(struct request *r, struct session *s, enum err (*read)(struct store_txn *t, void *arg), void *arg);

#endif
