/* authd's answer about ended sessions: what is accepted can be merged, sorted and bounded. */
#include "proxyd/revocation_news.h"

#include "tests/fuzz/must.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct revocation_news news;
	struct revoked_entry *set = NULL;
	size_t n = 0, dropped;

	if (revocation_news_parse(slice_of((const char *)data, size), &news) != OK)
		return 0;
	MUST(news.epoch[0] && strlen(news.epoch) <= REVOCATION_EPOCH_BYTES_MAX && news.sequence >= 0);
	MUST(revocation_news_merge(&set, &n, news.revoked, news.n, 1, &dropped) == OK);
	MUST(n <= news.n);
	for (size_t i = 1; i < n; i++)
		MUST(revoked_compare(&set[i - 1], &set[i]) < 0);
	free(set);
	revocation_news_fini(&news);
	return 0;
}
