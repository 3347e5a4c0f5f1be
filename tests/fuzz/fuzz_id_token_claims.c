/* Any claims an issuer might sign: what comes out as an identity is fit for a header, and never Kubernetes' own. */
#include "oidc/id_token_claims.h"
#include "oidc/strict_json.h"
#include "tests/fuzz/must.h"

static void
check_name(struct slice name)
{
	MUST(identity_value_ok(name));
	MUST(!slice_has_prefix(name, SLICE_LIT("system:")));
}

static void
check_identity(const struct identity *who)
{
	check_name(who->username);
	MUST(who->group_n <= IDENTITY_GROUPS_MAX);
	for (size_t i = 0; i < who->group_n; i++)
		check_name(who->groups[i]);
	MUST(who->uid.n == 0 || identity_value_ok(who->uid));
	MUST(who->sid.n == 0 || identity_value_ok(who->sid));
	for (size_t i = 0; i < who->extra_n; i++)
		MUST(who->extra[i].n == 1 && identity_value_ok(who->extra[i].values[0]));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const audiences[] = { "kubernetes" };
	static const struct id_token_required required = { "hd", "example.com" };
	const int64_t now_s = 1700000000;
	struct id_token_policy policy = { .issuer = "https://issuer.example", .audiences = audiences, .audience_n = 1, .groups_claim = "groups", .username_prefix = "" };
	struct identity who = { .how = IDENTITY_JWT };
	struct id_token_times times;
	struct arena arena;
	json_t *claims;

	if (n == 0)
		return 0;
	policy.username_claim = data[0] & 1 ? "email" : "sub";
	policy.username_prefix = data[0] & 2 ? "sys" : data[0] & 4 ? NULL : "";
	policy.uid_claim = data[0] & 8 ? "uid" : NULL;
	policy.required = &required;
	policy.required_n = data[0] & 16 ? 1 : 0;
	if (strict_json_parse(slice_of((const char *)data + 1, n - 1), &claims) != OK)
		return 0;
	arena_init(&arena, 1u << 20);
	(void)id_token_claims_issuer(claims, policy.issuer);
	(void)id_token_claims_audience(claims, &policy);
	if (id_token_claims_times(claims, now_s, 60, false, &times) == ID_TOKEN_OK)
		MUST(times.expires_at + 60 > now_s && times.expires_at <= ID_TOKEN_TIME_MAX && times.not_before - 60 <= now_s);
	if (id_token_claims_map(claims, &policy, &arena, &who) == ID_TOKEN_OK)
		check_identity(&who);
	arena_fini(&arena);
	json_decref(claims);
	return 0;
}
