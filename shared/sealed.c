#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "shared/sealed.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

enum err
sealed_create(const char *name, size_t bytes, int *fd, void **writable)
{
	void *map = MAP_FAILED;

	if (bytes > INT64_MAX) {
		errno = EFBIG;
		return E_SYSTEM;
	}
	int memfd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd < 0)
		return E_SYSTEM;
	/* Mapped before the seal, which lets existing writable mappings be. */
	if (ftruncate(memfd, (off_t)bytes) == 0)
		map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (map != MAP_FAILED && fcntl(memfd, F_ADD_SEALS, SEALS) == 0) {
		*fd = memfd;
		*writable = map;
		return OK;
	}
	int saved = errno;
	if (map != MAP_FAILED)
		munmap(map, bytes);
	close(memfd);
	errno = saved;
	return E_SYSTEM;
}

enum err
sealed_map(int fd, size_t bytes, const void **out)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 && errno != EINVAL) /* EINVAL: a file that knows no seals */
		return E_SYSTEM;
	if (seals < 0 || (seals & SEALS) != SEALS)
		return E_DENIED;
	if (fstat(fd, &st) < 0)
		return E_SYSTEM;
	if (st.st_size < 0 || (uint64_t)st.st_size < bytes)
		return E_FORMAT;
	void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return E_SYSTEM;
	*out = map;
	return OK;
}

void
sealed_unmap(const void *p, size_t bytes)
{
	if (p)
		munmap((void *)(uintptr_t)p, bytes);
}
