/* A static token file: whatever is in it, what comes out may become headers, and every entry is found by its own digest. */
#include <stdlib.h>
#include "proxyd/token_file.h"

#define REQUIRE(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct config_error e = { "" };
	struct token_file f;
	struct arena arena;

	arena_init(&arena, 16u << 20);
	enum err err = token_file_parse(&arena, "fuzz", slice_of((const char *)data, n), 4096, &f, &e);
	REQUIRE((err == OK) == (e.text[0] == '\0'));
	for (size_t i = 0; err == OK && i < f.n; i++) {
		const struct identity *id = &f.entries[i].identity;
		REQUIRE(token_file_find(&f, f.entries[i].digest) == id);
		REQUIRE(identity_value_ok(id->username) && (id->uid.n == 0 || identity_value_ok(id->uid)));
		REQUIRE(id->group_n <= IDENTITY_GROUPS_MAX && id->how == IDENTITY_TOKEN_FILE);
		for (size_t g = 0; g < id->group_n; g++)
			REQUIRE(identity_value_ok(id->groups[g]) && !slice_eq_str(id->groups[g], "system:masters"));
	}
	arena_fini(&arena);
	return 0;
}
