#include "tests/unit/unit.h"
#include "oidc/base64url.h"
#include "oidc/subject.h"
#include "shared/arena.h"

static struct arena arena;
static struct buf out;

static int
fresh(void **state)
{
	(void)state;
	arena_init(&arena, 1u << 16);
	buf_init(&out, 0);
	return 0;
}

static int
done(void **state)
{
	(void)state;
	arena_fini(&arena);
	buf_fini(&out);
	return 0;
}

static enum err
parse(struct slice sub, struct slice *user, struct slice *connector)
{
	*user = *connector = SLICE_NONE;
	return subject_parse(sub, &arena, user, connector);
}

/* As dex's own documentation prints it for its example user. */
static void
the_subject_is_dex_s_byte_for_byte(void **state)
{
	const char *dex = "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs";
	struct slice user, connector;

	(void)state;
	subject_add(&out, SLICE_LIT("08a8684b-db88-4b73-90a9-3cd1661f5466"), SLICE_LIT("local"));
	assert_string_equal(out.p, dex);
	assert_int_equal(parse(slice_str(dex), &user, &connector), OK);
	assert_true(slice_eq_str(user, "08a8684b-db88-4b73-90a9-3cd1661f5466"));
	assert_true(slice_eq_str(connector, "local"));
}

/* Lengths of 127 and 128 take one and two bytes in protobuf. */
static void
every_length_survives_a_round_trip(void **state)
{
	char text[2000];
	struct slice user, connector;

	(void)state;
	memset(text, 'u', sizeof(text));
	for (size_t n = 1; n < sizeof(text); n += n < 140 ? 1 : 97) {
		buf_reset(&out);
		subject_add(&out, slice_of(text, n), SLICE_LIT("github"));
		assert_int_equal(parse(buf_slice(&out), &user, &connector), OK);
		assert_true(slice_eq(user, slice_of(text, n)));
		assert_true(slice_eq_str(connector, "github"));
		arena_fini(&arena);
	}
}

static void
what_is_longer_than_any_name_marks_the_buffer_failed(void **state)
{
	char text[5000];

	(void)state;
	memset(text, 'u', sizeof(text));
	subject_add(&out, slice_of(text, sizeof(text)), SLICE_LIT("github"));
	assert_false(buf_ok(&out));
	/* What is empty is not written (proto3), and so names nobody. */
	struct slice user, connector;
	buf_reset(&out);
	subject_add(&out, SLICE_LIT("jane"), SLICE_NONE);
	assert_string_equal(out.p, "CgRqYW5l");
	assert_int_equal(parse(buf_slice(&out), &user, &connector), E_FORMAT);
}

/* One person, one spelling: what dex never writes is not read. */
static void
other_spellings_of_the_same_person_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{ "", 0 },
		{ "\x0a\x01u", 3 },                          /* no connector */
		{ "\x12\x01g", 3 },                          /* no user */
		{ "\x12\x01g\x0a\x01u", 6 },                 /* the other order */
		{ "\x0a\x01u\x0a\x01v\x12\x01g", 9 },        /* twice */
		{ "\x0a\x01u\x12\x01g\x12\x01h", 9 },
		{ "\x0a\x01u\x12\x01g\x1a\x01x", 9 },        /* a third field */
		{ "\x0a\x01u\x12\x01g\x00", 7 },
		{ "\x0a\x81\x00u\x12\x01g", 7 },             /* length 1 in two bytes */
		{ "\x0a\x00\x12\x01g", 5 },                  /* empty, which proto3 leaves out */
		{ "\x0a\x01u\x12\x00", 5 },
		{ "\x0a\x05u\x12\x01g", 6 },                 /* longer than the rest */
		{ "\x0a\x01u\x12\x02g", 6 },
		{ "\x0a\x01u\x12", 4 },
		{ "\x0a", 1 },
		{ "\x0a\x80\x80\x80\x80\x01u", 7 },
		{ "\x0a\xff\xff\xff\x7fu", 6 },
		{ "\x08\x01\x12\x01g", 5 },                  /* a varint field */
		{ "\x02\x01u\x12\x01g", 6 },                 /* field 0 */
		{ "\x8a\x01\x01u\x12\x01g", 7 },             /* field 17 */
		{ "\x0a\x01\xff\x12\x01g", 6 },              /* no UTF-8 */
		{ "\x0a\x01u\x12\x01\xff", 6 },
	};
	struct slice user, connector;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_reset(&out);
		base64url_add(&out, bad[i].bytes, bad[i].n);
		assert_int_equal(parse(buf_slice(&out), &user, &connector), E_FORMAT);
	}
	assert_int_equal(parse(SLICE_LIT("CgF1EgFn="), &user, &connector), E_FORMAT);
	assert_int_equal(parse(SLICE_LIT("jane"), &user, &connector), E_FORMAT);
	assert_int_equal(parse(SLICE_LIT("CgF1EgFn"), &user, &connector), OK);
}

static void
a_subject_without_bound_or_memory_is_refused(void **state)
{
	char *text = malloc(9000);
	struct slice user, connector;
	struct arena small;

	(void)state;
	memset(text, 'A', 9000);
	assert_int_equal(parse(slice_of(text, 9000), &user, &connector), E_FORMAT);
	free(text);
	arena_init(&small, 8);
	assert_int_equal(subject_parse(SLICE_LIT("CgF1EgFn"), &small, &user, &connector), E_NOMEM);
	arena_fini(&small);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_subject_is_dex_s_byte_for_byte),
		T(every_length_survives_a_round_trip),
		T(what_is_longer_than_any_name_marks_the_buffer_failed),
		T(other_spellings_of_the_same_person_are_refused),
		T(a_subject_without_bound_or_memory_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
