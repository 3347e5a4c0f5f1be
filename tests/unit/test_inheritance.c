#include <fcntl.h>
#include <sys/socket.h>
#include "tests/unit/unit.h"
#include "proxyd/control.h"
#include "proxyd/credentials.h"
#include "proxyd/inheritance.h"
#include "proxyd/metrics_report.h"

static int pair[2]; /* the predecessor's end, ours */

static void
setup_line(void)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", pair[1]);
	assert_int_equal(setenv(INHERITANCE_PREDECESSOR, number, 1), 0);
}

static int
setup(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	setup_line();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	close(pair[0]);
	unsetenv(INHERITANCE_PREDECESSOR);
	return 0;
}

static void
say_secret(size_t n)
{
	char secret[64];
	int fd;

	memset(secret, 7, sizeof(secret));
	assert_int_equal(credentials_wrap(slice_of(secret, n), &fd), OK);
	assert_int_equal(control_send(pair[0], CONTROL_TICKETS, 0, NULL, fd), OK);
	close(fd);
}

static void
take(struct inheritance *i)
{
	char why[INHERITANCE_WHY_BYTES];

	assert_int_equal(inheritance_take(i, why), OK);
	assert_null(getenv(INHERITANCE_PREDECESSOR)); /* children of ours are nobody's successors */
}

static void
what_a_predecessor_said_before_it_started_us_is_there(void **state)
{
	struct inheritance i;
	struct control_message m;
	int null = open("/dev/null", O_RDONLY), fd;

	(void)state;
	say_secret(TICKET_SECRET_BYTES);
	assert_int_equal(control_send(pair[0], CONTROL_GENERATION, 42, NULL, -1), OK);
	assert_int_equal(control_send(pair[0], CONTROL_KEYCACHE, 0, NULL, null), OK);
	close(null);
	take(&i);
	assert_true(i.from_predecessor && i.has_ticket_secret);
	assert_int_equal(i.ticket_secret[TICKET_SECRET_BYTES - 1], 7);
	assert_int_equal(i.generation, 42);
	assert_true(i.keycache_fd >= 0);
	assert_int_equal(fcntl(i.predecessor.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(i.sockets.n, 0);
	inheritance_tell(&i, CONTROL_FAILED, 5, "why", -1);
	assert_int_equal(control_receive(pair[0], &m, &fd), OK);
	assert_string_equal(m.text, "why");
	inheritance_fini(&i);
	assert_int_equal(control_receive(pair[0], &m, &fd), E_EMPTY);
	inheritance_tell(&i, CONTROL_FAILED, 5, "nobody hears it", -1);
}

static void
memory_that_is_counted_in_is_taken_from_a_predecessor_that_counts_the_same(void **state)
{
	int null = open("/dev/null", O_RDONLY);

	(void)state;
	for (uint32_t other = 0; other < 2; other++) {
		struct inheritance i;
		assert_int_equal(control_send(pair[0], CONTROL_METRICS, metrics_layout() ^ other, NULL, null), OK);
		setup_line();
		take(&i);
		assert_int_equal(i.metrics_fd >= 0, other == 0);
		assert_int_equal(i.predecessor_pid, getppid());
		i.predecessor.fd = -1; /* for the next one */
		inheritance_fini(&i);
	}
	close(null);
	close(pair[1]);
}

/* Another version's, most likely: none of it is needed. */
static void
what_is_not_understood_is_passed_over(void **state)
{
	struct control_message later = { .kind = CONTROL_KINDS + 3 };
	struct inheritance i;

	(void)state;
	assert_int_equal(send(pair[0], &later, sizeof(later), 0), sizeof(later));
	assert_int_equal(send(pair[0], "?", 1, 0), 1);
	say_secret(TICKET_SECRET_BYTES + 1);
	assert_int_equal(control_send(pair[0], CONTROL_KEYCACHE, 0, NULL, -1), OK);
	assert_int_equal(control_send(pair[0], CONTROL_SERVE, 0, NULL, pair[0]), OK); /* with a descriptor that nobody wants */
	assert_int_equal(control_send(pair[0], CONTROL_GENERATION, 7, NULL, -1), OK);
	take(&i);
	assert_false(i.has_ticket_secret);
	assert_int_equal(i.keycache_fd, -1);
	assert_int_equal(i.generation, 7);
	inheritance_fini(&i);
}

static void
a_descriptor_that_is_no_such_socket_is_nobodys_line(void **state)
{
	static const char *const numbers[] = { "", "x", "99999", "-1", "0" };
	struct inheritance i;

	(void)state;
	for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
		setenv(INHERITANCE_PREDECESSOR, numbers[n], 1);
		take(&i);
		assert_int_equal(i.predecessor.fd, -1);
		assert_false(i.from_predecessor);
		inheritance_fini(&i);
	}
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_a_predecessor_said_before_it_started_us_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_that_is_counted_in_is_taken_from_a_predecessor_that_counts_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_understood_is_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(a_descriptor_that_is_no_such_socket_is_nobodys_line, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
