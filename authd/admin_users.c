/* People with a local password who are stored beside those of the configuration. Passwords never come here: `authd ctl` sends bcrypt hashes. */
#include "authd/admin.h"
#include "authd/directory.h"
#include "oidc/identity.h"
#include "shared/log.h"

#define USER_ID_BYTES 16     /* of one that we make: 22 characters */
#define USER_ID_BYTES_MAX 256 /* it is a key of the store */
#define LOGIN_BYTES_MAX 320   /* of what is typed: RFC 5321's 64 + 1 + 255 */

/* ---- listing ---- */

static void
add_account(struct buf *b, const struct authd_password *p, const char *source, bool shadowed, int64_t created_at, int64_t changed_at)
{
	buf_add_str(b, "{\"user_id\":");
	buf_add_json(b, slice_str(p->user_id));
	admin_add_text(b, "email", slice_str(p->email));
	admin_add_bool(b, "email_verified", p->email_verified);
	admin_add_text(b, "username", slice_str(p->username));
	admin_add_text(b, "name", slice_str(p->name));
	admin_add_text(b, "preferred_username", slice_str(p->preferred_username));
	admin_add_strings(b, "groups", &p->groups);
	admin_add_text(b, "source", slice_str(source));
	admin_add_bool(b, "shadowed", shadowed);
	admin_add_time(b, "created_at", created_at);
	admin_add_time(b, "password_changed_at", changed_at);
	buf_add_char(b, '}');
}

/* Whether the configuration has somebody of this id or address: then this account is not reached by it. */
static bool
is_shadowed(const struct authd_config *c, const struct authd_password *p)
{
	const struct authd_password *all = c->passwords.items;

	for (size_t i = 0; i < c->passwords.n; i++)
		if (strcmp(all[i].user_id, p->user_id) == 0)
			return true;
	return authd_config_password(c, slice_str(p->email)) != NULL;
}

static enum err
visit_stored(struct admin_page *p, struct slice user_id, const void *record)
{
	const struct record_account *stored = record;
	const struct authd_password *a;
	enum err e = directory_account_of(&p->scratch, user_id, stored, &a);

	if (e == OK)
		add_account(admin_page_item(p), a, "stored", is_shadowed(p->r->generation->config, a), stored->created_at, stored->changed_at);
	return e;
}

void
admin_users_list(struct request *r, struct slice rest)
{
	const struct config_list *list = &r->generation->config->passwords;
	const struct authd_password *all = list->items;
	const struct form *form = admin_form(r);
	struct admin_page p;

	(void)rest;
	if (!form || !admin_page_begin(&p, r, form))
		return;
	for (size_t i = 0; i < list->n && !p.after.n; i++)
		add_account(admin_page_item(&p), &all[i], "config", false, 0, 0);
	p.visit = visit_stored;
	admin_page_send(&p, admin_page_run(&p, RECORD_ACCOUNT));
}

/* ---- changing ---- */

enum outcome { CHANGED, USER_UNKNOWN, USER_CONFIGURED, EMAIL_TAKEN, USERNAME_TAKEN, USER_ID_TAKEN };

struct change {
	struct request *r;
	struct slice user, user_id; /* whom it is about, as asked; as found or made */
	struct record_account record;
	enum outcome outcome;       /* result */
};

static struct change *
change_new(struct request *r, const struct form **form)
{
	struct change *c = arena_alloc(&r->arena, sizeof(*c));

	*form = admin_form(r);
	if (!*form)
		return NULL;
	if (!c) {
		admin_refuse_store(r, E_NOMEM);
		return NULL;
	}
	c->r = r;
	r->state = c;
	return c;
}

/* What every change ends with. False: r has been answered. */
static bool
changed(struct request *r, enum err result, const char *what)
{
	const struct change *c = r->state;

	if (result != OK) {
		admin_refuse_store(r, result);
		return false;
	}
	switch (c->outcome) {
	case CHANGED:
		log_info(what, LOG_SLICE("user_id", c->user_id), LOG_UINT("uid", r->peer_uid), LOG_REQ(r->id));
		return true;
	case USER_UNKNOWN:
		admin_refuse(r, 404, "nobody stored has the address, user name or user id \"%.*s\" (authd ctl users list shows them)", SLICE_FMT(c->user));
		return false;
	case USER_CONFIGURED:
		admin_refuse(r, 409, "\"%.*s\" stands in the configuration: change staticPasswords there and reload authd (SIGHUP)", SLICE_FMT(c->user));
		return false;
	case EMAIL_TAKEN:
		admin_refuse(r, 409, "somebody has the address \"%.*s\" already", SLICE_FMT(c->record.email));
		return false;
	case USERNAME_TAKEN:
		admin_refuse(r, 409, "somebody has the user name \"%.*s\" already", SLICE_FMT(c->record.username));
		return false;
	case USER_ID_TAKEN:
		admin_refuse(r, 409, "somebody has the user id \"%.*s\" already: it becomes the sub of tokens, so it must not go to another person",
			SLICE_FMT(c->user_id));
		return false;
	}
	return false;
}

static void
send_user_id(struct request *r, const struct change *c)
{
	struct buf body;

	buf_init(&body, 0);
	buf_add_str(&body, "{\"user_id\":");
	buf_add_json(&body, c->user_id);
	buf_add_char(&body, '}');
	admin_send(r, 200, &body);
}

/* ---- adding ---- */

/* NULL: fine. The parameter that is wrong in *name. */
static const char *
record_fault(const struct change *c, const char **name)
{
	static const char text[] = "expected a text without control characters and without blanks at its ends";
	const struct record_account *a = &c->record;
	const char *why;

	if (*name = "email", !identity_value_ok(a->email) || a->email.n > LOGIN_BYTES_MAX)
		return "expected a mail address: it is what the person types to sign in";
	if (*name = "username", a->username.n && (!identity_value_ok(a->username) || a->username.n > LOGIN_BYTES_MAX))
		return text;
	if (*name = "name", a->name.n && !identity_value_ok(a->name))
		return text;
	if (*name = "preferred-username", a->preferred_username.n && !identity_value_ok(a->preferred_username))
		return text;
	if (*name = "user-id", !identity_value_ok(c->user_id) || c->user_id.n > USER_ID_BYTES_MAX)
		return "expected a text of at most 256 bytes without control characters and without blanks at its ends";
	for (size_t i = 0; i < a->groups.n; i++)
		if (*name = "group", !identity_value_ok(a->groups.items[i]))
			return text;
	if (*name = "password", !password_hash_ok(a->hash, &why))
		return why;
	return NULL;
}

static enum err
name_put(struct store_txn *t, struct slice key, struct slice user_id)
{
	struct record_account_name name = { .user_id = user_id };

	return key.p ? store_put(t, RECORD_ACCOUNT_NAME, key, &name) : E_NOMEM;
}

/* Nobody may be mistaken for somebody else: neither by what is typed nor by id. */
static enum err
find_taken(struct store_txn *t, struct change *c)
{
	struct directory d = directory_in(c->r->generation, t, &c->r->arena);
	const struct {
		struct slice login;
		enum outcome taken;
	} logins[] = { { c->record.email, EMAIL_TAKEN }, { c->record.username, USERNAME_TAKEN } };
	const struct authd_password *there;

	c->outcome = CHANGED;
	for (size_t i = 0; i < 2; i++) {
		enum err e = directory_account_by_login(&d, logins[i].login, &there);
		if (e == OK)
			c->outcome = logins[i].taken;
		if (e != E_EMPTY)
			return e;
	}
	enum err e = directory_account(&d, c->user_id, &there);
	if (e == OK)
		c->outcome = USER_ID_TAKEN;
	return e == E_EMPTY ? OK : e;
}

static enum err
add_store(struct store_txn *t, void *arg)
{
	struct change *c = arg;
	struct arena *arena = &c->r->arena;
	enum err e = find_taken(t, c);

	if (e != OK || c->outcome != CHANGED)
		return e;
	e = store_put(t, RECORD_ACCOUNT, c->user_id, &c->record);
	if (e == OK)
		e = name_put(t, directory_email_key(arena, c->record.email), c->user_id);
	if (e == OK && c->record.username.n)
		e = name_put(t, directory_username_key(arena, c->record.username), c->user_id);
	return e;
}

static void
add_stored(struct request *r, enum err result)
{
	const struct change *c = r->state;

	if (!changed(r, result, "user added"))
		return;
	password_pool_raise_cost(r->app->passwords, password_hash_cost(c->record.hash));
	send_user_id(r, c);
}

void
admin_users_add(struct request *r, struct slice rest)
{
	const struct form *form;
	struct change *c = change_new(r, &form);
	const char *why, *name;
	enum err e;

	(void)rest;
	if (!c)
		return;
	c->record = (struct record_account){ .hash = form_get(form, "hash"), .email = form_get(form, "email"), .username = form_get(form, "username"),
		.name = form_get(form, "name"), .preferred_username = form_get(form, "preferred_username"),
		.email_verified = !slice_eq_str(form_get(form, "email_verified"), "false"), .created_at = request_now_s(r), .changed_at = request_now_s(r) };
	c->user_id = form_get(form, "user_id").n ? form_get(form, "user_id") : request_secret(r, USER_ID_BYTES);
	e = admin_list(&r->arena, form_get(form, "groups"), &c->record.groups);
	if (e == E_NOMEM || !c->user_id.p)
		admin_refuse_store(r, E_NOMEM);
	else if (e != OK)
		admin_refuse(r, 400, "group: expected at most %d groups, none of them empty", RECORD_LIST_MAX);
	else if (!r->generation->config->enable_password_db)
		admin_refuse(r, 409, "nobody can sign in with a password here: set enablePasswordDB: true in authd's configuration and reload it (SIGHUP)");
	else if ((why = record_fault(c, &name)))
		admin_refuse(r, 400, "%s: %s", name, why);
	else
		request_write(r, add_store, c, add_stored);
}

/* ---- one who is there ---- */

/* By address, user name or id. c->outcome says when there is nobody. */
static enum err
find_stored(struct store_txn *t, struct change *c)
{
	struct directory d = directory_in(c->r->generation, t, &c->r->arena);
	const struct authd_password *p;
	enum err e = directory_account_by_login(&d, c->user, &p);

	if (e == E_EMPTY)
		e = directory_account(&d, c->user, &p);
	if (e == OK) {
		c->user_id = slice_str(p->user_id);
		e = store_get(t, RECORD_ACCOUNT, c->user_id, &c->r->arena, &c->record);
		c->outcome = e == E_EMPTY ? USER_CONFIGURED : CHANGED;
	} else {
		c->outcome = USER_UNKNOWN;
	}
	return e == E_EMPTY ? OK : e;
}

static enum err
gone(enum err e)
{
	return e == E_EMPTY ? OK : e;
}

static enum err
remove_store(struct store_txn *t, void *arg)
{
	struct change *c = arg;
	struct arena *arena = &c->r->arena;
	enum err e = find_stored(t, c);

	if (e != OK || c->outcome != CHANGED)
		return e;
	e = gone(store_delete(t, RECORD_ACCOUNT, c->user_id));
	if (e == OK)
		e = gone(store_delete(t, RECORD_ACCOUNT_NAME, directory_email_key(arena, c->record.email)));
	if (e == OK && c->record.username.n)
		e = gone(store_delete(t, RECORD_ACCOUNT_NAME, directory_username_key(arena, c->record.username)));
	return e;
}

static void
remove_stored(struct request *r, enum err result)
{
	if (changed(r, result, "user removed"))
		send_user_id(r, r->state);
}

void
admin_users_remove(struct request *r, struct slice rest)
{
	const struct form *form;
	struct change *c = change_new(r, &form);

	(void)rest;
	if (!c)
		return;
	c->user = form_get(form, "user");
	request_write(r, remove_store, c, remove_stored);
}

static enum err
passwd_store(struct store_txn *t, void *arg)
{
	struct change *c = arg;
	struct slice hash = c->record.hash; /* the new one; a second run finds it there again */
	enum err e = find_stored(t, c);

	c->record.hash = hash;
	c->record.changed_at = request_now_s(c->r);
	return e == OK && c->outcome == CHANGED ? store_put(t, RECORD_ACCOUNT, c->user_id, &c->record) : e;
}

static void
passwd_stored(struct request *r, enum err result)
{
	const struct change *c = r->state;

	if (!changed(r, result, "password changed"))
		return;
	password_pool_raise_cost(r->app->passwords, password_hash_cost(c->record.hash));
	send_user_id(r, c);
}

void
admin_users_passwd(struct request *r, struct slice rest)
{
	const struct form *form;
	struct change *c = change_new(r, &form);
	const char *why;

	(void)rest;
	if (!c)
		return;
	c->user = form_get(form, "user");
	c->record.hash = form_get(form, "hash");
	if (password_hash_ok(c->record.hash, &why))
		request_write(r, passwd_store, c, passwd_stored);
	else
		admin_refuse(r, 400, "password: expected %s", why);
}
