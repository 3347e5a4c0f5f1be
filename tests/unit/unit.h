/* unit.h - what every unit test includes: cmocka with the headers it needs first, and a folder to write in. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* A new folder under /tmp, its path in out. */
static inline void
unit_folder_make(char out[64])
{
	snprintf(out, 64, "/tmp/gatehouse-unit-XXXXXX");
	assert_non_null(mkdtemp(out));
}

static inline void
unit_file_write(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

#endif
