#include <stdlib.h>
#include "oidc/strict_json.h"
#include "proxyd/revocation_news.h"

#define SID_BYTES_MAX 256
#define UNTIL_MAX 253402300799 /* 9999-12-31T23:59:59Z */

static bool
epoch_ok(struct slice epoch)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (size_t i = 0; i < epoch.n; i++)
		if (!memchr(letters, epoch.p[i], sizeof(letters) - 1))
			return false;
	return epoch.n > 0 && epoch.n <= REVOCATION_EPOCH_BYTES_MAX;
}

static enum err
entry_parse(const json_t *v, struct revoked_entry *out)
{
	struct slice sid = strict_json_string(json_object_get(v, "sid"));

	if (sid.n == 0 || sid.n > SID_BYTES_MAX || !strict_json_integer(json_object_get(v, "until"), 0, UNTIL_MAX, &out->until))
		return E_FORMAT;
	return revoked_digest(sid, out->digest);
}

static enum err
members_parse(const json_t *root, struct revocation_news *out)
{
	struct slice epoch = strict_json_string(json_object_get(root, "epoch"));
	const json_t *list = json_object_get(root, "revoked");
	size_t n = json_array_size(list);
	enum err e = OK;

	if (!epoch_ok(epoch) || !json_is_array(list) || !strict_json_integer(json_object_get(root, "sequence"), 0, INT64_MAX, &out->sequence))
		return E_FORMAT;
	memcpy(out->epoch, epoch.p, epoch.n);
	if (n && !(out->revoked = calloc(n, sizeof(*out->revoked))))
		return E_NOMEM;
	for (; out->n < n && e == OK; out->n++)
		e = entry_parse(json_array_get(list, out->n), &out->revoked[out->n]);
	return e;
}

enum err
revocation_news_parse(struct slice json, struct revocation_news *out)
{
	json_t *root;
	enum err e = json.n > REVOCATION_NEWS_BYTES_MAX ? E_FORMAT : strict_json_parse(json, &root);

	*out = (struct revocation_news){ .n = 0 };
	if (e != OK)
		return e;
	e = members_parse(root, out);
	json_decref(root);
	if (e != OK)
		revocation_news_fini(out);
	return e;
}

void
revocation_news_fini(struct revocation_news *n)
{
	free(n->revoked);
	*n = (struct revocation_news){ .n = 0 };
}

static int
compare_until(const void *a, const void *b)
{
	const struct revoked_entry *x = a, *y = b;

	return (x->until < y->until) - (x->until > y->until);
}

/* One entry for each digest, the one that lasts longest, and none that has expired. */
static size_t
tidy(struct revoked_entry *all, size_t n, int64_t now_s)
{
	size_t kept = 0;

	qsort(all, n, sizeof(*all), revoked_compare);
	for (size_t i = 0; i < n; i++) {
		if (all[i].until <= now_s)
			continue;
		if (kept == 0 || revoked_compare(&all[kept - 1], &all[i]) != 0)
			all[kept++] = all[i];
		else if (all[i].until > all[kept - 1].until)
			all[kept - 1] = all[i];
	}
	return kept;
}

enum err
revocation_news_merge(struct revoked_entry **set, size_t *n, const struct revoked_entry *more, size_t more_n, int64_t now_s, size_t *dropped)
{
	struct revoked_entry *all = calloc(*n + more_n + 1, sizeof(*all));
	size_t kept;

	if (!all)
		return E_NOMEM;
	if (*n)
		memcpy(all, *set, *n * sizeof(*all));
	if (more_n)
		memcpy(all + *n, more, more_n * sizeof(*all));
	kept = tidy(all, *n + more_n, now_s);
	*dropped = kept > REVOKED_MAX ? kept - REVOKED_MAX : 0;
	if (*dropped) {
		qsort(all, kept, sizeof(*all), compare_until);
		kept = REVOKED_MAX;
		qsort(all, kept, sizeof(*all), revoked_compare);
	}
	free(*set);
	*set = all;
	*n = kept;
	return OK;
}
