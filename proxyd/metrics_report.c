#include <stdio.h>
#include <stdlib.h>
#include "proxyd/metrics_report.h"
#include "shared/openmetrics.h"

/* One number of every worker: gatehouse_FAMILY{LABEL="VALUE",worker="0"}. Those of one family stand together. */
struct row {
	const char *family, *label, *value;
	enum metric metric;
};
static const struct row rows[] = {
	{ "gatehouse_connections_accepted", NULL, NULL, METRIC_CONNECTIONS },
	{ "gatehouse_connections_spoken", "protocol", "http/1.1", METRIC_CONNECTIONS_H1 },
	{ "gatehouse_connections_spoken", "protocol", "h2", METRIC_CONNECTIONS_H2 },
	{ "gatehouse_connections_refused", "reason", "address", METRIC_CONNECTIONS_REFUSED_ADDRESS },
	{ "gatehouse_connections_refused", "reason", "proxyHeader", METRIC_CONNECTIONS_REFUSED_PROXY },
	{ "gatehouse_connections_refused", "reason", "shed", METRIC_CONNECTIONS_SHED },
	{ "gatehouse_connections_open", NULL, NULL, METRIC_CONNECTIONS_OPEN },
	{ "gatehouse_tls_handshakes", "kind", "full", METRIC_HANDSHAKES_FULL },
	{ "gatehouse_tls_handshakes", "kind", "resumed", METRIC_HANDSHAKES_RESUMED },
	{ "gatehouse_tls_handshakes", "kind", "failed", METRIC_HANDSHAKES_FAILED },
	{ "gatehouse_tls_handshakes_open", NULL, NULL, METRIC_HANDSHAKES_OPEN },
	{ "gatehouse_credential_lookups", "result", "hit", METRIC_CREDENTIAL_HITS },
	{ "gatehouse_credential_lookups", "result", "miss", METRIC_CREDENTIAL_MISSES },
	{ "gatehouse_credentials_refused", NULL, NULL, METRIC_CREDENTIALS_REFUSED },
	{ "gatehouse_credentials_known", NULL, NULL, METRIC_CREDENTIALS_KNOWN },
	{ "gatehouse_signatures_checked", NULL, NULL, METRIC_SIGNATURES },
	{ "gatehouse_questions", "to", "cluster", METRIC_REVIEWS },
	{ "gatehouse_questions", "to", "authd", METRIC_SESSIONS_ASKED },
	{ "gatehouse_requests_limited", "limit", "requestRatePerAddress", METRIC_LIMITED_ADDRESS_RATE },
	{ "gatehouse_requests_limited", "limit", "refusalRatePerAddress", METRIC_LIMITED_REFUSALS },
	{ "gatehouse_requests_limited", "limit", "requestRatePerIdentity", METRIC_LIMITED_IDENTITY_RATE },
	{ "gatehouse_requests_limited", "limit", "requestsInFlightPerIdentity", METRIC_LIMITED_IDENTITY_SHARE },
	{ "gatehouse_requests_limited", "limit", "requestsInFlight", METRIC_LIMITED_IN_FLIGHT },
	{ "gatehouse_requests_open", NULL, NULL, METRIC_REQUESTS_OPEN },
	{ "gatehouse_tunnels_open", NULL, NULL, METRIC_TUNNELS_OPEN },
	{ "gatehouse_body_bytes", "direction", "in", METRIC_BYTES_IN },
	{ "gatehouse_body_bytes", "direction", "out", METRIC_BYTES_OUT },
	{ "gatehouse_lines_dropped", "stream", "log", METRIC_LOG_DROPPED },
	{ "gatehouse_lines_dropped", "stream", "audit", METRIC_AUDIT_DROPPED },
	{ "gatehouse_lines_queued_bytes", "stream", "log", METRIC_LOG_QUEUED },
	{ "gatehouse_lines_queued_bytes", "stream", "audit", METRIC_AUDIT_QUEUED },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS == METRICS, "each number is printed");

static const struct {
	const char *family, *type, *unit, *help;
} families[] = {
	{ "gatehouse_connections_accepted", "counter", NULL, "Client connections taken from the listeners." },
	{ "gatehouse_connections_spoken", "counter", NULL, "Client connections by what was spoken on them after the handshake." },
	{ "gatehouse_connections_refused", "counter", NULL, "Client connections closed by us: too many of an address, no PROXY header where one was due, or shed for newer ones." },
	{ "gatehouse_connections_open", "gauge", NULL, "Client connections at this moment." },
	{ "gatehouse_tls_handshakes", "counter", NULL, "TLS handshakes with clients, by how they ended." },
	{ "gatehouse_tls_handshakes_open", "gauge", NULL, "Client connections whose handshake is not over." },
	{ "gatehouse_credential_lookups", "counter", NULL, "Credentials looked up by their digest: a hit was verified before." },
	{ "gatehouse_credentials_refused", "counter", NULL, "Requests whose credential was refused." },
	{ "gatehouse_credentials_known", "gauge", NULL, "Credentials that are remembered as verified." },
	{ "gatehouse_signatures_checked", "counter", NULL, "Token signatures checked." },
	{ "gatehouse_questions", "counter", NULL, "Credentials and rights that somebody else was asked about." },
	{ "gatehouse_requests_limited", "counter", NULL, "Requests answered with 429, by the limit that they were over." },
	{ "gatehouse_requests_open", "gauge", NULL, "Requests being served, watches and tunnels among them." },
	{ "gatehouse_tunnels_open", "gauge", NULL, "Upgraded connections: exec, attach, port-forward." },
	{ "gatehouse_body_bytes", "counter", "bytes", "Bytes of bodies and tunnels, from clients (in) and to them (out)." },
	{ "gatehouse_lines_dropped", "counter", NULL, "Lines of the log and audit events that nobody took in time." },
	{ "gatehouse_lines_queued_bytes", "gauge", "bytes", "Lines of the log and audit events on their way to the logger." },
};
#define FAMILIES (sizeof(families) / sizeof(families[0]))

static const struct {
	const char *label, *value;
	bool dialled; /* counted among the connections, else among the failures */
} upstream_rows[METRIC_UPSTREAM_COUNTERS] = {
	[METRIC_UPSTREAM_OPENED] = { "kind", "opened", true },
	[METRIC_UPSTREAM_REUSED] = { "kind", "reused", true },
	[METRIC_UPSTREAM_STREAMS] = { "kind", "shared", true },
	[METRIC_UPSTREAM_REFUSED] = { "reason", "refused", false },
	[METRIC_UPSTREAM_TIMEOUT] = { "reason", "timeout", false },
	[METRIC_UPSTREAM_TLS] = { "reason", "tls", false },
	[METRIC_UPSTREAM_BROKEN] = { "reason", "broken", false },
	[METRIC_UPSTREAM_RETRIES] = { "reason", "retried", false },
	[METRIC_UPSTREAM_UNAUTHORIZED] = { "reason", "unauthorized", false },
};

/* What is used, in the order of print: a worker's slots one after the other, a destination's rows too. Those add up. */
struct used_slot {
	uint64_t worker;
	const struct metrics_slot *slot;
};
struct used_row {
	uint64_t worker;
	char name[METRICS_NAME_BYTES];
	const struct metrics_target *row;
};
struct used {
	struct used_slot *slots;
	struct used_row *rows;
	size_t slot_n, row_n;
};

static int
by_worker(const void *a, const void *b)
{
	const struct used_slot *x = a, *y = b;

	return (x->worker > y->worker) - (x->worker < y->worker);
}

static int
by_worker_and_name(const void *a, const void *b)
{
	const struct used_row *x = a, *y = b;
	int order = (x->worker > y->worker) - (x->worker < y->worker);

	return order ? order : strcmp(x->name, y->name);
}

static void
read_name(const struct metrics_target *t, char out[METRICS_NAME_BYTES])
{
	for (size_t i = 0; i < METRICS_NAME_BYTES / 8; i++) {
		uint64_t word = metrics_get(&t->name[i]);
		memcpy(out + i * 8, &word, 8);
	}
	out[METRICS_NAME_BYTES - 1] = '\0';
}

static bool
used_init(struct used *u, const struct metrics_view *v)
{
	size_t n = 0, row_n = 0;

	*u = (struct used){ .slots = NULL };
	while (n < METRICS_SLOTS && metrics_get(&v->master->owners[n]))
		n++;
	u->slots = calloc(n + 1, sizeof(*u->slots));
	for (; u->slots && u->slot_n < n; u->slot_n++) {
		u->slots[u->slot_n] = (struct used_slot){ metrics_get(&v->master->owners[u->slot_n]) - 1, v->slots[u->slot_n] };
		for (size_t t = 0; t < METRICS_TARGETS && metrics_target_is_used(v->slots[u->slot_n], t); t++)
			row_n++;
	}
	u->rows = calloc(row_n + 1, sizeof(*u->rows));
	/* A worker may have begun another row meanwhile: it is printed next time. */
	for (size_t i = 0; u->rows && i < u->slot_n; i++)
		for (size_t t = 0; t < METRICS_TARGETS && u->row_n < row_n && metrics_target_is_used(u->slots[i].slot, t); t++) {
			struct used_row *r = &u->rows[u->row_n++];
			r->worker = u->slots[i].worker;
			r->row = &u->slots[i].slot->targets[t];
			read_name(r->row, r->name);
		}
	if (!u->slots || !u->rows)
		return false;
	qsort(u->slots, u->slot_n, sizeof(*u->slots), by_worker);
	qsort(u->rows, u->row_n, sizeof(*u->rows), by_worker_and_name);
	return true;
}

static void
used_fini(struct used *u)
{
	free(u->slots);
	free(u->rows);
}

/* The end of the rows that add up with rows[i]. */
static size_t
same_rows(const struct used *u, size_t i)
{
	size_t end = i + 1;

	while (end < u->row_n && by_worker_and_name(&u->rows[i], &u->rows[end]) == 0)
		end++;
	return end;
}

/* One word of a destination, by its place in struct metrics_target. */
static uint64_t
sum_rows(const struct used *u, size_t i, size_t end, size_t offset)
{
	uint64_t sum = 0;

	for (; i < end; i++)
		sum += metrics_get((const _Atomic uint64_t *)(const void *)((const char *)u->rows[i].row + offset));
	return sum;
}

static struct slice
number(uint64_t n, char out[24])
{
	return slice_of(out, (size_t)snprintf(out, 24, "%llu", (unsigned long long)n));
}

/* ---- workers ---- */

static void
print_row(const struct used *u, const struct row *r, const char *suffix, struct buf *out)
{
	char worker[24];

	for (size_t i = 0; i < u->slot_n;) {
		uint64_t sum = 0, of = u->slots[i].worker;
		for (; i < u->slot_n && u->slots[i].worker == of; i++)
			sum += metrics_get(&u->slots[i].slot->values[r->metric]);
		struct openmetrics_label labels[3] = { { "worker", number(of, worker) } };
		if (r->label) {
			labels[1] = labels[0];
			labels[0] = (struct openmetrics_label){ r->label, slice_str(r->value) };
		}
		openmetrics_uint(out, r->family, suffix, labels, sum);
	}
}

static void
print_workers(const struct used *u, struct buf *out)
{
	for (size_t f = 0; f < FAMILIES; f++) {
		const char *suffix = strcmp(families[f].type, "counter") == 0 ? "_total" : "";
		openmetrics_family(out, families[f].family, families[f].type, families[f].unit, families[f].help);
		for (size_t i = 0; i < ROWS; i++)
			if (strcmp(rows[i].family, families[f].family) == 0)
				print_row(u, &rows[i], suffix, out);
	}
}

/* ---- destinations ---- */

static struct slice
code_text(size_t code, char out[24])
{
	if (code == METRICS_CODE_OTHER)
		return SLICE_LIT("other");
	if (code == METRICS_CODE_NONE)
		return SLICE_LIT("none");
	return number(metrics_codes[code], out);
}

static void
print_requests(const struct used *u, struct buf *out)
{
	char worker[24], code[24];

	openmetrics_family(out, "gatehouse_requests", "counter", NULL,
		"Requests that are over, by cluster (empty: none), verb, status code (none: the client did not wait) and worker.");
	for (size_t i = 0, end; i < u->row_n; i = end) {
		end = same_rows(u, i);
		for (size_t v = 0; v < KUBE_VERBS; v++)
			for (size_t c = 0; c < METRICS_CODES_ALL; c++) {
				uint64_t n = sum_rows(u, i, end, offsetof(struct metrics_target, requests) + (v * METRICS_CODES_ALL + c) * sizeof(uint64_t));
				const struct openmetrics_label labels[] = { { "cluster", slice_str(u->rows[i].name) },
					{ "verb", slice_str(kube_verb_name((enum kube_verb)v)) }, { "code", code_text(c, code) },
					{ "worker", number(u->rows[i].worker, worker) }, { NULL, SLICE_NONE } };
				if (n)
					openmetrics_uint(out, "gatehouse_requests", "_total", labels, n);
			}
	}
}

static void
print_histogram(const struct used *u, const char *name, const char *help, size_t offset, struct buf *out)
{
	uint64_t counts[METRICS_BOUNDS + 1];
	char worker[24];

	openmetrics_family(out, name, "histogram", "seconds", help);
	for (size_t i = 0, end; i < u->row_n; i = end) {
		const struct openmetrics_label labels[] = { { "cluster", slice_str(u->rows[i].name) }, { "worker", number(u->rows[i].worker, worker) },
			{ NULL, SLICE_NONE } };
		end = same_rows(u, i);
		for (size_t b = 0; b <= METRICS_BOUNDS; b++)
			counts[b] = sum_rows(u, i, end, offset + offsetof(struct metrics_histogram, counts) + b * sizeof(uint64_t));
		openmetrics_histogram(out, name, labels, metrics_bounds_ms, counts, METRICS_BOUNDS,
			sum_rows(u, i, end, offset + offsetof(struct metrics_histogram, sum_ms)), 3);
	}
}

static void
print_upstreams(const struct used *u, const char *family, const char *help, bool dialled, struct buf *out)
{
	char worker[24];

	openmetrics_family(out, family, "counter", NULL, help);
	for (size_t i = 0, end; i < u->row_n; i = end) {
		end = same_rows(u, i);
		for (size_t k = 0; k < METRIC_UPSTREAM_COUNTERS; k++) {
			const struct openmetrics_label labels[] = { { "cluster", slice_str(u->rows[i].name) },
				{ upstream_rows[k].label, slice_str(upstream_rows[k].value) }, { "worker", number(u->rows[i].worker, worker) },
				{ NULL, SLICE_NONE } };
			if (upstream_rows[k].dialled == dialled)
				openmetrics_uint(out, family, "_total", labels,
					sum_rows(u, i, end, offsetof(struct metrics_target, upstream) + k * sizeof(uint64_t)));
		}
	}
}

static void
print_upstreams_open(const struct used *u, const char *family, const char *help, enum metric_upstream what, struct buf *out)
{
	char worker[24];

	openmetrics_family(out, family, "gauge", NULL, help);
	for (size_t i = 0, end; i < u->row_n; i = end) {
		const struct openmetrics_label labels[] = { { "cluster", slice_str(u->rows[i].name) }, { "worker", number(u->rows[i].worker, worker) },
			{ NULL, SLICE_NONE } };
		end = same_rows(u, i);
		openmetrics_uint(out, family, "", labels, sum_rows(u, i, end, offsetof(struct metrics_target, upstream) + what * sizeof(uint64_t)));
	}
}

/* ---- master ---- */

static void
print_sample(struct buf *out, const char *family, const char *label, const char *value, uint64_t n)
{
	const struct openmetrics_label labels[] = { { label, slice_str(value) }, { NULL, SLICE_NONE } };

	openmetrics_uint(out, family, "_total", labels, n);
}

static void
print_master(const struct metrics_master *m, struct buf *out)
{
	uint64_t workers = 0;
	static const char *const children[METRICS_CHILDREN] = { [METRICS_WORKER] = "worker", [METRICS_KEEPER] = "keeper", [METRICS_LOGGER] = "logger" };

	for (size_t s = 0; s < METRICS_SLOTS; s++)
		workers += metrics_get(&m->lenders[s]) != 0;
	openmetrics_family(out, "gatehouse_reloads", "counter", NULL, "Configurations that were to be taken, by what came of it.");
	print_sample(out, "gatehouse_reloads", "result", "done", metrics_get(&m->reloads_done));
	print_sample(out, "gatehouse_reloads", "result", "failed", metrics_get(&m->reloads_failed));
	openmetrics_family(out, "gatehouse_deaths", "counter", NULL, "Processes that died unasked and were replaced.");
	for (size_t i = 0; i < METRICS_CHILDREN; i++)
		print_sample(out, "gatehouse_deaths", "process", children[i], metrics_get(&m->deaths[i]));
	openmetrics_family(out, "gatehouse_workers", "gauge", NULL, "Worker processes, draining ones and those of a program that was replaced among them.");
	openmetrics_uint(out, "gatehouse_workers", "", NULL, workers);
	openmetrics_family(out, "gatehouse_counters_since_seconds", "gauge", "seconds", "When the counters of workers and master began, in seconds since 1970.");
	openmetrics_uint(out, "gatehouse_counters_since_seconds", "", NULL, metrics_get(&m->since_s));
}

/* FNV-1a. */
static uint32_t
mix(uint32_t h, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const unsigned char *)p)[i]) * UINT32_C(16777619);
	return h;
}

static uint32_t
mix_text(uint32_t h, const char *s)
{
	return s ? mix(h, s, strlen(s) + 1) : mix(h, "\xff", 1);
}

uint32_t
metrics_layout(void)
{
	const uint64_t sizes[] = { METRICS_SLOTS, METRICS_TARGETS, METRIC_COUNTERS, METRIC_UPSTREAM_COUNTERS, METRICS_CHILDREN, sizeof(struct metrics_master),
		sizeof(struct metrics_slot), sizeof(struct metrics_target) };
	uint32_t h = mix(UINT32_C(2166136261), sizes, sizeof(sizes));

	h = mix(mix(h, metrics_codes, sizeof(metrics_codes)), metrics_bounds_ms, sizeof(metrics_bounds_ms));
	for (size_t i = 0; i < ROWS; i++) {
		const uint64_t place = rows[i].metric;
		h = mix_text(mix_text(mix_text(mix(h, &place, sizeof(place)), rows[i].family), rows[i].label), rows[i].value);
	}
	for (size_t i = 0; i < METRIC_UPSTREAM_COUNTERS; i++)
		h = mix_text(mix_text(h, upstream_rows[i].label), upstream_rows[i].value);
	for (int v = 0; v < KUBE_VERBS; v++)
		h = mix_text(h, kube_verb_name((enum kube_verb)v));
	return h;
}

void
metrics_report(const struct metrics_view *v, struct buf *out)
{
	struct used u;

	print_master(v->master, out);
	if (used_init(&u, v)) {
		print_requests(&u, out);
		print_histogram(&u, "gatehouse_request_duration_seconds",
			"From a request's head to its end, without watches, followed logs, proxied requests and tunnels.",
			offsetof(struct metrics_target, duration), out);
		print_histogram(&u, "gatehouse_upstream_first_byte_seconds", "From the search for a connection to the head of the answer.",
			offsetof(struct metrics_target, first_byte), out);
		print_upstreams(&u, "gatehouse_upstream_connections", "Connections given to requests: newly opened, kept and used again, or a stream of a shared one.", true, out);
		print_upstreams(&u, "gatehouse_upstream_failures", "What went wrong with upstreams, by what it was.", false, out);
		print_upstreams_open(&u, "gatehouse_upstream_connections_open",
			"Connections to clusters (empty: to authd and other backends) at this moment, kept ones among them.", METRIC_UPSTREAM_OPEN, out);
		print_upstreams_open(&u, "gatehouse_upstream_shared_connections_open", "Those among them that many watches share (HTTP/2).", METRIC_UPSTREAM_OPEN_H2, out);
		print_upstreams_open(&u, "gatehouse_upstream_streams_open", "Watches that ride on shared connections, or wait for one.", METRIC_UPSTREAM_STREAMS_OPEN, out);
		print_workers(&u, out);
	} else {
		out->failed = true;
	}
	used_fini(&u);
}
