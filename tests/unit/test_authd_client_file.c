/* One client by itself, as `authd ctl clients` takes it from a file: what is read there, and what a running authd makes of it. */
#include "tests/unit/authd_config_unit.h"

static struct arena arena;
static struct authd_config *running;

static int
begin(void **state)
{
	int status = config_unit_setup(state);

	if (status == 0)
		running = config_unit_load_ok(GITHUB("") "expiry: {signingKeys: 1h}\n");
	return status;
}

static int
end(void **state)
{
	authd_config_free(running);
	return config_unit_teardown(state);
}

static int
arena_begin(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	return 0;
}

static int
arena_end(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

/* Both halves; the text of what was refused in e. */
static enum err
taken(const char *text, struct authd_config_client_file *file, struct authd_config **one, struct config_error *e)
{
	enum err err = authd_config_client_read(&arena, "c.yaml", slice_str(text), file, e);

	*one = NULL;
	return err == OK ? authd_config_client_load(running, "c.yaml", file->json, one, e) : err;
}

static void
a_file_says_what_an_entry_of_static_clients_says(void **state)
{
	(void)state;
	struct authd_config_client_file file;
	struct config_error e = { "" };
	struct authd_config *one;

	if (taken("# a comment\nid: ci\nsecret: 'a \"secret\"'\nNAME: |-\n  C I\nredirectURIs:\n- https://ci.example/cb\n- &x \"https://ci.example/\\u00e4\"\n"
		  "trustedPeers: [web, 17, 'true', yes]\nallowedConnectors: [github, local]\ngrantTypes: [refresh_token]\ngroups: ['a, b', '{c}']\n"
		  "idTokenSignedResponseAlg: ES256\nsubject: plain\nclaims:\n- {name: t, value: '12:30 # x'}\nexpiry:\n  idTokens: 10m\n  refreshTokens: ~\n",
		  &file, &one, &e) != E_FORMAT)
		fail_msg("%s", "a URI outside of ASCII is refused");
	assert_string_equal(e.text, "c.yaml:8: redirectURIs[1]: expected an absolute URI of visible ASCII characters without a fragment; found \"https://ci.example/ä\"");
	e.text[0] = '\0';
	if (taken("# a comment\nid: ci\nsecret: 'a \"secret\"'\nNAME: |-\n  C I\nredirectURIs:\n- https://ci.example/cb\n- &x \"https://ci.example/2\"\n"
		  "trustedPeers: [web, 17, 'true', yes, *x]\nallowedConnectors: [github, local]\ngrantTypes: [refresh_token]\ngroups: ['a, b', '{c}', \"\\t\\\\\"]\n"
		  "idTokenSignedResponseAlg: ES256\nsubject: plain\nclaims:\n- {name: t, value: '12:30 # x'}\nexpiry:\n  idTokens: 10m\n  refreshTokens: ~\n",
		  &file, &one, &e) != OK)
		fail_msg("%s", e.text);
	const struct client *c = &one->clients[0];
	assert_string_equal(file.id, "ci");
	assert_string_equal(file.secret, "a \"secret\"");
	assert_false(file.public);
	assert_null(memmem(file.json.p, file.json.n, "secret", 6)); /* it stays where the file is */
	assert_true(!c->id && !c->secret);
	assert_string_equal(c->name, "C I");
	assert_string_equal(c->redirect_uris[1], "https://ci.example/2");
	static const char *const peers[] = { "web", "17", "true", "yes", "https://ci.example/2" }, *const groups[] = { "a, b", "{c}", "\t\\" };
	assert_int_equal(c->trusted_peer_n, 5);
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(c->trusted_peers[i], peers[i]);
	assert_int_equal(c->group_n, 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(c->groups[i], groups[i]);
	assert_int_equal(c->signing_alg, JWS_ES256);
	assert_true(c->plain_subject);
	assert_string_equal(c->claims[0].text, "12:30 # x");
	assert_int_equal(c->id_tokens_s, 600);
	assert_int_equal(c->refresh_idle_s, 0);
	authd_config_free(one);
}

static void
id_and_secret_come_from_the_environment_of_who_reads_the_file(void **state)
{
	(void)state;
	struct authd_config_client_file file;
	struct config_error e = { "" };

	assert_int_equal(authd_config_client_read(&arena, "c", SLICE_LIT("{idEnv: GH_TEST_ID, secretEnv: GH_TEST_SECRET, name: n, public: true}"), &file, &e), OK);
	assert_string_equal(file.id, "id-of-env");
	assert_string_equal(file.secret, "secret-of-env");
	assert_true(file.public);
	assert_null(memmem(file.json.p, file.json.n, "Env", 3));
	assert_int_equal(authd_config_client_read(&arena, "c", SLICE_LIT("{name: n}"), &file, &e), OK);
	assert_true(!file.id && !file.secret && !file.public);
}

static void
what_is_wrong_is_told_with_file_line_and_key(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "c.yaml: expected the keys of one client" },
		{ "# nothing\n", "c.yaml: expected the keys of one client" },
		{ "\n- {id: a, name: n}\n", "c.yaml:2: expected the keys of one client" },
		{ "text", "c.yaml:1: expected the keys of one client" },
		{ "{id: a", "c.yaml:2: expected YAML" },
		{ "{id: a, id: b, name: n}", "c.yaml:1: " },
		{ "id: a\nnam: n\n", "c.yaml:2: nam: expected a known key (the nearest is \"name\")" },
		{ "id: a\nname: n\nredirectURI: [x]\n", "c.yaml:3: redirectURI: expected a known key (the nearest is \"redirectURIs\")" },
		{ "id: a\npublic: true\n", "c.yaml:1: name: expected a value" },
		{ "id: a\nname: n\n\npublic: yes\n", "c.yaml:4: public: expected true or false" },
		{ "id: \"a\\tb\"\nname: n\n", "c.yaml:1: id: expected at most 256 visible ASCII" },
		{ "id: a\nidEnv: GH_TEST_ID\nname: n\n", "c.yaml:2: idEnv: expected either this key or id" },
		{ "id: a\nsecretEnv: GH_TEST_UNSET\nname: n\n", "c.yaml:2: secretEnv: expected the name of an environment variable that is set" },
		{ "id: a\nsecret: [x]\nname: n\n", "c.yaml:2: secret: expected a text" },
		{ "id: a\nname: n\nmfaChain: [x]\n", "c.yaml:3: mfaChain: is known to dex" },
		{ "id: a\nname: n\nREFRESHTOKENLIFETIME: 1h\n", "c.yaml:3: REFRESHTOKENLIFETIME: is known to dex" },
		{ "id: a\nname: n\nredirectURIs:\n- https://a/\n- x\n", "c.yaml:5: redirectURIs[1]: expected an absolute URI" },
		{ "id: a\nname: n\nallowedConnectors:\n\n- githbu\n", "c.yaml:5: allowedConnectors[0]: expected the id of a connector or \"local\", found \"githbu\"" },
		{ "id: a\nname: n\nexpiry:\n  refreshTokens: {}\n  idTokens: 49h\n", "c.yaml:5: expiry.idTokens: expected at most 48 times" },
		{ "id: a\nname: n\nclaims:\n- name: sub\n  value: x\n", "c.yaml:4: claims[0].name: \"sub\" is a claim that authd sets itself" },
		{ "id: a\nname: n\nidTokenSignedResponseAlg: PS256\n", "c.yaml:3: idTokenSignedResponseAlg: expected RS256 or ES256, found \"PS256\"" },
		{ "id: a\nname: n\nsubject: odd\n", "c.yaml:3: subject: expected encoded or plain, found \"odd\"" },
		{ "id: a\nname: n\ngrantTypes: [x]\n", "c.yaml:3: grantTypes[0]: expected authorization_code" },
		{ "id: a\nname: n\nbackchannelLogoutSessionRequired: true\n", "c.yaml:3: backchannelLogoutSessionRequired: needs backchannelLogoutURI beside it" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct authd_config_client_file file;
		struct config_error e = { "" };
		struct authd_config *one;
		enum err err = taken(cases[i].text, &file, &one, &e);
		if (err == OK || strncmp(e.text, cases[i].why, strlen(cases[i].why)) != 0)
			fail_msg("%s\ngave: %s\nexpected: %s", cases[i].text, err ? e.text : "no error", cases[i].why);
		assert_null(one);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_says_what_an_entry_of_static_clients_says, arena_begin, arena_end),
		cmocka_unit_test_setup_teardown(id_and_secret_come_from_the_environment_of_who_reads_the_file, arena_begin, arena_end),
		cmocka_unit_test_setup_teardown(what_is_wrong_is_told_with_file_line_and_key, arena_begin, arena_end),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
