/* config.h - authd's configuration: dex's config.yaml, as far as it does what it says, and our own few keys beside it.
 * Keys match without regard to case, as dex's do; unknown keys and values that dex knows but authd does not carry are errors. */
#ifndef AUTHD_CONFIG_H
#define AUTHD_CONFIG_H

#include "authd/frontend.h"
#include "authd/template.h"
#include "authd/vault.h"
#include "oidc/client.h"
#include "oidc/jwk_set.h"
#include "shared/bearer_file.h"
#include "shared/clock.h"
#include "shared/config.h"
#include "shared/address.h"
#include "shared/ip_block.h"

#define AUTHD_PASSWORD_CONNECTOR "local" /* dex's id of its password database */

/* A text that is absent is NULL; email, hash and user_id are always there. */
struct authd_password {
	const char *email, *hash, *username, *name, *preferred_username, *user_id;
	const char *hash_from_env; /* where hash came from; NULL: the file */
	bool email_verified;       /* default true */
	struct config_strings groups;
	int line;
};

struct authd_connector_config {
	const char *type, *id, *name;
	const struct yaml_node *config; /* of its type */
	struct config_strings grant_types;
	unsigned grants;                /* GRANT_BITs that people may be signed in with it for; 0: all */
	struct github_config *github;   /* bound, when type is github */
	int line;
};

/* web.headers: names, in the order of authd_config.web.headers. */
#define AUTHD_WEB_HEADERS 5
extern const char *const authd_config_web_headers[AUTHD_WEB_HEADERS];

/* connectors[].config of type github (dex's keys). */
struct github_org {
	const char *name;
	struct config_strings teams;
};
struct github_config {
	const char *client_id, *client_secret, *redirect_uri, *org, *host_name, *root_ca, *preferred_email_domain;
	struct config_list orgs; /* github_org; org and orgs are never both set */
	int team_name_field;     /* 0 name, 1 slug, 2 both */
	bool load_all_groups, use_login_as_id;
	const char *base_url, *api_url; /* ours (baseURL, apiURL; without '/' at the end; NULL: derived): instead of https://github.com and https://api.github.com (or https://HOST, https://HOST/api/v3) */
};

/* Light or dark: as the browser likes it, unless frontend.theme says. */
enum authd_scheme { AUTHD_SCHEME_BROWSERS, AUTHD_SCHEME_LIGHT, AUTHD_SCHEME_DARK };
struct authd_frontend {
	const char *issuer;             /* name shown on pages; default "Gatehouse" */
	const char *theme, *dir;        /* NULL: not given */
	const char *logo_url;           /* absolute, or below the issuer's path without a slash before it; NULL: ours */
	struct slice logo_origin;       /* of an absolute one; else empty */
	const struct yaml_node *extra;  /* a map of texts, for templates; NULL: none */
	enum authd_scheme scheme;
	struct frontend_files files;    /* of dir */
	struct template_set *templates; /* of dir; NULL: none */
};

struct authd_config {
	const char *file;
	struct arena arena;
	const char *issuer;
	struct url issuer_url;       /* parsed; path "" or "/oidc" */
	struct {
		const char *type, *path, *key_file; /* lmdb: storage.config.path, keyFile */
		const struct vault_keys *keys;      /* what keyFile holds; NULL: secrets are not sealed */
	} storage;
	struct {
		const char *http, *https, *unix_path, *tls_cert, *tls_key; /* ours: web.unix; NULL: no such listener */
		const char *ctl_path;                                      /* ours: web.ctl, default <storage.config.path>/ctl.sock */
		struct slice tls_cert_pem, tls_key_pem;                    /* what the files held; NUL-terminated */
		int tls_min_version, tls_max_version;                      /* 0: 1.2, 1: 1.3 */
		struct config_strings allowed_origins;                     /* "https://console.example" or "*" */
		struct config_strings allowed_headers;                     /* of requests from there, beside Authorization and Content-Type */
		const char *headers[AUTHD_WEB_HEADERS];                    /* of answers, in place of our own; NULL: not given */
		const char *client_ip_header;                              /* where trusted proxies say whom they serve; NULL: nowhere */
		const struct ip_block *trusted_proxies;
		size_t trusted_proxy_n;
	} web;
	struct {
		bool skip_approval_screen, always_show_login_screen;
		const char *password_connector; /* NULL or AUTHD_PASSWORD_CONNECTOR */
		bool pkce_enforce, pkce_plain;
		unsigned grants;         /* GRANT_BITs that are switched on; authorization_code is always among them */
		unsigned response_types; /* bits (1 << RESPONSE_* combination); code alone is always among them */
	} oauth2;
	struct {
		int64_t id_tokens_ms, auth_requests_ms, device_requests_ms; /* at least 1 s */
		int64_t stale_groups_ms;                /* how long what the connector said last serves while it cannot be asked; 0: not at all */
		int64_t signing_keys_ms;                /* signer.config.keysRotationPeriod, else expiry.signingKeys; at least KEYS_PUBLISH_S */
		struct { bool disable_rotation; int64_t reuse_interval_ms, absolute_lifetime_ms, valid_if_not_used_for_ms; } refresh_tokens; /* lifetimes 0: no end */
	} expiry;
	enum jws_alg alg;            /* signer.config.algorithm */
	bool enable_password_db;
	struct config_list passwords; /* authd_password */
	struct client *clients;       /* staticClients */
	size_t client_n;
	struct config_list connectors; /* authd_connector_config */
	struct {
		int level, format;                /* enum log_level, enum log_format */
		struct config_strings exclude;    /* keys of fields that are left out */
	} log;
	struct authd_frontend frontend;
	const char *telemetry_http;  /* telemetry.http; NULL: no such listener */
	struct {
		const char *cookie_name;
		int64_t absolute_lifetime_ms, valid_if_not_used_for_ms;
		bool remember_me; /* rememberMeCheckedByDefault: where nobody is asked, it counts */
	} sessions;
	/* ours */
	struct {
		const char *secret_file;       /* NULL: the news of ended sessions are for the unix socket only */
		struct bearer_secrets secrets; /* what it holds */
	} revocations;
	struct {
		const char *gateway;               /* default: the issuer's origin; no '/' at the end */
		const char *certificate_authority; /* file; NULL: none */
		struct slice certificate_authority_pem;
		const char *client_id;             /* a public client of staticClients; NULL: none */
		struct config_strings clusters;    /* DNS labels */
	} console;
	const char *user;            /* to become when started as root */
	int sandbox;                 /* ours; 0: what the kernel has; 1: all of it, or authd does not start */
};

/* Read, bind and check everything. E_FORMAT, E_SYSTEM, E_NOMEM with e filled. Freed by authd_config_free. */
MUST_CHECK enum err authd_config_load(const char *path, const struct clock *clock, struct authd_config **out, struct config_error *e);
void authd_config_free(struct authd_config *c);
/* One client by itself, with the keys of an entry of staticClients, checked as such.
 * read: what `authd ctl` does with a file, whose secrets and variables are its own: id, secret (NULL: not given), whether it is public, and all but the first two as JSON in which each key stands
 * on the line that it has in the text. Texts in arena.
 * load: what a running authd does with that. name: of the file, for messages; connectors and keys are those of running. *out->clients[0] has no id and no secret.
 * E_FORMAT, E_NOMEM with e filled. */
struct authd_config_client_file {
	const char *id, *secret;
	bool public;
	struct slice json;
};
MUST_CHECK enum err authd_config_client_read(struct arena *arena, const char *name, struct slice text, struct authd_config_client_file *out, struct config_error *e);
MUST_CHECK enum err authd_config_client_load(const struct authd_config *running, const char *name, struct slice json, struct authd_config **out, struct config_error *e);
/* What is wrong with a redirect URI of a client; NULL: nothing. */
const char *authd_config_redirect_uri_fault(const char *uri);
bool authd_config_client_id_ok(struct slice id);
const struct client *authd_config_client(const struct authd_config *c, struct slice id);
/* By email, without regard to case. */
const struct authd_password *authd_config_password(const struct authd_config *c, struct slice email);
/* What `authd ctl` needs of a file that it may not be able to use whole (secrets in an environment that is not its own): where the store and the
 * control socket are. Texts in arena. E_FORMAT, E_SYSTEM, E_NOMEM with e filled. */
struct authd_config_places {
	const char *store, *ctl_socket, *key_file;
};
MUST_CHECK enum err authd_config_places(struct arena *arena, const char *path, struct authd_config_places *out, struct config_error *e);
/* Default of web.ctl. NULL: no memory. */
const char *authd_config_ctl_path(struct arena *arena, const char *store_path);

/* The longest that an ID or access token of any client lives. */
int64_t authd_config_tokens_longest_s(const struct authd_config *c);
/* Highest cost of the configured hashes, for password_pool_set_cost; PASSWORD_COST_MIN when there are none. */
unsigned authd_config_password_cost(const struct authd_config *c);

#endif
