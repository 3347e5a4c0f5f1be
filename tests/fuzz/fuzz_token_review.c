/* A cluster's answer to a TokenReview; the first byte says whether an audience was asked for. Whoever is named in it fits into headers, and is none of those that may not
 * come through. */
#include <string.h>
#include "proxyd/impersonate.h"
#include "proxyd/token_review.h"
#include "tests/fuzz/must.h"

/* Lines of "Impersonate-<visible>: <no control>", whatever the names are. */
static void
judge_lines(struct slice lines)
{
	while (lines.n) {
		struct slice line = slice_cut(&lines, '\n');
		MUST(line.n > 1 && line.p[line.n - 1] == '\r');
		line.n--;
		MUST(slice_has_prefix(line, SLICE_LIT("Impersonate-")));
		for (size_t i = 0; i < line.n; i++)
			MUST((unsigned char)line.p[i] >= ' ' && line.p[i] != 0x7f);
	}
}

static void
judge(const struct identity *id)
{
	struct buf out;

	MUST(identity_value_ok(id->username) && (id->uid.n == 0 || identity_value_ok(id->uid)));
	MUST(!slice_eq_str(id->username, "system:anonymous"));
	MUST(id->group_n <= IDENTITY_GROUPS_MAX && id->extra_n <= IDENTITY_EXTRA_MAX);
	for (size_t i = 0; i < id->group_n; i++)
		MUST(identity_value_ok(id->groups[i]) && !slice_eq_str(id->groups[i], "system:masters"));
	for (size_t i = 0; i < id->extra_n; i++)
		MUST(impersonate_extra_key_ok(id->extra[i].key) && !impersonate_extra_key_is_ours(id->extra[i].key) && id->extra[i].n > 0);
	buf_init(&out, 0);
	MUST(impersonate_block(id, &out) != E_FORMAT);
	judge_lines(buf_slice(&out));
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *names[] = { "gatehouse" };
	struct identity id = { 0 };
	const char *why = NULL;
	struct arena arena;

	if (n == 0)
		return 0;
	const struct config_strings audiences = { names, data[0] & 1 };
	struct slice answer = slice_of((const char *)data + 1, n - 1);
	arena_init(&arena, 1u << 20);
	enum token_review review = token_review_read(answer, &audiences, &arena, &id, &why);
	MUST((review == TOKEN_REVIEW_YES) || why);
	if (review == TOKEN_REVIEW_YES) {
		judge(&id);
		/* No name of an audience has another spelling that is as short; none without it is a yes. */
		MUST(audiences.n == 0 || memchr(answer.p, 'g', answer.n) || memchr(answer.p, '\\', answer.n));
	}
	arena_fini(&arena);
	return 0;
}
