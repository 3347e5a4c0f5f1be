/* keeper_report.h - the keeper's state as text for the admin address. Pure. */
#ifndef PROXYD_KEEPER_REPORT_H
#define PROXYD_KEEPER_REPORT_H

#include "proxyd/keycache.h"
#include "proxyd/metrics.h"
#include "shared/buf.h"

struct keeper_issuer_report {
	const char *url;
	size_t key_n;            /* 0: none yet */
	int64_t age_s;           /* since the last successful fetch by this keeper; -1: none, keys may be from its predecessor */
	uint64_t succeeded, failed;
	const char *failure;     /* why the last fetch failed; "": it did not */
};
struct keeper_report {
	unsigned generation;     /* of the configuration */
	uint64_t keycache_generation;
	int64_t started_at;      /* of this process, NumericDate */
	uint64_t cpu_us, resident_bytes, open_fds;
	size_t issuer_n;
	struct keeper_issuer_report issuers[KEYCACHE_ISSUERS_MAX];
};

/* One line for each issuer: "[+] issuer https://… : 2 keys" or "[-] …". Returns whether every issuer has keys. */
bool keeper_report_ready(const struct keeper_report *r, struct buf *out);
/* OpenMetrics 1.0 text, with its # EOF. counted: by master and workers; NULL: nothing. */
void keeper_report_metrics(const struct keeper_report *r, const struct metrics_view *counted, struct buf *out);

#endif
