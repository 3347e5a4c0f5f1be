#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "proxyd/keycache.h"
#include "shared/sealed.h"

struct pair {
	struct keycache *writer, *reader;
	int fd;
};

static int
pair_setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	assert_int_equal(keycache_create(&p->writer, &p->fd), OK);
	assert_int_equal(keycache_open(p->fd, &p->reader), OK);
	*state = p;
	return 0;
}

static int
pair_teardown(void **state)
{
	struct pair *p = *state;

	keycache_close(p->writer);
	keycache_close(p->reader);
	close(p->fd);
	free(p);
	return 0;
}

static struct keycache_entry
entry(const char *issuer, const char *jwks)
{
	return (struct keycache_entry){ slice_str(issuer), slice_str(jwks) };
}

static void
a_new_cache_has_generation_0_and_nothing_to_copy(void **state)
{
	struct pair *p = *state;
	struct buf out;
	uint64_t generation = 0;

	buf_init(&out, 0);
	buf_add_str(&out, "mine");
	assert_int_equal(keycache_generation(p->reader), 0);
	assert_int_equal(keycache_snapshot(p->reader, &generation, &out), E_EMPTY);
	assert_int_equal(generation, 0);
	assert_string_equal(out.p, "mine");
	buf_fini(&out);
}

static void
a_published_set_is_copied_byte_for_byte_and_in_order(void **state)
{
	struct pair *p = *state;
	struct keycache_entry sets[] = { entry("https://a", "{\"keys\":[1]}"), entry("https://bc", ""), entry("https://d", "{}") };
	struct keycache_entry got;
	struct buf out;
	uint64_t generation = 0;
	size_t pos = 0;

	buf_init(&out, 0);
	assert_int_equal(keycache_publish(p->writer, sets, 3), OK);
	assert_int_equal(keycache_generation(p->reader), 1);
	assert_int_equal(keycache_snapshot(p->reader, &generation, &out), OK);
	assert_int_equal(generation, 1);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(keycache_next(buf_slice(&out), &pos, &got), OK);
		assert_true(slice_eq(got.issuer, sets[i].issuer));
		assert_true(slice_eq(got.jwks, sets[i].jwks));
	}
	assert_int_equal(keycache_next(buf_slice(&out), &pos, &got), E_EMPTY);
	buf_fini(&out);
}

static void
a_reader_that_is_current_is_told_so_and_a_newer_set_replaces_the_old(void **state)
{
	struct pair *p = *state;
	struct keycache_entry got;
	struct buf out;
	uint64_t generation = 0;

	buf_init(&out, 0);
	for (int i = 0; i < 5; i++) {
		char jwks[] = { (char)('0' + i), '\0' };
		struct keycache_entry set = entry("https://a", jwks);
		size_t pos = 0;
		assert_int_equal(keycache_publish(p->writer, &set, 1), OK);
		assert_int_equal(keycache_snapshot(p->reader, &generation, &out), OK);
		assert_int_equal(generation, i + 1);
		assert_int_equal(keycache_next(buf_slice(&out), &pos, &got), OK);
		assert_true(slice_eq(got.jwks, set.jwks));
		assert_int_equal(keycache_snapshot(p->reader, &generation, &out), E_AGAIN);
	}
	buf_fini(&out);
}

static void
publishing_nothing_ends_every_key(void **state)
{
	struct pair *p = *state;
	struct keycache_entry set = entry("https://a", "{}"), got;
	struct buf out;
	uint64_t generation = 0;
	size_t pos = 0;

	buf_init(&out, 0);
	assert_int_equal(keycache_publish(p->writer, &set, 1), OK);
	assert_int_equal(keycache_publish(p->writer, NULL, 0), OK);
	assert_int_equal(keycache_snapshot(p->reader, &generation, &out), OK);
	assert_int_equal(generation, 2);
	assert_int_equal(keycache_next(buf_slice(&out), &pos, &got), E_EMPTY);
	buf_fini(&out);
}

static void
a_set_that_does_not_fit_is_refused_and_the_published_one_stays(void **state)
{
	struct pair *p = *state;
	struct keycache_entry small = entry("https://a", "{}"), many[KEYCACHE_ISSUERS_MAX + 1];
	char *large = malloc(KEYCACHE_SLOT_BYTES_MAX);
	struct buf out;
	uint64_t generation = 0;

	assert_non_null(large);
	memset(large, 'k', KEYCACHE_SLOT_BYTES_MAX);
	struct keycache_entry big = { SLICE_LIT("https://a"), slice_of(large, KEYCACHE_SLOT_BYTES_MAX) };
	struct keycache_entry huge = { SLICE_LIT("https://a"), slice_of(large, (size_t)KEYCACHE_SLOT_BYTES_MAX + 1) };
	for (size_t i = 0; i < KEYCACHE_ISSUERS_MAX + 1; i++)
		many[i] = small;
	buf_init(&out, 0);
	assert_int_equal(keycache_publish(p->writer, &small, 1), OK);
	assert_int_equal(keycache_publish(p->writer, &big, 1), E_LIMIT);
	assert_int_equal(keycache_publish(p->writer, &huge, 1), E_LIMIT);
	assert_int_equal(keycache_publish(p->writer, many, KEYCACHE_ISSUERS_MAX + 1), E_LIMIT);
	assert_int_equal(keycache_snapshot(p->reader, &generation, &out), OK);
	assert_int_equal(generation, 1);
	/* The largest that fits: two 32-bit lengths and nine bytes of issuer leave the rest. */
	big.jwks.n = KEYCACHE_SLOT_BYTES_MAX - 8 - 9;
	assert_int_equal(keycache_publish(p->writer, &big, 1), OK);
	assert_int_equal(keycache_snapshot(p->reader, &generation, &out), OK);
	assert_int_equal(out.n, KEYCACHE_SLOT_BYTES_MAX);
	assert_int_equal(keycache_publish(p->writer, many, KEYCACHE_ISSUERS_MAX), OK);
	free(large);
	buf_fini(&out);
}

static void
nobody_but_the_creator_can_write(void **state)
{
	struct pair *p = *state;
	struct stat st;

	assert_int_equal(fstat(p->fd, &st), 0);
	assert_ptr_equal(mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0), MAP_FAILED);
	assert_int_equal(errno, EPERM);
	assert_int_equal(pwrite(p->fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(p->fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(p->fd, st.st_size * 2), -1);
	assert_int_equal(errno, EPERM);
	void *readable = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, p->fd, 0);
	assert_ptr_not_equal(readable, MAP_FAILED);
	assert_int_equal(mprotect(readable, (size_t)st.st_size, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	munmap(readable, (size_t)st.st_size);
}

static void
memory_that_is_not_sealed_or_too_small_is_not_opened(void **state)
{
	struct keycache *kc = NULL;
	struct stat st;
	int loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING), small;
	void *writable;

	assert_int_equal(fstat(((struct pair *)*state)->fd, &st), 0);
	assert_int_equal(ftruncate(loose, st.st_size), 0);
	assert_int_equal(keycache_open(loose, &kc), E_DENIED);
	close(loose);
	assert_int_equal(sealed_create("small", 4096, &small, &writable), OK);
	assert_int_not_equal(keycache_open(small, &kc), OK);
	sealed_unmap(writable, 4096);
	close(small);
	assert_null(kc);
}

/* Reader process: every copy must be one set whole, and sets must come in order. Returns the exit status. */
static int
read_until(int fd, uint64_t last)
{
	struct keycache *kc;
	struct keycache_entry got;
	struct buf out;
	uint64_t generation = 0, before = 0;

	buf_init(&out, 0);
	if (keycache_open(fd, &kc))
		return 1;
	while (generation < last) {
		size_t pos = 0;
		enum err e = keycache_snapshot(kc, &generation, &out);
		if (e == E_AGAIN || e == E_EMPTY)
			continue;
		if (e || generation <= before || keycache_next(buf_slice(&out), &pos, &got))
			return 2;
		before = generation;
		/* The writer fills set g with bytes of g, and makes its length depend on g. */
		if (got.jwks.n != 20000 + generation % 7)
			return 3;
		for (size_t i = 0; i < got.jwks.n; i++)
			if ((unsigned char)got.jwks.p[i] != generation % 251)
				return 4;
	}
	keycache_close(kc);
	buf_fini(&out);
	return 0;
}

static void
readers_in_other_processes_never_see_half_a_set(void **state)
{
	struct pair *p = *state;
	enum { SETS = 3000, READERS = 2 };
	pid_t readers[READERS];
	char bytes[20007];

	for (int i = 0; i < READERS; i++) {
		readers[i] = fork();
		assert_true(readers[i] >= 0);
		if (readers[i] == 0)
			_exit(read_until(p->fd, SETS));
	}
	for (unsigned g = 1; g <= SETS; g++) {
		struct keycache_entry set = { SLICE_LIT("https://a"), slice_of(bytes, 20000 + g % 7) };
		memset(bytes, (int)(g % 251), sizeof(bytes));
		assert_int_equal(keycache_publish(p->writer, &set, 1), OK);
	}
	for (int i = 0; i < READERS; i++) {
		int status;
		assert_int_equal(waitpid(readers[i], &status, 0), readers[i]);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

/* What a reader makes of a cache whose 64-bit word number `word` holds `value`. The image has two sets published, so that the current one is
 * in the first slot: word 0 is the mark, 1 the counter, 2 the length in bytes, 3 the lengths of the first issuer and key set. */
static enum err
read_damaged(const char *image, size_t bytes, size_t word, uint64_t value)
{
	struct keycache *kc = NULL;
	struct keycache_entry got;
	struct buf out;
	uint64_t generation = 0;
	size_t pos = 0;
	void *writable;
	int fd;

	buf_init(&out, 0);
	assert_int_equal(sealed_create("damaged", bytes, &fd, &writable), OK);
	memcpy(writable, image, bytes);
	memcpy((char *)writable + word * 8, &value, 8);
	enum err e = keycache_open(fd, &kc);
	if (!e)
		e = keycache_snapshot(kc, &generation, &out);
	while (!e && (e = keycache_next(buf_slice(&out), &pos, &got)) == OK) {
		assert_true(got.issuer.p >= out.p && got.issuer.p + got.issuer.n <= out.p + out.n);
		assert_true(got.jwks.p >= out.p && got.jwks.p + got.jwks.n <= out.p + out.n);
	}
	keycache_close(kc);
	sealed_unmap(writable, bytes);
	close(fd);
	buf_fini(&out);
	return e; /* E_EMPTY: walked to the end */
}

static void
a_damaged_cache_is_refused_and_never_read_past_its_bounds(void **state)
{
	struct pair *p = *state;
	static const uint64_t values[] = { 0, 1, 7, UINT32_MAX, (uint64_t)UINT32_MAX << 32, UINT64_MAX, UINT64_MAX - 7,
		KEYCACHE_SLOT_BYTES_MAX, KEYCACHE_SLOT_BYTES_MAX + 1, (uint64_t)KEYCACHE_SLOT_BYTES_MAX << 32 };
	struct keycache_entry sets[] = { entry("https://a", "{\"keys\":[]}"), entry("https://b", "{}") };
	struct stat st;

	assert_int_equal(keycache_publish(p->writer, sets, 2), OK);
	assert_int_equal(keycache_publish(p->writer, sets, 2), OK);
	assert_int_equal(fstat(p->fd, &st), 0);
	size_t bytes = (size_t)st.st_size;
	char *image = malloc(bytes);
	assert_non_null(image);
	assert_int_equal(pread(p->fd, image, bytes, 0), (ssize_t)bytes);

	for (size_t word = 0; word < 10; word++)
		for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			enum err e = read_damaged(image, bytes, word, values[i]);
			assert_true(e == E_FORMAT || e == E_EMPTY);
			if (word == 0)
				assert_int_equal(e, E_FORMAT);
		}
	assert_int_equal(read_damaged(image, bytes, 2, KEYCACHE_SLOT_BYTES_MAX + 1), E_FORMAT);
	assert_int_equal(read_damaged(image, bytes, 2, 5), E_FORMAT);
	assert_int_equal(read_damaged(image, bytes, 3, UINT64_MAX), E_FORMAT);
	assert_int_equal(read_damaged(image, bytes, 3, UINT32_MAX), E_FORMAT);
	assert_int_equal(read_damaged(image, bytes, 3, (uint64_t)UINT32_MAX << 32 | 9), E_FORMAT);
	free(image);
}

static void
a_position_past_the_end_is_refused(void **state)
{
	struct keycache_entry got;
	size_t pos = 9;

	(void)state;
	assert_int_equal(keycache_next(SLICE_LIT("12345678"), &pos, &got), E_FORMAT);
	assert_int_equal(pos, 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_new_cache_has_generation_0_and_nothing_to_copy, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(a_published_set_is_copied_byte_for_byte_and_in_order, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(
			a_reader_that_is_current_is_told_so_and_a_newer_set_replaces_the_old, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(publishing_nothing_ends_every_key, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(
			a_set_that_does_not_fit_is_refused_and_the_published_one_stays, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(nobody_but_the_creator_can_write, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(memory_that_is_not_sealed_or_too_small_is_not_opened, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(readers_in_other_processes_never_see_half_a_set, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_cache_is_refused_and_never_read_past_its_bounds, pair_setup, pair_teardown),
		cmocka_unit_test(a_position_past_the_end_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
