/* shared/ when the machine gives no more: descriptors, and each single allocation in turn. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include "tests/unit/unit.h"
#include "tests/unit/failing_malloc.h"
#include "shared/address.h"
#include "shared/config.h"
#include "shared/fetch.h"
#include "shared/file.h"
#include "shared/loop.h"
#include "shared/process.h"
#include "shared/sealed.h"

static void
no_descriptor_is_left(void **state)
{
	struct rlimit before, none;
	struct address a;
	const char *why_not;
	void *map;
	int fd;
	struct config_error e = { "" };
	struct yaml_node *root;
	struct arena arena;
	struct buf b;

	(void)state;
	assert_int_equal(address_parse_listen(SLICE_LIT("127.0.0.1:0"), &a, &why_not), OK);
	arena_init(&arena, 0);
	buf_init(&b, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	struct loop *loop = loop_new(&clock_system);
	enum err sealed = sealed_create("none", 4096, &fd, &map);
	enum err listen = address_listen(&a, 0, 1, &fd), connect = address_connect(&a, &fd);
	enum err read = file_read("/proc/self/status", 65536, &b), written = file_write_atomic("/tmp/gatehouse-never", SLICE_NONE, 0600);
	enum err yaml = yaml_load(&arena, "/proc/self/status", &root, &e);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_null(loop);
	assert_int_equal(sealed, E_SYSTEM);
	assert_int_equal(listen, E_SYSTEM);
	assert_int_equal(connect, E_SYSTEM);
	assert_int_equal(read, E_SYSTEM);
	assert_int_equal(written, E_SYSTEM);
	assert_int_equal(yaml, E_SYSTEM);
	assert_string_equal(e.text, "/proc/self/status: expected a readable file, found: Too many open files");
	assert_int_equal(access("/tmp/gatehouse-never", F_OK), -1);
	buf_fini(&b);
	arena_fini(&arena);
}

#if FAILING_MALLOC

struct item {
	const char *name;
};
struct sample {
	struct config_list items;
	struct config_strings names;
	const char *path;
};
static const struct config_field item_fields[] = {
	{ "name", CONFIG_STRING, offsetof(struct item, name), CONFIG_REQUIRED | CONFIG_EXPAND_ENV, NULL, 0, 0, NULL, NULL, NULL },
	{ 0 },
};
static const struct config_table item_table = { item_fields, sizeof(struct item), false, 0 };
static const struct config_field fields[] = {
	{ "items", CONFIG_BLOCK_LIST, offsetof(struct sample, items), 0, NULL, 0, 0, NULL, &item_table, NULL },
	{ "names", CONFIG_STRING_LIST, offsetof(struct sample, names), 0, "[a, b]", 0, 0, NULL, NULL, NULL },
	{ "path", CONFIG_STRING, offsetof(struct sample, path), CONFIG_EXPAND_ENV, NULL, 0, 0, NULL, NULL, NULL },
	{ 0 },
};
static const struct config_table table = { fields, sizeof(struct sample), false, 0 };

static enum err
read_sample(struct arena *arena, struct sample *out, struct config_error *e)
{
	static const char text[] = "items:\n- &i {name: \"$HOME\"}\n- *i\n- name: x\npath: ${HOME}/${HOME}/${HOME}\n";
	struct yaml_node *root;
	enum err result = yaml_parse(arena, "f", SLICE_LIT(text), &root, e);

	return result ? result : config_bind(arena, "f", root, NULL, &table, out, e);
}

/* The n-th allocation fails, for every n that there is. */
static void
a_configuration_is_read_whole_or_not(void **state)
{
	bool hit = true;
	int n = 1;

	(void)state;
	setenv("HOME", "/root/which/is/long/enough/to/need/more/than/one/block/of/memory", 1);
	for (; hit; n++) {
		struct arena arena;
		struct sample sample;
		struct config_error e = { "" };
		long live = failing_malloc_live;
		arena_init(&arena, 0);
		failing_malloc_arm(n, false);
		enum err result = read_sample(&arena, &sample, &e);
		hit = failing_malloc_disarm();
		assert_int_equal(result, hit ? E_NOMEM : OK);
		assert_string_equal(e.text, hit ? "f: out of memory" : "");
		arena_fini(&arena);
		assert_int_equal(failing_malloc_live, live);
	}
	assert_true(n > 10);
}

static void
buffers_and_arenas_fail_softly(void **state)
{
	struct arena a;
	struct buf b;

	(void)state;
	arena_init(&a, 0);
	buf_init(&b, 0);
	failing_malloc_arm(1, true);
	assert_null(arena_alloc(&a, 1));
	assert_null(arena_printf(&a, "%s", "x"));
	assert_int_equal(a.total, 0);
	buf_add_str(&b, "x");
	assert_false(buf_ok(&b));
	assert_true(failing_malloc_disarm());
	buf_reset(&b);
	buf_add_str(&b, "kept");
	failing_malloc_arm(1, true);
	assert_null(buf_reserve(&b, 100000));
	assert_true(failing_malloc_disarm());
	assert_string_equal(b.p, "kept");
	buf_fini(&b);
	assert_non_null(arena_alloc(&a, 1));
	arena_fini(&a);
}

static void
files_that_do_not_fit_into_memory(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	failing_malloc_arm(1, true);
	enum err read = file_read("/proc/self/status", 65536, &b);
	assert_true(failing_malloc_disarm());
	assert_int_equal(read, E_NOMEM);
	buf_fini(&b);
}

static void
no_event(struct loop_watch *w, uint32_t events)
{
	(void)w;
	(void)events;
}

static void
no_due(struct loop_timer *t)
{
	(void)t;
}

static void
a_loop_without_memory_takes_no_more_and_goes_on(void **state)
{
	static struct loop_watch watches[200];
	static struct loop_timer timers[200];
	int fds[2], watched = 0, armed = 0;

	(void)state;
	failing_malloc_arm(1, true);
	struct loop *none = loop_new(&clock_system);
	assert_true(failing_malloc_disarm());
	assert_null(none);
	struct loop *loop = loop_new(&clock_system);
	assert_int_equal(pipe(fds), 0);
	for (int round = 0; round < 2; round++) { /* nothing at all, then what there is */
		failing_malloc_arm(1, true);
		for (int i = watched; i < 200; i++) {
			watches[i] = (struct loop_watch){ .fd = dup(fds[0]), .on_event = no_event };
			enum err e = loop_add(loop, &watches[i], EPOLLIN);
			if (e != OK) {
				assert_int_equal(e, E_NOMEM);
				close(watches[i].fd);
				break;
			}
			watched++;
		}
		for (int i = armed; i < 200; i++) {
			timers[i].on_due = no_due;
			enum err e = loop_timer_set(loop, &timers[i], 1000);
			if (e != OK) {
				assert_int_equal(e, E_NOMEM);
				break;
			}
			armed++;
		}
		assert_true(failing_malloc_disarm());
		assert_int_equal(watched, round ? 63 : 0);
		assert_int_equal(armed, round ? 63 : 0);
		if (round == 0) {
			watches[0] = (struct loop_watch){ .fd = dup(fds[0]), .on_event = no_event };
			assert_int_equal(loop_add(loop, &watches[0], EPOLLIN), OK);
			assert_int_equal(loop_timer_set(loop, &timers[0], 1000), OK);
			watched = armed = 1;
		}
	}
	for (int i = 0; i < watched; i++) {
		loop_remove(loop, &watches[i]);
		close(watches[i].fd);
		loop_timer_clear(loop, &timers[i]);
	}
	loop_free(loop);
	close(fds[0]);
	close(fds[1]);
}

static void
ignore(void *arg, struct fetch_result *r)
{
	(void)arg;
	(void)r;
}

static void
a_fetch_without_memory_does_not_begin(void **state)
{
	const char *const headers[] = { "Accept: application/json", NULL };
	struct fetch_request req = { .method = "POST", .url = "http://127.0.0.1:1/", .headers = headers, .body = SLICE_LIT("x"), .ca_file = "f" };

	(void)state;
	for (int n = 1; n < 4; n++) {
		failing_malloc_arm(n, true);
		struct fetcher *none = fetcher_new(&(struct fetcher_options){ .user_agent = "x", .ca_file = "y" });
		assert_true(failing_malloc_disarm());
		assert_null(none);
	}
	struct fetcher *f = fetcher_new(&(struct fetcher_options){ 0 });
	failing_malloc_arm(1, true);
	enum err first = fetch_start(f, &req, ignore, NULL);
	assert_true(failing_malloc_disarm());
	failing_malloc_arm(2, true);
	enum err second = fetch_start(f, &req, ignore, NULL);
	assert_true(failing_malloc_disarm());
	assert_int_equal(first, E_NOMEM);
	assert_int_equal(second, E_NOMEM);
	fetcher_free(f);
}

static void
a_process_without_memory_keeps_its_title(void **state)
{
	char name[] = "program";
	char *argv[] = { name, NULL };

	(void)state;
	for (int n = 1; n < 3; n++) {
		long live = failing_malloc_live;
		failing_malloc_arm(n, true);
		process_title_init(1, argv);
		assert_true(failing_malloc_disarm());
		assert_int_equal(failing_malloc_live, live);
	}
	assert_ptr_equal(argv[0], name);
	process_title_set("changed");
	assert_string_equal(name, "program");
}

#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_descriptor_is_left),
#if FAILING_MALLOC
		cmocka_unit_test(a_configuration_is_read_whole_or_not),
		cmocka_unit_test(buffers_and_arenas_fail_softly),
		cmocka_unit_test(files_that_do_not_fit_into_memory),
		cmocka_unit_test(a_loop_without_memory_takes_no_more_and_goes_on),
		cmocka_unit_test(a_fetch_without_memory_does_not_begin),
		cmocka_unit_test(a_process_without_memory_keeps_its_title),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
