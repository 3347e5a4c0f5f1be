#include "oidc/discovery.h"

#include "oidc/strict_json.h"
#include "shared/address.h"

/* A string member as a slice in arena; absent: .p NULL. */
static enum err
member(const json_t *root, const char *name, struct arena *arena, struct slice *out)
{
	const json_t *v = json_object_get(root, name);

	*out = SLICE_NONE;
	if (!v)
		return OK;
	if (!json_is_string(v))
		return E_FORMAT;
	*out = arena_slice(arena, strict_json_string(v));
	return out->p ? OK : E_NOMEM;
}

/* An absolute URL, and https where the issuer is: codes, tokens and keys are not sent for over a weaker line than was configured. */
static bool
endpoint_ok(struct slice text, const char *issuer)
{
	struct url url, base;

	if (!text.p)
		return true;
	return url_parse(text, &url) == OK && (url.tls || url_parse(slice_str(issuer), &base) || !base.tls);
}

static enum err
read_members(const json_t *root, const char *issuer, struct arena *arena, struct discovery *d, const char **why)
{
	const struct {
		const char *name;
		struct slice *out;
	} endpoints[] = {
		{ "jwks_uri", &d->jwks_uri },
		{ "authorization_endpoint", &d->authorization_endpoint },
		{ "token_endpoint", &d->token_endpoint },
		{ "userinfo_endpoint", &d->userinfo_endpoint },
		{ "device_authorization_endpoint", &d->device_authorization_endpoint },
		{ "end_session_endpoint", &d->end_session_endpoint },
		{ "revocation_endpoint", &d->revocation_endpoint },
	};

	/* OpenID Connect Discovery 4.3: MUST exactly match. */
	enum err err = member(root, "issuer", arena, &d->issuer);
	if (err == E_FORMAT || (!err && !slice_eq_str(d->issuer, issuer))) {
		*why = "its issuer is not byte for byte the configured one";
		return E_FORMAT;
	}
	for (size_t i = 0; !err && i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
		err = member(root, endpoints[i].name, arena, endpoints[i].out);
		if (err == E_FORMAT || (!err && !endpoint_ok(*endpoints[i].out, issuer))) {
			*why = "an endpoint is no URL, or http though the issuer is https";
			return E_FORMAT;
		}
	}
	if (!err && !d->jwks_uri.p) {
		*why = "it has no jwks_uri";
		return E_FORMAT;
	}
	return err;
}

enum err
discovery_parse(struct slice json, const char *issuer, struct arena *arena, struct discovery *out, const char **why)
{
	struct discovery d = { .issuer = SLICE_NONE };
	json_t *root;

	if (json.n > DISCOVERY_BYTES_MAX) {
		*why = "it is longer than 64 KiB";
		return E_LIMIT;
	}
	enum err err = strict_json_parse(json, &root);
	if (err == OK) {
		err = read_members(root, issuer, arena, &d, why);
		json_decref(root);
	} else if (err == E_FORMAT) {
		*why = "it is no JSON object";
	}
	if (err == E_NOMEM)
		*why = "out of memory";
	if (err == OK)
		*out = d;
	return err;
}

static void
endpoint_add(struct buf *out, const char *name, const char *issuer, const char *path)
{
	if (!path)
		return;
	buf_printf(out, ",\"%s\":", name);
	struct buf url;
	buf_init(&url, 0);
	buf_add_str(&url, issuer);
	buf_add_str(&url, path);
	if (!buf_ok(&url))
		out->failed = true;
	buf_add_json(out, buf_slice(&url));
	buf_fini(&url);
}

static void
list_add(struct buf *out, const char *name, const char *const *items)
{
	if (!items)
		return;
	buf_printf(out, ",\"%s\":[", name);
	for (size_t i = 0; items[i]; i++) {
		if (i)
			buf_add_char(out, ',');
		buf_add_json(out, slice_str(items[i]));
	}
	buf_add_char(out, ']');
}

void
discovery_print(const struct discovery_offer *o, struct buf *out)
{
	static const char *const subject_types[] = { "public", NULL };
	static const char *const auth_methods[] = { "client_secret_basic", "client_secret_post", "none", NULL };
	static const char *const secret_methods[] = { "client_secret_basic", "client_secret_post", NULL };
	static const char *const claim_types[] = { "normal", NULL };

	buf_add_str(out, "{\"issuer\":");
	buf_add_json(out, slice_str(o->issuer));
	endpoint_add(out, "authorization_endpoint", o->issuer, o->auth_path);
	endpoint_add(out, "token_endpoint", o->issuer, o->token_path);
	endpoint_add(out, "jwks_uri", o->issuer, o->keys_path);
	endpoint_add(out, "userinfo_endpoint", o->issuer, o->userinfo_path);
	endpoint_add(out, "device_authorization_endpoint", o->issuer, o->device_path);
	endpoint_add(out, "introspection_endpoint", o->issuer, o->introspect_path);
	endpoint_add(out, "revocation_endpoint", o->issuer, o->revoke_path);
	endpoint_add(out, "end_session_endpoint", o->issuer, o->logout_path);
	list_add(out, "response_types_supported", o->response_types);
	list_add(out, "response_modes_supported", o->response_modes);
	list_add(out, "grant_types_supported", o->grant_types);
	list_add(out, "subject_types_supported", subject_types);
	list_add(out, "id_token_signing_alg_values_supported", o->algs);
	list_add(out, "code_challenge_methods_supported", o->pkce_methods);
	list_add(out, "scopes_supported", o->scopes);
	list_add(out, "token_endpoint_auth_methods_supported", auth_methods);
	if (o->introspect_path)
		list_add(out, "introspection_endpoint_auth_methods_supported", secret_methods); /* RFC 7662 section 2.1: MUST authenticate */
	if (o->revoke_path)
		list_add(out, "revocation_endpoint_auth_methods_supported", auth_methods);
	list_add(out, "claim_types_supported", claim_types);
	list_add(out, "claims_supported", o->claims);
	/* OpenID Connect Core 6: said plainly, since request_uri defaults to true (Discovery section 3). */
	buf_add_str(out, ",\"claims_parameter_supported\":false,\"request_parameter_supported\":false,\"request_uri_parameter_supported\":false"
			 ",\"authorization_response_iss_parameter_supported\":true");
	if (o->backchannel_logout)
		buf_add_str(out, ",\"backchannel_logout_supported\":true,\"backchannel_logout_session_supported\":true");
	buf_add_char(out, '}');
}
