/* Loaded before the C library (LD_PRELOAD): every clock of the program is ahead by what stands in the file $FAST_CLOCK, in milliseconds, and may jump at any time. What
 * waits looks again after 20 ms, so that what a jump makes due is done. The file is mapped before main, for a confined process opens none. */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 20

static const volatile int64_t *ahead_ms;
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static int (*real_poll)(struct pollfd *, nfds_t, int);
static int (*real_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

__attribute__((constructor)) static void
map(void)
{
	const char *file = getenv("FAST_CLOCK");
	int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;

	real_epoll_wait = dlsym(RTLD_NEXT, "epoll_wait");
	real_poll = dlsym(RTLD_NEXT, "poll");
	real_timedwait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
	ahead_ms = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*ahead_ms), PROT_READ, MAP_SHARED, fd, 0);
	if (ahead_ms == MAP_FAILED)
		abort();
	close(fd);
}

static void
add(struct timespec *t, int64_t ms)
{
	int64_t ns = t->tv_nsec + ms % 1000 * 1000000;

	t->tv_sec += ms / 1000 + (ns >= 1000000000) - (ns < 0);
	t->tv_nsec = ns + (ns < 0 ? 1000000000 : ns >= 1000000000 ? -1000000000 : 0);
}

int
clock_gettime(clockid_t clock, struct timespec *t)
{
	long code = syscall(SYS_clock_gettime, clock, t);

	if (code == 0 && ahead_ms && /* other libraries ask before we are there */
		(clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE))
		add(t, *ahead_ms);
	return (int)code;
}

time_t
time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

int
gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	*out = (struct timeval){ t.tv_sec, t.tv_nsec / 1000 };
	return 0;
}

static int
shortened(int ms)
{
	return ms < 0 || ms > LOOK_MS ? LOOK_MS : ms;
}

int
epoll_wait(int fd, struct epoll_event *events, int n, int ms)
{
	return real_epoll_wait(fd, events, n, shortened(ms));
}

/* A wait without an end stays one: nothing becomes due in it. */
int
poll(struct pollfd *fds, nfds_t n, int ms)
{
	return real_poll(fds, n, ms < 0 ? ms : shortened(ms));
}

int
pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until)
{
	struct timespec real = *until;

	add(&real, -*ahead_ms);
	return real_timedwait(cond, mutex, &real);
}
