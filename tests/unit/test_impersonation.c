/* What Impersonate-* headers ask for, and what has to be allowed for it. */
#include "http_cases.h"
#include "proxyd/access_review.h"
#include "proxyd/impersonate.h"
#include "proxyd/impersonation.h"

static struct slice groups[] = { { "dev", 3 }, { "ops", 3 } }, jti[] = { { "JTI=1", 5 } };
static struct identity_extra extra[] = { { { "authentication.kubernetes.io/credential-id", 42 }, jti, 1 } };
static const struct identity alice = { .username = { "alice", 5 }, .uid = { "7", 1 }, .groups = groups, .group_n = 2, .extra = extra, .extra_n = 1,
	.how = IDENTITY_JWT, .expires_at = 99 };
static const struct identity bob = { .username = { "bob", 3 }, .how = IDENTITY_CLIENT_CERTIFICATE };

static enum err
parse_as(const char *lines, const struct identity *caller, struct impersonation **out, const char **why)
{
	static struct parsed parsed;
	static char text[60000];
	int n = snprintf(text, sizeof(text), "GET /api HTTP/1.1\r\nHost: gw.example\r\n%s\r\n", lines);

	assert_int_equal(feed(slice_of(text, (size_t)n), true, METHOD_OTHER, false, &parsed), HTTP_OK);
	return impersonation_new(&parsed.head, caller, out, why);
}

/* "users bob; groups dev; userextras/scopes view", namespaces as "ns/". */
static void
list_checks(const struct impersonation *i, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t c = 0; c < i->n; c++) {
		const struct impersonation_check *k = &i->checks[c];
		n += (size_t)snprintf(out + n, cap - n, "%s%s%s%s%s%.*s %.*s%s%.*s", c ? "; " : "", k->group, *k->group ? ":" : "", k->resource,
			k->subresource.n ? "/" : "", SLICE_FMT(k->subresource), SLICE_FMT(k->namespace_name), k->namespace_name.n ? "/" : "", SLICE_FMT(k->name));
	}
}

#define BOBS_ORIGIN "Impersonate-Extra-gatehouse%2Foriginal-user: bob\r\nImpersonate-Extra-gatehouse%2Foriginal-how: client_certificate\r\n"
static void
each_thing_that_is_asked_for_has_to_be_allowed(void **state)
{
	static const struct {
		const char *lines, *checks, *headers;
	} cases[] = {
		{ "Impersonate-User: jane\r\n", "users jane", "Impersonate-User: jane\r\nImpersonate-Group: system:authenticated\r\n" BOBS_ORIGIN },
		{ "impersonate-GROUP: a,b\r\nIMPERSONATE-user: jane\r\nImpersonate-Group: c\r\n", "groups a,b; users jane; groups c",
			"Impersonate-User: jane\r\nImpersonate-Group: a,b\r\nImpersonate-Group: c\r\nImpersonate-Group: system:authenticated\r\n" BOBS_ORIGIN },
		{ "Impersonate-User: jane\r\nImpersonate-Group: system:masters\r\n", "users jane; groups system:masters",
			"Impersonate-User: jane\r\nImpersonate-Group: system:masters\r\nImpersonate-Group: system:authenticated\r\n" BOBS_ORIGIN },
		{ "Impersonate-User: jane\r\nImpersonate-Uid: 42\r\n", "users jane; authentication.k8s.io:uids 42",
			"Impersonate-User: jane\r\nImpersonate-Group: system:authenticated\r\nImpersonate-Uid: 42\r\n" BOBS_ORIGIN },
		{ "Impersonate-User: jane\r\nImpersonate-Extra-Scopes: view\r\nImpersonate-Extra-acme.com%2Fa%25b: x\r\nImpersonate-Extra-scopes: edit\r\n",
			"users jane; authentication.k8s.io:userextras/scopes view; authentication.k8s.io:userextras/acme.com/a%b x; "
			"authentication.k8s.io:userextras/scopes edit",
			"Impersonate-User: jane\r\nImpersonate-Group: system:authenticated\r\nImpersonate-Extra-scopes: view\r\nImpersonate-Extra-scopes: edit\r\n"
			"Impersonate-Extra-acme.com%2Fa%25b: x\r\n" BOBS_ORIGIN },
		/* The apiserver adds a service account's groups only where none are named. */
		{ "Impersonate-User: system:serviceaccount:ci:deployer.v-1\r\n", "serviceaccounts ci/deployer.v-1",
			"Impersonate-User: system:serviceaccount:ci:deployer.v-1\r\nImpersonate-Group: system:serviceaccounts\r\n"
			"Impersonate-Group: system:serviceaccounts:ci\r\nImpersonate-Group: system:authenticated\r\n" BOBS_ORIGIN },
		{ "Impersonate-Group: x\r\nImpersonate-User: system:serviceaccount:ci:deployer\r\n", "groups x; serviceaccounts ci/deployer",
			"Impersonate-User: system:serviceaccount:ci:deployer\r\nImpersonate-Group: x\r\nImpersonate-Group: system:authenticated\r\n" BOBS_ORIGIN },
		{ "Impersonate-User: system:anonymous\r\n", "users system:anonymous",
			"Impersonate-User: system:anonymous\r\nImpersonate-Group: system:unauthenticated\r\n" BOBS_ORIGIN },
		{ "Impersonate-User: jane\r\nImpersonate-Group: system:unauthenticated\r\n", "users jane; groups system:unauthenticated",
			"Impersonate-User: jane\r\nImpersonate-Group: system:unauthenticated\r\n" BOBS_ORIGIN },
		{ "Impersonate-User: system:node:n1\r\n", "users system:node:n1",
			"Impersonate-User: system:node:n1\r\nImpersonate-Group: system:authenticated\r\n" BOBS_ORIGIN },
	};
	char checks[1000];

	(void)state;
	for (size_t c = 0; c < COUNT(cases); c++) {
		struct impersonation *i;
		const char *why = "";
		if (parse_as(cases[c].lines, &bob, &i, &why) != OK)
			fail_msg("%s: %s", cases[c].lines, why);
		list_checks(i, checks, sizeof(checks));
		assert_string_equal(checks, cases[c].checks);
		/* Nothing to send before all of it is allowed. */
		for (; i->at < i->n; i->at++) {
			assert_int_equal(impersonation_allow(i), E_CONFLICT);
			assert_int_equal(i->headers.n, 0);
		}
		assert_int_equal(impersonation_allow(i), OK);
		assert_string_equal(i->headers.p, cases[c].headers);
		impersonation_free(i);
	}
}

static void
who_asks_goes_along_whole(void **state)
{
	struct impersonation *i;
	const char *why;

	(void)state;
	assert_int_equal(parse_as("Impersonate-User: jane\r\nImpersonate-Extra-a: b\r\n", &alice, &i, &why), OK);
	i->at = i->n;
	assert_int_equal(impersonation_allow(i), OK);
	assert_string_equal(i->headers.p, "Impersonate-User: jane\r\nImpersonate-Group: system:authenticated\r\nImpersonate-Extra-a: b\r\n"
					  "Impersonate-Extra-gatehouse%2Foriginal-user: alice\r\nImpersonate-Extra-gatehouse%2Foriginal-uid: 7\r\n"
					  "Impersonate-Extra-gatehouse%2Foriginal-groups: dev\r\nImpersonate-Extra-gatehouse%2Foriginal-groups: ops\r\n"
					  "Impersonate-Extra-gatehouse%2Foriginal-how: jwt\r\n"
					  "Impersonate-Extra-gatehouse%2Foriginal-extra%2Fauthentication.kubernetes.io%2Fcredential-id: JTI=1\r\n");
	assert_int_equal(i->target.expires_at, 99);
	impersonation_free(i);
}

static void
whatever_is_not_clear_is_refused(void **state)
{
	static const char *const cases[] = {
		"Impersonate-Group: dev\r\n", "Impersonate-Uid: 1\r\n", "Impersonate-Extra-a: b\r\n", /* without a user */
		"Impersonate-User: jane\r\nImpersonate-User: joe\r\n", "Impersonate-User: jane\r\nImpersonate-User: jane\r\n",
		"Impersonate-User: jane\r\nImpersonate-Uid: 1\r\nImpersonate-Uid: 1\r\n",
		"Impersonate-User:\r\n", "Impersonate-User: jane\r\nImpersonate-Group:\r\n", "Impersonate-User: jane\r\nImpersonate-Uid: \r\n",
		"Impersonate-User: jane\r\nImpersonate-Extra-a:\r\n", "Impersonate-User: ja\tne\r\n", "Impersonate-User: \xff\r\n", "Impersonate-User: a\xc2\x85\r\n",
		"Impersonate: jane\r\n", "Impersonate-: jane\r\n", "Impersonate-Users: jane\r\n", "Impersonated-User: jane\r\n", "Impersonate-User-x: jane\r\n",
		"Impersonate_User: jane\r\n", "Impersonate.User: jane\r\n", "Impersonate-User: jane\r\nImpersonate_Group: system:masters\r\n",
		"Impersonate-User: jane\r\nImpersonate-Groups: x\r\n", "Impersonate-User: jane\r\nImpersonate-Extra: x\r\n",
		"Impersonate-User: jane\r\nImpersonate-Extra-: x\r\n", "Impersonate-User: jane\r\nImpersonate-Extra-a%: x\r\n",
		"Impersonate-User: jane\r\nImpersonate-Extra-a%2: x\r\n", "Impersonate-User: jane\r\nImpersonate-Extra-a%zz: x\r\n",
		"Impersonate-User: jane\r\nImpersonate-Extra-a%0a: x\r\n", "Impersonate-User: jane\r\nImpersonate-Extra-a%20: x\r\n",
		"Impersonate-User: jane\r\nImpersonate-Extra-a%ff: x\r\n", "Impersonate-User: jane\r\nImpersonate-Extra-%41: x\r\n", /* a capital, which would get lost */
		"Impersonate-User: jane\r\nImpersonate-Extra-gatehouse%2Foriginal-user: root\r\n", "Impersonate-User: jane\r\nImpersonate-Extra-GATEHOUSE%2fhow: x\r\n",
		"Impersonate-User: jane\r\nImpersonate-Extra-%67atehouse%2Foriginal-user: root\r\n",
		/* Not names of service accounts, and not to be taken for a user's. */
		"Impersonate-User: system:serviceaccount:\r\n", "Impersonate-User: system:serviceaccount:ci\r\n", "Impersonate-User: system:serviceaccount:ci:\r\n",
		"Impersonate-User: system:serviceaccount::a\r\n", "Impersonate-User: system:serviceaccount:ci:a:b\r\n", "Impersonate-User: system:serviceaccount:CI:a\r\n",
		"Impersonate-User: system:serviceaccount:ci:A\r\n", "Impersonate-User: system:serviceaccount:c.i:a\r\n", "Impersonate-User: system:serviceaccount:ci-:a\r\n",
		"Impersonate-User: system:serviceaccount:-ci:a\r\n", "Impersonate-User: system:serviceaccount:ci:a..b\r\n", "Impersonate-User: system:serviceaccount:ci:.a\r\n",
		"Impersonate-User: system:serviceaccount:ci:a-.b\r\n", "Impersonate-User: system:serviceaccount:ci:a.-b\r\n", "Impersonate-User: system:serviceaccount:ci:a.\r\n",
		"Impersonate-User: system:serviceaccount:ci:a/b\r\n",
		"Impersonate-User: system:serviceaccount:a123456789a123456789a123456789a123456789a123456789a123456789a123:x\r\n",
	};

	(void)state;
	for (size_t c = 0; c < COUNT(cases); c++) {
		struct impersonation *i = NULL;
		const char *why = NULL;
		if (parse_as(cases[c], &alice, &i, &why) != E_FORMAT)
			fail_msg("%s", cases[c]);
		assert_null(i);
		assert_true(why && *why);
	}
}

static void
what_is_asked_for_is_bounded(void **state)
{
	static char lines[60000];
	struct impersonation *i;
	const char *why;

	(void)state;
	for (int over = 0; over < 2; over++) {
		size_t n = (size_t)snprintf(lines, sizeof(lines), "Impersonate-User: jane\r\n");
		for (int g = 0; g < IMPERSONATION_CHECKS_MAX - 1 + over; g++)
			n += (size_t)snprintf(lines + n, sizeof(lines) - n, "Impersonate-Group: g%d\r\n", g);
		assert_int_equal(parse_as(lines, &alice, &i, &why), over ? E_LIMIT : OK);
		if (!over)
			impersonation_free(i);
	}
	/* 32 extras, of which two are bob's own. */
	for (int over = 0; over < 2; over++) {
		size_t n = (size_t)snprintf(lines, sizeof(lines), "Impersonate-User: jane\r\n");
		for (int k = 0; k < IDENTITY_EXTRA_MAX - 2 + over; k++)
			n += (size_t)snprintf(lines + n, sizeof(lines) - n, "Impersonate-Extra-k%d: v\r\n", k);
		assert_int_equal(parse_as(lines, &bob, &i, &why), over ? E_LIMIT : OK);
		if (!over)
			impersonation_free(i);
	}
	size_t n = (size_t)snprintf(lines, sizeof(lines), "Impersonate-User: ");
	memset(lines + n, 'a', IDENTITY_VALUE_BYTES_MAX + 1);
	strcpy(lines + n + IDENTITY_VALUE_BYTES_MAX + 1, "\r\n");
	assert_int_equal(parse_as(lines, &bob, &i, &why), E_FORMAT);
	strcpy(lines + n + IDENTITY_VALUE_BYTES_MAX, "\r\n");
	assert_int_equal(parse_as(lines, &bob, &i, &why), OK);
	impersonation_free(i);
}

static void
refusals_are_the_apiservers_own_words(void **state)
{
	static const struct {
		struct impersonation_check check;
		const char *caller, *text;
	} cases[] = {
		{ { "", "users", { NULL, 0 }, { NULL, 0 }, { "bob", 3 } }, "alice",
			"users \"bob\" is forbidden: User \"alice\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope" },
		{ { "", "serviceaccounts", { NULL, 0 }, { "ci", 2 }, { "deployer", 8 } }, "alice",
			"serviceaccounts \"deployer\" is forbidden: User \"alice\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the "
			"namespace \"ci\"" },
		{ { "authentication.k8s.io", "userextras", { "acme.com/a", 10 }, { NULL, 0 }, { "v", 1 } }, "alice",
			"userextras.authentication.k8s.io \"v\" is forbidden: User \"alice\" cannot impersonate resource \"userextras/acme.com/a\" in API group "
			"\"authentication.k8s.io\" at the cluster scope" },
		{ { "", "users", { NULL, 0 }, { NULL, 0 }, { "<b>\"\\", 5 } }, "a&\"<script>",
			"users \"<b>\\\"\\\\\" is forbidden: User \"a&amp;\\\"&lt;script&gt;\" cannot impersonate resource \"users\" in API group \"\" at the cluster "
			"scope" },
	};

	(void)state;
	for (size_t c = 0; c < COUNT(cases); c++) {
		struct buf out;
		buf_init(&out, 0);
		impersonation_refusal(&cases[c].check, slice_str(cases[c].caller), &out);
		assert_string_equal(out.p, cases[c].text);
		buf_fini(&out);
	}
}

/* SubjectAccessReview */

static void
the_question_is_about_the_caller_as_the_cluster_knows_them(void **state)
{
	struct impersonation *i;
	const char *why;
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	assert_int_equal(parse_as("Impersonate-User: system:serviceaccount:ci:a\r\nImpersonate-Extra-k%22: \"v\"\r\n", &alice, &i, &why), OK);
#define ALICE "\"user\":\"alice\",\"uid\":\"7\",\"groups\":[\"dev\",\"ops\",\"system:authenticated\"],\"extra\":{\"authentication.kubernetes.io/credential-id\":" \
	"[\"JTI=1\"]}"
#define SPEC "{\"apiVersion\":\"authorization.k8s.io/v1\",\"kind\":\"SubjectAccessReview\",\"spec\":{"
	access_review_print(&alice, &i->checks[0], &out);
	assert_string_equal(out.p, SPEC ALICE ",\"resourceAttributes\":{\"verb\":\"impersonate\",\"group\":\"\",\"version\":\"v1\",\"resource\":"
					      "\"serviceaccounts\",\"namespace\":\"ci\",\"name\":\"a\"}}}");
	buf_reset(&out);
	access_review_print(&alice, &i->checks[1], &out);
	assert_string_equal(out.p, SPEC ALICE ",\"resourceAttributes\":{\"verb\":\"impersonate\",\"group\":\"authentication.k8s.io\",\"version\":\"v1\",\"resource\":"
					      "\"userextras\",\"subresource\":\"k\\\"\",\"name\":\"\\\"v\\\"\"}}}");
	buf_reset(&out);
	access_review_print(&bob, &i->checks[0], &out);
	assert_non_null(strstr(out.p, "{\"user\":\"bob\",\"groups\":[\"system:authenticated\"],\"resourceAttributes\":"));
	impersonation_free(i);
	buf_fini(&out);
}

#define REVIEW(status) "{\"kind\":\"SubjectAccessReview\",\"apiVersion\":\"authorization.k8s.io/v1\",\"status\":" status "}"
static void
only_a_plain_yes_is_a_yes(void **state)
{
	static const struct {
		const char *text;
		enum access_review expected;
	} cases[] = {
		{ REVIEW("{\"allowed\":true}"), ACCESS_ALLOWED },
		{ REVIEW("{\"allowed\":true,\"denied\":false,\"reason\":\"RBAC: allowed by\"}"), ACCESS_ALLOWED },
		{ REVIEW("{\"allowed\":false}"), ACCESS_DENIED },
		{ REVIEW("{\"allowed\":false,\"denied\":true}"), ACCESS_DENIED },
		{ REVIEW("{\"allowed\":true,\"denied\":true}"), ACCESS_DENIED },
		{ REVIEW("{}"), ACCESS_BROKEN },
		{ REVIEW("{\"allowed\":\"true\"}"), ACCESS_BROKEN },
		{ REVIEW("{\"allowed\":1}"), ACCESS_BROKEN },
		{ REVIEW("{\"allowed\":true,\"denied\":0}"), ACCESS_BROKEN },
		{ REVIEW("{\"allowed\":false,\"allowed\":true}"), ACCESS_BROKEN },
		{ REVIEW("null"), ACCESS_BROKEN },
		{ "", ACCESS_BROKEN },
		{ "yes", ACCESS_BROKEN },
		{ "{\"status\":{\"allowed\":true}}", ACCESS_BROKEN },
		{ "{\"kind\":\"TokenReview\",\"apiVersion\":\"authorization.k8s.io/v1\",\"status\":{\"allowed\":true}}", ACCESS_BROKEN },
		{ "{\"kind\":\"SubjectAccessReview\",\"apiVersion\":\"v1\",\"status\":{\"allowed\":true}}", ACCESS_BROKEN },
	};

	(void)state;
	for (size_t c = 0; c < COUNT(cases); c++)
		if (access_review_read(slice_str(cases[c].text)) != cases[c].expected)
			fail_msg("%s", cases[c].text);
}

static void
answers_are_remembered_for_seconds(void **state)
{
	struct access_answers *a = access_answers_new();
	unsigned char yes[CREDENTIAL_DIGEST_BYTES] = { 1 }, no[CREDENTIAL_DIGEST_BYTES] = { 2 }, same_slot[CREDENTIAL_DIGEST_BYTES] = { 1, 0, 1 };
	enum access_review v;

	(void)state;
	assert_non_null(a);
	assert_false(access_answers_find(a, yes, 0, &v));
	access_answers_put(a, yes, ACCESS_ALLOWED, 100);
	access_answers_put(a, no, ACCESS_DENIED, 100);
	assert_true(access_answers_find(a, yes, 100 + ACCESS_ALLOWED_LIFETIME_S - 1, &v));
	assert_int_equal(v, ACCESS_ALLOWED);
	assert_false(access_answers_find(a, yes, 100 + ACCESS_ALLOWED_LIFETIME_S, &v));
	assert_true(access_answers_find(a, no, 100 + ACCESS_DENIED_LIFETIME_S - 1, &v));
	assert_int_equal(v, ACCESS_DENIED);
	assert_false(access_answers_find(a, no, 100 + ACCESS_DENIED_LIFETIME_S, &v));
	assert_false(access_answers_find(a, same_slot, 100, &v)); /* the whole digest counts */
	access_answers_put(a, yes, ACCESS_BROKEN, 200);
	assert_false(access_answers_find(a, yes, 200, &v));
	access_answers_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_thing_that_is_asked_for_has_to_be_allowed),
		cmocka_unit_test(who_asks_goes_along_whole),
		cmocka_unit_test(whatever_is_not_clear_is_refused),
		cmocka_unit_test(what_is_asked_for_is_bounded),
		cmocka_unit_test(refusals_are_the_apiservers_own_words),
		cmocka_unit_test(the_question_is_about_the_caller_as_the_cluster_knows_them),
		cmocka_unit_test(only_a_plain_yes_is_a_yes),
		cmocka_unit_test(answers_are_remembered_for_seconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
