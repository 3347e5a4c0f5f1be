/* pid_file.h - a file with the number of the master that serves, for those who operate it by signals without a service manager. */
#ifndef PROXYD_PID_FILE_H
#define PROXYD_PID_FILE_H

#include <sys/types.h>
#include "shared/err.h"

/* Replace it whole: whoever reads it finds one number or the other. E_SYSTEM (errno). */
MUST_CHECK enum err pid_file_write(const char *path, pid_t pid);
/* Unless it has another's number by now. */
void pid_file_remove(const char *path, pid_t pid);

#endif
