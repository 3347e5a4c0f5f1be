/* kubeconfig.h - a kubeconfig as the description of one cluster's apiserver and our credential there.
 * exec, auth-provider, insecure-skip-tls-verify, basic auth, plain http and impersonation keys are refused with a reason. */
#ifndef PROXYD_KUBECONFIG_H
#define PROXYD_KUBECONFIG_H

#include "shared/config.h"
#include "shared/file_watch.h"

struct kubeconfig {
	const char *server;          /* https URL as written */
	const char *host;            /* to dial: name or address without brackets */
	uint16_t port;
	const char *base_path;       /* "" or "/x" */
	const char *host_header;     /* authority as written */
	const char *tls_server_name; /* for SNI and verification: tls-server-name or host */
	struct slice ca_pem;         /* required unless the system's CAs are meant (then empty) */
	struct slice cert_pem, key_pem; /* both or neither; NUL-terminated */
	const char *token;           /* NULL: none */
	const char *token_file;      /* master looks at it again and again (credentials.h); NULL: none */
};

#define KUBECONFIG_TOKEN_BYTES_MAX (16u * 1024)

/* What a token file holds, without the blanks and line ends around it, as client-go takes it. False: that is no token. */
bool kubeconfig_token_trim(struct slice *text);

/* context NULL: current-context. Relative paths are relative to the kubeconfig's folder. Strings live in arena. */
MUST_CHECK enum err kubeconfig_load(struct arena *arena, const char *path, const char *context, struct file_watch *watch,
	struct kubeconfig *out, struct config_error *e);
/* The same from text, without reading the files that it names: for tests and fuzzing of the shape. */
MUST_CHECK enum err kubeconfig_parse(struct arena *arena, const char *name, struct slice text, const char *context, struct kubeconfig *out, struct config_error *e);

#endif
