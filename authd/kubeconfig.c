#include <openssl/evp.h>
#include "authd/kubeconfig.h"

#define USER "gatehouse"

static bool
is_default(const char *cluster)
{
	return strcmp(cluster, KUBECONFIG_DEFAULT_CLUSTER) == 0;
}

void
kubeconfig_context_add(struct buf *out, const char *cluster)
{
	buf_add_str(out, is_default(cluster) ? "gatehouse" : "gatehouse-");
	buf_add_str(out, is_default(cluster) ? "" : cluster);
}

/* A JSON string is a YAML double-quoted scalar (YAML 1.2 section 1.3), whatever bytes are in it. */
static void
quoted_context(struct buf *out, const char *cluster)
{
	struct buf name;

	buf_init(&name, 0);
	kubeconfig_context_add(&name, cluster);
	buf_add_json(out, buf_slice(&name));
	out->failed |= !buf_ok(&name);
	buf_fini(&name);
}

static void
add_base64(struct buf *out, struct slice bytes)
{
	char *to = buf_reserve(out, (bytes.n + 2) / 3 * 4 + 1);

	if (to)
		buf_commit(out, (size_t)EVP_EncodeBlock((unsigned char *)to, (const unsigned char *)bytes.p, (int)bytes.n));
}

static void
add_server(struct buf *out, const struct kubeconfig_offer *o, const char *cluster)
{
	struct buf url;

	buf_init(&url, 0);
	buf_add_slice(&url, o->gateway);
	if (!is_default(cluster)) {
		buf_add_str(&url, "/clusters/");
		buf_add_urlencoded(&url, slice_str(cluster));
	}
	buf_add_json(out, buf_slice(&url));
	out->failed |= !buf_ok(&url);
	buf_fini(&url);
}

static void
add_cluster(struct buf *out, const struct kubeconfig_offer *o, const char *cluster)
{
	buf_add_str(out, "- name: ");
	quoted_context(out, cluster);
	buf_add_str(out, "\n  cluster:\n    server: ");
	add_server(out, o, cluster);
	if (o->ca_pem.n) {
		buf_add_str(out, "\n    certificate-authority-data: ");
		add_base64(out, o->ca_pem);
	}
	buf_add_char(out, '\n');
}

static void
add_context(struct buf *out, const char *cluster)
{
	buf_add_str(out, "- name: ");
	quoted_context(out, cluster);
	buf_add_str(out, "\n  context:\n    cluster: ");
	quoted_context(out, cluster);
	buf_add_str(out, "\n    user: " USER "\n");
}

static void
add_user(struct buf *out, const struct kubeconfig_offer *o)
{
	buf_add_str(out, "users:\n- name: " USER "\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n"
		"      command: kubectl-gatehouse\n      args:\n      - get-token\n      - --issuer\n      - ");
	buf_add_json(out, o->issuer);
	buf_add_str(out, "\n      - --client-id\n      - ");
	buf_add_json(out, o->client_id);
	buf_add_str(out, "\n      interactiveMode: IfAvailable\n"
		"      provideClusterInfo: true # so that the issuer is verified with the cluster's certificate authority\n"
		"      installHint: |\n"
		"        kubectl-gatehouse signs you in with your browser. Put it into your PATH; it is built together with the gateway.\n");
}

void
kubeconfig_print(const struct kubeconfig_offer *o, struct buf *out)
{
	static const char *const only_default[] = { KUBECONFIG_DEFAULT_CLUSTER };
	const char *const *clusters = o->cluster_n ? o->clusters : only_default;
	size_t n = o->cluster_n ? o->cluster_n : 1;

	buf_add_str(out, "# There is no secret in this file: kubectl-gatehouse asks who you are with your browser.\n"
		"apiVersion: v1\nkind: Config\npreferences: {}\ncurrent-context: ");
	quoted_context(out, clusters[0]);
	buf_add_str(out, "\nclusters:\n");
	for (size_t i = 0; i < n; i++)
		add_cluster(out, o, clusters[i]);
	buf_add_str(out, "contexts:\n");
	for (size_t i = 0; i < n; i++)
		add_context(out, clusters[i]);
	add_user(out, o);
}
