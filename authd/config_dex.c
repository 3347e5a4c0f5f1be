#include "authd/config_internal.h"

#define KNOWN "is known to dex and not carried by authd yet: remove it"

static const struct config_refusal not_carried[] = {
	{ "grpc", KNOWN " (clients and people stand in this file, which a HUP reads again, or are added by authd ctl)" },
	{ "mfa", KNOWN },
	{ "staticClients[].refreshTokenLifetime", KNOWN " (the client's expiry.refreshTokens.absoluteLifetime says it)" },
	{ "staticClients[].mfaChain", KNOWN },
	{ "staticClients[].ssoSharedWith", KNOWN " (a session serves every client that allows its connector)" },
	{ "sessions.cookieEncryptionKey", KNOWN " (authd's cookies carry random bytes only)" },
	{ "sessions.ssoSharedWithDefault", KNOWN " (a session serves every client that allows its connector)" },
};

enum err
authd_config_check_dex(const char *file, const struct yaml_node *root, struct config_error *e)
{
	return config_path_refuse(file, root, not_carried, sizeof(not_carried) / sizeof(not_carried[0]), true, e);
}

enum err
authd_config_check_dex_client(const char *file, const struct yaml_node *root, struct config_error *e)
{
	static const char list[] = "staticClients[].";
	enum err err = OK;

	for (size_t i = 0; i < sizeof(not_carried) / sizeof(not_carried[0]) && err == OK; i++) {
		if (strncmp(not_carried[i].path, list, sizeof(list) - 1) != 0)
			continue;
		const struct config_refusal below = { not_carried[i].path + sizeof(list) - 1, not_carried[i].why };
		err = config_path_refuse(file, root, &below, 1, true, e);
	}
	return err;
}
