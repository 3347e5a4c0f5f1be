/* Memory that runs out in the middle: nobody gets in who should not, nobody loses a group, and nothing is left behind. */
#include <openssl/err.h>
#include "authenticator_unit.h"
#include "failing_malloc.h"

#if FAILING_MALLOC
static void
whole_or_nobody(const struct fixture *x, enum authentication v)
{
	if (v == AUTHENTICATED) {
		assert_true(slice_eq_str(x->p->identity.username, "jane"));
		assert_int_equal(x->p->identity.group_n, 2);
		assert_true(slice_has_suffix(x->p->headers, SLICE_LIT("credential-id: JTI=j\r\n")));
		return;
	}
	assert_true(v == AUTHENTICATION_UNAVAILABLE || v == AUTHENTICATION_REFUSED); /* libraries do not always say why they failed */
	assert_null(x->p);
}

/* Every allocation of a token's first sight fails in turn. */
static void
memory_that_runs_out_lets_nobody_in_and_loses_no_group(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ 0 }), *s = token(x, (struct claims){ .aud = OURS }), *first = token(x, (struct claims){ .sub = "first" });
	unsigned failed = 0;
	bool hit = true;

	long live = failing_malloc_live;
	for (long n = 1; hit; n++) {
		authenticator_free(x->a);
		x->a = authenticator_new(&x->config, &x->clock.clock);
		assert_non_null(x->a);
		give_keycache(x);
		assert_int_equal(bearer(x, first), AUTHENTICATED);
		failing_malloc_arm(n, false);
		enum authentication v = bearer(x, t);
		hit = failing_malloc_disarm();
		assert_true(hit || v == AUTHENTICATED);
		whole_or_nobody(x, v);
		failed += v != AUTHENTICATED;
		assert_int_equal(ERR_peek_error(), 0);
		failing_malloc_arm(n, false);
		v = session(x, "c", s, 60);
		hit |= failing_malloc_disarm();
		whole_or_nobody(x, v);
		failed += v != AUTHENTICATED;
		assert_int_equal(ERR_peek_error(), 0); /* or the next SSL_read of an innocent connection would fail */
	}
	assert_true(failed > 100);
	principal_unref(x->p);
	x->p = NULL;
	authenticator_free(x->a);
	x->a = authenticator_new(&x->config, &x->clock.clock);
	assert_true(failing_malloc_live - live < 20); /* OpenSSL keeps a text for each of its 16 error slots; nothing per failure */
}

static void
authenticator_that_cannot_be_made_leaves_nothing(void **state)
{
	struct fixture *x = *state;
	bool hit = true;
	unsigned failed = 0;

	for (long n = 1; hit; n++) {
		long live = failing_malloc_live;
		failing_malloc_arm(n, false);
		struct authenticator *a = authenticator_new(&x->config, &x->clock.clock);
		hit = failing_malloc_disarm();
		failed += !a;
		authenticator_free(a);
		assert_true(failing_malloc_live - live < 3); /* the text of an error */
	}
	assert_true(failed > 4);
}

/* Keys that could not be taken for want of memory are taken with the next request, without a new publication. */
static void
keys_come_in_once_there_is_memory(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ 0 });
	bool hit = true;

	log_set_fd(open("/dev/null", O_WRONLY));
	for (long n = 1; hit; n++) {
		authenticator_free(x->a);
		x->a = authenticator_new(&x->config, &x->clock.clock);
		assert_non_null(x->a);
		give_keycache(x);
		failing_malloc_arm(n, false);
		assert_int_equal(ask_as(x, "GET", ""), AUTHENTICATION_NONE);
		hit = failing_malloc_disarm();
		assert_int_equal(bearer(x, t), AUTHENTICATED);
	}
	log_set_fd(2);
}

/* The other credentials: no answer but these, and never a principal. */
static void
memory_that_runs_out_lets_no_cookie_and_no_subprotocol_in(void **state)
{
	struct fixture *x = *state;
	static char encoded[5000], lines[10000];
	const char *t = token(x, (struct claims){ 0 });
	bool hit = true;

	base64url_encode(t, strlen(t), encoded);
	snprintf(lines, sizeof(lines), PROTOCOLS "%s\r\n", encoded);
	log_set_fd(open("/dev/null", O_WRONLY));
	for (long n = 1; hit; n++) {
		failing_malloc_arm(n, false);
		enum authentication v = ask_as(x, "GET", lines);
		hit = failing_malloc_disarm();
		whole_or_nobody(x, v);
		failing_malloc_arm(n, false);
		v = ask_as(x, "GET", "Cookie: s=c\r\n");
		hit |= failing_malloc_disarm();
		assert_null(x->p);
		assert_true(v == AUTHENTICATION_ASK_SESSION || v == AUTHENTICATION_UNAVAILABLE);
	}
	log_set_fd(2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_KEYS(memory_that_runs_out_lets_nobody_in_and_loses_no_group),
		WITH_KEYS(keys_come_in_once_there_is_memory),
		WITH_KEYS(memory_that_runs_out_lets_no_cookie_and_no_subprotocol_in),
		WITH_KEYS(authenticator_that_cannot_be_made_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, forget_keys);
}
#else
int
main(void)
{
	return 0; /* a sanitizer brings its own malloc */
}
#endif
