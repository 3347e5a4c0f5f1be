/* directory.h - clients and people with a local password: those of the configuration first, then those that `authd ctl` stored. What the
 * configuration has wins; the store is asked only for what it lacks. */
#ifndef AUTHD_DIRECTORY_H
#define AUTHD_DIRECTORY_H

#include "authd/app.h"

/* Where to look. Inside a store's read or write txn is set, elsewhere store. What is found in the store lives in arena. */
struct directory {
	const struct generation *generation;
	struct store *store;
	struct store_txn *txn;
	struct arena *arena;
};
static inline struct directory
directory_of(struct request *r)
{
	return (struct directory){ .generation = r->generation, .store = r->app->store, .arena = &r->arena };
}
static inline struct directory
directory_in(const struct generation *g, struct store_txn *t, struct arena *arena)
{
	return (struct directory){ .generation = g, .txn = t, .arena = arena };
}

/* E_EMPTY: there is none; E_NOMEM, E_SYSTEM, E_FORMAT: the store could not tell. */
MUST_CHECK enum err directory_client(const struct directory *d, struct slice id, const struct client **out);
/* Whether this is the client's secret. Never for a client without one. */
bool directory_secret_ok(const struct client *c, struct slice secret);

/* Somebody with a local password, by user id; by what they type: a mail address, or a user name that only one person has. Errors as above. */
MUST_CHECK enum err directory_account(const struct directory *d, struct slice user_id, const struct authd_password **out);
MUST_CHECK enum err directory_account_by_login(const struct directory *d, struct slice login, const struct authd_password **out);

/* Keys of RECORD_ACCOUNT_NAME, in the arena. .p NULL: no memory. */
struct slice directory_email_key(struct arena *arena, struct slice email);
struct slice directory_username_key(struct arena *arena, struct slice username);

/* As the rest of authd knows them, in the arena. */
MUST_CHECK enum err directory_client_of(struct arena *arena, struct slice id, const struct record_client *r, const struct client **out);
/* The other way round, all but the secret's hash and the times. In the arena. */
MUST_CHECK enum err directory_client_record(struct arena *arena, const struct client *c, struct record_client *r);
MUST_CHECK enum err directory_account_of(struct arena *arena, struct slice user_id, const struct record_account *r, const struct authd_password **out);

/* What clients, configured and stored, want of the signing keys: the algorithms that they ask for by themselves (KEYS_ALGs), the longest life of a token. */
struct directory_needs {
	unsigned algs;
	int64_t tokens_s;
};
MUST_CHECK enum err directory_needs(const struct directory *d, struct directory_needs *out);
void directory_needs_add(struct directory_needs *n, const struct client *c);

/* Highest bcrypt cost of anybody's hash, for password_pool_set_cost: an unknown person costs as much. */
unsigned directory_password_cost(const struct directory *d);

#endif
