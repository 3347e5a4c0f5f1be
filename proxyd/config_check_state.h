/* config_check_state.h - what the checks of a configuration share: for config_check*.c only. */
#ifndef PROXYD_CONFIG_CHECK_STATE_H
#define PROXYD_CONFIG_CHECK_STATE_H

#include "proxyd/config_check.h"
#include "shared/config_path.h"

struct check {
	struct proxyd_config *c;
	const struct yaml_node *root;
	int64_t now_s;
	struct config_error *e;
};

/* Line of "listen[0].tls.certFile", or of the nearest block around it that the document has. */
int config_check_line(const struct yaml_node *root, const char *key);
#define KEY_OF(...) (config_key(__VA_ARGS__).text)
#define REFUSE(k, key, ...) (config_error_set((k)->e, (k)->c->file, config_check_line((k)->root, (key)), (key), __VA_ARGS__), E_FORMAT)
enum err config_check_no_memory(struct check *k);

/* Printable ASCII, no blank: what can stand in a cookie's name, a claim's name, a host. */
bool config_check_word(const char *s);
/* A file, read into arena. */
enum err config_check_pem(struct check *k, struct arena *arena, const char *key, const char *path, struct slice *out);
/* A file or, as in Kubernetes, the PEM itself; NULL: *pem stays. */
enum err config_check_ca(struct check *k, const char *key, const char *ca, struct slice *pem);
enum err config_check_address(struct check *k, const char *key, const char *text, struct address *out);

/* config_check_route.c: who may use a cluster or a route, and where routes lead. */
enum err config_check_groups(struct check *k, const char *key, const struct config_strings *groups);
enum err config_check_routes(struct check *k);

#endif
