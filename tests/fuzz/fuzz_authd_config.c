/* Any bytes as authd's configuration: what is refused says why in clean text that begins with the file's name, what is accepted keeps
 * what the rest of authd relies on. */
#include <stdlib.h>
#include "authd/config_internal.h"
#include "authd/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static void
must_hold(const struct authd_config *c)
{
	const struct authd_password *passwords = c->passwords.items;
	const struct authd_connector_config *connectors = c->connectors.items;
	const char *why;

	must(c->issuer && c->issuer_url.origin.n + c->issuer_url.path.n == strlen(c->issuer));
	must(c->issuer_url.path.n == 0 || c->issuer_url.path.p[c->issuer_url.path.n - 1] != '/');
	must(strcmp(c->storage.type, "lmdb") == 0 && c->storage.path && c->storage.path[0]);
	must(c->web.http || c->web.https || c->web.unix_path);
	must(!c->web.https || (c->web.tls_cert_pem.n && c->web.tls_key_pem.n));
	must(c->connectors.n || c->enable_password_db);
	must(c->alg == JWS_RS256 || c->alg == JWS_ES256);
	must(c->expiry.id_tokens_ms >= 1000 && c->expiry.signing_keys_ms >= 600000);
	must(c->log.level >= 0 && c->log.level <= 3 && (c->log.format == 0 || c->log.format == 1));
	must(c->sessions.cookie_name && c->sessions.cookie_name[0] && c->sessions.valid_if_not_used_for_ms <= c->sessions.absolute_lifetime_ms);
	must(c->console.gateway && authd_config_is_origin(c->console.gateway));
	for (size_t i = 0; i < c->client_n; i++) {
		must(authd_config_client(c, slice_str(c->clients[i].id)) == &c->clients[i]);
		must(c->clients[i].secret || c->clients[i].public);
		for (size_t j = 0; j < c->clients[i].redirect_uri_n; j++)
			must(!strchr(c->clients[i].redirect_uris[j], '#') && strchr(c->clients[i].redirect_uris[j], ':'));
	}
	for (size_t i = 0; i < c->passwords.n; i++) {
		must(authd_config_password(c, slice_str(passwords[i].email)) == &passwords[i]);
		must(passwords[i].user_id && password_hash_ok(slice_str(passwords[i].hash), &why));
	}
	for (size_t i = 0; i < c->connectors.n; i++)
		must(connectors[i].github && connectors[i].github->client_secret && !(connectors[i].github->org && connectors[i].github->orgs.n));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clock_fixed now;
	struct authd_config *c = NULL;
	struct config_error e = { "" };

	clock_fixed_init(&now, 1800000000);
	if (authd_config_load_text("fuzz", slice_of((const char *)data, size), &now.clock, &c, &e) != OK) {
		must(c == NULL);
		must(slice_has_prefix(slice_str(e.text), SLICE_LIT("fuzz:")));
		must(slice_is_utf8(slice_str(e.text)));
		return 0;
	}
	must_hold(c);
	authd_config_free(c);
	return 0;
}
