/* Any sub: what reads as a subject has no other spelling. */
#include "oidc/subject.h"
#include "shared/arena.h"
#include "tests/fuzz/must.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice sub = slice_of((const char *)data, n), user, connector;
	struct arena arena;
	struct buf again;

	arena_init(&arena, 1u << 16);
	buf_init(&again, 0);
	if (subject_parse(sub, &arena, &user, &connector) == OK) {
		subject_add(&again, user, connector);
		MUST(!buf_ok(&again) || slice_eq(buf_slice(&again), sub));
	}
	buf_fini(&again);
	arena_fini(&arena);
	return 0;
}
