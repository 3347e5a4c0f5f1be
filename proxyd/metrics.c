#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "proxyd/metrics.h"

/* Slots begin on pages of their own, so that one can be mapped without its neighbours. */
#define PAGE_BYTES_MAX 65536 /* arm64 and ppc64 have such */
#define ROUND_UP(n) (((n) + PAGE_BYTES_MAX - 1) / PAGE_BYTES_MAX * PAGE_BYTES_MAX)
#define MASTER_BYTES ROUND_UP(sizeof(struct metrics_master))
#define SLOT_BYTES ROUND_UP(sizeof(struct metrics_slot))
#define ALL_BYTES (MASTER_BYTES + METRICS_SLOTS * SLOT_BYTES)

_Static_assert(sizeof(_Atomic uint64_t) == 8 && ATOMIC_LLONG_LOCK_FREE == 2, "words are shared between processes");

const uint16_t metrics_codes[METRICS_CODES] = { 101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410,
	411, 412, 413, 414, 415, 417, 421, 422, 429, 431, 500, 501, 502, 503, 504, 505, 507 };
const uint64_t metrics_bounds_ms[METRICS_BOUNDS] = { 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000 };

struct metrics {
	int fd;
	char *base;
	uint64_t self; /* as a lender */
};

/* Takes fd; -1: errno says why there is none. */
static enum err
map(int fd, struct metrics **out)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m) {
		if (fd >= 0)
			close(fd);
		return E_NOMEM;
	}
	m->base = MAP_FAILED;
	m->fd = fd;
	m->self = (uint64_t)getpid();
	if (m->fd >= 0)
		m->base = mmap(NULL, ALL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->base != MAP_FAILED && madvise(m->base, ALL_BYTES, MADV_DONTFORK) == 0) {
		*out = m;
		return OK;
	}
	int saved = errno;
	metrics_free(m);
	errno = saved;
	return E_SYSTEM;
}

enum err
metrics_new(int64_t now_s, struct metrics **out)
{
	int fd = memfd_create("gatehouse-metrics", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)ALL_BYTES) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return E_SYSTEM;
	}
	enum err e = map(fd, out);
	if (e == OK)
		metrics_set(&metrics_master(*out)->since_s, (uint64_t)now_s);
	return e;
}

enum err
metrics_inherit(int fd, struct metrics **out)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return E_SYSTEM;
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)ALL_BYTES)
		return E_FORMAT;
	return map(fcntl(fd, F_DUPFD_CLOEXEC, 3), out);
}

void
metrics_free(struct metrics *m)
{
	if (!m)
		return;
	if (m->base != MAP_FAILED)
		munmap(m->base, ALL_BYTES);
	if (m->fd >= 0)
		close(m->fd);
	free(m);
}

int
metrics_fd(const struct metrics *m)
{
	return m->fd;
}

struct metrics_master *
metrics_master(struct metrics *m)
{
	return (struct metrics_master *)(void *)m->base;
}

size_t
metrics_slot_take(struct metrics *m, unsigned i)
{
	struct metrics_master *master = metrics_master(m);

	/* Behind the first that is nobody's there are only such. Another master may be looking, too. */
	for (size_t s = 0; s < METRICS_SLOTS; s++) {
		uint64_t owner = 0, nobody = 0;
		if ((atomic_compare_exchange_strong(&master->owners[s], &owner, i + UINT64_C(1)) || owner == i + UINT64_C(1)) &&
			atomic_compare_exchange_strong(&master->lenders[s], &nobody, m->self))
			return s;
	}
	return METRICS_NO_SLOT;
}

void
metrics_slot_release(struct metrics *m, size_t slot)
{
	if (slot == METRICS_NO_SLOT)
		return;
	struct metrics_slot *s = (struct metrics_slot *)(void *)(m->base + MASTER_BYTES + slot * SLOT_BYTES);

	for (size_t i = METRIC_COUNTERS; i < METRICS; i++)
		metrics_set(&s->values[i], 0);
	for (size_t t = 0; t < METRICS_TARGETS && metrics_target_is_used(s, t); t++)
		for (size_t i = METRIC_UPSTREAM_COUNTERS; i < METRICS_UPSTREAM; i++)
			metrics_set(&s->targets[t].upstream[i], 0);
	atomic_store(&metrics_master(m)->lenders[slot], 0);
}

void
metrics_release_all_of(struct metrics *m, pid_t master)
{
	for (size_t s = 0; s < METRICS_SLOTS; s++)
		if (metrics_get(&metrics_master(m)->lenders[s]) == (uint64_t)master)
			metrics_slot_release(m, s);
}

bool
metrics_target_is_used(const struct metrics_slot *s, size_t t)
{
	return t == 0 || metrics_get(&s->targets[t].name[0]) != 0;
}

enum err
metrics_map_slot(int fd, size_t slot, struct metrics_slot **out)
{
	void *p = mmap(NULL, SLOT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(MASTER_BYTES + slot * SLOT_BYTES));

	if (p == MAP_FAILED)
		return E_SYSTEM;
	*out = p;
	return OK;
}

enum err
metrics_map_all(int fd, struct metrics_view *out)
{
	const char *p = mmap(NULL, ALL_BYTES, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return E_SYSTEM;
	out->master = (const struct metrics_master *)(const void *)p;
	for (size_t s = 0; s < METRICS_SLOTS; s++)
		out->slots[s] = (const struct metrics_slot *)(const void *)(p + MASTER_BYTES + s * SLOT_BYTES);
	return OK;
}

struct metrics_target *
metrics_target(struct metrics_slot *s, const char *name)
{
	uint64_t words[METRICS_NAME_BYTES / 8] = { 0 };
	size_t n = strlen(name);

	if (n == 0 || n >= METRICS_NAME_BYTES)
		return &s->targets[0];
	memcpy(words, name, n);
	for (size_t t = 1; t < METRICS_TARGETS; t++) {
		struct metrics_target *row = &s->targets[t];
		bool same = true;
		if (metrics_get(&row->name[0]) == 0) {
			/* The first word last: the keeper takes a row for one that has a name from then on. */
			for (size_t i = METRICS_NAME_BYTES / 8; i-- > 0;)
				metrics_set(&row->name[i], words[i]);
			return row;
		}
		for (size_t i = 0; i < METRICS_NAME_BYTES / 8; i++)
			same = same && metrics_get(&row->name[i]) == words[i];
		if (same)
			return row;
	}
	return &s->targets[0];
}

static size_t
code_index(unsigned code)
{
	size_t from = 0, to = METRICS_CODES;

	if (code == 0)
		return METRICS_CODE_NONE;
	while (from < to) {
		size_t middle = (from + to) / 2;
		if (metrics_codes[middle] == code)
			return middle;
		if (metrics_codes[middle] < code)
			from = middle + 1;
		else
			to = middle;
	}
	return METRICS_CODE_OTHER;
}

void
metrics_request(struct metrics_target *t, enum kube_verb verb, unsigned code)
{
	metrics_add(&t->requests[verb][code_index(code)], 1);
}

void
metrics_time(struct metrics_histogram *h, uint64_t ms)
{
	size_t i = 0;

	while (i < METRICS_BOUNDS && ms > metrics_bounds_ms[i])
		i++;
	metrics_add(&h->counts[i], 1);
	metrics_add(&h->sum_ms, ms);
}
