#include "tests/unit/unit.h"
#include "proxyd/watch_events.h"

static struct watch_events w;

static void
begin(const char *type)
{
	watch_events_init(&w, slice_str(type));
	assert_true(watch_events_between(&w));
}

static size_t
take(const char *s)
{
	return watch_events_take(&w, slice_str(s));
}

static void
json_events_end_where_their_braces_do(void **state)
{
	(void)state;
	begin("application/json");
	assert_int_equal(take("{\"type\":\"ADDED\"}\n"), 17);
	assert_true(watch_events_between(&w));
	assert_int_equal(take("{\"a\":{\"b\":[{}]}}\n{\"c\""), 17);
	assert_false(watch_events_between(&w));
	assert_int_equal(take(":1"), 0);
	assert_int_equal(take("}"), 1);
	assert_true(watch_events_between(&w));
	assert_int_equal(take("\n"), 1);
}

static void
braces_and_quotes_in_json_texts_are_text(void **state)
{
	(void)state;
	begin("application/json; charset=utf-8");
	assert_int_equal(take("{\"}\":\"\\\"}\\\\"), 0);
	assert_int_equal(take("\\"), 0);
	assert_int_equal(take("\"}"), 0); /* escaped, across two reads */
	assert_int_equal(take("\"}x"), 3);
	begin("application/json");
	assert_int_equal(take("{\n  \"pretty\": [\n  1\n  ]\n"), 0); /* a line's end is no event's */
	assert_int_equal(take("}\n"), 2);
	assert_int_equal(take("}}]{}"), 5); /* nonsense is not counted below zero */
}

static void
protobuf_events_end_by_their_length(void **state)
{
	static const char two[] = { 0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 1, '{' };

	(void)state;
	begin("Application/vnd.kubernetes.protobuf;stream=watch");
	assert_int_equal(watch_events_take(&w, slice_of(two, sizeof(two))), 12);
	assert_true(watch_events_between(&w));
	for (size_t cut = 1; cut < sizeof(two); cut++) {
		size_t whole = watch_events_take(&w, slice_of(two, cut));
		assert_int_equal(whole, cut >= 7 ? 7 : 0);
		assert_int_equal(watch_events_between(&w), cut == 7);
		assert_int_equal(watch_events_take(&w, slice_of(two + cut, sizeof(two) - cut)), sizeof(two) - cut);
		assert_true(watch_events_between(&w));
	}
	assert_int_equal(watch_events_take(&w, slice_of("\0\0\0\0", 4)), 4);
	assert_true(watch_events_between(&w));
}

static void
of_what_is_not_known_every_read_is_whole(void **state)
{
	(void)state;
	begin("application/cbor-seq");
	assert_int_equal(take("\"{["), 3);
	assert_true(watch_events_between(&w));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_events_end_where_their_braces_do),
		cmocka_unit_test(braces_and_quotes_in_json_texts_are_text),
		cmocka_unit_test(protobuf_events_end_by_their_length),
		cmocka_unit_test(of_what_is_not_known_every_read_is_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
