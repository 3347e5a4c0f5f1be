/* The memory that workers count in, and the text made of it. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "proxyd/metrics_report.h"
#include "tests/unit/unit.h"

struct stage {
	struct metrics *m;
	struct metrics_view view;
	struct buf text;
};

static int
setup(void **state)
{
	static struct stage s;

	assert_int_equal(metrics_new(1800000000, &s.m), OK);
	assert_int_equal(metrics_map_all(metrics_fd(s.m), &s.view), OK);
	buf_init(&s.text, 0);
	*state = &s;
	return 0;
}
static int
teardown(void **state)
{
	struct stage *s = *state;

	buf_fini(&s->text);
	metrics_free(s->m);
	return 0;
}

static struct metrics_slot *
slot_of(struct stage *s, size_t at)
{
	struct metrics_slot *slot;

	assert_int_equal(metrics_map_slot(metrics_fd(s->m), at, &slot), OK);
	return slot;
}

static void
assert_says(struct stage *s, const char *line)
{
	buf_reset(&s->text);
	metrics_report(&s->view, &s->text);
	assert_true(buf_ok(&s->text));
	const char *at = strstr(s->text.p, line);
	if (!at || (at != s->text.p && at[-1] != '\n') || at[strlen(line)] != '\n')
		fail_msg("no line \"%s\" in\n%s", line, s->text.p);
}
static void
assert_does_not_say(struct stage *s, const char *part)
{
	buf_reset(&s->text);
	metrics_report(&s->view, &s->text);
	assert_null(strstr(s->text.p, part));
}

static void
what_a_worker_counts_is_printed_with_its_number(void **state)
{
	struct stage *s = *state;
	struct metrics_slot *w = slot_of(s, metrics_slot_take(s->m, 3));
	struct metrics_target *t = metrics_target(w, "east");

	metrics_add(&w->values[METRIC_CONNECTIONS], 7);
	metrics_request(t, KUBE_LIST, 200);
	metrics_request(t, KUBE_LIST, 200);
	metrics_request(metrics_target(w, ""), KUBE_GET, 302);
	metrics_add(&t->upstream[METRIC_UPSTREAM_TLS], 2);
	assert_says(s, "gatehouse_connections_accepted_total{worker=\"3\"} 7");
	assert_says(s, "gatehouse_requests_total{cluster=\"east\",verb=\"list\",code=\"200\",worker=\"3\"} 2");
	assert_says(s, "gatehouse_requests_total{cluster=\"\",verb=\"get\",code=\"302\",worker=\"3\"} 1");
	assert_says(s, "gatehouse_upstream_failures_total{cluster=\"east\",reason=\"tls\",worker=\"3\"} 2");
}

static void
a_successor_counts_on_and_what_its_predecessor_was_doing_is_not_done(void **state)
{
	struct stage *s = *state;
	size_t at = metrics_slot_take(s->m, 0);
	struct metrics_slot *w = slot_of(s, at);
	struct metrics_target *t = metrics_target(w, "east");

	metrics_add(&w->values[METRIC_CONNECTIONS], 5);
	metrics_add(&w->values[METRIC_CONNECTIONS_OPEN], 5);
	metrics_add(&t->upstream[METRIC_UPSTREAM_OPENED], 4);
	metrics_add(&t->upstream[METRIC_UPSTREAM_OPEN], 4);
	metrics_add(&t->upstream[METRIC_UPSTREAM_OPEN_H2], 1);
	metrics_add(&t->upstream[METRIC_UPSTREAM_STREAMS], 9);
	metrics_add(&t->upstream[METRIC_UPSTREAM_STREAMS_OPEN], 8);
	assert_says(s, "gatehouse_upstream_shared_connections_open{cluster=\"east\",worker=\"0\"} 1");
	assert_says(s, "gatehouse_upstream_streams_open{cluster=\"east\",worker=\"0\"} 8");
	metrics_slot_release(s->m, at);
	assert_says(s, "gatehouse_connections_accepted_total{worker=\"0\"} 5");
	assert_says(s, "gatehouse_connections_open{worker=\"0\"} 0");
	assert_says(s, "gatehouse_upstream_connections_total{cluster=\"east\",kind=\"opened\",worker=\"0\"} 4");
	assert_says(s, "gatehouse_upstream_connections_open{cluster=\"east\",worker=\"0\"} 0");
	assert_says(s, "gatehouse_upstream_connections_total{cluster=\"east\",kind=\"shared\",worker=\"0\"} 9");
	assert_says(s, "gatehouse_upstream_shared_connections_open{cluster=\"east\",worker=\"0\"} 0");
	assert_says(s, "gatehouse_upstream_streams_open{cluster=\"east\",worker=\"0\"} 0");
	assert_int_equal(metrics_slot_take(s->m, 0), at);
	metrics_add(&w->values[METRIC_CONNECTIONS], 1);
	assert_says(s, "gatehouse_connections_accepted_total{worker=\"0\"} 6");
}

/* What a master does whose program replaces another's: both lend slots of the same memory. */
static void
a_master_that_takes_over_counts_on_and_lends_what_nobody_has(void **state)
{
	struct stage *s = *state;
	size_t old = metrics_slot_take(s->m, 0);
	struct metrics_slot *w = slot_of(s, old);
	int status, null = open("/dev/zero", O_RDWR);
	struct metrics *other = NULL;

	metrics_add(&w->values[METRIC_CONNECTIONS], 5);
	metrics_add(&w->values[METRIC_CONNECTIONS_OPEN], 5);
	metrics_master_count(&metrics_master(s->m)->reloads_done);
	pid_t pid = fork();
	if (pid == 0) {
		struct metrics *m;
		if (metrics_inherit(metrics_fd(s->m), &m))
			_exit(1);
		size_t mine = metrics_slot_take(m, 0);
		metrics_add(&slot_of(s, mine)->values[METRIC_CONNECTIONS], 2);
		metrics_add(&slot_of(s, mine)->values[METRIC_CONNECTIONS_OPEN], 2);
		metrics_master_count(&metrics_master(m)->reloads_done);
		_exit(mine == old + 1 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_says(s, "gatehouse_connections_accepted_total{worker=\"0\"} 7");
	assert_says(s, "gatehouse_reloads_total{result=\"done\"} 2");
	assert_says(s, "gatehouse_workers 2");
	assert_says(s, "gatehouse_counters_since_seconds 1800000000");
	metrics_release_all_of(s->m, pid); /* it ended without a word */
	assert_says(s, "gatehouse_workers 1");
	assert_says(s, "gatehouse_connections_open{worker=\"0\"} 5");
	assert_int_equal(metrics_slot_take(s->m, 0), old + 1);
	assert_int_equal(metrics_inherit(null, &other), E_FORMAT);
	close(null);
	assert_int_equal(metrics_inherit(null, &other), E_SYSTEM);
	assert_null(other);
}

static void
a_draining_worker_and_its_successor_add_up(void **state)
{
	struct stage *s = *state;
	size_t old = metrics_slot_take(s->m, 0), other = metrics_slot_take(s->m, 1), new = metrics_slot_take(s->m, 0);

	assert_int_not_equal(old, new);
	assert_int_not_equal(other, new);
	struct metrics_slot *a = slot_of(s, old), *b = slot_of(s, new);
	metrics_target(a, "west"); /* rows need not be in the same order */
	metrics_request(metrics_target(a, "east"), KUBE_WATCH, 200);
	metrics_request(metrics_target(b, "east"), KUBE_WATCH, 200);
	metrics_add(&a->values[METRIC_REQUESTS_OPEN], 2);
	metrics_add(&b->values[METRIC_REQUESTS_OPEN], 3);
	assert_says(s, "gatehouse_requests_total{cluster=\"east\",verb=\"watch\",code=\"200\",worker=\"0\"} 2");
	assert_says(s, "gatehouse_requests_open{worker=\"0\"} 5");
	assert_says(s, "gatehouse_requests_open{worker=\"1\"} 0");
}

static void
a_worker_writes_its_own_slot_and_no_other(void **state)
{
	struct stage *s = *state;
	size_t first = metrics_slot_take(s->m, 0), second = metrics_slot_take(s->m, 1), third = metrics_slot_take(s->m, 2);
	struct metrics_slot *w = slot_of(s, second);

	memset((void *)w, 0xff, sizeof(*w));
	for (size_t i = 0; i < METRICS; i++) {
		assert_int_equal(s->view.slots[first]->values[i], 0);
		assert_int_equal(s->view.slots[third]->values[i], 0);
	}
	assert_int_equal(s->view.master->owners[second], 2);
	assert_int_equal(s->view.master->reloads_done, 0);
}

/* Whatever a captured worker puts there: text that can be read, and the others' numbers. */
static void
garbage_in_one_slot_leaves_the_text_whole(void **state)
{
	struct stage *s = *state;
	struct metrics_slot *good = slot_of(s, metrics_slot_take(s->m, 0)), *bad = slot_of(s, metrics_slot_take(s->m, 1));

	metrics_request(metrics_target(good, "east"), KUBE_GET, 404);
	memset((void *)bad, 0xff, sizeof(*bad));
	memset((void *)(uintptr_t)&bad->targets[1].name, '\n', METRICS_NAME_BYTES);
	memset((void *)(uintptr_t)&bad->targets[2].name, '"', METRICS_NAME_BYTES);
	assert_says(s, "gatehouse_requests_total{cluster=\"east\",verb=\"get\",code=\"404\",worker=\"0\"} 1");
	for (const char *line = s->text.p; *line; line = strchr(line, '\n') + 1)
		assert_true(strncmp(line, "# ", 2) == 0 || strncmp(line, "gatehouse_", 10) == 0);
	struct slice left = buf_slice(&s->text);
	while (left.n) {
		size_t n = slice_utf8_first(left);
		assert_true(n > 0);
		left = slice_of(left.p + n, left.n - n);
	}
}

/* The mapping that can write everything stays master's. */
static void
a_child_does_not_inherit_what_master_can_write(void **state)
{
	struct stage *s = *state;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL); /* cmocka would go on with the next test */
		metrics_add(&metrics_master(s->m)->reloads_done, 1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(metrics_master(s->m)->reloads_done, 0);
}

static void
labels_are_bounded(void **state)
{
	struct stage *s = *state;
	struct metrics_slot *w = slot_of(s, metrics_slot_take(s->m, 0));
	char name[METRICS_NAME_BYTES + 1];

	metrics_request(&w->targets[0], KUBE_OTHER, 799);
	metrics_request(&w->targets[0], KUBE_OTHER, 299);
	metrics_request(&w->targets[0], KUBE_OTHER, 0);
	assert_says(s, "gatehouse_requests_total{cluster=\"\",verb=\"other\",code=\"other\",worker=\"0\"} 2");
	assert_says(s, "gatehouse_requests_total{cluster=\"\",verb=\"other\",code=\"none\",worker=\"0\"} 1");
	for (size_t i = 0; i < METRICS_CODES; i++) {
		assert_true(i == 0 || metrics_codes[i - 1] < metrics_codes[i]);
		metrics_request(&w->targets[0], KUBE_PUT, metrics_codes[i]);
		assert_int_equal(w->targets[0].requests[KUBE_PUT][i], 1);
	}
	for (size_t i = 1; i < METRICS_TARGETS; i++) {
		snprintf(name, sizeof(name), "c%zu", i);
		assert_ptr_equal(metrics_target(w, name), &w->targets[i]);
	}
	assert_ptr_equal(metrics_target(w, "one-too-many"), &w->targets[0]);
	assert_ptr_equal(metrics_target(w, "c7"), &w->targets[7]);
	memset(name, 'x', METRICS_NAME_BYTES);
	name[METRICS_NAME_BYTES] = '\0';
	assert_ptr_equal(metrics_target(w, name), &w->targets[0]);
}

static void
more_processes_than_slots_are_not_counted_and_do_no_harm(void **state)
{
	struct stage *s = *state;

	for (size_t i = 0; i < METRICS_SLOTS; i++)
		assert_int_not_equal(metrics_slot_take(s->m, (unsigned)(i % 7)), METRICS_NO_SLOT);
	size_t none = metrics_slot_take(s->m, 0);
	assert_true(none == METRICS_NO_SLOT);
	metrics_slot_release(s->m, none);
	metrics_slot_release(s->m, 14);
	assert_int_equal(metrics_slot_take(s->m, 0), 14);
}

static void
times_fall_into_the_bucket_whose_bound_they_do_not_pass(void **state)
{
	struct stage *s = *state;
	struct metrics_target *t = metrics_target(slot_of(s, metrics_slot_take(s->m, 0)), "east");

	metrics_time(&t->duration, 0);
	metrics_time(&t->duration, 1);
	metrics_time(&t->duration, 26);
	metrics_time(&t->duration, 60000);
	metrics_time(&t->duration, 60001);
	assert_says(s, "gatehouse_request_duration_seconds_bucket{cluster=\"east\",worker=\"0\",le=\"0.001\"} 2");
	assert_says(s, "gatehouse_request_duration_seconds_bucket{cluster=\"east\",worker=\"0\",le=\"0.025\"} 2");
	assert_says(s, "gatehouse_request_duration_seconds_bucket{cluster=\"east\",worker=\"0\",le=\"0.05\"} 3");
	assert_says(s, "gatehouse_request_duration_seconds_bucket{cluster=\"east\",worker=\"0\",le=\"60.0\"} 4");
	assert_says(s, "gatehouse_request_duration_seconds_bucket{cluster=\"east\",worker=\"0\",le=\"+Inf\"} 5");
	assert_says(s, "gatehouse_request_duration_seconds_count{cluster=\"east\",worker=\"0\"} 5");
	assert_says(s, "gatehouse_request_duration_seconds_sum{cluster=\"east\",worker=\"0\"} 120.028");
}

static void
before_the_first_worker_there_is_only_master(void **state)
{
	struct stage *s = *state;

	metrics_add(&metrics_master(s->m)->reloads_failed, 1);
	assert_says(s, "gatehouse_reloads_total{result=\"failed\"} 1");
	assert_says(s, "gatehouse_workers 0");
	assert_does_not_say(s, "worker=\"");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_a_worker_counts_is_printed_with_its_number, setup, teardown),
		cmocka_unit_test_setup_teardown(a_successor_counts_on_and_what_its_predecessor_was_doing_is_not_done, setup, teardown),
		cmocka_unit_test_setup_teardown(a_master_that_takes_over_counts_on_and_lends_what_nobody_has, setup, teardown),
		cmocka_unit_test_setup_teardown(a_draining_worker_and_its_successor_add_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_worker_writes_its_own_slot_and_no_other, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_in_one_slot_leaves_the_text_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(a_child_does_not_inherit_what_master_can_write, setup, teardown),
		cmocka_unit_test_setup_teardown(labels_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(more_processes_than_slots_are_not_counted_and_do_no_harm, setup, teardown),
		cmocka_unit_test_setup_teardown(times_fall_into_the_bucket_whose_bound_they_do_not_pass, setup, teardown),
		cmocka_unit_test_setup_teardown(before_the_first_worker_there_is_only_master, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
