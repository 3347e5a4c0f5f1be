#include <stdlib.h>
#include "oidc/strict_json.h"
#include "proxyd/access_review.h"

static void
add_strings(struct buf *out, const struct slice *values, size_t n)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_char(out, ',');
		buf_add_json(out, values[i]);
	}
}

static void
add_member(struct buf *out, const char *name, struct slice value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_add_json(out, value);
}

static void
add_caller(struct buf *out, const struct identity *id)
{
	bool everyone = false;

	buf_add_str(out, "\"user\":");
	buf_add_json(out, id->username);
	if (id->uid.n)
		add_member(out, "uid", id->uid);
	buf_add_str(out, ",\"groups\":");
	add_strings(out, id->groups, id->group_n);
	for (size_t i = 0; i < id->group_n; i++)
		everyone |= slice_eq_str(id->groups[i], "system:authenticated");
	buf_add_str(out, everyone ? "]" : id->group_n ? ",\"system:authenticated\"]" : "\"system:authenticated\"]");
	for (size_t i = 0; i < id->extra_n; i++) {
		buf_add_str(out, i ? "," : ",\"extra\":{");
		buf_add_json(out, id->extra[i].key);
		buf_add_char(out, ':');
		add_strings(out, id->extra[i].values, id->extra[i].n);
		buf_add_char(out, ']');
	}
	if (id->extra_n)
		buf_add_char(out, '}');
}

void
access_review_print(const struct identity *caller, const struct impersonation_check *c, struct buf *out)
{
	buf_add_str(out, "{\"apiVersion\":\"authorization.k8s.io/v1\",\"kind\":\"SubjectAccessReview\",\"spec\":{");
	add_caller(out, caller);
	buf_printf(out, ",\"resourceAttributes\":{\"verb\":\"impersonate\",\"group\":\"%s\",\"version\":\"v1\",\"resource\":\"%s\"", c->group, c->resource);
	if (c->subresource.n)
		add_member(out, "subresource", c->subresource);
	if (c->namespace_name.n)
		add_member(out, "namespace", c->namespace_name);
	add_member(out, "name", c->name);
	buf_add_str(out, "}}}");
}

static enum access_review
read_review(const json_t *review)
{
	const json_t *status = json_object_get(review, "status"), *allowed = json_object_get(status, "allowed"), *denied = json_object_get(status, "denied");

	if (!slice_eq_str(strict_json_string(json_object_get(review, "kind")), "SubjectAccessReview") ||
		!slice_eq_str(strict_json_string(json_object_get(review, "apiVersion")), "authorization.k8s.io/v1") || !json_is_boolean(allowed) ||
		(denied && !json_is_boolean(denied)))
		return ACCESS_BROKEN;
	return json_is_true(allowed) && !json_is_true(denied) ? ACCESS_ALLOWED : ACCESS_DENIED;
}

enum access_review
access_review_read(struct slice answer)
{
	json_t *review;

	if (strict_json_parse(answer, &review))
		return ACCESS_BROKEN;
	enum access_review v = read_review(review);
	json_decref(review);
	return v;
}

/* ---- answers ---- */

struct access_answer {
	unsigned char digest[CREDENTIAL_DIGEST_BYTES];
	int64_t until; /* 0: free */
	enum access_review answer;
};
struct access_answers {
	struct access_answer slots[ACCESS_ANSWERS];
};
_Static_assert((ACCESS_ANSWERS & (ACCESS_ANSWERS - 1)) == 0, "indexed by low bits");

struct access_answers *
access_answers_new(void)
{
	return calloc(1, sizeof(struct access_answers));
}

void
access_answers_free(struct access_answers *a)
{
	free(a);
}

/* A digest is as good as random: any bytes of it choose. */
static size_t
slot_of(const unsigned char digest[CREDENTIAL_DIGEST_BYTES])
{
	return (digest[0] | (size_t)digest[1] << 8) & (ACCESS_ANSWERS - 1);
}

bool
access_answers_find(const struct access_answers *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], int64_t now_s, enum access_review *out)
{
	const struct access_answer *s = &a->slots[slot_of(digest)];

	if (now_s >= s->until || memcmp(s->digest, digest, CREDENTIAL_DIGEST_BYTES) != 0)
		return false;
	*out = s->answer;
	return true;
}

void
access_answers_put(struct access_answers *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], enum access_review answer, int64_t now_s)
{
	struct access_answer *s = &a->slots[slot_of(digest)];

	if (answer == ACCESS_BROKEN)
		return;
	memcpy(s->digest, digest, CREDENTIAL_DIGEST_BYTES);
	s->until = now_s + (answer == ACCESS_ALLOWED ? ACCESS_ALLOWED_LIFETIME_S : ACCESS_DENIED_LIFETIME_S);
	s->answer = answer;
}
