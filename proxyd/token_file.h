/* token_file.h - Kubernetes' static token file: whom a bearer token stands for, because a file says so.
 *
 * One line each, CSV as RFC 4180 has it: token,user,uid or token,user,uid,"group1,group2". The tokens themselves are not kept, only their digests.
 * Stricter than kube-apiserver: it passes over empty tokens, further columns and second lines of one token; here each is an error with its line.
 * Names may begin with "system:" (who writes the file says who is who), but not the group system:masters: whoever has that is above RBAC, and
 * such a credential belongs to the cluster itself, not in front of a proxy.
 * Spec: Kubernetes, Authenticating, "Static token file"; RFC 6750 section 2.1. */
#ifndef PROXYD_TOKEN_FILE_H
#define PROXYD_TOKEN_FILE_H

#include "oidc/identity.h"
#include "proxyd/credential_digest.h"
#include "shared/yaml.h"

#define TOKEN_FILE_BYTES_MAX (4u << 20)
#define TOKEN_FILE_ENTRIES_MAX 16384
/* 16 characters of the poorest usual alphabet (hexadecimal) are 64 bits. */
#define TOKEN_FILE_TOKEN_BYTES_MIN 16

struct token_file_entry {
	unsigned char digest[CREDENTIAL_DIGEST_BYTES]; /* CREDENTIAL_BEARER, no scope */
	struct identity identity;
	int line;
};

struct token_file {
	struct token_file_entry *entries; /* by digest */
	size_t n;
};

/* name: of the file, for messages. token_bytes_max: limits.tokenBytes. All of *out lives in arena. E_FORMAT, E_LIMIT, E_NOMEM, with e filled
 * ("FILE:LINE: what"); a message never repeats a token. */
MUST_CHECK enum err token_file_parse(struct arena *arena, const char *name, struct slice text, size_t token_bytes_max, struct token_file *out,
	struct config_error *e);
/* NULL: none of them. */
const struct identity *token_file_find(const struct token_file *f, const unsigned char digest[CREDENTIAL_DIGEST_BYTES]);

#endif
