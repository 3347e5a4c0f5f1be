/* exec_credential.h - kubectl's side of an exec plugin (client.authentication.k8s.io/v1): KUBERNETES_EXEC_INFO in, ExecCredential out. */
#ifndef OIDC_LOGIN_EXEC_CREDENTIAL_H
#define OIDC_LOGIN_EXEC_CREDENTIAL_H

#include "shared/arena.h"
#include "shared/buf.h"

struct exec_info {
	const char *api_version;  /* "client.authentication.k8s.io/v1" where kubectl says nothing */
	bool interactive;         /* stdin may be read */
	struct slice server;      /* with provideClusterInfo; empty: none */
	struct slice ca_pem;      /* decoded certificate-authority-data; empty: none */
};

/* text NULL: not run by kubectl. E_FORMAT: not an ExecCredential of a version that we speak; *why is static. */
MUST_CHECK enum err exec_info_parse(const char *text, struct arena *arena, struct exec_info *out, const char **why);
/* Append the answer. expires_at: NumericDate; kubectl caches until then. */
void exec_credential_add(struct buf *out, const char *api_version, struct slice id_token, int64_t expires_at);

#endif
