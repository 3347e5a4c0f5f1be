#include "oidc/id_token_claims.h"
#include "oidc/strict_json.h"

enum id_token_verdict
id_token_claims_issuer(const json_t *claims, const char *issuer)
{
	struct slice iss = strict_json_string(json_object_get(claims, "iss"));

	if (!iss.p)
		return ID_TOKEN_MALFORMED;
	return slice_eq_str(iss, issuer) ? ID_TOKEN_OK : ID_TOKEN_WRONG_ISSUER;
}

/* RFC 7519 section 2 lets a NumericDate have a fraction; we read integers only: no rounding, no 1E400. */
static bool
time_claim(const json_t *claims, const char *name, int64_t *out)
{
	const json_t *v = json_object_get(claims, name);

	*out = 0;
	return !v || strict_json_integer(v, 0, ID_TOKEN_TIME_MAX, out);
}

enum id_token_verdict
id_token_claims_times(const json_t *claims, int64_t now_s, int skew_s, bool allow_expired, struct id_token_times *out)
{
	int64_t exp, nbf, iat;

	if (!json_object_get(claims, "exp") || !time_claim(claims, "exp", &exp) || !time_claim(claims, "nbf", &nbf) ||
		!time_claim(claims, "iat", &iat))
		return ID_TOKEN_MALFORMED;
	/* RFC 7519 section 4.1.4: on or after exp the token MUST NOT be accepted. */
	if (!allow_expired && exp + skew_s <= now_s)
		return ID_TOKEN_EXPIRED;
	if (nbf - skew_s > now_s || iat - skew_s > now_s)
		return ID_TOKEN_NOT_YET;
	*out = (struct id_token_times){ .not_before = nbf, .expires_at = exp };
	return ID_TOKEN_OK;
}

static bool
listed(const char *const *list, size_t n, struct slice v)
{
	for (size_t i = 0; i < n; i++) {
		if (slice_eq_str(v, list[i]))
			return true;
	}
	return false;
}

/* RFC 7519 section 4.1.3: one string or an array of them. */
static enum id_token_verdict
check_aud(const json_t *aud, const struct id_token_policy *policy)
{
	const json_t *member;
	bool ours = false;
	size_t i;

	if (json_is_string(aud))
		return listed(policy->audiences, policy->audience_n, strict_json_string(aud)) ? ID_TOKEN_OK : ID_TOKEN_WRONG_AUDIENCE;
	if (!json_is_array(aud) || json_array_size(aud) > ID_TOKEN_AUDIENCES_MAX)
		return ID_TOKEN_MALFORMED;
	json_array_foreach(aud, i, member) {
		if (!json_is_string(member))
			return ID_TOKEN_MALFORMED;
		ours = ours || listed(policy->audiences, policy->audience_n, strict_json_string(member));
	}
	return ours ? ID_TOKEN_OK : ID_TOKEN_WRONG_AUDIENCE;
}

enum id_token_verdict
id_token_claims_audience(const json_t *claims, const struct id_token_policy *policy)
{
	const json_t *azp = json_object_get(claims, "azp");
	enum id_token_verdict verdict = check_aud(json_object_get(claims, "aud"), policy);

	if (verdict || !azp)
		return verdict;
	if (!json_is_string(azp))
		return ID_TOKEN_MALFORMED;
	/* OpenID Connect Core 3.1.3.7 rule 5: the party the token was given to is one that we know. */
	struct slice party = strict_json_string(azp);
	return listed(policy->audiences, policy->audience_n, party) || listed(policy->authorized_parties, policy->authorized_party_n, party)
		? ID_TOKEN_OK
		: ID_TOKEN_WRONG_AUDIENCE;
}

/* The claim's own text must be fit for a header, not only the whole: a prefix would hide the blank in front. */
static enum id_token_verdict
join(struct arena *arena, const char *prefix, struct slice value, struct slice *out)
{
	const struct slice front = slice_str(prefix);

	if (!identity_value_ok(value))
		return ID_TOKEN_BAD_CLAIM;
	char *text = arena_alloc(arena, front.n + value.n + 1); /* zeroed: a NUL follows, as with arena_slice */
	if (!text)
		return ID_TOKEN_FAILED;
	memcpy(text, front.p, front.n);
	memcpy(text + front.n, value.p, value.n);
	*out = slice_of(text, front.n + value.n);
	return front.n == 0 || identity_value_ok(*out) ? ID_TOKEN_OK : ID_TOKEN_BAD_CLAIM;
}

/* A name for RBAC. system:* is Kubernetes' own: an issuer that could say system:masters would own the cluster. */
static enum id_token_verdict
join_name(struct arena *arena, const struct id_token_policy *policy, const char *prefix, struct slice value, struct slice *out)
{
	enum id_token_verdict verdict = join(arena, prefix, value, out);

	if (!verdict && !policy->allow_system && slice_has_prefix(*out, SLICE_LIT("system:")))
		return ID_TOKEN_BAD_CLAIM;
	return verdict;
}

/* Present: a string fit for a header. Absent: .p NULL. */
static enum id_token_verdict
optional_value(const json_t *claims, const char *name, struct slice *out)
{
	const json_t *v = json_object_get(claims, name);

	*out = strict_json_string(v);
	if (v && !json_is_string(v))
		return ID_TOKEN_MALFORMED;
	return !v || identity_value_ok(*out) ? ID_TOKEN_OK : ID_TOKEN_BAD_CLAIM;
}

static enum id_token_verdict
check_required(const json_t *claims, const struct id_token_policy *policy)
{
	for (size_t i = 0; i < policy->required_n; i++) {
		struct slice v = strict_json_string(json_object_get(claims, policy->required[i].claim));
		if (!v.p || !slice_eq_str(v, policy->required[i].value))
			return ID_TOKEN_BAD_CLAIM;
	}
	return ID_TOKEN_OK;
}

static enum id_token_verdict
map_username(const json_t *claims, const struct id_token_policy *policy, struct arena *arena, struct identity *out)
{
	const char *claim = policy->username_claim ? policy->username_claim : "sub";
	const char *prefix = policy->username_prefix;
	bool is_email = strcmp(claim, "email") == 0;
	const json_t *email_verified = json_object_get(claims, "email_verified");
	struct slice value;

	enum id_token_verdict verdict = optional_value(claims, claim, &value);
	if (verdict)
		return verdict;
	/* Whoever may type in an unverified address would choose who to be. */
	if (!value.p || (is_email && email_verified && !json_is_true(email_verified)))
		return ID_TOKEN_BAD_CLAIM;
	if (!prefix) {
		prefix = is_email ? "" : arena_printf(arena, "%s#", policy->issuer);
		if (!prefix)
			return ID_TOKEN_FAILED;
	}
	return join_name(arena, policy, prefix, value, &out->username);
}

static enum id_token_verdict
map_group(const json_t *group, const struct id_token_policy *policy, struct arena *arena, struct identity *out)
{
	const char *prefix = policy->groups_prefix ? policy->groups_prefix : "";

	if (!json_is_string(group))
		return ID_TOKEN_MALFORMED;
	return join_name(arena, policy, prefix, strict_json_string(group), &out->groups[out->group_n++]);
}

/* An array of strings, one string, or none (absent, or null as Go prints an empty list). */
static enum id_token_verdict
map_groups(const json_t *claims, const struct id_token_policy *policy, struct arena *arena, struct identity *out)
{
	const json_t *groups = policy->groups_claim ? json_object_get(claims, policy->groups_claim) : NULL, *group;
	size_t i, n = json_is_array(groups) ? json_array_size(groups) : 1;

	if (!groups || json_is_null(groups) || n == 0)
		return ID_TOKEN_OK;
	/* Refused, not cut: a deny rule might hang on the group that falls off. */
	if (n > IDENTITY_GROUPS_MAX)
		return ID_TOKEN_BAD_CLAIM;
	out->groups = arena_alloc(arena, n * sizeof(*out->groups));
	if (!out->groups)
		return ID_TOKEN_FAILED;
	if (!json_is_array(groups))
		return map_group(groups, policy, arena, out);
	json_array_foreach(groups, i, group) {
		enum id_token_verdict verdict = map_group(group, policy, arena, out);
		if (verdict)
			return verdict;
	}
	return ID_TOKEN_OK;
}

static enum id_token_verdict
map_uid(const json_t *claims, const struct id_token_policy *policy, struct arena *arena, struct identity *out)
{
	struct slice uid;

	if (!policy->uid_claim)
		return ID_TOKEN_OK;
	enum id_token_verdict verdict = optional_value(claims, policy->uid_claim, &uid);
	if (verdict)
		return verdict;
	return uid.p ? join(arena, "", uid, &out->uid) : ID_TOKEN_BAD_CLAIM;
}

/* Kubernetes since 1.32: extra authentication.kubernetes.io/credential-id = JTI=<jti>. */
static enum id_token_verdict
map_jti(const json_t *claims, struct arena *arena, struct identity *out)
{
	struct slice jti;
	enum id_token_verdict verdict = optional_value(claims, "jti", &jti);

	if (verdict || !jti.p)
		return verdict;
	struct identity_extra *extra = arena_alloc(arena, sizeof(*extra));
	struct slice *values = arena_alloc(arena, sizeof(*values));
	if (!extra || !values)
		return ID_TOKEN_FAILED;
	*extra = (struct identity_extra){ SLICE_LIT("authentication.kubernetes.io/credential-id"), values, 1 };
	extra->key = arena_slice(arena, extra->key);
	if (!extra->key.p)
		return ID_TOKEN_FAILED;
	out->extra = extra;
	out->extra_n = 1;
	return join(arena, "JTI=", jti, &values[0]);
}

/* A sid that cannot be kept is refused: the session it belongs to could not be revoked. */
static enum id_token_verdict
map_sid(const json_t *claims, struct arena *arena, struct identity *out)
{
	struct slice sid;
	enum id_token_verdict verdict = optional_value(claims, "sid", &sid);

	return verdict || !sid.p ? verdict : join(arena, "", sid, &out->sid);
}

enum id_token_verdict
id_token_claims_map(const json_t *claims, const struct id_token_policy *policy, struct arena *arena, struct identity *out)
{
	struct slice sub;
	enum id_token_verdict verdict = optional_value(claims, "sub", &sub);

	if (!verdict)
		verdict = check_required(claims, policy);
	if (!verdict)
		verdict = map_username(claims, policy, arena, out);
	if (!verdict)
		verdict = map_groups(claims, policy, arena, out);
	if (!verdict)
		verdict = map_uid(claims, policy, arena, out);
	if (!verdict)
		verdict = map_jti(claims, arena, out);
	return verdict ? verdict : map_sid(claims, arena, out);
}
