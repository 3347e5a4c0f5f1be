/* token_memory.h - which tokens' signatures have been verified with the present keys, so that one that comes again and again (userinfo, introspection) costs a digest
 * and no signature. Times, issuer and what was granted are looked at each time. Thread-safe. */
#ifndef AUTHD_TOKEN_MEMORY_H
#define AUTHD_TOKEN_MEMORY_H

#include <stdbool.h>
#include "shared/slice.h"

#define TOKEN_MEMORY_SETS 2048
#define TOKEN_MEMORY_WAYS 8     /* 16,384 tokens of 32 bytes: 528 KiB; past them the oldest of a set goes */
#define TOKEN_MEMORY_DIGEST_BYTES 32

struct token_memory;

/* NULL: no memory; then nothing is remembered. */
struct token_memory *token_memory_new(void);
void token_memory_free(struct token_memory *m);

/* digest: SHA-256 of the whole token. m NULL: never. */
bool token_memory_has(struct token_memory *m, const unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES]);
/* After its signature was verified. */
void token_memory_add(struct token_memory *m, const unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES]);

#endif
