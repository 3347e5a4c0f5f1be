#include "oidc/token_request.h"

#include <stdio.h>

#include "oidc/base64url.h"

#define AUTHORIZATION_BYTES_MAX 8192

static enum err
fail(struct token_error *e, int status, const char *error, const char *description)
{
	e->status = status;
	e->error = error;
	snprintf(e->description, sizeof(e->description), "%s", description);
	return E_FORMAT;
}

/* RFC 6749 section 3.2: a parameter sent without a value MUST be treated as if it were omitted. */
static struct slice
get(const struct form *f, const char *name)
{
	struct slice value = form_get(f, name);

	return value.n > 0 ? value : SLICE_NONE;
}

/* Standard base64 with its padding (RFC 7617 section 2), as strict as the other alphabet's decoder. */
static enum err
decode_basic(struct slice text, struct arena *arena, struct slice *out)
{
	if (text.n == 0 || text.n % 4 != 0 || text.n > AUTHORIZATION_BYTES_MAX)
		return E_FORMAT;
	size_t padding = text.p[text.n - 1] != '=' ? 0 : text.p[text.n - 2] != '=' ? 1 : 2, n = 0;
	size_t digits = text.n - padding;
	char *base64url = arena_alloc(arena, digits), *bytes = arena_alloc(arena, text.n);
	if (!base64url || !bytes)
		return E_NOMEM;
	for (size_t i = 0; i < digits; i++) {
		char c = text.p[i];
		if (c == '-' || c == '_')
			return E_FORMAT;
		base64url[i] = c == '+' ? '-' : c == '/' ? '_' : c;
	}
	enum err err = base64url_decode(slice_of(base64url, digits), bytes, text.n, &n);
	*out = slice_of(bytes, n);
	return err;
}

/* RFC 6749 section 2.3.1: both parts are form-encoded before they are joined. */
static enum err
parse_basic(struct slice authorization, struct arena *arena, struct client_credentials *out)
{
	struct slice rest = authorization, decoded;
	struct slice scheme = slice_cut(&rest, ' ');

	rest = slice_trim(rest); /* RFC 9110 section 11.4: one blank or more */
	if (!slice_eq_nocase(scheme, SLICE_LIT("Basic")))
		return E_FORMAT;
	enum err err = decode_basic(rest, arena, &decoded);
	if (err != OK)
		return err;
	if (!memchr(decoded.p, ':', decoded.n))
		return E_FORMAT;
	struct slice id = slice_cut(&decoded, ':');
	err = form_decode(id, arena, &out->id);
	if (err == OK)
		err = form_decode(decoded, arena, &out->secret);
	out->how = CLIENT_AUTH_BASIC;
	return err == OK && out->id.n == 0 ? E_FORMAT : err;
}

static enum err
parse_body_credentials(const struct form *body, struct client_credentials *out, struct token_error *e)
{
	out->id = get(body, "client_id");
	out->secret = get(body, "client_secret");
	out->how = out->secret.p ? CLIENT_AUTH_POST : CLIENT_AUTH_NONE;
	return out->id.p ? OK : fail(e, 401, "invalid_client", "client authentication is missing: client_id, or an Authorization header");
}

enum err
client_credentials_parse(struct slice authorization, const struct form *body, struct arena *arena, struct client_credentials *out, struct token_error *e)
{
	struct slice id = get(body, "client_id");

	memset(out, 0, sizeof(*out));
	memset(e, 0, sizeof(*e));
	/* RFC 6749 section 3.2: MUST NOT be included more than once. RFC 8693 section 2.1 lets these two. */
	if (form_duplicate(body, (const char *const[]){ "resource", "audience", NULL }).p)
		return fail(e, 400, "invalid_request", "a parameter occurs twice");
	if (get(body, "client_assertion").p || get(body, "client_assertion_type").p)
		return fail(e, 401, "invalid_client", "client assertions are not supported");
	if (!authorization.p)
		return parse_body_credentials(body, out, e);
	enum err err = parse_basic(authorization, arena, out);
	if (err == E_NOMEM)
		return err;
	if (err != OK)
		return fail(e, 401, "invalid_client", "the Authorization header is not a well-formed Basic one");
	/* Section 2.3: MUST NOT use more than one method. */
	if (get(body, "client_secret").p)
		return fail(e, 400, "invalid_request", "client credentials both in the Authorization header and in the body");
	if (id.p && !slice_eq(id, out->id))
		return fail(e, 400, "invalid_request", "client_id differs from the Authorization header's");
	return OK;
}

static const char *const grant_names[GRANT_TYPES] = {
	[GRANT_AUTHORIZATION_CODE] = "authorization_code",
	[GRANT_REFRESH_TOKEN] = "refresh_token",
	[GRANT_DEVICE_CODE] = "urn:ietf:params:oauth:grant-type:device_code",
	[GRANT_PASSWORD] = "password",
	[GRANT_CLIENT_CREDENTIALS] = "client_credentials",
	[GRANT_TOKEN_EXCHANGE] = "urn:ietf:params:oauth:grant-type:token-exchange",
	[GRANT_IMPLICIT] = "implicit",
};

const char *
grant_type_name(enum grant_type grant)
{
	return grant_names[grant];
}

bool
grant_type_find(struct slice name, enum grant_type *out)
{
	for (size_t i = 0; i < GRANT_TYPES; i++) {
		if (slice_eq_str(name, grant_names[i])) {
			*out = (enum grant_type)i;
			return true;
		}
	}
	return false;
}

/* What a grant cannot do without. */
static enum err
check_required(const struct token_request *t, struct token_error *e)
{
	switch (t->grant) {
	case GRANT_AUTHORIZATION_CODE:
		return t->code.p ? OK : fail(e, 400, "invalid_request", "code is missing");
	case GRANT_REFRESH_TOKEN:
		return t->refresh_token.p ? OK : fail(e, 400, "invalid_request", "refresh_token is missing");
	case GRANT_DEVICE_CODE:
		return t->device_code.p ? OK : fail(e, 400, "invalid_request", "device_code is missing");
	case GRANT_PASSWORD:
		return t->username.p && t->password.p ? OK : fail(e, 400, "invalid_request", "username or password is missing");
	default:
		return OK;
	}
}

enum err
client_query_check(struct slice query, struct arena *arena, struct token_error *e)
{
	static const char *const ours[] = { "grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "code", "code_verifier",
		"redirect_uri", "refresh_token", "scope", "username", "password", "device_code", "subject_token", "subject_token_type", "actor_token",
		"actor_token_type", "requested_token_type", "assertion", "token", "token_type_hint" };

	memset(e, 0, sizeof(*e));
	if (query.n == 0)
		return OK;
	struct form *form = arena_alloc(arena, sizeof(*form));
	enum err err = form ? form_parse(query, arena, form) : E_NOMEM;
	if (err == E_NOMEM)
		return err;
	if (err != OK)
		return fail(e, 400, "invalid_request", "the query is malformed");
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (form_get(form, ours[i]).p)
			return fail(e, 400, "invalid_request", "parameters belong in the body, not in the query");
	}
	return OK;
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
	enum err err = client_query_check(query, arena, e);
	if (err == OK)
		err = client_credentials_parse(authorization, body, arena, &out->client, e);
	if (err != OK)
		return err;
	struct slice grant = get(body, "grant_type");
	if (!grant.p)
		return fail(e, 400, "invalid_request", "grant_type is missing");
	if (!grant_type_find(grant, &out->grant) || out->grant == GRANT_IMPLICIT)
		return fail(e, 400, "unsupported_grant_type", "this grant_type is not supported");
	out->code = get(body, "code");
	out->redirect_uri = get(body, "redirect_uri");
	out->code_verifier = get(body, "code_verifier");
	out->refresh_token = get(body, "refresh_token");
	out->device_code = get(body, "device_code");
	out->username = get(body, "username");
	out->password = get(body, "password");
	out->scope = get(body, "scope");
	return check_required(out, e);
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
