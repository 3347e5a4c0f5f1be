/* credentials.h - the bearer tokens of clusters whose kubeconfig names a tokenFile: kubelets replace the file long before its token expires.
 *
 * Master's, for workers may open no file: it looks at the files, keeps the last good token, in the configuration too, so that a worker started later has it, and hands what is
 * new to those that run.  Owns: the tokens' newest text. */
#ifndef PROXYD_CREDENTIALS_H
#define PROXYD_CREDENTIALS_H

#include "proxyd/config.h"

#define CREDENTIALS_LOOK_MS 5000

struct credentials;

/* config: with the tokens that were read with it; it outlives this, and its clusters' target.token changes. NULL: out of memory. */
struct credentials *credentials_new(struct proxyd_config *config);
void credentials_free(struct credentials *c);
/* There are token files to look at. */
bool credentials_any(const struct credentials *c);
/* Look at each file; changed is called for a token that is another than before. What cannot be read, or is no token, is said once and leaves the last good one. */
void credentials_look(struct credentials *c, void (*changed)(void *arg, size_t cluster, struct slice token), void *arg);

/* A token as a descriptor that can be passed on: a sealed memfd, the caller's. E_SYSTEM (errno). */
MUST_CHECK enum err credentials_wrap(struct slice token, int *fd);
/* The other side: append it to *out. fd stays the caller's. E_FORMAT: it is none; E_SYSTEM, E_NOMEM. */
MUST_CHECK enum err credentials_unwrap(int fd, struct buf *out);

#endif
