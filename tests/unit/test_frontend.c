#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/unit/unit.h"
#include "authd/frontend.h"

static char dir[] = "/tmp/test_frontend.XXXXXX";
static char why[400];

static const char *
at(const char *path)
{
	static char text[4][300];
	static int i;
	char *out = text[i++ % 4];

	snprintf(out, sizeof(text[0]), "%s/%s", dir, path);
	return out;
}

static void
put(const char *path, const char *bytes, size_t n)
{
	FILE *f = fopen(at(path), "we");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_frontend.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int
teardown(void **state)
{
	char command[80];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static enum err
read_dir(struct arena *arena, const char *theme, struct frontend_files *out)
{
	arena_init(arena, 0);
	return frontend_read(arena, dir, theme, out, why, sizeof(why));
}

static void
files_are_found_by_what_a_request_calls_them(void **state)
{
	struct frontend_files f;
	struct arena arena;

	(void)state;
	mkdir(at("static"), 0700);
	mkdir(at("static/img"), 0700);
	mkdir(at("themes"), 0700);
	mkdir(at("themes/blue"), 0700);
	mkdir(at("themes/red"), 0700);
	mkdir(at("other"), 0700);
	put("static/main.css", "a{}", 3);
	put("static/img/LOGO.PNG", "\0PNG", 4);
	put("static/.hidden", "x", 1);
	put("static/unknown.xyz", "", 0);
	put("themes/blue/styles.css", "b{}", 3);
	put("themes/red/styles.css", "r{}", 3);
	put("other/secret", "x", 1);
	put("secret", "x", 1);
	/* as a ConfigMap is mounted */
	mkdir(at("static/..2026"), 0700);
	put("static/..2026/mapped.svg", "<svg/>", 6);
	assert_int_equal(symlink("..2026", at("static/..data")), 0);
	assert_int_equal(symlink("..data/mapped.svg", at("static/mapped.svg")), 0);
	assert_int_equal(read_dir(&arena, "blue", &f), OK);
	assert_int_equal(f.n, 5);
	assert_string_equal(frontend_find(&f, "static/", SLICE_LIT("main.css"))->content_type, "text/css; charset=utf-8");
	assert_string_equal(frontend_find(&f, "static/", SLICE_LIT("img/LOGO.PNG"))->content_type, "image/png");
	assert_int_equal(frontend_find(&f, "static/", SLICE_LIT("img/LOGO.PNG"))->bytes.n, 4);
	assert_string_equal(frontend_find(&f, "static/", SLICE_LIT("unknown.xyz"))->content_type, "application/octet-stream");
	assert_string_equal(frontend_find(&f, "static/", SLICE_LIT("mapped.svg"))->bytes.p, "<svg/>");
	assert_string_equal(frontend_find(&f, "theme/", SLICE_LIT("styles.css"))->bytes.p, "b{}");
	static const char *const none[] = { "", "main.cs", "main.css/", "../secret", "img", ".hidden", "..data/mapped.svg", "MAIN.CSS", "../static/main.css" };
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (frontend_find(&f, "static/", slice_str(none[i])))
			fail_msg("found: %s", none[i]);
	assert_null(frontend_find(&f, "static/", SLICE_LIT("main.css\0")));
	arena_fini(&arena);
	assert_int_equal(read_dir(&arena, NULL, &f), OK);
	assert_int_equal(f.n, 4);
	arena_fini(&arena);
}

static void
a_folder_that_is_not_there_is_said_and_an_empty_one_is_fine(void **state)
{
	struct frontend_files f;
	struct arena arena;

	(void)state;
	assert_int_equal(read_dir(&arena, "light", &f), OK);
	assert_int_equal(f.n, 0);
	assert_null(frontend_find(&f, "static/", SLICE_LIT("x")));
	assert_int_equal(frontend_read(&arena, at("nosuch"), NULL, &f, why, sizeof(why)), E_SYSTEM);
	assert_non_null(strstr(why, "nosuch: No such file or directory"));
	put("static", "a file", 6);
	assert_int_equal(frontend_read(&arena, dir, NULL, &f, why, sizeof(why)), E_FORMAT);
	assert_non_null(strstr(why, "static: it is no folder"));
	arena_fini(&arena);
}

static void
what_cannot_be_served_is_said(void **state)
{
	struct frontend_files f;
	struct arena arena;
	char name[64];

	(void)state;
	mkdir(at("static"), 0700);
	assert_int_equal(mkfifo(at("static/fifo"), 0600), 0);
	assert_int_equal(read_dir(&arena, NULL, &f), E_FORMAT);
	assert_non_null(strstr(why, "fifo: it is neither a file nor a folder"));
	unlink(at("static/fifo"));
	assert_int_equal(symlink("nowhere", at("static/broken")), 0);
	assert_int_equal(frontend_read(&arena, dir, NULL, &f, why, sizeof(why)), E_SYSTEM);
	assert_non_null(strstr(why, "broken: No such file or directory"));
	unlink(at("static/broken"));
	assert_int_equal(symlink(".", at("static/loop")), 0);
	assert_int_equal(frontend_read(&arena, dir, NULL, &f, why, sizeof(why)), E_LIMIT);
	assert_non_null(strstr(why, "too many folders in one another"));
	unlink(at("static/loop"));
	put("static/large", "x", 1);
	assert_int_equal(truncate(at("static/large"), FRONTEND_FILE_BYTES_MAX + 1), 0);
	assert_int_equal(frontend_read(&arena, dir, NULL, &f, why, sizeof(why)), E_LIMIT);
	assert_non_null(strstr(why, "large: it is larger than 2 MiB"));
	unlink(at("static/large"));
	for (int i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "static/%d", i);
		put(name, "x", 1);
		assert_int_equal(truncate(at(name), FRONTEND_FILE_BYTES_MAX), 0);
	}
	assert_int_equal(frontend_read(&arena, dir, NULL, &f, why, sizeof(why)), E_LIMIT);
	assert_non_null(strstr(why, "larger than 16 MiB together"));
	for (int i = 0; i <= FRONTEND_FILES_MAX; i++) {
		snprintf(name, sizeof(name), "static/%d", i);
		put(name, "x", 1);
	}
	assert_int_equal(frontend_read(&arena, dir, NULL, &f, why, sizeof(why)), E_LIMIT);
	assert_non_null(strstr(why, "more files than the 256"));
	arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_are_found_by_what_a_request_calls_them, setup, teardown),
		cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_said_and_an_empty_one_is_fine, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_served_is_said, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
