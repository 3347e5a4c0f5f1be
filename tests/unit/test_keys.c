#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <jansson.h>
#include "tests/unit/store_unit.h"
#include "authd/keys.h"
#include "authd/signer.h"

#define ROTATION_S 7200
#define LIFETIME_S 3600

static struct store *store;
static struct keys *keys;
static struct keys_options options;

static void
open_keys(void)
{
	char why[256] = "";
	enum err e = keys_open(store, &options, &keys, why, sizeof(why));
	if (e != OK)
		fail_msg("%s: %s", err_name(e), why);
}

static int
setup(void **state)
{
	(void)state;
	store_unit_begin();
	store = store_unit_open();
	options = (struct keys_options){ JWS_ES256, 0, ROTATION_S, LIFETIME_S, &store_unit_clock.clock };
	open_keys();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	keys_close(keys);
	store_close(store);
	store_unit_end();
	return 0;
}

/* A whole restart, some time later. */
static void
restart_after(int64_t seconds)
{
	keys_close(keys);
	store_close(store);
	clock_fixed_advance(&store_unit_clock, seconds);
	store = store_unit_open();
	open_keys();
}

static int64_t
tick(void)
{
	int64_t next_s = 0;
	assert_int_equal(keys_tick(keys, &next_s), OK);
	assert_true(next_s >= 1);
	return next_s;
}

static const char *
active_kid(void)
{
	static char kids[4][JWK_KID_BYTES_MAX + 1];
	static unsigned turn;
	const struct key_set *set = keys_acquire(keys);
	char *kid = kids[turn++ % 4];

	snprintf(kid, sizeof(kids[0]), "%s", set->signing[0].kid);
	assert_non_null(jwk_set_find(&set->verify, slice_str(kid)));
	keys_release(keys, set);
	return kid;
}

static size_t
published(void)
{
	const struct key_set *set = keys_acquire(keys);
	size_t n = set->verify.n;
	keys_release(keys, set);
	return n;
}

static bool
is_published(const char *kid)
{
	const struct key_set *set = keys_acquire(keys);
	bool found = jwk_set_find(&set->verify, slice_str(kid)) != NULL;
	keys_release(keys, set);
	return found;
}

static void
the_first_key_signs_at_once_and_its_private_half_is_not_published(void **state)
{
	(void)state;
	const struct key_set *set = keys_acquire(keys);
	char thumbprint[44];
	json_t *doc = json_loadb(set->jwks_json.p, set->jwks_json.n, JSON_REJECT_DUPLICATES, NULL);
	json_t *all = json_object_get(doc, "keys"), *key = json_array_get(all, 0);

	assert_int_equal(json_array_size(all), 1);
	assert_int_equal(set->verify.n, 1);
	assert_int_equal(set->signing[0].alg, JWS_ES256);
	assert_int_equal(jwk_thumbprint(set->signing[0].key, thumbprint), OK);
	assert_string_equal(set->signing[0].kid, thumbprint);
	assert_string_equal(json_string_value(json_object_get(key, "kid")), thumbprint);
	assert_string_equal(json_string_value(json_object_get(key, "alg")), "ES256");
	assert_string_equal(json_string_value(json_object_get(key, "use")), "sig");
	static const char *const private_members[] = { "d", "p", "q", "dp", "dq", "qi", "oth", "k" };
	for (size_t i = 0; i < sizeof(private_members) / sizeof(private_members[0]); i++)
		assert_null(json_object_get(key, private_members[i]));
	json_decref(doc);
	keys_release(keys, set);
}

static void
an_rs256_key_has_2048_bits(void **state)
{
	(void)state;
	keys_close(keys);
	store_close(store);
	store_unit_end();
	store_unit_begin();
	store = store_unit_open();
	options.alg = JWS_RS256;
	open_keys();
	const struct key_set *set = keys_acquire(keys);
	assert_int_equal(set->signing[0].alg, JWS_RS256);
	assert_int_equal(EVP_PKEY_get_bits(set->signing[0].key), 2048);
	assert_null(memmem(set->jwks_json.p, set->jwks_json.n, "\"d\"", 3));
	keys_release(keys, set);
}

static void
a_key_is_published_before_it_signs_and_until_its_last_token_has_expired(void **state)
{
	(void)state;
	char first[64], second[64];

	snprintf(first, sizeof(first), "%s", active_kid());
	assert_int_equal(tick(), 3600); /* nothing is due: look again in an hour at the latest */
	clock_fixed_advance(&store_unit_clock, 3600);
	assert_int_equal(tick(), ROTATION_S - KEYS_PUBLISH_S - 3600);
	clock_fixed_advance(&store_unit_clock, ROTATION_S - KEYS_PUBLISH_S - 3600 - 1);
	tick();
	assert_int_equal(published(), 1);
	clock_fixed_advance(&store_unit_clock, 1);
	assert_int_equal(tick(), KEYS_PUBLISH_S);
	assert_int_equal(published(), 2);
	assert_string_equal(active_kid(), first);
	clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S - 1);
	assert_int_equal(tick(), 1);
	assert_string_equal(active_kid(), first);
	clock_fixed_advance(&store_unit_clock, 1);
	tick();
	snprintf(second, sizeof(second), "%s", active_kid());
	assert_string_not_equal(second, first);
	assert_true(is_published(first));
	clock_fixed_advance(&store_unit_clock, LIFETIME_S);
	tick();
	assert_true(is_published(first)); /* the skew of those who verify */
	clock_fixed_advance(&store_unit_clock, 60);
	tick();
	assert_false(is_published(first));
	assert_string_equal(active_kid(), second);
}

/* What the outside sees of one key. */
struct seen {
	char kid[64];
	int64_t served_since; /* without a break */
	int64_t signed_last;  /* 0: never */
	bool gone;
};
enum { SEEN_MAX = 1000 };
static struct seen seen[SEEN_MAX];
static size_t seen_n;

static struct seen *
seen_find(const char *kid)
{
	for (size_t i = 0; i < seen_n; i++)
		if (strcmp(seen[i].kid, kid) == 0)
			return &seen[i];
	return NULL;
}

/* Look at /keys and at what signs, now. served_since: of keys that were not seen before. */
static void
observe(void)
{
	const struct key_set *set = keys_acquire(keys);
	int64_t now = store_unit_clock.now_s;

	assert_true(set->verify.n >= 1 && set->verify.n < 20);
	for (size_t i = 0; i < set->verify.n; i++) {
		struct seen *s = seen_find(set->verify.keys[i].kid);
		if (!s) {
			assert_true(seen_n < SEEN_MAX);
			s = &seen[seen_n++];
			*s = (struct seen){ .served_since = now };
			snprintf(s->kid, sizeof(s->kid), "%s", set->verify.keys[i].kid);
		}
		assert_false(s->gone); /* what is gone does not come back */
	}
	for (size_t i = 0; i < seen_n; i++) {
		struct seen *s = &seen[i];
		if (strcmp(s->kid, set->signing[0].kid) == 0) {
			if (!s->signed_last && i > 0)
				assert_true(now - s->served_since >= KEYS_MAX_AGE_S);
			s->signed_last = now;
		} else if (!s->gone && !jwk_set_find(&set->verify, slice_str(s->kid))) {
			s->gone = true;
			assert_true(s->signed_last && now >= s->signed_last + LIFETIME_S);
		}
	}
	keys_release(keys, set);
}

static void
the_guarantee_holds_over_ten_days_of_ticks_rotations_and_restarts(void **state)
{
	(void)state;
	uint32_t seed = 7;
	size_t gone = 0;

	seen_n = 0;
	while (store_unit_clock.now_s < STORE_UNIT_NOW + 10 * 86400) {
		int64_t step = tick();
		observe();
		seed = seed * 1664525 + 1013904223;
		if ((seed >> 16) % 16 == 0) {
			assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
			observe();
		} else if ((seed >> 16) % 16 == 1) {
			restart_after((seed >> 20) % 2000);
			for (size_t i = 0; i < seen_n; i++)
				seen[i].served_since = store_unit_clock.now_s;
			observe();
			continue;
		}
		/* The maintenance thread comes on time, or now and then late: the old key signs until then. */
		clock_fixed_advance(&store_unit_clock, (seed >> 12) % 8 ? step : step + 500);
		observe();
	}
	for (size_t i = 0; i < seen_n; i++)
		gone += seen[i].gone;
	assert_true(gone > 30);
}

static void
a_restart_finds_every_state_as_it_was(void **state)
{
	(void)state;
	char first[64], second[64];

	snprintf(first, sizeof(first), "%s", active_kid());
	restart_after(10); /* active */
	assert_string_equal(active_kid(), first);
	assert_int_equal(published(), 1);
	clock_fixed_advance(&store_unit_clock, ROTATION_S - KEYS_PUBLISH_S);
	tick();
	assert_int_equal(published(), 2);
	restart_after(10); /* active and next */
	assert_int_equal(published(), 2);
	assert_string_equal(active_kid(), first);
	clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
	tick();
	snprintf(second, sizeof(second), "%s", active_kid());
	assert_string_not_equal(second, first);
	restart_after(10); /* retired and active */
	assert_string_equal(active_kid(), second);
	assert_true(is_published(first));
	restart_after(LIFETIME_S + 60); /* it expired meanwhile */
	assert_string_equal(active_kid(), second);
	assert_false(is_published(first));
}

static void
a_key_that_came_of_age_while_nobody_could_fetch_it_waits_once_more(void **state)
{
	(void)state;
	char first[64];

	snprintf(first, sizeof(first), "%s", active_kid());
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
	assert_int_equal(published(), 2);
	restart_after(KEYS_PUBLISH_S + 5);
	assert_string_equal(active_kid(), first);
	assert_int_equal(tick(), KEYS_MAX_AGE_S);
	clock_fixed_advance(&store_unit_clock, KEYS_MAX_AGE_S - 1);
	tick();
	assert_string_equal(active_kid(), first);
	clock_fixed_advance(&store_unit_clock, 1);
	tick();
	assert_string_not_equal(active_kid(), first);
}

static void
rotating_now_publishes_now_and_signs_when_every_cache_has_it(void **state)
{
	(void)state;
	char first[64], second[64];

	snprintf(first, sizeof(first), "%s", active_kid());
	clock_fixed_advance(&store_unit_clock, 100);
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
	assert_int_equal(published(), 2);
	assert_string_equal(active_kid(), first);
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK); /* asked for twice: one new key */
	assert_int_equal(published(), 2);
	assert_int_equal(tick(), KEYS_PUBLISH_S);
	clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
	tick();
	snprintf(second, sizeof(second), "%s", active_kid());
	assert_string_not_equal(second, first);
	/* The next regular one is counted from now. */
	assert_int_equal(tick(), 3600);
	clock_fixed_advance(&store_unit_clock, ROTATION_S - KEYS_PUBLISH_S - 1);
	tick();
	assert_int_equal(published(), 1);
	clock_fixed_advance(&store_unit_clock, 1);
	tick();
	assert_int_equal(published(), 2);
	assert_string_equal(active_kid(), second);
}

static void
a_rotation_by_hand_brings_a_planned_one_forward(void **state)
{
	(void)state;
	char first[64];

	snprintf(first, sizeof(first), "%s", active_kid());
	options.rotation_period_s = ROTATION_S;
	clock_fixed_advance(&store_unit_clock, ROTATION_S - KEYS_PUBLISH_S);
	tick();
	assert_int_equal(published(), 2);
	clock_fixed_advance(&store_unit_clock, 10);
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
	assert_int_equal(published(), 2);
	assert_int_equal(tick(), KEYS_PUBLISH_S - 10);
	assert_string_equal(active_kid(), first);
}

static void
another_algorithm_takes_over_like_any_rotation(void **state)
{
	(void)state;
	char first[64];
	struct keys_options rs256 = options;

	snprintf(first, sizeof(first), "%s", active_kid());
	/* A key of the old algorithm that waits is of no use any more. */
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
	rs256.alg = JWS_RS256;
	keys_reconfigure(keys, &rs256);
	tick();
	assert_int_equal(published(), 2);
	assert_string_equal(active_kid(), first);
	clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
	tick();
	const struct key_set *set = keys_acquire(keys);
	assert_int_equal(set->signing[0].alg, JWS_RS256);
	assert_int_equal(set->verify.n, 2);
	assert_non_null(memmem(set->jwks_json.p, set->jwks_json.n, "\"ES256\"", 7));
	assert_non_null(memmem(set->jwks_json.p, set->jwks_json.n, "\"RS256\"", 7));
	keys_release(keys, set);
	assert_true(is_published(first));
	options = rs256;
	restart_after(1);
	set = keys_acquire(keys);
	assert_int_equal(set->signing[0].alg, JWS_RS256);
	keys_release(keys, set);
}

static void
a_shorter_lifetime_of_tokens_does_not_cut_the_ones_that_are_out(void **state)
{
	(void)state;
	char first[64];
	struct keys_options shorter = options;

	snprintf(first, sizeof(first), "%s", active_kid());
	shorter.token_lifetime_max_s = 60;
	keys_reconfigure(keys, &shorter);
	options = shorter;
	restart_after(1); /* also when the configuration changed in between */
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
	clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
	tick();
	assert_string_not_equal(active_kid(), first);
	clock_fixed_advance(&store_unit_clock, LIFETIME_S);
	tick();
	assert_true(is_published(first));
	clock_fixed_advance(&store_unit_clock, 60);
	tick();
	assert_false(is_published(first));
}

static void
a_longer_lifetime_counts_from_the_moment_it_is_configured(void **state)
{
	(void)state;
	char first[64];
	struct keys_options longer = options;

	snprintf(first, sizeof(first), "%s", active_kid());
	longer.token_lifetime_max_s = 2 * LIFETIME_S;
	keys_reconfigure(keys, &longer);
	keys_reconfigure(keys, &options); /* and back, before anything was due */
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
	clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
	tick();
	clock_fixed_advance(&store_unit_clock, 2 * LIFETIME_S);
	tick();
	assert_true(is_published(first));
	clock_fixed_advance(&store_unit_clock, 60);
	tick();
	assert_false(is_published(first));
}

static void
a_set_in_hand_stays_whole_through_rotations(void **state)
{
	(void)state;
	const struct key_set *old = keys_acquire(keys);
	char json[2048];

	snprintf(json, sizeof(json), "%.*s", SLICE_FMT(old->jwks_json));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
		clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
		tick();
		clock_fixed_advance(&store_unit_clock, LIFETIME_S + 60);
		tick();
	}
	assert_string_equal(json, old->jwks_json.p);
	assert_non_null(jwk_set_find(&old->verify, slice_str(old->signing[0].kid)));
	assert_false(is_published(old->signing[0].kid));
	keys_release(keys, old);
}

/* ---- when the store cannot ---- */

static enum err
put_key(struct store_txn *t, void *arg)
{
	return store_put(t, RECORD_KEY, SLICE_LIT("bad"), arg);
}

static void
assert_not_opened(enum err want, const char *what)
{
	struct keys *k = NULL;
	char why[256];

	assert_int_equal(keys_open(store, &options, &k, why, sizeof(why)), want);
	assert_null(k);
	assert_non_null(strstr(why, what));
}

static void
a_damaged_key_is_reported_at_the_start(void **state)
{
	(void)state;
	struct record_key garbage = { .alg = SLICE_LIT("ES256"), .private_pem = SLICE_LIT("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		.state = RECORD_KEY_NEXT, .created_at = STORE_UNIT_NOW, .active_at = STORE_UNIT_NOW + 1000 };
	struct record_key encrypted = garbage;

	assert_int_equal(store_write_wait(store, put_key, &garbage), OK);
	assert_not_opened(E_FORMAT, "damaged");
	encrypted.private_pem = SLICE_LIT("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
		"MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjVvKZgUDSnNAICCAAwDAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEDwJ\n"
		"-----END ENCRYPTED PRIVATE KEY-----\n");
	assert_int_equal(store_write_wait(store, put_key, &encrypted), OK);
	assert_not_opened(E_FORMAT, "damaged"); /* and nobody is asked for a pass phrase */
	struct record_key retired = garbage;
	retired.state = RECORD_KEY_RETIRED;
	retired.alg = SLICE_LIT("HS256");
	retired.expires_at = STORE_UNIT_NOW + 1000;
	assert_int_equal(store_write_wait(store, put_key, &retired), OK);
	assert_not_opened(E_FORMAT, "damaged");
}

static void
file_size_limit(rlim_t bytes)
{
	struct rlimit l;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void
a_store_that_cannot_write_leaves_the_old_key_signing(void **state)
{
	(void)state;
	char first[64];
	int64_t next_s;
	struct buf token;

	snprintf(first, sizeof(first), "%s", active_kid());
	signal(SIGXFSZ, SIG_IGN);
	file_size_limit(0);
	clock_fixed_advance(&store_unit_clock, ROTATION_S);
	enum err ticked = keys_tick(keys, &next_s), rotated = keys_rotate(keys, JWS_ALG_NONE);
	file_size_limit(RLIM_INFINITY);
	assert_int_equal(ticked, E_SYSTEM);
	assert_in_range(next_s, 1, 60);
	assert_int_equal(rotated, E_SYSTEM);
	assert_string_equal(active_kid(), first);
	assert_int_equal(published(), 1); /* what is not durable is not shown */
	buf_init(&token, 0);
	assert_int_equal(signer_mint(keys, JWS_ALG_NONE, "JWT", SLICE_LIT("{}"), &token), OK);
	buf_fini(&token);
	tick();
	assert_int_equal(published(), 2);
}

/* ---- threads ---- */

struct minter {
	atomic_bool stop;
	size_t minted;
	enum err err;
};

static void *
minter_main(void *arg)
{
	struct minter *m = arg;
	struct buf token;

	buf_init(&token, 0);
	while (!atomic_load(&m->stop) || m->minted == 0) {
		buf_reset(&token);
		enum err e = signer_mint(keys, JWS_ALG_NONE, "JWT", SLICE_LIT("{\"sub\":\"x\"}"), &token);
		if (e != OK)
			m->err = e;
		m->minted++;
	}
	buf_fini(&token);
	return NULL;
}

static void
minting_goes_on_through_rotations(void **state)
{
	(void)state;
	enum { THREADS = 3 };
	pthread_t threads[THREADS];
	struct minter m[THREADS];

	for (int i = 0; i < THREADS; i++) {
		memset(&m[i], 0, sizeof(m[i]));
		assert_int_equal(pthread_create(&threads[i], NULL, minter_main, &m[i]), 0);
	}
	for (int i = 0; i < 20; i++) {
		assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
		clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
		tick();
	}
	for (int i = 0; i < THREADS; i++) {
		atomic_store(&m[i].stop, true);
		pthread_join(threads[i], NULL);
		assert_int_equal(m[i].err, OK);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_key_signs_at_once_and_its_private_half_is_not_published, setup, teardown),
		cmocka_unit_test_setup_teardown(an_rs256_key_has_2048_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_is_published_before_it_signs_and_until_its_last_token_has_expired, setup, teardown),
		cmocka_unit_test_setup_teardown(the_guarantee_holds_over_ten_days_of_ticks_rotations_and_restarts, setup, teardown),
		cmocka_unit_test_setup_teardown(a_restart_finds_every_state_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_that_came_of_age_while_nobody_could_fetch_it_waits_once_more, setup, teardown),
		cmocka_unit_test_setup_teardown(rotating_now_publishes_now_and_signs_when_every_cache_has_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_rotation_by_hand_brings_a_planned_one_forward, setup, teardown),
		cmocka_unit_test_setup_teardown(another_algorithm_takes_over_like_any_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(a_shorter_lifetime_of_tokens_does_not_cut_the_ones_that_are_out, setup, teardown),
		cmocka_unit_test_setup_teardown(a_longer_lifetime_counts_from_the_moment_it_is_configured, setup, teardown),
		cmocka_unit_test_setup_teardown(a_set_in_hand_stays_whole_through_rotations, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_key_is_reported_at_the_start, setup, teardown),
		cmocka_unit_test_setup_teardown(a_store_that_cannot_write_leaves_the_old_key_signing, setup, teardown),
		cmocka_unit_test_setup_teardown(minting_goes_on_through_rotations, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
