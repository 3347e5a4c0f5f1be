#include <stdlib.h>
#include "oidc/id_token.h"
#include "proxyd/token_file.h"
#include "shared/buf.h"

#define COLUMNS_MAX 4
enum column { COLUMN_TOKEN, COLUMN_USER, COLUMN_UID, COLUMN_GROUPS };

struct reader {
	struct arena *arena;
	struct credential_hasher hasher;
	struct buf values; /* of the line being read; wiped in the end */
	const char *name;
	size_t token_bytes_max;
	int line;
	struct config_error *e;
};

#define REFUSE(r, ...) (config_error_set((r)->e, (r)->name, (r)->line, NULL, __VA_ARGS__), E_FORMAT)

static enum err
out_of_memory(struct reader *r)
{
	config_error_set(r->e, r->name, 0, NULL, "out of memory");
	return E_NOMEM;
}

/* ---- lines ---- */

/* The rest of a value whose opening quote has been read; *line moves behind its closing one. Two quotes are one. */
static enum err
read_quoted(struct reader *r, struct slice *line)
{
	size_t at = 0;

	for (;; at++) {
		if (at == line->n)
			return REFUSE(r, "a quoted value does not end on its line");
		if (line->p[at] == '"' && !(at + 1 < line->n && line->p[at + 1] == '"'))
			break;
		buf_add_char(&r->values, line->p[at]);
		at += line->p[at] == '"';
	}
	*line = slice_of(line->p + at + 1, line->n - at - 1);
	if (line->n && line->p[0] != ',')
		return REFUSE(r, "a quoted value is followed by something else than a comma");
	return OK;
}

static enum err
read_plain(struct reader *r, struct slice *line)
{
	const char *comma = line->n ? memchr(line->p, ',', line->n) : NULL;
	size_t n = comma ? (size_t)(comma - line->p) : line->n;

	if (n && memchr(line->p, '"', n))
		return REFUSE(r, "a quote inside a value that does not begin with one");
	buf_add(&r->values, line->p, n);
	*line = slice_of(line->p + n, line->n - n);
	return OK;
}

/* RFC 4180 section 2, without line breaks inside values. columns: valid until the next line. */
static enum err
split(struct reader *r, struct slice line, struct slice columns[COLUMNS_MAX], size_t *n)
{
	enum err e = OK;

	buf_reset(&r->values);
	for (*n = 0;; line = slice_of(line.p + 1, line.n - 1)) {
		size_t from = r->values.n;
		if (*n == COLUMNS_MAX)
			return REFUSE(r, "expected token,user,uid,\"group1,group2\", found more columns; several groups stand in one pair of quotes");
		if (line.n && line.p[0] == '"') {
			line = slice_of(line.p + 1, line.n - 1);
			e = read_quoted(r, &line);
		} else {
			e = read_plain(r, &line);
		}
		columns[(*n)++] = slice_of(r->values.p + from, r->values.n - from);
		if (e || line.n == 0)
			return e;
	}
}

/* ---- values ---- */

static enum err
check_token(struct reader *r, struct slice token)
{
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			return REFUSE(r, "token: expected visible ASCII characters only, without blanks");
	if (token.n < TOKEN_FILE_TOKEN_BYTES_MIN)
		return REFUSE(r, "token: expected at least %d characters, found %zu: it could be guessed", TOKEN_FILE_TOKEN_BYTES_MIN, token.n);
	if (token.n > r->token_bytes_max)
		return REFUSE(r, "token: expected at most %zu characters (limits.tokenBytes), found %zu", r->token_bytes_max, token.n);
	return OK;
}

#define NAME_RULE "expected 1 to %d bytes of UTF-8 without control characters and without blanks at the edges"

static enum err
read_groups(struct reader *r, struct slice list, struct identity *id)
{
	size_t n = list.n ? 1 : 0;

	for (size_t i = 0; i < list.n; i++)
		n += list.p[i] == ',';
	if (n > IDENTITY_GROUPS_MAX)
		return REFUSE(r, "groups: expected at most %d, found %zu", IDENTITY_GROUPS_MAX, n);
	if (n && !(id->groups = arena_alloc(r->arena, n * sizeof(*id->groups))))
		return out_of_memory(r);
	while (id->group_n < n) {
		struct slice group = arena_slice(r->arena, slice_cut(&list, ','));
		if (!group.p)
			return out_of_memory(r);
		if (!identity_value_ok(group))
			return REFUSE(r, "group %zu: " NAME_RULE, id->group_n + 1, IDENTITY_VALUE_BYTES_MAX);
		if (slice_eq_str(group, "system:masters"))
			return REFUSE(r, "group system:masters is above RBAC and not given out here; bind a group of your own to cluster-admin instead");
		id->groups[id->group_n++] = group;
	}
	return OK;
}

static enum err
read_entry(struct reader *r, struct slice line, struct token_file_entry *out)
{
	struct slice columns[COLUMNS_MAX];
	size_t n;
	enum err e = split(r, line, columns, &n);

	if (e)
		return e;
	if (n <= COLUMN_UID)
		return REFUSE(r, "expected token,user,uid or token,user,uid,\"group1,group2\", found %zu column%s", n, n == 1 ? "" : "s");
	if ((e = check_token(r, columns[COLUMN_TOKEN])))
		return e;
	if (!identity_value_ok(columns[COLUMN_USER]))
		return REFUSE(r, "user: " NAME_RULE, IDENTITY_VALUE_BYTES_MAX);
	if (columns[COLUMN_UID].n && !identity_value_ok(columns[COLUMN_UID]))
		return REFUSE(r, "uid: " NAME_RULE ", or nothing", IDENTITY_VALUE_BYTES_MAX);
	*out = (struct token_file_entry){ .line = r->line };
	out->identity = (struct identity){ .username = arena_slice(r->arena, columns[COLUMN_USER]), .uid = arena_slice(r->arena, columns[COLUMN_UID]),
		.how = IDENTITY_TOKEN_FILE, .expires_at = ID_TOKEN_TIME_MAX };
	if (!out->identity.username.p || !out->identity.uid.p)
		return out_of_memory(r);
	if (n > COLUMN_GROUPS && (e = read_groups(r, columns[COLUMN_GROUPS], &out->identity)))
		return e;
	if (!credential_digest(&r->hasher, CREDENTIAL_BEARER, SLICE_NONE, columns[COLUMN_TOKEN], out->digest))
		return out_of_memory(r);
	return OK;
}

/* ---- the whole ---- */

static int
by_digest(const void *a, const void *b)
{
	const struct token_file_entry *x = a, *y = b;
	int order = memcmp(x->digest, y->digest, sizeof(x->digest));

	return order ? order : (x->line > y->line) - (x->line < y->line);
}

static enum err
refuse_duplicates(struct reader *r, const struct token_file *f)
{
	int first = 0;

	for (size_t i = 1; i < f->n; i++)
		if (memcmp(f->entries[i].digest, f->entries[i - 1].digest, CREDENTIAL_DIGEST_BYTES) == 0 && (!first || f->entries[i].line < r->line)) {
			r->line = f->entries[i].line;
			first = f->entries[i - 1].line;
		}
	return first ? REFUSE(r, "the token of line %d again", first) : OK;
}

static enum err
read_entries(struct reader *r, struct slice text, struct token_file *out)
{
	size_t lines = 1;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	if (lines > TOKEN_FILE_ENTRIES_MAX + 1) /* the last may be empty */
		return REFUSE(r, "expected at most %d lines, found more", TOKEN_FILE_ENTRIES_MAX);
	/* Room for the longest line there can be: tokens are never moved, so none is left behind in memory that is given back. */
	if (!(out->entries = arena_alloc(r->arena, lines * sizeof(*out->entries))) || !buf_reserve(&r->values, text.n))
		return out_of_memory(r);
	for (r->line = 1; text.n; r->line++) {
		struct slice line = slice_cut(&text, '\n');
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0)
			continue;
		enum err e = read_entry(r, line, &out->entries[out->n]);
		if (e)
			return e;
		out->n++;
	}
	qsort(out->entries, out->n, sizeof(*out->entries), by_digest);
	r->line = 0;
	return refuse_duplicates(r, out);
}

enum err
token_file_parse(struct arena *arena, const char *name, struct slice text, size_t token_bytes_max, struct token_file *out,
	struct config_error *e)
{
	struct reader r = { .arena = arena, .name = name, .token_bytes_max = token_bytes_max, .e = e };

	*out = (struct token_file){ NULL, 0 };
	buf_init(&r.values, 0);
	enum err err = credential_hasher_init(&r.hasher);
	err = err ? out_of_memory(&r) : read_entries(&r, text, out);
	credential_hasher_fini(&r.hasher);
	buf_fini_secret(&r.values);
	return err;
}

static int
compare_digest(const void *digest, const void *entry)
{
	return memcmp(digest, ((const struct token_file_entry *)entry)->digest, CREDENTIAL_DIGEST_BYTES);
}

const struct identity *
token_file_find(const struct token_file *f, const unsigned char digest[CREDENTIAL_DIGEST_BYTES])
{
	const struct token_file_entry *e = f->n ? bsearch(digest, f->entries, f->n, sizeof(*f->entries), compare_digest) : NULL;

	return e ? &e->identity : NULL;
}
