#include <openssl/evp.h>
#include "authd/store_internal.h"

static const EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

/* Held: a lookup by name at each use costs more than the digest. */
static void
sha256_fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static bool
digest(const struct slice *parts, size_t n, unsigned char out[32])
{
	pthread_once(&sha256_once, sha256_fetch);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && sha256 && EVP_DigestInit_ex2(ctx, sha256, NULL) == 1;

	for (size_t i = 0; ok && i < n; i++)
		ok = EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

struct slice
store_hash(struct slice secret, unsigned char out[32])
{
	/* A hash that could not be made must not equal any other: an empty key is found nowhere. */
	return digest(&secret, 1, out) ? slice_of((char *)out, 32) : SLICE_NONE;
}

int64_t
store_time_read(const char *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | (unsigned char)p[i];
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

void
store_time_write(char *p, int64_t at)
{
	uint64_t v = at > 0 ? (uint64_t)at : 0;

	for (int i = 0; i < 8; i++)
		p[i] = (char)(v >> (56 - 8 * i));
}

/* rest: time and record. A record moved to another key or kind does not pass. */
static bool
checksum(enum record_kind kind, struct slice key, struct slice rest, unsigned char out[32])
{
	const unsigned char head[3] = { (unsigned char)kind, (unsigned char)(key.n >> 8), (unsigned char)key.n };
	const struct slice parts[] = { slice_of((const char *)head, sizeof(head)), key, rest };

	return digest(parts, 3, out);
}

enum err
store_value_seal(const struct vault *v, enum record_kind kind, struct slice key, const void *record, struct buf *out)
{
	static const char head[STORE_VALUE_HEAD_BYTES];
	struct vault_box box = vault_box(v, (unsigned char)kind, key);
	unsigned char sum[32];

	buf_reset(out);
	buf_add(out, head, sizeof(head));
	record_encode_sealed(kind, record, &box, out);
	vault_box_fini(&box);
	if (!buf_ok(out))
		return E_LIMIT;
	store_time_write(out->p + STORE_CHECKSUM_BYTES, record_expires_at(kind, record));
	if (!checksum(kind, key, slice_of(out->p + STORE_CHECKSUM_BYTES, out->n - STORE_CHECKSUM_BYTES), sum))
		return E_NOMEM;
	memcpy(out->p, sum, STORE_CHECKSUM_BYTES);
	return OK;
}

enum err
store_value_open(enum record_kind kind, struct slice key, struct slice value, int64_t *expires_at, struct slice *record)
{
	unsigned char sum[32];

	if (value.n < STORE_VALUE_HEAD_BYTES)
		return E_FORMAT;
	if (!checksum(kind, key, slice_of(value.p + STORE_CHECKSUM_BYTES, value.n - STORE_CHECKSUM_BYTES), sum))
		return E_NOMEM;
	if (memcmp(sum, value.p, STORE_CHECKSUM_BYTES) != 0)
		return E_FORMAT;
	*expires_at = store_time_read(value.p + STORE_CHECKSUM_BYTES);
	*record = slice_of(value.p + STORE_VALUE_HEAD_BYTES, value.n - STORE_VALUE_HEAD_BYTES);
	return OK;
}
