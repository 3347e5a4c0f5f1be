/* impersonate.h - an identity as prepared Impersonate-* header lines (Kubernetes, User impersonation). */
#ifndef PROXYD_IMPERSONATE_H
#define PROXYD_IMPERSONATE_H

#include "oidc/identity.h"
#include "shared/buf.h"

/* Append Impersonate-User, one Impersonate-Group per group and system:authenticated, Impersonate-Uid, Impersonate-Extra-*. (Not to those who ask to be in
 * system:unauthenticated, where system:anonymous belongs: people try with --as what strangers may do.)
 * Fails closed: E_FORMAT when any value is not identity_value_ok or the user name is empty; E_LIMIT. Nothing is appended then. */
MUST_CHECK enum err impersonate_block(const struct identity *id, struct buf *out);
/* The same as X-Remote-*, for backends that trust an authenticating proxy as kube-apiserver does (--requestheader-*). */
MUST_CHECK enum err impersonate_remote_block(const struct identity *id, struct buf *out);

/* An extra's key that arrives as it was: not empty, no control characters, no capitals (it travels in a header's name, where case is lost). */
bool impersonate_extra_key_ok(struct slice key);
/* Keys below "gatehouse/" say what the gateway knows of a caller; nobody else gets to write them. */
#define IMPERSONATE_OUR_EXTRA "gatehouse/"
bool impersonate_extra_key_is_ours(struct slice key);

#endif
