/* Cookies that authd is asked about: one question for many requests, and what those are told whose session has ended, or cannot be asked about. */
#include "tests/unit/exchange_unit.h"

#define COOKIE(value) "GET /api HTTP/1.1\r\n" HOST "Cookie: gate=" value "\r\n\r\n"

static struct end
hear_question(const char *cookie)
{
	struct end authd = rig_authd(&rig);
	char head[4096], line[256];

	end_hear_head(&authd, head, sizeof(head));
	assert_memory_equal(head, "POST /internal/session HTTP/1.1\r\n", 33);
	snprintf(line, sizeof(line), "\r\nCookie: gate=%s\r\n", cookie);
	assert_non_null(strstr(head, line));
	return authd;
}
static void
say_session(struct end *authd, const char *json)
{
	char answer[1024];

	snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(json), json);
	end_say(authd, answer);
	end_close(authd);
}

static void
a_session_cookie_is_resolved_at_authd_and_the_request_goes_on(void **state)
{
	struct end client = rig_client(&rig), authd, cluster;
	char head[4096];

	(void)state;
	end_say(&client, COOKIE("secret"));
	authd = hear_question("secret");
	/* In pieces, and chunked: it is an HTTP answer like any other. */
	end_say(&authd, "HTTP/1.1 200 OK\r\nTransfer-Enc");
	end_say(&authd, "oding: chunked\r\n\r\n10\r\n{\"id_token\":\"ali");
	end_say(&authd, "\r\n18\r\nce\",\"refresh_after\":300}\r\n0\r\n\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_non_null(strstr(head, "Impersonate-User: alice\r\n"));
	assert_null(strstr(head, "secret"));
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	end_close(&client);
	end_close(&cluster);
	end_close(&authd);
}

static void
many_requests_with_one_cookie_are_one_question(void **state)
{
	struct end clients[10], clusters[10], authd;
	char head[4096];

	(void)state;
	for (int i = 0; i < 10; i++) {
		clients[i] = rig_client(&rig);
		end_say(&clients[i], COOKIE("same"));
	}
	authd = hear_question("same");
	assert_true(rig_nobody_connects(rig.authd_fd, 100));
	end_close(&clients[9]); /* one does not wait for it */
	rig_later(&rig, 0);
	say_session(&authd, "{\"id_token\":\"alice\",\"refresh_after\":300}");
	for (int i = 0; i < 9; i++)
		clusters[i] = rig_cluster(&rig);
	for (int i = 0; i < 9; i++) {
		end_hear_head(&clusters[i], head, sizeof(head));
		end_say(&clusters[i], OK_ABC);
	}
	for (int i = 0; i < 9; i++) {
		end_hear_status(&clients[i], "200", head, sizeof(head));
		end_close(&clients[i]);
		end_close(&clusters[i]);
	}
}

static void
more_cookies_than_may_be_asked_about_at_once_wait_in_line(void **state)
{
	enum { EXTRA = 3, ALL = SESSION_ASKS_MAX + EXTRA };
	static struct end clients[ALL], authds[ALL];
	char text[512];

	(void)state;
	for (int i = 0; i < ALL; i++) {
		clients[i] = rig_client(&rig);
		snprintf(text, sizeof(text), "GET /api HTTP/1.1\r\n" HOST "Cookie: gate=c%d\r\n\r\n", i);
		end_say(&clients[i], text);
	}
	for (int i = 0; i < SESSION_ASKS_MAX; i++)
		authds[i] = rig_authd(&rig);
	assert_true(rig_nobody_connects(rig.authd_fd, 100));
	for (int i = 0; i < ALL; i++) {
		if (i >= SESSION_ASKS_MAX)
			authds[i] = rig_authd(&rig); /* one came free */
		end_say(&authds[i], "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
		end_close(&authds[i]);
	}
	for (int i = 0; i < ALL; i++) {
		end_hear_status(&clients[i], "401", text, sizeof(text));
		end_close(&clients[i]);
	}
	assert_int_equal(believer.sessions_gone, ALL);
}

static void
a_session_that_is_over_is_a_401_or_the_way_to_sign_in(void **state)
{
	struct end client = rig_client(&rig), authd;
	char head[4096];

	(void)state;
	end_say(&client, COOKIE("old"));
	authd = hear_question("old");
	end_say(&authd, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
	end_hear_status(&client, "401", head, sizeof(head));
	end_close(&client);
	end_close(&authd);
	client = rig_client(&rig);
	end_say(&client, "GET /api HTTP/1.1\r\n" HOST BROWSER "Cookie: gate=old\r\n\r\n");
	authd = hear_question("old");
	end_say(&authd, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
	end_hear_status(&client, "302", head, sizeof(head));
	end_close(&client);
	end_close(&authd);
	assert_int_equal(believer.sessions_gone, 2);
}

static void
an_answer_about_a_session_that_is_none_is_a_503(void **state)
{
	static const char *const answers[] = { "{\"id_token\":\"alice\"}", "{\"id_token\":1,\"refresh_after\":3}", "[]", "",
		"{\"id_token\":\"alice\",\"id_token\":\"bob\",\"refresh_after\":3}", "{\"id_token\":\"alice\",\"refresh_after\":-3}" };
	struct end client, authd;
	char head[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]) + 3; i++) {
		client = rig_client(&rig);
		end_say(&client, COOKIE("x"));
		authd = hear_question("x");
		if (i < sizeof(answers) / sizeof(answers[0])) {
			say_session(&authd, answers[i]);
		} else {
			end_say(&authd, i % 3 == 0 ? "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" : i % 3 == 1 ? "garbage\r\n\r\n" : "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{");
			end_close(&authd);
		}
		end_hear_status(&client, "503", head, sizeof(head));
		end_close(&client);
	}
}

static void
an_answer_about_a_session_may_end_with_its_connection(void **state)
{
	struct end client = rig_client(&rig), authd, cluster;
	char head[4096];

	(void)state;
	end_say(&client, COOKIE("x"));
	authd = hear_question("x");
	end_say(&authd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"id_token\":\"alice\",");
	end_say(&authd, "\"refresh_after\":9999999999}");
	end_close(&authd);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_close(&client);
	end_close(&cluster);
}

static void
an_answer_about_a_session_without_end_is_a_503(void **state)
{
	struct end client = rig_client(&rig), authd;
	char head[4096], *blanks = malloc(65537);

	(void)state;
	memset(blanks, ' ', 65536);
	blanks[65536] = '\0';
	end_say(&client, COOKIE("x"));
	authd = hear_question("x");
	end_say(&authd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	end_say(&authd, blanks);
	end_hear_status(&client, "503", head, sizeof(head));
	free(blanks);
	end_close(&authd);
	end_close(&client);
}

static void
a_session_whose_keys_are_not_there_yet_is_asked_to_wait(void **state)
{
	struct end client = rig_client(&rig), authd;
	char head[4096];

	(void)state;
	end_say(&client, COOKIE("x"));
	authd = hear_question("x");
	say_session(&authd, "{\"id_token\":\"early\",\"refresh_after\":300}");
	end_hear_status(&client, "503", head, sizeof(head));
	end_close(&client);
}

static void
a_question_that_nobody_waits_for_any_more_is_dropped(void **state)
{
	struct end client = rig_client(&rig), authd;

	(void)state;
	end_say(&client, COOKIE("x"));
	authd = hear_question("x");
	end_close(&client);
	end_hear_eof(&authd);
	end_close(&authd);
}

static void
an_answer_without_a_body_says_nothing_about_a_session(void **state)
{
	struct end client = rig_client(&rig), authd;
	char head[4096];

	(void)state;
	end_say(&client, COOKIE("x"));
	authd = hear_question("x");
	end_say(&authd, "HTTP/1.1 204 No Content\r\n\r\n");
	end_hear_status(&client, "503", head, sizeof(head));
	end_close(&authd);
	end_close(&client);
}

static void
a_token_for_a_session_that_is_refused_lets_nobody_in(void **state)
{
	struct end client = rig_client(&rig), authd;
	char head[4096];

	(void)state;
	end_say(&client, COOKIE("x"));
	authd = hear_question("x");
	say_session(&authd, "{\"id_token\":\"mallory\",\"refresh_after\":300}");
	end_hear_status(&client, "401", head, sizeof(head));
	end_close(&client);
}

/* To be sent to sign in, where one is signed in, would lead back here for ever. */
static void
a_browser_whose_session_is_refused_is_told_so_and_not_sent_in_circles(void **state)
{
	struct end client = rig_client(&rig), authd;
	char head[4096];

	(void)state;
	end_say(&client, "GET /api HTTP/1.1\r\n" HOST BROWSER "Cookie: gate=x\r\n\r\n");
	authd = hear_question("x");
	say_session(&authd, "{\"id_token\":\"mallory\",\"refresh_after\":300}");
	end_hear_status(&client, "403", head, sizeof(head));
	assert_non_null(strstr(head, "Content-Type: text/html"));
	assert_null(strstr(head, "Location"));
	end_close(&client);
}

static void
while_authd_is_down_known_sessions_go_on_and_unknown_ones_are_asked_to_wait(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	close(rig.authd_fd);
	rig.authd_fd = -1;
	end_say(&client, COOKIE("unknown"));
	end_hear_status(&client, "503", head, sizeof(head));
	end_close(&client);
	client = rig_client(&rig);
	for (int i = 0; i < 2; i++) {
		end_say(&client, COOKIE("due"));
		if (i == 0)
			cluster = rig_cluster(&rig);
		end_hear_head(&cluster, head, sizeof(head));
		assert_non_null(strstr(head, "Impersonate-User: alice\r\n"));
		end_say(&cluster, OK_ABC);
		end_hear_head(&client, head, sizeof(head));
		end_hear(&client, "abc");
	}
	end_close(&client);
	end_close(&cluster);
}

static void
a_silent_authd_delays_a_known_session_once_and_not_again(void **state)
{
	struct end client = rig_client(&rig), cluster, authd;
	char head[4096];

	(void)state;
	end_say(&client, COOKIE("due"));
	authd = hear_question("due"); /* and no answer */
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	end_say(&client, COOKIE("due"));
	end_hear_head(&cluster, head, sizeof(head)); /* at once */
	assert_true(rig_nobody_connects(rig.authd_fd, 0));
	end_hear_eof(&authd);
	end_close(&client);
	end_close(&cluster);
	end_close(&authd);
}

static void
a_session_that_is_due_is_renewed_or_ended_by_authd(void **state)
{
	struct end client = rig_client(&rig), cluster, authd;
	char head[4096];

	(void)state;
	end_say(&client, COOKIE("due"));
	authd = hear_question("due");
	say_session(&authd, "{\"id_token\":\"alice\",\"refresh_after\":300}");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	end_say(&client, COOKIE("due"));
	authd = hear_question("due");
	end_say(&authd, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
	end_hear_status(&client, "401", head, sizeof(head));
	end_close(&client);
	end_close(&cluster);
	end_close(&authd);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_session_cookie_is_resolved_at_authd_and_the_request_goes_on),
		T(many_requests_with_one_cookie_are_one_question),
		T(more_cookies_than_may_be_asked_about_at_once_wait_in_line),
		T(a_session_that_is_over_is_a_401_or_the_way_to_sign_in),
		T(an_answer_about_a_session_that_is_none_is_a_503),
		T(an_answer_about_a_session_may_end_with_its_connection),
		T(an_answer_about_a_session_without_end_is_a_503),
		T(a_session_whose_keys_are_not_there_yet_is_asked_to_wait),
		T(a_question_that_nobody_waits_for_any_more_is_dropped),
		T(an_answer_without_a_body_says_nothing_about_a_session),
		T(a_token_for_a_session_that_is_refused_lets_nobody_in),
		T(a_browser_whose_session_is_refused_is_told_so_and_not_sent_in_circles),
		T(while_authd_is_down_known_sessions_go_on_and_unknown_ones_are_asked_to_wait),
		T(a_silent_authd_delays_a_known_session_once_and_not_again),
		T(a_session_that_is_due_is_renewed_or_ended_by_authd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
