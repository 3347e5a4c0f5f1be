#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "proxyd/kubeconfig.h"

#define HEAD "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
/* Line 5 is the cluster, line 6 the user. */
#define WHOLE(cluster, user) HEAD "clusters: [{name: k, cluster: {" cluster "}}]\nusers: [{name: u, user: {" user "}}]\n"
#define SERVER "server: 'https://api:6443'"

static int
arena_setup(void **state)
{
	struct arena *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	arena_init(a, 0);
	*state = a;
	return 0;
}

static int
arena_teardown(void **state)
{
	arena_fini(*state);
	free(*state);
	return 0;
}

static void
parse_ok(struct arena *a, const char *text, const char *context, struct kubeconfig *out)
{
	struct config_error e = { "" };

	if (kubeconfig_parse(a, "kube", slice_str(text), context, out, &e) != OK)
		fail_msg("refused: %s", e.text);
}

static void
what_a_usual_file_says_is_taken(void **state)
{
	struct kubeconfig k;

	parse_ok(*state,
		HEAD "preferences: {}\nextensions: []\n"
		     "clusters:\n- name: other\n  cluster: {server: 'http://x', insecure-skip-tls-verify: true}\n"
		     "- name: k\n  cluster:\n    server: https://api.example.com:6443/base/\n    certificate-authority-data: Q0E=\n"
		     "    tls-server-name: kubernetes\n    insecure-skip-tls-verify: false\n    disable-compression: true\n"
		     "users:\n- name: u\n  user: {client-certificate-data: Q0VSVA==, client-key-data: \"S0\\nVZ\\r\\n\", exec: null, username: ''}\n",
		NULL, &k);
	assert_string_equal(k.server, "https://api.example.com:6443/base/");
	assert_string_equal(k.host, "api.example.com");
	assert_int_equal(k.port, 6443);
	assert_string_equal(k.base_path, "/base");
	assert_string_equal(k.host_header, "api.example.com:6443");
	assert_string_equal(k.tls_server_name, "kubernetes");
	assert_string_equal(k.ca_pem.p, "CA");
	assert_string_equal(k.cert_pem.p, "CERT");
	assert_string_equal(k.key_pem.p, "KEY");
	assert_int_equal(k.key_pem.n, 3);
	assert_null(k.token);
	assert_null(k.token_file);
}

static void
a_token_is_a_credential_and_defaults_hold(void **state)
{
	struct kubeconfig k;

	parse_ok(*state, WHOLE("server: 'https://[::1]'", "token: abc"), NULL, &k);
	assert_string_equal(k.token, "abc");
	assert_string_equal(k.host, "::1");
	assert_int_equal(k.port, 443);
	assert_string_equal(k.base_path, "");
	assert_string_equal(k.host_header, "[::1]");
	assert_string_equal(k.tls_server_name, "::1");
	assert_int_equal(k.ca_pem.n, 0);
	assert_int_equal(k.cert_pem.n, 0);
}

static void
json_is_a_kubeconfig_too(void **state)
{
	struct kubeconfig k;

	parse_ok(*state,
		"{\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\",\"user\":\"u\"}}],\"clusters\":[{\"name\":\"k\",\"cluster\":"
		"{\"server\":\"https://a\"}}],\"users\":[{\"name\":\"u\",\"user\":{\"token\":\"t\"}}],\"current-context\":\"c\"}",
		NULL, &k);
	assert_string_equal(k.host, "a");
}

static void
a_named_context_wins_over_the_current_one(void **state)
{
	struct kubeconfig k;

	parse_ok(*state,
		"current-context: gone\ncontexts: [{name: c, context: {cluster: k, user: u}}, {name: d, context: {cluster: k, user: v}}]\n"
		"clusters: [{name: k, cluster: {" SERVER "}}]\nusers: [{name: u, user: {token: a}}, {name: v, user: {token: b}}]\n",
		"d", &k);
	assert_string_equal(k.token, "b");
}

static void
every_refusal_names_file_line_key_and_reason(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "", "kube: expected a kubeconfig" },
		{ "[]", "kube:1: expected a kubeconfig" },
		{ "a: [", "kube:" },
		{ "kind: Pod\n", "kube:1: kind: expected a kubeconfig: kind Config, apiVersion v1" },
		{ "apiVersion: v2\n", "kube:1: kind: expected a kubeconfig: kind Config, apiVersion v1" },
		{ "kind: Config\n", "kube:1: current-context: is not set" },
		{ "current-context: [a]\n", "kube:1: current-context: expected a string, found a list" },
		{ "current-context: {a: b}\n", "kube:1: current-context: expected a string, found a map" },
		{ "current-context: c\n", "kube: contexts: there is none called \"c\"" },
		{ "current-context: c\ncontexts: x\n", "kube:2: contexts: expected a list" },
		{ "current-context: c\ncontexts: [x]\n", "kube:2: contexts[0]: expected a map with name and context" },
		{ "current-context: c\ncontexts:\n- {name: [c]}\n", "kube:3: contexts[0].name: expected a string" },
		{ "current-context: c\ncontexts:\n- {name: b}\n- {name: c}\n", "kube:4: contexts[1].context: expected a map" },
		{ "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n", "kube:2: contexts[0].context: expected a cluster and a user" },
		{ "current-context: c\ncontexts:\n- {name: c, context: {}}\n- {name: c, context: {}}\n", "kube:4: contexts[1]: the name \"c\" occurs twice" },
		{ HEAD, "kube: clusters: there is none called \"k\"" },
		{ HEAD "clusters: [{name: k, cluster: {" SERVER "}}]\n", "kube: users: there is none called \"u\"" },
		{ WHOLE("", "token: t"), "kube:5: clusters[0].cluster.server: expected the apiserver's https URL, found none" },
		{ WHOLE("server: 'http://api'", "token: t"), "kube:5: clusters[0].cluster.server: is refused: expected https" },
		{ WHOLE("server: api", "token: t"), "kube:5: clusters[0].cluster.server: expected an https URL" },
		{ WHOLE("server: 'https://u:p@api'", "token: t"), "kube:5: clusters[0].cluster.server: expected an https URL" },
		{ WHOLE("server: 'https://api?x=1'", "token: t"), "kube:5: clusters[0].cluster.server: expected an https URL" },
		{ WHOLE("server: 'https://api:99999'", "token: t"), "kube:5: clusters[0].cluster.server: expected" },
		{ WHOLE(SERVER ", tls-server-name: 'a b'", "token: t"), "kube:5: clusters[0].cluster.tls-server-name: expected a host name" },
		{ WHOLE(SERVER ", insecure-skip-tls-verify: true", "token: t"), "kube:5: clusters[0].cluster.insecure-skip-tls-verify: is refused" },
		{ WHOLE(SERVER ", proxy-url: 'http://p'", "token: t"), "kube:5: clusters[0].cluster.proxy-url: is not supported" },
		{ WHOLE(SERVER ", certificate-authority-data: 'Q0'", "token: t"),
			"kube:5: clusters[0].cluster.certificate-authority-data: expected standard base64" },
		{ WHOLE(SERVER ", certificate-authority-data: 'Q0-='", "token: t"), "certificate-authority-data: expected standard base64" },
		{ WHOLE(SERVER ", certificate-authority-data: 'Q0F='", "token: t"), "certificate-authority-data: expected standard base64: bits" },
		{ WHOLE(SERVER ", certificate-authority-data: 'Q0E=Q0E='", "token: t"), "certificate-authority-data: expected standard base64" },
		{ WHOLE(SERVER ", certificate-authority-data: 'Q==='", "token: t"), "certificate-authority-data: expected standard base64" },
		{ WHOLE(SERVER ", certificate-authority-data: \"\\n\"", "token: t"), "certificate-authority-data: expected data, found none" },
		{ WHOLE(SERVER ", certificate-authority-data: []", "token: t"), "certificate-authority-data: expected a string, found a list" },
		{ WHOLE(SERVER ", certificate-authority: {}", "token: t"), "clusters[0].cluster.certificate-authority: expected a string, found a map" },
		{ WHOLE(SERVER, ""), "kube:6: users[0].user: has no credential" },
		{ WHOLE(SERVER, "exec: {command: x}"), "kube:6: users[0].user.exec: is refused: the gateway runs no programs" },
		{ WHOLE(SERVER, "auth-provider: {name: x}"), "kube:6: users[0].user.auth-provider: is refused" },
		{ WHOLE(SERVER, "username: x"), "kube:6: users[0].user.username: is refused" },
		{ WHOLE(SERVER, "password: x"), "kube:6: users[0].user.password: is refused" },
		{ WHOLE(SERVER, "token: t, as: x"), "kube:6: users[0].user.as: is refused" },
		{ WHOLE(SERVER, "token: t, as-uid: x"), "kube:6: users[0].user.as-uid: is refused" },
		{ WHOLE(SERVER, "token: t, as-groups: [x]"), "kube:6: users[0].user.as-groups: is refused" },
		{ WHOLE(SERVER, "token: t, as-user-extra: {a: [b]}"), "kube:6: users[0].user.as-user-extra: is refused" },
		{ WHOLE(SERVER, "token: \"a\\r\\nb\""), "kube:6: users[0].user.token: expected printable characters" },
		{ WHOLE(SERVER, "token: []"), "kube:6: users[0].user.token: expected a string" },
		{ WHOLE(SERVER, "tokenFile: []"), "kube:6: users[0].user.tokenFile: expected a string" },
		{ WHOLE(SERVER, "client-certificate-data: QQ=="), "kube:6: users[0].user.client-certificate-data: needs its key" },
		{ WHOLE(SERVER, "client-certificate: a"), "kube:6: users[0].user.client-certificate: needs its key" },
		{ WHOLE(SERVER, "client-key-data: QQ=="), "kube:6: users[0].user.client-key-data: needs its certificate" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_error e = { "" };
		struct kubeconfig k;
		enum err err = kubeconfig_parse(*state, "kube", slice_str(cases[i].text), NULL, &k, &e);
		if (err == OK || !strstr(e.text, cases[i].expected))
			fail_msg("%s\ngave: %s\nexpected: %s", cases[i].text, err ? e.text : "no error", cases[i].expected);
	}
}

static void
a_secret_never_stands_in_an_error(void **state)
{
	static const char *const texts[] = { WHOLE(SERVER, "token: \"hunter2\\n\""), WHOLE(SERVER, "client-key-data: hunter2-"),
		WHOLE(SERVER, "password: hunter2"), WHOLE(SERVER, "token: [hunter2]") };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct config_error e = { "" };
		struct kubeconfig k;
		assert_int_not_equal(kubeconfig_parse(*state, "kube", slice_str(texts[i]), NULL, &k, &e), OK);
		assert_null(strstr(e.text, "hunter2"));
	}
}

struct folder {
	struct arena arena;
	char path[64];
};

static int
folder_setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	arena_init(&f->arena, 0);
	snprintf(f->path, sizeof(f->path), "/tmp/kubeconfig-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	*state = f;
	return 0;
}

static int
folder_teardown(void **state)
{
	static const char *const names[] = { "config", "ca.pem", "cert.pem", "key.pem", "token" };
	struct folder *f = *state;
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->path, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(f->path), 0);
	arena_fini(&f->arena);
	free(f);
	return 0;
}

static const char *
put(struct folder *f, const char *name, const char *text)
{
	char *path = arena_printf(&f->arena, "%s/%s", f->path, name);
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
	return path;
}

static void
files_are_read_relative_to_the_kubeconfig(void **state)
{
	struct folder *f = *state;
	struct config_error e = { "" };
	struct kubeconfig k;
	char text[1024];

	put(f, "ca.pem", "CA");
	put(f, "cert.pem", "CERT");
	put(f, "token", "  from-file\n");
	snprintf(text, sizeof(text),
		WHOLE(SERVER ", certificate-authority: ca.pem", "client-certificate: ./cert.pem, client-key: %s, tokenFile: token, token: inline"),
		put(f, "key.pem", "KEY"));
	assert_int_equal(kubeconfig_load(&f->arena, put(f, "config", text), NULL, NULL, &k, &e), OK);
	assert_string_equal(k.ca_pem.p, "CA");
	assert_string_equal(k.cert_pem.p, "CERT");
	assert_string_equal(k.key_pem.p, "KEY");
	assert_string_equal(k.token, "from-file");
	assert_string_equal(k.token_file, arena_printf(&f->arena, "%s/token", f->path));
}

static void
data_wins_over_a_file_as_in_kubectl(void **state)
{
	struct folder *f = *state;
	struct config_error e = { "" };
	struct kubeconfig k;

	const char *path = put(f, "config",
		WHOLE(SERVER ", certificate-authority: missing, certificate-authority-data: Q0E=",
			"client-certificate: missing, client-certificate-data: QQ==, client-key: missing, client-key-data: Qg=="));
	assert_int_equal(kubeconfig_load(&f->arena, path, NULL, NULL, &k, &e), OK);
	assert_string_equal(k.ca_pem.p, "CA");
	assert_string_equal(k.cert_pem.p, "A");
	assert_string_equal(k.key_pem.p, "B");
}

static void
a_file_that_is_missing_empty_or_no_token_is_reported_with_its_key(void **state)
{
	struct folder *f = *state;
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ WHOLE(SERVER ", certificate-authority: none.pem", "token: t"), "config:5: clusters[0].cluster.certificate-authority: cannot read" },
		{ WHOLE(SERVER, "client-certificate: none.pem, client-key: key.pem"), "config:6: users[0].user.client-certificate: cannot read" },
		{ WHOLE(SERVER, "client-certificate: cert.pem, client-key: none.pem"), "config:6: users[0].user.client-key: cannot read" },
		{ WHOLE(SERVER, "client-certificate: cert.pem, client-key: key.pem"), "config:6: users[0].user.client-key: " },
		{ WHOLE(SERVER, "tokenFile: none"), "config:6: users[0].user.tokenFile: cannot read" },
		{ WHOLE(SERVER, "tokenFile: token"), "config:6: users[0].user.tokenFile: expected one token in" },
		{ WHOLE(SERVER, "tokenFile: ."), "config:6: users[0].user.tokenFile: cannot read" },
	};

	put(f, "cert.pem", "CERT");
	put(f, "key.pem", "");
	put(f, "token", "two tokens\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_error e = { "" };
		struct kubeconfig k;
		enum err err = kubeconfig_load(&f->arena, put(f, "config", cases[i].text), NULL, NULL, &k, &e);
		if (err == OK || !strstr(e.text, cases[i].expected))
			fail_msg("%s\ngave: %s\nexpected: %s", cases[i].text, err ? e.text : "no error", cases[i].expected);
	}
	struct config_error e = { "" };
	struct kubeconfig k;
	put(f, "token", " \n");
	assert_int_not_equal(kubeconfig_load(&f->arena, put(f, "config", WHOLE(SERVER, "tokenFile: token")), NULL, NULL, &k, &e), OK);
	assert_non_null(strstr(e.text, "expected one token"));
}

static void
a_kubeconfig_that_cannot_be_read_is_reported(void **state)
{
	struct folder *f = *state;
	struct config_error e = { "" };
	struct kubeconfig k;

	assert_int_equal(kubeconfig_load(&f->arena, "/nowhere/config", NULL, NULL, &k, &e), E_SYSTEM);
	assert_string_equal(e.text, "/nowhere/config: cannot be read: No such file or directory");
}

static void
memory_that_runs_out_is_an_error_at_every_point(void **state)
{
	(void)state;
	/* The arena refuses what passes its bound: raise the bound until the whole document fits. */
	for (size_t bound = 16;; bound += 256) {
		struct config_error e = { "" };
		struct kubeconfig k;
		struct arena a;
		arena_init(&a, bound);
		enum err err = kubeconfig_parse(&a, "kube",
			SLICE_LIT(WHOLE(SERVER ", certificate-authority-data: Q0E=", "client-certificate-data: QQ==, client-key-data: QQ==")), NULL, &k, &e);
		arena_fini(&a);
		if (err == OK) {
			assert_true(bound > 1000);
			break;
		}
		assert_int_equal(err, E_NOMEM);
		assert_non_null(strstr(e.text, "out of memory"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_a_usual_file_says_is_taken, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(a_token_is_a_credential_and_defaults_hold, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(json_is_a_kubeconfig_too, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(a_named_context_wins_over_the_current_one, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(every_refusal_names_file_line_key_and_reason, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(a_secret_never_stands_in_an_error, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(files_are_read_relative_to_the_kubeconfig, folder_setup, folder_teardown),
		cmocka_unit_test_setup_teardown(data_wins_over_a_file_as_in_kubectl, folder_setup, folder_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_missing_empty_or_no_token_is_reported_with_its_key, folder_setup, folder_teardown),
		cmocka_unit_test_setup_teardown(a_kubeconfig_that_cannot_be_read_is_reported, folder_setup, folder_teardown),
		cmocka_unit_test(memory_that_runs_out_is_an_error_at_every_point),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
