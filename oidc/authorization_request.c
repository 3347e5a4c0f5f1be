#include "oidc/authorization_request.h"

#include <stdarg.h>
#include <stdio.h>

#define VALUE_BYTES_MAX 2048 /* state, nonce, redirect_uri, login_hint, connector_id: generous, and what a browser can carry back */

static enum authorization_outcome
fail(struct authorization_error *e, enum authorization_outcome how, const char *error, const char *fmt, ...) PRINTF_LIKE(4, 5);

static enum authorization_outcome
fail(struct authorization_error *e, enum authorization_outcome how, const char *error, const char *fmt, ...)
{
	va_list ap;

	e->error = error;
	va_start(ap, fmt);
	vsnprintf(e->description, sizeof(e->description), fmt, ap);
	va_end(ap);
	/* RFC 6749 4.1.2.1: %x20-21 / %x23-5B / %x5D-7E. */
	for (char *c = e->description; *c; c++)
		if (*c < 0x20 || *c > 0x7e || *c == '"' || *c == '\\')
			*c = '?';
	return how;
}

/* RFC 6749 section 3.1: a parameter sent without a value MUST be treated as if it were omitted. */
static struct slice
get(const struct form *f, const char *name)
{
	struct slice value = form_get(f, name);

	return value.n > 0 ? value : SLICE_NONE;
}

static bool
occurs_twice(const struct form *f, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += slice_eq_str(f->fields[i].name, name);
	return n > 1;
}

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

struct word {
	const char *text;
	unsigned bit;
};

static unsigned
word_bit(const struct word *words, struct slice s)
{
	for (; words->text; words++)
		if (slice_eq_str(s, words->text))
			return words->bit;
	return 0;
}

/* Space-delimited words into bits. False: a word that is none of them, or one twice. */
static bool
parse_words(struct slice text, const struct word *words, unsigned *bits)
{
	*bits = 0;
	while (text.n) {
		struct slice word = slice_cut(&text, ' ');
		if (word.n == 0)
			continue;
		unsigned bit = word_bit(words, word);
		if (!bit || (*bits & bit))
			return false;
		*bits |= bit;
	}
	return true;
}

/* dex's cross-client scope: only a client whose trustedPeers list the asking one may be named. */
static bool
parse_audience(struct slice word, const struct client *asking, const struct authorization_rules *rules, struct authorization_request *out)
{
	struct slice prefix = SLICE_LIT("audience:server:client_id:");

	if (!slice_has_prefix(word, prefix) || word.n == prefix.n)
		return false;
	struct slice id = slice_of(word.p + prefix.n, word.n - prefix.n);
	for (size_t i = 0; i < out->audience_n; i++)
		if (slice_eq(out->audiences[i], id))
			return true;
	if (out->audience_n == AUTHORIZATION_AUDIENCES_MAX)
		return false;
	bool trusted = slice_eq_str(id, asking->id);
	const struct client *peer = rules->client_find(rules->arg, id);
	for (size_t i = 0; peer && i < peer->trusted_peer_n; i++)
		trusted |= strcmp(peer->trusted_peers[i], asking->id) == 0;
	if (peer && trusted)
		out->audiences[out->audience_n++] = id;
	return peer && trusted;
}

bool
authorization_scope_parse(struct slice scope, const struct client *client, const struct authorization_rules *rules, struct authorization_request *out,
	struct slice *refused)
{
	static const struct word words[] = { { "openid", SCOPE_OPENID }, { "email", SCOPE_EMAIL }, { "profile", SCOPE_PROFILE },
		{ "groups", SCOPE_GROUPS }, { "offline_access", SCOPE_OFFLINE_ACCESS }, { "federated:id", SCOPE_FEDERATED_ID },
		{ "address", SCOPE_ADDRESS }, { "phone", SCOPE_PHONE }, { NULL, 0 } };

	out->scope = scope;
	while (scope.n) {
		struct slice word = slice_cut(&scope, ' ');
		if (word.n == 0)
			continue;
		unsigned bit = word_bit(words, word);
		if (!bit && !parse_audience(word, client, rules, out)) {
			*refused = word;
			return false;
		}
		out->scopes |= bit;
	}
	return true;
}

/* Where the answer goes, errors included. OAuth Multiple Response Types section 5: by default into the query for a code, into the fragment for
 * anything else; tokens never into a query. False: a mode that is none, or not allowed; *out is then the default. */
static bool
parse_response_mode(struct slice s, unsigned response_type, enum response_mode *out)
{
	static const char *const names[] = { "", "query", "fragment", "form_post" };
	bool tokens = (response_type & (RESPONSE_ID_TOKEN | RESPONSE_TOKEN)) != 0;

	*out = tokens ? RESPONSE_MODE_FRAGMENT : RESPONSE_MODE_QUERY;
	if (!s.p)
		return true;
	for (int i = tokens ? RESPONSE_MODE_FRAGMENT : RESPONSE_MODE_QUERY; i <= RESPONSE_MODE_FORM_POST; i++) {
		if (slice_eq_str(s, names[i])) {
			*out = (enum response_mode)i;
			return true;
		}
	}
	return false;
}

/* RFC 7636 4.3, 4.4.1. */
const char *
authorization_pkce_parse(const struct form *f, const struct client *client, const struct authorization_rules *rules, struct authorization_request *out)
{
	struct slice challenge = get(f, "code_challenge"), method = get(f, "code_challenge_method");

	out->pkce = PKCE_NONE;
	if (!challenge.n) {
		if (method.n)
			return "code_challenge_method without code_challenge";
		return client->public || rules->pkce_enforce ? "code_challenge is missing: this client must use PKCE with S256" : NULL;
	}
	if (slice_eq_str(method, "S256"))
		out->pkce = PKCE_S256;
	else if (rules->pkce_plain && !client->public && (!method.n || slice_eq_str(method, "plain")))
		out->pkce = PKCE_PLAIN;
	else
		return "code_challenge_method must be S256";
	out->code_challenge = challenge;
	return pkce_challenge_ok(challenge, out->pkce) ? NULL : "code_challenge is malformed";
}

/* Who asks, and where the answer may go: until both are certain, nothing is ever sent to redirect_uri. */
static enum authorization_outcome
parse_client(const struct form *f, const struct authorization_rules *rules, struct authorization_request *out, const struct client **client,
	struct authorization_error *e)
{
	if (occurs_twice(f, "client_id") || occurs_twice(f, "redirect_uri"))
		return fail(e, AUTHORIZATION_PAGE, "invalid_request", "The parameter client_id or redirect_uri occurs twice.");
	out->client_id = get(f, "client_id");
	out->redirect_uri = get(f, "redirect_uri");
	if (!out->client_id.n)
		return fail(e, AUTHORIZATION_PAGE, "invalid_request", "The parameter client_id is missing.");
	*client = out->client_id.n <= VALUE_BYTES_MAX ? rules->client_find(rules->arg, out->client_id) : NULL;
	if (!*client)
		return fail(e, AUTHORIZATION_PAGE, "invalid_client", "No application is registered here under this client_id.");
	if (!out->redirect_uri.n)
		return fail(e, AUTHORIZATION_PAGE, "invalid_request", "The parameter redirect_uri is missing.");
	if (out->redirect_uri.n > VALUE_BYTES_MAX || !client_redirect_uri_ok(*client, out->redirect_uri))
		return fail(e, AUTHORIZATION_PAGE, "invalid_request", "This redirect_uri is not registered for the application.");
	return AUTHORIZATION_OK;
}

unsigned
authorization_response_type(struct slice text)
{
	static const struct word response_types[] = { { "code", RESPONSE_CODE }, { "id_token", RESPONSE_ID_TOKEN }, { "token", RESPONSE_TOKEN }, { NULL, 0 } };
	unsigned bits;

	return parse_words(text, response_types, &bits) ? bits : 0;
}

/* response_type, response_mode and state decide how even an error is sent, so they are read before anything is refused. */
static enum authorization_outcome
parse_way_back(const struct form *f, struct authorization_request *out, struct authorization_error *e)
{
	struct slice response_type = get(f, "response_type"), state = get(f, "state");
	out->response_type = authorization_response_type(response_type);
	bool mode_ok = parse_response_mode(get(f, "response_mode"), out->response_type, &out->response_mode);
	struct slice twice = form_duplicate(f, (const char *const[]){ "resource", "audience", NULL });

	if (occurs_twice(f, "state"))
		state = SLICE_NONE;
	if (state.n > VALUE_BYTES_MAX || has_control(state))
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_request", "state is too long or has control characters");
	out->state = state;
	if (twice.p)
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_request", "parameter %.*s occurs twice", (int)(twice.n > 64 ? 64 : twice.n), twice.p);
	/* Core 6.1, 6.2: silence would mean that a signed request was honoured. */
	if (get(f, "request").p)
		return fail(e, AUTHORIZATION_REDIRECT, "request_not_supported", "request objects are not supported");
	if (get(f, "request_uri").p)
		return fail(e, AUTHORIZATION_REDIRECT, "request_uri_not_supported", "request_uri is not supported");
	if (!response_type.p)
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_request", "response_type is missing");
	if (!out->response_type)
		return fail(e, AUTHORIZATION_REDIRECT, "unsupported_response_type", "response_type is not supported");
	if (!mode_ok)
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_request", "response_mode must be query (for a code alone), fragment or form_post");
	return AUTHORIZATION_OK;
}

static enum authorization_outcome
parse_prompt(const struct form *f, struct authorization_request *out, struct authorization_error *e)
{
	static const struct word prompts[] = { { "none", PROMPT_NONE }, { "login", PROMPT_LOGIN }, { "consent", PROMPT_CONSENT },
		{ "select_account", PROMPT_SELECT_ACCOUNT }, { NULL, 0 } };
	struct slice max_age = get(f, "max_age");
	uint64_t seconds;

	if (!parse_words(get(f, "prompt"), prompts, &out->prompt))
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_request", "prompt has an unknown or repeated value");
	if ((out->prompt & PROMPT_NONE) && out->prompt != PROMPT_NONE)
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_request", "prompt none goes with no other value");
	if (!max_age.p)
		return AUTHORIZATION_OK;
	if (!slice_to_u64(max_age, INT32_MAX, &seconds))
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_request", "max_age is not a number of seconds");
	out->max_age_s = (int64_t)seconds;
	return AUTHORIZATION_OK;
}

/* OpenID Connect Core 3.1.2.1: what is asked for. */
static enum authorization_outcome
parse_rest(const struct form *f, const struct authorization_rules *rules, const struct client *client, struct authorization_request *out,
	struct authorization_error *e)
{
	struct slice unknown = SLICE_NONE;

	if (!(rules->response_types >> out->response_type & 1))
		return fail(e, AUTHORIZATION_REDIRECT, "unsupported_response_type", "response_type is not supported");
	if (!authorization_scope_parse(get(f, "scope"), client, rules, out, &unknown))
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_scope", "scope %.*s is unknown or not allowed for this client",
			(int)(unknown.n > 100 ? 100 : unknown.n), unknown.p);
	if (!(out->scopes & SCOPE_OPENID))
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_scope", "scope openid is missing");
	enum authorization_outcome outcome = parse_prompt(f, out, e);
	if (outcome != AUTHORIZATION_OK)
		return outcome;
	out->nonce = get(f, "nonce");
	out->login_hint = get(f, "login_hint");
	out->id_token_hint = get(f, "id_token_hint");
	out->connector_id = get(f, "connector_id");
	if (out->nonce.n > VALUE_BYTES_MAX || out->login_hint.n > VALUE_BYTES_MAX || out->connector_id.n > VALUE_BYTES_MAX || has_control(out->nonce))
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_request", "nonce, login_hint or connector_id is too long or has control characters");
	/* Core 3.2.2.1: REQUIRED where an id_token comes back through the browser. */
	if ((out->response_type & RESPONSE_ID_TOKEN) && !out->nonce.p)
		return fail(e, AUTHORIZATION_REDIRECT, "invalid_request", "nonce is missing");
	const char *why = out->response_type & RESPONSE_CODE ? authorization_pkce_parse(f, client, rules, out) : NULL;
	return why ? fail(e, AUTHORIZATION_REDIRECT, "invalid_request", "%s", why) : AUTHORIZATION_OK;
}

enum authorization_outcome
authorization_request_parse(const struct form *f, const struct authorization_rules *rules, struct authorization_request *out, const struct client **client,
	struct authorization_error *e)
{
	memset(out, 0, sizeof(*out));
	memset(e, 0, sizeof(*e));
	out->max_age_s = -1;
	*client = NULL;
	enum authorization_outcome outcome = parse_client(f, rules, out, client, e);
	if (outcome == AUTHORIZATION_OK)
		outcome = parse_way_back(f, out, e);
	if (outcome == AUTHORIZATION_OK)
		outcome = parse_rest(f, rules, *client, out, e);
	return outcome;
}

void
authorization_redirect_add(struct buf *out, struct slice redirect_uri, enum response_mode mode, struct slice params)
{
	char separator = '?';

	if (mode == RESPONSE_MODE_FRAGMENT)
		separator = '#';
	else if (redirect_uri.n && memchr(redirect_uri.p, '?', redirect_uri.n))
		separator = '&';
	buf_add_slice(out, redirect_uri);
	/* "https://a/?" has its mark already. */
	char last = redirect_uri.n ? redirect_uri.p[redirect_uri.n - 1] : '\0';
	if (separator != '&' || (last != '?' && last != '&'))
		buf_add_char(out, separator);
	buf_add_slice(out, params);
}
