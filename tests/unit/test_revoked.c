/* The set of ended sessions: in shared memory, and how news are merged into it. */
#include <pthread.h>
#include "tests/unit/unit.h"
#include "proxyd/keycache.h"
#include "proxyd/revocation_news.h"

#define NOW 1800000000

static struct keycache *writer, *reader;
static struct revoked_entry *set;
static size_t n;

static int
begin(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(keycache_create(&writer, &fd), OK);
	assert_int_equal(keycache_open(fd, &reader), OK);
	close(fd);
	set = NULL;
	n = 0;
	return 0;
}

static int
end(void **state)
{
	(void)state;
	free(set);
	keycache_close(reader);
	keycache_close(writer);
	return 0;
}

static struct revoked_entry
entry(const char *sid, int64_t until)
{
	struct revoked_entry e = { .until = until };

	assert_int_equal(revoked_digest(slice_str(sid), e.digest), OK);
	return e;
}

static bool
has(const char *sid)
{
	return revoked_has(keycache_revoked(reader), entry(sid, 0).digest);
}

static size_t
merge(const struct revoked_entry *more, size_t more_n, int64_t now_s)
{
	size_t dropped = 0;

	assert_int_equal(revocation_news_merge(&set, &n, more, more_n, now_s, &dropped), OK);
	revoked_publish(keycache_revoked_writable(writer), set, n);
	return dropped;
}

static void
nothing_has_ended_at_first(void **state)
{
	(void)state;
	assert_int_equal(revoked_generation(keycache_revoked(reader)), 0);
	assert_false(has("one"));
}

static void
what_is_published_is_found_and_nothing_else(void **state)
{
	(void)state;
	char sid[32];

	for (int i = 0; i < 1000; i += 100) {
		struct revoked_entry more[100];
		for (int j = 0; j < 100; j++) {
			snprintf(sid, sizeof(sid), "sid-%d", i + j);
			more[j] = entry(sid, NOW + 10);
		}
		merge(more, 100, NOW);
	}
	assert_int_equal(n, 1000);
	assert_int_equal(revoked_generation(keycache_revoked(reader)), 10);
	for (int i = 0; i < 1000; i++) {
		snprintf(sid, sizeof(sid), "sid-%d", i);
		assert_true(has(sid));
	}
	assert_false(has("sid-1000"));
	assert_false(has(""));
}

static void
a_session_is_forgotten_when_its_last_token_has_expired(void **state)
{
	(void)state;
	struct revoked_entry both[] = { entry("one", NOW + 10), entry("two", NOW + 20) }, again = entry("one", NOW + 5);

	merge(both, 2, NOW);
	merge(&again, 1, NOW); /* the longer time counts */
	assert_int_equal(n, 2);
	merge(NULL, 0, NOW + 9);
	assert_true(has("one"));
	merge(NULL, 0, NOW + 10);
	assert_false(has("one"));
	assert_true(has("two"));
	merge(NULL, 0, NOW + 20);
	assert_int_equal(n, 0);
	assert_false(has("two"));
}

static void
when_there_are_too_many_those_that_expire_first_go(void **state)
{
	(void)state;
	struct revoked_entry *many = calloc(REVOKED_MAX, sizeof(*many)), last = entry("last", NOW + 5), first = entry("first", NOW + 1);

	assert_non_null(many);
	for (size_t i = 0; i < REVOKED_MAX; i++)
		many[i] = (struct revoked_entry){ { i * 7919, i }, NOW + 10 };
	many[3] = first;
	assert_int_equal(merge(many, REVOKED_MAX, NOW), 0);
	assert_true(has("first"));
	assert_int_equal(merge(&last, 1, NOW), 1);
	assert_int_equal(n, REVOKED_MAX);
	assert_false(has("first"));
	assert_true(has("last"));
	free(many);
}

static void
a_successor_takes_over_the_whole_set(void **state)
{
	(void)state;
	struct revoked_entry both[] = { entry("one", NOW + 10), entry("two", NOW + 20) }, *copy = calloc(REVOKED_MAX, sizeof(*copy));
	size_t copied = 7;

	assert_int_equal(revoked_copy(keycache_revoked(reader), copy, &copied), OK);
	assert_int_equal(copied, 0);
	merge(both, 2, NOW);
	assert_int_equal(revoked_copy(keycache_revoked(reader), copy, &copied), OK);
	assert_int_equal(copied, 2);
	assert_memory_equal(copy, set, 2 * sizeof(*set));
	free(copy);
}

static void *
publish_often(void *arg)
{
	struct revoked_entry always = entry("always", NOW + 10), sometimes = entry("sometimes", NOW + 10);

	(void)arg;
	for (int i = 0; i < 20000; i++) {
		struct revoked_entry both[] = { always, sometimes };
		qsort(both, 2, sizeof(*both), revoked_compare);
		if (i % 2)
			revoked_publish(keycache_revoked_writable(writer), both, 2);
		else
			revoked_publish(keycache_revoked_writable(writer), &always, 1);
	}
	return NULL;
}

static void
a_reader_sees_whole_sets_while_the_writer_writes(void **state)
{
	(void)state;
	struct revoked_entry always = entry("always", NOW + 10);
	pthread_t thread;

	merge(&always, 1, NOW);
	assert_int_equal(pthread_create(&thread, NULL, publish_often, NULL), 0);
	for (int i = 0; i < 20000; i++)
		assert_true(has("always"));
	pthread_join(thread, NULL);
	assert_true(has("sometimes"));
	assert_false(has("never"));
}

static void
a_count_past_the_end_is_bounded(void **state)
{
	(void)state;
	struct revoked_region *r = keycache_revoked_writable(writer);

	atomic_store(&r->slots[1].n, UINT64_MAX);
	atomic_store(&r->generation, 1);
	assert_false(has("one"));
}

/* ---- authd's answer ---- */

static void
news_are_read(void **state)
{
	(void)state;
	struct revocation_news news;
	struct revoked_entry one = entry("one", 1800000001);

	assert_int_equal(revocation_news_parse(SLICE_LIT("{\"epoch\":\"aB-_9\",\"sequence\":7,\"revoked\":[{\"sid\":\"one\",\"until\":1800000001}]}"), &news), OK);
	assert_string_equal(news.epoch, "aB-_9");
	assert_int_equal(news.sequence, 7);
	assert_int_equal(news.n, 1);
	assert_memory_equal(news.revoked, &one, sizeof(one));
	revocation_news_fini(&news);
	assert_int_equal(revocation_news_parse(SLICE_LIT("{\"epoch\":\"a\",\"sequence\":0,\"revoked\":[]}"), &news), OK);
	assert_int_equal(news.n, 0);
	revocation_news_fini(&news);
}

static void
anything_else_is_refused_whole(void **state)
{
	static const char *const bad[] = { "", "[]", "{}", "x", "{\"epoch\":\"a\",\"sequence\":0}", "{\"epoch\":\"\",\"sequence\":0,\"revoked\":[]}",
		"{\"epoch\":\"a b\",\"sequence\":0,\"revoked\":[]}", "{\"epoch\":\"a&x=1\",\"sequence\":0,\"revoked\":[]}", "{\"epoch\":1,\"sequence\":0,\"revoked\":[]}",
		"{\"epoch\":\"a\",\"sequence\":-1,\"revoked\":[]}", "{\"epoch\":\"a\",\"sequence\":1.0,\"revoked\":[]}", "{\"epoch\":\"a\",\"sequence\":1,\"revoked\":{}}",
		"{\"epoch\":\"a\",\"sequence\":1,\"revoked\":[{\"sid\":\"ok\",\"until\":1},{\"sid\":\"\",\"until\":1}]}",
		"{\"epoch\":\"a\",\"sequence\":1,\"revoked\":[{\"sid\":\"ok\",\"until\":1},{\"sid\":\"x\"}]}",
		"{\"epoch\":\"a\",\"sequence\":1,\"revoked\":[{\"sid\":\"ok\",\"until\":1},3]}",
		"{\"epoch\":\"a\",\"sequence\":1,\"revoked\":[{\"sid\":\"ok\",\"until\":\"1\"}]}",
		"{\"epoch\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"sequence\":1,\"revoked\":[]}" };
	struct revocation_news news;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(revocation_news_parse(slice_str(bad[i]), &news), E_FORMAT);
		assert_null(news.revoked);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		T(nothing_has_ended_at_first),
		T(what_is_published_is_found_and_nothing_else),
		T(a_session_is_forgotten_when_its_last_token_has_expired),
		T(when_there_are_too_many_those_that_expire_first_go),
		T(a_successor_takes_over_the_whole_set),
		T(a_reader_sees_whole_sets_while_the_writer_writes),
		T(a_count_past_the_end_is_bounded),
		T(news_are_read),
		T(anything_else_is_refused_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
