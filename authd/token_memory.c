#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "authd/token_memory.h"

#define LOCKS 64 /* of every 64th set each */

struct remembered {
	unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES];
	size_t n;
	char value[];
};
struct token_memory {
	pthread_mutex_t locks[LOCKS];
	unsigned char next[TOKEN_MEMORY_SETS]; /* way to take next, in turn */
	struct remembered *ways[TOKEN_MEMORY_SETS][TOKEN_MEMORY_WAYS];
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
	if (!m)
		return;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&m->locks[i]);
	for (size_t set = 0; set < TOKEN_MEMORY_SETS; set++)
		for (size_t way = 0; way < TOKEN_MEMORY_WAYS; way++)
			free(m->ways[set][way]);
	free(m);
}

static const struct remembered *
find(const struct token_memory *m, size_t set, const unsigned char *digest)
{
	for (size_t way = 0; way < TOKEN_MEMORY_WAYS; way++)
		if (m->ways[set][way] && memcmp(m->ways[set][way]->digest, digest, TOKEN_MEMORY_DIGEST_BYTES) == 0)
			return m->ways[set][way];
	return NULL;
}

struct slice
token_memory_get(struct token_memory *m, const unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES], struct arena *arena)
{
	struct slice value = SLICE_NONE;
	size_t set = set_of(digest);

	if (!m)
		return SLICE_NONE;
	pthread_mutex_lock(&m->locks[set % LOCKS]);
	const struct remembered *known = find(m, set, digest);
	if (known)
		value = arena_slice(arena, slice_of(known->value, known->n));
	pthread_mutex_unlock(&m->locks[set % LOCKS]);
	return value;
}

void
token_memory_put(struct token_memory *m, const unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES], struct slice value)
{
	size_t set = set_of(digest);
	struct remembered *fresh = m && value.n <= TOKEN_MEMORY_VALUE_BYTES_MAX ? malloc(sizeof(*fresh) + value.n) : NULL;

	if (!fresh)
		return;
	memcpy(fresh->digest, digest, sizeof(fresh->digest));
	memcpy(fresh->value, value.p, value.n);
	fresh->n = value.n;
	pthread_mutex_lock(&m->locks[set % LOCKS]);
	struct remembered *gone = fresh;
	if (!find(m, set, digest)) {
		gone = m->ways[set][m->next[set]];
		m->ways[set][m->next[set]] = fresh;
		m->next[set] = (unsigned char)((m->next[set] + 1) % TOKEN_MEMORY_WAYS);
	}
	pthread_mutex_unlock(&m->locks[set % LOCKS]);
	free(gone);
}
