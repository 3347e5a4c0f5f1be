/* strict_json.h - foreign JSON (RFC 8259), read once and without leniency, into jansson's values.
 *
 * Refused: duplicate names, nesting over STRICT_JSON_DEPTH_MAX, anything but one object at the top, byte order mark, trailing bytes, NUL (raw or \u0000), lone surrogates, invalid
 * UTF-8, integers past 64 bits, numbers that no double holds. jansson's own parser takes four times as long for a token's claims, nests 2,048 deep, and leaves out a byte of a string
 * for which there is no memory and goes on: "issuer.example" was read as "issuerexample". */
#ifndef OIDC_STRICT_JSON_H
#define OIDC_STRICT_JSON_H

#include <jansson.h>
#include "shared/err.h"
#include "shared/slice.h"

#define STRICT_JSON_DEPTH_MAX 16

/* Seed of jansson's hash tables, to be called once at start-up with randomness: without it jansson opens /dev/urandom at the first
 * object, which a sandboxed process may not do. A seed of 0 counts as 1. */
void strict_json_seed(uint32_t seed);

/* Parse one object. *out is the caller's (json_decref). E_FORMAT; E_NOMEM. Thread-safe. */
MUST_CHECK enum err strict_json_parse(struct slice text, json_t **out);

/* A string's bytes; .p NULL when v is NULL or no string. Lives as long as v. */
struct slice strict_json_string(const json_t *v);
/* An integer within min..max; false for anything else, reals like 1.0 and 1E10 included. */
bool strict_json_integer(const json_t *v, int64_t min, int64_t max, int64_t *out);

#endif
