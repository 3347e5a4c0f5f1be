unit_SRCS := $(wildcard tests/unit/test_*.c)
fuzz_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
