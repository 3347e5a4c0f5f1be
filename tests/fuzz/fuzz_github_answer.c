/* GitHub's answers are foreign bytes: any of the readers on any input. The first byte chooses. */
#include "authd/github_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 1)
		return 0;
	struct slice json = { (const char *)data + 1, n - 1 }, a = SLICE_NONE, b = SLICE_NONE;
	struct github_user user;
	struct github_teams teams = { NULL, 0, 0 };
	struct record_strings orgs = { NULL, 0 };
	struct arena arena;
	int rank = 0;
	enum err err = OK;
	arena_init(&arena, 8u << 20);
	switch (data[0] % 7) {
	case 0:
		err = github_answer_token(json, &arena, &a, &b);
		break;
	case 1:
		err = github_answer_user(json, &arena, &user);
		break;
	case 2:
		err = github_answer_emails(json, "*.corp.example", &arena, &a, &rank);
		break;
	case 3:
		err = github_answer_teams(json, &arena, &teams);
		break;
	case 4:
		err = github_answer_orgs(json, &arena, &orgs);
		break;
	case 6:
		err = github_answer_check(json, "client");
		break;
	default:
		a = github_answer_next(json, SLICE_LIT("https://api.github.com"));
		if (a.p && !slice_has_prefix(a, SLICE_LIT("https://api.github.com/")))
			__builtin_trap();
	}
	(void)err;
	arena_fini(&arena);
	return 0;
}
