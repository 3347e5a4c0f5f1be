#include <stdlib.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "authd/config_internal.h"
#include "authd/password.h"
#include "shared/certificate.h"

#define HASH_BYTES_MAX 128

/* ---- people ---- */

/* dex takes a hash in base64 too. Its text, in the arena; .p NULL: it is none. */
static struct slice
hash_from_base64(struct config_check *k, const char *text)
{
	unsigned char bytes[HASH_BYTES_MAX + 3];
	size_t n = strlen(text), padding = 0;

	while (padding < 2 && padding < n && text[n - 1 - padding] == '=')
		padding++;
	if (n == 0 || n % 4 != 0 || n / 4 * 3 > HASH_BYTES_MAX)
		return SLICE_NONE;
	int got = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)n);
	struct slice out = SLICE_NONE;
	if (got > (int)padding)
		out = arena_slice(&k->f->c.arena, slice_of((char *)bytes, (size_t)got - padding));
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return out;
}

static enum err
take_hash(struct config_check *k, size_t i, struct authd_password *p)
{
	const char *why = NULL, *key = "hash";
	struct slice decoded;

	if (!p->hash && p->hash_from_env) {
		key = "hashFromEnv";
		p->hash = getenv(p->hash_from_env);
		if (!p->hash || !*p->hash)
			return authd_config_refuse(k, KEY("staticPasswords[%zu].hashFromEnv", i),
				"expected the name of an environment variable that is set and not empty, found \"%s\"", p->hash_from_env);
		p->hash = arena_strdup(&k->f->c.arena, p->hash);
		if (!p->hash)
			return authd_config_no_memory(k);
	}
	if (!p->hash)
		return authd_config_refuse(k, KEY("staticPasswords[%zu].hash", i), "expected hash, or hashFromEnv, found nothing");
	if (password_hash_cost(slice_str(p->hash)) == 0 && (decoded = hash_from_base64(k, p->hash)).p && password_hash_cost(decoded))
		p->hash = decoded.p;
	if (!password_hash_ok(slice_str(p->hash), &why))
		return authd_config_refuse(k, KEY("staticPasswords[%zu].%s", i, key), "expected %s", why);
	return OK;
}

static enum err
check_password(struct config_check *k, size_t i)
{
	struct authd_password *all = k->f->c.passwords.items, *p = &all[i];

	authd_config_drop_empty((const char **[]){ &p->hash, &p->hash_from_env, &p->username, &p->name, &p->preferred_username, &p->user_id, NULL });
	enum err e = take_hash(k, i, p);
	if (e == OK && !p->user_id)
		e = authd_config_refuse(k, KEY("staticPasswords[%zu].userID", i), "expected a text that no other person has: it becomes the person's sub; found nothing");
	for (size_t j = 0; j < i && e == OK; j++) {
		if (slice_eq_nocase(slice_str(p->email), slice_str(all[j].email)))
			e = authd_config_refuse(k, KEY("staticPasswords[%zu].email", i), "\"%s\" is the email of staticPasswords[%zu] too", p->email, j);
		else if (strcmp(p->user_id, all[j].user_id) == 0)
			e = authd_config_refuse(k, KEY("staticPasswords[%zu].userID", i), "\"%s\" is the userID of staticPasswords[%zu] too", p->user_id, j);
	}
	if (e == OK)
		e = authd_config_check_value(k, KEY("staticPasswords[%zu].email", i), p->email);
	if (e == OK)
		e = authd_config_check_value(k, KEY("staticPasswords[%zu].userID", i), p->user_id);
	if (e == OK)
		e = authd_config_check_value(k, KEY("staticPasswords[%zu].username", i), p->username);
	if (e == OK)
		e = authd_config_check_value(k, KEY("staticPasswords[%zu].name", i), p->name);
	if (e == OK)
		e = authd_config_check_value(k, KEY("staticPasswords[%zu].preferredUsername", i), p->preferred_username);
	for (size_t j = 0; j < p->groups.n && e == OK; j++)
		e = authd_config_check_value(k, KEY("staticPasswords[%zu].groups[%zu]", i, j), p->groups.items[j]);
	return e;
}

enum err
authd_config_check_passwords(struct config_check *k)
{
	const struct authd_config *c = &k->f->c;
	enum err e = OK;

	if (c->passwords.n && !c->enable_password_db)
		return authd_config_refuse(k, "staticPasswords", "needs enablePasswordDB: true");
	for (size_t i = 0; i < c->passwords.n && e == OK; i++)
		e = check_password(k, i);
	return e;
}

/* ---- connectors ---- */

/* It stands in the path /auth/ID. */
static bool
is_connector_id(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 64 && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 &&
		strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == n;
}

static bool
is_host(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 255 && s[0] != '.' && s[0] != ':' &&
		strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.:") == n;
}

/* "example.com", "*.example.com": labels, of which one may be '*'. */
static bool
is_email_domain(const char *s)
{
	struct slice rest = slice_str(s);
	size_t labels = 0, stars = 0;

	do {
		struct slice label = slice_cut(&rest, '.');
		bool star = slice_eq(label, SLICE_LIT("*"));
		stars += star;
		labels++;
		for (size_t i = 0; i < label.n && !star; i++)
			if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-", label.p[i]))
				return false;
		if (label.n == 0)
			return false;
	} while (rest.n);
	return labels >= 2 && stars <= 1 && s[strlen(s) - 1] != '.';
}

/* Where the client's secret is sent: https, or this machine itself. */
static bool
is_base_url(const char *s)
{
	struct url u;

	if (url_parse(slice_str(s), &u) != OK || strchr(s, '?') || s[strlen(s) - 1] == '/')
		return false;
	return u.tls || slice_eq_str(u.host, "127.0.0.1") || slice_eq_str(u.host, "::1") || slice_eq_str(u.host, "localhost");
}

static enum err
check_orgs(struct config_check *k, size_t i, const struct github_config *g)
{
	const struct github_org *orgs = g->orgs.items;

	if (g->org && g->orgs.n)
		return authd_config_refuse(k, KEY("connectors[%zu].config.org", i), "expected either org or orgs, found both");
	for (size_t o = 0; o < g->orgs.n; o++) {
		for (size_t j = 0; j < o; j++)
			if (slice_eq_nocase(slice_str(orgs[o].name), slice_str(orgs[j].name)))
				return authd_config_refuse(k, KEY("connectors[%zu].config.orgs[%zu].name", i, o), "\"%s\" is the name of orgs[%zu] too",
					orgs[o].name, j);
		for (size_t t = 0; t < orgs[o].teams.n; t++)
			if (!*orgs[o].teams.items[t])
				return authd_config_refuse(k, KEY("connectors[%zu].config.orgs[%zu].teams[%zu]", i, o, t),
					"expected the name of a team, found an empty text");
	}
	return OK;
}

static enum err
check_github(struct config_check *k, size_t i)
{
	struct authd_connector_config *all = k->f->c.connectors.items;
	const char *issuer = k->f->c.issuer;
	char why[CERTIFICATE_WHY_BYTES];
	struct slice pem;

	enum err e = authd_config_bind_github(k, i);
	if (e != OK)
		return e;
	struct github_config *g = all[i].github;
	authd_config_drop_empty((const char **[]){ &g->org, &g->host_name, &g->root_ca, &g->preferred_email_domain, &g->base_url, &g->api_url, NULL });
	size_t n = strlen(issuer);
	if (strncmp(g->redirect_uri, issuer, n) != 0 || strcmp(g->redirect_uri + n, "/callback") != 0)
		return authd_config_refuse(k, KEY("connectors[%zu].config.redirectURI", i), "expected \"%s/callback\", the issuer's own page; found \"%s\"",
			issuer, g->redirect_uri);
	if (g->host_name && !is_host(g->host_name))
		return authd_config_refuse(k, KEY("connectors[%zu].config.hostName", i), "expected a host name without scheme and '/', found \"%s\"",
			g->host_name);
	if (g->preferred_email_domain && !is_email_domain(g->preferred_email_domain))
		return authd_config_refuse(k, KEY("connectors[%zu].config.preferredEmailDomain", i),
			"expected a domain such as example.com or *.example.com, found \"%s\"", g->preferred_email_domain);
	if (g->base_url && !is_base_url(g->base_url))
		return authd_config_refuse(k, KEY("connectors[%zu].config.baseURL", i),
			"expected an https URL without query and without '/' at its end, found \"%s\"", g->base_url);
	if (g->api_url && !is_base_url(g->api_url))
		return authd_config_refuse(k, KEY("connectors[%zu].config.apiURL", i),
			"expected an https URL without query and without '/' at its end, found \"%s\"", g->api_url);
	if (g->root_ca) {
		e = authd_config_read_pem(k, KEY("connectors[%zu].config.rootCA", i), g->root_ca, &pem);
		if (e != OK)
			return e;
		if (certificate_check_ca(pem, k->now_s, why) != OK)
			return authd_config_refuse(k, KEY("connectors[%zu].config.rootCA", i), "%s %s", g->root_ca, why);
	}
	return check_orgs(k, i, g);
}

static enum err
check_connector_type(struct config_check *k, size_t i, const char *type)
{
	static const char *const known[] = { "mockCallback", "mockPassword", "ldap", "keystone", "gitlab", "google", "oidc", "oauth", "saml",
		"authproxy", "linkedin", "microsoft", "bitbucket-cloud", "openshift", "atlassian-crowd", "gitea", "ssh" };

	if (strcmp(type, "github") == 0)
		return OK;
	for (size_t j = 0; j < sizeof(known) / sizeof(known[0]); j++)
		if (strcmp(type, known[j]) == 0)
			return authd_config_refuse(k, KEY("connectors[%zu].type", i), "\"%s\" is known to dex and not carried by authd yet: remove this connector", type);
	return authd_config_refuse(k, KEY("connectors[%zu].type", i), "expected \"github\", found \"%s\"", type);
}

enum err
authd_config_check_connectors(struct config_check *k)
{
	struct authd_connector_config *all = k->f->c.connectors.items;

	for (size_t i = 0; i < k->f->c.connectors.n; i++) {
		enum err e = check_connector_type(k, i, all[i].type);
		if (e != OK)
			return e;
		if (!is_connector_id(all[i].id))
			return authd_config_refuse(k, KEY("connectors[%zu].id", i), "expected letters, digits, '-', '.', '_' or '~', at most 64, found \"%s\"",
				all[i].id);
		if (strcmp(all[i].id, AUTHD_PASSWORD_CONNECTOR) == 0)
			return authd_config_refuse(k, KEY("connectors[%zu].id", i), "\"" AUTHD_PASSWORD_CONNECTOR "\" is the id of the password database");
		for (size_t j = 0; j < i; j++)
			if (strcmp(all[i].id, all[j].id) == 0)
				return authd_config_refuse(k, KEY("connectors[%zu].id", i), "\"%s\" is the id of connectors[%zu] too", all[i].id, j);
		e = authd_config_check_value(k, KEY("connectors[%zu].name", i), all[i].name);
		if (e == OK)
			e = authd_config_grants(k, KEY("connectors[%zu].grantTypes", i), &all[i].grant_types, &all[i].grants);
		if (e == OK)
			e = check_github(k, i);
		if (e != OK)
			return e;
	}
	return OK;
}
