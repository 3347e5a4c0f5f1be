/* Signing in on a device that has no browser (RFC 8628): the client starts it, the person types its code into a browser and signs in there. The client then asks
 * at the token endpoint. Paths as in dex. */
#include <stdio.h>
#include "authd/browser.h"
#include "authd/client_endpoint.h"
#include "authd/device.h"
#include "authd/limiter.h"
#include "authd/pages.h"
#include "authd/routes.h"
#include "authd/sign_in_pages.h"
#include "shared/log.h"

#define FORM_PURPOSE "device"
#define USER_CODE_TRIES 4 /* one of ten thousand that wait is hit once in two million times */

/* ---- a client starts it (section 3.1) ---- */

struct start {
	struct request *r;
	struct authorization_request asked;
	struct slice device_code, user_codes[USER_CODE_TRIES];
	unsigned char hash[32];
	struct record_device record;
};

static enum err
start_store(struct store_txn *t, void *arg)
{
	struct start *s = arg;
	enum err e = E_CONFLICT;

	for (size_t i = 0; i < USER_CODE_TRIES && e == E_CONFLICT; i++) {
		s->record.user_code = s->user_codes[i];
		e = device_put(t, slice_of((const char *)s->hash, sizeof s->hash), &s->record, &s->r->arena);
	}
	return e;
}

/* Section 3.2. */
static void
start_stored(struct request *r, enum err result)
{
	const struct start *s = r->state;
	struct slice shown = result == OK ? device_user_code_shown(&r->arena, s->record.user_code) : SLICE_NONE;
	const char *issuer = r->generation->config->issuer;
	char *complete = arena_printf(&r->arena, "%s/device?user_code=%.*s", issuer, SLICE_FMT(shown));
	char *plain = arena_printf(&r->arena, "%s/device", issuer);
	struct buf body;

	if (!shown.p || !complete || !plain) {
		client_endpoint_unavailable(r);
		return;
	}
	log_info("device waits for a person", LOG_SLICE("client", s->record.client_id), LOG_SLICE("address", r->address), LOG_REQ(r->id));
	buf_init(&body, 0);
	buf_add_str(&body, "{\"device_code\":");
	buf_add_json(&body, s->device_code);
	buf_add_str(&body, ",\"user_code\":");
	buf_add_json(&body, shown);
	buf_add_str(&body, ",\"verification_uri\":");
	buf_add_json(&body, slice_str(plain));
	buf_add_str(&body, ",\"verification_uri_complete\":");
	buf_add_json(&body, slice_str(complete));
	buf_printf(&body, ",\"expires_in\":%lld,\"interval\":%lld}", (long long)(s->record.valid_until - s->record.created_at),
		(long long)s->record.interval_s);
	client_endpoint_send(r, 200, &body);
}

/* As in dex, a challenge may be given here for a verifier at the token endpoint. */
static const char *
challenge_fault(struct request *r, const struct form *form, const struct client *client, struct authorization_request *out)
{
	struct authorization_lookup lookup;
	struct authorization_rules rules = authorization_rules_of(r, &lookup);

	if (!form_get(form, "code_challenge").n && !form_get(form, "code_challenge_method").n)
		return NULL;
	return authorization_pkce_parse(form, client, &rules, out);
}

static bool
secrets_make(struct start *s)
{
	struct request *r = s->r;
	bool ok = true;

	s->device_code = request_secret(r, DEVICE_CODE_BYTES);
	for (size_t i = 0; i < USER_CODE_TRIES; i++)
		ok &= (s->user_codes[i] = device_user_code_make(r)).p != NULL;
	return ok && s->device_code.p && store_hash(s->device_code, s->hash).n;
}

static struct record_device
record_of(const struct request *r, const struct authorization_request *a, const struct client *client)
{
	int64_t now_s = request_now_s(r), until = now_s + r->generation->config->expiry.device_requests_ms / 1000;

	return (struct record_device){ .client_id = slice_str(client->id), .scope = a->scope, .code_challenge = a->code_challenge, .pkce_method = a->pkce,
		.audiences = { (struct slice *)(uintptr_t)a->audiences, a->audience_n }, .interval_s = DEVICE_INTERVAL_S, .created_at = now_s,
		.valid_until = until, .expires_at = until + DEVICE_TOO_LATE_S };
}

void
device_start(struct request *r, struct slice rest)
{
	struct start *s = arena_alloc(&r->arena, sizeof *s);
	const struct client *client;
	const struct form *form;
	const char *fault;

	(void)rest;
	if (!s) {
		client_endpoint_unavailable(r);
		return;
	}
	*s = (struct start){ .r = r };
	if (!client_endpoint_open(r, &form, &client) || !client_endpoint_grant(r, client, GRANT_DEVICE_CODE) ||
		!client_endpoint_scope(r, client, form_get(form, "scope"), &s->asked))
		return;
	if ((fault = challenge_fault(r, form, client, &s->asked))) {
		client_endpoint_refuse_with(r, 400, "invalid_request", fault);
		return;
	}
	s->record = record_of(r, &s->asked, client);
	r->state = s;
	if (secrets_make(s))
		request_write(r, start_store, s, start_stored);
	else
		client_endpoint_unavailable(r);
}

/* ---- a person types its code (sections 3.3, 5.1, 5.4) ---- */

static void
show(struct request *r, int status, struct slice user_code, const char *problem)
{
	struct slice secret = browser_login_secret(r), token = SLICE_NONE;

	if (secret.p)
		token = browser_form_token(r, secret, FORM_PURPOSE, SLICE_NONE);
	if (token.p)
		sign_in_page_device(r, status, token, user_code, problem);
	else
		page_unavailable(r);
}

/* verification_uri, and verification_uri_complete with ?user_code=: then too the person says that it is their device's. */
void
device_page(struct request *r, struct slice rest)
{
	struct slice code, shown = SLICE_NONE;
	struct form *form;

	(void)rest;
	if (request_query_form(r, &form) != OK) {
		page_bad_request(r, "The address has malformed parameters.");
		return;
	}
	code = device_user_code_read(&r->arena, form_get(form, "user_code"));
	if (code.p)
		shown = device_user_code_shown(&r->arena, code);
	show(r, 200, shown, NULL);
}

struct look {
	struct request *r;
	struct slice user_code, key;
	struct record_device device;
};

static enum err
look(struct store_txn *t, void *arg)
{
	struct look *l = arg;

	return device_find(t, l->user_code, &l->r->arena, request_now_s(l->r), &l->key, &l->device);
}

static void
too_many(struct request *r, struct slice typed, unsigned wait_s)
{
	char after[16];

	snprintf(after, sizeof after, "%u", wait_s);
	response_header(r, "Retry-After", slice_str(after));
	log_info("user code held back", LOG_INT("wait_s", wait_s), LOG_SLICE("address", r->address), LOG_REQ(r->id));
	show(r, 429, typed, "Too many attempts. Wait a little, then try again.");
}

/* Guesses are counted by address: nobody else is held up by them. */
static void
verify(struct request *r, struct slice typed)
{
	struct look l = { .r = r, .user_code = device_user_code_read(&r->arena, typed) };
	char *account = arena_printf(&r->arena, "user code from %.*s", SLICE_FMT(r->address));
	struct directory d = directory_of(r);
	const struct client *client;
	unsigned wait_s;
	enum err e;

	if (!account) {
		page_unavailable(r);
		return;
	}
	if (!l.user_code.p) {
		show(r, 400, typed, "A code is eight letters, such as BCDF-GHJK.");
		return;
	}
	wait_s = limiter_attempt(r->app->limiter, slice_str(account), r->address);
	if (wait_s) {
		too_many(r, typed, wait_s);
		return;
	}
	e = store_read(r->app->store, look, &l);
	if (e == OK)
		e = directory_client(&d, l.device.client_id, &client);
	if (e == OK) {
		limiter_succeeded(r->app->limiter, slice_str(account), r->address);
		authorize_device(r, client, l.key, &l.device);
	} else if (e == E_EMPTY) {
		log_info("user code refused", LOG_SLICE("address", r->address), LOG_REQ(r->id));
		show(r, 400, typed, "There is no device with this code: it was mistyped, is too old, or was used already.");
	} else {
		page_unavailable(r);
	}
}

void
device_verify(struct request *r, struct slice rest)
{
	struct form *form;

	(void)rest;
	if (request_body_form(r, &form) != OK)
		page_bad_request(r, "The form that was sent cannot be read.");
	else if (!browser_form_ok(r, browser_login_cookie(r), FORM_PURPOSE, SLICE_NONE, browser_form_field(r, form, "csrf")))
		page_expired(r);
	else
		verify(r, form_get(form, "user_code"));
}

void
device_callback(struct request *r, struct slice rest)
{
	struct form *form;

	(void)rest;
	if (request_query_form(r, &form) != OK)
		page_bad_request(r, "The address has malformed parameters.");
	else if (slice_eq_str(form_get(form, "error"), "access_denied") || !form_get(form, "error").p)
		sign_in_page_device_done(r, !form_get(form, "error").p);
	else
		page_unavailable(r);
}
