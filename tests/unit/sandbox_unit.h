/* sandbox_unit.h - what changes a process for good is tried in a child, which tells the first line that did not hold. */
#ifndef TESTS_SANDBOX_UNIT_H
#define TESTS_SANDBOX_UNIT_H

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "shared/sandbox.h"
#include "tests/unit/unit.h"

#define HOLDS(condition)                                                                                       \
	do {                                                                                                   \
		if (!(condition)) {                                                                            \
			dprintf(2, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerrorname_np(errno)); \
			_exit(1);                                                                              \
		}                                                                                              \
	} while (0)
#define FAILS(call, code) HOLDS(((call) == -1) && errno == (code))

static inline int
run_in_child(void (*body)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		const struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGPIPE, SIG_IGN);
		for (int number = SIGILL; number <= SIGSEGV; number++) /* cmocka's handlers */
			if (number != SIGKILL)
				signal(number, SIG_DFL);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

#define assert_child_lives(body) assert_int_equal(run_in_child(body), 0)
#define assert_child_is_ended_by(body, number)             \
	do {                                               \
		int status_ = run_in_child(body);          \
		assert_true(WIFSIGNALED(status_));         \
		assert_int_equal(WTERMSIG(status_), number); \
	} while (0)

/* What this kernel, or this build, lacks cannot be tried. */
static inline void
skip_without_seccomp(void)
{
	if (!sandbox_support().seccomp)
		skip();
}
static inline void
skip_without_landlock(int version)
{
	if (sandbox_support().landlock < version)
		skip();
}

#endif
