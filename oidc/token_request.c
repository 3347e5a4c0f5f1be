#include "oidc/token_request.h"

#include <openssl/evp.h>
#include <stdio.h>

#define AUTHORIZATION_BYTES_MAX 8192

static enum err
fail(struct token_error *e, int status, const char *error, const char *description)
{
	e->status = status;
	e->error = error;
	snprintf(e->description, sizeof(e->description), "%s", description);
	return E_FORMAT;
}

/* Standard base64 with its padding (RFC 7617 section 2), strict. */
static enum err
decode_basic(struct slice text, struct arena *arena, struct slice *out)
{
	if (text.n == 0 || text.n % 4 || text.n > AUTHORIZATION_BYTES_MAX)
		return E_FORMAT;
	size_t padding = text.p[text.n - 1] != '=' ? 0 : text.p[text.n - 2] != '=' ? 1 : 2;
	/* EVP_DecodeBlock forgives blanks at the edges. */
	for (size_t i = 0; i < text.n - padding; i++) {
		char c = text.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/'))
			return E_FORMAT;
	}
	unsigned char *bytes = arena_alloc(arena, text.n / 4 * 3 + 1);
	if (!bytes)
		return E_NOMEM;
	int n = EVP_DecodeBlock(bytes, (const unsigned char *)text.p, (int)text.n);
	if (n < 0 || (size_t)n < padding)
		return E_FORMAT;
	*out = slice_of((const char *)bytes, (size_t)n - padding);
	return OK;
}

/* RFC 6749 section 2.3.1: both parts are form-encoded before they are joined. */
static enum err
parse_basic(struct slice authorization, struct arena *arena, struct client_credentials *out)
{
	struct slice rest = authorization, decoded;
	struct slice scheme = slice_cut(&rest, ' ');

	if (!slice_eq_nocase(scheme, SLICE_LIT("Basic")))
		return E_FORMAT;
	enum err err = decode_basic(rest, arena, &decoded);
	if (err != OK)
		return err;
	if (!memchr(decoded.n ? decoded.p : "", ':', decoded.n))
		return E_FORMAT;
	struct slice id = slice_cut(&decoded, ':');
	err = form_decode(id, arena, &out->id);
	if (err == OK)
		err = form_decode(decoded, arena, &out->secret);
	out->how = CLIENT_AUTH_BASIC;
	return err == OK && out->id.n == 0 ? E_FORMAT : err;
}

enum err
client_credentials_parse(struct slice authorization, const struct form *body, struct arena *arena, struct client_credentials *out, struct token_error *e)
{
	struct slice id = form_get(body, "client_id"), secret = form_get(body, "client_secret");

	memset(out, 0, sizeof(*out));
	memset(e, 0, sizeof(*e));
	if (form_get(body, "client_assertion").p || form_get(body, "client_assertion_type").p)
		return fail(e, 401, "invalid_client", "client assertions are not supported");
	if (authorization.p) {
		enum err err = parse_basic(authorization, arena, out);
		if (err == E_NOMEM)
			return err;
		if (err != OK)
			return fail(e, 401, "invalid_client", "the Authorization header is not a well-formed Basic one");
		/* Section 2.3: MUST NOT use more than one method. */
		if (secret.p)
			return fail(e, 400, "invalid_request", "client credentials both in the Authorization header and in the body");
		if (id.p && !slice_eq(id, out->id))
			return fail(e, 400, "invalid_request", "client_id differs from the Authorization header's");
		return OK;
	}
	if (!id.n)
		return fail(e, 401, "invalid_client", "client authentication is missing: client_id, or an Authorization header");
	out->how = secret.p ? CLIENT_AUTH_POST : CLIENT_AUTH_NONE;
	out->id = id;
	out->secret = secret;
	return OK;
}

static bool
parse_grant(struct slice s, enum grant_type *out)
{
	static const struct {
		const char *name;
		enum grant_type grant;
	} known[] = { { "authorization_code", GRANT_AUTHORIZATION_CODE }, { "refresh_token", GRANT_REFRESH_TOKEN },
		{ "urn:ietf:params:oauth:grant-type:device_code", GRANT_DEVICE_CODE }, { "password", GRANT_PASSWORD },
		{ "client_credentials", GRANT_CLIENT_CREDENTIALS }, { "urn:ietf:params:oauth:grant-type:token-exchange", GRANT_TOKEN_EXCHANGE } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (slice_eq_str(s, known[i].name)) {
			*out = known[i].grant;
			return true;
		}
	}
	return false;
}

/* A parameter of the request in the query would stand in every log on the way (RFC 6749 section 2.3.1). */
static bool
query_has_parameters(struct slice query)
{
	static const char *const ours[] = { "grant_type", "client_id", "client_secret", "code", "code_verifier", "refresh_token", "redirect_uri",
		"username", "password", "device_code", "subject_token", "scope" };

	while (query.n) {
		struct slice value = slice_cut(&query, '&'), name = slice_cut(&value, '=');
		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			if (slice_eq_str(name, ours[i]))
				return true;
	}
	return false;
}

enum err
token_request_parse(struct slice content_type, struct slice authorization, struct slice query, const struct form *body, struct arena *arena,
	struct token_request *out, struct token_error *e)
{
	memset(out, 0, sizeof(*out));
	memset(e, 0, sizeof(*e));
	struct slice type = slice_cut(&content_type, ';');
	if (!slice_eq_nocase(slice_trim(type), SLICE_LIT("application/x-www-form-urlencoded")))
		return fail(e, 400, "invalid_request", "Content-Type must be application/x-www-form-urlencoded");
	if (query_has_parameters(query))
		return fail(e, 400, "invalid_request", "parameters belong in the body, not in the query");
	struct slice twice = form_duplicate(body, (const char *const[]){ "resource", "audience", NULL });
	if (twice.p)
		return fail(e, 400, "invalid_request", "a parameter occurs twice");
	struct slice grant = form_get(body, "grant_type");
	if (!grant.n)
		return fail(e, 400, "invalid_request", "grant_type is missing");
	enum err err = client_credentials_parse(authorization, body, arena, &out->client, e);
	if (err != OK)
		return err;
	if (!parse_grant(grant, &out->grant))
		return fail(e, 400, "unsupported_grant_type", "this grant_type is not supported");
	out->code = form_get(body, "code");
	out->redirect_uri = form_get(body, "redirect_uri");
	out->code_verifier = form_get(body, "code_verifier");
	out->refresh_token = form_get(body, "refresh_token");
	out->scope = form_get(body, "scope");
	if (out->grant == GRANT_AUTHORIZATION_CODE && !out->code.n)
		return fail(e, 400, "invalid_request", "code is missing");
	if (out->grant == GRANT_REFRESH_TOKEN && !out->refresh_token.n)
		return fail(e, 400, "invalid_request", "refresh_token is missing");
	return OK;
}

void
token_error_print(const struct token_error *e, struct buf *out)
{
	buf_add_str(out, "{\"error\":");
	buf_add_json(out, slice_str(e->error));
	if (e->description[0]) {
		buf_add_str(out, ",\"error_description\":");
		buf_add_json(out, slice_str(e->description));
	}
	buf_add_char(out, '}');
}
