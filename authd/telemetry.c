/* telemetry.http: metrics for Prometheus, and health for load balancers and Kubernetes' probes. */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#include "authd/app.h"
#include "authd/counters.h"
#include "authd/routes.h"
#include "shared/openmetrics.h"

#define FAMILY openmetrics_family
#define LABEL(name, text) ((const struct openmetrics_label[]){ { (name), slice_str(text) }, { NULL, SLICE_NONE } })

static void
print_process(const struct authd *app, struct buf *out)
{
	struct rusage used;
	unsigned long pages;
	char statm[128] = "";

	getrusage(RUSAGE_SELF, &used);
	FAMILY(out, "gatehouse_build", "info", NULL, "Version of this program.");
	openmetrics_uint(out, "gatehouse_build", "_info", LABEL("version", GATEHOUSE_VERSION), 1);
	FAMILY(out, "process_cpu_seconds", "counter", "seconds", "CPU time spent.");
	openmetrics_fraction(out, "process_cpu_seconds", "_total", NULL,
		(int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec + used.ru_stime.tv_usec, 6);
	FAMILY(out, "process_start_time_seconds", "gauge", "seconds", "When this process started (Unix time).");
	openmetrics_fraction(out, "process_start_time_seconds", "", NULL, app->started_at, 0);
	if (pread(app->memory_fd, statm, sizeof(statm) - 1, 0) > 0 && sscanf(statm, "%*u %lu", &pages) == 1) {
		FAMILY(out, "process_resident_memory_bytes", "gauge", "bytes", "Memory in use.");
		openmetrics_uint(out, "process_resident_memory_bytes", "", NULL, pages * (uint64_t)sysconf(_SC_PAGESIZE));
	}
}

/* ---- store ---- */

static void
print_store(const struct authd *app, struct buf *out)
{
	size_t counts[RECORD_KINDS];
	struct store_stats s;

	store_stats(app->store, &s);
	FAMILY(out, "gatehouse_store_healthy", "gauge", NULL, "Whether the store can be read and the last commit succeeded.");
	openmetrics_uint(out, "gatehouse_store_healthy", "", NULL, store_healthy(app->store) == OK);
	if (store_counts(app->store, counts) == OK) {
		FAMILY(out, "gatehouse_store_records", "gauge", NULL, "Records by kind; expired ones that are not purged yet included.");
		for (enum record_kind kind = 0; kind < RECORD_KINDS; kind++)
			openmetrics_uint(out, "gatehouse_store_records", "", LABEL("kind", record_kind_name(kind)), counts[kind]);
	}
	FAMILY(out, "gatehouse_store_writes", "counter", NULL, "Writes, of which several share a commit.");
	openmetrics_uint(out, "gatehouse_store_writes", "_total", NULL, s.writes);
	FAMILY(out, "gatehouse_store_commits", "counter", NULL, "Commits by result.");
	openmetrics_uint(out, "gatehouse_store_commits", "_total", LABEL("result", "succeeded"), s.groups);
	openmetrics_uint(out, "gatehouse_store_commits", "_total", LABEL("result", "failed"), s.failed_groups);
	FAMILY(out, "gatehouse_store_commit_duration_seconds", "histogram", "seconds", "How long a commit took, its fsync included.");
	openmetrics_histogram(out, "gatehouse_store_commit_duration_seconds", NULL, store_commit_bounds_us, s.commits, STORE_COMMIT_BOUNDS, s.commit_us, 6);
	FAMILY(out, "gatehouse_store_purged_records", "counter", NULL, "Expired records that were deleted.");
	openmetrics_uint(out, "gatehouse_store_purged_records", "_total", NULL, s.purged);
	FAMILY(out, "gatehouse_store_used_bytes", "gauge", "bytes", "Size of the database, its free pages included.");
	openmetrics_uint(out, "gatehouse_store_used_bytes", "", NULL, s.used_bytes);
	FAMILY(out, "gatehouse_store_map_bytes", "gauge", "bytes", "Size that the database may reach before its map grows.");
	openmetrics_uint(out, "gatehouse_store_map_bytes", "", NULL, s.map_bytes);
}

/* ---- keys, passwords ---- */

static void
print_keys(struct request *r, struct buf *out)
{
	static const char *const states[] = { [RECORD_KEY_NEXT] = "next", [RECORD_KEY_ACTIVE] = "active", [RECORD_KEY_RETIRED] = "retired" };
	struct key_info keys[KEYS_DESCRIBED_MAX];
	static const enum jws_alg algs[KEYS_RINGS] = { JWS_RS256, JWS_ES256 };
	size_t n, counts[KEYS_RINGS][3] = { 0 };
	int64_t now_s = request_now_s(r), active_at[KEYS_RINGS] = { 0 };

	if (keys_describe(r->app->keys, &r->arena, keys, &n) != OK)
		return;
	for (size_t i = 0; i < n; i++) {
		size_t ring = jws_alg_parse(keys[i].alg) == algs[1];
		counts[ring][keys[i].state]++;
		if (keys[i].state == RECORD_KEY_ACTIVE)
			active_at[ring] = keys[i].active_at;
	}
	FAMILY(out, "gatehouse_signing_keys", "gauge", NULL, "Published signing keys by algorithm and state.");
	for (size_t ring = 0; ring < KEYS_RINGS; ring++)
		for (size_t i = 0; i < 3; i++)
			openmetrics_uint(out, "gatehouse_signing_keys", "",
				(const struct openmetrics_label[]){ { "alg", slice_str(jws_alg_name(algs[ring])) }, { "state", slice_str(states[i]) }, { NULL, SLICE_NONE } },
				counts[ring][i]);
	FAMILY(out, "gatehouse_signing_key_age_seconds", "gauge", "seconds", "Since when the active key signs, by algorithm.");
	for (size_t ring = 0; ring < KEYS_RINGS; ring++)
		if (active_at[ring])
			openmetrics_fraction(out, "gatehouse_signing_key_age_seconds", "", LABEL("alg", jws_alg_name(algs[ring])), now_s - active_at[ring], 0);
}

static void
print_passwords(const struct authd *app, struct buf *out)
{
	size_t waiting, running;

	password_pool_load(app->passwords, &waiting, &running);
	FAMILY(out, "gatehouse_password_checks", "gauge", NULL, "Passwords that are being compared, or wait for it.");
	openmetrics_uint(out, "gatehouse_password_checks", "", LABEL("state", "running"), running);
	openmetrics_uint(out, "gatehouse_password_checks", "", LABEL("state", "waiting"), waiting);
}

void
telemetry_metrics(struct request *r, struct slice rest)
{
	struct buf body;

	(void)rest;
	buf_init(&body, 1u << 20);
	print_process(r->app, &body);
	counters_print(r->app->counters, &body);
	print_store(r->app, &body);
	print_keys(r, &body);
	print_passwords(r->app, &body);
	openmetrics_end(&body);
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_send(r, 200, OPENMETRICS_TYPE, &body);
}

/* ---- health ---- */

/* It answers, so it lives: a store without room is nothing that a restart would mend. */
void
telemetry_live(struct request *r, struct slice rest)
{
	struct buf body;

	(void)rest;
	buf_init(&body, 0);
	buf_add_str(&body, "ok");
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_send(r, 200, "text/plain; charset=utf-8", &body);
}

/* As dex's health checks are reported (go-sundheit): each by name, "?type=short" in a word. */
static void
add_check(struct buf *b, const struct request *r, bool healthy, uint64_t took_ms)
{
	int64_t now_s = request_now_s(r);
	struct counters_failing failing = counters_health(r->app->counters, healthy, now_s);
	char at[CLOCK_TEXT_BYTES];

	buf_add_char(b, '{');
	if (!healthy)
		buf_add_str(b, "\"error\":{\"message\":\"the store cannot be read, or its last commit failed: the log says why\"},");
	buf_printf(b, "\"timestamp\":\"%s\",\"duration\":%llu,\"contiguousFailures\":%llu,\"timeOfFirstFailure\":", clock_format(now_s, at),
		(unsigned long long)took_ms * 1000000, (unsigned long long)failing.n);
	if (failing.n)
		buf_printf(b, "\"%s\"}", clock_format(failing.since_s, at));
	else
		buf_add_str(b, "null}");
}

void
telemetry_ready(struct request *r, struct slice rest)
{
	uint64_t before_ms = clock_mono_ms(r->app->clock);
	bool healthy = store_healthy(r->app->store) == OK;
	struct form *form;
	struct buf body;

	(void)rest;
	buf_init(&body, 0);
	buf_add_str(&body, "{\"storage\":");
	if (request_query_form(r, &form) == OK && slice_eq_str(form_get(form, "type"), "short"))
		buf_add_str(&body, healthy ? "\"PASS\"" : "\"FAIL\"");
	else
		add_check(&body, r, healthy, clock_mono_ms(r->app->clock) - before_ms);
	buf_add_str(&body, "}\n");
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_send(r, healthy ? 200 : 503, "application/json", &body);
}
