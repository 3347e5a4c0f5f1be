#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <jansson.h>
#include "tests/unit/unit.h"
#include "shared/log.h"

static int ends[2];
static char line[LOG_LINE_BYTES_MAX + 1];

static int
setup(void **state)
{
	(void)state;
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
		return -1;
	log_setup(NULL, ends[1], LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	log_setup(NULL, 2, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* What was written, which ends in its only line feed; "" if nothing was. */
static const char *
read_line(void)
{
	ssize_t n = read(ends[0], line, sizeof(line) - 1);
	line[n > 0 ? n : 0] = '\0';
	if (n > 0) {
		assert_int_equal(line[n - 1], '\n');
		assert_ptr_equal(strchr(line, '\n'), line + n - 1);
		line[n - 1] = '\0';
	}
	return line;
}

static json_t *
read_json(void)
{
	json_error_t e;
	json_t *j = json_loads(read_line(), JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
	assert_non_null(j);
	return j;
}

static void
a_json_line_has_its_fields_in_order_and_typed(void **state)
{
	(void)state;
	log_info("login", LOG_STR("connector", "github"), LOG_INT("status", 200), LOG_INT("least", INT64_MIN),
		LOG_UINT("most", UINT64_MAX), LOG_BOOL("ok", 1), LOG_ERRNO(EACCES), LOG_REQ("r-1"));
	const char *text = read_line();
	assert_memory_equal(text, "{\"time\":\"20", 11);
	assert_string_equal(text + 33,
		"\",\"level\":\"info\",\"msg\":\"login\",\"connector\":\"github\",\"status\":200,"
		"\"least\":-9223372036854775808,\"most\":18446744073709551615,\"ok\":true,"
		"\"error\":\"Permission denied\",\"request_id\":\"r-1\"}");
	int y, mo, d, h, mi, s, ms;
	assert_int_equal(sscanf(text, "{\"time\":\"%4d-%2d-%2dT%2d:%2d:%2d.%3dZ\"", &y, &mo, &d, &h, &mi, &s, &ms), 7);
}

static void
a_text_line_quotes_only_what_needs_it(void **state)
{
	(void)state;
	log_setup("authd", ends[1], LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	log_debug("two words", LOG_STR("a", "plain"), LOG_STR("b", "x=y"), LOG_STR("c", ""), LOG_STR("d", "q\"b\\"),
		LOG_STR("e", "\xC3\xA4"), LOG_BOOL("f", 0));
	char want[256];
	snprintf(want, sizeof(want),
		" debug authd[%d] msg=\"two words\" a=plain b=\"x=y\" c=\"\" d=\"q\\\"b\\\\\" e=\"\xC3\xA4\" f=false", getpid());
	assert_string_equal(read_line() + 24, want);
}

static void
program_and_pid_are_members_of_json(void **state)
{
	(void)state;
	log_setup("proxyd", ends[1], LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_error("x");
	json_t *j = read_json();
	assert_string_equal(json_string_value(json_object_get(j, "program")), "proxyd");
	assert_int_equal(json_integer_value(json_object_get(j, "pid")), getpid());
	assert_string_equal(json_string_value(json_object_get(j, "level")), "error");
	json_decref(j);
}

static void
a_null_string_is_left_out(void **state)
{
	(void)state;
	log_warn("m", LOG_STR("a", NULL), LOG_SLICE("b", SLICE_NONE), LOG_SECRET("c", SLICE_NONE), LOG_REQ(NULL), LOG_INT("d", 1));
	assert_non_null(strstr(read_line(), "\"level\":\"warn\",\"msg\":\"m\",\"d\":1}"));
}

static void
lines_below_the_level_are_not_written(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_WARN);
	assert_int_equal(log_level_get(), LOG_LEVEL_WARN);
	log_info("quiet");
	log_debug("quiet");
	assert_string_equal(read_line(), "");
	log_warn("loud");
	assert_string_not_equal(read_line(), "");
}

static void
a_value_cannot_forge_a_line_or_drive_a_terminal(void **state)
{
	struct slice bad = SLICE_LIT("a\n{\"level\":\"error\"}\r\t\x1b[2J\0\x7f\xC2\x9B\xFF\xC3");

	(void)state;
	log_info("m", LOG_SLICE("v", bad));
	json_t *j = read_json();
	const char *want = "a\n{\"level\":\"error\"}\r\t\x1b[2J\0\x7f\xC2\x9B\xEF\xBF\xBD\xEF\xBF\xBD";
	assert_memory_equal(json_string_value(json_object_get(j, "v")), want, 35);
	for (const char *p = line; *p; p++)
		assert_true((unsigned char)*p >= ' ' && *p != 0x7f);
	json_decref(j);

	log_setup(NULL, ends[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_info("m", LOG_SLICE("v", bad));
	assert_string_equal(strstr(read_line(), " v="),
		" v=\"a\\n{\\\"level\\\":\\\"error\\\"}\\r\\t\\u001b[2J\\u0000\\u007f\\u009b\\xff\\xc3\"");
}

static void
a_secret_is_eight_digits_of_its_digest(void **state)
{
	(void)state;
	log_info("m", LOG_SECRET("token", SLICE_LIT("abc")), LOG_SECRET("none", SLICE_LIT("")));
	read_line();
	assert_null(strstr(line, "abc"));
	assert_non_null(strstr(line, "\"token\":\"ba7816bf\",\"none\":\"e3b0c442\"}"));
}

static void
a_long_value_is_cut_and_those_behind_it_stay(void **state)
{
	static char big[3 * LOG_LINE_BYTES_MAX]; /* its last byte stays NUL */

	(void)state;
	for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
		const char fill[] = { 'x', '"', '\x01', '\xFF', '=' };
		log_setup(NULL, ends[1], LOG_LEVEL_INFO, (enum log_format)format);
		for (size_t i = 0; i < sizeof(fill); i++) {
			memset(big, fill[i], sizeof(big) - 1);
			log_info("m", LOG_SLICE("v", slice_of(big, sizeof(big))), LOG_REQ("r-9"));
			read_line();
			assert_non_null(strstr(line, "…"));
			assert_non_null(strstr(line, "r-9"));
		}
	}
	/* Many long ones: still JSON, still within the bound. */
	log_info(big, LOG_SLICE("a", slice_of(big, sizeof(big))), LOG_SLICE("b", slice_of(big, sizeof(big))),
		LOG_SLICE("c", slice_of(big, sizeof(big))), LOG_SLICE("d", slice_of(big, sizeof(big))),
		LOG_SLICE("e", slice_of(big, sizeof(big))), LOG_SLICE("f", slice_of(big, sizeof(big))),
		LOG_SLICE("g", slice_of(big, sizeof(big))), LOG_SLICE("h", slice_of(big, sizeof(big))), LOG_INT("i", 1));
	json_decref(read_json());
	assert_true(strlen(line) > LOG_LINE_BYTES_MAX - 200);
}

static void
an_unknown_errno_has_a_text(void **state)
{
	(void)state;
	log_info("m", LOG_ERRNO(4000), LOG_INT("n", -1));
	assert_non_null(strstr(read_line(), "\"error\":\"unknown error\",\"n\":-1}"));
}

static void
a_line_that_cannot_be_written_is_counted(void **state)
{
	uint64_t before = log_lines_lost();

	(void)state;
	errno = ENOTTY;
	log_set_fd(-1);
	log_info("lost");
	assert_int_equal(log_lines_lost(), before + 1);
	assert_int_equal(errno, ENOTTY);
	log_set_fd(ends[1]);
	log_info("kept");
	assert_int_equal(log_lines_lost(), before + 1);
	while (write(ends[1], line, 4096) > 0) {
	}
	log_info("full pipe");
	assert_int_equal(log_lines_lost(), before + 2);
}

static void *
writer(void *arg)
{
	for (int i = 0; i < 200; i++)
		log_info("thread", LOG_STR("who", arg), LOG_INT("i", i));
	return NULL;
}

static void
lines_of_several_threads_do_not_mix(void **state)
{
	char folder[64], path[128];
	static char name[4][512];
	pthread_t threads[4];

	(void)state;
	unit_folder_make(folder);
	snprintf(path, sizeof(path), "%s/log", folder);
	int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	log_set_fd(fd);
	for (int i = 0; i < 4; i++) {
		memset(name[i], 'a' + i, sizeof(name[i]) - 1);
		assert_int_equal(pthread_create(&threads[i], NULL, writer, name[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	close(fd);
	FILE *f = fopen(path, "r");
	int lines = 0;
	while (fgets(line, sizeof(line), f)) {
		json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		const char *who = json_string_value(json_object_get(j, "who"));
		assert_string_equal(who, name[who[0] - 'a']);
		json_decref(j);
		lines++;
	}
	assert_int_equal(lines, 800);
	fclose(f);
	unlink(path);
	rmdir(folder);
}

struct taken {
	enum log_level level;
	size_t n;
	char text[LOG_LINE_BYTES_MAX];
};

static void
take(void *arg, enum log_level level, struct slice one)
{
	struct taken *t = arg;

	t->level = level;
	t->n = one.n;
	memcpy(t->text, one.p, one.n);
	errno = EBADF; /* whatever happens here is none of the caller's business */
}

static void
lines_can_be_taken_instead_of_written(void **state)
{
	struct taken t = { .n = 0 };

	(void)state;
	log_set_sink(take, &t);
	errno = 7;
	log_debug("below the level");
	assert_int_equal(t.n, 0);
	log_warn("two", LOG_INT("n", 1));
	assert_int_equal(errno, 7);
	log_set_sink(NULL, NULL);
	assert_string_equal(read_line(), "");
	assert_int_equal(t.level, LOG_LEVEL_WARN);
	assert_int_equal(t.text[t.n - 1], '\n');
	t.text[t.n - 1] = '\0';
	assert_non_null(strstr(t.text, "\"msg\":\"two\",\"n\":1}"));
	log_warn("again");
	assert_string_not_equal(read_line(), "");
}

static void
excluded_fields_are_left_out_until_the_list_changes(void **state)
{
	char email[] = "email";
	const char *const keys[] = { email, "address" };

	(void)state;
	for (int i = 0; i < 3; i++) { /* the same list once more changes nothing */
		assert_int_equal(log_exclude(keys, 2), OK);
		log_info("signed in", LOG_STR("email", "a@b"), LOG_INT("status", 1), LOG_STR("address", "::1"), LOG_STR("emails", "kept"));
		json_t *j = read_json();
		assert_null(json_object_get(j, "email"));
		assert_null(json_object_get(j, "address"));
		assert_int_equal(json_integer_value(json_object_get(j, "status")), 1);
		assert_string_equal(json_string_value(json_object_get(j, "emails")), "kept");
		assert_string_equal(json_string_value(json_object_get(j, "msg")), "signed in");
		json_decref(j);
	}
	memset(email, 'x', 5); /* it was copied */
	log_info("signed in", LOG_STR("email", "a@b"), LOG_STR("xxxxx", "kept"));
	assert_null(strstr(read_line(), "a@b"));
	assert_non_null(strstr(line, "kept"));
	assert_int_equal(log_exclude(NULL, 0), OK);
	log_info("signed in", LOG_STR("email", "a@b"));
	assert_non_null(strstr(read_line(), "\"email\":\"a@b\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_json_line_has_its_fields_in_order_and_typed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_text_line_quotes_only_what_needs_it, setup, teardown),
		cmocka_unit_test_setup_teardown(program_and_pid_are_members_of_json, setup, teardown),
		cmocka_unit_test_setup_teardown(a_null_string_is_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_below_the_level_are_not_written, setup, teardown),
		cmocka_unit_test_setup_teardown(a_value_cannot_forge_a_line_or_drive_a_terminal, setup, teardown),
		cmocka_unit_test_setup_teardown(a_secret_is_eight_digits_of_its_digest, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_value_is_cut_and_those_behind_it_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unknown_errno_has_a_text, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_that_cannot_be_written_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_of_several_threads_do_not_mix, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_can_be_taken_instead_of_written, setup, teardown),
		cmocka_unit_test_setup_teardown(excluded_fields_are_left_out_until_the_list_changes, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
