/* Signing keys of several algorithms at once: what comes into use, what goes, what stands in meanwhile. */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "tests/unit/store_unit.h"
#include "authd/keys.h"
#include "authd/signer.h"
#include "oidc/jws.h"

#define ROTATION_S 7200
#define LIFETIME_S 3600
#define RS256 KEYS_ALG(JWS_RS256)
#define ES256 KEYS_ALG(JWS_ES256)

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
setup_with(enum jws_alg alg, unsigned client_algs)
{
	store_unit_begin();
	store = store_unit_open();
	options = (struct keys_options){ alg, client_algs, ROTATION_S, LIFETIME_S, &store_unit_clock.clock };
	open_keys();
	return 0;
}

static int
setup_one(void **state)
{
	(void)state;
	return setup_with(JWS_RS256, 0);
}

static int
setup_both(void **state)
{
	(void)state;
	return setup_with(JWS_RS256, ES256);
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

static int64_t
tick(void)
{
	int64_t next_s = 0;
	assert_int_equal(keys_tick(keys, &next_s), OK);
	return next_s;
}

static void
pass(int64_t seconds)
{
	clock_fixed_advance(&store_unit_clock, seconds);
	tick();
}

static void
configure(enum jws_alg alg, unsigned client_algs)
{
	options.alg = alg;
	options.client_algs = client_algs;
	keys_reconfigure(keys, &options);
	tick();
}

static void
restart(void)
{
	keys_close(keys);
	store_close(store);
	store = store_unit_open();
	open_keys();
}

struct token {
	char kid[64];
	enum jws_alg alg; /* of its header */
};
/* Mint one and look at it from outside: it verifies by what is published. */
static struct token
minted(enum jws_alg alg)
{
	struct token t;
	struct jws jws;
	struct buf token;

	buf_init(&token, 0);
	assert_int_equal(signer_mint(keys, alg, "JWT", SLICE_LIT("{\"sub\":\"x\"}"), &token), OK);
	assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
	const struct key_set *set = keys_acquire(keys);
	assert_int_equal(jws_verify(&jws, &set->verify), JWS_OK);
	/* An alg is its key's: the same token under the other name is nobody's. */
	jws.alg = jws.alg == JWS_RS256 ? JWS_ES256 : JWS_RS256;
	assert_int_equal(jws_verify(&jws, &set->verify), JWS_BAD_SIGNATURE);
	jws.alg = jws.alg == JWS_RS256 ? JWS_ES256 : JWS_RS256;
	keys_release(keys, set);
	t.alg = jws.alg;
	snprintf(t.kid, sizeof(t.kid), "%.*s", SLICE_FMT(jws.kid));
	buf_fini(&token);
	return t;
}

static size_t
count(const char *alg, enum record_key_state state)
{
	struct key_info all[KEYS_DESCRIBED_MAX];
	struct arena arena;
	size_t n, found = 0;

	arena_init(&arena, 0);
	assert_int_equal(keys_describe(keys, &arena, all, &n), OK);
	for (size_t i = 0; i < n; i++)
		found += slice_eq_str(all[i].alg, alg) && all[i].state == state;
	arena_fini(&arena);
	return found;
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
each_algorithm_in_use_signs_from_the_first_start_and_no_other(void **state)
{
	(void)state;
	assert_int_equal(minted(JWS_ALG_NONE).alg, JWS_RS256);
	assert_int_equal(minted(JWS_RS256).alg, JWS_RS256);
	assert_int_equal(minted(JWS_ES256).alg, JWS_ES256);
	const struct key_set *set = keys_acquire(keys);
	assert_int_equal(set->verify.n, 2);
	assert_int_equal(set->signing_n, 2);
	assert_int_equal(set->algs, RS256 | ES256);
	assert_non_null(memmem(set->jwks_json.p, set->jwks_json.n, "\"alg\":\"ES256\"", 13));
	assert_non_null(memmem(set->jwks_json.p, set->jwks_json.n, "\"alg\":\"RS256\"", 13));
	keys_release(keys, set);
}

static void
a_client_with_an_algorithm_that_nothing_signs_by_gets_the_signers_own(void **state)
{
	(void)state;
	assert_int_equal(minted(JWS_ES256).alg, JWS_RS256);
	assert_int_equal(count("ES256", RECORD_KEY_ACTIVE), 0);
}

static void
a_ring_is_there_before_the_first_client_asks_and_stays_where_it_was_through_a_restart(void **state)
{
	(void)state;
	char own[64], kid[64];

	snprintf(own, sizeof(own), "%s", minted(JWS_ALG_NONE).kid);
	assert_int_equal(keys_prepare(keys, ES256, LIFETIME_S), OK);
	assert_int_equal(minted(JWS_ES256).alg, JWS_ES256);
	snprintf(kid, sizeof(kid), "%s", minted(JWS_ES256).kid);
	assert_string_equal(minted(JWS_ALG_NONE).kid, own);
	assert_int_equal(count("ES256", RECORD_KEY_NEXT), 0);
	configure(JWS_RS256, ES256);
	assert_string_equal(minted(JWS_ES256).kid, kid);
	restart();
	assert_string_equal(minted(JWS_ES256).kid, kid);
	assert_string_equal(minted(JWS_ALG_NONE).kid, own);
}

static void
what_was_prepared_and_not_wanted_after_all_retires(void **state)
{
	(void)state;
	char kid[64];

	assert_int_equal(keys_prepare(keys, ES256, LIFETIME_S), OK);
	snprintf(kid, sizeof(kid), "%s", minted(JWS_ES256).kid);
	configure(JWS_RS256, 0);
	assert_int_equal(minted(JWS_ES256).alg, JWS_RS256);
	assert_true(is_published(kid)); /* until its tokens have expired */
	pass(LIFETIME_S + 59);
	assert_true(is_published(kid));
	pass(1);
	assert_false(is_published(kid));
	const struct key_set *set = keys_acquire(keys);
	assert_int_equal(set->algs, RS256);
	keys_release(keys, set);
}

static void
a_ring_that_goes_takes_its_waiting_key_with_it_and_can_come_back(void **state)
{
	(void)state;
	char first[64];

	snprintf(first, sizeof(first), "%s", minted(JWS_ES256).kid);
	assert_int_equal(keys_rotate(keys, JWS_ES256), OK);
	assert_int_equal(count("ES256", RECORD_KEY_NEXT), 1);
	configure(JWS_RS256, 0);
	assert_int_equal(count("ES256", RECORD_KEY_NEXT), 0);
	assert_int_equal(count("ES256", RECORD_KEY_RETIRED), 1);
	configure(JWS_RS256, ES256);
	assert_int_equal(minted(JWS_ES256).alg, JWS_ES256);
	assert_string_not_equal(minted(JWS_ES256).kid, first); /* a retired one does not sign again */
	assert_true(is_published(first));
}

static void
rings_rotate_each_by_itself_or_all_at_once(void **state)
{
	(void)state;
	char rs[64], es[64];

	snprintf(rs, sizeof(rs), "%s", minted(JWS_RS256).kid);
	snprintf(es, sizeof(es), "%s", minted(JWS_ES256).kid);
	assert_int_equal(keys_rotate(keys, JWS_ES256), OK);
	assert_int_equal(count("ES256", RECORD_KEY_NEXT), 1);
	assert_int_equal(count("RS256", RECORD_KEY_NEXT), 0);
	assert_int_equal(tick(), KEYS_PUBLISH_S);
	pass(100);
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
	assert_int_equal(count("ES256", RECORD_KEY_NEXT), 1); /* the one that waits */
	assert_int_equal(count("RS256", RECORD_KEY_NEXT), 1);
	assert_int_equal(tick(), KEYS_PUBLISH_S - 100);
	pass(KEYS_PUBLISH_S - 100);
	assert_string_not_equal(minted(JWS_ES256).kid, es);
	assert_string_equal(minted(JWS_RS256).kid, rs);
	pass(100);
	assert_string_not_equal(minted(JWS_RS256).kid, rs);
	assert_true(is_published(rs) && is_published(es));
}

static void
what_is_not_in_use_cannot_be_rotated(void **state)
{
	(void)state;
	assert_int_equal(keys_rotate(keys, JWS_ES256), E_EMPTY);
	assert_int_equal(keys_rotate(keys, JWS_PS256), E_EMPTY);
	assert_int_equal(count("RS256", RECORD_KEY_NEXT), 0);
}

static void
both_rings_rotate_by_their_period_and_neither_is_ever_without_a_published_key(void **state)
{
	(void)state;
	int64_t until = store_unit_clock.now_s + 5 * ROTATION_S;
	size_t kids[2] = { 0 };
	char last[2][64] = { "", "" };

	while (store_unit_clock.now_s < until) {
		pass(tick());
		for (int i = 0; i < 2; i++) {
			struct token t = minted(i ? JWS_ES256 : JWS_RS256); /* verifies */
			assert_int_equal(t.alg, i ? JWS_ES256 : JWS_RS256);
			kids[i] += strcmp(last[i], t.kid) != 0;
			snprintf(last[i], sizeof(last[i]), "%.63s", t.kid);
		}
	}
	assert_in_range(kids[0], 5, 6);
	assert_in_range(kids[1], 5, 6);
	assert_int_equal(count("RS256", RECORD_KEY_ACTIVE), 1);
	assert_int_equal(count("ES256", RECORD_KEY_ACTIVE), 1);
}

static void
the_signers_own_algorithm_becomes_a_clients_ring_at_once(void **state)
{
	(void)state;
	char rs[64], es[64];

	snprintf(rs, sizeof(rs), "%s", minted(JWS_RS256).kid);
	snprintf(es, sizeof(es), "%s", minted(JWS_ES256).kid);
	pass(KEYS_PUBLISH_S);
	configure(JWS_ES256, ES256); /* everybody has that key: there is nothing to wait for */
	assert_string_equal(minted(JWS_ALG_NONE).kid, es);
	assert_string_equal(minted(JWS_RS256).kid, es);
	assert_true(is_published(rs));
	assert_int_equal(count("RS256", RECORD_KEY_RETIRED), 1);
}

static void
a_client_has_its_algorithm_at_once_and_the_rest_only_when_every_cache_has_the_key(void **state)
{
	(void)state;
	char rs[64], es[64];

	pass(KEYS_PUBLISH_S); /* what signs is known */
	snprintf(rs, sizeof(rs), "%s", minted(JWS_ALG_NONE).kid);
	configure(JWS_ES256, ES256); /* the signer's own, and a client's, in one reload */
	assert_int_equal(minted(JWS_ES256).alg, JWS_ES256);
	snprintf(es, sizeof(es), "%s", minted(JWS_ES256).kid);
	assert_string_equal(minted(JWS_ALG_NONE).kid, rs);
	assert_int_equal(tick(), KEYS_PUBLISH_S);
	pass(KEYS_PUBLISH_S - 1);
	assert_string_equal(minted(JWS_ALG_NONE).kid, rs);
	pass(1);
	assert_string_equal(minted(JWS_ALG_NONE).kid, es);
	assert_string_equal(minted(JWS_ES256).kid, es);
	assert_int_equal(count("RS256", RECORD_KEY_RETIRED), 1);
}

static void
a_store_of_one_ring_opens_with_two(void **state)
{
	(void)state;
	char rs[64];

	snprintf(rs, sizeof(rs), "%s", minted(JWS_ALG_NONE).kid);
	options.client_algs = ES256;
	restart();
	assert_string_equal(minted(JWS_ALG_NONE).kid, rs);
	assert_int_equal(minted(JWS_ES256).alg, JWS_ES256);
	options.client_algs = 0; /* and back, as an older program would */
	restart();
	assert_string_equal(minted(JWS_ES256).kid, rs);
	assert_int_equal(count("ES256", RECORD_KEY_RETIRED), 1);
}

static void
longer_tokens_that_were_prepared_for_keep_their_key_published(void **state)
{
	(void)state;
	char rs[64];

	snprintf(rs, sizeof(rs), "%s", minted(JWS_RS256).kid);
	assert_int_equal(keys_prepare(keys, 0, 3 * LIFETIME_S), OK);
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
	pass(KEYS_PUBLISH_S);
	assert_string_not_equal(minted(JWS_RS256).kid, rs);
	pass(3 * LIFETIME_S + 59);
	assert_true(is_published(rs));
	pass(1);
	assert_false(is_published(rs));
}

static void
a_ring_that_cannot_be_stored_changes_nothing(void **state)
{
	(void)state;
	struct rlimit old, none;
	char rs[64];

	snprintf(rs, sizeof(rs), "%s", minted(JWS_ALG_NONE).kid);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = (struct rlimit){ 0, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	enum err e = keys_prepare(keys, ES256, LIFETIME_S);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(e, E_SYSTEM);
	assert_string_equal(minted(JWS_ES256).kid, rs);
	assert_int_equal(keys_rotate(keys, JWS_ES256), E_EMPTY);
	tick();
	assert_int_equal(count("ES256", RECORD_KEY_ACTIVE), 0);
}

static enum err
put_retired(struct store_txn *t, void *arg)
{
	struct record_key *r = arg;
	char kid[64];
	enum err e = OK;

	r->state = RECORD_KEY_RETIRED;
	r->retired_at = store_unit_clock.now_s;
	r->expires_at = store_unit_clock.now_s + LIFETIME_S;
	for (int i = 0; i < KEYS_RETIRED_MAX && e == OK; i++) {
		snprintf(kid, sizeof(kid), "%.5s-%036d", r->alg.p, i); /* as long as ours are */
		e = store_put(t, RECORD_KEY, slice_str(kid), r);
	}
	return e;
}

static void
as_many_retired_keys_of_both_rings_as_are_promised_fit_into_a_set(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct token t = minted(i ? JWS_ES256 : JWS_RS256);
		struct record_key r;
		struct arena arena;
		arena_init(&arena, 0);
		assert_int_equal(store_lookup(store, RECORD_KEY, slice_str(t.kid), &arena, &r), OK);
		assert_int_equal(store_write_wait(store, put_retired, &r), OK);
		arena_fini(&arena);
	}
	restart();
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
	assert_int_equal(count("RS256", RECORD_KEY_RETIRED), KEYS_RETIRED_MAX);
	assert_int_equal(count("ES256", RECORD_KEY_RETIRED), KEYS_RETIRED_MAX);
	const struct key_set *set = keys_acquire(keys);
	assert_int_equal(set->verify.n, 2 * (KEYS_RETIRED_MAX + 2));
	struct jwk_set *read = malloc(sizeof(*read));
	assert_non_null(read);
	size_t skipped;
	assert_int_equal(jwk_set_parse(set->jwks_json, read, &skipped), OK); /* as proxyd does */
	assert_int_equal(read->n, set->verify.n);
	assert_int_equal(skipped, 0);
	jwk_set_fini(read);
	free(read);
	keys_release(keys, set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_algorithm_in_use_signs_from_the_first_start_and_no_other, setup_both, teardown),
		cmocka_unit_test_setup_teardown(a_client_with_an_algorithm_that_nothing_signs_by_gets_the_signers_own, setup_one, teardown),
		cmocka_unit_test_setup_teardown(a_ring_is_there_before_the_first_client_asks_and_stays_where_it_was_through_a_restart, setup_one, teardown),
		cmocka_unit_test_setup_teardown(what_was_prepared_and_not_wanted_after_all_retires, setup_one, teardown),
		cmocka_unit_test_setup_teardown(a_ring_that_goes_takes_its_waiting_key_with_it_and_can_come_back, setup_both, teardown),
		cmocka_unit_test_setup_teardown(rings_rotate_each_by_itself_or_all_at_once, setup_both, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_in_use_cannot_be_rotated, setup_one, teardown),
		cmocka_unit_test_setup_teardown(both_rings_rotate_by_their_period_and_neither_is_ever_without_a_published_key, setup_both, teardown),
		cmocka_unit_test_setup_teardown(the_signers_own_algorithm_becomes_a_clients_ring_at_once, setup_both, teardown),
		cmocka_unit_test_setup_teardown(a_client_has_its_algorithm_at_once_and_the_rest_only_when_every_cache_has_the_key, setup_one, teardown),
		cmocka_unit_test_setup_teardown(a_store_of_one_ring_opens_with_two, setup_one, teardown),
		cmocka_unit_test_setup_teardown(longer_tokens_that_were_prepared_for_keep_their_key_published, setup_one, teardown),
		cmocka_unit_test_setup_teardown(a_ring_that_cannot_be_stored_changes_nothing, setup_one, teardown),
		cmocka_unit_test_setup_teardown(as_many_retired_keys_of_both_rings_as_are_promised_fit_into_a_set, setup_both, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
