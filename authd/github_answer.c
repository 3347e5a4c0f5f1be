#include "authd/github_answer.h"

#include <jansson.h>

#include "shared/buf.h"

static json_t *
parse(struct slice json)
{
	return json_loadb(json.p ? json.p : "", json.n, JSON_REJECT_DUPLICATES, NULL);
}

/* A string member, copied. Control bytes are refused: these values become claims and header values. */
static enum err
member(json_t *object, const char *key, struct arena *arena, struct slice *out)
{
	json_t *v = json_object_get(object, key);
	*out = SLICE_NONE;
	if (!v || json_is_null(v))
		return E_EMPTY;
	if (!json_is_string(v))
		return E_FORMAT;
	struct slice s = { json_string_value(v), json_string_length(v) };
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return E_FORMAT;
	*out = arena_slice(arena, slice_trim(s));
	return out->p ? OK : E_NOMEM;
}

enum err
github_answer_token(struct slice json, struct arena *arena, struct slice *token, struct slice *why)
{
	*token = *why = SLICE_NONE;
	json_t *root = parse(json);
	enum err err = E_FORMAT;
	if (json_is_object(root)) {
		struct slice error;
		if (member(root, "error", arena, &error) == OK) {
			/* GitHub answers 200 with an error object (bad_verification_code and so on). */
			if (member(root, "error_description", arena, why) != OK)
				*why = error;
			err = E_DENIED;
		} else {
			err = member(root, "access_token", arena, token);
			if (err == E_EMPTY || (err == OK && token->n == 0))
				err = E_FORMAT;
		}
	}
	json_decref(root);
	return err;
}

enum err
github_answer_check(struct slice json, const char *client_id)
{
	json_t *root = parse(json), *app = json_object_get(root, "app"), *id = json_object_get(app, "client_id");
	enum err err = E_FORMAT;

	if (json_is_string(id))
		err = strcmp(json_string_value(id), client_id) == 0 ? OK : E_DENIED;
	json_decref(root);
	return err;
}

enum err
github_answer_user(struct slice json, struct arena *arena, struct github_user *out)
{
	memset(out, 0, sizeof(*out));
	json_t *root = parse(json), *id = json_object_get(root, "id");
	enum err err = E_FORMAT;
	if (json_is_object(root) && json_is_integer(id) && json_integer_value(id) > 0) {
		out->id = json_integer_value(id);
		err = member(root, "login", arena, &out->login);
		if (err == E_EMPTY || (err == OK && out->login.n == 0))
			err = E_FORMAT;
		if (err == OK) {
			enum err name = member(root, "name", arena, &out->name);
			if (name != OK && name != E_EMPTY)
				err = name;
		}
	}
	json_decref(root);
	return err;
}

/* '*' stands for exactly one label; case does not matter (RFC 1035 section 2.3.3). */
static bool
domain_matches(struct slice domain, struct slice pattern)
{
	for (;;) {
		bool more = memchr(domain.p, '.', domain.n) != NULL;
		bool more_pattern = memchr(pattern.p, '.', pattern.n) != NULL;
		struct slice label = slice_cut(&domain, '.'), want = slice_cut(&pattern, '.');
		if (label.n == 0 || (!slice_eq_str(want, "*") && !slice_eq_nocase(label, want)))
			return false;
		if (!more || !more_pattern)
			return more == more_pattern;
	}
}

enum err
github_answer_emails(struct slice json, const char *domain, struct arena *arena, struct slice *best, int *rank)
{
	enum { NONE, PRIMARY, PREFERRED, PREFERRED_PRIMARY };
	json_t *root = parse(json), *item;
	size_t i;
	enum err err = json_is_array(root) ? OK : E_FORMAT;
	json_array_foreach(root, i, item)
	{
		struct slice email;
		if (err != OK || !json_is_object(item))
			break;
		err = member(item, "email", arena, &email);
		if (err != OK) {
			err = err == E_EMPTY ? E_FORMAT : err;
			break;
		}
		const char *at = email.n ? memchr(email.p, '@', email.n) : NULL;
		if (!json_is_true(json_object_get(item, "verified")) || !at)
			continue;
		struct slice host = { at + 1, (size_t)(email.p + email.n - at - 1) };
		bool primary = json_is_true(json_object_get(item, "primary"));
		int r = primary ? PRIMARY : NONE;
		if (domain && *domain && domain_matches(host, slice_str(domain)))
			r = primary ? PREFERRED_PRIMARY : PREFERRED;
		if (r > *rank) {
			*rank = r;
			*best = email;
		}
	}
	json_decref(root);
	return err;
}

enum err
github_answer_teams(struct slice json, struct arena *arena, struct github_teams *teams)
{
	json_t *root = parse(json), *item;
	size_t i;
	enum err err = json_is_array(root) ? OK : E_FORMAT;
	json_array_foreach(root, i, item)
	{
		struct github_team t;
		json_t *org = json_object_get(item, "organization");
		if (teams->n == RECORD_GROUPS_MAX) {
			err = E_LIMIT;
			break;
		}
		if (member(org, "login", arena, &t.org) != OK || member(item, "name", arena, &t.name) != OK ||
			member(item, "slug", arena, &t.slug) != OK) {
			err = E_FORMAT;
			break;
		}
		if (teams->n == teams->cap) {
			size_t cap = teams->cap ? 2 * teams->cap : 32;
			struct github_team *grown = arena_alloc(arena, cap * sizeof(*grown));
			if (!grown) {
				err = E_NOMEM;
				break;
			}
			if (teams->n)
				memcpy(grown, teams->items, teams->n * sizeof(*grown));
			teams->items = grown;
			teams->cap = cap;
		}
		teams->items[teams->n++] = t;
	}
	json_decref(root);
	return err;
}

static enum err
strings_add(struct record_strings *list, struct slice s, struct arena *arena)
{
	if (list->n == RECORD_GROUPS_MAX)
		return E_LIMIT;
	for (size_t i = 0; i < list->n; i++)
		if (slice_eq(list->items[i], s))
			return OK;
	/* Doubles at each power of two; starts at the first item. */
	if ((list->n & (list->n - 1)) == 0) {
		size_t cap = list->n ? 2 * list->n : 1;
		struct slice *grown = arena_alloc(arena, cap * sizeof(*grown));
		if (!grown)
			return E_NOMEM;
		if (list->n)
			memcpy(grown, list->items, list->n * sizeof(*grown));
		list->items = grown;
	}
	list->items[list->n++] = s;
	return OK;
}

enum err
github_answer_orgs(struct slice json, struct arena *arena, struct record_strings *orgs)
{
	json_t *root = parse(json), *item;
	size_t i;
	enum err err = json_is_array(root) ? OK : E_FORMAT;
	json_array_foreach(root, i, item)
	{
		struct slice login;
		if (err != OK)
			break;
		err = member(item, "login", arena, &login) == OK ? strings_add(orgs, login, arena) : E_FORMAT;
	}
	json_decref(root);
	return err;
}

struct slice
github_answer_next(struct slice link, struct slice api)
{
	/* <https://api.github.com/user/teams?page=2>; rel="next", <…>; rel="last" */
	while (link.n) {
		const char *open = memchr(link.p, '<', link.n);
		const char *close = open ? memchr(open, '>', (size_t)(link.p + link.n - open)) : NULL;
		if (!close)
			break;
		struct slice url = { open + 1, (size_t)(close - open - 1) };
		struct slice rest = { close + 1, (size_t)(link.p + link.n - close - 1) };
		const char *following = memchr(rest.p, '<', rest.n);
		struct slice parameters = { rest.p, following ? (size_t)(following - rest.p) : rest.n };
		if (memmem(parameters.p, parameters.n, "rel=\"next\"", 10) || memmem(parameters.p, parameters.n, "rel=next", 8)) {
			bool ours = slice_has_prefix(url, api) && url.n > api.n && url.p[api.n] == '/';
			return ours ? url : SLICE_NONE;
		}
		link = following ? slice_of(following, (size_t)(rest.p + rest.n - following)) : SLICE_NONE;
	}
	return SLICE_NONE;
}

/* teamNameField: name, slug or both; org empty: the bare team. */
static enum err
add_team(const struct github_config *c, struct slice org, const struct github_team *t, struct arena *arena, struct record_strings *groups)
{
	enum { NAME, SLUG, BOTH };
	struct slice names[2] = { t->name, t->slug };
	for (int i = 0; i < 2; i++) {
		if ((i == 0 && c->team_name_field == SLUG) || (i == 1 && c->team_name_field == NAME))
			continue;
		struct slice group = names[i];
		if (org.n) {
			char *s = arena_printf(arena, "%.*s:%.*s", SLICE_FMT(org), SLICE_FMT(names[i]));
			if (!s)
				return E_NOMEM;
			group = slice_str(s);
		}
		enum err err = strings_add(groups, group, arena);
		if (err != OK)
			return err;
	}
	return OK;
}

static bool
team_listed(const struct config_strings *list, const struct github_team *t)
{
	for (size_t i = 0; i < list->n; i++)
		if (slice_eq_nocase(slice_str(list->items[i]), t->name) || slice_eq_nocase(slice_str(list->items[i]), t->slug))
			return true;
	return false;
}

/* One allowed org: its teams become groups; *in says whether that is enough to come in. */
static enum err
org_groups(const struct github_config *c, const struct github_org *org, const struct github_teams *teams, struct arena *arena,
	struct record_strings *groups, bool *in)
{
	if (org->teams.n == 0)
		*in = true;
	for (size_t i = 0; i < teams->n; i++) {
		const struct github_team *t = &teams->items[i];
		if (!slice_eq_nocase(t->org, slice_str(org->name)) || (org->teams.n && !team_listed(&org->teams, t)))
			continue;
		*in = true;
		enum err err = add_team(c, slice_str(org->name), t, arena, groups);
		if (err != OK)
			return err;
	}
	return OK;
}

enum err
github_groups(const struct github_config *c, const bool *is_member, const struct github_teams *teams, const struct record_strings *orgs,
	struct arena *arena, struct record_strings *groups)
{
	enum err err = OK;
	*groups = (struct record_strings){ NULL, 0 };
	if (c->orgs.n) {
		const struct github_org *list = c->orgs.items;
		bool in = false;
		for (size_t i = 0; i < c->orgs.n && err == OK; i++)
			if (is_member[i])
				err = org_groups(c, &list[i], teams, arena, groups, &in);
		return err != OK ? err : in ? OK : E_DENIED;
	}
	if (c->org && *c->org) {
		if (!is_member[0])
			return E_DENIED;
		for (size_t i = 0; i < teams->n && err == OK; i++)
			if (slice_eq_nocase(teams->items[i].org, slice_str(c->org)))
				err = add_team(c, SLICE_NONE, &teams->items[i], arena, groups);
		return err;
	}
	if (c->load_all_groups) {
		for (size_t i = 0; i < orgs->n && err == OK; i++)
			err = strings_add(groups, orgs->items[i], arena);
		for (size_t i = 0; i < teams->n && err == OK; i++)
			err = add_team(c, teams->items[i].org, &teams->items[i], arena, groups);
	}
	return err;
}
