/* What may be asked for: grants, response types, PKCE. */
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

enum err
authd_config_refuse_word(const struct config_check *k, const char *key, const char *const *words, size_t n, const char *found)
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
			return authd_config_refuse_word(k, KEY("%s[%zu]", key, i), words, n, list->items[i]);
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
			return authd_config_refuse_word(k, KEY("%s[%zu]", key, i), words, GRANT_TYPES, list->items[i]);
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
			return authd_config_refuse_word(k, KEY("oauth2.responseTypes[%zu]", i), words, 3, item);
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
