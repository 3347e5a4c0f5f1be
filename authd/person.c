#include "authd/person.h"

static enum err
groups_from_strings(struct arena *arena, const struct config_strings *from, struct record_strings *to)
{
	to->n = from->n;
	to->items = arena_alloc(arena, (from->n + 1) * sizeof to->items[0]);
	for (size_t i = 0; to->items && i < from->n; i++)
		to->items[i] = slice_str(from->items[i]);
	return to->items ? OK : E_NOMEM;
}

enum err
person_from_password(struct arena *arena, const struct authd_password *p, struct record_user *out)
{
	struct slice username = slice_str(p->username);

	*out = (struct record_user){
		.connector_id = SLICE_LIT(AUTHD_PASSWORD_CONNECTOR),
		.user_id = slice_str(p->user_id),
		.username = p->name && p->name[0] ? slice_str(p->name) : username, /* dex's `name` claim is its username unless a name is given */
		.preferred_username = p->preferred_username && p->preferred_username[0] ? slice_str(p->preferred_username) : username,
		.email = slice_str(p->email),
		.email_verified = p->email_verified,
	};
	return groups_from_strings(arena, &p->groups, &out->groups);
}

enum err
person_copy(struct arena *arena, const struct record_user *from, struct record_user *to)
{
	struct slice *fields[] = { &to->connector_id, &to->user_id, &to->username, &to->preferred_username, &to->email, &to->connector_data };

	*to = *from;
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		*fields[i] = arena_slice(arena, *fields[i]);
		if (!fields[i]->p)
			return E_NOMEM;
	}
	to->groups.items = arena_alloc(arena, (from->groups.n + 1) * sizeof to->groups.items[0]);
	if (!to->groups.items)
		return E_NOMEM;
	for (size_t i = 0; i < from->groups.n; i++) {
		to->groups.items[i] = arena_slice(arena, from->groups.items[i]);
		if (!to->groups.items[i].p)
			return E_NOMEM;
	}
	return OK;
}

bool
person_same(const struct record_user *a, const struct record_user *b)
{
	return slice_eq(a->connector_id, b->connector_id) && slice_eq(a->user_id, b->user_id);
}

enum err
person_refresh(const struct directory *d, struct record_user *user)
{
	const struct authd_password *p;
	enum err e;

	if (!slice_eq_str(user->connector_id, AUTHD_PASSWORD_CONNECTOR))
		return app_generation_connector(d->generation, user->connector_id) ? OK : E_DENIED;
	if (!d->generation->config->enable_password_db)
		return E_DENIED;
	e = directory_account(d, user->user_id, &p);
	return e == OK ? person_from_password(d->arena, p, user) : e == E_EMPTY ? E_DENIED : e;
}

struct token_person
person_claims(const struct record_user *user)
{
	return (struct token_person){
		.connector_id = user->connector_id,
		.user_id = user->user_id,
		.name = user->username,
		.preferred_username = user->preferred_username,
		.email = user->email,
		.email_verified = user->email_verified,
		.groups = user->groups.items,
		.group_n = user->groups.n,
	};
}

struct slice
person_label(const struct record_user *user)
{
	return user->email.n ? user->email : user->username;
}
