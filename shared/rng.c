#include <errno.h>
#include <sys/random.h>
#include "shared/rng.h"

static enum err
system_fill(const struct rng *r, void *out, size_t n)
{
	char *p = out;

	(void)r;
	while (n) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return E_SYSTEM;
		p += got;
		n -= (size_t)got;
	}
	return OK;
}

const struct rng rng_system = { system_fill };
