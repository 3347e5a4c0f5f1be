#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "authd/token_memory.h"

#define LOCKS 64 /* of every 64th set each */

struct token_memory {
	pthread_mutex_t locks[LOCKS];
	unsigned char next[TOKEN_MEMORY_SETS]; /* way to take next, in turn */
	unsigned char digests[TOKEN_MEMORY_SETS][TOKEN_MEMORY_WAYS][TOKEN_MEMORY_DIGEST_BYTES]; /* zeros: free. No token is known whose digest that is */
};

static size_t
set_of(const unsigned char *digest)
{
	return ((size_t)digest[0] << 8 | digest[1]) % TOKEN_MEMORY_SETS;
}

struct token_memory *
token_memory_new(void)
{
	struct token_memory *m = calloc(1, sizeof(*m));

	for (size_t i = 0; m && i < LOCKS; i++)
		pthread_mutex_init(&m->locks[i], NULL);
	return m;
}

void
token_memory_free(struct token_memory *m)
{
	for (size_t i = 0; m && i < LOCKS; i++)
		pthread_mutex_destroy(&m->locks[i]);
	free(m);
}

static bool
find(const struct token_memory *m, size_t set, const unsigned char *digest)
{
	for (size_t way = 0; way < TOKEN_MEMORY_WAYS; way++)
		if (memcmp(m->digests[set][way], digest, TOKEN_MEMORY_DIGEST_BYTES) == 0)
			return true;
	return false;
}

bool
token_memory_has(struct token_memory *m, const unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES])
{
	size_t set = set_of(digest);

	if (!m)
		return false;
	pthread_mutex_lock(&m->locks[set % LOCKS]);
	bool found = find(m, set, digest);
	pthread_mutex_unlock(&m->locks[set % LOCKS]);
	return found;
}

void
token_memory_add(struct token_memory *m, const unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES])
{
	size_t set = set_of(digest);

	if (!m)
		return;
	pthread_mutex_lock(&m->locks[set % LOCKS]);
	if (!find(m, set, digest)) {
		memcpy(m->digests[set][m->next[set]], digest, TOKEN_MEMORY_DIGEST_BYTES);
		m->next[set] = (unsigned char)((m->next[set] + 1) % TOKEN_MEMORY_WAYS);
	}
	pthread_mutex_unlock(&m->locks[set % LOCKS]);
}
