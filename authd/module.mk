authd_SRCS := $(filter-out authd/main.c,$(wildcard authd/*.c))
