oidc_SRCS  := $(wildcard oidc/*.c)
login_SRCS := $(filter-out oidc/login/main.c,$(wildcard oidc/login/*.c))
