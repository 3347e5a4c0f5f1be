/* program.h - the file and the arguments that this process was started with, so that it can start what stands there later. */
#ifndef SHARED_PROGRAM_H
#define SHARED_PROGRAM_H

#include "shared/err.h"

/* Remember argv, and where argv[0] was found: absolute, as named or by the PATH. Symbolic links are kept, for a new version is often another link; and a file that was replaced or
 * removed since is no longer ours, which /proc/self/exe would still show. To be called before the working directory changes. E_EMPTY: there is no such file (the path is
 * /proc/self/exe's then, unless that fails, too); E_NOMEM. */
MUST_CHECK enum err program_init(char **argv);
/* NULL: not known. */
const char *program_path(void);
/* Of main, ended by NULL. */
char *const *program_arguments(void);

#endif
