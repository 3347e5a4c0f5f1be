/* config_internal.h - the configuration as bound, and what the files that check it share. Nobody else includes it.
 *
 *   config.c        tables, loading, look-ups               config_check.c   the issuer itself
 *   config_dex.c    keys of dex that are not carried        config_people.c  passwords, connectors
 *   config_places.c where store and sockets are, read alone  config_grants.c what may be asked for, by whom
 *   config_clients.c clients                                 config_client_file.c  one client by itself */
#ifndef AUTHD_CONFIG_INTERNAL_H
#define AUTHD_CONFIG_INTERNAL_H

#include "authd/config.h"
#include "shared/config_path.h"

#define CONFIG_PEM_BYTES_MAX (1u << 20)

struct config_file_claim {
	const char *name, *value, *from;
	int line;
};
struct config_file_client {
	const char *id, *id_env, *secret, *secret_env, *name, *logo_url, *backchannel_logout_uri, *signing_alg;
	bool backchannel_session_required; /* asks for nothing: a logout token always says which session */
	struct config_strings redirect_uris, trusted_peers, allowed_connectors, post_logout_redirect_uris, grant_types;
	unsigned grants;
	bool public;
	struct config_strings groups;
	struct config_list claims; /* config_file_claim */
	int subject;               /* 0: encoded, 1: plain */
	int64_t id_tokens_ms, refresh_absolute_ms, refresh_idle_ms;
	int line;
};

/* authd_config, with what was read on the way to it. */
struct config_file {
	struct authd_config c; /* first: what everybody else sees */
	const struct yaml_node *root;
	const struct yaml_node *storage_config, *signer_config; /* of their types */
	const char *signer_type, *log_level, *log_format;
	struct config_strings response_types, grant_types, pkce_methods;
	struct config_strings trusted_proxies;
	int64_t signer_rotation_ms; /* 0: not given */
	bool profiling;
	int algorithm;
	struct config_list clients; /* config_file_client */
};

struct config_check {
	struct config_file *f;
	int64_t now_s;
	struct config_error *e;
};

#define KEY(...) (config_key(__VA_ARGS__).text)

/* Line of "connectors[0].config.orgs[1].name", keys in any case, or of the nearest block around it that the document has. */
int authd_config_line(const struct yaml_node *root, const char *key);

/* Fill k->e with FILE:LINE: key: and the text; E_FORMAT. */
enum err authd_config_refuse(const struct config_check *k, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
enum err authd_config_no_memory(const struct config_check *k);

/* Text of a PEM file, in the arena. */
MUST_CHECK enum err authd_config_read_pem(const struct config_check *k, const char *key, const char *path, struct slice *out);
/* E_FORMAT when it is set and not fit for a claim or header (oidc/identity.h). */
MUST_CHECK enum err authd_config_check_value(const struct config_check *k, const char *key, const char *text);
/* As in dex, an empty optional text is an absent one: it becomes NULL. texts: ended by NULL. */
void authd_config_drop_empty(const char **const *texts);
/* "https://host[:port]", nothing behind it. */
bool authd_config_is_origin(const char *text);

/* config_dex.c. Before the tables: E_FORMAT for a key that dex has and authd does not carry. */
MUST_CHECK enum err authd_config_check_dex(const char *file, const struct yaml_node *root, struct config_error *e);
/* The same for a document that is one client. */
MUST_CHECK enum err authd_config_check_dex_client(const char *file, const struct yaml_node *root, struct config_error *e);
/* config_web.c */
MUST_CHECK enum err authd_config_check_web(struct config_check *k);
MUST_CHECK enum err authd_config_check_telemetry(struct config_check *k);
/* config_frontend.c */
MUST_CHECK enum err authd_config_check_frontend(struct config_check *k);
/* config_check.c */
/* Each retired key stays published as long as its tokens live. */
MUST_CHECK enum err authd_config_check_lifetime(const struct config_check *k, const char *key, int64_t lifetime_ms);
MUST_CHECK enum err authd_config_check(struct config_check *k);
/* config_grants.c */
MUST_CHECK enum err authd_config_check_oauth2(struct config_check *k);
/* "expected a, b or c, found …" */
enum err authd_config_refuse_word(const struct config_check *k, const char *key, const char *const *words, size_t n, const char *found);
/* Names of grant types into GRANT_BITs; an empty list: 0. E_FORMAT for a word that is none. */
MUST_CHECK enum err authd_config_grants(const struct config_check *k, const char *key, const struct config_strings *list, unsigned *out);
/* config_clients.c. at: where the client's keys stand, with a '.' at its end if anywhere but at the top. */
MUST_CHECK enum err authd_config_check_clients(struct config_check *k);
/* id and secret, from the environment too; which of them are needed is the caller's to say. */
MUST_CHECK enum err authd_config_client_credentials(const struct config_check *k, const char *at, struct config_file_client *from);
/* All else. connectors and expiry of the configuration are there. */
MUST_CHECK enum err authd_config_check_client(const struct config_check *k, const char *at, struct config_file_client *from, struct client *to);
/* config_people.c */
MUST_CHECK enum err authd_config_check_passwords(struct config_check *k);
MUST_CHECK enum err authd_config_check_connectors(struct config_check *k);

/* config.c. authd_config_load of a text; name: for messages. */
MUST_CHECK enum err authd_config_load_text(const char *name, struct slice text, const struct clock *clock, struct authd_config **out, struct config_error *e);
/* An empty configuration. NULL: no memory, with e filled. */
struct config_file *authd_config_file_new(const char *name, struct config_error *e);
/* The keys of one client. */
MUST_CHECK enum err authd_config_bind_client(struct config_check *k, const struct yaml_node *node, struct config_file_client *out);
/* The blocks whose keys depend on a `type` beside them. */
MUST_CHECK enum err authd_config_bind_storage(struct config_check *k);
MUST_CHECK enum err authd_config_bind_signer(struct config_check *k);
MUST_CHECK enum err authd_config_bind_github(struct config_check *k, size_t connector);

#endif
