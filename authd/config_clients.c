/* Clients: of staticClients, and one by itself for `authd ctl`. `at` is where its keys stand: "staticClients[3].", or "". */
#include <stdlib.h>
#include "authd/config_internal.h"

/* ---- who it is ---- */

/* RFC 6749 appendix A.1 and A.2: visible characters and the blank. */
bool
authd_config_client_id_ok(struct slice id)
{
	for (size_t i = 0; i < id.n; i++)
		if (id.p[i] < ' ' || id.p[i] > '~')
			return false;
	return id.n > 0 && id.n <= 256;
}

/* *value: given in the file, or from the environment variable that `env` names; NULL: neither. */
static enum err
take_env(const struct config_check *k, const char *key, const char *env_key, const char *env, const char **value)
{
	if (!env)
		return OK;
	if (*value)
		return authd_config_refuse(k, env_key, "expected either this key or %s beside it, found both", key);
	const char *text = getenv(env);
	if (!text || !*text)
		return authd_config_refuse(k, env_key, "expected the name of an environment variable that is set and not empty, found \"%s\"", env);
	*value = arena_strdup(&k->f->c.arena, text);
	return *value ? OK : authd_config_no_memory(k);
}

enum err
authd_config_client_credentials(const struct config_check *k, const char *at, struct config_file_client *from)
{
	authd_config_drop_empty((const char **[]){ &from->id, &from->id_env, &from->secret, &from->secret_env, NULL });
	enum err e = take_env(k, "id", KEY("%sidEnv", at), from->id_env, &from->id);
	if (e == OK)
		e = take_env(k, "secret", KEY("%ssecretEnv", at), from->secret_env, &from->secret);
	if (e == OK && from->id && !authd_config_client_id_ok(slice_str(from->id)))
		e = authd_config_refuse(k, KEY("%sid", at), "expected at most 256 visible ASCII characters");
	return e;
}

/* ---- where it lives ---- */

/* Schemes by which a browser would run or show what the URI itself carries. */
static bool
is_dangerous_scheme(struct slice scheme)
{
	static const char *const words[] = { "javascript", "data", "vbscript", "file", "blob", "about", "view-source" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_eq_nocase(scheme, slice_str(words[i])))
			return true;
	return false;
}

const char *
authd_config_redirect_uri_fault(const char *uri)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", rest[] = "0123456789+-.";
	size_t n = strspn(uri, letters);
	struct url url;

	if (uri[0] == '/')
		return "expected an absolute URI: the one path that means something, the device flow, is " CLIENT_DEVICE_CALLBACK " among redirectURIs";
	for (const char *p = uri; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '#')
			return "expected an absolute URI of visible ASCII characters without a fragment";
	while (n && uri[n] && (strchr(letters, uri[n]) || strchr(rest, uri[n])))
		n++;
	if (n == 0 || uri[n] != ':' || uri[n + 1] == '\0')
		return "expected an absolute URI, such as https://app.example.com/callback";
	struct slice scheme = slice_of(uri, n);
	if (is_dangerous_scheme(scheme))
		return "expected a URI that leads to an application, not one that a browser would run or read itself";
	if ((slice_eq_nocase(scheme, SLICE_LIT("http")) || slice_eq_nocase(scheme, SLICE_LIT("https"))) && url_parse(slice_str(uri), &url) != OK)
		return "expected an http or https URL with a host and without a user";
	return NULL;
}

static enum err
check_uris(const struct config_check *k, const char *at, const struct config_file_client *from)
{
	const char *fault;
	struct url url;

	for (size_t j = 0; j < from->redirect_uris.n; j++)
		if (strcmp(from->redirect_uris.items[j], CLIENT_DEVICE_CALLBACK) != 0 && (fault = authd_config_redirect_uri_fault(from->redirect_uris.items[j])))
			return authd_config_refuse(k, KEY("%sredirectURIs[%zu]", at, j), "%s; found \"%s\"", fault,
				from->redirect_uris.items[j]);
	for (size_t j = 0; j < from->post_logout_redirect_uris.n; j++)
		if ((fault = authd_config_redirect_uri_fault(from->post_logout_redirect_uris.items[j])))
			return authd_config_refuse(k, KEY("%spostLogoutRedirectURIs[%zu]", at, j), "%s; found \"%s\"", fault,
				from->post_logout_redirect_uris.items[j]);
	if (from->logo_url && url_parse(slice_str(from->logo_url), &url) != OK)
		return authd_config_refuse(k, KEY("%slogoURL", at), "expected an http or https URL, found \"%s\"", from->logo_url);
	if (from->backchannel_logout_uri && !client_backchannel_logout_uri_ok(from->backchannel_logout_uri))
		return authd_config_refuse(k, KEY("%sbackchannelLogoutURI", at),
			"expected an https URL without a fragment (http to this machine itself only), found \"%s\"", from->backchannel_logout_uri);
	if (from->backchannel_session_required && !from->backchannel_logout_uri)
		return authd_config_refuse(k, KEY("%sbackchannelLogoutSessionRequired", at), "needs backchannelLogoutURI beside it");
	return OK;
}

/* ---- what it is told ---- */

/* What authd says itself. */
static bool
is_reserved(const char *name)
{
	static const char *const words[] = { "iss", "sub", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "auth_time", "sid", "at_hash", "c_hash", "acr", "amr", "email",
		"email_verified", "groups", "name", "preferred_username", "federated_claims", "events", "client_id", "scope", "grant", "cnf", "act", "may_act" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(name, words[i]) == 0)
			return true;
	return false;
}

static enum err
check_claim(const struct config_check *k, const char *key, const struct config_file_claim *from, struct client_claim *to)
{
	const char *sources[CLIENT_CLAIM_SOURCES];
	enum client_claim_from source = CLAIM_TEXT;

	if (is_reserved(from->name))
		return authd_config_refuse(k, KEY("%s.name", key), "\"%s\" is a claim that authd sets itself", from->name);
	if (!from->value == !from->from)
		return authd_config_refuse(k, key, "expected either value or from beside the name, found %s", from->value ? "both" : "neither");
	for (size_t i = 0; i < CLIENT_CLAIM_SOURCES; i++)
		sources[i] = client_claim_from_name((enum client_claim_from)i);
	if (from->from && !client_claim_from_find(slice_str(from->from), &source))
		return authd_config_refuse_word(k, KEY("%s.from", key), sources + 1, CLIENT_CLAIM_SOURCES - 1, from->from);
	*to = (struct client_claim){ .name = from->name, .text = from->value, .from = source };
	enum err e = authd_config_check_value(k, KEY("%s.name", key), from->name);
	return e == OK ? authd_config_check_value(k, KEY("%s.value", key), from->value) : e;
}

static enum err
check_claims(const struct config_check *k, const char *at, const struct config_file_client *from, struct client *to)
{
	const struct config_file_claim *all = from->claims.items;
	struct client_claim *claims = arena_alloc(&k->f->c.arena, (from->claims.n + 1) * sizeof(*claims));
	enum err e = claims ? OK : authd_config_no_memory(k);

	for (size_t j = 0; j < from->claims.n && e == OK; j++) {
		e = check_claim(k, KEY("%sclaims[%zu]", at, j), &all[j], &claims[j]);
		for (size_t o = 0; o < j && e == OK; o++)
			if (strcmp(all[o].name, all[j].name) == 0)
				e = authd_config_refuse(k, KEY("%sclaims[%zu].name", at, j), "\"%s\" is the name of claims[%zu] too", all[j].name, o);
	}
	to->claims = claims;
	to->claim_n = from->claims.n;
	return e;
}

/* By the name that clients register it under (OpenID Connect Dynamic Client Registration 1.0 section 2: id_token_signed_response_alg). */
static enum err
check_alg(const struct config_check *k, const char *at, const char *name, enum jws_alg *alg)
{
	static const char *const words[] = { "RS256", "ES256" };

	*alg = name ? jws_alg_parse(slice_str(name)) : JWS_ALG_NONE;
	if (name && *name && *alg != JWS_RS256 && *alg != JWS_ES256)
		return authd_config_refuse_word(k, KEY("%sidTokenSignedResponseAlg", at), words, 2, name);
	return OK;
}

static enum err
check_settings(const struct config_check *k, const char *at, const struct config_file_client *from, struct client *to)
{
	for (size_t j = 0; j < from->groups.n; j++)
		if (!*from->groups.items[j])
			return authd_config_refuse(k, KEY("%sgroups[%zu]", at, j), "expected the name of a group, with * for any characters");
	enum err e = check_alg(k, at, from->signing_alg, &to->signing_alg);
	if (e != OK)
		return e;
	to->groups = from->groups.items;
	to->group_n = from->groups.n;
	to->plain_subject = from->subject == 1;
	to->id_tokens_s = from->id_tokens_ms / 1000;
	to->refresh_absolute_s = from->refresh_absolute_ms / 1000;
	to->refresh_idle_s = from->refresh_idle_ms / 1000;
	e = authd_config_check_lifetime(k, KEY("%sexpiry.idTokens", at), from->id_tokens_ms);
	return e == OK ? check_claims(k, at, from, to) : e;
}

/* ---- all of it ---- */

static bool
is_connector(const struct authd_config *c, const char *id)
{
	const struct authd_connector_config *all = c->connectors.items;

	for (size_t i = 0; i < c->connectors.n; i++)
		if (strcmp(all[i].id, id) == 0)
			return true;
	return strcmp(id, AUTHD_PASSWORD_CONNECTOR) == 0;
}

enum err
authd_config_check_client(const struct config_check *k, const char *at, struct config_file_client *from, struct client *to)
{
	authd_config_drop_empty((const char **[]){ &from->logo_url, &from->backchannel_logout_uri, &from->signing_alg, NULL });
	enum err e = check_uris(k, at, from);
	if (e != OK)
		return e;
	for (size_t j = 0; j < from->trusted_peers.n; j++)
		if (!*from->trusted_peers.items[j])
			return authd_config_refuse(k, KEY("%strustedPeers[%zu]", at, j), "expected the id of a client");
	for (size_t j = 0; j < from->allowed_connectors.n; j++)
		if (!is_connector(&k->f->c, from->allowed_connectors.items[j]))
			return authd_config_refuse(k, KEY("%sallowedConnectors[%zu]", at, j),
				"expected the id of a connector or \"" AUTHD_PASSWORD_CONNECTOR "\", found \"%s\"", from->allowed_connectors.items[j]);
	e = authd_config_grants(k, KEY("%sgrantTypes", at), &from->grant_types, &from->grants);
	if (e == OK)
		e = authd_config_check_value(k, KEY("%sname", at), from->name);
	if (e != OK)
		return e;
	*to = (struct client){
		.id = from->id,
		.secret = from->secret,
		.name = from->name,
		.redirect_uris = from->redirect_uris.items,
		.redirect_uri_n = from->redirect_uris.n,
		.post_logout_redirect_uris = from->post_logout_redirect_uris.items,
		.post_logout_redirect_uri_n = from->post_logout_redirect_uris.n,
		.trusted_peers = from->trusted_peers.items,
		.trusted_peer_n = from->trusted_peers.n,
		.allowed_connectors = from->allowed_connectors.items,
		.allowed_connector_n = from->allowed_connectors.n,
		.logo_url = from->logo_url,
		.grant_types = from->grants,
		.backchannel_logout_uri = from->backchannel_logout_uri,
		.public = from->public,
	};
	return check_settings(k, at, from, to);
}

/* Of the list: what only the others in it can tell. */
static enum err
check_listed(const struct config_check *k, size_t i, struct config_file_client *from)
{
	const struct authd_config *c = &k->f->c;
	const struct config_key at = config_key("staticClients[%zu].", i);
	enum err e = authd_config_client_credentials(k, at.text, from);

	if (e != OK)
		return e;
	if (!from->id)
		return authd_config_refuse(k, KEY("%sid", at.text), "expected id, or idEnv, found nothing");
	for (size_t j = 0; j < i; j++)
		if (strcmp(c->clients[j].id, from->id) == 0)
			return authd_config_refuse(k, KEY("%sid", at.text), "\"%s\" is the id of staticClients[%zu] too", from->id, j);
	if (!from->secret && !from->public)
		return authd_config_refuse(k, KEY("%ssecret", at.text),
			"expected secret, or secretEnv, or public: true for a program that cannot keep one, found nothing");
	return authd_config_check_client(k, at.text, from, &k->f->c.clients[i]);
}

enum err
authd_config_check_clients(struct config_check *k)
{
	struct authd_config *c = &k->f->c;
	struct config_file_client *all = k->f->clients.items;
	enum err e = OK;

	c->clients = arena_alloc(&c->arena, k->f->clients.n * sizeof(*c->clients));
	if (!c->clients)
		return authd_config_no_memory(k);
	for (size_t i = 0; i < k->f->clients.n && e == OK; i++) {
		e = check_listed(k, i, &all[i]);
		c->client_n += e == OK;
	}
	return e;
}
