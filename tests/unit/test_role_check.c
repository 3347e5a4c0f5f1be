/* A 403 that is about the gateway's own rights. */
#include "proxyd/role_check.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
the_missing_right_is_read_out_of_the_apiservers_words(void **state)
{
	static const struct {
		struct slice body;
		const char *resource; /* NULL: about something else */
	} cases[] = {
#define S(literal) SLICE_LIT(literal)
		{ S("{\"message\":\"userextras.authentication.k8s.io \\\"JTI=1\\\" is forbidden: User \\\"gatehouse-proxy\\\" cannot impersonate resource "
		    "\\\"userextras/authentication.kubernetes.io/credential-id\\\" in API group \\\"authentication.k8s.io\\\" at the cluster scope\"}"),
			"userextras/authentication.kubernetes.io/credential-id" },
		{ S("k8s\0\n\f\n\2v1\22\6Status\22... User \"gatehouse-proxy\" cannot impersonate resource \"uids\" in API group \"authentication.k8s.io\""), "uids" },
		{ S("pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\""), NULL },
		{ S("User \"x\" cannot impersonate resource users"), NULL }, /* not quoted: not the apiserver's */
		{ S(" cannot impersonate resource \""), NULL },
		{ S(" cannot impersonate resource \"\" in"), NULL },
		{ S(" cannot impersonate resource \"use"), NULL }, /* cut off */
		{ S(" cannot impersonate resource \"a b\" in"), "a" },
		{ S(" cannot impersonate resource \"\n\" in"), NULL },
		{ S(""), NULL },
	};
	static char late[ROLE_CHECK_BYTES_MAX + 100];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct slice got = role_check_missing(cases[i].body);
		if (cases[i].resource ? !slice_eq_str(got, cases[i].resource) : got.p != NULL)
			fail_msg("%zu: %.*s", i, SLICE_FMT(got));
	}
	memset(late, ' ', sizeof(late));
	memcpy(late + ROLE_CHECK_BYTES_MAX, cases[0].body.p, 50);
	assert_null(role_check_missing(slice_of(late, sizeof(late))).p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_missing_right_is_read_out_of_the_apiservers_words) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
