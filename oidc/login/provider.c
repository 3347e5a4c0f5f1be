#include "oidc/login/provider.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/clock.h"

#define SKEW_S 60 /* a person's own clock; the issuer's word counts in the end */

enum err
provider_init(struct provider *p, const char *issuer, const char *client_id, const char *scope, const char *ca_file)
{
	memset(p, 0, sizeof(*p));
	p->issuer = issuer;
	p->client_id = client_id;
	p->scope = scope;
	p->ca_file = ca_file;
	arena_init(&p->arena, 1u << 20);
	p->fetcher = fetcher_new(&(struct fetcher_options){ .user_agent = "kubectl-gatehouse/" GATEHOUSE_VERSION, .ca_file = ca_file });
	return p->fetcher ? OK : E_NOMEM;
}

void
provider_fini(struct provider *p)
{
	if (p->fetcher)
		fetcher_free(p->fetcher);
	jwk_set_fini(&p->keys);
	arena_fini(&p->arena);
}

/* One GET that must answer 200. */
static enum err
get(struct provider *p, const char *url, struct fetch_result *r, char *why, size_t why_n)
{
	const char *headers[] = { "Accept: application/json", NULL };
	struct fetch_request req = { .method = "GET", .url = url, .headers = headers, .ca_file = p->ca_file, .body_bytes_max = DISCOVERY_BYTES_MAX };
	enum err err = fetch_wait(p->fetcher, &req, r);
	if (err == OK)
		err = r->err;
	if (err != OK)
		snprintf(why, why_n, "%s: %s", url, r->message[0] ? r->message : err_name(err));
	else if (r->status != 200) {
		snprintf(why, why_n, "%s: answered %d", url, r->status);
		err = E_FORMAT;
	}
	return err;
}

static enum err
get_keys(struct provider *p, char *why, size_t why_n)
{
	struct fetch_result r = { 0 };
	char *url = arena_strndup(&p->arena, p->discovery.jwks_uri.p, p->discovery.jwks_uri.n);
	enum err err = url ? get(p, url, &r, why, why_n) : E_NOMEM;
	if (err == OK) {
		err = jwk_set_parse(buf_slice(&r.body), &p->keys, NULL);
		if (err != OK)
			snprintf(why, why_n, "%s: no key of it can be used (%s)", url, err_name(err));
	}
	fetch_result_fini(&r);
	return err;
}

enum err
provider_discover(struct provider *p, char *why, size_t why_n)
{
	struct fetch_result r = { 0 };
	const char *reason = "";
	if (p->discovered)
		return OK;
	char *url = arena_printf(&p->arena, "%s%s", p->issuer, DISCOVERY_PATH);
	enum err err = url ? get(p, url, &r, why, why_n) : E_NOMEM;
	if (err == OK) {
		err = discovery_parse(buf_slice(&r.body), p->issuer, &p->arena, &p->discovery, &reason);
		if (err == OK && (!p->discovery.authorization_endpoint.n || !p->discovery.token_endpoint.n)) {
			err = E_FORMAT;
			reason = "authorization_endpoint or token_endpoint is missing";
		}
		if (err != OK)
			snprintf(why, why_n, "%s: %s", url, reason);
	}
	fetch_result_fini(&r);
	if (err == OK)
		err = get_keys(p, why, why_n);
	p->discovered = err == OK;
	return err;
}

enum err
provider_authorization_url(const struct provider *p, const char *redirect_uri, struct slice state, struct slice nonce, struct slice challenge, struct buf *url)
{
	struct buf q;
	buf_init(&q, 8192);
	buf_add_str(&q, "response_type=code&client_id=");
	buf_add_urlencoded(&q, slice_str(p->client_id));
	buf_add_str(&q, "&redirect_uri=");
	buf_add_urlencoded(&q, slice_str(redirect_uri));
	buf_add_str(&q, "&scope=");
	buf_add_urlencoded(&q, slice_str(p->scope));
	buf_add_str(&q, "&state=");
	buf_add_urlencoded(&q, state);
	buf_add_str(&q, "&nonce=");
	buf_add_urlencoded(&q, nonce);
	buf_add_str(&q, "&code_challenge=");
	buf_add_urlencoded(&q, challenge);
	buf_add_str(&q, "&code_challenge_method=S256");
	struct slice endpoint = p->discovery.authorization_endpoint;
	buf_add_slice(url, endpoint);
	buf_add_char(url, memchr(endpoint.p, '?', endpoint.n) ? '&' : '?');
	buf_add_slice(url, buf_slice(&q));
	enum err err = buf_ok(url) && buf_ok(&q) ? OK : E_LIMIT;
	buf_fini(&q);
	return err;
}

/* Signature, iss, exp by id_token_open; here aud (OpenID Core 3.1.3.7.3) and, for a fresh sign-in, nonce. */
static enum err
check_id_token(struct provider *p, struct slice token, struct slice nonce, struct arena *arena, int64_t *expires_at, char *why, size_t why_n)
{
	struct slice claims;
	enum id_token_verdict v = id_token_open(token, p->issuer, NULL, &p->keys, clock_now_s(&clock_system), SKEW_S, false, arena, &claims);
	if (v != ID_TOKEN_OK) {
		snprintf(why, why_n, "the issuer's id_token is not good: %s%s", id_token_verdict_name(v),
			v == ID_TOKEN_EXPIRED || v == ID_TOKEN_NOT_YET ? " (is this machine's clock right?)" : "");
		return E_FORMAT;
	}
	json_t *root = json_loadb(claims.p, claims.n, JSON_REJECT_DUPLICATES, NULL), *aud = json_object_get(root, "aud"), *item;
	size_t i;
	bool ours = json_is_string(aud) && strcmp(json_string_value(aud), p->client_id) == 0;
	json_array_foreach(aud, i, item) ours |= json_is_string(item) && strcmp(json_string_value(item), p->client_id) == 0;
	const char *got = json_string_value(json_object_get(root, "nonce"));
	bool fresh = !nonce.n || (got && slice_eq(slice_str(got), nonce));
	*expires_at = json_integer_value(json_object_get(root, "exp"));
	json_decref(root);
	if (!ours || !fresh)
		snprintf(why, why_n, "the issuer's id_token is for %s", ours ? "another sign-in (nonce)" : "another client (aud)");
	return ours && fresh ? OK : E_FORMAT;
}

static struct slice
text_member(json_t *root, const char *key, struct arena *arena)
{
	json_t *v = json_object_get(root, key);
	return json_is_string(v) ? arena_slice(arena, slice_of(json_string_value(v), json_string_length(v))) : SLICE_NONE;
}

/* What the issuer refuses with, in why. *error: its word for it. */
static enum err
read_refusal(json_t *root, const struct fetch_result *r, struct arena *arena, struct slice *error, char *why, size_t why_n)
{
	struct slice description = text_member(root, "error_description", arena);
	*error = text_member(root, "error", arena);
	if (r->status < 400 || r->status >= 500 || !error->n)
		return OK;
	snprintf(why, why_n, "the issuer refused: %.*s%s%.*s", SLICE_FMT(*error), description.n ? ": " : "", SLICE_FMT(description));
	return E_DENIED;
}

static enum err
read_answer(struct provider *p, const struct fetch_result *r, struct slice nonce, struct arena *arena, struct login_tokens *out, struct slice *error, char *why,
	size_t why_n)
{
	json_t *root = json_loadb(r->body.p ? r->body.p : "", r->body.n, JSON_REJECT_DUPLICATES, NULL);
	enum err refused = read_refusal(root, r, arena, error, why, why_n);
	*out = (struct login_tokens){ .issuer = slice_str(p->issuer), .client_id = slice_str(p->client_id), .scope = slice_str(p->scope),
		.id_token = text_member(root, "id_token", arena), .refresh_token = text_member(root, "refresh_token", arena) };
	json_decref(root);
	if (refused != OK)
		return refused;
	if (r->status != 200 || !out->id_token.n) {
		snprintf(why, why_n, "the issuer's token endpoint answered %d%s", r->status, r->status == 200 ? " without an id_token" : "");
		return r->status >= 500 ? E_SYSTEM : E_FORMAT;
	}
	return check_id_token(p, out->id_token, nonce, arena, &out->expires_at, why, why_n);
}

/* form is taken. *r: the caller frees it. */
static enum err
post(struct provider *p, struct slice endpoint, struct buf *form, struct arena *arena, struct fetch_result *r, char *why, size_t why_n)
{
	const char *headers[] = { "Accept: application/json", "Content-Type: application/x-www-form-urlencoded", NULL };
	char *url = arena_strndup(arena, endpoint.p, endpoint.n);
	struct fetch_request req = { .method = "POST", .url = url, .headers = headers, .body = buf_slice(form), .ca_file = p->ca_file };
	enum err err = url && buf_ok(form) ? fetch_wait(p->fetcher, &req, r) : E_NOMEM;
	if (err == OK)
		err = r->err;
	if (err != OK)
		snprintf(why, why_n, "%s: %s", url ? url : "", r->message[0] ? r->message : err_name(err));
	buf_fini_secret(form);
	return err;
}

static enum err
post_form(struct provider *p, struct buf *form, struct slice nonce, struct arena *arena, struct login_tokens *out, struct slice *error, char *why, size_t why_n)
{
	struct fetch_result r = { 0 };
	*error = SLICE_NONE;
	enum err err = post(p, p->discovery.token_endpoint, form, arena, &r, why, why_n);
	if (err == OK)
		err = read_answer(p, &r, nonce, arena, out, error, why, why_n);
	fetch_result_fini(&r);
	return err;
}

enum err
provider_redeem(struct provider *p, struct slice code, const char *redirect_uri, struct slice verifier, struct slice nonce, struct arena *arena,
	struct login_tokens *out, char *why, size_t why_n)
{
	struct buf form;
	buf_init(&form, 16384);
	buf_add_str(&form, "grant_type=authorization_code&client_id=");
	buf_add_urlencoded(&form, slice_str(p->client_id));
	buf_add_str(&form, "&code=");
	buf_add_urlencoded(&form, code);
	buf_add_str(&form, "&redirect_uri=");
	buf_add_urlencoded(&form, slice_str(redirect_uri));
	buf_add_str(&form, "&code_verifier=");
	buf_add_urlencoded(&form, verifier);
	return post_form(p, &form, nonce, arena, out, &(struct slice){ NULL, 0 }, why, why_n);
}

static int64_t
number_member(json_t *root, const char *key, int64_t min, int64_t max, int64_t otherwise)
{
	json_t *v = json_object_get(root, key);
	int64_t n = json_is_integer(v) ? json_integer_value(v) : otherwise;
	return n < min ? min : n > max ? max : n;
}

static enum err
read_device(const struct fetch_result *r, struct arena *arena, struct provider_device *out, char *why, size_t why_n)
{
	struct slice error;
	json_t *root = json_loadb(r->body.p ? r->body.p : "", r->body.n, JSON_REJECT_DUPLICATES, NULL);
	enum err err = read_refusal(root, r, arena, &error, why, why_n);
	*out = (struct provider_device){ .device_code = text_member(root, "device_code", arena), .user_code = text_member(root, "user_code", arena),
		.verification_uri = text_member(root, "verification_uri", arena),
		.verification_uri_complete = text_member(root, "verification_uri_complete", arena),
		.expires_in_s = number_member(root, "expires_in", 1, 86400, 300), .interval_s = number_member(root, "interval", 1, 300, 5) };
	json_decref(root);
	if (err == OK && (r->status != 200 || !out->device_code.n || !out->user_code.n || !out->verification_uri.n)) {
		snprintf(why, why_n, "the issuer's device endpoint answered %d%s", r->status, r->status == 200 ? " without a code" : "");
		err = r->status >= 500 ? E_SYSTEM : E_FORMAT;
	}
	return err;
}

enum err
provider_device_start(struct provider *p, struct arena *arena, struct provider_device *out, char *why, size_t why_n)
{
	struct fetch_result r = { 0 };
	struct buf form;
	if (!p->discovery.device_authorization_endpoint.n) {
		snprintf(why, why_n, "%s has no device flow", p->issuer);
		return E_DENIED;
	}
	buf_init(&form, 8192);
	buf_add_str(&form, "client_id=");
	buf_add_urlencoded(&form, slice_str(p->client_id));
	buf_add_str(&form, "&scope=");
	buf_add_urlencoded(&form, slice_str(p->scope));
	enum err err = post(p, p->discovery.device_authorization_endpoint, &form, arena, &r, why, why_n);
	if (err == OK)
		err = read_device(&r, arena, out, why, why_n);
	fetch_result_fini(&r);
	return err;
}

enum err
provider_device_poll(struct provider *p, struct slice device_code, struct arena *arena, struct login_tokens *out, char *why, size_t why_n)
{
	struct slice error;
	struct buf form;
	buf_init(&form, 8192);
	buf_add_str(&form, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&client_id=");
	buf_add_urlencoded(&form, slice_str(p->client_id));
	buf_add_str(&form, "&device_code=");
	buf_add_urlencoded(&form, device_code);
	enum err err = post_form(p, &form, SLICE_NONE, arena, out, &error, why, why_n);
	if (err == E_DENIED && slice_eq_str(error, "authorization_pending"))
		return E_AGAIN;
	return err == E_DENIED && slice_eq_str(error, "slow_down") ? E_LIMIT : err;
}

enum err
provider_refresh(struct provider *p, struct slice refresh_token, struct arena *arena, struct login_tokens *out, char *why, size_t why_n)
{
	struct buf form;
	buf_init(&form, 16384);
	buf_add_str(&form, "grant_type=refresh_token&client_id=");
	buf_add_urlencoded(&form, slice_str(p->client_id));
	buf_add_str(&form, "&refresh_token=");
	buf_add_urlencoded(&form, refresh_token);
	enum err err = post_form(p, &form, SLICE_NONE, arena, out, &(struct slice){ NULL, 0 }, why, why_n);
	/* RFC 6749 section 6: no new refresh token means that the old one goes on. */
	if (err == OK && !out->refresh_token.n)
		out->refresh_token = refresh_token;
	return err;
}
