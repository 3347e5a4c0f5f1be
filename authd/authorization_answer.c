#include <stdio.h>
#include "authd/authorization_answer.h"
#include "authd/mint.h"
#include "authd/pages.h"
#include "authd/person_session.h"
#include "authd/sign_in_pages.h"
#include "shared/log.h"

#define OUT_OF_BAND "urn:ietf:wg:oauth:2.0:oob"

static const char *const mode_words[] = { "", "query", "fragment", "form_post" };

static enum response_mode
mode_of(struct slice word)
{
	for (size_t i = 0; i < sizeof mode_words / sizeof mode_words[0]; i++)
		if (slice_eq_str(word, mode_words[i]))
			return (enum response_mode)i;
	return RESPONSE_MODE_DEFAULT;
}

struct slice
authorization_mode_word(enum response_mode mode)
{
	return slice_str(mode_words[mode]);
}

/* ---- kept ---- */

enum err
authorization_answer_prepare(struct request *r, struct authorization_answer *a)
{
	*a = (struct authorization_answer){ .code = request_secret(r, GRANT_CODE_BYTES),
		.front = { .generation = r->generation, .arena = &r->arena, .code = request_secret(r, GRANT_CODE_BYTES), .now_s = request_now_s(r) } };
	return a->code.p && a->front.code.p && store_hash(a->code, a->code_hash).n ? OK : E_NOMEM;
}

/* The access token's grant: never with a refresh token, which has no place in a browser's address (RFC 6749 section 4.2.2). */
static enum err
front_put(struct store_txn *t, struct request *r, const struct record_auth_request *asked, struct authorization_answer *a)
{
	struct grant_redemption *g = &a->front;

	g->client = a->client;
	g->client_id = asked->client_id;
	g->offline = false;
	g->access_expires_at = mint_expires_at(r, a->client);
	g->record = (struct record_code){ .client_id = asked->client_id, .nonce = asked->nonce, .scope = asked->scope, .audiences = asked->audiences, .user = a->user,
		.auth_time = a->auth_time, .sid = a->sid };
	return grant_issue(t, g);
}

enum err
authorization_answer_put(struct store_txn *t, struct request *r, const struct record_auth_request *asked, const struct record_user *user, int64_t auth_time,
	struct slice sid, struct authorization_answer *a)
{
	struct directory d = directory_in(r->generation, t, &r->arena);
	int64_t now_s = request_now_s(r);
	enum err e = directory_client(&d, asked->client_id, &a->client);

	a->user = *user;
	a->auth_time = auth_time;
	a->sid = sid;
	if (e == OK && (asked->response_type & RESPONSE_CODE))
		e = grant_put_code(t, slice_of((const char *)a->code_hash, sizeof a->code_hash), asked, user, auth_time, sid, now_s);
	if (e == OK && (asked->response_type & RESPONSE_TOKEN))
		return front_put(t, r, asked, a);
	/* An ID token alone has nothing that it could be ended by, but the client is told when the session ends. */
	if (e == OK && (asked->response_type & RESPONSE_ID_TOKEN))
		e = person_session_client_note(t, user, sid, asked->client_id, now_s, now_s + r->generation->config->sessions.absolute_lifetime_ms / 1000, &r->arena);
	return e;
}

/* ---- sent ---- */

static void
parameter(struct buf *b, const char *name, struct slice value)
{
	if (!value.p)
		return;
	if (b->n)
		buf_add_char(b, '&');
	buf_printf(b, "%s=", name);
	buf_add_urlencoded(b, value);
}

static void
answer(struct request *r, const struct record_auth_request *asked, struct buf *parameters)
{
	struct buf location;

	if (asked->state.n)
		parameter(parameters, "state", asked->state);
	parameter(parameters, "iss", slice_str(r->generation->config->issuer));
	if (buf_ok(parameters) && mode_of(asked->response_mode) == RESPONSE_MODE_FORM_POST) {
		sign_in_page_form_post(r, asked->redirect_uri, buf_slice(parameters));
		buf_fini_secret(parameters);
		return;
	}
	buf_init(&location, 0);
	authorization_redirect_add(&location, asked->redirect_uri, mode_of(asked->response_mode), buf_slice(parameters));
	if (!buf_ok(&location) || !buf_ok(parameters))
		r->answer_failed = true;
	page_redirect(r, buf_slice(&location));
	buf_fini_secret(&location);
	buf_fini_secret(parameters);
}

static enum err
tokens_add(struct request *r, const struct record_auth_request *asked, const struct authorization_answer *a, struct buf *parameters)
{
	struct mint m = { .client = a->client, .scope = asked->scope, .nonce = asked->nonce, .sid = a->sid, .grant_id = a->front.grant_id,
		.audiences = asked->audiences, .user = &a->user, .auth_time = a->auth_time };
	struct slice access = SLICE_NONE, id;
	char seconds[24];
	enum err e = OK;

	if (asked->response_type & RESPONSE_TOKEN) {
		e = mint_front_access(r, &m, &access);
		snprintf(seconds, sizeof seconds, "%lld", (long long)(mint_expires_at(r, a->client) - request_now_s(r)));
		parameter(parameters, "access_token", access);
		parameter(parameters, "token_type", SLICE_LIT("Bearer"));
		parameter(parameters, "expires_in", slice_str(seconds));
		parameter(parameters, "scope", asked->scope);
	}
	if (e == OK && (asked->response_type & RESPONSE_ID_TOKEN)) {
		e = mint_front_id(r, &m, access, asked->response_type & RESPONSE_CODE ? a->code : SLICE_NONE, &id);
		if (e == OK)
			parameter(parameters, "id_token", id);
	}
	return e;
}

void
authorization_answer_send(struct request *r, const struct record_auth_request *asked, const struct authorization_answer *a)
{
	struct buf parameters;

	if (slice_eq_str(asked->redirect_uri, OUT_OF_BAND) && asked->response_type == RESPONSE_CODE) {
		sign_in_page_code(r, a->code);
		return;
	}
	buf_init(&parameters, 0);
	if (asked->response_type & RESPONSE_CODE)
		parameter(&parameters, "code", a->code);
	if (tokens_add(r, asked, a, &parameters) == OK) {
		answer(r, asked, &parameters);
		return;
	}
	log_error("tokens could not be signed", LOG_REQ(r->id));
	buf_fini_secret(&parameters);
	authorization_answer_error(r, asked, "temporarily_unavailable", "the issuer cannot sign just now");
}

void
authorization_answer_error(struct request *r, const struct record_auth_request *asked, const char *error, const char *description)
{
	struct buf parameters;

	if (slice_eq_str(asked->redirect_uri, OUT_OF_BAND)) {
		page_bad_request(r, description);
		return;
	}
	buf_init(&parameters, 0);
	parameter(&parameters, "error", slice_str(error));
	parameter(&parameters, "error_description", slice_str(description));
	answer(r, asked, &parameters);
}
