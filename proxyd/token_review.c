#include "oidc/strict_json.h"
#include "proxyd/impersonate.h"
#include "proxyd/token_review.h"

bool
token_review_may_ask(struct slice token)
{
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			return false;
	return token.n > 0;
}

void
token_review_print(struct slice token, const struct config_strings *audiences, struct buf *out)
{
	buf_add_str(out, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{\"token\":");
	buf_add_json(out, token);
	for (size_t i = 0; i < audiences->n; i++) {
		buf_add_str(out, i ? "," : ",\"audiences\":[");
		buf_add_json(out, slice_str(audiences->items[i]));
	}
	buf_add_str(out, audiences->n ? "]}}" : "}}");
}

struct reader {
	struct arena *arena;
	const char *why;
};

static enum token_review
refuse(struct reader *r, const char *why)
{
	r->why = why;
	return TOKEN_REVIEW_NO;
}

static enum token_review
broken(struct reader *r)
{
	r->why = "not a TokenReview that was answered";
	return TOKEN_REVIEW_BROKEN;
}

static enum token_review
out_of_memory(struct reader *r)
{
	r->why = "out of memory";
	return TOKEN_REVIEW_BROKEN;
}

/* An array of strings, or nothing. *out in arena. */
static enum token_review
read_strings(struct reader *r, const json_t *list, size_t n_max, struct slice **out, size_t *n)
{
	*n = 0;
	*out = NULL;
	if (!list || json_is_null(list))
		return TOKEN_REVIEW_YES;
	if (!json_is_array(list))
		return broken(r);
	if (json_array_size(list) > n_max)
		return refuse(r, "the cluster names a caller with too many groups or extras");
	*out = arena_alloc(r->arena, (json_array_size(list) + 1) * sizeof(**out));
	for (size_t i = 0; *out && i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		if (!json_is_string(v))
			return broken(r);
		struct slice copy = arena_slice(r->arena, strict_json_string(v));
		if (!copy.p)
			return out_of_memory(r);
		if (!identity_value_ok(copy))
			return refuse(r, "the cluster names a caller whose groups or extras cannot be passed on");
		(*out)[(*n)++] = copy;
	}
	return *out ? TOKEN_REVIEW_YES : out_of_memory(r);
}

/* A string, or nothing. */
static enum token_review
read_string(struct reader *r, const json_t *v, struct slice *out)
{
	*out = SLICE_LIT("");
	if (!v || json_is_null(v))
		return TOKEN_REVIEW_YES;
	if (!json_is_string(v))
		return broken(r);
	*out = arena_slice(r->arena, strict_json_string(v));
	if (!out->p)
		return out_of_memory(r);
	if (out->n && !identity_value_ok(*out))
		return refuse(r, "the cluster names a caller whose name cannot be passed on");
	return TOKEN_REVIEW_YES;
}

/* Extras may narrow what a token is good for (its scopes, its pod): none is left out in silence. */
static enum token_review
read_extra(struct reader *r, json_t *extra, struct identity *id)
{
	enum token_review v = TOKEN_REVIEW_YES;
	const char *key;
	json_t *values;

	if (!extra || json_is_null(extra))
		return v;
	if (!json_is_object(extra))
		return broken(r);
	if (json_object_size(extra) > IDENTITY_EXTRA_MAX)
		return refuse(r, "the cluster names a caller with too many groups or extras");
	if (!(id->extra = arena_alloc(r->arena, (json_object_size(extra) + 1) * sizeof(*id->extra))))
		return out_of_memory(r);
	json_object_foreach(extra, key, values) {
		struct identity_extra *e = &id->extra[id->extra_n];
		e->key = arena_slice(r->arena, slice_str(key));
		if (!e->key.p)
			return out_of_memory(r);
		if (!impersonate_extra_key_ok(e->key) || impersonate_extra_key_is_ours(e->key))
			return refuse(r, "the cluster names a caller with an extra that cannot be passed on");
		if ((v = read_strings(r, values, IDENTITY_GROUPS_MAX, &e->values, &e->n)))
			return v;
		id->extra_n += e->n > 0;
	}
	return v;
}

static enum token_review
read_user(struct reader *r, const json_t *user, struct identity *id)
{
	enum token_review v;

	if (!json_is_object(user))
		return broken(r);
	if ((v = read_string(r, json_object_get(user, "username"), &id->username)) || (v = read_string(r, json_object_get(user, "uid"), &id->uid)) ||
		(v = read_strings(r, json_object_get(user, "groups"), IDENTITY_GROUPS_MAX, &id->groups, &id->group_n)) ||
		(v = read_extra(r, json_object_get(user, "extra"), id)))
		return v;
	if (id->username.n == 0 || slice_eq_str(id->username, "system:anonymous"))
		return refuse(r, "the cluster names nobody");
	for (size_t i = 0; i < id->group_n; i++)
		if (slice_eq_str(id->groups[i], "system:masters"))
			return refuse(r, "the cluster names a caller in system:masters, who is above RBAC and does not come through the gateway");
	return TOKEN_REVIEW_YES;
}

/* A server that does not know audiences says none: then a token for anybody would do, unless we asked for nobody in particular. */
static enum token_review
check_audiences(struct reader *r, const json_t *found, const struct config_strings *wanted)
{
	struct slice *audiences;
	size_t n;
	enum token_review v = read_strings(r, found, IDENTITY_GROUPS_MAX, &audiences, &n);

	if (v || wanted->n == 0)
		return v;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < wanted->n; j++)
			if (slice_eq_str(audiences[i], wanted->items[j]))
				return TOKEN_REVIEW_YES;
	return refuse(r, "the token is for none of the audiences");
}

static enum token_review
read_review(struct reader *r, const json_t *review, const struct config_strings *wanted, struct identity *id)
{
	const json_t *status = json_object_get(review, "status"), *authenticated = json_object_get(status, "authenticated"),
		     *error = json_object_get(status, "error");
	enum token_review v;

	if (!slice_eq_str(strict_json_string(json_object_get(review, "kind")), "TokenReview") ||
		!slice_eq_str(strict_json_string(json_object_get(review, "apiVersion")), "authentication.k8s.io/v1") || !json_is_object(status) ||
		(authenticated && !json_is_boolean(authenticated)))
		return broken(r);
	if (!json_is_true(authenticated))
		return refuse(r, "the cluster does not know the token");
	if (error && (!json_is_string(error) || json_string_length(error)))
		return broken(r); /* yes and no at once */
	if ((v = check_audiences(r, json_object_get(status, "audiences"), wanted)))
		return v;
	return read_user(r, json_object_get(status, "user"), id);
}

enum token_review
token_review_read(struct slice answer, const struct config_strings *audiences, struct arena *arena, struct identity *out, const char **why)
{
	struct reader r = { .arena = arena, .why = "" };
	struct identity id = { .how = IDENTITY_TOKEN_REVIEW };
	json_t *review;
	enum token_review v;

	switch (strict_json_parse(answer, &review)) {
	case OK:
		v = read_review(&r, review, audiences, &id);
		json_decref(review);
		break;
	case E_NOMEM:
		v = out_of_memory(&r);
		break;
	default:
		v = broken(&r);
		break;
	}
	if (v == TOKEN_REVIEW_YES)
		*out = id;
	*why = r.why;
	return v;
}
