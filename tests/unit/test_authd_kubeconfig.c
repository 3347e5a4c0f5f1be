#include <openssl/evp.h>
#include "tests/unit/unit.h"
#include "authd/kubeconfig.h"
#include "shared/yaml.h"

static const char pem[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

struct parsed {
	struct arena arena;
	struct yaml_node *root;
};

static void
print_and_parse(const struct kubeconfig_offer *o, struct parsed *p)
{
	struct config_error e = { "" };
	struct buf out;

	arena_init(&p->arena, 0);
	buf_init(&out, 0);
	kubeconfig_print(o, &out);
	assert_true(buf_ok(&out));
	if (yaml_parse(&p->arena, "kubeconfig", buf_slice(&out), &p->root, &e) != OK)
		fail_msg("%s\n%s", e.text, buf_slice(&out).p);
	buf_fini(&out);
}

static const char *
text_at(const struct yaml_node *node, const char *key)
{
	struct yaml_node *child = yaml_get(node, key);

	assert_non_null(child);
	return child->scalar.p;
}

static struct yaml_node *
item(const struct yaml_node *root, const char *list, size_t i)
{
	struct yaml_node *n = yaml_get(root, list);

	assert_non_null(n);
	n = n->first;
	while (i-- && n)
		n = n->next;
	return n;
}

static void
the_default_cluster_is_at_the_gateways_root_and_is_the_current_context(void **state)
{
	(void)state;
	struct kubeconfig_offer o = { .gateway = SLICE_LIT("https://gw.example:8443"), .ca_pem = slice_str(pem), .issuer = SLICE_LIT("https://gw.example:8443/oidc"),
		.client_id = SLICE_LIT("gatehouse-cli") };
	struct parsed p;
	char decoded[256];

	print_and_parse(&o, &p);
	assert_string_equal(text_at(p.root, "kind"), "Config");
	assert_string_equal(text_at(p.root, "current-context"), "gatehouse");
	struct yaml_node *cluster = yaml_get(item(p.root, "clusters", 0), "cluster");
	assert_string_equal(text_at(cluster, "server"), "https://gw.example:8443");
	struct slice data = slice_str(text_at(cluster, "certificate-authority-data"));
	assert_true(EVP_DecodeBlock((unsigned char *)decoded, (const unsigned char *)data.p, (int)data.n) >= (int)sizeof pem - 1);
	assert_memory_equal(decoded, pem, sizeof pem - 1);
	struct yaml_node *context = item(p.root, "contexts", 0);
	assert_string_equal(text_at(context, "name"), "gatehouse");
	assert_string_equal(text_at(yaml_get(context, "context"), "user"), text_at(item(p.root, "users", 0), "name"));
	assert_string_equal(text_at(yaml_get(context, "context"), "cluster"), text_at(item(p.root, "clusters", 0), "name"));
	assert_null(item(p.root, "clusters", 1));
	arena_fini(&p.arena);
}

static void
the_user_is_an_exec_plugin_and_holds_nothing_secret(void **state)
{
	(void)state;
	struct kubeconfig_offer o = { .gateway = SLICE_LIT("https://gw"), .issuer = SLICE_LIT("https://gw/oidc"), .client_id = SLICE_LIT("cli") };
	static const char *const args[] = { "get-token", "--issuer", "https://gw/oidc", "--client-id", "cli" };
	struct parsed p;

	print_and_parse(&o, &p);
	struct yaml_node *user = yaml_get(item(p.root, "users", 0), "user"), *exec = yaml_get(user, "exec");
	assert_null(exec->next); /* nothing but exec */
	assert_string_equal(text_at(exec, "apiVersion"), "client.authentication.k8s.io/v1");
	assert_string_equal(text_at(exec, "command"), "kubectl-gatehouse");
	assert_string_equal(text_at(exec, "interactiveMode"), "IfAvailable");
	assert_string_equal(text_at(exec, "provideClusterInfo"), "true");
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(item(exec, "args", i)->scalar.p, args[i]);
	assert_null(yaml_get(yaml_get(item(p.root, "clusters", 0), "cluster"), "certificate-authority-data"));
	arena_fini(&p.arena);
}

static void
other_clusters_have_their_own_path_and_context_and_default_is_there_once(void **state)
{
	(void)state;
	const char *clusters[] = { "default", "prod-eu" };
	struct kubeconfig_offer o = { .gateway = SLICE_LIT("https://gw"), .issuer = SLICE_LIT("https://gw/oidc"), .client_id = SLICE_LIT("cli"),
		.clusters = clusters, .cluster_n = 2 };
	struct parsed p;

	print_and_parse(&o, &p);
	assert_string_equal(text_at(item(p.root, "clusters", 1), "name"), "gatehouse-prod-eu");
	assert_string_equal(text_at(yaml_get(item(p.root, "clusters", 1), "cluster"), "server"), "https://gw/clusters/prod-eu");
	assert_string_equal(text_at(item(p.root, "contexts", 1), "name"), "gatehouse-prod-eu");
	assert_null(item(p.root, "clusters", 2));
	assert_null(item(p.root, "contexts", 2));
	arena_fini(&p.arena);
}

static void
whatever_stands_in_a_value_stays_in_that_value(void **state)
{
	(void)state;
	static const char nasty[] = "https://gw\"\n- evil: {}#\\ é";
	struct kubeconfig_offer o = { .gateway = SLICE_LIT("https://gw"), .issuer = slice_str(nasty), .client_id = SLICE_LIT("a: b\tc") };
	struct parsed p;

	print_and_parse(&o, &p);
	struct yaml_node *exec = yaml_get(yaml_get(item(p.root, "users", 0), "user"), "exec");
	assert_string_equal(item(exec, "args", 2)->scalar.p, nasty);
	assert_string_equal(item(exec, "args", 4)->scalar.p, "a: b\tc");
	arena_fini(&p.arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_cluster_is_at_the_gateways_root_and_is_the_current_context),
		cmocka_unit_test(the_user_is_an_exec_plugin_and_holds_nothing_secret),
		cmocka_unit_test(other_clusters_have_their_own_path_and_context_and_default_is_there_once),
		cmocka_unit_test(whatever_stands_in_a_value_stays_in_that_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
