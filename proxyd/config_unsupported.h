/* config_unsupported.h - keys that people bring from Kubernetes' AuthenticationConfiguration, or from our own documentation of what is to
 * come, and that this version does not act on. They get an answer of their own: an unknown key would read like a typing error. */
#ifndef PROXYD_CONFIG_UNSUPPORTED_H
#define PROXYD_CONFIG_UNSUPPORTED_H

#include "shared/yaml.h"

/* OK: root uses none of them. E_FORMAT with e filled. */
MUST_CHECK enum err config_unsupported_check(const char *file, const struct yaml_node *root, struct config_error *e);

#endif
