/* Any bytes as a client's file: what is refused says why in clean text that begins with the file's name; what is read is JSON on the same lines, without the
 * secret, which a running authd accepts or refuses in the same way, and reads to the same client once more. */
#include <stdlib.h>
#include "authd/config_internal.h"
#include "authd/directory.h"
#include "oidc/strict_json.h"
#include "tests/fuzz/must.h"

static void
must_say_why(const struct config_error *e)
{
	MUST(slice_has_prefix(slice_str(e->text), SLICE_LIT("fuzz:")));
	MUST(slice_is_utf8(slice_str(e->text)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct authd_connector_config github = { .type = "github", .id = "github", .name = "GitHub" };
	struct authd_config running = { .connectors = { &github, 1 }, .expiry = { .id_tokens_ms = 86400000, .signing_keys_ms = 21600000 } }, *one = NULL;
	struct authd_config_client_file file;
	struct config_error e = { "" };
	struct record_client record;
	const struct client *again;
	struct arena arena;

	arena_init(&arena, 64u << 20);
	if (authd_config_client_read(&arena, "fuzz", slice_of((const char *)data, size), &file, &e) != OK) {
		must_say_why(&e);
	} else if (authd_config_client_load(&running, "fuzz", file.json, &one, &e) != OK) {
		must_say_why(&e);
	} else {
		const struct client *c = &one->clients[0];
		MUST(c->name && !c->id && !c->secret);
		MUST(directory_client_record(&arena, c, &record) == OK);
		MUST(directory_client_of(&arena, SLICE_LIT("id"), &record, &again) == OK);
		MUST(strcmp(again->name, c->name) == 0 && again->grant_types == c->grant_types && again->claim_n == c->claim_n && again->group_n == c->group_n);
		authd_config_free(one);
	}
	arena_fini(&arena);
	return 0;
}
