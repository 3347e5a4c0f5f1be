#include <stdlib.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "authd/vault.h"

#define NONCE_BYTES 12
#define TAG_BYTES 16
_Static_assert(NONCE_BYTES + TAG_BYTES == VAULT_OVERHEAD_BYTES, "what sealing adds");

struct vault {
	const struct rng *rng;
	EVP_CIPHER *cipher;
	EVP_MAC_CTX *mac; /* keyed; copied for each use */
	char id[VAULT_ID_BYTES];
};

/* ---- key files ---- */

static bool
set_id(struct vault_key *k)
{
	static const char label[] = "gatehouse key id";
	unsigned char text[sizeof(label) + VAULT_KEY_BYTES], digest[EVP_MAX_MD_SIZE];
	bool ok;

	memcpy(text, label, sizeof(label));
	memcpy(text + sizeof(label), k->bytes, VAULT_KEY_BYTES);
	ok = EVP_Digest(text, sizeof(text), digest, NULL, EVP_sha256(), NULL) == 1;
	OPENSSL_cleanse(text, sizeof(text));
	for (size_t i = 0; i < (VAULT_ID_BYTES - 1) / 2; i++) {
		k->id[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		k->id[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	k->id[VAULT_ID_BYTES - 1] = '\0';
	return ok;
}

static int
digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Either alphabet, with or without its padding: 43 digits and perhaps "=". Time depends on the length alone. */
static bool
from_base64(struct slice line, unsigned char out[VAULT_KEY_BYTES])
{
	unsigned bits = 0, held = 0, bad = 0;
	size_t n = 0;

	if (line.n == 44 && line.p[43] == '=')
		line.n--;
	if (line.n != 43)
		return false;
	for (size_t i = 0; i < 43; i++) {
		int d = digit(line.p[i]);
		bad |= d < 0;
		bits = bits << 6 | (unsigned)(d & 63);
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[n++] = (unsigned char)(bits >> held);
			bits &= (1u << held) - 1;
		}
	}
	return !bad && bits == 0;
}

enum err
vault_keys_parse(struct slice file, struct vault_keys *out, const char **why)
{
	*out = (struct vault_keys){ .n = 0 };
	*why = "32 random bytes, or their base64 (openssl rand -base64 32); one key a line, the one to use first";
	if (file.n == VAULT_KEY_BYTES) {
		memcpy(out->items[0].bytes, file.p, VAULT_KEY_BYTES);
		out->n = 1;
		return set_id(&out->items[0]) ? OK : E_NOMEM;
	}
	while (file.n) {
		struct slice line = slice_cut(&file, '\n');
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (slice_trim(line).n == 0)
			continue;
		if (out->n == VAULT_KEYS_MAX) {
			*why = "at most 4 keys";
			return E_FORMAT;
		}
		if (!from_base64(slice_trim(line), out->items[out->n].bytes))
			return E_FORMAT;
		if (!set_id(&out->items[out->n]))
			return E_NOMEM;
		out->n++;
	}
	return out->n ? OK : E_FORMAT;
}

const struct vault_key *
vault_keys_find(const struct vault_keys *keys, struct slice id)
{
	for (size_t i = 0; keys && i < keys->n; i++)
		if (slice_eq_str(id, keys->items[i].id))
			return &keys->items[i];
	return NULL;
}

/* ---- the vault ---- */

static EVP_MAC_CTX *
keyed_mac(const struct vault_key *key)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end() };
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = hmac ? EVP_MAC_CTX_new(hmac) : NULL;

	EVP_MAC_free(hmac);
	if (ctx && EVP_MAC_init(ctx, key->bytes, VAULT_KEY_BYTES, params) == 1)
		return ctx;
	EVP_MAC_CTX_free(ctx);
	return NULL;
}

struct vault *
vault_new(const struct vault_key *key, const struct rng *rng)
{
	struct vault *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->rng = rng;
	v->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	v->mac = keyed_mac(key);
	memcpy(v->id, key->id, sizeof(v->id));
	if (v->cipher && v->mac)
		return v;
	vault_free(v);
	return NULL;
}

void
vault_free(struct vault *v)
{
	if (!v)
		return;
	EVP_CIPHER_free(v->cipher);
	EVP_MAC_CTX_free(v->mac); /* wipes */
	free(v);
}

const char *
vault_id(const struct vault *v)
{
	return v->id;
}

/* ---- a record's secrets ---- */

void
vault_box_fini(struct vault_box *b)
{
	OPENSSL_cleanse(b->bytes, sizeof(b->bytes));
	b->derived = false;
}

/* HMAC(file's key, label, kind, record's key): RFC 5869's expansion to one block, by a key that is random already. */
static bool
derive(struct vault_box *b)
{
	static const char label[] = "gatehouse record";
	EVP_MAC_CTX *ctx = b->derived ? NULL : EVP_MAC_CTX_dup(b->vault->mac);
	size_t n = 0;

	if (b->derived)
		return true;
	b->derived = ctx && EVP_MAC_update(ctx, (const unsigned char *)label, sizeof(label)) == 1 && EVP_MAC_update(ctx, &b->kind, 1) == 1 &&
		     EVP_MAC_update(ctx, (const unsigned char *)b->key.p, b->key.n) == 1 && EVP_MAC_final(ctx, b->bytes, &n, sizeof(b->bytes)) == 1 &&
		     n == sizeof(b->bytes);
	EVP_MAC_CTX_free(ctx);
	return b->derived;
}

/* The field's number is authenticated: a record's secrets cannot change places. */
static void
field_bytes(unsigned field, unsigned char out[2])
{
	out[0] = (unsigned char)(field >> 8);
	out[1] = (unsigned char)field;
}

void
vault_box_seal(struct vault_box *b, unsigned field, struct slice value, struct buf *out)
{
	EVP_CIPHER_CTX *ctx = derive(b) ? EVP_CIPHER_CTX_new() : NULL;
	unsigned char about[2], *p = (unsigned char *)buf_reserve(out, value.n + VAULT_OVERHEAD_BYTES);
	int n;

	field_bytes(field, about);
	if (ctx && p && value.n <= INT32_MAX && rng_fill(b->vault->rng, p, NONCE_BYTES) == OK &&
		EVP_EncryptInit_ex2(ctx, b->vault->cipher, b->bytes, p, NULL) == 1 && EVP_EncryptUpdate(ctx, NULL, &n, about, sizeof(about)) == 1 &&
		EVP_EncryptUpdate(ctx, p + NONCE_BYTES, &n, (const unsigned char *)value.p, (int)value.n) == 1 &&
		EVP_EncryptFinal_ex(ctx, p + NONCE_BYTES + value.n, &n) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, p + NONCE_BYTES + value.n) == 1)
		buf_commit(out, value.n + VAULT_OVERHEAD_BYTES);
	else
		out->failed = true;
	EVP_CIPHER_CTX_free(ctx);
}

enum err
vault_box_open(struct vault_box *b, unsigned field, struct slice sealed, struct arena *arena, struct slice *value)
{
	unsigned char about[2], tag[TAG_BYTES];
	EVP_CIPHER_CTX *ctx;
	unsigned char *p;
	size_t bytes;
	int n;

	if (sealed.n < VAULT_OVERHEAD_BYTES || sealed.n > INT32_MAX)
		return E_FORMAT;
	bytes = sealed.n - VAULT_OVERHEAD_BYTES;
	p = arena_alloc(arena, bytes + 1);
	ctx = derive(b) ? EVP_CIPHER_CTX_new() : NULL;
	if (!p || !ctx) {
		EVP_CIPHER_CTX_free(ctx);
		return E_NOMEM;
	}
	field_bytes(field, about);
	memcpy(tag, sealed.p + NONCE_BYTES + bytes, TAG_BYTES);
	bool ok = EVP_DecryptInit_ex2(ctx, b->vault->cipher, b->bytes, (const unsigned char *)sealed.p, NULL) == 1 &&
		  EVP_DecryptUpdate(ctx, NULL, &n, about, sizeof(about)) == 1 &&
		  EVP_DecryptUpdate(ctx, p, &n, (const unsigned char *)sealed.p + NONCE_BYTES, (int)bytes) == 1 &&
		  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 && EVP_DecryptFinal_ex(ctx, p + bytes, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!ok) {
		OPENSSL_cleanse(p, bytes); /* not authentic: nobody may look at it */
		return E_FORMAT;
	}
	*value = slice_of((const char *)p, bytes);
	return OK;
}
