/* vault.h - secrets of stored records, sealed under the key of storage.config.keyFile: AES-256-GCM (NIST SP 800-38D).
 *
 * Each record has a key of its own, derived from the file's and the record's kind and key: so what is sealed cannot be moved to another record, and the
 * random nonces of one key are as few as the writes of one record. */
#ifndef AUTHD_VAULT_H
#define AUTHD_VAULT_H

#include "shared/arena.h"
#include "shared/buf.h"
#include "shared/rng.h"

#define VAULT_KEY_BYTES 32
#define VAULT_KEYS_MAX 4       /* the one that seals, and earlier ones */
#define VAULT_ID_BYTES 17      /* 16 hexadecimal digits and a NUL */
#define VAULT_OVERHEAD_BYTES 28 /* nonce, tag */

struct vault_key {
	unsigned char bytes[VAULT_KEY_BYTES];
	char id[VAULT_ID_BYTES]; /* of its hash: says which key, and nothing about it */
};
struct vault_keys {
	struct vault_key items[VAULT_KEYS_MAX];
	size_t n;
};

/* What a key file holds: 32 bytes, or lines of base64 of 32 bytes. The first key seals; those behind it are what a store may be sealed under still.
 * *why: static text of what was expected. E_FORMAT; E_NOMEM: no digest. The caller wipes *out, also after an error. */
MUST_CHECK enum err vault_keys_parse(struct slice file, struct vault_keys *out, const char **why);
/* By id; NULL: none of them. */
const struct vault_key *vault_keys_find(const struct vault_keys *keys, struct slice id);

struct vault;
/* NULL: no memory. rng: kept. */
struct vault *vault_new(const struct vault_key *key, const struct rng *rng);
void vault_free(struct vault *v);
const char *vault_id(const struct vault *v);

/* The secrets of one record. vault NULL: nothing is sealed. kind and key: what the record's own key is derived from; key is borrowed. */
struct vault_box {
	const struct vault *vault;
	unsigned char kind;
	struct slice key;
	bool derived;
	unsigned char bytes[VAULT_KEY_BYTES];
};
static inline struct vault_box
vault_box(const struct vault *v, unsigned char kind, struct slice key)
{
	return (struct vault_box){ .vault = v, .kind = kind, .key = key };
}
/* Wipes. */
void vault_box_fini(struct vault_box *b);
/* Append nonce, ciphertext and tag of a field's value. A failure is out's (buf_ok). */
void vault_box_seal(struct vault_box *b, unsigned field, struct slice value, struct buf *out);
/* The value, in arena. E_FORMAT: not sealed by this key for this field of this record, or damaged; E_NOMEM. */
MUST_CHECK enum err vault_box_open(struct vault_box *b, unsigned field, struct slice sealed, struct arena *arena, struct slice *value);

#endif
