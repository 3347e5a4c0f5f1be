/* `--as` through the whole data path: asked one after the other, all or nothing, as the caller. */
#include "tests/unit/exchange_unit.h"
#include "proxyd/access_review.h"
#include "proxyd/reviews.h"
#include "shared/log.h"

enum authentication
authenticator_reviewed(struct authenticator *a, const struct review_question *q, struct slice answer, struct principal **out, const char **why)
{
	(void)a, (void)q, (void)answer, (void)out, (void)why;
	fail_msg("nobody asks about tokens here");
	return AUTHENTICATION_UNAVAILABLE;
}

static void
allow_as(struct proxyd_config *c)
{
	struct proxyd_cluster *clusters = c->clusters.items;

	clusters[0].impersonate_others = PROXYD_IMPERSONATE_REVIEWED;
}

static void
make_reviews(struct rig *r, void *arg)
{
	(void)arg;
	assert_int_equal(reviews_init(&r->gateway), OK);
}
static void
drop_reviews(struct rig *r, void *arg)
{
	(void)arg;
	client_close_all(&r->gateway);
	reviews_fini(&r->gateway);
}

static int
setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	rig_start(&rig, allow_as);
	rig_run(&rig, make_reviews, NULL);
	return 0;
}
static int
teardown(void **state)
{
	(void)state;
	rig_run(&rig, drop_reviews, NULL);
	rig_stop(&rig);
	log_set_level(LOG_LEVEL_INFO);
	return 0;
}

/* A question about this; answered with allowed, or whatever else. */
static void
answer_question(struct end *cluster, const char *resource_and_name, const char *allowed)
{
	char head[8192], body[8192], answer[1024], status[512];

	end_hear_head(cluster, head, sizeof(head));
	assert_memory_equal(head, "POST /apis/authorization.k8s.io/v1/subjectaccessreviews HTTP/1.1\r\n", 66);
	assert_null(strstr(head, "Impersonate-"));
	long n = strtol(strstr(head, "Content-Length: ") + 16, NULL, 10);
	for (long at = 0; at < n; at++)
		assert_int_equal(end_read(cluster, body + at, 1), 1);
	body[n] = '\0';
	assert_non_null(strstr(body, "\"spec\":{\"user\":\"alice\",\"groups\":[\"system:authenticated\"],\"resourceAttributes\":{\"verb\":\"impersonate\""));
	if (!strstr(body, resource_and_name))
		fail_msg("%s, expected %s", body, resource_and_name);
	snprintf(status, sizeof(status), "{\"kind\":\"SubjectAccessReview\",\"apiVersion\":\"authorization.k8s.io/v1\",\"status\":{\"allowed\":%s}}", allowed);
	snprintf(answer, sizeof(answer), "HTTP/1.1 201 Created\r\nContent-Length: %zu\r\n\r\n%s", strlen(status), status);
	end_say(cluster, answer);
}

static void
answer_get(struct end *cluster, const char *identity)
{
	char head[8192];

	end_hear_head(cluster, head, sizeof(head));
	assert_memory_equal(head, "GET /api HTTP/1.1\r\n", 19);
	const char *at = strstr(head, "Impersonate-");
	assert_non_null(at);
	assert_string_equal(at, identity);
	end_say(cluster, OK_ABC);
}

#define ALICES "Impersonate-Extra-gatehouse%2Foriginal-user: alice\r\nImpersonate-Extra-gatehouse%2Foriginal-how: jwt\r\n"
#define JANE "Impersonate-User: jane\r\nImpersonate-Group: dev\r\n"

static void
all_is_asked_and_then_the_request_goes_as_the_other(void **state)
{
	struct end client = rig_client(&rig), cluster;

	(void)state;
	end_say(&client, LINE("GET", "/api") JANE "\r\n");
	cluster = rig_cluster(&rig);
	answer_question(&cluster, "\"resource\":\"users\",\"name\":\"jane\"", "true");
	answer_question(&cluster, "\"resource\":\"groups\",\"name\":\"dev\"", "true");
	answer_get(&cluster, JANE "Impersonate-Group: system:authenticated\r\n" ALICES "\r\n");
	hear_status(&client, "200");
	end_hear(&client, "abc");
	/* Remembered: the next one costs no question; a request as oneself is nothing else than before. */
	end_say(&client, LINE("GET", "/api") JANE "\r\n");
	answer_get(&cluster, JANE "Impersonate-Group: system:authenticated\r\n" ALICES "\r\n");
	hear_status(&client, "200");
	end_hear(&client, "abc");
	end_say(&client, LINE("GET", "/api") "\r\n");
	answer_get(&cluster, "Impersonate-User: alice\r\nImpersonate-Group: system:authenticated\r\n\r\n");
	hear_status(&client, "200");
	end_close(&client);
	end_close(&cluster);
}

static void
one_no_is_a_403_in_the_apiservers_words_and_nothing_is_sent(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[8192], body[4096];

	(void)state;
	for (int again = 0; again < 2; again++) {
		end_say(&client, LINE("GET", "/api") JANE "\r\n");
		if (!again) {
			cluster = rig_cluster(&rig);
			answer_question(&cluster, "\"resource\":\"users\",\"name\":\"jane\"", "true");
			answer_question(&cluster, "\"resource\":\"groups\",\"name\":\"dev\"", "false");
		}
		end_hear_status(&client, "403", head, sizeof(head));
		long n = strtol(strstr(head, "Content-Length: ") + 16, NULL, 10);
		for (long at = 0; at < n; at++)
			assert_int_equal(end_read(&client, body + at, 1), 1);
		body[n] = '\0';
		assert_non_null(strstr(body, "groups \\\"dev\\\" is forbidden: User \\\"alice\\\" cannot impersonate resource \\\"groups\\\" in API group \\\"\\\" at "
					     "the cluster scope"));
	}
	assert_true(end_is_silent(&cluster, 20));
	end_close(&client);
	end_close(&cluster);
}

static void
an_answer_that_is_none_is_a_503(void **state)
{
	struct end client = rig_client(&rig), cluster;

	(void)state;
	end_say(&client, LINE("GET", "/api") JANE "\r\n");
	cluster = rig_cluster(&rig);
	answer_question(&cluster, "users", "\"yes\"");
	hear_status(&client, "503");
	assert_true(end_is_silent(&cluster, 20));
	end_close(&client);
	end_close(&cluster);
}

static void
the_gateway_may_not_ask_is_a_502(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[8192];

	(void)state;
	log_set_level(LOG_LEVEL_ERROR + 1);
	end_say(&client, LINE("GET", "/api") JANE "\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
	hear_status(&client, "502");
	end_close(&client);
	end_close(&cluster);
}

static void
what_is_not_clear_is_a_400_and_nobody_is_asked(void **state)
{
	static const char *const lines[] = { "Impersonate-Group: dev\r\n", "Impersonate-User: jane\r\nImpersonate_Group: dev\r\n", "Impersonate-User:\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct end client = rig_client(&rig);
		end_say(&client, LINE("GET", "/api"));
		end_say(&client, lines[i]);
		end_say(&client, "\r\n");
		hear_status(&client, "400");
		end_close(&client);
	}
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
}

/* The second cluster's configuration says nothing of it; nor is authd a cluster; nor a stranger somebody. */
static void
elsewhere_it_is_refused_as_ever(void **state)
{
	static const struct {
		const char *request, *status;
	} cases[] = {
		{ "GET /clusters/second/api HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\n" JANE "\r\n", "403" },
		{ "GET /console/x HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\n" JANE "\r\n", "403" },
		{ "GET /api HTTP/1.1\r\nHost: gate.test\r\n" JANE "\r\n", "401" },
		{ "GET /api HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer mallory\r\n" JANE "\r\n", "401" },
		{ LINE("GET", "/api") JANE "Connection: Impersonate-User\r\n\r\n", "400" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct end client = rig_client(&rig);
		end_say(&client, cases[i].request);
		hear_status(&client, cases[i].status);
		end_close(&client);
	}
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
}

static void
count_clients(struct rig *r, void *n)
{
	*(size_t *)n = r->gateway.client_n;
}

static void
a_client_that_leaves_while_the_cluster_is_asked_leaves_nothing(void **state)
{
	struct end client = rig_client(&rig), cluster;

	(void)state;
	end_say(&client, LINE("GET", "/api") JANE "\r\n");
	cluster = rig_cluster(&rig);
	end_reset(&client);
	size_t clients;
	do
		rig_run(&rig, count_clients, &clients);
	while (clients);
	answer_question(&cluster, "users", "true");
	assert_true(end_is_silent(&cluster, 50)); /* nobody asks on */
	end_close(&cluster);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(all_is_asked_and_then_the_request_goes_as_the_other),
		T(one_no_is_a_403_in_the_apiservers_words_and_nothing_is_sent),
		T(an_answer_that_is_none_is_a_503),
		T(the_gateway_may_not_ask_is_a_502),
		T(what_is_not_clear_is_a_400_and_nobody_is_asked),
		T(elsewhere_it_is_refused_as_ever),
		T(a_client_that_leaves_while_the_cluster_is_asked_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
