/* revocation_news.h - authd's answer about ended sessions, as data: {"epoch":…,"sequence":N,"revoked":[{"sid":…,"until":…},…]}. Pure. */
#ifndef PROXYD_REVOCATION_NEWS_H
#define PROXYD_REVOCATION_NEWS_H

#include "proxyd/revoked.h"

#define REVOCATION_NEWS_BYTES_MAX (1u << 20) /* authd sends at most 4,096 of 90 bytes at once */
#define REVOCATION_EPOCH_BYTES_MAX 64

struct revocation_news {
	char epoch[REVOCATION_EPOCH_BYTES_MAX + 1]; /* base64url: it goes back in a query */
	int64_t sequence;
	struct revoked_entry *revoked; /* from malloc, NULL when n is 0; as they came: not sorted */
	size_t n;
};
/* E_FORMAT: not that, in any part (nothing of it counts then); E_NOMEM. Freed by revocation_news_fini. */
MUST_CHECK enum err revocation_news_parse(struct slice json, struct revocation_news *out);
void revocation_news_fini(struct revocation_news *n);

/* Add news to a set that is sorted, forget what has expired by now_s; *set is from malloc and may move, *n at most REVOKED_MAX after it. What is too
 * much goes, the ones that expire first; *dropped: how many. E_NOMEM: the set is as it was. */
MUST_CHECK enum err revocation_news_merge(struct revoked_entry **set, size_t *n, const struct revoked_entry *more, size_t more_n, int64_t now_s,
	size_t *dropped);

#endif
