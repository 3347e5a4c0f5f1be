#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "shared/log.h"
#include "shared/sandbox_internal.h"

#define CALLS_MAX 512 /* numbers reach 470 by 2026 */

static char *names[CALLS_MAX]; /* resolved before, for a handler must not allocate; kept until the end */
static atomic_bool said[CALLS_MAX];
static int (*answer_of)(int call);

static const char *
name_of(int call)
{
	return call >= 0 && call < CALLS_MAX && names[call] ? names[call] : "unknown";
}

static bool
is_first(int call)
{
	return call < 0 || call >= CALLS_MAX || !atomic_exchange(&said[call], true);
}

static void
set_result(ucontext_t *context, long result)
{
#if defined(__x86_64__)
	context->uc_mcontext.gregs[REG_RAX] = result;
#elif defined(__aarch64__)
	context->uc_mcontext.regs[0] = (unsigned long)result;
#else
	(void)context;
	(void)result;
#endif
}

/* The one handler in these programs: a refused call has to be answered before it returns, so no signalfd can take this. It may interrupt anything, an allocation for
 * one: it neither allocates nor locks. */
static void
on_refused(int number, siginfo_t *info, void *context)
{
	int saved = errno, call = info->si_syscall, code = answer_of(call);
	bool first = is_first(call);

	(void)number;
	if (code == 0) {
		log_write_direct(LOG_LEVEL_ERROR, "sandbox: this process made a system call that only foreign code in it would make, and is ended",
			(const struct log_field[]){ LOG_STR("call", name_of(call)), LOG_INT("number", call), { NULL, LOG_KIND_INT, { NULL, 0 }, 0 } });
		syscall(call, 0, 0, 0, 0, 0, 0); /* refused again, but SIGSYS is blocked in its own handler: the kernel ends the process by it, and master sees that */
		_exit(1);
	}
	if (first)
		log_write_direct(LOG_LEVEL_WARN, "sandbox: a system call was refused; said once for each",
			(const struct log_field[]){ LOG_STR("call", name_of(call)), LOG_INT("number", call), LOG_ERRNO(code), { NULL, LOG_KIND_INT, { NULL, 0 }, 0 } });
	set_result(context, -code);
	errno = saved;
}

static void
resolve_names(void)
{
	for (int i = 0; i < CALLS_MAX; i++)
		if (!names[i])
			names[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
}

enum err
sandbox_violation_watch(int (*answer)(int call))
{
	struct sigaction action = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigset_t own;

	resolve_names();
	answer_of = answer;
	for (size_t i = 0; i < CALLS_MAX; i++)
		atomic_store(&said[i], false); /* what a parent said is not said of us */
	sigemptyset(&action.sa_mask);
	sigemptyset(&own);
	sigaddset(&own, SIGSYS);
	if (sigaction(SIGSYS, &action, NULL) < 0 || pthread_sigmask(SIG_UNBLOCK, &own, NULL) != 0)
		return E_SYSTEM;
	return OK;
}
