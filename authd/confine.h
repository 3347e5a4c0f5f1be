/* confine.h - what authd keeps of its rights once it has started, in the words of shared/sandbox.h.
 *
 * Files are taken before the first thread, system calls when all is set up, before anybody can connect. */
#ifndef AUTHD_CONFINE_H
#define AUTHD_CONFINE_H

#include "authd/config.h"

/* Left are: to read, the folders that the configuration and its certificates are in; to write, the store's; to make sockets in, that of web.unix. E_SYSTEM (errno), E_NOMEM: the caller
 * must not go on. */
MUST_CHECK enum err authd_confine_files(const struct authd_config *c);
MUST_CHECK enum err authd_confine_calls(void);

/* A reload failed: where files are confined, that may be since a path leads elsewhere than at the start. Text to be added to why; "": that is not it. */
const char *authd_confine_hint(const char *why);

#endif
