#include "proxyd/config_unsupported.h"
#include "shared/config_path.h"

#define CEL "is not supported: CEL expressions are not evaluated; use claim and prefix, or claim and requiredValue"
#define LATER "is not supported by this version; remove it"

static const struct config_refusal unsupported[] = {
	{ "apiVersion", "is not supported: this is proxyd's own configuration; copy what stands under `jwt:` to `authentication.jwt`" },
	{ "kind", "is not supported: this is proxyd's own configuration; copy what stands under `jwt:` to `authentication.jwt`" },
	{ "jwt", "is not supported here; it belongs under `authentication:`" },
	{ "authentication.anonymous", "is not supported: every request to a cluster needs a caller that was authenticated" },
	{ "authentication.jwt[].issuer.egressSelectorType", LATER },
	{ "authentication.jwt[].userValidationRules", CEL },
	{ "authentication.jwt[].claimValidationRules[].expression", CEL },
	{ "authentication.jwt[].claimValidationRules[].message", CEL },
	{ "authentication.jwt[].claimMappings.username.expression", CEL },
	{ "authentication.jwt[].claimMappings.groups.expression", CEL },
	{ "authentication.jwt[].claimMappings.uid.expression", CEL },
	{ "authentication.jwt[].claimMappings.extra", CEL },
};

enum err
config_unsupported_check(const char *file, const struct yaml_node *root, struct config_error *e)
{
	return config_path_refuse(file, root, unsupported, sizeof(unsupported) / sizeof(unsupported[0]), false, e);
}
