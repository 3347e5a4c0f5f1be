/* A kubeconfig comes from a person or a tool, not from an attacker; but what is taken from it goes into request lines and TLS. */
#include <stdlib.h>
#include "proxyd/kubeconfig.h"

#define REQUIRE(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
require_pem(struct slice s)
{
	REQUIRE(s.n == 0 || s.p[s.n] == '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct config_error e = { "" };
	struct kubeconfig k;
	struct arena arena;

	arena_init(&arena, 16u << 20);
	enum err err = kubeconfig_parse(&arena, "fuzz", slice_of((const char *)data, n), NULL, &k, &e);
	REQUIRE((err == OK) == (e.text[0] == '\0'));
	if (err == OK) {
		REQUIRE(slice_eq_nocase(slice_of(k.server, 8), SLICE_LIT("https://"))); /* RFC 3986 section 3.1 */
		REQUIRE(k.port != 0 && *k.host && *k.tls_server_name);
		REQUIRE(*k.base_path == '\0' || *k.base_path == '/');
		for (const char *p = k.host_header; *p; p++)
			REQUIRE(*p > ' ' && *p <= '~');
		for (const char *p = k.base_path; *p; p++)
			REQUIRE(*p > ' ' && *p <= '~');
		for (const char *p = k.token ? k.token : ""; *p; p++)
			REQUIRE(*p > ' ' && *p <= '~');
		require_pem(k.ca_pem);
		require_pem(k.cert_pem);
		require_pem(k.key_pem);
	}
	arena_fini(&arena);
	return 0;
}
