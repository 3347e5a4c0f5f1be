/* config_check.h - the second half of reading proxyd's configuration: what a table cannot say. Files are read and their contents checked, texts
 * become addresses and policies, names are compared with each other. */
#ifndef PROXYD_CONFIG_CHECK_H
#define PROXYD_CONFIG_CHECK_H

#include "proxyd/config.h"

/* c: bound by the tables; its derived members are filled. root: the document, for lines. E_FORMAT, E_NOMEM with e filled. */
MUST_CHECK enum err config_check(struct proxyd_config *c, const struct yaml_node *root, int64_t now_s, struct config_error *e);

#endif
