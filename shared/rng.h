/* rng.h - randomness as a parameter. */
#ifndef SHARED_RNG_H
#define SHARED_RNG_H

#include <stddef.h>
#include "shared/err.h"

struct rng {
	enum err (*fill)(const struct rng *r, void *out, size_t n);
};

/* getrandom(2); fails only where the kernel cannot serve it (E_SYSTEM). */
extern const struct rng rng_system;

static inline MUST_CHECK enum err
rng_fill(const struct rng *r, void *out, size_t n)
{
	return r->fill(r, out, n);
}

#endif
