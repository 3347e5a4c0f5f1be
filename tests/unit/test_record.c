#include "tests/unit/unit.h"
#include "authd/record.h"

static struct arena arena;
static struct buf bytes;

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	buf_init(&bytes, 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	buf_fini(&bytes);
	return 0;
}

static struct slice groups[] = { { "acme:ops", 8 }, { "", 0 }, { "a\0b", 3 } };

static void
fill_user(struct record_user *u)
{
	*u = (struct record_user){ .connector_id = SLICE_LIT("github"), .user_id = SLICE_LIT("583231"), .username = SLICE_LIT("Octo Cat"),
		.preferred_username = SLICE_LIT("octocat"), .email = SLICE_LIT("octo@example.com"), .email_verified = true,
		.groups = { groups, 3 }, .connector_data = SLICE_LIT("{\"token\":\"x\"}") };
}

static void
assert_slice(struct slice got, struct slice want)
{
	assert_int_equal(got.n, want.n);
	if (want.n)
		assert_memory_equal(got.p, want.p, want.n);
}

static void
assert_user(const struct record_user *got, const struct record_user *want)
{
	assert_slice(got->connector_id, want->connector_id);
	assert_slice(got->user_id, want->user_id);
	assert_slice(got->username, want->username);
	assert_slice(got->preferred_username, want->preferred_username);
	assert_slice(got->email, want->email);
	assert_int_equal(got->email_verified, want->email_verified);
	assert_int_equal(got->groups.n, want->groups.n);
	for (size_t i = 0; i < want->groups.n; i++)
		assert_slice(got->groups.items[i], want->groups.items[i]);
	assert_slice(got->connector_data, want->connector_data);
}

static void
an_auth_request_comes_back_as_it_was(void **state)
{
	(void)state;
	static struct slice audiences[] = { { "kubectl", 7 } };
	struct record_auth_request in = { .client_id = SLICE_LIT("console"), .redirect_uri = SLICE_LIT("https://a/cb"),
		.state = SLICE_LIT("s"), .nonce = SLICE_LIT("n"), .scope = SLICE_LIT("openid email"), .response_mode = SLICE_LIT("query"),
		.code_challenge = SLICE_LIT("c"), .audiences = { audiences, 1 }, .response_type = 1, .pkce_method = 1, .prompt = 6,
		.max_age_s = -1, .login_hint = SLICE_LIT("me"), .return_to = SLICE_LIT("/console/"), .browser_hash = SLICE_LIT("\0\1\2"),
		.connector_id = SLICE_LIT("local"), .upstream_verifier = SLICE_LIT("v"), .device_key = SLICE_LIT("\0d"), .user_code = SLICE_LIT("BCDFGHJK"),
		.upstream_pending = true, .logged_in = true, .auth_time = INT64_MAX, .sid = SLICE_LIT("sid"), .created_at = INT64_MIN,
		.expires_at = 1700000000, .remember = true };
	struct record_auth_request out;

	fill_user(&in.user);
	record_encode(RECORD_AUTH_REQUEST, &in, &bytes);
	assert_true(buf_ok(&bytes));
	memset(&out, 0xaa, sizeof(out));
	assert_int_equal(record_decode(RECORD_AUTH_REQUEST, buf_slice(&bytes), &arena, &out), OK);
	assert_slice(out.client_id, in.client_id);
	assert_slice(out.redirect_uri, in.redirect_uri);
	assert_slice(out.state, in.state);
	assert_slice(out.nonce, in.nonce);
	assert_slice(out.scope, in.scope);
	assert_slice(out.response_mode, in.response_mode);
	assert_slice(out.code_challenge, in.code_challenge);
	assert_int_equal(out.audiences.n, 1);
	assert_slice(out.audiences.items[0], audiences[0]);
	assert_int_equal(out.response_type, 1);
	assert_int_equal(out.pkce_method, 1);
	assert_int_equal(out.prompt, 6);
	assert_int_equal(out.max_age_s, -1);
	assert_slice(out.login_hint, in.login_hint);
	assert_slice(out.return_to, in.return_to);
	assert_slice(out.browser_hash, in.browser_hash);
	assert_slice(out.connector_id, in.connector_id);
	assert_slice(out.upstream_verifier, in.upstream_verifier);
	assert_slice(out.device_key, in.device_key);
	assert_slice(out.user_code, in.user_code);
	assert_true(out.upstream_pending);
	assert_true(out.logged_in);
	assert_user(&out.user, &in.user);
	assert_true(out.auth_time == INT64_MAX);
	assert_slice(out.sid, in.sid);
	assert_true(out.created_at == INT64_MIN);
	assert_int_equal(out.expires_at, 1700000000);
	assert_true(out.remember);
}

static void
a_device_and_its_user_code_come_back_as_they_were(void **state)
{
	(void)state;
	struct record_device in = { .client_id = SLICE_LIT("1"), .scope = SLICE_LIT("2"), .user_code = SLICE_LIT("3"), .code_challenge = SLICE_LIT("4"),
		.audiences = { groups, 3 }, .pkce_method = 5, .denied = true, .interval_s = 6, .polled_at = 7, .created_at = 8, .valid_until = 9, .expires_at = 10 };
	struct record_user_code name_in = { .device_key = SLICE_LIT("\0k"), .expires_at = 11 }, name_out;
	struct record_device out;

	record_encode(RECORD_DEVICE, &in, &bytes);
	assert_int_equal(record_decode(RECORD_DEVICE, buf_slice(&bytes), &arena, &out), OK);
	assert_slice(out.client_id, in.client_id);
	assert_slice(out.scope, in.scope);
	assert_slice(out.user_code, in.user_code);
	assert_slice(out.code_challenge, in.code_challenge);
	assert_int_equal(out.audiences.n, 3);
	assert_slice(out.audiences.items[2], groups[2]);
	assert_int_equal(out.pkce_method, 5);
	assert_true(out.denied);
	assert_int_equal(out.interval_s, 6);
	assert_int_equal(out.polled_at, 7);
	assert_int_equal(out.created_at, 8);
	assert_int_equal(out.valid_until, 9);
	assert_int_equal(out.expires_at, 10);

	bytes.n = 0;
	record_encode(RECORD_USER_CODE, &name_in, &bytes);
	assert_int_equal(record_decode(RECORD_USER_CODE, buf_slice(&bytes), &arena, &name_out), OK);
	assert_slice(name_out.device_key, name_in.device_key);
	assert_int_equal(name_out.expires_at, 11);
}

static void
a_code_comes_back_as_it_was(void **state)
{
	(void)state;
	struct record_code in = { .client_id = SLICE_LIT("1"), .redirect_uri = SLICE_LIT("2"), .nonce = SLICE_LIT("3"),
		.scope = SLICE_LIT("4"), .code_challenge = SLICE_LIT("5"), .audiences = { groups, 3 }, .pkce_method = 6, .auth_time = 7,
		.sid = SLICE_LIT("8"), .redeemed_at = 9, .refresh_id = SLICE_LIT("10"), .grant_id = SLICE_LIT("11"), .expires_at = 12 };
	struct record_code out;

	fill_user(&in.user);
	record_encode(RECORD_CODE, &in, &bytes);
	assert_int_equal(record_decode(RECORD_CODE, buf_slice(&bytes), &arena, &out), OK);
	assert_slice(out.client_id, in.client_id);
	assert_slice(out.redirect_uri, in.redirect_uri);
	assert_slice(out.nonce, in.nonce);
	assert_slice(out.scope, in.scope);
	assert_slice(out.code_challenge, in.code_challenge);
	assert_int_equal(out.audiences.n, 3);
	assert_int_equal(out.pkce_method, 6);
	assert_int_equal(out.auth_time, 7);
	assert_slice(out.sid, in.sid);
	assert_int_equal(out.redeemed_at, 9);
	assert_slice(out.refresh_id, in.refresh_id);
	assert_slice(out.grant_id, in.grant_id);
	assert_int_equal(out.expires_at, 12);
	assert_user(&out.user, &in.user);
}

static void
a_session_comes_back_as_it_was(void **state)
{
	(void)state;
	struct record_session in = { .sid = SLICE_LIT("1"), .auth_time = 2, .created_at = 3, .last_seen_at = 4, .expires_at = 5,
		.jwt = SLICE_LIT("6"), .jwt_expires_at = 7, .user_agent = SLICE_LIT("8"), .address = SLICE_LIT("9"), .remember = true };
	struct record_session out;

	fill_user(&in.user);
	record_encode(RECORD_SESSION, &in, &bytes);
	assert_int_equal(record_decode(RECORD_SESSION, buf_slice(&bytes), &arena, &out), OK);
	assert_slice(out.sid, in.sid);
	assert_user(&out.user, &in.user);
	assert_int_equal(out.auth_time, 2);
	assert_int_equal(out.created_at, 3);
	assert_int_equal(out.last_seen_at, 4);
	assert_int_equal(out.expires_at, 5);
	assert_slice(out.jwt, in.jwt);
	assert_int_equal(out.jwt_expires_at, 7);
	assert_slice(out.user_agent, in.user_agent);
	assert_slice(out.address, in.address);
	assert_true(out.remember);
}

static void
a_refresh_family_comes_back_as_it_was(void **state)
{
	(void)state;
	struct record_refresh in = { .client_id = SLICE_LIT("1"), .scope = SLICE_LIT("2"), .nonce = SLICE_LIT("3"),
		.audiences = { groups, 2 }, .auth_time = 4, .sid = SLICE_LIT("5"), .current_hash = SLICE_LIT("6"),
		.previous_hash = SLICE_LIT("7"), .chain_secret = SLICE_LIT("8"), .created_at = 9, .rotated_at = 10, .last_used_at = 11,
		.expires_at = 12, .ended = true, .read_at = 13 };
	struct record_refresh out;

	fill_user(&in.user);
	record_encode(RECORD_REFRESH, &in, &bytes);
	assert_int_equal(record_decode(RECORD_REFRESH, buf_slice(&bytes), &arena, &out), OK);
	assert_slice(out.client_id, in.client_id);
	assert_slice(out.scope, in.scope);
	assert_slice(out.nonce, in.nonce);
	assert_int_equal(out.audiences.n, 2);
	assert_user(&out.user, &in.user);
	assert_int_equal(out.auth_time, 4);
	assert_slice(out.sid, in.sid);
	assert_slice(out.current_hash, in.current_hash);
	assert_slice(out.previous_hash, in.previous_hash);
	assert_slice(out.chain_secret, in.chain_secret);
	assert_int_equal(out.created_at, 9);
	assert_int_equal(out.rotated_at, 10);
	assert_int_equal(out.last_used_at, 11);
	assert_int_equal(out.expires_at, 12);
	assert_true(out.ended);
	assert_int_equal(out.read_at, 13);
}

static void
a_key_and_an_approval_come_back_as_they_were(void **state)
{
	(void)state;
	struct record_key key = { .alg = SLICE_LIT("ES256"), .private_pem = SLICE_LIT("-----"), .state = RECORD_KEY_RETIRED,
		.created_at = 1, .active_at = 2, .retired_at = 3, .expires_at = 4, .token_lifetime_s = 7 }, key_out;
	struct record_approval approval = { .scope = SLICE_LIT("openid"), .approved_at = 5, .expires_at = 6, .withdrawn_at = 7 }, approval_out;

	record_encode(RECORD_KEY, &key, &bytes);
	assert_int_equal(record_decode(RECORD_KEY, buf_slice(&bytes), &arena, &key_out), OK);
	assert_slice(key_out.alg, key.alg);
	assert_slice(key_out.private_pem, key.private_pem);
	assert_int_equal(key_out.state, RECORD_KEY_RETIRED);
	assert_int_equal(key_out.created_at, 1);
	assert_int_equal(key_out.active_at, 2);
	assert_int_equal(key_out.retired_at, 3);
	assert_int_equal(key_out.expires_at, 4);
	assert_int_equal(key_out.token_lifetime_s, 7);
	buf_reset(&bytes);
	record_encode(RECORD_APPROVAL, &approval, &bytes);
	assert_int_equal(record_decode(RECORD_APPROVAL, buf_slice(&bytes), &arena, &approval_out), OK);
	assert_slice(approval_out.scope, approval.scope);
	assert_int_equal(approval_out.approved_at, 5);
	assert_int_equal(approval_out.expires_at, 6);
	assert_int_equal(approval_out.withdrawn_at, 7);
}

static void
what_is_noted_of_a_persons_sessions_comes_back_as_it_was(void **state)
{
	(void)state;
	struct record_person_session session = { .session_key = SLICE_LIT("\0\1"), .expires_at = 2 }, session_out;
	struct record_session_client client = { .connector_id = SLICE_LIT("github"), .user_id = SLICE_LIT("1"), .since = 2, .expires_at = 3 }, client_out;
	struct record_logout_notice notice = { .client_id = SLICE_LIT("1"), .sid = SLICE_LIT("2"), .connector_id = SLICE_LIT("3"), .user_id = SLICE_LIT("4"),
		.created_at = 5, .due_at = 6, .attempts = 7, .expires_at = 8 }, notice_out;

	record_encode(RECORD_PERSON_SESSION, &session, &bytes);
	assert_int_equal(record_decode(RECORD_PERSON_SESSION, buf_slice(&bytes), &arena, &session_out), OK);
	assert_slice(session_out.session_key, session.session_key);
	assert_int_equal(session_out.expires_at, 2);
	buf_reset(&bytes);
	record_encode(RECORD_SESSION_CLIENT, &client, &bytes);
	assert_int_equal(record_decode(RECORD_SESSION_CLIENT, buf_slice(&bytes), &arena, &client_out), OK);
	assert_slice(client_out.connector_id, client.connector_id);
	assert_slice(client_out.user_id, client.user_id);
	assert_int_equal(client_out.since, 2);
	assert_int_equal(client_out.expires_at, 3);
	buf_reset(&bytes);
	record_encode(RECORD_LOGOUT_NOTICE, &notice, &bytes);
	assert_int_equal(record_decode(RECORD_LOGOUT_NOTICE, buf_slice(&bytes), &arena, &notice_out), OK);
	assert_slice(notice_out.client_id, notice.client_id);
	assert_slice(notice_out.sid, notice.sid);
	assert_slice(notice_out.connector_id, notice.connector_id);
	assert_slice(notice_out.user_id, notice.user_id);
	assert_int_equal(notice_out.created_at, 5);
	assert_int_equal(notice_out.due_at, 6);
	assert_int_equal(notice_out.attempts, 7);
	assert_int_equal(notice_out.expires_at, 8);
}

static void
a_client_and_an_account_come_back_as_they_were(void **state)
{
	(void)state;
	struct record_client client = { .secret_hash = SLICE_LIT("h"), .name = SLICE_LIT("n"), .logo_url = SLICE_LIT("l"), .backchannel_logout_uri = SLICE_LIT("b"),
		.redirect_uris = { groups, 3 }, .trusted_peers = { groups, 2 }, .allowed_connectors = { groups, 1 }, .post_logout_redirect_uris = { groups, 3 },
		.public = true, .created_at = 1, .expires_at = 2, .grant_types = { groups, 1 }, .groups = { groups, 2 }, .claims = { groups, 3 },
		.signing_alg = SLICE_LIT("ES256"), .plain_subject = true, .id_tokens_s = 3, .refresh_absolute_s = 4, .refresh_idle_s = 5, .changed_at = 6,
		.revision = 7 }, client_out;
	struct record_account account = { .hash = SLICE_LIT("h"), .email = SLICE_LIT("e"), .username = SLICE_LIT("u"), .name = SLICE_LIT("n"),
		.preferred_username = SLICE_LIT("p"), .groups = { groups, 3 }, .email_verified = true, .created_at = 1, .changed_at = 2, .expires_at = 3 },
		account_out;
	struct record_account_name name = { .user_id = SLICE_LIT("id"), .expires_at = 9 }, name_out;

	record_encode(RECORD_CLIENT, &client, &bytes);
	assert_int_equal(record_decode(RECORD_CLIENT, buf_slice(&bytes), &arena, &client_out), OK);
	assert_slice(client_out.secret_hash, client.secret_hash);
	assert_slice(client_out.name, client.name);
	assert_slice(client_out.logo_url, client.logo_url);
	assert_slice(client_out.backchannel_logout_uri, client.backchannel_logout_uri);
	assert_int_equal(client_out.redirect_uris.n, 3);
	assert_int_equal(client_out.trusted_peers.n, 2);
	assert_int_equal(client_out.allowed_connectors.n, 1);
	assert_int_equal(client_out.post_logout_redirect_uris.n, 3);
	assert_slice(client_out.post_logout_redirect_uris.items[2], groups[2]);
	assert_true(client_out.public);
	assert_int_equal(client_out.created_at, 1);
	assert_int_equal(client_out.expires_at, 2);
	assert_int_equal(client_out.grant_types.n, 1);
	assert_int_equal(client_out.groups.n, 2);
	assert_slice(client_out.groups.items[1], groups[1]);
	assert_int_equal(client_out.claims.n, 3);
	assert_slice(client_out.claims.items[2], groups[2]);
	assert_slice(client_out.signing_alg, client.signing_alg);
	assert_true(client_out.plain_subject);
	assert_int_equal(client_out.id_tokens_s, 3);
	assert_int_equal(client_out.refresh_absolute_s, 4);
	assert_int_equal(client_out.refresh_idle_s, 5);
	assert_int_equal(client_out.changed_at, 6);
	assert_int_equal(client_out.revision, 7);
	buf_reset(&bytes);
	record_encode(RECORD_ACCOUNT, &account, &bytes);
	assert_int_equal(record_decode(RECORD_ACCOUNT, buf_slice(&bytes), &arena, &account_out), OK);
	assert_slice(account_out.hash, account.hash);
	assert_slice(account_out.email, account.email);
	assert_slice(account_out.username, account.username);
	assert_slice(account_out.name, account.name);
	assert_slice(account_out.preferred_username, account.preferred_username);
	assert_int_equal(account_out.groups.n, 3);
	assert_true(account_out.email_verified);
	assert_int_equal(account_out.created_at, 1);
	assert_int_equal(account_out.changed_at, 2);
	assert_int_equal(account_out.expires_at, 3);
	buf_reset(&bytes);
	record_encode(RECORD_ACCOUNT_NAME, &name, &bytes);
	assert_int_equal(record_decode(RECORD_ACCOUNT_NAME, buf_slice(&bytes), &arena, &name_out), OK);
	assert_slice(name_out.user_id, name.user_id);
	assert_int_equal(name_out.expires_at, 9);
}

/* The very bytes of a client that was stored before clients had settings of their own. */
static void
a_client_of_an_earlier_version_is_one_without_settings(void **state)
{
	(void)state;
	static const char earlier[] = "\x02\x03" "Web" "\x05\x08" "https://" "\x05\x04" "urn:" "\x09\x01\x01" "\x0a\x08\0\0\0\0\0\0\0\x09";
	struct record_client client;

	assert_int_equal(record_decode(RECORD_CLIENT, slice_of(earlier, sizeof(earlier) - 1), &arena, &client), OK);
	assert_slice(client.name, SLICE_LIT("Web"));
	assert_int_equal(client.redirect_uris.n, 2);
	assert_true(client.public);
	assert_int_equal(client.created_at, 9);
	assert_int_equal(client.grant_types.n + client.groups.n + client.claims.n + client.signing_alg.n, 0);
	assert_int_equal(client.id_tokens_s | client.refresh_absolute_s | client.refresh_idle_s | client.revision, 0);
	record_encode(RECORD_CLIENT, &client, &bytes);
	assert_slice(buf_slice(&bytes), slice_of(earlier, sizeof(earlier) - 1));
}

static void
an_empty_record_is_no_bytes_and_no_bytes_are_an_empty_record(void **state)
{
	(void)state;
	for (enum record_kind kind = 0; kind < RECORD_KINDS; kind++) {
		char record[1024] = { 0 }, zero[1024] = { 0 };
		assert_true(record_size(kind) <= sizeof(record));
		buf_reset(&bytes);
		record_encode(kind, record, &bytes);
		assert_int_equal(bytes.n, 0);
		memset(record, 0xff, sizeof(record));
		assert_int_equal(record_decode(kind, buf_slice(&bytes), &arena, record), OK);
		assert_memory_equal(record, zero, record_size(kind));
	}
}

static void
the_encoding_on_disk_does_not_change(void **state)
{
	(void)state;
	static const char want[] = "\x01\x02is" /* alg */ "\x03\x08\0\0\0\0\0\0\0\x02" /* state */ "\x04\x08\xff\xff\xff\xff\xff\xff\xff\xfe";
	struct record_key key = { .alg = SLICE_LIT("is"), .state = RECORD_KEY_RETIRED, .created_at = -2 };

	record_encode(RECORD_KEY, &key, &bytes);
	assert_int_equal(bytes.n, sizeof(want) - 1);
	assert_memory_equal(bytes.p, want, sizeof(want) - 1);
}

static void
a_long_value_has_a_long_length(void **state)
{
	(void)state;
	static char text[70000];
	struct record_session in = { .jwt = { text, sizeof(text) } }, out;

	memset(text, 'j', sizeof(text));
	record_encode(RECORD_SESSION, &in, &bytes);
	assert_int_equal(bytes.n, 1 + 3 + sizeof(text));
	assert_int_equal(record_decode(RECORD_SESSION, buf_slice(&bytes), &arena, &out), OK);
	assert_slice(out.jwt, in.jwt);
}

static void
unknown_fields_of_a_newer_program_are_skipped(void **state)
{
	(void)state;
	static const char text[] = "\xc8\x03new\x01\x02ok\xc9\x00";
	struct record_approval out;

	assert_int_equal(record_decode(RECORD_APPROVAL, SLICE_LIT(text), &arena, &out), OK);
	assert_slice(out.scope, SLICE_LIT("ok"));
}

static void
damaged_bytes_are_refused(void **state)
{
	(void)state;
	static const struct slice bad[] = {
		SLICE_LIT("\x00\x01x"),                         /* no tag 0 */
		SLICE_LIT("\x01"),                              /* no length */
		SLICE_LIT("\x01\x80"),                          /* half a length */
		SLICE_LIT("\x01\x05half"),                      /* too short */
		SLICE_LIT("\x01\xff\xff\xff\xff\xff\xff\x01x"), /* a length past every bound */
		SLICE_LIT("\x01\xff\xff\xff\xff\x0fx"),
		SLICE_LIT("\x02\x07\0\0\0\0\0\0\0"),            /* a number of 7 bytes */
		SLICE_LIT("\x02\x00"),
		SLICE_LIT("\x01\x01x\x01\x01y"),                /* one field twice */
	};
	struct record_approval out;
	struct record_session session;
	struct record_code code;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(record_decode(RECORD_APPROVAL, bad[i], &arena, &out), E_FORMAT);
	assert_int_equal(record_decode(RECORD_SESSION, SLICE_LIT("\x0b\x01\x02"), &arena, &session), E_FORMAT);     /* a truth of 2 */
	assert_int_equal(record_decode(RECORD_SESSION, SLICE_LIT("\x0b\x02\x01\x01"), &arena, &session), E_FORMAT); /* and a long one */
	assert_int_equal(record_decode(RECORD_SESSION, SLICE_LIT("\x02\x02\x01\x09"), &arena, &session), E_FORMAT); /* inside the user */
	assert_int_equal(record_decode(RECORD_CODE, SLICE_LIT("\x06\x01x\x06\x05"), &arena, &code), E_FORMAT);     /* behind a list's item */
}

static void
lists_are_bounded_both_ways(void **state)
{
	(void)state;
	static struct slice many[RECORD_LIST_MAX + 1];
	struct record_code in = { .audiences = { many, RECORD_LIST_MAX } }, out;

	record_encode(RECORD_CODE, &in, &bytes);
	assert_true(buf_ok(&bytes));
	assert_int_equal(record_decode(RECORD_CODE, buf_slice(&bytes), &arena, &out), OK);
	assert_int_equal(out.audiences.n, RECORD_LIST_MAX);
	buf_add(&bytes, "\x06\x00", 2);
	assert_int_equal(record_decode(RECORD_CODE, buf_slice(&bytes), &arena, &out), E_FORMAT);
	in.audiences.n++;
	record_encode(RECORD_CODE, &in, &bytes);
	assert_false(buf_ok(&bytes));
	buf_reset(&bytes);
	struct record_session session = { .user.groups = { many, RECORD_LIST_MAX + 1 } };
	record_encode(RECORD_SESSION, &session, &bytes);
	assert_false(buf_ok(&bytes));
}

static void
an_arena_without_room_is_no_memory(void **state)
{
	(void)state;
	struct arena small;
	struct record_code out;
	struct record_code in = { .audiences = { groups, 3 } };

	record_encode(RECORD_CODE, &in, &bytes);
	arena_init(&small, 1);
	assert_int_equal(record_decode(RECORD_CODE, buf_slice(&bytes), &small, &out), E_NOMEM);
	arena_fini(&small);
	/* Room for the bytes, none for a long list. */
	static struct slice many[RECORD_LIST_MAX];
	in.audiences = (struct record_strings){ many, RECORD_LIST_MAX };
	buf_reset(&bytes);
	record_encode(RECORD_CODE, &in, &bytes);
	arena_init(&small, 8192);
	assert_int_equal(record_decode(RECORD_CODE, buf_slice(&bytes), &small, &out), E_NOMEM);
	arena_fini(&small);
}

static void
every_kind_knows_its_name_and_its_expiry(void **state)
{
	(void)state;
	struct record_auth_request request = { .expires_at = 1 };
	struct record_code code = { .expires_at = 2 };
	struct record_session session = { .expires_at = 3 };
	struct record_refresh refresh = { .expires_at = 4 };
	struct record_key key = { .expires_at = 5 };
	struct record_approval approval = { .expires_at = 6 };

	assert_int_equal(record_expires_at(RECORD_AUTH_REQUEST, &request), 1);
	assert_int_equal(record_expires_at(RECORD_CODE, &code), 2);
	assert_int_equal(record_expires_at(RECORD_SESSION, &session), 3);
	assert_int_equal(record_expires_at(RECORD_REFRESH, &refresh), 4);
	assert_int_equal(record_expires_at(RECORD_KEY, &key), 5);
	assert_int_equal(record_expires_at(RECORD_APPROVAL, &approval), 6);
	for (enum record_kind a = 0; a < RECORD_KINDS; a++)
		for (enum record_kind b = 0; b < a; b++)
			assert_string_not_equal(record_kind_name(a), record_kind_name(b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_auth_request_comes_back_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(a_code_comes_back_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(a_device_and_its_user_code_come_back_as_they_were, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session_comes_back_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refresh_family_comes_back_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_and_an_approval_come_back_as_they_were, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_and_an_account_come_back_as_they_were, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_of_an_earlier_version_is_one_without_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_noted_of_a_persons_sessions_comes_back_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(an_empty_record_is_no_bytes_and_no_bytes_are_an_empty_record, setup, teardown),
		cmocka_unit_test_setup_teardown(the_encoding_on_disk_does_not_change, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_value_has_a_long_length, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_fields_of_a_newer_program_are_skipped, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_bytes_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(lists_are_bounded_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(an_arena_without_room_is_no_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(every_kind_knows_its_name_and_its_expiry, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
