#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "proxyd/control.h"
#include "shared/process.h"

struct pair {
	int fds[2];
};

static int
pair_setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds), 0);
	*state = p;
	return 0;
}

static int
pair_teardown(void **state)
{
	struct pair *p = *state;

	for (int i = 0; i < 2; i++)
		if (p->fds[i] >= 0)
			close(p->fds[i]);
	free(p);
	return 0;
}

static void
a_message_arrives_with_its_kind_value_and_text(void **state)
{
	struct pair *p = *state;
	struct control_message m;
	int fd = 99;

	assert_int_equal(control_send(p->fds[0], CONTROL_DRAIN, 30000, NULL, -1), OK);
	assert_int_equal(control_send(p->fds[0], CONTROL_FAILED, 0, "no keys", -1), OK);
	assert_int_equal(control_receive(p->fds[1], &m, &fd), OK);
	assert_int_equal(m.kind, CONTROL_DRAIN);
	assert_int_equal(m.value, 30000);
	assert_string_equal(m.text, "");
	assert_int_equal(fd, -1);
	assert_int_equal(control_receive(p->fds[1], &m, &fd), OK);
	assert_int_equal(m.kind, CONTROL_FAILED);
	assert_string_equal(m.text, "no keys");
	assert_int_equal(control_receive(p->fds[1], &m, &fd), E_AGAIN);
}

static void
a_long_text_is_cut_and_still_ends(void **state)
{
	struct pair *p = *state;
	struct control_message m;
	char text[1000];
	int fd;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(control_send(p->fds[0], CONTROL_FAILED, 0, text, -1), OK);
	assert_int_equal(control_receive(p->fds[1], &m, &fd), OK);
	assert_int_equal(strlen(m.text), sizeof(m.text) - 1);
}

static void
a_descriptor_travels_and_is_close_on_exec(void **state)
{
	struct pair *p = *state;
	struct control_message m;
	int ends[2], fd = -1;
	char byte = 0;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(control_send(p->fds[0], CONTROL_KEYCACHE, 0, NULL, ends[0]), OK);
	close(ends[0]);
	assert_int_equal(control_receive(p->fds[1], &m, &fd), OK);
	assert_int_equal(m.kind, CONTROL_KEYCACHE);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(ends[1], "k", 1), 1);
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(byte, 'k');
	close(fd);
	close(ends[1]);
}

static void
a_peer_that_is_gone_is_told_from_one_that_is_silent(void **state)
{
	struct pair *p = *state;
	struct control_message m;
	int fd;

	assert_int_equal(control_receive(p->fds[1], &m, &fd), E_AGAIN);
	assert_int_equal(control_send(p->fds[0], CONTROL_READY, 0, NULL, -1), OK);
	close(p->fds[0]);
	p->fds[0] = -1;
	assert_int_equal(control_receive(p->fds[1], &m, &fd), OK);
	assert_int_equal(control_receive(p->fds[1], &m, &fd), E_EMPTY);
	assert_int_equal(control_send(p->fds[1], CONTROL_READY, 0, NULL, -1), E_EMPTY);
}

static void
a_full_socket_is_reported_and_does_not_block(void **state)
{
	struct pair *p = *state;
	enum err e = OK;

	for (int i = 0; i < 100000 && !e; i++)
		e = control_send(p->fds[0], CONTROL_WANT_KEYS, 0, NULL, -1);
	assert_int_equal(e, E_AGAIN);
}

static void
a_message_of_another_shape_is_refused_and_its_descriptor_closed(void **state)
{
	struct pair *p = *state;
	struct control_message m = { .kind = CONTROL_READY }, got;
	int ends[2], fd;
	char byte;

	assert_int_equal(process_send_fd(p->fds[0], &m, sizeof(m) - 1, -1), OK);
	assert_int_equal(control_receive(p->fds[1], &got, &fd), E_FORMAT);
	m.kind = 0;
	assert_int_equal(process_send_fd(p->fds[0], &m, sizeof(m), -1), OK);
	assert_int_equal(control_receive(p->fds[1], &got, &fd), E_FORMAT);
	m.kind = CONTROL_KINDS;
	assert_int_equal(process_send_fd(p->fds[0], &m, sizeof(m), -1), OK);
	assert_int_equal(control_receive(p->fds[1], &got, &fd), E_FORMAT);
	m.kind = CONTROL_FAILED;
	memset(m.text, 'x', sizeof(m.text));
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(process_send_fd(p->fds[0], &m, sizeof(m), ends[1]), OK);
	close(ends[1]);
	assert_int_equal(control_receive(p->fds[1], &got, &fd), E_FORMAT);
	assert_int_equal(fd, -1);
	/* The writing end that travelled is closed: the pipe has ended. */
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_message_arrives_with_its_kind_value_and_text, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(a_long_text_is_cut_and_still_ends, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(a_descriptor_travels_and_is_close_on_exec, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(a_peer_that_is_gone_is_told_from_one_that_is_silent, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(a_full_socket_is_reported_and_does_not_block, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(a_message_of_another_shape_is_refused_and_its_descriptor_closed, pair_setup, pair_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
