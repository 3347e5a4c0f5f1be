#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "tests/unit/unit.h"
#include "shared/sealed.h"

#define BYTES 8192

static void
readers_see_what_the_writer_writes(void **state)
{
	int fd;
	void *writable;
	const void *map;

	(void)state;
	assert_int_equal(sealed_create("keys", BYTES, &fd, &writable), OK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(sealed_map(fd, BYTES, &map), OK);
	strcpy(writable, "first");
	assert_string_equal(map, "first");
	strcpy((char *)writable + BYTES - 5, "last");
	assert_string_equal((const char *)map + BYTES - 5, "last");
	sealed_unmap(map, BYTES);
	sealed_unmap(writable, BYTES);
	sealed_unmap(NULL, BYTES);
	close(fd);
}

static void
nobody_else_can_change_it(void **state)
{
	int fd;
	void *writable;
	const void *map;
	char path[64];

	(void)state;
	assert_int_equal(sealed_create("keys", BYTES, &fd, &writable), OK);
	assert_int_equal(sealed_map(fd, BYTES, &map), OK);
	assert_ptr_equal(mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(errno, EPERM);
	assert_int_equal(mprotect((void *)(uintptr_t)map, BYTES, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, BYTES * 2), -1);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
	/* Opened anew it is as closed. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, O_RDWR | O_CLOEXEC);
	assert_true(again >= 0);
	assert_ptr_equal(mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0), MAP_FAILED);
	close(again);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	sealed_unmap(map, BYTES);
	sealed_unmap(writable, BYTES);
	close(fd);
}

static void
a_child_that_unmaps_what_it_inherited_cannot_write(void **state)
{
	int fd, status;
	void *writable;

	(void)state;
	assert_int_equal(sealed_create("keys", BYTES, &fd, &writable), OK);
	pid_t child = fork();
	if (child == 0) {
		sealed_unmap(writable, BYTES);
		int mapped = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
		_exit(mapped || errno != EPERM);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	sealed_unmap(writable, BYTES);
	close(fd);
}

static void
what_is_not_sealed_is_denied(void **state)
{
	const void *map = NULL;
	const int almost[] = { 0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL,
		F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE };

	(void)state;
	for (size_t i = 0; i < sizeof(almost) / sizeof(almost[0]); i++) {
		int fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(ftruncate(fd, BYTES), 0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, almost[i]), 0);
		assert_int_equal(sealed_map(fd, BYTES, &map), E_DENIED);
		close(fd);
	}
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(sealed_map(file, 1, &map), E_DENIED);
	close(file);
	assert_int_equal(sealed_map(-1, 1, &map), E_SYSTEM);
	assert_int_equal(errno, EBADF);
	assert_null(map);
}

static void
a_size_that_is_not_there_is_refused(void **state)
{
	int fd;
	void *writable;
	const void *map = NULL;

	(void)state;
	assert_int_equal(sealed_create("keys", BYTES, &fd, &writable), OK);
	assert_int_equal(sealed_map(fd, BYTES + 1, &map), E_FORMAT);
	assert_int_equal(sealed_map(fd, SIZE_MAX, &map), E_FORMAT);
	assert_null(map);
	sealed_unmap(writable, BYTES);
	close(fd);
	fd = -5;
	assert_int_equal(sealed_create("keys", SIZE_MAX, &fd, &writable), E_SYSTEM);
	assert_int_equal(sealed_create("keys", 0, &fd, &writable), E_SYSTEM);
	assert_int_equal(fd, -5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_see_what_the_writer_writes),
		cmocka_unit_test(nobody_else_can_change_it),
		cmocka_unit_test(a_child_that_unmaps_what_it_inherited_cannot_write),
		cmocka_unit_test(what_is_not_sealed_is_denied),
		cmocka_unit_test(a_size_that_is_not_there_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
