/* For proxyd, over the unix socket only: the signed JWT of a browser's session and, for each client that "?audience=" names, an ID token as if that client
 * had asked: proxyd passes those on to backends. Asking counts as using the session. */
#include "authd/directory.h"
#include "authd/mint.h"
#include "authd/routes.h"
#include "authd/session.h"
#include "shared/log.h"

#define REFRESH_AFTER_S 15 /* an ended session is noticed so soon */

struct internal {
	struct request *r;
	struct session session;
	struct record_session stored; /* result */
};

static void
send_json(struct request *r, int status, struct buf *body)
{
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_send(r, status, "application/json", body);
}

static void
send_error(struct request *r, int status, const char *error)
{
	struct buf body;

	buf_init(&body, 0);
	buf_printf(&body, "{\"error\":\"%s\"}", error);
	send_json(r, status, &body);
}

/* {"client": "token", …}: what cannot be had is left out, or is an error of ours. */
static enum err
add_id_tokens(const struct internal *i, struct slice audiences, struct buf *out)
{
	struct directory d = directory_of(i->r);
	const struct client *client;
	const char *comma = "";

	while (audiences.n) {
		struct slice token, audience = slice_cut(&audiences, ' ');
		enum err e = directory_client(&d, audience, &client);
		if (e == E_EMPTY) {
			log_warn("no ID token for a client that is not known: `audience` of a route of proxyd's", LOG_SLICE("client", audience), LOG_REQ(i->r->id));
			continue;
		}
		if (e == OK)
			e = mint_session_for(i->r, &i->session.record, client, &token);
		if (e != OK)
			return e;
		buf_add_str(out, comma);
		buf_add_json(out, audience);
		buf_add_char(out, ':');
		buf_add_json(out, token);
		comma = ",";
	}
	return OK;
}

static void
send_jwt(const struct internal *i, struct slice jwt)
{
	struct request *r = i->r;
	struct form *form;
	struct buf body;

	buf_init(&body, 0);
	buf_add_str(&body, "{\"id_token\":");
	buf_add_json(&body, jwt);
	buf_printf(&body, ",\"refresh_after\":%d,\"id_tokens\":{", REFRESH_AFTER_S);
	enum err e = request_query_form(r, &form);
	if (e == OK)
		e = add_id_tokens(i, form_get(form, "audience"), &body);
	if (e != OK) {
		log_error("ID tokens of a session could not be made", LOG_STR("reason", err_name(e)), LOG_REQ(r->id));
		buf_fini_secret(&body);
		send_error(r, 503, "unavailable");
		return;
	}
	buf_add_str(&body, "}}");
	send_json(r, 200, &body);
}

/* Kept until half of its life is over, so that whoever gets it can use it for a while; one that lasts to the session's end cannot be bettered. */
static bool
jwt_fresh(const struct record_session *s, int64_t now_s)
{
	return s->jwt.n && s->jwt_expires_at > now_s && (s->jwt_expires_at - now_s > MINT_SESSION_S / 2 || s->jwt_expires_at >= s->expires_at);
}

static enum err
session_store(struct store_txn *t, void *arg)
{
	struct internal *i = arg;
	const struct record_session *minted = &i->session.record;
	int64_t now_s = request_now_s(i->r);
	enum err e = store_get(t, RECORD_SESSION, session_key(&i->session), &i->r->arena, &i->stored);

	if (e != OK)
		return e;
	if (!jwt_fresh(&i->stored, now_s)) {
		i->stored.jwt = minted->jwt;
		i->stored.jwt_expires_at = minted->jwt_expires_at;
	}
	session_touch(i->r->generation->config, &i->stored, now_s);
	return session_put(t, i->r->generation->config, session_key(&i->session), &i->stored, &i->r->arena);
}

/* A store that cannot be written just now does not sign anybody out: what was minted is valid. */
static void
session_stored(struct request *r, enum err result)
{
	const struct internal *i = r->state;

	if (result == E_EMPTY)
		send_error(r, 401, "no_session");
	else
		send_jwt(i, result == OK ? i->stored.jwt : i->session.record.jwt);
}

void
internal_session(struct request *r, struct slice rest)
{
	struct internal *i = arena_alloc(&r->arena, sizeof *i);
	int64_t now_s = request_now_s(r);
	struct record_session *s;
	enum err e;

	(void)rest;
	e = i ? session_find(r, &i->session) : E_NOMEM;
	if (e != OK) {
		send_error(r, e == E_EMPTY ? 401 : 503, e == E_EMPTY ? "no_session" : "unavailable");
		return;
	}
	i->r = r;
	s = &i->session.record;
	if (jwt_fresh(s, now_s) && !session_touch_due(r->generation->config, s, now_s)) {
		send_jwt(i, s->jwt);
		return;
	}
	session_touch(r->generation->config, s, now_s);
	if (!jwt_fresh(s, now_s) && mint_session(r, s) != OK) {
		log_error("the session's token could not be signed", LOG_REQ(r->id));
		send_error(r, 503, "unavailable");
		return;
	}
	r->state = i;
	request_write(r, session_store, i, session_stored);
}
