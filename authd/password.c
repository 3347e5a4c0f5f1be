#include <crypt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include "authd/password.h"

#define HASH_BYTES 60    /* $2b$10$, 22 of salt, 31 of digest */
#define SETTING_BYTES 29 /* the part before the digest */
#define COST_LEAST 4     /* what bcrypt itself has */
#define COST_MOST 31
#define QUEUE_MAX 256    /* at cost 10 and one thread: 13 seconds of waiting */
#define THREADS_MAX 64

static const char alphabet[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

struct job {
	struct job *next;
	char password[PASSWORD_BYTES_MAX + 1];
	char hash[HASH_BYTES + 1]; /* of an unknown user: only a setting */
	bool possible;             /* false: work as for the others, and never match */
	void (*done)(void *arg, enum err err, bool matches);
	void *arg;
};

struct password_pool {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *first, **last;
	size_t waiting, waiting_max;
	bool closing;
	atomic_uint cost;
	pthread_t threads[THREADS_MAX];
	unsigned thread_n;
	size_t running;
};

/* ---- hashes ---- */

/* A character whose last n bits say nothing, and which bcrypt writes with these bits zero: any other hash would never match. */
static bool
last_character_ok(char c, unsigned n)
{
	const char *at = strchr(alphabet, c);
	return ((unsigned)(at - alphabet) & ((1u << n) - 1)) == 0;
}

unsigned
password_hash_cost(struct slice hash)
{
	if (hash.n != HASH_BYTES || memcmp(hash.p, "$2", 2) != 0 || !strchr("aby", hash.p[2]) || hash.p[2] == '\0' || hash.p[3] != '$' ||
		hash.p[4] < '0' || hash.p[4] > '3' || hash.p[5] < '0' || hash.p[5] > '9' || hash.p[6] != '$')
		return 0;
	for (size_t i = 7; i < hash.n; i++)
		if (hash.p[i] == '\0' || !strchr(alphabet, hash.p[i]))
			return 0;
	if (!last_character_ok(hash.p[SETTING_BYTES - 1], 4) || !last_character_ok(hash.p[HASH_BYTES - 1], 2))
		return 0;
	unsigned cost = (unsigned)(hash.p[4] - '0') * 10 + (unsigned)(hash.p[5] - '0');
	return cost >= COST_LEAST && cost <= COST_MOST ? cost : 0;
}

bool
password_hash_ok(struct slice hash, const char **why)
{
	unsigned cost = password_hash_cost(hash);

	if (cost == 0)
		*why = "a bcrypt hash of 60 characters that begins with $2a$, $2b$ or $2y$ (htpasswd -nbBC 10 '' PASSWORD makes one)";
	else if (cost < PASSWORD_COST_MIN)
		*why = "a bcrypt hash of cost 10 or more; this one is too easy to guess";
	else if (cost > PASSWORD_COST_MAX)
		*why = "a bcrypt hash of cost 16 or less; a sign-in would take longer than five seconds";
	else
		return true;
	return false;
}

enum err
password_hash_make(struct slice password, unsigned cost, const struct rng *rng, char out[PASSWORD_HASH_BYTES])
{
	char salt[16], setting[CRYPT_GENSALT_OUTPUT_SIZE], text[PASSWORD_BYTES_MAX + 1] = "";
	struct crypt_data *data;
	const char *made = NULL;

	if (password.n == 0 || password.n > PASSWORD_BYTES_MAX || memchr(password.p, '\0', password.n))
		return E_FORMAT;
	if (cost < PASSWORD_COST_MIN || cost > PASSWORD_COST_MAX)
		return E_LIMIT;
	if (rng_fill(rng, salt, sizeof(salt)) != OK || !crypt_gensalt_rn("$2b$", cost, salt, sizeof(salt), setting, sizeof(setting)))
		return E_SYSTEM;
	data = calloc(1, sizeof(*data));
	memcpy(text, password.p, password.n);
	if (data)
		made = crypt_r(text, setting, data);
	if (made && strlen(made) == HASH_BYTES)
		memcpy(out, made, HASH_BYTES + 1);
	else
		made = NULL;
	OPENSSL_cleanse(text, sizeof(text));
	if (data)
		OPENSSL_cleanse(data, sizeof(*data));
	free(data);
	return made ? OK : E_SYSTEM;
}

/* ---- the pool ---- */

static void
job_free(struct job *j)
{
	OPENSSL_cleanse(j, sizeof(*j));
	free(j);
}

static bool
compare(const struct job *j, struct crypt_data *data, enum err *e)
{
	const char *made = crypt_r(j->password, j->hash, data);

	*e = made && strlen(made) == HASH_BYTES ? OK : E_SYSTEM;
	bool same = *e == OK && slice_eq_secret(slice_of(made, HASH_BYTES), slice_of(j->hash, HASH_BYTES));
	OPENSSL_cleanse(data, sizeof(*data));
	return same && j->possible;
}

static struct job *
next_job(struct password_pool *p)
{
	struct job *j;

	pthread_mutex_lock(&p->lock);
	while (!p->first && !p->closing)
		pthread_cond_wait(&p->changed, &p->lock);
	j = p->closing ? NULL : p->first;
	if (j) {
		p->first = j->next;
		if (!p->first)
			p->last = &p->first;
		p->waiting--;
		p->running++;
	}
	pthread_mutex_unlock(&p->lock);
	return j;
}

static void *
pool_main(void *arg)
{
	struct password_pool *p = arg;
	struct crypt_data *data = calloc(1, sizeof(*data)); /* 32 KiB */
	struct job *j;

	pthread_setname_np(pthread_self(), "password");
	while ((j = next_job(p))) {
		enum err e = E_SYSTEM;
		bool matches = data && compare(j, data, &e);
		void (*done)(void *arg, enum err err, bool matches) = j->done;
		void *done_arg = j->arg;
		job_free(j);
		done(done_arg, e, matches);
		pthread_mutex_lock(&p->lock);
		p->running--;
		pthread_mutex_unlock(&p->lock);
	}
	free(data);
	return NULL;
}

struct password_pool *
password_pool_new(unsigned threads, size_t queue_max)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct password_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	if (threads == 0)
		threads = cpus > 3 ? (unsigned)cpus / 2 : 1;
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	p->last = &p->first;
	p->waiting_max = queue_max ? queue_max : QUEUE_MAX;
	atomic_init(&p->cost, PASSWORD_COST_MIN);
	while (p->thread_n < threads && pthread_create(&p->threads[p->thread_n], NULL, pool_main, p) == 0)
		p->thread_n++;
	if (p->thread_n == threads)
		return p;
	password_pool_free(p);
	return NULL;
}

void
password_pool_free(struct password_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->thread_n; i++)
		pthread_join(p->threads[i], NULL);
	while (p->first) {
		struct job *j = p->first;
		p->first = j->next;
		j->done(j->arg, E_AGAIN, false);
		job_free(j);
	}
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void
password_pool_set_cost(struct password_pool *p, unsigned cost)
{
	atomic_store(&p->cost, cost < COST_LEAST ? COST_LEAST : cost > COST_MOST ? COST_MOST : cost);
}

void
password_pool_raise_cost(struct password_pool *p, unsigned cost)
{
	unsigned now = atomic_load(&p->cost);

	while (cost > now && cost <= COST_MOST && !atomic_compare_exchange_weak(&p->cost, &now, cost))
		;
}

void
password_pool_load(struct password_pool *p, size_t *waiting, size_t *running)
{
	pthread_mutex_lock(&p->lock);
	*waiting = p->waiting;
	*running = p->running;
	pthread_mutex_unlock(&p->lock);
}

static struct job *
job_new(const struct password_pool *p, struct slice password, struct slice hash)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	/* bcrypt reads 72 bytes and stops at a NUL: what lies behind must not be taken for equal. */
	size_t n = password.n > PASSWORD_BYTES_MAX ? PASSWORD_BYTES_MAX : password.n;
	if (n)
		memcpy(j->password, password.p, n);
	j->possible = hash.n && password.n && n == password.n && !memchr(password.p, '\0', n);
	if (hash.n)
		memcpy(j->hash, hash.p, hash.n);
	else
		snprintf(j->hash, sizeof(j->hash), "$2b$%02u$...............unknown", atomic_load(&p->cost));
	return j;
}

enum err
password_check(struct password_pool *p, struct slice password, struct slice hash,
	void (*done)(void *arg, enum err err, bool matches), void *arg)
{
	if (hash.n && password_hash_cost(hash) == 0)
		return E_FORMAT;
	struct job *j = job_new(p, password, hash);
	if (!j)
		return E_NOMEM;
	j->done = done;
	j->arg = arg;
	pthread_mutex_lock(&p->lock);
	bool full = p->waiting == p->waiting_max;
	if (!full) {
		*p->last = j;
		p->last = &j->next;
		p->waiting++;
		pthread_cond_signal(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	if (full)
		job_free(j);
	return full ? E_LIMIT : OK;
}
