/* store_unit.h - a store in a folder of its own, and records that say which one they are. */
#ifndef TESTS_STORE_UNIT_H
#define TESTS_STORE_UNIT_H

#include <dirent.h>
#include "tests/unit/unit.h"
#include "authd/store.h"

#define STORE_UNIT_NOW 1700000000

static char store_unit_folder[64];
static struct clock_fixed store_unit_clock;
static const struct vault_keys *store_unit_keys; /* secrets are sealed under these */

static inline void
store_unit_begin(void)
{
	unit_folder_make(store_unit_folder);
	clock_fixed_init(&store_unit_clock, STORE_UNIT_NOW);
}

static inline void
store_unit_end(void)
{
	DIR *d = opendir(store_unit_folder);
	struct dirent *e;
	char path[400];

	assert_non_null(d);
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", store_unit_folder, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	closedir(d);
	assert_int_equal(rmdir(store_unit_folder), 0);
}

static inline int
store_unit_setup(void **state)
{
	(void)state;
	store_unit_begin();
	return 0;
}
static inline int
store_unit_teardown(void **state)
{
	(void)state;
	store_unit_end();
	return 0;
}

/* A file of its folder; good until the next one is asked for. */
static inline const char *
in_folder(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", store_unit_folder, name);
	return path;
}

static inline struct store *
store_unit_open_sized(size_t map_bytes_max)
{
	struct store_options o = { .path = store_unit_folder, .map_bytes_max = map_bytes_max, .clock = &store_unit_clock.clock, .keys = store_unit_keys };
	struct store *s = NULL;
	char why[512];
	enum err e = store_open(&o, &s, why, sizeof(why));

	if (e != OK)
		fail_msg("%s: %s", err_name(e), why);
	assert_string_equal(why, "");
	return s;
}

static inline struct store *
store_unit_open(void)
{
	return store_unit_open_sized(0);
}

/* One write of an approval whose scope is `scope`, as most tests need it. */
struct store_unit_put {
	const char *key;
	struct slice scope;
	int64_t expires_at;
	enum err fn_result; /* what the function returns after it put */
};

static inline enum err
store_unit_put_fn(struct store_txn *t, void *arg)
{
	const struct store_unit_put *p = arg;
	struct record_approval a = { .scope = p->scope, .expires_at = p->expires_at };
	enum err e = store_put(t, RECORD_APPROVAL, slice_str(p->key), &a);

	return e != OK ? e : p->fn_result;
}

static inline enum err
store_unit_put(struct store *s, const char *key, const char *scope, int64_t expires_at)
{
	struct store_unit_put p = { key, slice_str(scope), expires_at, OK };

	return store_write_wait(s, store_unit_put_fn, &p);
}

/* The scope stored under key, or what the look-up returned. */
static inline const char *
store_unit_get(struct store *s, const char *key)
{
	static char text[65536];
	struct record_approval a;
	struct arena arena;

	arena_init(&arena, 0);
	enum err e = store_lookup(s, RECORD_APPROVAL, slice_str(key), &arena, &a);
	if (e == OK)
		snprintf(text, sizeof(text), "%.*s", SLICE_FMT(a.scope));
	else
		snprintf(text, sizeof(text), "%s", err_name(e));
	arena_fini(&arena);
	return text;
}

#endif
