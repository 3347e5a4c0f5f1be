#include "tests/unit/failing_malloc.h"
#include "tests/unit/store_unit.h"
#include "authd/own_token.h"
#include "authd/signer.h"
#include "oidc/authorization_request.h"

#define ISSUER "https://gw.example/oidc"

static struct authd app;
static struct authd_config config;
static struct generation generation;
static struct request request;
static struct buf token;

static void
keys_start(enum jws_alg alg)
{
	struct keys_options o = { alg, 0, 86400, 3600, &store_unit_clock.clock };
	char why[256];

	assert_int_equal(keys_open(app.store, &o, &app.keys, why, sizeof(why)), OK);
}

static int
setup(void **state)
{
	(void)state;
	store_unit_begin();
	app = (struct authd){ .clock = &store_unit_clock.clock, .store = store_unit_open() };
	keys_start(JWS_ES256);
	config = (struct authd_config){ .issuer = ISSUER };
	generation = (struct generation){ .config = &config };
	request = (struct request){ .app = &app, .generation = &generation };
	arena_init(&request.arena, REQUEST_ARENA_BYTES_MAX);
	buf_init(&token, 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_fini(&token);
	arena_fini(&request.arena);
	keys_close(app.keys);
	store_close(app.store);
	store_unit_end();
	return 0;
}

#define ACCESS "{\"iss\":\"" ISSUER "\",\"sub\":\"Cg\",\"aud\":\"" ISSUER "\",\"client_id\":\"cli\",\"scope\":\"openid email\",\"exp\":1700000300," \
	"\"iat\":1700000000,\"jti\":\"j\",\"sid\":\"s\",\"grant\":\"refresh:s.x\"}"
#define ID "{\"iss\":\"" ISSUER "\",\"sub\":\"Cg\",\"aud\":[\"api\",\"cli\"],\"azp\":\"cli\",\"exp\":1700000300,\"iat\":1700000000,\"auth_time\":1699999999," \
	"\"groups\":[\"g\"],\"name\":\"Jane\"}"

static void
sign(const char *typ, const char *claims)
{
	buf_reset(&token);
	assert_int_equal(signer_mint(app.keys, JWS_ALG_NONE, typ, slice_str(claims), &token), OK);
}

static enum err
opened(const char *typ, bool allow_expired, struct own_token *out)
{
	return own_token_open(&request, buf_slice(&token), typ, allow_expired, out);
}

/* Whether the next look at the token finds it remembered: a copy in the arena is all that it then needs. */
static bool
remembered(void)
{
	const struct key_set *set = keys_acquire(app.keys);
	unsigned char digest[32];

	assert_int_equal(store_hash(buf_slice(&token), digest).n, 32);
	bool found = token_memory_get(set->verified, digest, &request.arena).p;
	keys_release(app.keys, set);
	return found;
}

static void
an_access_token_reads_the_same_each_time(void **state)
{
	(void)state;
	struct own_token t;

	sign("at+jwt", ACCESS);
	assert_false(remembered());
	for (int i = 0; i < 3; i++) {
		memset(&t, 0xff, sizeof t);
		assert_int_equal(opened("at+jwt", false, &t), OK);
		assert_true(remembered());
		assert_true(slice_eq_str(t.sub, "Cg") && slice_eq_str(t.scope, "openid email") && slice_eq_str(t.grant, "refresh:s.x"));
		assert_true(slice_eq_str(t.client_id, "cli") && slice_eq_str(t.sid, "s") && slice_eq_str(t.jti, "j") && slice_eq_str(t.aud, ISSUER));
		assert_int_equal(t.azp.n, 0);
		assert_int_equal(t.audiences.n, 1);
		assert_true(slice_eq_str(t.audiences.items[0], ISSUER));
		assert_int_equal(t.shown, SCOPE_OPENID);
		assert_int_equal(t.issued_at, 1700000000);
		assert_int_equal(t.expires_at, 1700000300);
		assert_int_equal(t.auth_time, 0);
	}
}

static void
an_id_token_reads_the_same_each_time(void **state)
{
	(void)state;
	struct own_token t;

	sign("JWT", ID);
	for (int i = 0; i < 3; i++) {
		memset(&t, 0xff, sizeof t);
		assert_int_equal(opened("JWT", false, &t), OK);
		assert_true(remembered());
		assert_int_equal(t.audiences.n, 2);
		assert_true(slice_eq_str(t.audiences.items[0], "api") && slice_eq_str(t.audiences.items[1], "cli"));
		assert_true(slice_eq_str(t.azp, "cli"));
		assert_int_equal(t.aud.n, 0);
		assert_int_equal(t.shown, SCOPE_OPENID | SCOPE_GROUPS | SCOPE_PROFILE);
		assert_int_equal(t.auth_time, 1699999999);
	}
}

static void
a_remembered_token_expires_and_is_expired_where_that_is_allowed(void **state)
{
	(void)state;
	struct own_token t;

	sign("at+jwt", ACCESS);
	assert_int_equal(opened("at+jwt", false, &t), OK);
	clock_fixed_advance(&store_unit_clock, 299);
	assert_int_equal(opened("at+jwt", false, &t), OK);
	clock_fixed_advance(&store_unit_clock, 1); /* RFC 7519 section 4.1.4: on or after */
	assert_true(remembered());
	assert_int_equal(opened("at+jwt", false, &t), E_DENIED);
	assert_int_equal(opened("at+jwt", true, &t), OK);
	assert_int_equal(opened("at+jwt", false, &t), E_DENIED);
	/* The same when it had expired before it was seen first. */
	sign("at+jwt", "{\"iss\":\"" ISSUER "\",\"exp\":1700000001,\"iat\":1700000000}");
	assert_int_equal(opened("at+jwt", false, &t), E_DENIED);
	assert_false(remembered());
	assert_int_equal(opened("at+jwt", true, &t), OK);
	assert_true(remembered());
	assert_int_equal(opened("at+jwt", false, &t), E_DENIED);
}

/* The system's clock may be set back. */
static void
a_remembered_token_from_the_future_is_none(void **state)
{
	(void)state;
	struct own_token t;

	sign("at+jwt", ACCESS);
	assert_int_equal(opened("at+jwt", false, &t), OK);
	clock_fixed_advance(&store_unit_clock, -1);
	assert_true(remembered());
	assert_int_equal(opened("at+jwt", false, &t), E_DENIED);
	assert_int_equal(opened("at+jwt", true, &t), E_DENIED);
}

static void
a_remembered_token_is_of_one_kind_and_one_issuer(void **state)
{
	(void)state;
	struct own_token t;

	sign("at+jwt", ACCESS);
	assert_int_equal(opened("at+jwt", false, &t), OK);
	assert_int_equal(opened("JWT", false, &t), E_DENIED);
	assert_int_equal(opened("at+jwt", false, &t), OK);
	config.issuer = ISSUER "/other"; /* by a reload */
	assert_int_equal(opened("at+jwt", false, &t), E_DENIED);
	config.issuer = ISSUER;
	assert_int_equal(opened("at+jwt", false, &t), OK);
}

/* Whatever is changed about a token that is remembered makes it another one. */
static void
no_byte_of_a_remembered_token_may_differ(void **state)
{
	(void)state;
	struct own_token t;

	sign("at+jwt", ACCESS);
	assert_int_equal(opened("at+jwt", false, &t), OK);
	for (size_t i = 0; i < token.n; i++) {
		token.p[i] ^= 1;
		assert_int_equal(opened("at+jwt", false, &t), E_DENIED);
		assert_false(remembered());
		token.p[i] ^= 1;
	}
	assert_int_equal(own_token_open(&request, slice_of(token.p, token.n - 1), "at+jwt", false, &t), E_DENIED);
	assert_int_equal(opened("at+jwt", false, &t), OK);
}

static void
what_is_remembered_goes_with_the_keys(void **state)
{
	(void)state;
	struct own_token t;
	int64_t next_s;

	sign("at+jwt", ACCESS);
	assert_int_equal(opened("at+jwt", false, &t), OK);
	assert_int_equal(keys_rotate(app.keys, JWS_ALG_NONE), OK);
	assert_false(remembered());
	assert_int_equal(opened("at+jwt", false, &t), OK); /* its key is still published */
	clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
	assert_int_equal(keys_tick(app.keys, &next_s), OK);
	clock_fixed_advance(&store_unit_clock, 2 * 3600);
	assert_int_equal(keys_tick(app.keys, &next_s), OK);
	assert_false(remembered());
	assert_int_equal(opened("at+jwt", true, &t), E_DENIED);
}

static void
a_long_token_is_read_from_the_start_each_time(void **state)
{
	(void)state;
	static char claims[4096];
	struct own_token t;

	snprintf(claims, sizeof claims, "{\"iss\":\"" ISSUER "\",\"exp\":1700000300,\"scope\":\"%01200d\"}", 0);
	sign("at+jwt", claims);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(opened("at+jwt", false, &t), OK);
		assert_int_equal(t.scope.n, 1200);
		assert_false(remembered());
	}
}

/* Every bound of the arena, from nothing to enough: no token until it suffices, remembered or not. */
static void
an_exhausted_arena_is_no_memory_and_never_half_a_token(void **state)
{
	(void)state;
	struct own_token t;
	struct arena whole = request.arena;
	enum err e = E_NOMEM;

	sign("at+jwt", ACCESS);
	for (int known = 0; known < 2; known++) {
		bool failed = false;
		for (size_t bytes = 1; bytes < 20000; bytes += 16) {
			arena_init(&request.arena, bytes);
			memset(&t, 0, sizeof t);
			e = opened("at+jwt", false, &t);
			assert_true(e == E_NOMEM || (e == OK && slice_eq_str(t.jti, "j") && t.audiences.items));
			failed |= e != OK;
			arena_fini(&request.arena);
		}
		assert_true(failed);
		assert_int_equal(e, OK);
	}
	request.arena = whole;
}

static bool
is_access(const struct own_token *t)
{
	return slice_eq_str(t->sub, "Cg") && slice_eq_str(t->jti, "j") && t->audiences.n == 1 && slice_eq_str(t->audiences.items[0], ISSUER) &&
		t->expires_at == 1700000300;
}

/* First while nothing is known of the token, then while it is remembered. */
static void
every_allocation_may_fail_under_a_token_that_is_read(void **state)
{
	(void)state;
	struct own_token t;
	bool any = true;

	for (long n = 1; any; n++) {
		any = false;
		sign("at+jwt", ACCESS);
		for (int known = 0; known < 2; known++) {
			arena_fini(&request.arena);
			failing_malloc_arm(n, n % 2);
			enum err e = opened("at+jwt", false, &t);
			bool hit = failing_malloc_disarm();
			any |= hit;
			assert_true(e != OK || is_access(&t));
			assert_true(hit || e == OK);
			assert_int_equal(opened("at+jwt", false, &t), OK);
			assert_true(is_access(&t));
		}
		assert_true(n < 10000);
	}
}

/* What a thread keeps is made anew each time, as after a rotation. */
static void
every_allocation_may_fail_under_a_token_that_is_signed(void **state)
{
	(void)state;
	struct own_token t;
	bool hit = true;
	int64_t next_s;

	for (long n = 1; hit; n++) {
		assert_int_equal(keys_rotate(app.keys, JWS_ALG_NONE), OK);
		clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
		assert_int_equal(keys_tick(app.keys, &next_s), OK);
		buf_reset(&token);
		buf_add_str(&token, "before");
		failing_malloc_arm(n, n % 2);
		enum err e = signer_mint(app.keys, JWS_ALG_NONE, "at+jwt", SLICE_LIT(ACCESS), &token);
		hit = failing_malloc_disarm();
		assert_true(hit || e == OK);
		if (e != OK) {
			assert_string_equal(token.p, "before");
			assert_int_equal(token.n, 6);
			assert_int_equal(signer_mint(app.keys, JWS_ALG_NONE, "at+jwt", SLICE_LIT(ACCESS), &token), OK);
		}
		buf_consume(&token, 6);
		assert_int_equal(opened("at+jwt", true, &t), OK);
		assert_true(is_access(&t));
		assert_true(n < 10000);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_access_token_reads_the_same_each_time, setup, teardown),
		cmocka_unit_test_setup_teardown(an_id_token_reads_the_same_each_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_remembered_token_expires_and_is_expired_where_that_is_allowed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_remembered_token_from_the_future_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(a_remembered_token_is_of_one_kind_and_one_issuer, setup, teardown),
		cmocka_unit_test_setup_teardown(no_byte_of_a_remembered_token_may_differ, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_remembered_goes_with_the_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_token_is_read_from_the_start_each_time, setup, teardown),
		cmocka_unit_test_setup_teardown(every_allocation_may_fail_under_a_token_that_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(every_allocation_may_fail_under_a_token_that_is_signed, setup, teardown),
		cmocka_unit_test_setup_teardown(an_exhausted_arena_is_no_memory_and_never_half_a_token, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
