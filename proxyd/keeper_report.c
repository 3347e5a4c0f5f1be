#include <inttypes.h>
#include "proxyd/keeper_report.h"

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
add_family(struct buf *out, const char *name, const char *type, const char *unit, const char *help)
{
	buf_printf(out, "# TYPE %s %s\n", name, type);
	if (unit)
		buf_printf(out, "# UNIT %s %s\n", name, unit);
	buf_printf(out, "# HELP %s %s\n", name, help);
}

/* name{issuer="…"<more>} */
static void
add_sample(struct buf *out, const char *name, const char *issuer, const char *more)
{
	buf_printf(out, "%s{issuer=\"", name);
	for (; *issuer; issuer++) {
		if (*issuer == '\\' || *issuer == '"')
			buf_add_char(out, '\\');
		buf_add_char(out, *issuer);
	}
	buf_printf(out, "\"%s} ", more);
}

void
keeper_report_metrics(const struct keeper_report *r, struct buf *out)
{
	add_family(out, "gatehouse_build", "info", NULL, "Version of this program.");
	buf_add_str(out, "gatehouse_build_info{version=\"" GATEHOUSE_VERSION "\"} 1\n");
	add_family(out, "gatehouse_config_generation", "gauge", NULL, "How many configurations have been taken since the start.");
	buf_printf(out, "gatehouse_config_generation %u\n", r->generation);
	add_family(out, "gatehouse_keycache_generation", "gauge", NULL, "How often this keeper has published keys to the workers.");
	buf_printf(out, "gatehouse_keycache_generation %" PRIu64 "\n", r->keycache_generation);

	add_family(out, "gatehouse_issuer_keys", "gauge", NULL, "Keys that tokens of this issuer are verified with.");
	for (size_t i = 0; i < r->issuer_n; i++) {
		add_sample(out, "gatehouse_issuer_keys", r->issuers[i].url, "");
		buf_printf(out, "%zu\n", r->issuers[i].key_n);
	}
	add_family(out, "gatehouse_issuer_keys_age_seconds", "gauge", "seconds", "Time since this issuer's keys were last fetched.");
	for (size_t i = 0; i < r->issuer_n; i++) {
		if (r->issuers[i].age_s < 0)
			continue;
		add_sample(out, "gatehouse_issuer_keys_age_seconds", r->issuers[i].url, "");
		buf_printf(out, "%" PRId64 "\n", r->issuers[i].age_s);
	}
	add_family(out, "gatehouse_issuer_fetches", "counter", NULL, "Fetches of this issuer's keys, by result.");
	for (size_t i = 0; i < r->issuer_n; i++) {
		add_sample(out, "gatehouse_issuer_fetches_total", r->issuers[i].url, ",result=\"succeeded\"");
		buf_printf(out, "%" PRIu64 "\n", r->issuers[i].succeeded);
		add_sample(out, "gatehouse_issuer_fetches_total", r->issuers[i].url, ",result=\"failed\"");
		buf_printf(out, "%" PRIu64 "\n", r->issuers[i].failed);
	}

	add_family(out, "process_start_time_seconds", "gauge", "seconds", "When the keeper started, in seconds since 1970.");
	buf_printf(out, "process_start_time_seconds %" PRId64 "\n", r->started_at);
	add_family(out, "process_cpu_seconds", "counter", "seconds", "Processor time of the keeper.");
	buf_printf(out, "process_cpu_seconds_total %" PRIu64 ".%06" PRIu64 "\n", r->cpu_us / 1000000, r->cpu_us % 1000000);
	add_family(out, "process_resident_memory_bytes", "gauge", "bytes", "Resident memory of the keeper.");
	buf_printf(out, "process_resident_memory_bytes %" PRIu64 "\n", r->resident_bytes);
	add_family(out, "process_open_fds", "gauge", NULL, "Open descriptors of the keeper.");
	buf_printf(out, "process_open_fds %" PRIu64 "\n", r->open_fds);
	buf_add_str(out, "# EOF\n");
}
