/* Fills a store with sessions, by the functions that authd itself writes them with, so that a benchmark need not sign in a million times.
 *
 *   authd_sessions FOLDER COUNT GROUP OWN USER_ID EMAIL LIFETIME_S [CLIENT]
 *   GROUP sessions are in a commit. In a small one, as under load, the pages that a commit frees are few and soon used again; a large one takes less time and leaves
 *   a list of free pages so long that LMDB spends more on it in each later commit. GROUP_MAX: 4 tables' pages each, fewer than LMDB keeps dirty.
 *   The first OWN are of the local user USER_ID; their cookies' values are printed, one a line. The others are of COUNT / 4 other people.
 *   CLIENT: has a refresh token in each session; those of the first OWN are printed behind the cookies' values.
 *   LIFETIME_S: sessions.absoluteLifetime and .validIfNotUsedFor of the configuration. Ages are spread over its first half, so none ends in the benchmark. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "authd/grant.h"
#include "authd/session.h"

#define GROUP_MAX 10000
#define ARENA_BYTES 65536 /* of one session */
#define GROUPS 5

struct filling {
	struct authd_config config;
	struct generation generation;
	const char *client; /* NULL: no refresh tokens */
	struct record_user own;
	size_t from, to, all, own_n;
	int64_t now_s, lifetime_s;
};

static void
fail(const char *what)
{
	fprintf(stderr, "authd_sessions: %s\n", what);
	exit(1);
}

static struct slice
secret_of(size_t i, char *out, size_t n)
{
	return slice_of(out, (size_t)snprintf(out, n, "session-of-the-benchmark-%018zu", i));
}

/* Sessions that begin one after another do not stand side by side. */
static struct slice
sid_of(size_t i, char *out, size_t n)
{
	return slice_of(out, (size_t)snprintf(out, n, "%022zu", i * 2654435761u % (1ul << 32)));
}

/* What stands in a refresh token behind the sid: as long as the real ones. */
#define HANDLE_FORMAT "handle-%015zu"
#define SECRET_FORMAT "secret-%036zu"

static enum err
put_refresh_token(struct store_txn *t, const struct filling *f, const struct record_session *s, size_t i, struct arena *arena)
{
	char code[32], handle[32], secret[64];
	struct grant_redemption g = { .generation = &f->generation, .arena = arena, .client_id = slice_str(f->client), .offline = true, .now_s = f->now_s,
		.chain_secret = SLICE_LIT("chain-0000000000000000000000000000000000000"), .access_expires_at = f->now_s + f->lifetime_s,
		.record = { .client_id = slice_str(f->client), .scope = SLICE_LIT("openid email profile groups offline_access"), .user = s->user,
			.auth_time = s->auth_time, .sid = s->sid } };

	g.code = slice_of(code, (size_t)snprintf(code, sizeof code, "code-%zu", i));
	g.handle = slice_of(handle, (size_t)snprintf(handle, sizeof handle, HANDLE_FORMAT, i));
	g.secret = slice_of(secret, (size_t)snprintf(secret, sizeof secret, SECRET_FORMAT, i));
	return grant_issue(t, &g);
}

/* As long as GitHub's description of a person in a few teams. */
static enum err
put_one(struct store_txn *t, const struct filling *f, size_t i)
{
	struct slice groups[GROUPS] = { SLICE_LIT("example"), SLICE_LIT("example:developers"), SLICE_LIT("example:operators"), SLICE_LIT("example:on-call"),
		SLICE_LIT("example:europe") };
	char secret[64], sid[32], id[32], name[32], email[64];
	size_t person = i / 4;
	int64_t age_s = (int64_t)i % (f->lifetime_s / 2);
	unsigned char hash[32];
	struct arena arena;

	struct record_session s = { .auth_time = f->now_s - age_s, .created_at = f->now_s - age_s, .address = SLICE_LIT("203.0.113.100"),
		.user_agent = SLICE_LIT("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36") };
	s.sid = sid_of(i, sid, sizeof sid);
	s.user = f->own;
	if (i >= f->own_n) {
		s.user.user_id = slice_of(id, (size_t)snprintf(id, sizeof id, "%zu", 10000000 + person));
		s.user.username = s.user.preferred_username = slice_of(name, (size_t)snprintf(name, sizeof name, "person-%zu", person));
		s.user.email = slice_of(email, (size_t)snprintf(email, sizeof email, "person-%zu@example.com", person));
	}
	s.user.groups.items = groups;
	s.user.groups.n = GROUPS;
	session_touch(&f->config, &s, f->now_s - age_s);
	struct slice key = store_hash(secret_of(i, secret, sizeof secret), hash);
	if (!key.n)
		return E_NOMEM;
	arena_init(&arena, ARENA_BYTES);
	enum err e = session_put(t, &f->config, key, &s, &arena);
	if (e == OK && f->client)
		e = put_refresh_token(t, f, &s, i, &arena);
	arena_fini(&arena);
	return e;
}

static enum err
put_group(struct store_txn *t, void *arg)
{
	const struct filling *f = arg;
	enum err e = OK;

	for (size_t i = f->from; i < f->to && e == OK; i++)
		e = put_one(t, f, i);
	return e;
}

int
main(int argc, char **argv)
{
	if (argc != 8 && argc != 9)
		fail("FOLDER COUNT GROUP OWN USER_ID EMAIL LIFETIME_S [CLIENT]");
	struct store_options o = { .path = argv[1], .clock = &clock_system };
	struct filling f = { .all = strtoul(argv[2], NULL, 10), .own_n = strtoul(argv[4], NULL, 10), .lifetime_s = strtol(argv[7], NULL, 10),
		.now_s = clock_now_s(&clock_system), .own = { .connector_id = SLICE_LIT(AUTHD_PASSWORD_CONNECTOR), .user_id = slice_str(argv[5]),
			.username = slice_str(argv[6]), .preferred_username = slice_str(argv[6]), .email = slice_str(argv[6]), .email_verified = true } };
	char why[1024], secret[64], sid[32];
	size_t group = strtoul(argv[3], NULL, 10);
	struct store *s;

	if (f.lifetime_s < 2 || f.own_n > f.all || group == 0 || group > GROUP_MAX)
		fail("LIFETIME_S is at least 2, OWN at most COUNT, GROUP from 1 to 10000");
	f.client = argv[8]; /* NULL behind the last */
	f.generation.config = &f.config;
	f.config.enable_password_db = true;
	f.config.sessions.absolute_lifetime_ms = f.config.sessions.valid_if_not_used_for_ms = f.lifetime_s * 1000;
	if (store_open(&o, &s, why, sizeof why) != OK)
		fail(why);
	for (; f.from < f.all; f.from = f.to) {
		f.to = group < f.all - f.from ? f.from + group : f.all;
		if (store_write_wait(s, put_group, &f) != OK)
			fail("the sessions cannot be stored");
	}
	store_close(s);
	for (size_t i = 0; i < f.own_n; i++) {
		struct slice value = secret_of(i, secret, sizeof secret);
		printf("%.*s", SLICE_FMT(value));
		if (f.client)
			printf(" %.*s." HANDLE_FORMAT "." SECRET_FORMAT, SLICE_FMT(sid_of(i, sid, sizeof sid)), i, i);
		printf("\n");
	}
	return 0;
}
