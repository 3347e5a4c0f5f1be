/* A client's pattern and a group, or a redirect URI, each on a line of its own. The pattern matches as a plain recursive matcher says; of a redirect URI that is not
 * registered only the person's own machine may be left. */
#include "oidc/client.h"
#include "shared/arena.h"
#include "tests/fuzz/must.h"

static bool
matches(const char *pattern, const char *text, const char *end, unsigned *steps)
{
	if (++*steps > 100000)
		return false;
	if (*pattern == '*')
		return matches(pattern + 1, text, end, steps) || (text < end && matches(pattern, text + 1, end, steps));
	if (text == end)
		return *pattern == '\0';
	return *pattern == *text && *pattern && matches(pattern + 1, text + 1, end, steps);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const uris[] = { "https://app.example/cb", "http://127.0.0.1/cb", CLIENT_DEVICE_CALLBACK };
	struct slice text = slice_of((const char *)data, n > 4096 ? 4096 : n), first = slice_cut(&text, '\n');
	struct arena arena;
	unsigned steps = 0;

	arena_init(&arena, 1u << 20);
	const char *pattern = arena_strndup(&arena, first.p ? first.p : "", first.n);
	MUST(pattern);
	struct client c = { .id = "c", .public = true, .groups = &pattern, .group_n = 1, .redirect_uris = uris, .redirect_uri_n = 3 };
	bool wanted = client_group_wanted(&c, text), expected = matches(pattern, text.p, text.p + text.n, &steps);
	MUST(steps > 100000 || wanted == expected);
	if (client_redirect_uri_ok(&c, text) && !slice_eq_str(text, uris[0]))
		MUST(slice_has_prefix(text, SLICE_LIT("http://127.0.0.1")) || slice_has_prefix(text, SLICE_LIT("http://[::1]")) ||
			slice_has_prefix(text, SLICE_LIT("http://localhost")));
	arena_fini(&arena);
	return 0;
}
