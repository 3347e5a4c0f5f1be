/* person.h - record_user: made from a local account, copied, compared, and brought up to date with the directory. */
#ifndef AUTHD_PERSON_H
#define AUTHD_PERSON_H

#include "authd/directory.h"
#include "oidc/token_claims.h"

MUST_CHECK enum err person_from_password(struct arena *arena, const struct authd_password *p, struct record_user *out);
MUST_CHECK enum err person_copy(struct arena *arena, const struct record_user *from, struct record_user *to);
/* The same identity: connector and user id. */
bool person_same(const struct record_user *a, const struct record_user *b);

/* Whether the person is still known: the connector is configured and, for local passwords, there still is an account, whose present groups, names and
 * address are then taken over. OK; E_DENIED: no longer; E_NOMEM, E_SYSTEM, E_FORMAT: the store could not tell. */
MUST_CHECK enum err person_refresh(const struct directory *d, struct record_user *user);

/* As claims print it: the groups that the client wants, its own claims. client NULL: the issuer itself. Borrows from user and client; lists are in the arena. */
MUST_CHECK enum err person_claims(struct arena *arena, const struct client *client, const struct record_user *user, struct token_person *out);
/* The sub that the client knows the person by, in the arena. .p NULL: no memory. */
struct slice person_subject(struct arena *arena, const struct client *client, const struct record_user *user);
/* Whether some client knows the person by this sub. */
bool person_has_subject(struct arena *arena, const struct record_user *user, struct slice sub);
/* "alice@example.com", else the user name: for pages and logs. */
struct slice person_label(const struct record_user *user);

#endif
