/* What may be asked for: grants, response types, PKCE; and what is different for one client alone. */
#include <stdio.h>
#include "authd/config_internal.h"
#include "oidc/authorization_request.h"
#include "oidc/token_request.h"

static bool
contains(const struct config_strings *list, const char *word)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i], word) == 0)
			return true;
	return false;
}

static enum err
refuse_word(const struct config_check *k, const char *key, const char *const *words, size_t n, const char *found)
{
	char text[400] = "";

	for (size_t i = 0, at = 0; i < n && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", words[i]);
	return authd_config_refuse(k, key, "expected %s, found \"%s\"", text, found);
}

/* Each item is one of words, and the first of them is among the items. */
static enum err
check_words(const struct config_check *k, const char *key, const struct config_strings *list, const char *const *words, size_t n)
{
	for (size_t i = 0; i < list->n; i++) {
		size_t j = 0;
		while (j < n && strcmp(words[j], list->items[i]) != 0)
			j++;
		if (j == n)
			return refuse_word(k, KEY("%s[%zu]", key, i), words, n, list->items[i]);
	}
	return contains(list, words[0]) ? OK : authd_config_refuse(k, key, "expected %s among them: authd does nothing without it", words[0]);
}

enum err
authd_config_grants(const struct config_check *k, const char *key, const struct config_strings *list, unsigned *out)
{
	const char *words[GRANT_TYPES];
	enum grant_type grant;

	*out = 0;
	for (size_t i = 0; i < GRANT_TYPES; i++)
		words[i] = grant_type_name((enum grant_type)i);
	for (size_t i = 0; i < list->n; i++) {
		if (!grant_type_find(slice_str(list->items[i]), &grant))
			return refuse_word(k, KEY("%s[%zu]", key, i), words, GRANT_TYPES, list->items[i]);
		*out |= GRANT_BIT(grant);
	}
	return OK;
}

/* As in dex, what a grant cannot work without switches it on or off as well: passwordConnector the password grant, responseTypes the implicit one. */
static enum err
check_grants(struct config_check *k)
{
	struct authd_config *c = &k->f->c;
	enum err e = authd_config_grants(k, "oauth2.grantTypes", &k->f->grant_types, &c->oauth2.grants);

	if (e != OK)
		return e;
	if (!(c->oauth2.grants & GRANT_BIT(GRANT_AUTHORIZATION_CODE)))
		return authd_config_refuse(k, "oauth2.grantTypes", "expected authorization_code among them: authd does nothing without it");
	if (!c->oauth2.password_connector)
		c->oauth2.grants &= ~GRANT_BIT(GRANT_PASSWORD);
	return OK;
}

/* As dex has it, words of which every combination may be asked for; or a combination by itself, as in "code id_token". */
static enum err
check_response_types(struct config_check *k)
{
	static const char *const words[] = { "code", "id_token", "token" };
	const unsigned code_alone = 1u << RESPONSE_CODE, token_alone = 1u << RESPONSE_TOKEN;
	struct authd_config *c = &k->f->c;
	unsigned all = 0, allowed = 0;

	for (size_t i = 0; i < k->f->response_types.n; i++) {
		const char *item = k->f->response_types.items[i];
		unsigned bits = authorization_response_type(slice_str(item));
		if (!bits)
			return refuse_word(k, KEY("oauth2.responseTypes[%zu]", i), words, 3, item);
		if (strchr(item, ' '))
			allowed |= 1u << bits;
		else
			all |= bits;
	}
	for (unsigned combination = 1; combination <= (RESPONSE_CODE | RESPONSE_ID_TOKEN | RESPONSE_TOKEN); combination++)
		if (!(combination & ~all))
			allowed |= 1u << combination;
	c->oauth2.response_types = allowed & ~token_alone; /* OAuth's own, which says nothing about who signed in: dex has it neither */
	if (!(allowed & code_alone))
		return authd_config_refuse(k, "oauth2.responseTypes", "expected code among them: authd does nothing without it");
	c->oauth2.grants &= ~GRANT_BIT(GRANT_IMPLICIT);
	if (c->oauth2.response_types != code_alone)
		c->oauth2.grants |= GRANT_BIT(GRANT_IMPLICIT);
	return OK;
}

enum err
authd_config_check_oauth2(struct config_check *k)
{
	static const char *const methods[] = { "S256", "plain" };
	struct config_file *f = k->f;

	authd_config_drop_empty((const char **[]){ &f->c.oauth2.password_connector, NULL });
	if (f->c.oauth2.password_connector && strcmp(f->c.oauth2.password_connector, AUTHD_PASSWORD_CONNECTOR) != 0)
		return authd_config_refuse(k, "oauth2.passwordConnector", "expected \"" AUTHD_PASSWORD_CONNECTOR "\", found \"%s\"",
			f->c.oauth2.password_connector);
	if (f->c.oauth2.password_connector && !f->c.enable_password_db)
		return authd_config_refuse(k, "oauth2.passwordConnector", "needs enablePasswordDB: true");
	enum err e = check_grants(k);
	if (e == OK)
		e = check_response_types(k);
	if (e == OK)
		e = check_words(k, "oauth2.pkce.codeChallengeMethodsSupported", &f->pkce_methods, methods, 2);
	if (e != OK)
		return e;
	f->c.oauth2.pkce_plain = contains(&f->pkce_methods, "plain");
	return OK;
}

/* ---- of one client ---- */

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
	static const char *const sources[] = { [CLAIM_TEXT] = "", [CLAIM_SUB] = "sub", [CLAIM_USER_ID] = "user_id", [CLAIM_CONNECTOR_ID] = "connector_id",
		[CLAIM_NAME] = "name", [CLAIM_PREFERRED_USERNAME] = "preferred_username", [CLAIM_EMAIL] = "email", [CLAIM_GROUPS] = "groups" };
	const size_t n = sizeof(sources) / sizeof(sources[0]);
	size_t source = CLAIM_TEXT;

	if (is_reserved(from->name))
		return authd_config_refuse(k, KEY("%s.name", key), "\"%s\" is a claim that authd sets itself", from->name);
	if (!from->value == !from->from)
		return authd_config_refuse(k, key, "expected either value or from beside the name, found %s", from->value ? "both" : "neither");
	while (from->from && source < n && strcmp(from->from, sources[source]) != 0)
		source++;
	if (source == n || (from->from && source == CLAIM_TEXT))
		return refuse_word(k, KEY("%s.from", key), sources + 1, n - 1, from->from);
	*to = (struct client_claim){ .name = from->name, .text = from->value, .from = (enum client_claim_from)source };
	enum err e = authd_config_check_value(k, KEY("%s.name", key), from->name);
	return e == OK ? authd_config_check_value(k, KEY("%s.value", key), from->value) : e;
}

static enum err
check_claims(const struct config_check *k, size_t i, const struct config_file_client *from, struct client *to)
{
	const struct config_file_claim *all = from->claims.items;
	struct client_claim *claims = arena_alloc(&k->f->c.arena, (from->claims.n + 1) * sizeof(*claims));
	enum err e = claims ? OK : authd_config_no_memory(k);

	for (size_t j = 0; j < from->claims.n && e == OK; j++) {
		e = check_claim(k, KEY("staticClients[%zu].claims[%zu]", i, j), &all[j], &claims[j]);
		for (size_t o = 0; o < j && e == OK; o++)
			if (strcmp(all[o].name, all[j].name) == 0)
				e = authd_config_refuse(k, KEY("staticClients[%zu].claims[%zu].name", i, j), "\"%s\" is the name of claims[%zu] too", all[j].name, o);
	}
	to->claims = claims;
	to->claim_n = from->claims.n;
	return e;
}

/* By the name that clients register it under (OpenID Connect Dynamic Client Registration 1.0 section 2: id_token_signed_response_alg). */
static enum err
check_alg(const struct config_check *k, size_t i, const char *name, enum jws_alg *alg)
{
	static const char *const words[] = { "RS256", "ES256" };

	*alg = name ? jws_alg_parse(slice_str(name)) : JWS_ALG_NONE;
	if (name && *name && *alg != JWS_RS256 && *alg != JWS_ES256)
		return refuse_word(k, KEY("staticClients[%zu].idTokenSignedResponseAlg", i), words, 2, name);
	return OK;
}

enum err
authd_config_check_client_settings(const struct config_check *k, size_t i, const struct config_file_client *from, struct client *to)
{
	for (size_t j = 0; j < from->groups.n; j++)
		if (!*from->groups.items[j])
			return authd_config_refuse(k, KEY("staticClients[%zu].groups[%zu]", i, j), "expected the name of a group, with * for any characters");
	enum err e = check_alg(k, i, from->signing_alg, &to->signing_alg);
	if (e != OK)
		return e;
	to->groups = from->groups.items;
	to->group_n = from->groups.n;
	to->plain_subject = from->subject == 1;
	to->id_tokens_s = from->id_tokens_ms / 1000;
	to->refresh_absolute_s = from->refresh_absolute_ms / 1000;
	to->refresh_idle_s = from->refresh_idle_ms / 1000;
	e = authd_config_check_lifetime(k, KEY("staticClients[%zu].expiry.idTokens", i), from->id_tokens_ms);
	return e == OK ? check_claims(k, i, from, to) : e;
}
