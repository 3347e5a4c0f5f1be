/* Sessions, users. */
#include <stdlib.h>
#include "authd/ctl_internal.h"
#include "authd/password.h"

int
ctl_print_list(struct ctl *c, const char *path, const char *query, const struct ctl_column *columns)
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

int
ctl_end_selected(struct ctl *c, const struct buf *form, long long *n)
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

int
ctl_end_both(struct ctl *c, struct slice more, bool by_client, struct ctl_ended *n)
{
	long long *counts[] = { &n->browser, &n->offline };
	int status = CTL_DONE;

	for (size_t i = by_client; i < 2 && status == CTL_DONE; i++) {
		struct buf form;
		buf_init(&form, 0);
		ctl_form_add(&form, "kind", kinds[i]);
		buf_add_slice(&form, more);
		status = buf_ok(&form) ? ctl_end_selected(c, &form, counts[i]) : ctl_no_memory();
		buf_fini(&form);
	}
	return status;
}

int
ctl_print_ended(struct ctl *c, const struct ctl_ended *n)
{
	if (c->json)
		printf("{\"ended\":{\"browser\":%lld,\"offline\":%lld}}\n", n->browser, n->offline);
	else
		printf("ended: %lld browser sessions, %lld refresh tokens\n", n->browser, n->offline);
	return ctl_flush();
}

int
ctl_remove(struct ctl *c, const char *path, const char *name, json_t **answer)
{
	struct buf form;

	buf_init(&form, 0);
	ctl_form_add(&form, name, c->operands[0]);
	return ctl_call(c, path, &form, answer);
}

int
ctl_sessions_end(struct ctl *c)
{
	const char *user = ctl_option(c, "user"), *client = ctl_option(c, "client"), *connector = ctl_option(c, "connector");
	bool all = ctl_switch(c, "all");
	struct ctl_ended n = { 0, 0 };
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
	status = ctl_end_both(c, buf_slice(&more), client != NULL, &n);
	buf_fini(&more);
	if (status != CTL_DONE)
		return status;
	status = ctl_print_ended(c, &n);
	if (status == CTL_DONE && c->operand_n && n.browser + n.offline == 0)
		return ctl_say(CTL_FAILED, "nobody is signed in under %s (authd ctl sessions list)", c->operand_n > 1 ? "these session ids" : "this session id");
	return status;
}

/* ---- users ---- */

int
ctl_users_list(struct ctl *c)
{
	static const struct ctl_column columns[] = { { "EMAIL", "email" }, { "USER NAME", "username" }, { "USER ID", "user_id" }, { "SOURCE", "source" },
		{ "SHADOWED", "shadowed" }, { "PASSWORD SINCE", "password_changed_at" }, { "GROUPS", "groups" }, { NULL, NULL } };

	return ctl_print_list(c, "/users", "", columns);
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
print_user(struct ctl *c, const json_t *answer, const char *what, const struct ctl_ended *n)
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
end_sessions_of(struct ctl *c, const json_t *answer, struct ctl_ended *n)
{
	const char *id = json_string_value(json_object_get(answer, "user_id"));
	struct buf more;
	int status;

	buf_init(&more, 0);
	buf_add_str(&more, "&connector=local&user=");
	buf_add_urlencoded(&more, slice_str(id));
	status = id && *id ? ctl_end_both(c, buf_slice(&more), false, n) : CTL_DONE;
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
	struct ctl_ended n = { 0, 0 };
	json_t *answer;
	int status = ctl_remove(c, "/users/remove", "user", &answer);

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
	struct ctl_ended n = { 0, 0 };
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
