#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "proxyd/listeners.h"

/* A configuration of these addresses; the last is the admin's when admin is set. */
static struct proxyd_config *
config_of(const char *const *addresses, size_t n, const char *admin)
{
	struct proxyd_config *c = calloc(1, sizeof(*c));
	struct proxyd_listen *listen = calloc(n, sizeof(*listen));
	const char *why;

	assert_true(c && listen);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(address_parse_listen(slice_str(addresses[i]), &listen[i].address, &why), OK);
		listen[i].line = (int)(10 + i);
	}
	c->file = "f";
	c->listen = (struct config_list){ listen, n };
	c->admin.address_text = admin;
	c->admin.line = 99;
	if (admin)
		assert_int_equal(address_parse_listen(slice_str(admin), &c->admin.address, &why), OK);
	return c;
}

static void
config_release(struct proxyd_config *c)
{
	free(c->listen.items);
	free(c);
}

static const char *
print(const struct listeners *l, struct buf *out)
{
	buf_init(out, 0);
	listeners_print(l, out);
	return out->p ? out->p : "";
}

static void
addresses_that_stay_keep_their_descriptor_and_the_others_are_closed(void **state)
{
	struct proxyd_config *first = config_of((const char *[]){ "127.0.0.1:0", "127.0.0.1:0" }, 2, "127.0.0.1:0");
	struct proxyd_config *second = config_of((const char *[]){ "[::1]:0", "127.0.0.1:0" }, 2, NULL);
	struct config_error e = { "" };
	struct listeners a, b;

	(void)state;
	assert_int_equal(listeners_open(first, NULL, &a, &e), OK);
	assert_int_equal(a.n, 3);
	assert_true(a.items[0].fd != a.items[1].fd && a.items[1].fd != a.items[2].fd);
	assert_int_equal(listeners_admin_fd(&a), a.items[2].fd);
	assert_int_equal(listeners_open(second, &a, &b, &e), OK);
	assert_int_equal(b.n, 2);
	assert_int_equal(listeners_admin_fd(&b), -1);
	assert_int_equal(b.items[1].fd, a.items[0].fd);
	assert_true(b.items[0].fd != a.items[1].fd && b.items[0].fd != a.items[2].fd);

	int gone = a.items[1].fd, kept = a.items[0].fd;
	listeners_close(&a, &b);
	assert_int_equal(a.n, 0);
	assert_int_equal(listeners_admin_fd(&a), -1);
	assert_int_equal(dup2(gone, gone), -1);
	assert_int_equal(dup2(kept, kept), kept);
	listeners_close(&b, NULL);
	assert_int_equal(dup2(kept, kept), -1);
	config_release(first);
	config_release(second);
}

static void
what_was_bound_is_printed_with_its_port_and_without_the_admin_address(void **state)
{
	struct proxyd_config *c = config_of((const char *[]){ "127.0.0.1:0", "[::1]:0" }, 2, "127.0.0.1:0");
	struct config_error e = { "" };
	struct listeners l;
	struct buf text;
	unsigned v4, v6;
	char rest;

	(void)state;
	assert_int_equal(listeners_open(c, NULL, &l, &e), OK);
	assert_int_equal(sscanf(print(&l, &text), "127.0.0.1:%u,[::1]:%u%c", &v4, &v6, &rest), 2);
	assert_true(v4 > 0 && v6 > 0);
	buf_fini(&text);
	listeners_close(&l, NULL);
	config_release(c);
}

static void
a_busy_address_is_named_and_nothing_stays_open(void **state)
{
	struct proxyd_config *first = config_of((const char *[]){ "127.0.0.1:0" }, 1, NULL), *second;
	struct config_error e = { "" };
	struct listeners a, b = { .n = 77 }, others;
	char busy[ADDRESS_TEXT_MAX], expected[300];

	(void)state;
	assert_int_equal(listeners_open(first, NULL, &a, &e), OK);
	assert_int_equal(listeners_open(first, NULL, &others, &e), OK);
	assert_int_equal(listeners_listen(&others, first, &e), OK);
	address_format(&others.items[0].bound, busy);
	int next = dup(0); /* the lowest free descriptor */
	close(next);

	second = config_of((const char *[]){ "127.0.0.1:0", "[::1]:0", busy }, 3, NULL);
	assert_int_equal(listeners_open(second, &a, &b, &e), E_SYSTEM);
	snprintf(expected, sizeof(expected), "f:12: listen[2].address: cannot listen on %s: Address already in use", busy);
	assert_string_equal(e.text, expected);
	assert_int_equal(b.n, 77);
	assert_int_equal(dup(0), next);
	close(next);
	assert_int_equal(dup2(a.items[0].fd, a.items[0].fd), a.items[0].fd);
	config_release(second);

	second = config_of((const char *[]){ "127.0.0.1:0" }, 1, busy);
	e.text[0] = '\0';
	assert_int_equal(listeners_open(second, &a, &b, &e), E_SYSTEM);
	snprintf(expected, sizeof(expected), "f:99: admin.address: cannot listen on %s: Address already in use", busy);
	assert_string_equal(e.text, expected);
	config_release(second);
	listeners_close(&a, NULL);
	listeners_close(&others, NULL);
	config_release(first);
}

/* Whether somebody takes connections there. */
static bool
connects(const struct address *a)
{
	int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = connect(fd, &a->u.sa, a->len) == 0;

	close(fd);
	return ok;
}

static void
sockets_listen_when_they_are_to_serve_and_not_before(void **state)
{
	struct proxyd_config *c = config_of((const char *[]){ "127.0.0.1:0" }, 1, "127.0.0.1:0");
	struct config_error e = { "" };
	struct listeners l;

	(void)state;
	assert_int_equal(listeners_open(c, NULL, &l, &e), OK);
	assert_false(connects(&l.items[0].bound));
	assert_int_equal(listeners_listen(&l, c, &e), OK);
	assert_true(connects(&l.items[0].bound));
	assert_true(connects(&l.items[1].bound));
	assert_int_equal(listeners_listen(&l, c, &e), OK); /* those that do already are left alone */
	/* One that cannot: the admin's is named. */
	close(l.items[1].fd);
	l.items[1].listening = false;
	assert_int_equal(listeners_listen(&l, c, &e), E_SYSTEM);
	assert_string_equal(e.text, "f:99: admin.address: cannot listen on 127.0.0.1:0: Bad file descriptor");
	l.n = 1;
	listeners_close(&l, NULL);
	config_release(c);
}

static int
shares_port(int fd)
{
	int on = -1;
	socklen_t n = sizeof(on);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, &n), 0);
	return on;
}

/* from listens on a free port; to is of the same port. */
static void
move(const char *from, const char *to, bool give_up)
{
	char text[ADDRESS_TEXT_MAX], colon[] = ":", first_text[ADDRESS_TEXT_MAX];
	struct config_error e = { "" };
	struct listeners a, b;
	struct address local;
	const char *why;

	snprintf(text, sizeof(text), "%s%s0", from, colon);
	struct proxyd_config *first = config_of((const char *[]){ text }, 1, NULL);
	assert_int_equal(listeners_open(first, NULL, &a, &e), OK);
	assert_int_equal(listeners_listen(&a, first, &e), OK);
	unsigned port = ntohs(a.items[0].bound.u.in4.sin_port); /* where in6 has it, too */
	snprintf(text, sizeof(text), "%s:%u", to, port);
	snprintf(first_text, sizeof(first_text), "127.0.0.1:%u", port);
	assert_int_equal(address_parse_listen(slice_str(first_text), &local, &why), OK);
	struct proxyd_config *second = config_of((const char *[]){ text }, 1, NULL);
	if (listeners_open(second, &a, &b, &e))
		fail_msg("%s -> %s: %s", from, to, e.text);
	assert_true(connects(&local)); /* all the while */
	if (give_up) {
		listeners_close(&b, &a);
		assert_int_equal(shares_port(a.items[0].fd), 0);
	} else {
		assert_int_equal(listeners_listen(&b, second, &e), OK);
		assert_true(connects(&local));
		listeners_close(&a, &b);
		assert_int_equal(shares_port(b.items[0].fd), 0);
		assert_true(connects(&local));
		a = b;
	}
	assert_true(connects(&local));
	/* Nobody else gets the port. */
	assert_int_equal(listeners_open(second, NULL, &b, &e), E_SYSTEM);
	listeners_close(&a, NULL);
	config_release(first);
	config_release(second);
}

static void
an_address_can_become_narrower_or_wider_while_it_serves(void **state)
{
	(void)state;
	move("0.0.0.0", "127.0.0.1", false);
	move("127.0.0.1", "0.0.0.0", false);
	move("[::]", "127.0.0.1", false);
	move("0.0.0.0", "127.0.0.1", true);
	move("127.0.0.1", "[::]", true);
}

static void
sockets_that_others_opened_are_taken_by_their_bound_address(void **state)
{
	struct proxyd_config *first = config_of((const char *[]){ "127.0.0.1:0", "[::1]:0", "127.0.0.1:0" }, 3, NULL), *second;
	struct config_error e = { "" };
	struct listeners theirs, ours, next;
	char exact[ADDRESS_TEXT_MAX];

	(void)state;
	assert_int_equal(listeners_open(first, NULL, &theirs, &e), OK);
	theirs.inherited = true;
	for (size_t i = 0; i < theirs.n; i++)
		theirs.items[i].configured = theirs.items[i].bound;
	address_format(&theirs.items[2].bound, exact);
	second = config_of((const char *[]){ exact, "127.0.0.1:0", "[::1]:0", "127.0.0.1:0" }, 4, NULL);
	assert_int_equal(listeners_open(second, &theirs, &ours, &e), OK);
	assert_int_equal(ours.items[0].fd, theirs.items[2].fd);
	assert_int_equal(ours.items[1].fd, theirs.items[0].fd); /* port 0 is any that is left */
	assert_int_equal(ours.items[2].fd, theirs.items[1].fd);
	assert_true(ours.items[3].fd != theirs.items[0].fd && ours.items[3].fd != theirs.items[2].fd);
	assert_false(ours.inherited);
	/* From here on what was asked for is known: the next configuration keeps them. */
	assert_int_equal(listeners_open(second, &ours, &next, &e), OK);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(next.items[i].fd, ours.items[i].fd);
	listeners_close(&theirs, &ours);
	listeners_close(&ours, NULL);
	config_release(first);
	config_release(second);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_that_stay_keep_their_descriptor_and_the_others_are_closed),
		cmocka_unit_test(what_was_bound_is_printed_with_its_port_and_without_the_admin_address),
		cmocka_unit_test(a_busy_address_is_named_and_nothing_stays_open),
		cmocka_unit_test(sockets_that_others_opened_are_taken_by_their_bound_address),
		cmocka_unit_test(sockets_listen_when_they_are_to_serve_and_not_before),
		cmocka_unit_test(an_address_can_become_narrower_or_wider_while_it_serves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
