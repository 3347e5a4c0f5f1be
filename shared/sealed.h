/* sealed.h - shared memory with one writer: a memfd that its creator maps read-write and then seals, so that no other
 * mapping or write(2) can change it (F_SEAL_FUTURE_WRITE, memfd_create(2)). */
#ifndef SHARED_SEALED_H
#define SHARED_SEALED_H

#include "shared/err.h"
#include "shared/slice.h"

/* Create, size, map writable, seal (SHRINK, GROW, FUTURE_WRITE, SEAL). *fd is close-on-exec. E_SYSTEM (errno). A child forked
 * afterwards inherits the writable mapping: it calls sealed_unmap on it. */
MUST_CHECK enum err sealed_create(const char *name, size_t bytes, int *fd, void **writable);
/* Map a received descriptor read-only after verifying its seals and that it has at least `bytes`: E_DENIED when a seal is
 * missing, E_FORMAT when it is smaller, E_SYSTEM (errno). */
MUST_CHECK enum err sealed_map(int fd, size_t bytes, const void **out);
void sealed_unmap(const void *p, size_t bytes);

#endif
