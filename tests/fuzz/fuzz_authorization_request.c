/* Any query at the authorization endpoint: nothing is ever sent to an address that is not registered, and what is let through keeps the rules.
 * The first byte chooses what the issuer allows. */
#include "oidc/authorization_request.h"
#include "tests/fuzz/must.h"

static const char *const web_uris[] = { "https://app.example/cb" };
static const char *const cli_uris[] = { "http://localhost:8000" };
static const char *const peers[] = { "web" };
static const struct client clients[] = {
	{ .id = "web", .secret = "s", .redirect_uris = web_uris, .redirect_uri_n = 1 },
	{ .id = "cli", .redirect_uris = cli_uris, .redirect_uri_n = 1, .public = true },
	{ .id = "any", .public = true },
	{ .id = "peer", .secret = "s", .trusted_peers = peers, .trusted_peer_n = 1 },
};

static const struct client *
find(void *arg, struct slice id)
{
	(void)arg;
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		if (slice_eq_str(id, clients[i].id))
			return &clients[i];
	}
	return NULL;
}

static void
check_redirect(const struct authorization_request *asked, const struct client *client)
{
	struct buf out;

	MUST(client && client_redirect_uri_ok(client, asked->redirect_uri));
	MUST(asked->response_mode != RESPONSE_MODE_DEFAULT);
	for (size_t i = 0; i < asked->redirect_uri.n; i++)
		MUST(asked->redirect_uri.p[i] > 0x20 && asked->redirect_uri.p[i] < 0x7f);
	buf_init(&out, 0);
	authorization_redirect_add(&out, asked->redirect_uri, asked->response_mode, SLICE_LIT("error=x"));
	MUST(buf_ok(&out) && slice_has_prefix(buf_slice(&out), asked->redirect_uri));
	buf_fini(&out);
}

static void
check_accepted(const struct authorization_request *asked, const struct client *client, const struct authorization_rules *rules)
{
	bool code = asked->response_type & RESPONSE_CODE, token = asked->response_type & (RESPONSE_ID_TOKEN | RESPONSE_TOKEN);

	MUST(rules->response_types >> asked->response_type & 1);
	MUST(asked->scopes & SCOPE_OPENID);
	MUST(!(asked->prompt & PROMPT_NONE) || asked->prompt == PROMPT_NONE);
	MUST(asked->max_age_s >= -1);
	MUST(!token || asked->response_mode != RESPONSE_MODE_QUERY);
	MUST(!(asked->response_type & RESPONSE_ID_TOKEN) || asked->nonce.n > 0);
	MUST(!code || !client->public || asked->pkce == PKCE_S256);
	MUST(!code || !rules->pkce_enforce || asked->pkce != PKCE_NONE);
	MUST(rules->pkce_plain || asked->pkce != PKCE_PLAIN);
	MUST(pkce_challenge_ok(asked->code_challenge, asked->pkce));
	for (size_t i = 0; i < asked->audience_n; i++)
		MUST(slice_eq_str(asked->audiences[i], client->id) || (slice_eq_str(asked->audiences[i], "peer") && strcmp(client->id, "web") == 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct authorization_request asked;
	struct authorization_error error;
	const struct client *client;
	struct arena arena;
	struct form form;

	if (n == 0)
		return 0;
	const struct authorization_rules rules = { .response_types = data[0] & 1 ? 0xfe : 1u << RESPONSE_CODE,
		.pkce_plain = (data[0] & 2) != 0,
		.pkce_enforce = (data[0] & 4) != 0,
		.client_find = find };
	arena_init(&arena, 1u << 20);
	if (form_parse(slice_of((const char *)data + 1, n - 1), &arena, &form) == OK) {
		enum authorization_outcome outcome = authorization_request_parse(&form, &rules, &asked, &client, &error);
		if (outcome != AUTHORIZATION_PAGE)
			check_redirect(&asked, client);
		if (outcome == AUTHORIZATION_OK)
			check_accepted(&asked, client, &rules);
		else
			for (const char *c = error.description; *c; c++)
				MUST(error.error && *c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\');
	}
	arena_fini(&arena);
	return 0;
}
