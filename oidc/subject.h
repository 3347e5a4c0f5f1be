/* subject.h - dex's `sub`: base64url(protobuf{1: user_id, 2: connector_id}), byte-identical, so that RBAC bindings survive the move. */
#ifndef OIDC_SUBJECT_H
#define OIDC_SUBJECT_H

#include "shared/buf.h"

void subject_add(struct buf *out, struct slice user_id, struct slice connector_id);
/* Slices in arena. E_FORMAT. */
struct arena;
MUST_CHECK enum err subject_parse(struct slice sub, struct arena *arena, struct slice *user_id, struct slice *connector_id);

#endif
