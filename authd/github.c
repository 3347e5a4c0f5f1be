#include "authd/github.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "authd/counters.h"
#include "authd/github_answer.h"
#include "shared/clock.h"
#include "shared/log.h"

struct github {
	struct connector base;
	const struct github_config *c;
	struct fetcher *fetcher;
	struct counters *counters; /* NULL: nobody counts */
	struct arena arena;
	const char *web, *api; /* without a slash at the end */
};

/* The calls of one sign-in, in their order. */
enum step { STEP_TOKEN, STEP_CHECK, STEP_USER, STEP_EMAILS, STEP_MEMBER, STEP_TEAMS, STEP_ORGS, STEP_END };

struct signin {
	struct github *g;
	connector_done *done;
	void *arg;
	struct arena arena;
	enum step step;
	size_t org;   /* STEP_MEMBER: index */
	int page, tries;
	bool again;   /* a refresh: the person must still be who they were */
	struct slice expected_id;
	char *url, *authorization;
	struct slice token;
	struct github_user user;
	struct slice email;
	int email_rank;
	bool *member;
	struct github_teams teams;
	struct record_strings orgs;
};

static void step_send(struct signin *s);

static void
signin_end(struct signin *s, const struct connector_result *r)
{
	if (r->verdict != CONNECTOR_OK)
		log_warn("github sign-in ended", LOG_STR("connector", s->g->base.id), LOG_STR("reason", r->message));
	s->done(s->arg, r);
	arena_fini_secret(&s->arena);
	free(s);
}

static void
signin_fail(struct signin *s, enum connector_verdict verdict, int retry_after_s, const char *message)
{
	struct connector_result r = { .verdict = verdict, .retry_after_s = retry_after_s };
	snprintf(r.message, sizeof(r.message), "%s", message);
	signin_end(s, &r);
}

static size_t
member_checks(const struct github_config *c)
{
	return c->orgs.n ? c->orgs.n : c->org && *c->org ? 1 : 0;
}

static const char *
member_org(const struct github_config *c, size_t i)
{
	return c->orgs.n ? ((const struct github_org *)c->orgs.items)[i].name : c->org;
}

static bool
wants_teams(const struct github_config *c)
{
	return member_checks(c) > 0 || c->load_all_groups;
}

static void
signin_succeed(struct signin *s)
{
	const struct github_config *c = s->g->c;
	struct connector_result r = { .verdict = CONNECTOR_OK };
	enum err err = github_groups(c, s->member, &s->teams, &s->orgs, &s->arena, &r.user.groups);
	if (err == E_DENIED) {
		signin_fail(s, CONNECTOR_DENIED, 0,
			"Your GitHub account is not in an organization or team that may sign in here. Ask the people who run this service to add you, "
			"and check that the organization has granted access to this application.");
		return;
	}
	r.user.connector_id = slice_str(s->g->base.id);
	char *id = arena_printf(&s->arena, "%lld", (long long)s->user.id);
	json_t *data = json_pack("{s:s%}", "token", s->token.p, s->token.n);
	char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
	json_decref(data);
	r.user.user_id = c->use_login_as_id ? s->user.login : slice_str(id);
	r.user.username = s->user.name.n ? s->user.name : s->user.login;
	r.user.preferred_username = s->user.login;
	r.user.email = s->email;
	r.user.email_verified = true;
	r.user.connector_data = slice_str(text);
	if (err != OK || !id || !text)
		signin_fail(s, CONNECTOR_UNAVAILABLE, 5, "The server is short of memory. Try again.");
	else if (s->again && !slice_eq(s->expected_id, r.user.user_id))
		signin_fail(s, CONNECTOR_DENIED, 0, "The GitHub account behind this sign-in has changed. Sign in again.");
	else
		signin_end(s, &r);
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

/* The step after `s->step`, skipping what this configuration does not ask for. */
static void
signin_advance(struct signin *s)
{
	const struct github_config *c = s->g->c;
	s->page = 1;
	s->url = NULL;
	switch (s->step) {
	case STEP_TOKEN:
	case STEP_CHECK:
		s->step = STEP_USER;
		break;
	case STEP_USER:
		s->step = STEP_EMAILS;
		break;
	case STEP_EMAILS:
		s->step = member_checks(c) ? STEP_MEMBER : c->load_all_groups ? STEP_TEAMS : STEP_END;
		break;
	case STEP_MEMBER:
		if (++s->org < member_checks(c))
			break;
		s->step = wants_teams(c) ? STEP_TEAMS : STEP_END;
		break;
	case STEP_TEAMS:
		s->step = member_checks(c) == 0 ? STEP_ORGS : STEP_END;
		break;
	case STEP_ORGS:
	case STEP_END:
		s->step = STEP_END;
		break;
	}
	if (s->step == STEP_END)
		signin_succeed(s);
	else
		step_send(s);
}

/* GitHub says "not now": rate limits come as 403 or 429 (REST API, "Rate limits"). Returns seconds, or -1 when it is no rate limit. */
static int
rate_limit_s(const struct fetch_result *r)
{
	uint64_t v;
	if (r->status != 403 && r->status != 429)
		return -1;
	struct slice after = fetch_header(r, "Retry-After");
	if (after.p && slice_to_u64(after, 86400, &v))
		return v > 0 ? (int)v : 1;
	struct slice remaining = fetch_header(r, "X-RateLimit-Remaining");
	if (slice_eq_str(remaining, "0")) {
		struct slice reset = fetch_header(r, "X-RateLimit-Reset");
		int64_t now = clock_now_s(&clock_system);
		if (reset.p && slice_to_u64(reset, UINT32_MAX, &v) && (int64_t)v > now && (int64_t)v - now < 86400)
			return (int)((int64_t)v - now);
		return 60;
	}
	return r->status == 429 ? 60 : -1;
}

/* What an answer means for the step it belongs to. */
static enum err
step_read(struct signin *s, const struct fetch_result *r, struct slice *why)
{
	struct slice body = buf_slice(&r->body);
	*why = SLICE_NONE;
	if (s->step == STEP_MEMBER) {
		/* 204: member; 302: the asker is no member of the org; 404: not a (visible) member. */
		if (r->status != 204 && r->status != 302 && r->status != 404 && r->status != 403)
			return E_FORMAT;
		s->member[s->org] = r->status == 204;
		return OK;
	}
	if (s->step == STEP_CHECK && (r->status == 404 || r->status == 422)) {
		*why = SLICE_LIT("it is not valid, or was given to another application.");
		return E_DENIED;
	}
	if (r->status != 200)
		return E_FORMAT;
	switch (s->step) {
	case STEP_CHECK:
		return github_answer_check(body, s->g->c->client_id);
	case STEP_TOKEN:
		return github_answer_token(body, &s->arena, &s->token, why);
	case STEP_USER:
		return github_answer_user(body, &s->arena, &s->user);
	case STEP_EMAILS:
		return github_answer_emails(body, s->g->c->preferred_email_domain, &s->arena, &s->email, &s->email_rank);
	case STEP_TEAMS:
		return github_answer_teams(body, &s->arena, &s->teams);
	case STEP_ORGS:
		return github_answer_orgs(body, &s->arena, &s->orgs);
	default:
		return E_FORMAT;
	}
}

/* Every call, also one that is tried again. Answers that say no about the person are as good as any other. */
static void
step_count(const struct signin *s, const struct fetch_result *r)
{
	static const char *const calls[] = { [STEP_TOKEN] = "access_token", [STEP_CHECK] = "check_token", [STEP_USER] = "user", [STEP_EMAILS] = "emails", [STEP_MEMBER] = "org_member",
		[STEP_TEAMS] = "teams", [STEP_ORGS] = "orgs", [STEP_END] = "" };
	const char *result = r->err == E_AGAIN ? "abandoned" : r->err == E_LIMIT ? "too_long" : r->err != OK ? "unreachable" :
		r->status >= 500 ? "server_error" : rate_limit_s(r) >= 0 ? "rate_limited" : r->status == 401 ? "unauthorized" : "answered";

	counters_upstream(s->g->counters, slice_str(s->g->base.id), calls[s->step], result, r->total_ms);
}

static void
step_done(void *arg, struct fetch_result *r)
{
	struct signin *s = arg;
	char text[256];
	struct slice why;
	bool transient = r->err != OK || r->status >= 500;
	step_count(s, r);
	if (transient && r->err != E_AGAIN && s->tries++ == 0 && s->step != STEP_TOKEN) {
		/* Once more, at once; never the code, which GitHub takes only once. */
		step_send(s);
		return;
	}
	if (transient) {
		log_warn("github call failed", LOG_STR("connector", s->g->base.id), LOG_STR("reason", r->err == OK ? "server error" : r->message),
			LOG_INT("status", r->status));
		signin_fail(s, CONNECTOR_UNAVAILABLE, 5, "GitHub cannot be reached at the moment. Try again in a little while.");
		return;
	}
	int limited = rate_limit_s(r);
	if (limited >= 0) {
		snprintf(text, sizeof(text), "GitHub limits how often it may be asked. Try again in %d seconds.", limited);
		signin_fail(s, CONNECTOR_UNAVAILABLE, limited, text);
		return;
	}
	if (r->status == 401 && s->step > STEP_CHECK) {
		signin_fail(s, CONNECTOR_DENIED, 0, "The permission that you gave at GitHub has been withdrawn. Sign in again.");
		return;
	}
	s->tries = 0;
	enum err err = step_read(s, r, &why);
	if (err == E_DENIED) {
		snprintf(text, sizeof(text), "GitHub did not accept this sign-in: %.*s Start again.", (int)(why.n > 150 ? 150 : why.n), why.p ? why.p : "");
		signin_fail(s, CONNECTOR_DENIED, 0, text);
		return;
	}
	if (err == E_LIMIT || err == E_NOMEM) {
		signin_fail(s, CONNECTOR_BAD_ANSWER, 0, "GitHub's answer is larger than what is accepted here (1000 teams).");
		return;
	}
	if (err != OK) {
		log_warn("github answer not understood", LOG_STR("connector", s->g->base.id), LOG_INT("step", s->step), LOG_INT("status", r->status));
		signin_fail(s, CONNECTOR_BAD_ANSWER, 0, "GitHub gave an answer that is not understood. If this goes on, tell the people who run this service.");
		return;
	}
	struct slice next = github_answer_next(fetch_header(r, "Link"), slice_str(s->g->api));
	if (s->step >= STEP_EMAILS && s->step != STEP_MEMBER && next.p) {
		if (s->page++ == GITHUB_PAGES_MAX) {
			signin_fail(s, CONNECTOR_BAD_ANSWER, 0, "GitHub's answer has more pages than are accepted here.");
			return;
		}
		s->url = arena_strndup(&s->arena, next.p, next.n);
		step_send(s);
		return;
	}
	if (s->step == STEP_EMAILS && s->email.n == 0) {
		signin_fail(s, CONNECTOR_NO_EMAIL, 0,
			"Your GitHub account has no verified primary mail address. Verify one at github.com/settings/emails and sign in again.");
		return;
	}
	signin_advance(s);
}

/* The URL of the current step's first page. */
static char *
step_url(struct signin *s)
{
	struct buf b;
	char *url = NULL;
	buf_init(&b, 4096);
	buf_add_str(&b, s->g->api);
	switch (s->step) {
	case STEP_USER:
		buf_add_str(&b, "/user");
		break;
	case STEP_EMAILS:
		buf_add_str(&b, "/user/emails?per_page=100");
		break;
	case STEP_MEMBER:
		buf_add_str(&b, "/orgs/");
		buf_add_urlencoded(&b, slice_str(member_org(s->g->c, s->org)));
		buf_add_str(&b, "/members/");
		buf_add_urlencoded(&b, s->user.login);
		break;
	case STEP_TEAMS:
		buf_add_str(&b, "/user/teams?per_page=100");
		break;
	case STEP_ORGS:
		buf_add_str(&b, "/user/orgs?per_page=100");
		break;
	case STEP_CHECK:
		buf_add_str(&b, "/applications/");
		buf_add_urlencoded(&b, slice_str(s->g->c->client_id));
		buf_add_str(&b, "/token");
		break;
	case STEP_TOKEN:
	case STEP_END:
		break;
	}
	if (buf_ok(&b))
		url = arena_strndup(&s->arena, b.p, b.n);
	buf_fini(&b);
	return url;
}

/* "Basic …" of the application itself. In the arena; NULL: no memory. */
static char *
application_authorization(struct signin *s)
{
	char *pair = arena_printf(&s->arena, "%s:%s", s->g->c->client_id, s->g->c->client_secret), *base64;
	size_t n = pair ? strlen(pair) : 0;

	base64 = arena_alloc(&s->arena, (n + 2) / 3 * 4 + 1);
	if (!pair || !base64)
		return NULL;
	EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)pair, (int)n);
	return arena_printf(&s->arena, "Authorization: Basic %s", base64);
}

/* "Check a token" (REST API, apps/oauth-applications): the one call that says which application a token was given to. */
static void
check_send(struct signin *s)
{
	char *authorization = application_authorization(s);
	struct buf body;
	enum err err = E_NOMEM;

	if (!s->url)
		s->url = step_url(s);
	buf_init(&body, 8192);
	buf_add_str(&body, "{\"access_token\":");
	buf_add_json(&body, s->token);
	buf_add_char(&body, '}');
	if (authorization && s->url && buf_ok(&body)) {
		const char *headers[] = { "Accept: application/vnd.github+json", "Content-Type: application/json", "X-GitHub-Api-Version: " GITHUB_API_VERSION, authorization,
			NULL };
		struct fetch_request req = { .method = "POST", .url = s->url, .headers = headers, .body = buf_slice(&body), .ca_file = s->g->c->root_ca,
			.timeout_ms = GITHUB_TIMEOUT_MS, .body_bytes_max = GITHUB_ANSWER_BYTES_MAX };
		err = fetch_start(s->g->fetcher, &req, step_done, s);
	}
	buf_fini_secret(&body);
	if (err != OK)
		signin_fail(s, CONNECTOR_UNAVAILABLE, 5, "Too many sign-ins with GitHub are under way. Try again in a little while.");
}

static void
step_send(struct signin *s)
{
	if (s->step == STEP_CHECK) {
		check_send(s);
		return;
	}
	if (!s->url)
		s->url = step_url(s);
	if (!s->authorization)
		s->authorization = arena_printf(&s->arena, "Authorization: Bearer %.*s", SLICE_FMT(s->token));
	if (!s->url || !s->authorization) {
		signin_fail(s, CONNECTOR_UNAVAILABLE, 5, "The server is short of memory. Try again.");
		return;
	}
	const char *headers[] = { "Accept: application/vnd.github+json", "X-GitHub-Api-Version: " GITHUB_API_VERSION, s->authorization, NULL };
	struct fetch_request req = { .method = "GET", .url = s->url, .headers = headers, .ca_file = s->g->c->root_ca,
		.timeout_ms = GITHUB_TIMEOUT_MS, .body_bytes_max = GITHUB_ANSWER_BYTES_MAX };
	if (fetch_start(s->g->fetcher, &req, step_done, s) != OK)
		signin_fail(s, CONNECTOR_UNAVAILABLE, 5, "Too many sign-ins with GitHub are under way. Try again in a little while.");
}

static struct signin *
signin_new(struct github *g, connector_done *done, void *arg)
{
	struct signin *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->g = g;
	s->done = done;
	s->arg = arg;
	s->page = 1;
	arena_init(&s->arena, 16u << 20);
	size_t n = member_checks(g->c);
	s->member = arena_alloc(&s->arena, (n ? n : 1) * sizeof(bool));
	if (!s->member) {
		arena_fini(&s->arena);
		free(s);
		return NULL;
	}
	return s;
}

static enum err
github_begin(struct connector *base, const struct connector_begin *b, struct buf *url)
{
	struct github *g = (struct github *)base;
	buf_add_str(url, g->web);
	buf_add_str(url, "/login/oauth/authorize?client_id=");
	buf_add_urlencoded(url, slice_str(g->c->client_id));
	buf_add_str(url, "&redirect_uri=");
	buf_add_urlencoded(url, slice_str(b->redirect_uri));
	buf_add_str(url, wants_teams(g->c) ? "&scope=user%3Aemail%20read%3Aorg&state=" : "&scope=user%3Aemail&state=");
	buf_add_urlencoded(url, b->state);
	buf_add_str(url, "&code_challenge=");
	buf_add_urlencoded(url, b->challenge);
	buf_add_str(url, "&code_challenge_method=S256");
	if (b->login_hint.n) {
		buf_add_str(url, "&login=");
		buf_add_urlencoded(url, b->login_hint);
	}
	if (b->ask)
		buf_add_str(url, "&prompt=select_account");
	return buf_ok(url) ? OK : E_LIMIT;
}

static enum err
github_finish(struct connector *base, const char *redirect_uri, const struct form *query, struct slice verifier, connector_done *done, void *arg)
{
	struct github *g = (struct github *)base;
	struct signin *s = signin_new(g, done, arg);
	if (!s)
		return E_NOMEM;
	struct slice code = form_get(query, "code"), error = form_get(query, "error");
	if (error.p) {
		/* RFC 6749 4.1.2.1: access_denied is the person's own "no". */
		bool no = slice_eq_str(error, "access_denied");
		signin_fail(s, CONNECTOR_DENIED, 0, no ? "You did not allow the sign-in at GitHub. Nothing was shared." :
			"GitHub refused this sign-in. If this goes on, tell the people who run this service: the application's settings at GitHub may be wrong.");
		return OK;
	}
	if (code.n == 0) {
		signin_fail(s, CONNECTOR_BAD_ANSWER, 0, "GitHub sent you back without a code. Start again.");
		return OK;
	}
	struct buf form;
	buf_init(&form, 16384);
	buf_add_str(&form, "client_id=");
	buf_add_urlencoded(&form, slice_str(g->c->client_id));
	buf_add_str(&form, "&client_secret=");
	buf_add_urlencoded(&form, slice_str(g->c->client_secret));
	buf_add_str(&form, "&code=");
	buf_add_urlencoded(&form, code);
	buf_add_str(&form, "&redirect_uri=");
	buf_add_urlencoded(&form, slice_str(redirect_uri));
	buf_add_str(&form, "&code_verifier=");
	buf_add_urlencoded(&form, verifier);
	char *url = arena_printf(&s->arena, "%s/login/oauth/access_token", g->web);
	enum err err = url && buf_ok(&form) ? OK : E_NOMEM;
	if (err == OK) {
		const char *headers[] = { "Accept: application/json", "Content-Type: application/x-www-form-urlencoded", NULL };
		struct fetch_request req = { .method = "POST", .url = url, .headers = headers, .body = buf_slice(&form), .ca_file = g->c->root_ca,
			.timeout_ms = GITHUB_TIMEOUT_MS, .body_bytes_max = GITHUB_ANSWER_BYTES_MAX };
		err = fetch_start(g->fetcher, &req, step_done, s);
	}
	buf_fini_secret(&form);
	if (err != OK) {
		arena_fini_secret(&s->arena);
		free(s);
	}
	return err;
}

static enum err
github_refresh(struct connector *base, const struct record_user *user, connector_done *done, void *arg)
{
	struct github *g = (struct github *)base;
	struct signin *s = signin_new(g, done, arg);
	if (!s)
		return E_NOMEM;
	json_t *data = json_loadb(user->connector_data.p ? user->connector_data.p : "", user->connector_data.n, JSON_REJECT_DUPLICATES, NULL);
	const char *token = json_string_value(json_object_get(data, "token"));
	s->again = true;
	s->expected_id = arena_slice(&s->arena, user->user_id);
	s->token = token ? arena_slice(&s->arena, slice_str(token)) : SLICE_NONE;
	json_decref(data);
	s->step = STEP_USER;
	if (!s->token.p || !s->expected_id.p)
		signin_fail(s, CONNECTOR_DENIED, 0, "GitHub's permission is no longer known here. Sign in again.");
	else
		step_send(s);
	return OK;
}

static enum err
github_exchange(struct connector *base, struct slice access_token, connector_done *done, void *arg)
{
	struct signin *s = signin_new((struct github *)base, done, arg);

	if (!s)
		return E_NOMEM;
	s->token = arena_slice(&s->arena, access_token);
	s->step = STEP_CHECK;
	if (s->token.p)
		step_send(s);
	else
		signin_fail(s, CONNECTOR_UNAVAILABLE, 5, "The server is short of memory. Try again.");
	return OK;
}

static void
github_free(struct connector *base)
{
	struct github *g = (struct github *)base;
	arena_fini(&g->arena);
	free(g);
}

static const struct connector_ops github_ops = { github_begin, github_finish, github_refresh, github_exchange, github_free };

struct connector *
github_connector_new(const struct authd_connector_config *config, struct fetcher *f, struct counters *counters)
{
	struct github *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	const struct github_config *c = config->github;
	bool enterprise = c->host_name && *c->host_name;
	g->base = (struct connector){ &github_ops, config->id, config->type, config->name };
	g->c = c;
	g->fetcher = f;
	g->counters = counters;
	arena_init(&g->arena, 0);
	g->web = c->base_url ? c->base_url : enterprise ? arena_printf(&g->arena, "https://%s", c->host_name) : "https://github.com";
	g->api = c->api_url ? c->api_url : enterprise ? arena_printf(&g->arena, "https://%s/api/v3", c->host_name) : "https://api.github.com";
	if (!g->web || !g->api) {
		github_free(&g->base);
		return NULL;
	}
	return &g->base;
}
