#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "proxyd/admin.h"
#include "proxyd/confine.h"
#include "proxyd/control.h"
#include "proxyd/keeper.h"
#include "proxyd/keeper_fetch.h"
#include "proxyd/keeper_plan.h"
#include "proxyd/keeper_report.h"
#include "proxyd/keeper_revocations.h"
#include "shared/rng.h"
#include "shared/sandbox.h"

/* What is known of one issuer. */
struct keeper_issuer {
	struct keeper_fetch fetch; /* first member: keeper_fetch's callback finds the issuer by it */
	struct keeper *keeper;
	struct keeper_plan plan;
	struct loop_timer timer;
	struct buf keys;           /* the last good JWK Set; empty: none */
	size_t key_n;
	int64_t fetched_at;        /* NumericDate; 0: not by this process */
	uint64_t succeeded, failed;
	char failure[KEEPER_WHY_BYTES]; /* of the last fetch; "": it succeeded */
	char ca_path[32];
};

struct keeper {
	struct loop_watch control; /* first member */
	const struct keeper_start *start;
	struct loop *loop;
	struct fetcher *fetcher;
	struct keeper_handover handover;
	struct loop_timer ready_timer;
	struct keycache *keycache;
	struct keeper_issuer *issuers;
	size_t issuer_n;
	struct keeper_revocations revocations;
	struct admin *admin;
	int64_t started_at;
	uint64_t names_closed; /* sandbox_names_closed of the start */
	bool ready, failed;
};

static const char *start_up(struct keeper *k);
static void shut_down(struct keeper *k);
static bool seed(struct keeper *k);
static void schedule(struct keeper_issuer *issuer);
static void check_ready(struct keeper *k, bool at_last);
static void on_control(struct loop_watch *w, uint32_t events);
static void on_ready_due(struct loop_timer *t);
static void on_fetch_due(struct loop_timer *t);
static void on_fetched(struct keeper_fetch *f, enum err err, struct slice keys, size_t key_n, int64_t max_age_s, const char *why);
static void on_revocations(struct keeper_revocations *r);
static void on_ended(struct keeper_revocations *r);
static void fill_page(void *arg, enum admin_page page, struct admin_answer *out);
static bool serve(struct keeper *k);
static void stop(void *arg);

int
keeper_run(const struct keeper_start *start)
{
	struct keeper k = { .start = start };
	const char *why = start_up(&k);

	if (why) {
		log_error("keeper cannot start", LOG_STR("reason", why));
		/* When master does not get to hear of it, our exit tells it. */
		if (control_send(start->control_fd, CONTROL_FAILED, 0, why, -1))
			log_debug("master did not take the reason");
	} else {
		check_ready(&k, false);
		if (loop_run(k.loop))
			k.failed = true;
	}
	shut_down(&k);
	return why || k.failed ? 1 : 0;
}

/* The CA of an issuer as a file for the fetcher: a memfd with the bytes that were checked, so that a file replaced since is not taken. */
static bool
place_ca(struct keeper_issuer *issuer)
{
	struct slice pem = issuer->fetch.jwt->ca_pem;

	if (pem.n == 0)
		return true;
	int fd = memfd_create("issuer-ca", MFD_CLOEXEC);
	if (fd < 0 || write(fd, pem.p, pem.n) != (ssize_t)pem.n)
		return false;
	snprintf(issuer->ca_path, sizeof(issuer->ca_path), "/proc/self/fd/%d", fd); /* open for as long as the process lives */
	issuer->fetch.ca_path = issuer->ca_path;
	return true;
}

static bool
init_issuers(struct keeper *k)
{
	const struct config_list *list = &k->start->config->authentication.jwt;
	const struct proxyd_jwt *jwt = list->items;
	uint64_t now_ms = clock_mono_ms(k->start->clock);

	k->issuers = calloc(list->n ? list->n : 1, sizeof(*k->issuers));
	if (!k->issuers)
		return false;
	for (; k->issuer_n < list->n; k->issuer_n++) {
		struct keeper_issuer *issuer = &k->issuers[k->issuer_n];
		issuer->keeper = k;
		issuer->fetch = (struct keeper_fetch){ .fetcher = k->fetcher, .handover = &k->handover, .jwt = &jwt[k->issuer_n], .done = on_fetched };
		issuer->timer.on_due = on_fetch_due;
		keeper_plan_init(&issuer->plan, now_ms);
		if (!place_ca(issuer))
			return false;
	}
	return true;
}

static bool
serve(struct keeper *k)
{
	if (k->start->admin_fd >= 0 && !k->admin)
		k->admin = admin_new(k->loop, k->start->admin_fd, fill_page, k);
	return k->start->admin_fd < 0 || k->admin;
}

/* NULL, or why not. */
static const char *
start_up(struct keeper *k)
{
	const struct keeper_start *start = k->start;
	const struct fetcher_options options = { .user_agent = "gatehouse-proxyd/" GATEHOUSE_VERSION };
	int fd;

	k->started_at = clock_now_s(start->clock);
	k->loop = loop_new(start->clock);
	if (!k->loop || keeper_handover_init(&k->handover, k->loop))
		return "no event loop";
	k->fetcher = fetcher_new(&options);
	if (!k->fetcher)
		return "no memory for transfers";
	if (!init_issuers(k))
		return "no memory for the issuers";
	if (keycache_create(&k->keycache, &fd))
		return "no shared memory for the keys";
	k->revocations = (struct keeper_revocations){ .loop = k->loop, .fetcher = k->fetcher, .keycache = k->keycache, .clock = start->clock,
		.jwt = start->config->revocations_jwt, .changed = on_ended, .tried = on_revocations };
	if (start->config->authentication.session.revocations_secret[0])
		k->revocations.secret = start->config->authentication.session.revocations_secret;
	for (size_t i = 0; i < k->issuer_n; i++)
		if (k->issuers[i].fetch.jwt == k->revocations.jwt)
			k->revocations.ca_path = k->issuers[i].fetch.ca_path;
	bool sent = seed(k) && control_send(start->control_fd, CONTROL_KEYCACHE, 0, NULL, fd) == OK;
	close(fd);
	if (!sent)
		return "the key cache could not be handed over";
	if (confine_keeper())
		return "the process cannot be confined";
	k->names_closed = sandbox_names_closed();
	if (start->serve && !serve(k))
		return "no admin server";
	k->control = (struct loop_watch){ .fd = start->control_fd, .on_event = on_control };
	k->ready_timer.on_due = on_ready_due;
	if (loop_add(k->loop, &k->control, EPOLLIN) || loop_timer_set(k->loop, &k->ready_timer, KEEPER_READY_MS))
		return "no event loop";
	if (keeper_revocations_start(&k->revocations))
		return "no way to hear of ended sessions";
	for (size_t i = 0; i < k->issuer_n; i++)
		schedule(&k->issuers[i]);
	return NULL;
}

static void
shut_down(struct keeper *k)
{
	admin_free(k->admin);
	if (k->fetcher)
		fetcher_free(k->fetcher); /* first: its thread writes into the issuers */
	for (size_t i = 0; i < k->issuer_n; i++) {
		keeper_fetch_fini(&k->issuers[i].fetch);
		buf_fini(&k->issuers[i].keys);
	}
	free(k->issuers);
	keeper_revocations_fini(&k->revocations);
	keycache_close(k->keycache);
	if (k->loop)
		loop_free(k->loop);
}

/* Publish what every issuer has, with other keys for one of them. */
static enum err
publish(struct keeper *k, const struct keeper_issuer *changed, struct slice keys)
{
	struct keycache_entry entries[KEYCACHE_ISSUERS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < k->issuer_n && n < KEYCACHE_ISSUERS_MAX; i++) {
		const struct keeper_issuer *issuer = &k->issuers[i];
		struct slice set = issuer == changed ? keys : buf_slice(&issuer->keys);
		if (set.n)
			entries[n++] = (struct keycache_entry){ slice_str(issuer->fetch.jwt->issuer.url), set };
	}
	return keycache_publish(k->keycache, entries, n);
}

static struct keeper_issuer *
find_issuer(struct keeper *k, struct slice url)
{
	for (size_t i = 0; i < k->issuer_n; i++)
		if (slice_eq_str(url, k->issuers[i].fetch.jwt->issuer.url))
			return &k->issuers[i];
	return NULL;
}

/* Take over the predecessor's keys of issuers that are still configured. What cannot be read is left behind: it will be fetched. */
static void
read_seed(struct keeper *k)
{
	struct keycache *old = NULL;
	struct keycache_entry entry;
	struct jwk_set set;
	struct buf snapshot;
	uint64_t generation = 0;
	size_t pos = 0;

	buf_init(&snapshot, 0);
	enum err e = keycache_open(k->start->seed_fd, &old);
	if (!e)
		e = keycache_snapshot(old, &generation, &snapshot);
	while (!e && (e = keycache_next(buf_slice(&snapshot), &pos, &entry)) == OK) {
		struct keeper_issuer *issuer = find_issuer(k, entry.issuer);
		if (!issuer || jwk_set_parse(entry.jwks, &set, NULL))
			continue;
		issuer->key_n = set.n;
		jwk_set_fini(&set);
		buf_reset(&issuer->keys);
		buf_add_slice(&issuer->keys, entry.jwks);
		if (!buf_ok(&issuer->keys)) {
			buf_reset(&issuer->keys);
			issuer->key_n = 0;
		}
	}
	if (old)
		keeper_revocations_seed(&k->revocations, old);
	if (e != E_EMPTY)
		log_warn("keys of the last keeper could not be taken over", LOG_STR("reason", err_name(e)));
	keycache_close(old);
	buf_fini(&snapshot);
}

static bool
seed(struct keeper *k)
{
	bool any = false;

	if (k->start->seed_fd >= 0) {
		read_seed(k);
		close(k->start->seed_fd);
	}
	for (size_t i = 0; i < k->issuer_n; i++)
		any = any || k->issuers[i].key_n;
	return !any || publish(k, NULL, SLICE_NONE) == OK;
}

/* The keeper cannot go on: its successor starts afresh. */
static void
give_up(struct keeper *k, const char *why)
{
	log_error("keeper ends", LOG_STR("reason", why));
	k->failed = true;
	loop_stop(k->loop);
}

static void
schedule(struct keeper_issuer *issuer)
{
	struct keeper *k = issuer->keeper;
	uint64_t delay_ms = keeper_plan_delay(&issuer->plan, clock_mono_ms(k->start->clock));

	if (delay_ms != KEEPER_NEVER && loop_timer_set(k->loop, &issuer->timer, delay_ms))
		give_up(k, "no memory for a timer");
}

static void
on_fetch_due(struct loop_timer *t)
{
	struct keeper_issuer *issuer = (struct keeper_issuer *)((char *)t - offsetof(struct keeper_issuer, timer));

	if (issuer->plan.due_ms == KEEPER_NEVER)
		return;
	keeper_plan_started(&issuer->plan);
	keeper_fetch_start(&issuer->fetch);
}

/* E_AGAIN: the same keys as before. Workers are not told then: a new generation would make them verify every token again. */
static enum err
take_keys(struct keeper_issuer *issuer, struct slice keys, size_t key_n)
{
	struct buf copy;

	if (slice_eq(keys, buf_slice(&issuer->keys)))
		return E_AGAIN;
	buf_init(&copy, 0);
	buf_add_slice(&copy, keys);
	enum err e = buf_ok(&copy) ? publish(issuer->keeper, issuer, keys) : E_NOMEM;
	if (!e) {
		struct buf old = issuer->keys;
		issuer->keys = copy;
		issuer->key_n = key_n;
		copy = old;
	}
	buf_fini(&copy);
	return e;
}

static void
fetch_failed(struct keeper_issuer *issuer, const char *why)
{
	const char *url = issuer->fetch.jwt->issuer.url;
	uint8_t chance = 0;

	issuer->failed++;
	if (rng_fill(&rng_system, &chance, sizeof(chance)))
		chance = 0; /* no jitter: only politeness is lost */
	keeper_plan_failed(&issuer->plan, clock_mono_ms(issuer->keeper->start->clock), chance);
	if (sandbox_names_closed() & ~issuer->keeper->names_closed)
		give_up(issuer->keeper, "a file of the name service was replaced since this process was confined: its successor can read it");
	if (strcmp(issuer->failure, why) == 0)
		return; /* said already */
	snprintf(issuer->failure, sizeof(issuer->failure), "%s", why);
	log_warn("keys could not be fetched", LOG_STR("issuer", url), LOG_STR("reason", why), LOG_UINT("keys_kept", issuer->key_n));
}

static void
on_fetched(struct keeper_fetch *f, enum err err, struct slice keys, size_t key_n, int64_t max_age_s, const char *why)
{
	struct keeper_issuer *issuer = (struct keeper_issuer *)f;
	struct keeper *k = issuer->keeper;

	if (!err)
		err = take_keys(issuer, keys, key_n);
	if (err == OK || (err == E_AGAIN && !why)) {
		if (!err || issuer->failure[0])
			log_info("keys fetched", LOG_STR("issuer", f->jwt->issuer.url), LOG_UINT("keys", key_n), LOG_BOOL("changed", !err));
		issuer->succeeded++;
		issuer->failure[0] = '\0';
		issuer->fetched_at = clock_now_s(k->start->clock);
		keeper_plan_succeeded(&issuer->plan, clock_mono_ms(k->start->clock), max_age_s);
	} else {
		fetch_failed(issuer, why ? why : err == E_LIMIT ? "the key cache is full" : "no memory for the keys");
	}
	schedule(issuer);
	check_ready(k, false);
}

/* at_last: the time to wait for the issuers is over. */
static void
check_ready(struct keeper *k, bool at_last)
{
	bool all = true;

	for (size_t i = 0; i < k->issuer_n; i++)
		all = all && (k->issuers[i].plan.tried || k->issuers[i].key_n);
	all = all && (!k->revocations.jwt || k->revocations.answered || k->revocations.n);
	if (k->ready || !(all || at_last))
		return;
	k->ready = true;
	loop_timer_clear(k->loop, &k->ready_timer);
	for (size_t i = 0; i < k->issuer_n; i++)
		if (!k->issuers[i].key_n)
			log_warn("issuer has no keys yet: its tokens are refused", LOG_STR("issuer", k->issuers[i].fetch.jwt->issuer.url));
	if (control_send(k->start->control_fd, CONTROL_READY, 0, NULL, -1))
		give_up(k, "master does not listen");
}

static void
on_revocations(struct keeper_revocations *r)
{
	check_ready((struct keeper *)((char *)r - offsetof(struct keeper, revocations)), false);
}

/* Workers look by themselves when a request comes; what runs already has none to come. */
static void
on_ended(struct keeper_revocations *r)
{
	struct keeper *k = (struct keeper *)((char *)r - offsetof(struct keeper, revocations));

	if (control_send(k->start->control_fd, CONTROL_ENDED, 0, NULL, -1))
		give_up(k, "master does not listen");
}

static void
on_ready_due(struct loop_timer *t)
{
	check_ready((struct keeper *)((char *)t - offsetof(struct keeper, ready_timer)), true);
}

static void
stop(void *arg)
{
	loop_stop(((struct keeper *)arg)->loop);
}

static void
on_control(struct loop_watch *w, uint32_t events)
{
	struct keeper *k = (struct keeper *)w;
	struct control_message m;
	enum err e;
	int fd;

	(void)events;
	while ((e = control_receive(w->fd, &m, &fd)) == OK) {
		if (fd >= 0)
			close(fd); /* none is meant for us */
		if (m.kind == CONTROL_SERVE && !serve(k))
			give_up(k, "no admin server");
		if (m.kind == CONTROL_STOP && k->admin)
			admin_finish(k->admin, stop); /* what a scraper has asked already is answered */
		else if (m.kind == CONTROL_STOP)
			stop(k);
		for (size_t i = 0; i < k->issuer_n && m.kind == CONTROL_WANT_KEYS; i++) {
			keeper_plan_want(&k->issuers[i].plan, clock_mono_ms(k->start->clock));
			schedule(&k->issuers[i]);
		}
	}
	if (e == E_EMPTY || e == E_SYSTEM)
		loop_stop(k->loop); /* master is gone */
	else if (e == E_FORMAT)
		give_up(k, "a control message that is none");
}

static uint64_t
resident_bytes(void)
{
	unsigned long total, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	fclose(f);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!d)
		return 0;
	for (struct dirent *entry; (entry = readdir(d));)
		n += entry->d_name[0] != '.';
	closedir(d);
	return n - 1; /* the folder's own */
}

static void
fill_report(struct keeper *k, struct keeper_report *r)
{
	int64_t now_s = clock_now_s(k->start->clock);
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage); /* cannot fail */
	*r = (struct keeper_report){
		.generation = k->start->generation,
		.keycache_generation = keycache_generation(k->keycache),
		.started_at = k->started_at,
		.cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000
			+ (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec),
		.resident_bytes = resident_bytes(),
		.open_fds = open_fds(),
	};
	for (; r->issuer_n < k->issuer_n && r->issuer_n < KEYCACHE_ISSUERS_MAX; r->issuer_n++) {
		const struct keeper_issuer *issuer = &k->issuers[r->issuer_n];
		r->issuers[r->issuer_n] = (struct keeper_issuer_report){ issuer->fetch.jwt->issuer.url, issuer->key_n,
			issuer->fetched_at ? now_s - issuer->fetched_at : -1, issuer->succeeded, issuer->failed, issuer->failure };
	}
}

static void
fill_page(void *arg, enum admin_page page, struct admin_answer *out)
{
	struct keeper_report report;

	if (page == ADMIN_LIVEZ) {
		buf_add_str(&out->body, "alive\n");
		return;
	}
	fill_report(arg, &report);
	if (page == ADMIN_METRICS)
		keeper_report_metrics(&report, ((struct keeper *)arg)->start->metrics, &out->body);
	else if (!keeper_report_ready(&report, &out->body))
		out->status = 503;
}
