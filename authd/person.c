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

struct slice
person_subject(struct arena *arena, const struct client *client, const struct record_user *user)
{
	struct slice sub = SLICE_NONE;
	struct buf b;

	buf_init(&b, 0);
	token_subject_add(&b, user->user_id, user->connector_id, client && client->plain_subject);
	if (buf_ok(&b))
		sub = arena_slice(arena, buf_slice(&b));
	buf_fini(&b);
	return sub;
}

bool
person_has_subject(struct arena *arena, const struct record_user *user, struct slice sub)
{
	static const struct client plain = { .plain_subject = true };

	return sub.n && (slice_eq(person_subject(arena, NULL, user), sub) || slice_eq(person_subject(arena, &plain, user), sub));
}

static enum err
groups_wanted(struct arena *arena, const struct client *client, struct token_person *p)
{
	struct slice *wanted = arena_alloc(arena, (p->group_n + 1) * sizeof *wanted);
	size_t n = 0;

	for (size_t i = 0; wanted && i < p->group_n; i++)
		if (client_group_wanted(client, p->groups[i]))
			wanted[n++] = p->groups[i];
	p->groups = wanted;
	p->group_n = n;
	return wanted ? OK : E_NOMEM;
}

static struct token_claim
claim_of(struct arena *arena, const struct client *client, const struct client_claim *c, const struct record_user *user, const struct token_person *p)
{
	struct token_claim claim = { .name = slice_str(c->name) };

	switch (c->from) {
	case CLAIM_TEXT:
		claim.text = slice_str(c->text);
		break;
	case CLAIM_SUB:
		claim.text = person_subject(arena, client, user);
		break;
	case CLAIM_USER_ID:
		claim.text = p->user_id;
		break;
	case CLAIM_CONNECTOR_ID:
		claim.text = p->connector_id;
		break;
	case CLAIM_NAME:
		claim.text = p->name;
		break;
	case CLAIM_PREFERRED_USERNAME:
		claim.text = p->preferred_username;
		break;
	case CLAIM_EMAIL:
		claim.text = p->email_verified ? p->email : SLICE_NONE;
		break;
	case CLAIM_GROUPS:
		claim.items = p->groups;
		claim.n = p->group_n;
		break;
	}
	return claim;
}

/* What the person has nothing for is left out. */
static enum err
claims_add(struct arena *arena, const struct client *client, const struct record_user *user, struct token_person *p)
{
	struct token_claim *claims = arena_alloc(arena, (client->claim_n + 1) * sizeof *claims);

	if (!claims)
		return E_NOMEM;
	for (size_t i = 0; i < client->claim_n; i++) {
		claims[p->claim_n] = claim_of(arena, client, &client->claims[i], user, p);
		p->claim_n += claims[p->claim_n].text.n || claims[p->claim_n].n;
	}
	p->claims = claims;
	return OK;
}

enum err
person_claims(struct arena *arena, const struct client *client, const struct record_user *user, struct token_person *out)
{
	enum err e = OK;

	*out = (struct token_person){
		.connector_id = user->connector_id,
		.user_id = user->user_id,
		.name = user->username,
		.preferred_username = user->preferred_username,
		.email = user->email,
		.email_verified = user->email_verified,
		.groups = user->groups.items,
		.group_n = user->groups.n,
		.plain_subject = client && client->plain_subject,
	};
	if (client && client->group_n)
		e = groups_wanted(arena, client, out);
	if (e == OK && client && client->claim_n)
		e = claims_add(arena, client, user, out);
	return e;
}

struct slice
person_label(const struct record_user *user)
{
	return user->email.n ? user->email : user->username;
}
