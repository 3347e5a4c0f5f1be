/* authd when memory runs out: each allocation in turn fails under each kind of request, in a whole program that serves. Nothing may crash, nobody
 * may get in who should not, and the next request is served as ever. */
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include "tests/unit/failing_malloc.h"
#include "tests/unit/store_unit.h"
#include "tests/unit/unconfined.h"
#include "authd/app.h"
#include "authd/grant.h"
#include "authd/session.h"
#include "oidc/pkce.h"
#include "shared/log.h"

#define VERIFIER "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" /* RFC 7636 appendix B */
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
#define COOKIE "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"

static const char config_text[] =
	"issuer: http://127.0.0.1/oidc\n"
	"storage: {type: lmdb, config: {path: %s/store}}\n"
	"web: {http: \"127.0.0.1:0\"}\n"
	"logger: {level: error}\n"
	"oauth2:\n"
	"  skipApprovalScreen: true\n"
	"  passwordConnector: local\n"
	"  responseTypes: [code, token, id_token]\n"
	"  grantTypes: [authorization_code, refresh_token, password, \"urn:ietf:params:oauth:grant-type:device_code\", \"urn:ietf:params:oauth:grant-type:token-exchange\"]\n"
	"enablePasswordDB: true\n"
	"staticPasswords: [{email: j@example.com, hash: \"$2a$10$33EMT0cVYVlPy6WAMCLsceLYjWhuHpbz5yuZxu/GAFj03J9Lytjuy\", username: j, userID: u1, groups: [a, b]}]\n"
	"staticClients:\n"
	"- {id: cli, name: cli, public: true, redirectURIs: [\"http://127.0.0.1/cb\", /device/callback], groups: [\"*\"], claims: [{name: t, value: v}, {name: g, from: groups}]}\n"
	"console: {clientID: cli}\n";

static struct authd app;
static char folder[64], config_path[128];
static uint16_t port;

/* ---- a small client that allocates nothing ---- */

static char answer[65536];

static int
ask(const char *request)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), status = 0;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;
	ssize_t m = 1;

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
	while (m > 0 && n < sizeof answer - 1) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		m = recv(fd, answer + n, sizeof answer - 1 - n, 0);
		n += m > 0 ? (size_t)m : 0;
	}
	answer[n] = 0;
	close(fd);
	return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

static int
get(const char *target, const char *more)
{
	static char request[4096];

	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n", target, more);
	return ask(request);
}

static int
post(const char *target, const char *body, const char *more)
{
	static char request[8192];

	snprintf(request, sizeof request,
		"POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n%s\r\n%s", target,
		strlen(body), more, body);
	return ask(request);
}

/* What stands in the answer between two texts. */
static void
cut(const char *before, const char *after, char *out, size_t n)
{
	const char *at = strstr(answer, before);

	assert_non_null(at);
	at += strlen(before);
	size_t length = strcspn(at, after);
	assert_true(length && length < n);
	memcpy(out, at, length);
	out[length] = 0;
}

/* ---- the program ---- */

static enum err
put_session(struct store_txn *t, void *arg)
{
	unsigned char hash[32];
	int64_t now_s = clock_now_s(&clock_system);
	struct record_session s = { .sid = SLICE_LIT("sid"), .user = { .connector_id = SLICE_LIT("local"), .user_id = SLICE_LIT("u1") }, .auth_time = now_s,
		.created_at = now_s, .last_seen_at = now_s, .expires_at = now_s + 3600 };

	return store_put(t, RECORD_SESSION, store_hash(slice_str(arg), hash), &s);
}

static int
begin(void **state)
{
	char text[2048], why[512] = "", cookie[] = COOKIE;
	struct buf listening;
	unsigned bound = 0;

	(void)state;
	unit_folder_make(folder);
	snprintf(config_path, sizeof config_path, "%s/c.yaml", folder);
	snprintf(text, sizeof text, config_text, folder);
	unit_file_write(config_path, text, strlen(text));
	app = (struct authd){ .clock = &clock_system, .rng = &rng_system };
	if (app_start(&app, config_path, why, sizeof why) != OK)
		fail_msg("%s", why);
	log_set_level(LOG_LEVEL_ERROR + 1); /* thousands of lines say that memory is out */
	buf_init(&listening, 0);
	server_addresses(app.server, false, &listening);
	assert_int_equal(sscanf(buf_slice(&listening).p, "http://127.0.0.1:%u", &bound), 1);
	buf_fini(&listening);
	port = (uint16_t)bound;
	assert_int_equal(store_write_wait(app.store, put_session, cookie), OK);
	return 0;
}

static int
end(void **state)
{
	char command[128];

	(void)state;
	assert_true(app_stop(&app));
	snprintf(command, sizeof command, "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	return 0;
}

/* Every allocation in turn, until none is left to fail; request answers `wanted` before and after. */
static void
under_pressure(int (*request)(void), int wanted)
{
	bool hit = true;

	assert_int_equal(request(), wanted);
	for (long n = 1; hit; n++) {
		failing_malloc_arm(n, n % 2);
		int status = request();
		hit = failing_malloc_disarm();
		if (status && status != wanted && status < 400)
			fail_msg("allocation %ld: %d\n%s", n, status, answer);
		assert_true(n < 100000);
	}
	assert_int_equal(request(), wanted);
}

static int
discovery(void)
{
	return get("/oidc/.well-known/openid-configuration", "");
}

static int
sign_in_starts(void)
{
	return get("/console/signin?to=/console/", "");
}

static int
console(void)
{
	int status = get("/console/", "Cookie: gatehouse=" COOKIE "\r\n");

	assert_true(status != 200 || (strstr(answer, "j@example.com") && strstr(answer, "Content-Security-Policy: default-src 'none'")));
	return status;
}

static int
console_of_nobody(void)
{
	int status = get("/console/", "Cookie: gatehouse=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n");

	assert_null(strstr(answer, "j@example.com"));
	return status;
}

#define AUTHORIZE "/oidc/auth?client_id=cli&redirect_uri=http://127.0.0.1/cb&response_type=code&scope=openid+email+offline_access&code_challenge_method=S256&code_challenge=" CHALLENGE

static int
authorize(void)
{
	return get(AUTHORIZE, "Cookie: gatehouse=" COOKIE "\r\n");
}

static int
authorize_of_nobody(void)
{
	int status = get(AUTHORIZE "&prompt=none", "");

	assert_null(strstr(answer, "?code="));
	return status;
}

static int
foreign_redirect(void)
{
	int status = get("/oidc/auth?client_id=cli&redirect_uri=https://evil.example/&response_type=code&scope=openid", "");

	assert_null(strstr(answer, "\r\nLocation:"));
	return status;
}

static int
wrong_form(void)
{
	return post("/oidc/auth/local/login", "req=a&csrf=b&login=j&password=x", "");
}

static int
wrong_code(void)
{
	int status = post("/oidc/token", "grant_type=authorization_code&client_id=cli&code=x&redirect_uri=http://127.0.0.1/cb&code_verifier=" VERIFIER, "");

	assert_null(strstr(answer, "access_token"));
	return status;
}

static int
device_starts(void)
{
	return post("/oidc/device/code", "client_id=cli&scope=openid+email", "");
}

static int
device_page_shown(void)
{
	return get("/oidc/device?user_code=BCDF-GHJK", "");
}

static int
wrong_device_form(void)
{
	return post("/oidc/device/auth/verify_code", "user_code=BCDF-GHJK&csrf=x", "");
}

static int
wrong_device_code(void)
{
	int status = post("/oidc/token", "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=cli&device_code=x", "");

	assert_null(strstr(answer, "access_token"));
	return status;
}

static int
wrong_subject(void)
{
	int status = post("/oidc/token", "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&client_id=cli&subject_token=a.b.c"
		"&subject_token_type=urn:ietf:params:oauth:token-type:access_token", "");

	assert_null(strstr(answer, "issued_token_type"));
	return status;
}

static int
everything_at_once(void)
{
	int status = get("/oidc/auth?client_id=cli&redirect_uri=http://127.0.0.1/cb&response_type=code+id_token+token&scope=openid+email+groups&nonce=n"
		"&code_challenge_method=S256&code_challenge=" CHALLENGE, "Cookie: gatehouse=" COOKIE "\r\n");

	/* All that was asked for, or an error. */
	bool some = strstr(answer, "code=") || strstr(answer, "access_token=") || strstr(answer, "id_token=");
	assert_true(!some || (strstr(answer, "#code=") && strstr(answer, "&access_token=") && strstr(answer, "&id_token=")));
	return status;
}

static int
wrong_bearer(void)
{
	return get("/oidc/userinfo", "Authorization: Bearer a.b.c\r\n");
}

static void
requests_are_refused_or_served_but_never_wrongly(void **state)
{
	(void)state;
	under_pressure(discovery, 200);
	under_pressure(sign_in_starts, 303);
	under_pressure(console, 200);
	under_pressure(console_of_nobody, 303);
	under_pressure(authorize, 303);
	under_pressure(authorize_of_nobody, 303);
	under_pressure(foreign_redirect, 400);
	under_pressure(wrong_form, 400);
	under_pressure(wrong_code, 400);
	under_pressure(wrong_bearer, 401);
	under_pressure(device_starts, 200);
	under_pressure(device_page_shown, 200);
	under_pressure(wrong_device_form, 400);
	under_pressure(wrong_device_code, 400);
	under_pressure(wrong_subject, 400);
	under_pressure(everything_at_once, 303);
}

static int
redeem(const char *code)
{
	char body[512];

	snprintf(body, sizeof body, "grant_type=authorization_code&client_id=cli&code=%s&redirect_uri=http://127.0.0.1/cb&code_verifier=" VERIFIER, code);
	return post("/oidc/token", body, "");
}

/* An answer that was lost may have used the code up; two answers may never come of one code. */
static void
a_code_is_never_redeemed_twice(void **state)
{
	(void)state;
	bool hit = true;
	char code[64];

	for (long n = 1; hit; n++) {
		assert_int_equal(authorize(), 303);
		cut("?code=", "&", code, sizeof code);
		failing_malloc_arm(n, false);
		int first = redeem(code);
		hit = failing_malloc_disarm();
		assert_true(first != 200 || (strstr(answer, "\"id_token\":\"") && strstr(answer, "\"refresh_token\":\"")));
		assert_false(redeem(code) == 200 && first == 200);
	}
	assert_int_equal(authorize(), 303);
	cut("?code=", "&", code, sizeof code);
	assert_int_equal(redeem(code), 200);
}

static void
a_reload_takes_all_or_nothing(void **state)
{
	(void)state;
	bool hit = true;
	char text[2048];

	/* With a client's algorithm that nothing signs by yet. */
	snprintf(text, sizeof text, config_text, folder);
	char *to = strstr(text, "groups: [\"*\"]");
	assert_non_null(to);
	char rest[512];
	snprintf(rest, sizeof rest, "%s", to);
	snprintf(to, (size_t)(text + sizeof text - to), "idTokenSignedResponseAlg: ES256, %s", rest);
	unit_file_write(config_path, text, strlen(text));
	for (long n = 1; hit; n++) {
		char why[512] = "";
		struct generation *before = app.generation;
		failing_malloc_arm(n, n % 2);
		enum err e = app_reload(&app, config_path, why, sizeof why);
		hit = failing_malloc_disarm();
		assert_true(e == OK ? app.generation != before : app.generation == before && why[0]);
	}
	const struct key_set *set = keys_acquire(app.keys);
	assert_int_equal(key_set_signing(set, JWS_ES256)->alg, JWS_ES256);
	keys_release(app.keys, set);
	assert_int_equal(discovery(), 200);
	assert_int_equal(console(), 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_refused_or_served_but_never_wrongly),
		cmocka_unit_test(a_code_is_never_redeemed_twice),
		cmocka_unit_test(a_reload_takes_all_or_nothing),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
