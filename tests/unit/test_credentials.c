#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "proxyd/credentials.h"
#include "shared/log.h"
#include "tests/unit/unit.h"

static char folder[64], file[96], other[96];
static struct proxyd_config config;
static struct proxyd_cluster clusters[3];
static struct credentials *credentials;
static size_t change_n, changed_cluster;
static char changed_to[KUBECONFIG_TOKEN_BYTES_MAX + 1];

static void
write_token(const char *text)
{
	unit_file_write(file, text, strlen(text));
}

/* Two clusters without a token file, and one whose token was read with the configuration. */
static int
setup(void **state)
{
	(void)state;
	unit_folder_make(folder);
	snprintf(file, sizeof(file), "%s/token", folder);
	snprintf(other, sizeof(other), "%s/token.new", folder);
	write_token("first\n");
	for (size_t i = 0; i < 3; i++)
		clusters[i] = (struct proxyd_cluster){ .name = "c", .target = { .token = "fixed" } };
	clusters[1].target = (struct kubeconfig){ .token = "first", .token_file = file };
	config.clusters = (struct config_list){ clusters, 3 };
	assert_non_null(credentials = credentials_new(&config));
	change_n = 0;
	return 0;
}
static int
teardown(void **state)
{
	(void)state;
	credentials_free(credentials);
	unlink(file);
	unlink(other);
	rmdir(folder);
	return 0;
}

static void
changed(void *arg, size_t cluster, struct slice token)
{
	assert_ptr_equal(arg, folder);
	assert_true(token.n < sizeof(changed_to));
	memcpy(changed_to, token.p, token.n);
	changed_to[token.n] = '\0';
	changed_cluster = cluster;
	change_n++;
}
static size_t
look(void)
{
	size_t before = change_n;

	credentials_look(credentials, changed, folder);
	return change_n - before;
}

static void
a_file_that_was_replaced_is_told_once_and_stands_in_the_configuration(void **state)
{
	(void)state;
	assert_true(credentials_any(credentials));
	assert_int_equal(look(), 0);
	/* As the kubelet does: a new file in place of the old. */
	unit_file_write(other, "second", 6);
	assert_int_equal(rename(other, file), 0);
	assert_int_equal(look(), 1);
	assert_int_equal(changed_cluster, 1);
	assert_string_equal(changed_to, "second");
	assert_string_equal(clusters[1].target.token, "second");
	assert_string_equal(clusters[0].target.token, "fixed");
	assert_int_equal(look(), 0);
	write_token("third and others"); /* in place */
	assert_int_equal(look(), 0);
	write_token(" third\r\n");
	assert_int_equal(look(), 1);
	assert_string_equal(clusters[1].target.token, "third");
}

static void
a_file_that_changed_before_the_first_look_is_not_missed(void **state)
{
	(void)state;
	write_token("since");
	assert_int_equal(look(), 1);
	assert_string_equal(changed_to, "since");
}

static void
the_same_token_in_a_new_file_is_no_news(void **state)
{
	(void)state;
	unit_file_write(other, "first\n\n", 7);
	assert_int_equal(rename(other, file), 0);
	assert_int_equal(look(), 0);
}

static void
what_cannot_be_read_is_said_once_and_leaves_the_last_good_token(void **state)
{
	char lines[2048] = "", *longest = malloc(KUBECONFIG_TOKEN_BYTES_MAX + 1);
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	log_setup("test", ends[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	unlink(file);
	assert_int_equal(look() + look(), 0);
	write_token("");
	assert_int_equal(look() + look(), 0);
	memset(longest, 'a', KUBECONFIG_TOKEN_BYTES_MAX + 1);
	unit_file_write(file, longest, KUBECONFIG_TOKEN_BYTES_MAX + 1);
	assert_int_equal(look() + look(), 0);
	unlink(file);
	assert_int_equal(mkdir(file, 0700), 0);
	assert_int_equal(look() + look(), 0);
	rmdir(file);
	assert_string_equal(clusters[1].target.token, "first");
	unit_file_write(file, longest, KUBECONFIG_TOKEN_BYTES_MAX);
	assert_int_equal(look(), 1);
	log_setup("test", 2, LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
	assert_true(read(ends[0], lines, sizeof(lines) - 1) > 0);
	const char *at = lines;
	static const char *const reasons[] = { "No such file", "it holds no token", "it is too long", "Is a directory" };
	for (size_t i = 0; i < 4; i++) {
		at = strstr(at, reasons[i]);
		assert_non_null(at);
		assert_null(strstr(at + 1, reasons[i]));
	}
	close(ends[0]);
	close(ends[1]);
	free(longest);
}

static void
without_token_files_there_is_nothing_to_look_at(void **state)
{
	(void)state;
	config.clusters.n = 1;
	struct credentials *none = credentials_new(&config);
	assert_false(credentials_any(none));
	credentials_look(none, changed, folder);
	assert_int_equal(change_n, 0);
	credentials_free(none);
}

static void
a_token_is_passed_on_in_memory_that_nobody_changes(void **state)
{
	struct buf out;
	int fd;

	(void)state;
	buf_init(&out, KUBECONFIG_TOKEN_BYTES_MAX);
	assert_int_equal(credentials_wrap(SLICE_LIT("s3cret"), &fd), OK);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(credentials_unwrap(fd, &out), OK);
	assert_true(slice_eq_str(buf_slice(&out), "s3cret"));
	close(fd);
	buf_fini(&out);
}

static void
a_descriptor_that_holds_no_token_is_refused(void **state)
{
	struct buf out;
	int fd;

	(void)state;
	buf_init(&out, KUBECONFIG_TOKEN_BYTES_MAX);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_int_equal(credentials_unwrap(fd, &out), E_FORMAT); /* not sealed */
	close(fd);
	fd = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(credentials_unwrap(fd, &out), E_FORMAT);
	assert_int_equal(ftruncate(fd, KUBECONFIG_TOKEN_BYTES_MAX + 1), 0);
	assert_int_equal(credentials_unwrap(fd, &out), E_FORMAT);
	close(fd);
	assert_int_equal(credentials_unwrap(fd, &out), E_SYSTEM);
	assert_int_equal(out.n, 0);
	buf_fini(&out);
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_file_that_was_replaced_is_told_once_and_stands_in_the_configuration),
		T(a_file_that_changed_before_the_first_look_is_not_missed),
		T(the_same_token_in_a_new_file_is_no_news),
		T(what_cannot_be_read_is_said_once_and_leaves_the_last_good_token),
		T(without_token_files_there_is_nothing_to_look_at),
		T(a_token_is_passed_on_in_memory_that_nobody_changes),
		T(a_descriptor_that_holds_no_token_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
