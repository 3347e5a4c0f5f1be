/* failing_malloc.h - makes the n-th allocation of the whole program fail, libraries included, and counts what is live.
 * Include in one file only: it defines malloc and its kin. Not under sanitizers, which bring their own: FAILING_MALLOC is 0 there. */
#ifndef TESTS_UNIT_FAILING_MALLOC_H
#define TESTS_UNIT_FAILING_MALLOC_H

#include <stdbool.h>
#include <stdlib.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FAILING_MALLOC 0

/* Nothing fails: what is armed runs once, as it does without. */
static inline void
failing_malloc_arm(long n, bool stays)
{
	(void)n, (void)stays;
}

static inline bool
failing_malloc_disarm(void)
{
	return false;
}

#else
#define FAILING_MALLOC 1

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

static long failing_malloc_countdown; /* 0: nothing fails */
static bool failing_malloc_stays;     /* all after the n-th fail too */
static bool failing_malloc_hit;
static long failing_malloc_live;      /* blocks */

/* The n-th allocation from now fails (1: the next); with stays also every one behind it. */
static inline void
failing_malloc_arm(long n, bool stays)
{
	failing_malloc_hit = false;
	failing_malloc_stays = stays;
	failing_malloc_countdown = n;
}

/* Whether one has failed since. */
static inline bool
failing_malloc_disarm(void)
{
	failing_malloc_countdown = 0;
	return failing_malloc_hit;
}

static inline bool
failing_malloc_now(void)
{
	if (failing_malloc_countdown == 0)
		return false;
	if (failing_malloc_countdown > 1) {
		failing_malloc_countdown--;
		return false;
	}
	if (!failing_malloc_stays)
		failing_malloc_countdown = 0;
	failing_malloc_hit = true;
	return true;
}

void *
malloc(size_t n)
{
	void *p = failing_malloc_now() ? NULL : __libc_malloc(n);
	failing_malloc_live += p != NULL;
	return p;
}

void *
calloc(size_t n, size_t size)
{
	void *p = failing_malloc_now() ? NULL : __libc_calloc(n, size);
	failing_malloc_live += p != NULL;
	return p;
}

void *
realloc(void *old, size_t n)
{
	void *p = failing_malloc_now() ? NULL : __libc_realloc(old, n);
	failing_malloc_live += p != NULL && old == NULL;
	return p;
}

void
free(void *p)
{
	failing_malloc_live -= p != NULL;
	__libc_free(p);
}

#endif
#endif
