/* Any token request: its Authorization value, its query and its body, each on a line of its own. */
#include "oidc/token_request.h"
#include "tests/fuzz/must.h"

static void
check_accepted(const struct token_request *asked, const struct form *body, bool has_header)
{
	MUST(asked->client.id.n > 0);
	MUST((asked->client.how == CLIENT_AUTH_BASIC) == has_header);
	/* Never two ways at once, never a parameter twice. */
	MUST(!has_header || form_get(body, "client_secret").n == 0);
	MUST((asked->client.how == CLIENT_AUTH_POST) == (!has_header && form_get(body, "client_secret").n > 0));
	MUST(form_duplicate(body, (const char *const[]){ "resource", "audience", NULL }).p == NULL);
	MUST(asked->grant != GRANT_AUTHORIZATION_CODE || asked->code.n > 0);
	MUST(asked->grant != GRANT_REFRESH_TOKEN || asked->refresh_token.n > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice text = slice_of((const char *)data, n);
	struct slice authorization = slice_cut(&text, '\n'), query = slice_cut(&text, '\n');
	struct token_request asked;
	struct token_error error;
	struct arena arena;
	struct form body;

	if (authorization.n == 0)
		authorization = SLICE_NONE;
	arena_init(&arena, 1u << 20);
	if (form_parse(text, &arena, &body) == OK) {
		enum err err = token_request_parse(SLICE_LIT("application/x-www-form-urlencoded"), authorization, query, &body, &arena, &asked, &error);
		MUST(err == OK || (err == E_FORMAT && error.error && (error.status == 400 || error.status == 401)));
		if (err == OK)
			check_accepted(&asked, &body, authorization.p != NULL);
	}
	arena_fini(&arena);
	return 0;
}
