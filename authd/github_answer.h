/* github_answer.h - GitHub's JSON answers and headers, as data: no I/O. Everything read here is foreign. */
#ifndef AUTHD_GITHUB_ANSWER_H
#define AUTHD_GITHUB_ANSWER_H

#include "authd/config.h"
#include "authd/record.h"

/* The access_token answer. E_FORMAT: not JSON as documented; E_DENIED: GitHub's own error, whose error_description is in *why. */
MUST_CHECK enum err github_answer_token(struct slice json, struct arena *arena, struct slice *token, struct slice *why);

/* The answer to "check a token": E_DENIED unless it was given to this application; E_FORMAT: not JSON as documented. */
MUST_CHECK enum err github_answer_check(struct slice json, const char *client_id);

struct github_user {
	int64_t id; /* > 0 */
	struct slice login, name;
};
MUST_CHECK enum err github_answer_user(struct slice json, struct arena *arena, struct github_user *out);

/* One page of /user/emails: improves *best (empty at first) by the rules: verified only, an address of the preferred domain before the primary one.
 * domain: NULL or a pattern where '*' stands for one label. rank: caller keeps it, 0 at first. */
MUST_CHECK enum err github_answer_emails(struct slice json, const char *domain, struct arena *arena, struct slice *best, int *rank);

struct github_team {
	struct slice org, name, slug;
};
struct github_teams {
	struct github_team *items;
	size_t n, cap;
};
/* One page of /user/teams appended; one page of /user/orgs (login only). E_LIMIT past RECORD_GROUPS_MAX. */
MUST_CHECK enum err github_answer_teams(struct slice json, struct arena *arena, struct github_teams *teams);
MUST_CHECK enum err github_answer_orgs(struct slice json, struct arena *arena, struct record_strings *orgs);

/* URL of the next page in a Link header (RFC 8288), only if it begins with api + "/": a token is never sent elsewhere. .p NULL: none. */
struct slice github_answer_next(struct slice link, struct slice api);

/* Groups of a person: member[i] says whether they are in config->orgs[i] (or, for the legacy `org`, member[0]).
 * E_DENIED: not in any allowed org or team. */
MUST_CHECK enum err github_groups(const struct github_config *c, const bool *member, const struct github_teams *teams, const struct record_strings *orgs,
	struct arena *arena, struct record_strings *groups);

#endif
