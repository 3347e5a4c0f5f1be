#include "proxyd/keeper_report.h"
#include "proxyd/metrics_report.h"
#include "shared/openmetrics.h"

bool
keeper_report_ready(const struct keeper_report *r, struct buf *out)
{
	bool ready = true;

	for (size_t i = 0; i < r->issuer_n; i++) {
		const struct keeper_issuer_report *issuer = &r->issuers[i];
		if (issuer->key_n)
			buf_printf(out, "[+] issuer %s: %zu keys\n", issuer->url, issuer->key_n);
		else
			buf_printf(out, "[-] issuer %s: no keys yet%s%s\n", issuer->url, *issuer->failure ? ": " : "", issuer->failure);
		ready = ready && issuer->key_n > 0;
	}
	buf_add_str(out, ready ? "ready\n" : "not ready\n");
	return ready;
}

static void
add_issuer(struct buf *out, const char *name, const char *suffix, const struct keeper_issuer_report *issuer, const char *result, uint64_t value)
{
	const struct openmetrics_label labels[] = { { "issuer", slice_str(issuer->url) }, { result ? "result" : NULL, slice_str(result) },
		{ NULL, SLICE_NONE } };

	openmetrics_uint(out, name, suffix, labels, value);
}

static void
add_issuers(struct buf *out, const struct keeper_report *r)
{
	openmetrics_family(out, "gatehouse_issuer_keys", "gauge", NULL, "Keys that tokens of this issuer are verified with.");
	for (size_t i = 0; i < r->issuer_n; i++)
		add_issuer(out, "gatehouse_issuer_keys", "", &r->issuers[i], NULL, r->issuers[i].key_n);
	openmetrics_family(out, "gatehouse_issuer_keys_age_seconds", "gauge", "seconds", "Time since this issuer's keys were last fetched.");
	for (size_t i = 0; i < r->issuer_n; i++)
		if (r->issuers[i].age_s >= 0)
			add_issuer(out, "gatehouse_issuer_keys_age_seconds", "", &r->issuers[i], NULL, (uint64_t)r->issuers[i].age_s);
	openmetrics_family(out, "gatehouse_issuer_fetches", "counter", NULL, "Fetches of this issuer's keys, by result.");
	for (size_t i = 0; i < r->issuer_n; i++) {
		add_issuer(out, "gatehouse_issuer_fetches", "_total", &r->issuers[i], "succeeded", r->issuers[i].succeeded);
		add_issuer(out, "gatehouse_issuer_fetches", "_total", &r->issuers[i], "failed", r->issuers[i].failed);
	}
}

void
keeper_report_metrics(const struct keeper_report *r, const struct metrics_view *counted, struct buf *out)
{
	static const struct openmetrics_label build[] = { { "version", { GATEHOUSE_VERSION, sizeof(GATEHOUSE_VERSION) - 1 } }, { NULL, SLICE_NONE } };

	openmetrics_family(out, "gatehouse_build", "info", NULL, "Version of this program.");
	openmetrics_uint(out, "gatehouse_build", "_info", build, 1);
	openmetrics_family(out, "gatehouse_config_generation", "gauge", NULL, "How many configurations have been taken since the start.");
	openmetrics_uint(out, "gatehouse_config_generation", "", NULL, r->generation);
	openmetrics_family(out, "gatehouse_keycache_generation", "gauge", NULL, "How often this keeper has published keys to the workers.");
	openmetrics_uint(out, "gatehouse_keycache_generation", "", NULL, r->keycache_generation);
	add_issuers(out, r);
	if (counted)
		metrics_report(counted, out);
	openmetrics_family(out, "process_start_time_seconds", "gauge", "seconds", "When the keeper started, in seconds since 1970.");
	openmetrics_uint(out, "process_start_time_seconds", "", NULL, (uint64_t)r->started_at);
	openmetrics_family(out, "process_cpu_seconds", "counter", "seconds", "Processor time of the keeper.");
	openmetrics_fraction(out, "process_cpu_seconds", "_total", NULL, (int64_t)r->cpu_us, 6);
	openmetrics_family(out, "process_resident_memory_bytes", "gauge", "bytes", "Resident memory of the keeper.");
	openmetrics_uint(out, "process_resident_memory_bytes", "", NULL, r->resident_bytes);
	openmetrics_family(out, "process_open_fds", "gauge", NULL, "Open descriptors of the keeper.");
	openmetrics_uint(out, "process_open_fds", "", NULL, r->open_fds);
	openmetrics_end(out);
}
