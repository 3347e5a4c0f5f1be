/* cache.h - tokens kept between runs: one file per issuer, client and scope under $XDG_CACHE_HOME/gatehouse (0700), each 0600,
 * with a lock beside it so that many kubectl at once make one sign-in. */
#ifndef OIDC_LOGIN_CACHE_H
#define OIDC_LOGIN_CACHE_H

#include "shared/arena.h"

struct login_tokens {
	struct slice issuer, client_id, scope;
	struct slice id_token, refresh_token; /* refresh_token empty: none was given */
	int64_t expires_at;                   /* exp of the id_token */
};

struct login_cache {
	char folder[1024];
	char path[1200]; /* of the entry */
	int lock_fd;     /* -1: not locked */
};

/* The entry for issuer, client and scope; makes the folder. why (>= 256 bytes) says what failed and where. */
MUST_CHECK enum err login_cache_open(struct login_cache *c, const char *issuer, const char *client_id, const char *scope, char *why, size_t why_n);
/* Waits until no other process holds the entry. */
MUST_CHECK enum err login_cache_lock(struct login_cache *c, char *why, size_t why_n);
void login_cache_close(struct login_cache *c);

/* E_EMPTY: nothing stored, or what is stored is damaged or not only ours to read (it is then ignored: sign in again). */
MUST_CHECK enum err login_cache_get(const struct login_cache *c, struct arena *arena, struct login_tokens *out);
MUST_CHECK enum err login_cache_put(const struct login_cache *c, const struct login_tokens *t, char *why, size_t why_n);

/* Every stored entry in turn: visit gets its path and tokens. issuer NULL: all. Returns how many were visited. */
size_t login_cache_each(const char *issuer, void (*visit)(void *arg, const char *path, const struct login_tokens *t), void *arg);

#endif
