#include "oidc/discovery.h"

#include "oidc/strict_json.h"

/* A string member as a slice in arena; absent or no string: .p NULL. */
static struct slice
member(const json_t *root, const char *name, struct arena *arena, bool *failed)
{
	struct slice s = strict_json_string(json_object_get(root, name));

	if (!s.p)
		return SLICE_NONE;
	s = arena_slice(arena, s);
	*failed |= s.p == NULL;
	return s;
}

enum err
discovery_parse(struct slice json, const char *issuer, struct arena *arena, struct discovery *out, const char **why)
{
	json_t *root = NULL;
	bool failed = false;
	struct discovery d;

	*why = "not a JSON object";
	if (json.n > DISCOVERY_BYTES_MAX) {
		*why = "longer than 64 KiB";
		return E_LIMIT;
	}
	enum err err = strict_json_parse(json, &root);
	if (err != OK)
		return err;
	d = (struct discovery){
		.issuer = member(root, "issuer", arena, &failed),
		.authorization_endpoint = member(root, "authorization_endpoint", arena, &failed),
		.token_endpoint = member(root, "token_endpoint", arena, &failed),
		.jwks_uri = member(root, "jwks_uri", arena, &failed),
		.userinfo_endpoint = member(root, "userinfo_endpoint", arena, &failed),
		.device_authorization_endpoint = member(root, "device_authorization_endpoint", arena, &failed),
		.end_session_endpoint = member(root, "end_session_endpoint", arena, &failed),
		.revocation_endpoint = member(root, "revocation_endpoint", arena, &failed),
	};
	json_decref(root);
	if (failed) {
		*why = "out of memory";
		return E_NOMEM;
	}
	/* OpenID Connect Discovery 4.3: MUST exactly match. */
	if (!slice_eq_str(d.issuer, issuer)) {
		*why = "its issuer is not byte for byte the configured one";
		return E_FORMAT;
	}
	if (d.jwks_uri.n == 0) {
		*why = "it has no jwks_uri";
		return E_FORMAT;
	}
	*out = d;
	return OK;
}

static void
endpoint_add(struct buf *out, const char *name, const char *issuer, const char *path)
{
	if (!path)
		return;
	buf_printf(out, ",\"%s\":", name);
	struct buf url;
	buf_init(&url, 4096);
	buf_add_str(&url, issuer);
	buf_add_str(&url, path);
	out->failed |= !buf_ok(&url);
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
		list_add(out, "introspection_endpoint_auth_methods_supported", auth_methods);
	list_add(out, "claim_types_supported", claim_types);
	list_add(out, "claims_supported", o->claims);
	/* OpenID Connect Core 6: said plainly, since request_uri defaults to true (Discovery section 3). */
	buf_add_str(out, ",\"claims_parameter_supported\":false,\"request_parameter_supported\":false,\"request_uri_parameter_supported\":false"
			 ",\"authorization_response_iss_parameter_supported\":true");
	if (o->backchannel_logout)
		buf_add_str(out, ",\"backchannel_logout_supported\":true,\"backchannel_logout_session_supported\":true");
	buf_add_char(out, '}');
}
