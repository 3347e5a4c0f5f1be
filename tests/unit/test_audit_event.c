#include <jansson.h>
#include "proxyd/audit_event.h"
#include "tests/unit/unit.h"

static struct slice groups[] = { { "dev", 3 }, { "a\"b", 3 } };
static struct slice scopes[] = { { "x", 1 }, { "y", 1 } }, one[] = { { "JTI=1", 5 } };
static struct identity_extra extra[] = { { { "scopes", 6 }, scopes, 2 }, { { "authentication.kubernetes.io/credential-id", 42 }, one, 1 } };
static const struct identity jane = { .username = { "jane", 4 }, .uid = { "u-1", 3 }, .groups = groups, .group_n = 2, .extra = extra, .extra_n = 2,
	.how = IDENTITY_JWT, .issuer = { "https://i", 9 } };
static struct kube_request object;
static struct buf out;

static struct audit_event
whole(void)
{
	static const struct slice path = { "/apis/apps/v1/namespaces/demo/deployments/web/scale", 51 };

	kube_request_parse(METHOD_PUT, path, SLICE_NONE, &object);
	return (struct audit_event){ .id = SLICE_LIT("id-1"), .path = path, .query = SLICE_LIT("fieldManager=k"), .verb = "update", .method = SLICE_LIT("PUT"),
		.object = &object, .user = &jane, .client_ip = SLICE_LIT("10.0.0.1"), .user_agent = SLICE_LIT("kubectl/v1.35"), .code = 200,
		.received_us = 1767323045678901, .finished_us = 1767323046000042, .cluster = "default", .request_id = SLICE_LIT("r-1") };
}

static const char *
written(const struct audit_event *e)
{
	buf_fini(&out);
	buf_init(&out, 0);
	audit_event_write(e, &out);
	assert_true(buf_ok(&out));
	json_t *j = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	json_decref(j);
	return out.p;
}

static void
a_whole_event_is_written_as_the_apiserver_writes_it(void **state)
{
	struct audit_event e = whole();

	(void)state;
	assert_string_equal(written(&e),
		"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\"auditID\":\"id-1\",\"stage\":\"ResponseComplete\","
		"\"requestURI\":\"/apis/apps/v1/namespaces/demo/deployments/web/scale?fieldManager=k\",\"verb\":\"update\","
		"\"user\":{\"username\":\"jane\",\"uid\":\"u-1\",\"groups\":[\"dev\",\"a\\\"b\",\"system:authenticated\"],"
		"\"extra\":{\"scopes\":[\"x\",\"y\"],\"authentication.kubernetes.io/credential-id\":[\"JTI=1\"]}},"
		"\"sourceIPs\":[\"10.0.0.1\"],\"userAgent\":\"kubectl/v1.35\","
		"\"objectRef\":{\"resource\":\"deployments\",\"namespace\":\"demo\",\"name\":\"web\",\"apiGroup\":\"apps\",\"apiVersion\":\"v1\",\"subresource\":\"scale\"},"
		"\"responseStatus\":{\"metadata\":{},\"code\":200},\"requestReceivedTimestamp\":\"2026-01-02T03:04:05.678901Z\","
		"\"stageTimestamp\":\"2026-01-02T03:04:06.000042Z\",\"annotations\":{\"gatehouse/request-id\":\"r-1\",\"gatehouse/cluster\":\"default\","
		"\"gatehouse/authenticated-by\":\"jwt\",\"gatehouse/issuer\":\"https://i\"}}\n");
}

static void
what_is_not_known_is_left_out(void **state)
{
	const struct audit_event e = { .id = SLICE_LIT("id"), .path = SLICE_LIT("/"), .query = SLICE_NONE, .method = SLICE_LIT("OPTIONS"), .request_id = SLICE_LIT("r") };

	(void)state;
	assert_string_equal(written(&e),
		"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\"auditID\":\"id\",\"stage\":\"ResponseComplete\","
		"\"requestURI\":\"/\",\"verb\":\"options\",\"user\":{},\"requestReceivedTimestamp\":\"1970-01-01T00:00:00.000000Z\","
		"\"stageTimestamp\":\"1970-01-01T00:00:00.000000Z\",\"annotations\":{\"gatehouse/request-id\":\"r\"}}\n");
}

static void
whom_somebody_was_allowed_to_be_stands_beside_them(void **state)
{
	static struct slice all[] = { { "system:authenticated", 20 } };
	static const struct identity bot = { .username = { "bot", 3 }, .groups = all, .group_n = 1 };
	struct audit_event e = whole();

	(void)state;
	e.impersonated = &bot;
	assert_non_null(strstr(written(&e), "\"impersonatedUser\":{\"username\":\"bot\",\"groups\":[\"system:authenticated\"]},\"sourceIPs\""));
}

static void
an_answer_of_our_own_has_its_reason(void **state)
{
	struct audit_event e = whole();

	(void)state;
	e.own_answer = true;
	e.code = 403;
	e.why = "because";
	assert_non_null(strstr(written(&e), "\"responseStatus\":{\"metadata\":{},\"status\":\"Failure\",\"reason\":\"Forbidden\",\"code\":403}"));
	assert_non_null(strstr(out.p, "\"gatehouse/reason\":\"because\""));
	e.code = 302;
	assert_non_null(strstr(written(&e), "\"responseStatus\":{\"metadata\":{},\"code\":302}"));
}

static void
bytes_of_a_client_stay_inside_their_strings(void **state)
{
	struct audit_event e = whole();

	(void)state;
	e.path = SLICE_LIT("/a\"b\\c\n\xff");
	e.query = SLICE_LIT("q=\"\x01");
	e.method = SLICE_LIT("VERYLONGMETHODNAME\"THATDOESNOTFITHERE");
	e.verb = NULL;
	e.user_agent = SLICE_LIT("\"}\n{");
	assert_non_null(strstr(written(&e), "\"requestURI\":\"/a\\\"b\\\\c\\n\xEF\xBF\xBD?q=\\\"\\u0001\",\"verb\":\"verylongmethodname\\\"thatdoesnotfi\""));
	assert_ptr_equal(strchr(out.p, '\n'), out.p + out.n - 1);
	e.query = SLICE_LIT("");
	assert_non_null(strstr(written(&e), "\xEF\xBF\xBD?\",\"verb\""));
}

static void
a_long_user_agent_is_cut_as_the_apiserver_cuts_it(void **state)
{
	static char agent[2000];
	struct audit_event e = whole();

	(void)state;
	memset(agent, 'a', sizeof(agent));
	e.user_agent = slice_of(agent, AUDIT_USER_AGENT_BYTES_MAX);
	assert_non_null(strstr(written(&e), "aa\",\"objectRef\""));
	e.user_agent.n++;
	assert_non_null(strstr(written(&e), "aa...TRUNCATED\",\"objectRef\""));
}

static void
a_resource_without_a_name_is_an_object_all_the_same(void **state)
{
	struct audit_event e = whole();

	(void)state;
	object = (struct kube_request){ .is_resource = true };
	assert_non_null(strstr(written(&e), "\"objectRef\":{},"));
}

static void
an_event_that_does_not_fit_fails_as_a_whole(void **state)
{
	struct audit_event e = whole();
	size_t n = (size_t)(strlen(written(&e)));

	(void)state;
	for (size_t max = 1; max < n; max++) {
		buf_fini(&out);
		buf_init(&out, max);
		audit_event_write(&e, &out);
		assert_false(buf_ok(&out));
		assert_true(out.n <= max);
	}
}

static int
teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_event_is_written_as_the_apiserver_writes_it),
		cmocka_unit_test(what_is_not_known_is_left_out),
		cmocka_unit_test(whom_somebody_was_allowed_to_be_stands_beside_them),
		cmocka_unit_test(an_answer_of_our_own_has_its_reason),
		cmocka_unit_test(bytes_of_a_client_stay_inside_their_strings),
		cmocka_unit_test(a_long_user_agent_is_cut_as_the_apiserver_cuts_it),
		cmocka_unit_test(a_resource_without_a_name_is_an_object_all_the_same),
		cmocka_unit_test(an_event_that_does_not_fit_fails_as_a_whole),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
