/* Sessions, clients, users. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include "authd/ctl_internal.h"
#include "authd/password.h"
#include "authd/store.h"
#include "oidc/base64url.h"

#define SECRET_BYTES 32
#define SECRET_CHARS_MIN 16 /* of one that is brought along: it is stored by a plain hash, which makes guessing cheap */

static int
list(struct ctl *c, const char *path, const char *query, const struct ctl_column *columns)
{
	struct ctl_list l;
	int status;

	ctl_list_begin(&l, c, columns);
	status = ctl_each(c, path, query, ctl_list_page, &l);
	return status == CTL_DONE ? ctl_list_end(&l) : status;
}

/* ---- sessions ---- */

static const char *const kinds[] = { "browser", "offline" };

static struct buf
selection(const struct ctl *c, const char *kind)
{
	struct buf form;

	buf_init(&form, 0);
	ctl_form_add(&form, "kind", kind);
	ctl_form_add(&form, "user", ctl_option(c, "user"));
	ctl_form_add(&form, "connector", ctl_option(c, "connector"));
	ctl_form_add(&form, "client", ctl_option(c, "client"));
	return form;
}

int
ctl_sessions_list(struct ctl *c)
{
	static const struct ctl_column columns[] = { { "SID", "sid" }, { "KIND", "kind" }, { "USER", "email" }, { "CONNECTOR", "connector" },
		{ "CLIENT", "client" }, { "SINCE", "auth_time" }, { "LAST USED", "last_used_at" }, { "UNTIL", "expires_at" }, { "ADDRESS", "address" }, { NULL, NULL } };
	const char *only = ctl_option(c, "kind");
	struct ctl_list l;
	int status = CTL_DONE;

	if (only && strcmp(only, kinds[0]) != 0 && strcmp(only, kinds[1]) != 0)
		return ctl_say(CTL_USAGE, "--kind: expected browser or offline, found \"%s\"", only);
	ctl_list_begin(&l, c, columns);
	for (size_t i = 0; i < 2 && status == CTL_DONE; i++) {
		struct buf query = selection(c, kinds[i]);
		/* A browser's session is of no client. */
		bool asked = !only || strcmp(only, kinds[i]) == 0;
		if (!buf_ok(&query))
			status = ctl_no_memory();
		else if (asked && (i == 1 || !ctl_option(c, "client")))
			status = ctl_each(c, "/sessions", buf_slice(&query).p, ctl_list_page, &l);
		buf_fini(&query);
	}
	return status == CTL_DONE ? ctl_list_end(&l) : status;
}

/* End what a form selects, page by page. */
static int
end_selected(struct ctl *c, const struct buf *form, long long *n)
{
	const char *after = "";
	int status;

	do {
		struct buf q;
		json_t *answer;
		buf_init(&q, 0);
		buf_add_slice(&q, buf_slice(form));
		ctl_form_add(&q, "after", *after ? after : NULL);
		status = ctl_call(c, "/sessions/end", &q, &answer);
		if (status != CTL_DONE)
			return status;
		*n += json_integer_value(json_object_get(answer, "ended"));
		after = json_string_value(json_object_get(answer, "after"));
		after = arena_strdup(&c->arena, after ? after : "");
		json_decref(answer);
	} while (after && *after);
	return after ? CTL_DONE : ctl_no_memory();
}

struct ended {
	long long browser, offline;
};

/* By client: a browser's session is of none. */
static int
end_both(struct ctl *c, struct slice more, bool by_client, struct ended *n)
{
	long long *counts[] = { &n->browser, &n->offline };
	int status = CTL_DONE;

	for (size_t i = by_client; i < 2 && status == CTL_DONE; i++) {
		struct buf form;
		buf_init(&form, 0);
		ctl_form_add(&form, "kind", kinds[i]);
		buf_add_slice(&form, more);
		status = buf_ok(&form) ? end_selected(c, &form, counts[i]) : ctl_no_memory();
		buf_fini(&form);
	}
	return status;
}

static int
print_ended(struct ctl *c, const struct ended *n)
{
	if (c->json)
		printf("{\"ended\":{\"browser\":%lld,\"offline\":%lld}}\n", n->browser, n->offline);
	else
		printf("ended: %lld browser sessions, %lld refresh tokens\n", n->browser, n->offline);
	return ctl_flush();
}

int
ctl_sessions_end(struct ctl *c)
{
	const char *user = ctl_option(c, "user"), *client = ctl_option(c, "client"), *connector = ctl_option(c, "connector");
	bool all = ctl_switch(c, "all");
	struct ended n = { 0, 0 };
	struct buf more;
	int status;

	if ((c->operand_n > 0) + (user != NULL) + (client != NULL) + all != 1)
		return ctl_say(CTL_USAGE, "expected either session ids, or --user, or --client, or --all");
	if (connector && !user)
		return ctl_say(CTL_USAGE, "--connector goes with --user");
	buf_init(&more, 0);
	buf_add_char(&more, '&');
	for (size_t i = 0; i < c->operand_n; i++) {
		buf_add_str(&more, i ? "%0A" : "sids=");
		buf_add_urlencoded(&more, slice_str(c->operands[i]));
	}
	if (!c->operand_n)
		buf_printf(&more, "all=%s", all ? "true" : "false");
	ctl_form_add(&more, "user", user);
	ctl_form_add(&more, "connector", connector);
	ctl_form_add(&more, "client", client);
	status = end_both(c, buf_slice(&more), client != NULL, &n);
	buf_fini(&more);
	if (status != CTL_DONE)
		return status;
	status = print_ended(c, &n);
	if (status == CTL_DONE && c->operand_n && n.browser + n.offline == 0)
		return ctl_say(CTL_FAILED, "nobody is signed in under %s (authd ctl sessions list)", c->operand_n > 1 ? "these session ids" : "this session id");
	return status;
}

/* ---- clients ---- */

int
ctl_clients_list(struct ctl *c)
{
	static const struct ctl_column columns[] = { { "ID", "id" }, { "NAME", "name" }, { "PUBLIC", "public" }, { "SOURCE", "source" },
		{ "SHADOWED", "shadowed" }, { "CREATED", "created_at" }, { "REDIRECT URIS", "redirect_uris" }, { NULL, NULL } };

	return list(c, "/clients", "", columns);
}

/* New, or from standard input. */
static int
secret_get(struct ctl *c, struct slice *secret)
{
	unsigned char bytes[SECRET_BYTES];
	char *text = arena_alloc(&c->arena, BASE64URL_ENCODED_BYTES(SECRET_BYTES) + 1);
	int status;

	if (ctl_switch(c, "secret-stdin")) {
		status = ctl_line(c, "--secret-stdin", secret);
		if (status == CTL_DONE && secret->n < SECRET_CHARS_MIN)
			return ctl_say(CTL_USAGE, "--secret-stdin: expected at least %d characters, and nothing that can be guessed", SECRET_CHARS_MIN);
		return status;
	}
	if (!text)
		return ctl_no_memory();
	if (rng_fill(&rng_system, bytes, sizeof(bytes)) != OK)
		return ctl_say(CTL_FAILED, "no randomness for a secret: %m");
	*secret = slice_of(text, base64url_encode(bytes, sizeof(bytes), text));
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return CTL_DONE;
}

static int
add_secret_hash(struct buf *form, struct slice secret)
{
	unsigned char hash[32];

	if (!store_hash(secret, hash).n)
		return ctl_no_memory();
	buf_add_str(form, "&secret_hash=");
	base64url_add(form, hash, sizeof(hash));
	return CTL_DONE;
}

/* The secret is shown where it was made here: nobody can read it again. */
static int
print_added(struct ctl *c, struct slice made)
{
	struct buf text;
	int status;

	buf_init(&text, 0);
	if (c->json) {
		buf_add_str(&text, "{\"id\":");
		buf_add_json(&text, slice_str(c->operands[0]));
		if (made.n) {
			buf_add_str(&text, ",\"secret\":");
			buf_add_json(&text, made);
		}
		buf_add_str(&text, "}\n");
	} else if (made.n) {
		buf_printf(&text, "added: %s\nsecret: %.*s\nKeep it now: only its hash is stored.\n", c->operands[0], SLICE_FMT(made));
	} else {
		buf_printf(&text, "added: %s\n", c->operands[0]);
	}
	fwrite(buf_slice(&text).p, 1, text.n, stdout);
	status = buf_ok(&text) ? ctl_flush() : ctl_no_memory();
	buf_fini_secret(&text);
	return status;
}

int
ctl_clients_add(struct ctl *c)
{
	bool public = ctl_switch(c, "public"), given = ctl_switch(c, "secret-stdin");
	struct slice secret = SLICE_NONE;
	struct buf form;
	json_t *answer;
	int status = CTL_DONE;

	if (!ctl_option(c, "name"))
		return ctl_say(CTL_USAGE, "clients add: --name is needed: people are asked whether they trust it");
	if (!public || given)
		status = secret_get(c, &secret);
	if (status != CTL_DONE)
		return status;
	buf_init(&form, 0);
	ctl_form_add(&form, "id", c->operands[0]);
	ctl_form_add(&form, "name", ctl_option(c, "name"));
	ctl_form_add(&form, "logo_url", ctl_option(c, "logo-url"));
	ctl_form_add(&form, "backchannel_logout_uri", ctl_option(c, "backchannel-logout-uri"));
	ctl_form_add(&form, "public", public ? "true" : "false");
	ctl_form_add_list(&form, "redirect_uris", c, "redirect-uri");
	ctl_form_add_list(&form, "connectors", c, "connector");
	ctl_form_add_list(&form, "trusted_peers", c, "trusted-peer");
	ctl_form_add_list(&form, "post_logout_redirect_uris", c, "post-logout-redirect-uri");
	if (secret.n)
		status = add_secret_hash(&form, secret);
	if (status != CTL_DONE) {
		buf_fini_secret(&form);
		return status;
	}
	status = ctl_call(c, "/clients/add", &form, &answer);
	if (status != CTL_DONE)
		return status;
	json_decref(answer);
	return print_added(c, given ? SLICE_NONE : secret);
}

/* What people agreed to for this client is not for another of its id. */
static int
forget_approvals(struct ctl *c, const char *client)
{
	struct buf form;
	long long n = 0;
	int status;

	buf_init(&form, 0);
	ctl_form_add(&form, "kind", "approval");
	ctl_form_add(&form, "client", client);
	status = buf_ok(&form) ? end_selected(c, &form, &n) : ctl_no_memory();
	buf_fini(&form);
	return status;
}

int
ctl_clients_remove(struct ctl *c)
{
	struct ended n = { 0, 0 };
	struct buf form;
	json_t *answer;
	int status;

	buf_init(&form, 0);
	ctl_form_add(&form, "id", c->operands[0]);
	status = ctl_call(c, "/clients/remove", &form, &answer);
	if (status != CTL_DONE)
		return status;
	json_decref(answer);
	buf_init(&form, 0);
	buf_add_char(&form, '&');
	buf_add_str(&form, "client=");
	buf_add_urlencoded(&form, slice_str(c->operands[0]));
	status = end_both(c, buf_slice(&form), true, &n);
	buf_fini(&form);
	if (status == CTL_DONE)
		status = forget_approvals(c, c->operands[0]);
	return status == CTL_DONE ? print_ended(c, &n) : status;
}

/* ---- users ---- */

int
ctl_users_list(struct ctl *c)
{
	static const struct ctl_column columns[] = { { "EMAIL", "email" }, { "USER NAME", "username" }, { "USER ID", "user_id" }, { "SOURCE", "source" },
		{ "SHADOWED", "shadowed" }, { "PASSWORD SINCE", "password_changed_at" }, { "GROUPS", "groups" }, { NULL, NULL } };

	return list(c, "/users", "", columns);
}

/* A hash from standard input, or of a password that is asked for: it never leaves this process. */
static int
hash_get(struct ctl *c, const char **hash)
{
	const char *cost_text = ctl_option(c, "cost"), *why;
	uint64_t cost = PASSWORD_COST_MIN;
	struct slice text;
	char *out;
	int status;

	if (cost_text && (!slice_to_u64(slice_str(cost_text), PASSWORD_COST_MAX, &cost) || cost < PASSWORD_COST_MIN))
		return ctl_say(CTL_USAGE, "--cost: expected %d to %d, found \"%s\"", PASSWORD_COST_MIN, PASSWORD_COST_MAX, cost_text);
	if (ctl_switch(c, "hash-stdin")) {
		status = ctl_line(c, "--hash-stdin", &text);
		if (status == CTL_DONE && !password_hash_ok(text, &why))
			return ctl_say(CTL_USAGE, "--hash-stdin: expected %s", why);
		*hash = text.p;
		return status;
	}
	status = ctl_password(c, "password", &text);
	if (status != CTL_DONE)
		return status;
	out = arena_alloc(&c->arena, PASSWORD_HASH_BYTES);
	if (!out)
		return ctl_no_memory();
	*hash = out;
	switch (password_hash_make(text, (unsigned)cost, &rng_system, out)) {
	case OK:
		return CTL_DONE;
	case E_FORMAT:
		return ctl_say(CTL_USAGE, "password: expected 1 to %d bytes without NUL: bcrypt takes no more", PASSWORD_BYTES_MAX);
	default:
		return ctl_say(CTL_FAILED, "the password cannot be hashed: crypt(3) or the system's randomness failed");
	}
}

/* {"user_id": …} of an answer, printed; with sessions ended where n is given. */
static int
print_user(struct ctl *c, const json_t *answer, const char *what, const struct ended *n)
{
	const char *id = json_string_value(json_object_get(answer, "user_id"));

	if (c->json)
		return ctl_print_object(c, answer);
	printf("%s: %s (user id %s)\n", what, c->operands[0], id ? id : "?");
	if (n)
		printf("ended: %lld browser sessions, %lld refresh tokens\n", n->browser, n->offline);
	return ctl_flush();
}

/* Of a person with a local password, by the id that authd answered with. */
static int
end_sessions_of(struct ctl *c, const json_t *answer, struct ended *n)
{
	const char *id = json_string_value(json_object_get(answer, "user_id"));
	struct buf more;
	int status;

	buf_init(&more, 0);
	buf_add_str(&more, "&connector=local&user=");
	buf_add_urlencoded(&more, slice_str(id));
	status = id && *id ? end_both(c, buf_slice(&more), false, n) : CTL_DONE;
	buf_fini(&more);
	return status;
}

int
ctl_users_add(struct ctl *c)
{
	const char *hash;
	struct buf form;
	json_t *answer;
	int status = hash_get(c, &hash);

	if (status != CTL_DONE)
		return status;
	buf_init(&form, 0);
	ctl_form_add(&form, "email", c->operands[0]);
	ctl_form_add(&form, "hash", hash);
	ctl_form_add(&form, "username", ctl_option(c, "username"));
	ctl_form_add(&form, "name", ctl_option(c, "name"));
	ctl_form_add(&form, "preferred_username", ctl_option(c, "preferred-username"));
	ctl_form_add(&form, "user_id", ctl_option(c, "user-id"));
	ctl_form_add(&form, "email_verified", ctl_switch(c, "unverified") ? "false" : "true");
	ctl_form_add_list(&form, "groups", c, "group");
	status = ctl_call(c, "/users/add", &form, &answer);
	if (status != CTL_DONE)
		return status;
	status = print_user(c, answer, "added", NULL);
	json_decref(answer);
	return status;
}

int
ctl_users_remove(struct ctl *c)
{
	struct ended n = { 0, 0 };
	struct buf form;
	json_t *answer;
	int status;

	buf_init(&form, 0);
	ctl_form_add(&form, "user", c->operands[0]);
	status = ctl_call(c, "/users/remove", &form, &answer);
	if (status != CTL_DONE)
		return status;
	status = end_sessions_of(c, answer, &n);
	if (status == CTL_DONE)
		status = print_user(c, answer, "removed", &n);
	json_decref(answer);
	return status;
}

int
ctl_users_passwd(struct ctl *c)
{
	bool end = ctl_switch(c, "end-sessions");
	struct ended n = { 0, 0 };
	const char *hash;
	struct buf form;
	json_t *answer;
	int status = hash_get(c, &hash);

	if (status != CTL_DONE)
		return status;
	buf_init(&form, 0);
	ctl_form_add(&form, "user", c->operands[0]);
	ctl_form_add(&form, "hash", hash);
	status = ctl_call(c, "/users/passwd", &form, &answer);
	if (status != CTL_DONE)
		return status;
	if (end)
		status = end_sessions_of(c, answer, &n);
	if (status == CTL_DONE)
		status = print_user(c, answer, "new password", end ? &n : NULL);
	json_decref(answer);
	return status;
}
