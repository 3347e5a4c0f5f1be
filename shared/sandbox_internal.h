/* sandbox_internal.h - what the files of sandbox.h share. */
#ifndef SHARED_SANDBOX_INTERNAL_H
#define SHARED_SANDBOX_INTERNAL_H

#include "shared/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_BUILT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANDBOX_BUILT 0
#endif
#endif
#ifndef SANDBOX_BUILT
#define SANDBOX_BUILT 1
#endif

/* ---- sandbox_violation.c ---- */

/* Where the handler knows how to answer in the caller's place. Elsewhere the kernel answers, and nothing is said. */
#if defined(__x86_64__) || defined(__aarch64__)
#define SANDBOX_SAYS 1
#else
#define SANDBOX_SAYS 0
#endif
/* From here on a call that a filter traps is said in the log, and answered: answer returns the errno value that the caller gets, or 0 where the process is to end. Also
 * from a signal's handler. Before the filter. E_SYSTEM (errno). */
MUST_CHECK enum err sandbox_violation_watch(int (*answer)(int call));

/* ---- sandbox_landlock.c ---- */

/* Version of the kernel's interface; 0: none. */
int sandbox_landlock_version(void);
MUST_CHECK enum err sandbox_landlock_enter(const struct sandbox *s, int version);

/* ---- sandbox_names.c ---- */

/* What SANDBOX_NAMES lets be read. */
const struct sandbox_path *sandbox_names_paths(size_t *n);
/* Loads the name service's modules, which are programs that cannot be mapped any more afterwards. */
void sandbox_names_load(void);

#endif
