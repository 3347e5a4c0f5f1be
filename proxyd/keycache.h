/* keycache.h - verified JWK Sets of every issuer, and the sessions that have ended (revoked.h), shared by the keeper (writer) and the workers (readers).
 *
 * Owns: one sealed memfd with two slots and a generation counter. The writer fills the slot that is not current, then makes it current;
 * a reader copies and looks again. Readers bounds-check everything they read. */
#ifndef PROXYD_KEYCACHE_H
#define PROXYD_KEYCACHE_H

#include "oidc/jwk_set.h"
#include "proxyd/revoked.h"
#include "shared/buf.h"

#define KEYCACHE_ISSUERS_MAX 32
#define KEYCACHE_SLOT_BYTES_MAX (1u << 20) /* 32 issuers of at most 32 KiB each */

struct keycache; /* one mapping, either side */

/* Writer: a new memfd, sealed, empty (generation 0). *fd may be sent to others; the caller closes it. */
MUST_CHECK enum err keycache_create(struct keycache **out, int *fd);
/* Reader: maps fd read-only after checking its seals. Does not close fd. */
MUST_CHECK enum err keycache_open(int fd, struct keycache **out);
void keycache_close(struct keycache *kc);

struct keycache_entry {
	struct slice issuer, jwks; /* jwks: the document as fetched, known to parse */
};
/* Writer only. E_LIMIT when it does not fit: the published set stays. */
MUST_CHECK enum err keycache_publish(struct keycache *kc, const struct keycache_entry *entries, size_t n);

/* The section of ended sessions, with a generation of its own. The second is the writer's. */
const struct revoked_region *keycache_revoked(const struct keycache *kc);
struct revoked_region *keycache_revoked_writable(struct keycache *kc);

/* One load; 0: nothing published yet. */
uint64_t keycache_generation(const struct keycache *kc);
/* Copy the newest set into *out (caller-owned; untouched unless OK).
 *   gen  in: generation held; out: generation copied
 * OK, E_AGAIN (already current), E_EMPTY (none published), E_FORMAT (damaged), E_NOMEM. Never blocks. */
MUST_CHECK enum err keycache_snapshot(const struct keycache *kc, uint64_t *gen, struct buf *out);
/* Walk a snapshot: *pos 0 at first. E_EMPTY at the end, E_FORMAT. */
MUST_CHECK enum err keycache_next(struct slice snapshot, size_t *pos, struct keycache_entry *out);

#endif
