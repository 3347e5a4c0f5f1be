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
