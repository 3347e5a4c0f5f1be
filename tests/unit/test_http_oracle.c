/* Every byte at every edge of the headers that matter: either the gateway refuses, or what it sends upstream can be read in one way. */
#include "http_cases.h"
#include "http_oracle.h"

enum place { BEFORE_NAME, AFTER_NAME, BEFORE_VALUE, AFTER_VALUE, PLACES };

/* The header with one byte put in at a place, in a request that is otherwise well-formed. */
static size_t
request_with(char *out, size_t cap, const char *name, const char *value, enum place place, char byte, bool alone)
{
	struct buf b;

	buf_init(&b, cap);
	buf_add_str(&b, "POST /api/v1/namespaces HTTP/1.1\r\n");
	if (!alone || strcmp(name, "Host") != 0)
		buf_add_str(&b, "Host: gw\r\n");
	buf_add_str(&b, "X-First: 1\r\n");
	if (place == BEFORE_NAME)
		buf_add_char(&b, byte);
	buf_add_str(&b, name);
	if (place == AFTER_NAME)
		buf_add_char(&b, byte);
	buf_add_str(&b, ":");
	if (place == BEFORE_VALUE)
		buf_add_char(&b, byte);
	buf_add_str(&b, value);
	if (place == AFTER_VALUE)
		buf_add_char(&b, byte);
	buf_add_str(&b, "\r\n\r\n");
	assert_true(buf_ok(&b));
	size_t n = b.n;
	memcpy(out, b.p, n);
	buf_fini(&b);
	return n;
}

static void
every_byte_at_every_edge_is_refused_or_read_in_one_way(void **state)
{
	static const struct {
		const char *name, *value;
	} headers[] = { { "Content-Length", "5" }, { "Transfer-Encoding", "chunked" }, { "Host", "gw" }, { "Connection", "close" },
		{ "Authorization", "Bearer x" }, { "Impersonate-User", "root" } };
	static struct parsed p;
	unsigned judged = 0, passed = 0;
	struct buf out;

	(void)state;
	buf_init(&out, 65536);
	for (size_t h = 0; h < COUNT(headers); h++) {
		for (int place = 0; place < PLACES; place++) {
			for (int byte = 0; byte < 256; byte++) {
				for (int alone = 0; alone < 2; alone++) {
					char text[512];
					size_t n = request_with(text, sizeof(text), headers[h].name, headers[h].value, (enum place)place, (char)byte,
						alone);
					const char *why = NULL;

					judged++;
					if (parse_both_ways(slice_of(text, n), true, METHOD_OTHER, &p) != HTTP_OK || forward_check(&p.head, &why) != FORWARD_OK)
						continue;
					const char *wrong = oracle_judge_all(&p.head, &out);
					if (wrong)
						fail_msg("%s, place %d, byte %02x: %s:\n%.*s", headers[h].name, place, (unsigned)byte, wrong,
							SLICE_FMT(buf_slice(&out)));
					passed++;
				}
			}
		}
	}
	buf_fini(&out);
	assert_int_equal(judged, 2 * 6144);
	assert_true(passed > 100); /* token bytes make other names, blanks around a value are none: those pass */
}

/* What the caller means as a name of ours never passes, in any spelling that some reader folds. */
static void
identity_headers_in_any_spelling_never_pass(void **state)
{
	static const char *const names[] = { "Impersonate-User", "impersonate-group", "IMPERSONATE-UID", "Impersonate-Extra-Scopes",
		"impersonate_group", "Impersonate.User", "X-Remote-User", "x_remote_group", "X-Forwarded-For", "X.Forwarded.For", "Forwarded", "X-Real-IP",
		"x_real_ip", "Proxy-Authorization", "X-Request-Id", "Proxy", "TE", "Trailer", "Keep-Alive" };
	static struct parsed p;
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (size_t i = 0; i < COUNT(names); i++) {
		char text[200];
		const char *why;
		int n = snprintf(text, sizeof(text), "GET /api HTTP/1.1\r\nHost: gw\r\n%s: caller-wrote-this\r\n\r\n", names[i]);

		if (parse_both_ways(slice_of(text, (size_t)n), true, METHOD_OTHER, &p) != HTTP_OK || forward_check(&p.head, &why) != FORWARD_OK)
			continue;
		assert_null(oracle_judge_all(&p.head, &out));
		assert_null(strstr(out.p, "caller-wrote-this"));
	}
	buf_fini(&out);
}

/* ---- what a front proxy says ---- */

static const struct {
	const char *name, *value;
} front_headers[] = { { "X-Remote-User", "root" }, { "X-Remote-Group", "system:masters" }, { "X-Remote-Uid", "0" }, { "X-Remote-Extra-Scopes", "all" },
	{ "Authorization", "Bearer x" }, { "X-Forwarded-Host", "evil" }, { "X-Gatehouse-Clusters", "prod" }, { "Cookie", "__Host-gatehouse=secret" } };

/* Refused, or nothing of it arrives that any reader takes for one of ours. True: it passed. */
static bool
judge(const char *what, size_t at, int byte, struct slice text, struct buf *out)
{
	static struct parsed p;
	const char *why = NULL;

	if (parse_both_ways(text, true, METHOD_OTHER, &p) != HTTP_OK || forward_check(&p.head, &why) != FORWARD_OK)
		return false;
	const char *wrong = oracle_judge_all(&p.head, out);
	if (wrong)
		fail_msg("%s, at %zu, byte %02x: %s:\n%.*s", what, at, (unsigned)byte, wrong, SLICE_FMT(buf_slice(out)));
	return true;
}

/* Every byte in the place of every byte of the header's line, and between any two. */
static void
every_byte_anywhere_in_what_a_front_proxy_says_is_refused_or_harmless(void **state)
{
	unsigned judged = 0, passed = 0;
	struct buf out;

	(void)state;
	buf_init(&out, 65536);
	for (size_t h = 0; h < COUNT(front_headers); h++) {
		char line[100], text[300];
		int line_n = snprintf(line, sizeof(line), "%s: %s", front_headers[h].name, front_headers[h].value);
		for (int at = 0; at <= line_n; at++)
			for (int byte = 0; byte < 256; byte++)
				for (int instead = 0; instead < 2; instead++) {
					int n = snprintf(text, sizeof(text), "GET /api HTTP/1.1\r\nHost: gw\r\n%.*s", at, line), rest = at + (instead && at < line_n);
					text[n++] = (char)byte;
					n += snprintf(text + n, sizeof(text) - (size_t)n, "%s\r\n\r\n", line + rest);
					judged++;
					passed += judge(line, (size_t)at, byte, slice_of(text, (size_t)n), &out);
				}
	}
	buf_fini(&out);
	assert_true(judged > 50000 && passed > judged / 10 && passed < judged);
}

static void
no_spelling_of_what_a_front_proxy_says_arrives(void **state)
{
	/* '-' in all the ways that CGI, WSGI, PHP and others write it, and letters in any case. */
	static const char separators[] = "-_.!#$%&'*+^`|~";
	unsigned judged = 0;
	struct buf out;
	char text[300];

	(void)state;
	buf_init(&out, 65536);
	for (size_t h = 0; h < COUNT(front_headers); h++)
		for (size_t first = 0; first < sizeof(separators) - 1; first++)
			for (size_t second = 0; second < sizeof(separators) - 1; second++)
				for (int upper = 0; upper < 3; upper++) {
					char name[64];
					size_t n = 0, hyphens = 0;
					for (const char *c = front_headers[h].name; *c; c++) {
						bool to_upper = upper == 1 || (upper == 2 && n % 2);
						name[n++] = *c == '-' ? separators[hyphens++ ? second : first] :
							to_upper && *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : !to_upper && *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
					}
					int text_n = snprintf(text, sizeof(text), "GET /api HTTP/1.1\r\nHost: gw\r\n%.*s: %s\r\n\r\n", (int)n, name, front_headers[h].value);
					judged++;
					judge(front_headers[h].name, first * 100 + second, upper, slice_of(text, (size_t)text_n), &out);
				}
	buf_fini(&out);
	assert_int_equal(judged, COUNT(front_headers) * 15 * 15 * 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_at_every_edge_is_refused_or_read_in_one_way),
		cmocka_unit_test(identity_headers_in_any_spelling_never_pass),
		cmocka_unit_test(every_byte_anywhere_in_what_a_front_proxy_says_is_refused_or_harmless),
		cmocka_unit_test(no_spelling_of_what_a_front_proxy_says_arrives),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
