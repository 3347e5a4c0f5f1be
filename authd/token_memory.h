/* token_memory.h - what was in the tokens whose signatures have been verified with the present keys, so that one that comes again and again (userinfo,
 * introspection) costs a digest, and neither a signature nor JSON. Kind, times, issuer and what was granted are looked at each time. Thread-safe. */
#ifndef AUTHD_TOKEN_MEMORY_H
#define AUTHD_TOKEN_MEMORY_H

#include "shared/arena.h"

#define TOKEN_MEMORY_SETS 1024
#define TOKEN_MEMORY_WAYS 8               /* 8,192 tokens; past them the oldest of a set goes */
#define TOKEN_MEMORY_DIGEST_BYTES 32
#define TOKEN_MEMORY_VALUE_BYTES_MAX 1024 /* an access token's is 450: about 4 MB when all are there, 9 at the very most */

struct token_memory;

/* NULL: no memory; then nothing is remembered. */
struct token_memory *token_memory_new(void);
void token_memory_free(struct token_memory *m);

/* What was put for a token, copied into arena; .p NULL: nothing, or there is no room for the copy. digest: SHA-256 of the whole token. m NULL: never anything. */
struct slice token_memory_get(struct token_memory *m, const unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES], struct arena *arena);
/* After its signature was verified. What is there already stays; a value that is too long or finds no memory is not remembered. */
void token_memory_put(struct token_memory *m, const unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES], struct slice value);

#endif
