#include "proxyd/http_bytes.h"
#include "proxyd/impersonate.h"

#define EVERYONE SLICE_LIT("system:authenticated")
#define NOBODY SLICE_LIT("system:unauthenticated")

static bool
values_ok(const struct slice *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!identity_value_ok(values[i]))
			return false;
	return true;
}

bool
impersonate_extra_key_is_ours(struct slice key)
{
	return slice_has_prefix(key, SLICE_LIT(IMPERSONATE_OUR_EXTRA));
}

bool
impersonate_extra_key_ok(struct slice key)
{
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] >= 'A' && key.p[i] <= 'Z')
			return false;
	return identity_value_ok(key);
}

static enum err
check(const struct identity *id)
{
	if (id->group_n > IDENTITY_GROUPS_MAX || id->extra_n > IDENTITY_EXTRA_MAX)
		return E_LIMIT;
	if (!identity_value_ok(id->username) || !values_ok(id->groups, id->group_n) || (id->uid.n && !identity_value_ok(id->uid)))
		return E_FORMAT;
	for (size_t i = 0; i < id->extra_n; i++)
		if (!impersonate_extra_key_ok(id->extra[i].key) || !values_ok(id->extra[i].values, id->extra[i].n))
			return E_FORMAT;
	return OK;
}

static void
add_header(struct buf *out, const char *name, struct slice value)
{
	buf_add_str(out, name);
	buf_add_str(out, ": ");
	buf_add_slice(out, value);
	buf_add_str(out, "\r\n");
}

/* As client-go writes it: %XX for '%' and for what no header name may have. */
static void
add_extra_name(struct buf *out, const char *prefix, struct slice key)
{
	static const char hex[] = "0123456789ABCDEF";

	buf_add_str(out, prefix);
	for (size_t i = 0; i < key.n; i++) {
		size_t run = i;
		while (i < key.n && http_byte_is(key.p[i], HTTP_BYTE_TOKEN) && key.p[i] != '%')
			i++;
		buf_add(out, key.p + run, i - run);
		if (i < key.n)
			buf_add(out, (char[]){ '%', hex[(unsigned char)key.p[i] >> 4], hex[key.p[i] & 15] }, 3);
	}
}

struct names {
	const char *user, *group, *uid, *extra;
};

static enum err
block(const struct names *names, const struct identity *id, struct buf *out)
{
	size_t before = out->n;
	bool everyone = false;
	enum err e = check(id);

	if (e != OK)
		return e;
	if (out->failed)
		return E_LIMIT;
	add_header(out, names->user, id->username);
	for (size_t i = 0; i < id->group_n; i++) {
		add_header(out, names->group, id->groups[i]);
		everyone |= slice_eq(id->groups[i], EVERYONE) || slice_eq(id->groups[i], NOBODY);
	}
	/* As the apiserver would: it does not when it is told any groups, and it always is. */
	if (!everyone)
		add_header(out, names->group, slice_eq_str(id->username, "system:anonymous") ? NOBODY : EVERYONE);
	if (id->uid.n)
		add_header(out, names->uid, id->uid);
	for (size_t i = 0; i < id->extra_n; i++) {
		for (size_t v = 0; v < id->extra[i].n; v++) {
			add_extra_name(out, names->extra, id->extra[i].key);
			buf_add_str(out, ": ");
			buf_add_slice(out, id->extra[i].values[v]);
			buf_add_str(out, "\r\n");
		}
	}
	if (buf_ok(out))
		return OK;
	out->n = before;
	out->failed = false;
	if (out->p)
		out->p[before] = '\0';
	return out->max ? E_LIMIT : E_NOMEM;
}

enum err
impersonate_block(const struct identity *id, struct buf *out)
{
	static const struct names names = { "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-" };

	return block(&names, id, out);
}

enum err
impersonate_remote_block(const struct identity *id, struct buf *out)
{
	static const struct names names = { "X-Remote-User", "X-Remote-Group", "X-Remote-Uid", "X-Remote-Extra-" };

	return block(&names, id, out);
}
