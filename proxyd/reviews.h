/* reviews.h - the clients that ask clusters, and what their answers do: one for tokens, one for `--as`. */
#ifndef PROXYD_REVIEWS_H
#define PROXYD_REVIEWS_H

#include "proxyd/gateway.h"
#include "shared/err.h"

/* As the configuration wants them; g's loop, authenticator and configuration are there. E_NOMEM; reviews_fini in either case. */
MUST_CHECK enum err reviews_init(struct gateway *g);
/* Nobody may be waiting. */
void reviews_fini(struct gateway *g);

#endif
