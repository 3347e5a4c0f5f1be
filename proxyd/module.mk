proxyd_SRCS := $(filter-out proxyd/main.c,$(wildcard proxyd/*.c))
