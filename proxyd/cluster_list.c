#include "proxyd/cluster_list.h"
#include "proxyd/route_rules.h"

void
cluster_list_header(const struct proxyd_config *config, const struct identity *who, struct buf *out)
{
	const struct proxyd_cluster *clusters = config->clusters.items;

	buf_add_str(out, "X-Gatehouse-Clusters:");
	for (size_t i = 0; i < config->clusters.n; i++)
		if (route_groups_allow(&clusters[i].allowed_groups, who)) {
			buf_add_char(out, ' ');
			buf_add_str(out, clusters[i].name); /* a DNS label */
		}
	buf_add_str(out, "\r\n");
}

void
cluster_list_json(const struct proxyd_config *config, const struct identity *who, struct buf *out)
{
	const struct proxyd_cluster *clusters = config->clusters.items, *root = proxyd_config_default_cluster(config);
	const char *comma = "";

	buf_add_str(out, "{\"clusters\":[");
	for (size_t i = 0; i < config->clusters.n; i++)
		if (route_groups_allow(&clusters[i].allowed_groups, who)) {
			buf_printf(out, "%s{\"name\":\"%s\",\"path\":\"/clusters/%s\",\"default\":%s}", comma, clusters[i].name, clusters[i].name,
				&clusters[i] == root ? "true" : "false");
			comma = ",";
		}
	buf_add_str(out, "]}\n");
}

static bool
is_get(const struct http_head *h)
{
	return (h->method == METHOD_GET || h->method == METHOD_HEAD) && h->upgrade == UPGRADE_NONE;
}

bool
cluster_list_is_asked(const struct http_head *h)
{
	return is_get(h) && (slice_eq_str(h->path, "/clusters") || slice_eq_str(h->path, "/clusters/"));
}

bool
cluster_list_is_shown(const struct http_head *h)
{
	return is_get(h) && (slice_eq_str(h->path, "/console/") || slice_eq_str(h->path, "/console/kubeconfig"));
}
