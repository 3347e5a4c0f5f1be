#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "proxyd/impersonate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
whole_identity_becomes_one_line_per_value(void **state)
{
	struct slice groups[] = { SLICE_LIT("dev"), SLICE_LIT("oidc:a,b c") }, jti[] = { SLICE_LIT("JTI=1"), SLICE_LIT("JTI=2") },
		     scopes[] = { SLICE_LIT("x\xc3\xa9") };
	struct identity_extra extra[] = { { SLICE_LIT("authentication.kubernetes.io/credential-id"), jti, 2 }, { SLICE_LIT("a%b \xc3\xa9:"), scopes, 1 } };
	struct identity id = { .username = SLICE_LIT("https://issuer#jane"), .uid = SLICE_LIT("u-1"), .groups = groups, .group_n = 2, .extra = extra,
		.extra_n = 2 };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	assert_int_equal(impersonate_block(&id, &out), OK);
	assert_string_equal(out.p, "Impersonate-User: https://issuer#jane\r\nImpersonate-Group: dev\r\nImpersonate-Group: oidc:a,b c\r\n"
				   "Impersonate-Group: system:authenticated\r\nImpersonate-Uid: u-1\r\n"
				   "Impersonate-Extra-authentication.kubernetes.io%2Fcredential-id: JTI=1\r\n"
				   "Impersonate-Extra-authentication.kubernetes.io%2Fcredential-id: JTI=2\r\n"
				   "Impersonate-Extra-a%25b%20%C3%A9%3A: x\xc3\xa9\r\n");
	buf_fini(&out);
}

static void
group_of_everyone_is_always_there_once(void **state)
{
	struct slice groups[] = { SLICE_LIT("system:authenticated"), SLICE_LIT("dev") };
	struct identity id = { .username = SLICE_LIT("jane") };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	assert_int_equal(impersonate_block(&id, &out), OK);
	assert_string_equal(out.p, "Impersonate-User: jane\r\nImpersonate-Group: system:authenticated\r\n");
	buf_reset(&out);
	id.groups = groups;
	id.group_n = 2;
	assert_int_equal(impersonate_block(&id, &out), OK);
	assert_string_equal(out.p, "Impersonate-User: jane\r\nImpersonate-Group: system:authenticated\r\nImpersonate-Group: dev\r\n");
	buf_fini(&out);
}

static void
value_that_is_no_plain_text_fails_closed_wherever_it_stands(void **state)
{
	static const struct slice bad[] = { { "", 0 }, { " a", 2 }, { "a ", 2 }, { "\ta", 2 }, { "a\t", 2 }, { "a\r\nX: y", 7 }, { "a\nb", 3 }, { "a\0b", 3 },
		{ "a\rb", 3 }, { "a\x7f", 2 }, { "\xff", 1 }, { "\xc0\xae", 2 }, { " system:masters\t", 16 } };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	buf_add_str(&out, "before");
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct slice value = bad[i], fine = SLICE_LIT("fine");
		struct identity_extra in_value = { SLICE_LIT("k"), &value, 1 }, in_key = { value, &fine, 1 };
		struct identity id = { .username = value };

		assert_int_equal(impersonate_block(&id, &out), E_FORMAT);
		id = (struct identity){ .username = SLICE_LIT("jane"), .groups = &value, .group_n = 1 };
		assert_int_equal(impersonate_block(&id, &out), E_FORMAT);
		id = (struct identity){ .username = SLICE_LIT("jane"), .uid = value };
		assert_int_equal(impersonate_block(&id, &out), value.n ? E_FORMAT : OK); /* no uid is no error */
		if (value.n == 0) {
			buf_reset(&out);
			buf_add_str(&out, "before");
		}
		id = (struct identity){ .username = SLICE_LIT("jane"), .extra = &in_value, .extra_n = 1 };
		assert_int_equal(impersonate_block(&id, &out), E_FORMAT);
		id.extra = &in_key;
		assert_int_equal(impersonate_block(&id, &out), E_FORMAT);
		assert_string_equal(out.p, "before");
	}
	struct slice fine = SLICE_LIT("fine");
	struct identity_extra upper = { SLICE_LIT("Key"), &fine, 1 };
	struct identity id = { .username = SLICE_LIT("jane"), .extra = &upper, .extra_n = 1 };
	assert_int_equal(impersonate_block(&id, &out), E_FORMAT);
	buf_fini(&out);
}

static void
too_much_is_refused_and_leaves_nothing(void **state)
{
	static struct slice groups[IDENTITY_GROUPS_MAX + 1];
	static struct identity_extra extra[IDENTITY_EXTRA_MAX + 1];
	struct identity id = { .username = SLICE_LIT("jane"), .groups = groups, .group_n = COUNT(groups) };
	struct buf out;

	(void)state;
	for (size_t i = 0; i < COUNT(groups); i++)
		groups[i] = SLICE_LIT("g");
	for (size_t i = 0; i < COUNT(extra); i++)
		extra[i].key = SLICE_LIT("k");
	buf_init(&out, 0);
	assert_int_equal(impersonate_block(&id, &out), E_LIMIT);
	id.group_n--;
	assert_int_equal(impersonate_block(&id, &out), OK);
	buf_fini(&out);

	id = (struct identity){ .username = SLICE_LIT("jane"), .extra = extra, .extra_n = COUNT(extra) };
	assert_int_equal(impersonate_block(&id, &out), E_LIMIT);

	buf_init(&out, 60);
	buf_add_str(&out, "before");
	id.extra_n = 0;
	assert_int_equal(impersonate_block(&id, &out), E_LIMIT);
	assert_true(buf_ok(&out));
	assert_string_equal(out.p, "before");
	out.failed = true;
	assert_int_equal(impersonate_block(&id, &out), E_LIMIT);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_identity_becomes_one_line_per_value),
		cmocka_unit_test(group_of_everyone_is_always_there_once),
		cmocka_unit_test(value_that_is_no_plain_text_fails_closed_wherever_it_stands),
		cmocka_unit_test(too_much_is_refused_and_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
