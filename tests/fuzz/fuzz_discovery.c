/* Any discovery document: what is taken from it are URLs, and none of them weaker than the issuer. */
#include "oidc/discovery.h"
#include "shared/address.h"
#include "tests/fuzz/must.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct discovery found;
	const char *why = NULL;
	struct arena arena;

	arena_init(&arena, 1u << 20);
	if (discovery_parse(slice_of((const char *)data, n), "https://issuer.example/oidc", &arena, &found, &why) == OK) {
		const struct slice endpoints[] = { found.jwks_uri, found.authorization_endpoint, found.token_endpoint, found.userinfo_endpoint,
			found.device_authorization_endpoint, found.end_session_endpoint, found.revocation_endpoint };
		struct url url;
		MUST(slice_eq_str(found.issuer, "https://issuer.example/oidc") && found.jwks_uri.n > 0);
		for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
			MUST(!endpoints[i].p || (url_parse(endpoints[i], &url) == OK && url.tls));
	} else {
		MUST(why != NULL);
	}
	arena_fini(&arena);
	return 0;
}
