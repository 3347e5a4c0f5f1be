/* listeners.h - the listening sockets of one configuration. Master opens them, children inherit them.
 *
 * A socket whose address stays the same through a reload is kept: what waits in its accept queue is served by the new workers. Two sets may
 * share sockets, so a set is closed with respect to the set that goes on. New sockets are bound at once, which shows whether they can be had, and listen when their
 * configuration is about to serve: one that never does has taken no connection. */
#ifndef PROXYD_LISTENERS_H
#define PROXYD_LISTENERS_H

#include "proxyd/config.h"
#include "shared/buf.h"

struct listener {
	struct address configured, bound; /* differ where port 0 asked for a free one */
	int fd;
	bool listening;
};
struct listeners {
	struct listener items[PROXYD_LISTENERS_MAX + 1]; /* config->listen in order, then the admin address if there is one */
	size_t n;
	bool admin;
	bool inherited; /* others opened them, so which address was asked for is not known: port 0 is any port of that address */
};

/* Bind what c wants, taking over from old (may be NULL) what has the same configured address, or if inherited the same bound one. An address that overlaps with one of old's ("127.0.0.1:443" with
 * "0.0.0.0:443") is shared with it until one of the two sets is closed. *out is untouched and nothing is left open unless OK. E_SYSTEM with e filled: file, line, key,
 * why ("Address already in use"). */
MUST_CHECK enum err listeners_open(const struct proxyd_config *c, const struct listeners *old, struct listeners *out, struct config_error *e);
/* Listen on those that do not yet. E_SYSTEM as above. */
MUST_CHECK enum err listeners_listen(struct listeners *l, const struct proxyd_config *c, struct config_error *e);
/* Close those that kept (may be NULL) does not have; l is empty afterwards. */
void listeners_close(struct listeners *l, const struct listeners *kept);
/* -1: no admin address. */
int listeners_admin_fd(const struct listeners *l);
/* "127.0.0.1:8443,[::1]:8443": as bound, without the admin address. */
void listeners_print(const struct listeners *l, struct buf *out);

#endif
