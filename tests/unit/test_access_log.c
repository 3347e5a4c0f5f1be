/* What a request leaves behind in the log and among the audit events, through the whole data path. */
#include <fcntl.h>
#include <jansson.h>
#include "proxyd/access_log.h"
#include "proxyd/line_pipe.h"
#include "shared/log.h"
#include "tests/unit/exchange_unit.h"

static struct line_pipe events;
static int log_ends[2], event_ends[2];

static void
start_events(struct rig *r, void *arg)
{
	(void)arg;
	line_pipe_init(&events, r->gateway.loop, event_ends[1], "audit");
	r->gateway.audit = &events;
}
static void
end_events(struct rig *r, void *arg)
{
	(void)arg;
	r->gateway.audit = NULL;
	line_pipe_fini(&events);
}

static int
setup(void **state)
{
	(void)state;
	assert_int_equal(pipe(log_ends), 0);
	assert_int_equal(pipe2(event_ends, O_NONBLOCK), 0);
	log_setup("t", log_ends[1], LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	rig_start(&rig, NULL);
	rig_run(&rig, start_events, NULL);
	return 0;
}
static int
teardown(void **state)
{
	(void)state;
	rig_run(&rig, end_events, NULL);
	rig_stop(&rig);
	log_setup("t", 2, LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
	for (int i = 0; i < 2; i++) {
		close(log_ends[i]);
		close(event_ends[i]);
	}
	return 0;
}

static json_t *
read_json(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char line[65536];
	size_t n = 0;

	while (n + 1 < sizeof(line) && poll(&p, 1, UNIT_WAIT_S * 1000) == 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	json_t *j = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	if (!j)
		fail_msg("no line of JSON: %.*s", (int)n, line);
	return j;
}
/* The next line with this message. */
static json_t *
read_line(const char *msg)
{
	for (;;) {
		json_t *j = read_json(log_ends[0]);
		if (strcmp(json_string_value(json_object_get(j, "msg")), msg) == 0)
			return j;
		json_decref(j);
	}
}

/* Numbers as text; NULL: not there. */
static const char *
get(const json_t *j, const char *key)
{
	static char number[32];
	const json_t *v = json_object_get(j, key);

	if (!json_is_integer(v))
		return json_string_value(v);
	snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
	return number;
}
static void
expect(const json_t *j, const char *key, const char *want)
{
	const char *got = get(j, key);

	if (want ? !got || strcmp(got, want) != 0 : got != NULL)
		fail_msg("%s is %s, wanted %s", key, got ? got : "missing", want ? want : "none");
}
static json_t *
member(const json_t *j, const char *key)
{
	json_t *v = json_object_get(j, key);

	if (!v)
		fail_msg("no member %s", key);
	return v;
}

/* Answered with OK_ABC and more headers. */
static void
exchange(struct end *client, struct end *cluster, const char *request, const char *answer)
{
	char head[8192];

	end_say(client, request);
	if (cluster->fd < 0)
		*cluster = rig_cluster(&rig);
	end_hear_head(cluster, head, sizeof(head));
	end_say(cluster, answer);
	end_hear_head(client, head, sizeof(head));
	end_hear(client, "abc");
}

static void
a_line_says_who_did_what_where_and_what_came_of_it_without_the_query(void **state)
{
	struct end client = rig_client(&rig), cluster = { .fd = -1 }, second = { .fd = -1 };

	(void)state;
	exchange(&client, &cluster, LINE("GET", "/apis/apps/v1/namespaces/demo/deployments/web/scale?token=secret") "\r\n", OK_ABC);
	json_t *j = read_line("request");
	expect(j, "method", "GET");
	expect(j, "path", "/apis/apps/v1/namespaces/demo/deployments/web/scale");
	expect(j, "verb", "get");
	expect(j, "resource", "deployments.apps/scale");
	expect(j, "namespace", "demo");
	expect(j, "name", "web");
	expect(j, "status", "200");
	expect(j, "user", "alice");
	expect(j, "groups", "0");
	expect(j, "how", "jwt");
	expect(j, "cluster", "default");
	expect(j, "route", NULL);
	expect(j, "client", "127.0.0.1");
	expect(j, "bytes_in", "0");
	expect(j, "bytes_out", "3");
	assert_non_null(get(j, "ms"));
	assert_non_null(get(j, "upstream_ms"));
	expect(j, "reason", NULL);
	assert_int_equal(strlen(get(j, "request_id")), 16);
	json_decref(j);
	/* In another cluster, by its prefix. */
	exchange(&client, &second, LINE("GET", "/clusters/second/api/v1/pods?watch=1") "\r\n", OK_ABC);
	j = read_line("request");
	expect(j, "path", "/clusters/second/api/v1/pods");
	expect(j, "verb", "watch");
	expect(j, "resource", "pods");
	expect(j, "namespace", NULL);
	expect(j, "name", NULL);
	expect(j, "cluster", "second");
	json_decref(j);
	end_close(&client);
	end_close(&second);
	end_close(&cluster);
}

static void
a_watchs_line_comes_at_its_end_and_is_as_complete(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&client, LINE("GET", "/api/v1/pods?watch=1") "User-Agent: kubectl/v1\r\n\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nAudit-Id: e0\r\n\r\n");
	end_hear_head(&client, head, sizeof(head));
	end_close(&client);
	json_t *j = read_line("request");
	expect(j, "method", "GET");
	expect(j, "path", "/api/v1/pods");
	expect(j, "verb", "watch");
	expect(j, "reason", "client closed the connection");
	json_decref(j);
	j = read_json(event_ends[0]);
	expect(j, "requestURI", "/api/v1/pods?watch=1");
	expect(j, "userAgent", "kubectl/v1");
	expect(j, "auditID", "e0");
	json_decref(j);
	end_close(&cluster);
}

static void
an_event_is_made_of_what_was_asked_and_answered(void **state)
{
	struct end client = rig_client(&rig), cluster = { .fd = -1 };

	(void)state;
	exchange(&client, &cluster, LINE("POST", "/api/v1/namespaces/demo/pods?dryRun=All") "User-Agent: k\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 201 Created\r\nContent-Length: 3\r\naudit-id: 6a0c9d1e-0000-4000-8000-000000000000\r\n\r\nabc");
	json_t *j = read_json(event_ends[0]), *line = read_line("request");
	expect(j, "kind", "Event");
	expect(j, "apiVersion", "audit.k8s.io/v1");
	expect(j, "level", "Metadata");
	expect(j, "stage", "ResponseComplete");
	expect(j, "auditID", "6a0c9d1e-0000-4000-8000-000000000000");
	expect(j, "requestURI", "/api/v1/namespaces/demo/pods?dryRun=All");
	expect(j, "verb", "create");
	expect(member(j, "user"), "username", "alice");
	expect(member(j, "objectRef"), "resource", "pods");
	expect(member(j, "objectRef"), "namespace", "demo");
	expect(member(j, "objectRef"), "apiVersion", "v1");
	expect(member(j, "responseStatus"), "code", "201");
	expect(member(j, "responseStatus"), "status", NULL);
	expect(member(j, "annotations"), "gatehouse/cluster", "default");
	expect(member(j, "annotations"), "gatehouse/authenticated-by", "jwt");
	expect(member(j, "annotations"), "gatehouse/request-id", get(line, "request_id"));
	json_decref(j);
	json_decref(line);
	/* Without the cluster's name for it, ours. One that no apiserver sends is none. */
	char answer[512] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nAudit-Id: ";
	memset(answer + strlen(answer), 'a', ACCESS_AUDIT_ID_BYTES_MAX + 1);
	strcat(answer, "\r\n\r\nabc");
	exchange(&client, &cluster, LINE("GET", "/api") "\r\n", answer);
	j = read_json(event_ends[0]);
	line = read_line("request");
	expect(j, "auditID", get(line, "request_id"));
	expect(j, "verb", "get");
	assert_null(json_object_get(j, "objectRef"));
	json_decref(j);
	json_decref(line);
	end_close(&client);
	end_close(&cluster);
}

static void
a_refused_request_leaves_both_and_what_authd_answers_leaves_a_line_only(void **state)
{
	struct end client = rig_client(&rig), authd;
	char head[8192];

	(void)state;
	end_say(&client, "GET /api/v1/pods HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer mallory\r\n\r\n");
	end_hear_head(&client, head, sizeof(head));
	json_t *j = read_json(event_ends[0]), *line = read_line("request");
	expect(line, "status", "401");
	expect(line, "reason", "not alice");
	expect(line, "user", NULL);
	expect(line, "groups", NULL);
	expect(line, "upstream_ms", NULL);
	assert_int_equal(json_object_size(member(j, "user")), 0);
	expect(member(j, "responseStatus"), "code", "401");
	expect(member(j, "responseStatus"), "status", "Failure");
	expect(member(j, "responseStatus"), "reason", "Unauthorized");
	expect(member(j, "annotations"), "gatehouse/reason", "not alice");
	expect(member(j, "annotations"), "gatehouse/authenticated-by", NULL);
	json_decref(j);
	json_decref(line);
	end_close(&client);
	client = rig_client(&rig);
	end_say(&client, "GET /oidc/callback?code=secret HTTP/1.1\r\nHost: gate.test\r\n\r\n");
	authd = rig_authd(&rig);
	end_hear_head(&authd, head, sizeof(head));
	end_say(&authd, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	line = read_line("request");
	expect(line, "path", "/oidc/callback");
	expect(line, "route", "/oidc");
	expect(line, "cluster", NULL);
	expect(line, "verb", NULL);
	json_decref(line);
	end_close(&client);
	end_close(&authd);
	/* The next event is another request's: authd's left none. */
	client = rig_client(&rig);
	end_say(&client, "GET /clusters/none/api HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\n\r\n");
	end_hear_head(&client, head, sizeof(head));
	j = read_json(event_ends[0]);
	expect(j, "requestURI", "/clusters/none/api");
	expect(j, "verb", "get");
	json_decref(j);
	end_close(&client);
}

static void
below_its_level_the_log_says_nothing_and_events_go_on(void **state)
{
	struct end client = rig_client(&rig), cluster = { .fd = -1 };
	struct pollfd p = { .fd = log_ends[0], .events = POLLIN };

	(void)state;
	log_set_level(LOG_LEVEL_WARN);
	exchange(&client, &cluster, LINE("GET", "/api/v1/pods") "\r\n", OK_ABC);
	json_t *j = read_json(event_ends[0]);
	expect(j, "verb", "list");
	json_decref(j);
	assert_int_equal(poll(&p, 1, 0), 0);
	log_set_level(LOG_LEVEL_INFO);
	end_close(&client);
	end_close(&cluster);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_line_says_who_did_what_where_and_what_came_of_it_without_the_query),
		T(a_watchs_line_comes_at_its_end_and_is_as_complete),
		T(an_event_is_made_of_what_was_asked_and_answered),
		T(a_refused_request_leaves_both_and_what_authd_answers_leaves_a_line_only),
		T(below_its_level_the_log_says_nothing_and_events_go_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
