shared_SRCS := $(wildcard shared/*.c)
