#include <openssl/err.h>
#include <openssl/evp.h>
#include "proxyd/client_certificate.h"

#define FINGERPRINT_BYTES 32

/* SLICE_NONE: no memory, or a string that is none. */
static struct slice
text_of(const X509_NAME_ENTRY *entry, struct arena *arena)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
	struct slice copy = n < 0 ? SLICE_NONE : arena_slice(arena, slice_of((const char *)utf8, (size_t)n));

	OPENSSL_free(utf8);
	ERR_clear_error();
	return copy;
}

static bool
is_system(struct slice name)
{
	return slice_has_prefix(name, SLICE_LIT("system:"));
}

static enum err
take_user(struct slice cn, struct identity *id, const char **why)
{
	if (id->username.p) {
		/* Which one counts differs between readers: Go takes the last, others the first. */
		*why = "the certificate has more than one CN";
		return E_FORMAT;
	}
	if (!identity_value_ok(cn) || is_system(cn)) {
		*why = is_system(cn) ? "the certificate's CN begins with \"system:\"" : "the certificate's CN is no usable name";
		return E_FORMAT;
	}
	id->username = cn;
	return OK;
}

static enum err
take_group(struct slice o, struct identity *id, const char **why)
{
	if (id->group_n == IDENTITY_GROUPS_MAX) {
		*why = "the certificate has too many O";
		return E_LIMIT;
	}
	if (!identity_value_ok(o) || is_system(o)) {
		*why = is_system(o) ? "an O of the certificate begins with \"system:\"" : "an O of the certificate is no usable name";
		return E_FORMAT;
	}
	id->groups[id->group_n++] = o;
	return OK;
}

/* Kubernetes since 1.32: which certificate it was, for the audit log. */
static enum err
add_fingerprint(X509 *x, struct arena *arena, struct identity *id)
{
	static const char hex[] = "0123456789abcdef";
	static const struct slice label = { "X509SHA256=", 11 };
	unsigned char digest[FINGERPRINT_BYTES];
	unsigned n = 0;
	char *text = arena_alloc(arena, label.n + 2 * sizeof(digest));
	struct slice *value = arena_alloc(arena, sizeof(*value));
	struct identity_extra *extra = arena_alloc(arena, sizeof(*extra));

	if (!text || !value || !extra || X509_digest(x, EVP_sha256(), digest, &n) != 1 || n != sizeof(digest)) {
		ERR_clear_error();
		return E_NOMEM;
	}
	memcpy(text, label.p, label.n);
	for (size_t i = 0; i < sizeof(digest); i++) {
		text[label.n + 2 * i] = hex[digest[i] >> 4];
		text[label.n + 2 * i + 1] = hex[digest[i] & 15];
	}
	*value = slice_of(text, label.n + 2 * sizeof(digest));
	*extra = (struct identity_extra){ SLICE_LIT("authentication.kubernetes.io/credential-id"), value, 1 };
	id->extra = extra;
	id->extra_n = 1;
	return OK;
}

enum err
client_certificate_identify(X509 *x, int64_t expires_at, struct arena *arena, struct identity *out, const char **why)
{
	struct identity id = { .how = IDENTITY_CLIENT_CERTIFICATE, .expires_at = expires_at };
	const X509_NAME *subject = X509_get_subject_name(x);
	enum err e = OK;

	*why = "out of memory";
	if (!(id.groups = arena_alloc(arena, IDENTITY_GROUPS_MAX * sizeof(*id.groups))))
		return E_NOMEM;
	for (int i = 0; i < X509_NAME_entry_count(subject) && !e; i++) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
		int kind = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
		if (kind == NID_commonName)
			e = take_user(text_of(entry, arena), &id, why);
		else if (kind == NID_organizationName)
			e = take_group(text_of(entry, arena), &id, why);
	}
	if (!e && !id.username.p) {
		*why = "the certificate has no CN";
		e = E_FORMAT;
	}
	if (!e)
		e = add_fingerprint(x, arena, &id);
	if (!e)
		*out = id;
	return e;
}
