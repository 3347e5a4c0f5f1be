#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "authd/app.h"
#include "authd/browser.h"
#include "oidc/base64url.h"
#include "shared/address.h"

#define SECRET_CHARS BASE64URL_ENCODED_BYTES(BROWSER_SECRET_BYTES)

void
browser_cookie_set(struct request *r, const char *name, struct slice value, int64_t max_age_s)
{
	struct buf out;

	buf_init(&out, 4096);
	buf_printf(&out, "%s=%.*s; Path=/; HttpOnly; SameSite=Lax%s", name, SLICE_FMT(value), r->generation->secure ? "; Secure" : "");
	if (max_age_s >= 0)
		buf_printf(&out, "; Max-Age=%lld", (long long)max_age_s);
	if (buf_ok(&out))
		response_header(r, "Set-Cookie", buf_slice(&out));
	else
		r->answer_failed = true;
	buf_fini_secret(&out);
}

static bool
secret_looks_ours(struct slice s)
{
	unsigned char bytes[BROWSER_SECRET_BYTES];
	size_t n;

	return s.n == SECRET_CHARS && base64url_decode(s, bytes, sizeof bytes, &n) == OK && n == sizeof bytes;
}

struct slice
browser_login_cookie(const struct request *r)
{
	struct slice found = request_cookie(r, r->generation->login_cookie);

	return secret_looks_ours(found) ? found : SLICE_NONE;
}

struct slice
browser_login_secret(struct request *r)
{
	struct slice secret = browser_login_cookie(r);

	if (secret.p)
		return secret;
	secret = request_secret(r, BROWSER_SECRET_BYTES);
	if (secret.p)
		browser_cookie_set(r, r->generation->login_cookie, secret, -1);
	return secret;
}

struct slice
browser_form_token(struct request *r, struct slice secret, const char *purpose, struct slice id)
{
	unsigned char mac[32];
	char *text = arena_alloc(&r->arena, BASE64URL_ENCODED_BYTES(sizeof mac) + 1);
	char *message = arena_printf(&r->arena, "form %s %.*s", purpose, SLICE_FMT(id));

	if (!text || !message || !HMAC(EVP_sha256(), secret.p, (int)secret.n, (const unsigned char *)message, strlen(message), mac, NULL))
		return SLICE_NONE;
	return slice_of(text, base64url_encode(mac, sizeof mac, text));
}

bool
browser_origin_ok(const struct request *r)
{
	struct slice origin = request_header(r, "Origin");
	struct slice site = request_header(r, "Sec-Fetch-Site");

	if (origin.p && !slice_eq_str(origin, "null"))
		return slice_eq(origin, r->generation->origin);
	return !site.p || slice_eq_str(site, "same-origin");
}

struct slice
browser_form_field(struct request *r, const struct form *body, const char *name)
{
	struct slice value = form_get(body, name);
	struct form *query;

	if (value.p || request_query_form(r, &query) != OK)
		return value;
	return form_get(query, name);
}

bool
browser_form_ok(struct request *r, struct slice secret, const char *purpose, struct slice id, struct slice token)
{
	struct slice wanted = secret.n ? browser_form_token(r, secret, purpose, id) : SLICE_NONE;

	return wanted.n && slice_eq_secret(wanted, token) && browser_origin_ok(r);
}

bool
browser_return_ok(struct slice path)
{
	if (path.n == 0 || path.n > BROWSER_RETURN_BYTES_MAX || path.p[0] != '/' || (path.n > 1 && path.p[1] == '/'))
		return false;
	for (size_t i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] <= ' ' || (unsigned char)path.p[i] >= 0x7f || path.p[i] == '\\')
			return false;
	return true;
}

/* CSP's host-source knows names, IPv4 and ports; an IPv6 address in brackets is not in its grammar. */
static bool
csp_host_ok(struct slice authority)
{
	for (size_t i = 0; i < authority.n; i++) {
		char c = authority.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == ':'))
			return false;
	}
	return authority.n > 0;
}

static bool
scheme_ok(struct slice scheme)
{
	for (size_t i = 0; i < scheme.n; i++) {
		char c = (char)(scheme.p[i] | 0x20);
		if (!((c >= 'a' && c <= 'z') || (i && ((scheme.p[i] >= '0' && scheme.p[i] <= '9') || strchr("+-.", scheme.p[i])))))
			return false;
	}
	return scheme.n > 0;
}

struct slice
browser_form_target(struct request *r, struct slice uri)
{
	struct slice rest = uri;
	struct slice scheme = slice_cut(&rest, ':');
	struct url url;

	if (uri.n == 0 || scheme.n == uri.n || !scheme_ok(scheme) || slice_eq_str(scheme, "urn"))
		return SLICE_NONE;
	if (url_parse(uri, &url) == OK && csp_host_ok(url.authority))
		return arena_slice(&r->arena, url.origin);
	return arena_slice(&r->arena, slice_of(uri.p, scheme.n + 1));
}
