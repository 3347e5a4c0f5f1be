/* What somebody types as a device's user code: any bytes. What is read as one is shown and read again as the same. */
#include "authd/device.h"
#include "tests/fuzz/must.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena arena;

	arena_init(&arena, 1u << 20);
	struct slice code = device_user_code_read(&arena, slice_of((const char *)data, n));
	if (code.p) {
		MUST(code.n == DEVICE_USER_CODE_CHARS);
		for (size_t i = 0; i < code.n; i++)
			MUST(code.p[i] >= 'B' && code.p[i] <= 'Z' && !strchr("EIOUY", code.p[i]));
		struct slice shown = device_user_code_shown(&arena, code);
		MUST(shown.n == DEVICE_USER_CODE_CHARS + 1 && slice_eq(device_user_code_read(&arena, shown), code));
	}
	arena_fini(&arena);
	return 0;
}
