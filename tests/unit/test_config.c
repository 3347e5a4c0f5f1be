#include <stdbool.h>
#include "tests/unit/unit.h"
#include "shared/config.h"
#include "shared/env.h"

struct key {
	const char *path;
	int64_t bits;
	int line;
};

struct sample {
	const char *untouched;
	const char *issuer;
	const char *secret;
	const char *file;
	const char *host;
	const struct yaml_node *node;
	struct config_strings scopes, groups;
	struct config_list keys;
	int64_t port, count, timeout_ms, idle_ms;
	int format;
	bool enabled;
	struct {
		const char *cert;
		int64_t days;
		int line;
	} tls;
};

static bool
check_issuer(const void *value, const char **why)
{
	const char *text = *(const char *const *)value;

	*why = "an https URL";
	return strncmp(text, "https://", 8) == 0;
}

static const char *const formats[] = { "text", "json", "binary", NULL };

static const struct config_field key_fields[] = {
	{ "path", CONFIG_STRING, offsetof(struct key, path), CONFIG_REQUIRED, NULL, 0, 0, NULL, NULL, NULL },
	{ "bits", CONFIG_INT, offsetof(struct key, bits), 0, "2048", 1024, 4096, NULL, NULL, NULL },
	{ 0 },
};
static const struct config_table key_table = { key_fields, sizeof(struct key), false, offsetof(struct key, line) };

static const struct config_field tls_fields[] = {
	{ "certFile", CONFIG_STRING, offsetof(struct sample, tls.cert) - offsetof(struct sample, tls), CONFIG_REQUIRED, NULL, 0, 0, NULL,
		NULL, NULL },
	{ "days", CONFIG_INT, offsetof(struct sample, tls.days) - offsetof(struct sample, tls), 0, "90", 0, 0, NULL, NULL, NULL },
	{ 0 },
};
static const struct config_table tls_table = { tls_fields, 0, false,
	offsetof(struct sample, tls.line) - offsetof(struct sample, tls) };

#define ROW(name, type, member, ...) { name, type, offsetof(struct sample, member), __VA_ARGS__ }
static const struct config_field fields[] = {
	ROW("issuer", CONFIG_STRING, issuer, CONFIG_REQUIRED, NULL, 0, 0, NULL, NULL, check_issuer),
	ROW("secret", CONFIG_STRING, secret, CONFIG_SECRET | CONFIG_EXPAND_ENV, NULL, 0, 0, NULL, NULL, check_issuer),
	ROW("file", CONFIG_STRING, file, CONFIG_FILE, NULL, 0, 0, NULL, NULL, NULL),
	ROW("host", CONFIG_STRING, host, CONFIG_EXPAND_ENV, "*:443", 0, 0, NULL, NULL, NULL),
	ROW("node", CONFIG_NODE, node, 0, NULL, 0, 0, NULL, NULL, NULL),
	ROW("scopes", CONFIG_STRING_LIST, scopes, 0, "[openid, 'e mail']", 0, 3, NULL, NULL, NULL),
	ROW("groups", CONFIG_STRING_LIST, groups, CONFIG_EXPAND_ENV, NULL, 0, 0, NULL, NULL, NULL),
	ROW("keys", CONFIG_BLOCK_LIST, keys, 0, NULL, 0, 0, NULL, &key_table, NULL),
	ROW("port", CONFIG_INT, port, 0, "8443", 1, 65535, NULL, NULL, NULL),
	ROW("count", CONFIG_INT, count, 0, NULL, 0, 0, NULL, NULL, NULL),
	ROW("timeout", CONFIG_DURATION, timeout_ms, 0, "10s", 1, 60000, NULL, NULL, NULL),
	ROW("idle", CONFIG_DURATION, idle_ms, 0, NULL, 0, 0, NULL, NULL, NULL),
	ROW("format", CONFIG_ENUM, format, 0, "json", 0, 0, formats, NULL, NULL),
	ROW("enabled", CONFIG_BOOL, enabled, 0, "true", 0, 0, NULL, NULL, NULL),
	ROW("tls", CONFIG_BLOCK, tls, 0, NULL, 0, 0, NULL, &tls_table, NULL),
	{ 0 },
};
static const struct config_table table = { fields, sizeof(struct sample), false, 0 };
static const struct config_table table_any_case = { fields, sizeof(struct sample), true, 0 };

static struct arena arena;
static struct sample sample;
static struct config_error why;

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 20);
	why.text[0] = '\0';
	unsetenv("GATEHOUSE_UNSET");
	setenv("GATEHOUSE_TEST", "hunter2", 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	unsetenv("GATEHOUSE_TEST");
	arena_fini(&arena);
	return 0;
}

static enum err
bind_with(const struct config_table *t, const char *text)
{
	struct yaml_node *root;

	why.text[0] = '\0';
	memset(&sample, 0x5A, sizeof(sample));
	enum err e = yaml_parse(&arena, "c.yaml", slice_str(text), &root, &why);
	assert_int_equal(e, OK);
	return config_bind(&arena, "c.yaml", root, "", t, &sample, &why);
}

static void
assert_bound(const char *text)
{
	enum err e = bind_with(&table, text);
	assert_string_equal(why.text, "");
	assert_int_equal(e, OK);
}

/* The rest of a sample whose issuer is right. */
static void
assert_refused(const char *rest, const char *expected)
{
	char text[4096];

	snprintf(text, sizeof(text), "issuer: https://x\n%s\n", rest);
	assert_int_equal(bind_with(&table, text), E_FORMAT);
	assert_string_equal(why.text, expected);
}

static void
every_type_is_bound(void **state)
{
	(void)state;
	assert_bound("issuer: https://issuer\nsecret: https://$GATEHOUSE_TEST/${GATEHOUSE_TEST}x/$$y/$/$1\nfile: /proc/self/status\n"
		     "host: a b\nnode: {any: thing}\nscopes: [a, 'b', 3]\ngroups: ['$GATEHOUSE_TEST', x]\n"
		     "keys:\n- path: /k1\n- {path: /k2, bits: 4096}\nport: 65535\ncount: 0\ntimeout: 1m\n"
		     "idle: \"1h0.5s\"\nformat: binary\nenabled: FALSE\ntls:\n  certFile: c\n");
	assert_string_equal(sample.issuer, "https://issuer");
	assert_string_equal(sample.secret, "https://hunter2/hunter2x/$y/$/$1");
	assert_string_equal(sample.file, "/proc/self/status");
	assert_string_equal(sample.host, "a b");
	assert_string_equal(yaml_get(sample.node, "any")->scalar.p, "thing");
	assert_int_equal(sample.scopes.n, 3);
	assert_string_equal(sample.scopes.items[2], "3");
	assert_string_equal(sample.groups.items[0], "hunter2");
	assert_int_equal(sample.keys.n, 2);
	const struct key *keys = sample.keys.items;
	assert_string_equal(keys[0].path, "/k1");
	assert_int_equal(keys[0].bits, 2048);
	assert_int_equal(keys[0].line, 9);
	assert_int_equal(keys[1].bits, 4096);
	assert_int_equal(keys[1].line, 10);
	assert_int_equal(sample.port, 65535);
	assert_int_equal(sample.count, 0);
	assert_int_equal(sample.timeout_ms, 60000);
	assert_int_equal(sample.idle_ms, 3600500);
	assert_int_equal(sample.format, 2);
	assert_false(sample.enabled);
	assert_string_equal(sample.tls.cert, "c");
	assert_int_equal(sample.tls.days, 90);
	assert_int_equal(sample.tls.line, 18);
}

static void
assert_defaults(void)
{
	assert_null(sample.secret);
	assert_null(sample.file);
	assert_string_equal(sample.host, "*:443");
	assert_null(sample.node);
	assert_int_equal(sample.scopes.n, 2);
	assert_string_equal(sample.scopes.items[1], "e mail");
	assert_int_equal(sample.groups.n, 0);
	assert_int_equal(sample.keys.n, 0);
	assert_int_equal(sample.port, 8443);
	assert_int_equal(sample.count, 0);
	assert_int_equal(sample.timeout_ms, 10000);
	assert_int_equal(sample.idle_ms, 0);
	assert_int_equal(sample.format, 1);
	assert_true(sample.enabled);
	assert_null(sample.tls.cert);
	assert_int_equal(sample.tls.days, 90);
	assert_int_equal(sample.tls.line, 0);
}

static void
absent_and_null_keys_take_their_defaults(void **state)
{
	(void)state;
	assert_bound("issuer: https://x");
	assert_defaults();
	assert_bound("issuer: https://x\nsecret:\nfile: ~\nhost: null\nnode:\nscopes:\ngroups:\nkeys:\nport:\ncount:\ntimeout:\nidle:\n"
		     "format:\nenabled:\ntls:\n");
	assert_defaults();
	/* Other members are left alone. */
	assert_memory_equal(&sample.untouched, "ZZZZZZZZ", sizeof(sample.untouched));
}

static void
required_keys_are_asked_for(void **state)
{
	(void)state;
	assert_int_equal(bind_with(&table, ""), E_FORMAT);
	assert_string_equal(why.text, "c.yaml: issuer: expected a value for this required key, found nothing");
	assert_int_equal(bind_with(&table, "\nport: 1\n"), E_FORMAT);
	assert_string_equal(why.text, "c.yaml:2: issuer: expected a value for this required key, found nothing");
	assert_int_equal(bind_with(&table, "port: 1\nissuer:\n"), E_FORMAT);
	assert_string_equal(why.text, "c.yaml:2: issuer: expected a value for this required key, found nothing");
	assert_int_equal(bind_with(&table, "issuer: ''"), E_FORMAT);
	assert_string_equal(why.text, "c.yaml:1: issuer: expected a text that is not empty, found an empty text");
	assert_refused("tls: {}", "c.yaml:2: tls.certFile: expected a value for this required key, found nothing");
	assert_refused("keys:\n- path: a\n- bits: 2048", "c.yaml:4: keys[1].path: expected a value for this required key, found nothing");
	assert_int_equal(bind_with(&table, "[x]"), E_FORMAT);
	assert_string_equal(why.text, "c.yaml:1: expected a map, found a list");
}

static void
a_required_list_must_have_items(void **state)
{
	struct config_field rows[] = { fields[5], { 0 } };
	struct config_table t = { rows, 0, false, 0 };

	(void)state;
	rows[0].flags = CONFIG_REQUIRED;
	assert_int_equal(bind_with(&t, "scopes: []"), E_FORMAT);
	assert_string_equal(why.text, "c.yaml:1: scopes: expected a list that is not empty, found an empty one");
	assert_int_equal(bind_with(&t, "scopes: [a]"), OK);
}

static void
an_unknown_key_names_the_nearest(void **state)
{
	(void)state;
	assert_refused("tiemout: 5s", "c.yaml:2: tiemout: expected a known key (the nearest is \"timeout\"), found an unknown one");
	assert_refused("tls: {certfile: x}", "c.yaml:2: tls.certfile: expected a known key (the nearest is \"certFile\"), found an unknown one");
	assert_refused("keys: [{Path: x}]", "c.yaml:2: keys[0].Path: expected a known key (the nearest is \"path\"), found an unknown one");
	assert_refused("enable: x", "c.yaml:2: enable: expected a known key (the nearest is \"enabled\"), found an unknown one");
	assert_refused("\"a\\e\\n\": x", "c.yaml:2: a??: expected a known key (the nearest is \"tls\"), found an unknown one");
	char key[400];
	memset(key, 'k', sizeof(key));
	memcpy(key + sizeof(key) - 8, ": true\n", 8);
	char text[500];
	snprintf(text, sizeof(text), "issuer: https://x\n%s", key);
	assert_int_equal(bind_with(&table, text), E_FORMAT);
}

static void
a_wrong_shape_says_what_was_found_and_no_content(void **state)
{
	(void)state;
	assert_refused("host: [hunter2]", "c.yaml:2: host: expected a text, found a list");
	assert_refused("secret: {a: hunter2}", "c.yaml:2: secret: expected a text, found a map");
	assert_refused("tls: hunter2", "c.yaml:2: tls: expected a map, found a single value (not shown)");
	assert_refused("keys: {a: b}", "c.yaml:2: keys: expected a list of maps, found a map");
	assert_refused("keys: [hunter2]", "c.yaml:2: keys[0]: expected a map, found a single value (not shown)");
	assert_refused("keys: [~]", "c.yaml:2: keys[0]: expected a map, found nothing");
	assert_refused("scopes: hunter2", "c.yaml:2: scopes: expected a list of texts, found a single value (not shown)");
	assert_refused("scopes: [a, [b]]", "c.yaml:2: scopes[1]: expected a text, found a list");
	assert_refused("scopes: [a,\n ~]", "c.yaml:3: scopes[1]: expected a text, found nothing");
	assert_refused("scopes: [a, b, c, d]", "c.yaml:2: scopes: expected at most 3 items, found 4");
	assert_refused("port: []", "c.yaml:2: port: expected a whole number, found a list");
	assert_refused("format: {}", "c.yaml:2: format: expected a word, found a map");
}

static void
wrong_values_say_what_was_expected(void **state)
{
	const char *port = "c.yaml:2: port: expected a whole number from 1 to 65535, found ";
	const char *timeout = "c.yaml:2: timeout: expected a duration such as 10s or 1h30m, from 1ms to 60000ms, found ";
	const struct {
		const char *text, *expected, *found;
	} rows[] = {
		{ "port: 0", port, "\"0\"" },
		{ "port: 65536", port, "\"65536\"" },
		{ "port: -1", port, "\"-1\"" },
		{ "port: '1'", port, "\"1\" (quoted)" },
		{ "port: 010", port, "\"010\"" },
		{ "port: 0x10", port, "\"0x10\"" },
		{ "port: 1e3", port, "\"1e3\"" },
		{ "port: 99999999999999999999", port, "\"99999999999999999999\"" },
		{ "count: -1", "c.yaml:2: count: expected a whole number, at least 0, found ", "\"-1\"" },
		{ "timeout: 0", timeout, "\"0\"" },
		{ "timeout: 61s", timeout, "\"61s\"" },
		{ "timeout: 30", timeout, "\"30\"" },
		{ "idle: -1s", "c.yaml:2: idle: expected a duration such as 300ms, 10s or 1h30m, found ", "\"-1s\"" },
		{ "format: xml", "c.yaml:2: format: expected text, json or binary, found ", "\"xml\"" },
		{ "format: ''", "c.yaml:2: format: expected text, json or binary, found ", "an empty text" },
		{ "enabled: yes", "c.yaml:2: enabled: expected true or false (YAML 1.1's yes/no/on/off are not taken), found ", "\"yes\"" },
		{ "enabled: Off", "c.yaml:2: enabled: expected true or false (YAML 1.1's yes/no/on/off are not taken), found ", "\"Off\"" },
		{ "enabled: 'true'", "c.yaml:2: enabled: expected true or false, found ", "\"true\" (quoted)" },
		{ "enabled: 1", "c.yaml:2: enabled: expected true or false, found ", "\"1\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char want[256];
		snprintf(want, sizeof(want), "%s%s", rows[i].expected, rows[i].found);
		assert_refused(rows[i].text, want);
	}
	assert_int_equal(bind_with(&table, "issuer: http://x"), E_FORMAT);
	assert_string_equal(why.text, "c.yaml:1: issuer: expected an https URL, found \"http://x\"");
	assert_refused("format: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"c.yaml:2: format: expected text, json or binary, found \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…\"");
}

static void
a_secret_never_shows_in_an_error(void **state)
{
	(void)state;
	assert_refused("secret: hunter2", "c.yaml:2: secret: expected an https URL, found a single value (not shown)");
	assert_refused("secret: $GATEHOUSE_TEST", "c.yaml:2: secret: expected an https URL, found a single value (not shown)");
	assert_refused("secret: pa$hunter2",
		"c.yaml:2: secret: expected environment variables that are set ($$ for a dollar sign), found one that is not set (not shown)");
}

static void
an_unset_variable_is_an_error(void **state)
{
	(void)state;
	assert_refused("host: ${GATEHOUSE_UNSET}",
		"c.yaml:2: host: expected environment variable GATEHOUSE_UNSET to be set ($$ for a dollar sign), found it unset");
	assert_refused("groups: [a,\n $GATEHOUSE_UNSET]", "c.yaml:3: groups[1]: expected environment variable GATEHOUSE_UNSET to be set "
							 "($$ for a dollar sign), found it unset");
	assert_bound("issuer: https://$GATEHOUSE_UNSET");
	assert_string_equal(sample.issuer, "https://$GATEHOUSE_UNSET");
}

static void
variables_are_expanded_where_they_stand(void **state)
{
	static const struct {
		const char *text, *out;
	} rows[] = {
		{ "", "" },
		{ "none", "none" },
		{ "$GATEHOUSE_TEST", "hunter2" },
		{ "${GATEHOUSE_TEST}", "hunter2" },
		{ "a$GATEHOUSE_TEST-b", "ahunter2-b" },
		{ "${GATEHOUSE_TEST}${GATEHOUSE_TEST}", "hunter2hunter2" },
		{ "$$GATEHOUSE_TEST", "$GATEHOUSE_TEST" },
		{ "$$$GATEHOUSE_TEST", "$hunter2" },
		{ "$", "$" },
		{ "$$", "$" },
		{ "x$", "x$" },
		{ "$2a$10$", "$2a$10$" },
		{ "${", "${" },
		{ "${}", "${}" },
		{ "${GATEHOUSE_TEST", "${GATEHOUSE_TEST" },
		{ "${GATEHOUSE_TEST-x}", "${GATEHOUSE_TEST-x}" },
	};
	struct slice out;
	const char *unset = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(env_expand(&arena, slice_str(rows[i].text), &out, &unset), OK);
		assert_string_equal(out.p, rows[i].out);
		assert_int_equal(out.n, strlen(rows[i].out));
	}
	assert_null(unset);
	assert_int_equal(env_expand(&arena, SLICE_LIT("$GATEHOUSE_TEST$GATEHOUSE_UNSETx"), &out, &unset), E_EMPTY);
	assert_string_equal(unset, "GATEHOUSE_UNSETx");
	struct arena small;
	arena_init(&small, 8);
	assert_int_equal(env_expand(&small, SLICE_LIT("$GATEHOUSE_TEST"), &out, &unset), E_NOMEM);
	assert_int_equal(env_expand(&small, SLICE_LIT("$$"), &out, &unset), E_NOMEM);
	arena_fini(&small);
}

static void
files_must_be_readable(void **state)
{
	(void)state;
	assert_refused("file: /nonexistent/key", "c.yaml:2: file: expected a readable file, found /nonexistent/key: No such file or directory");
	assert_refused("file: /proc", "c.yaml:2: file: expected a readable file, found /proc: not a regular file");
	assert_bound("issuer: https://x\nfile: ''\n");
}

static void
lists_of_files_and_open_ranges(void **state)
{
	const struct config_field rows[] = {
		ROW("scopes", CONFIG_STRING_LIST, scopes, CONFIG_FILE, NULL, 0, 0, NULL, NULL, NULL),
		ROW("idle", CONFIG_DURATION, idle_ms, CONFIG_EXPAND_ENV, NULL, 1000, INT64_MAX, NULL, NULL, NULL),
		ROW("count", CONFIG_INT, count, CONFIG_EXPAND_ENV, NULL, -5, INT64_MAX, NULL, NULL, NULL),
		ROW("enabled", CONFIG_BOOL, enabled, CONFIG_EXPAND_ENV, NULL, 0, 0, NULL, NULL, NULL),
		ROW("format", CONFIG_ENUM, format, CONFIG_EXPAND_ENV, NULL, 0, 0, formats, NULL, NULL),
		{ 0 },
	};
	const struct config_table t = { rows, 0, false, 0 };
	static const struct {
		const char *text, *expected;
	} bad[] = {
		{ "scopes: [/proc/self/status,\n /nonexistent]",
			"c.yaml:2: scopes[1]: expected a readable file, found /nonexistent: No such file or directory" },
		{ "idle: 999ms", "c.yaml:1: idle: expected a duration such as 10s or 1h30m, at least 1000ms, found \"999ms\"" },
		{ "count: -6", "c.yaml:1: count: expected a whole number, at least -5, found \"-6\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(bind_with(&t, bad[i].text), E_FORMAT);
		assert_string_equal(why.text, bad[i].expected);
	}
	/* Every type may take its value from the environment, and says so when it is not there. */
	for (size_t i = 1; rows[i].name; i++) {
		char text[128], want[256];
		snprintf(text, sizeof(text), "%s: $GATEHOUSE_UNSET", rows[i].name);
		snprintf(want, sizeof(want),
			"c.yaml:1: %s: expected environment variable GATEHOUSE_UNSET to be set ($$ for a dollar sign), found it unset",
			rows[i].name);
		assert_int_equal(bind_with(&t, text), E_FORMAT);
		assert_string_equal(why.text, want);
	}
	setenv("GATEHOUSE_TEST", "-5", 1);
	assert_int_equal(bind_with(&t, "count: $GATEHOUSE_TEST\nidle: 1s\nscopes: [/proc/self/status]"), OK);
	assert_int_equal(sample.count, -5);
}

static void
a_table_may_ignore_case(void **state)
{
	(void)state;
	assert_int_equal(bind_with(&table_any_case, "ISSUER: https://x\nPort: 7"), OK);
	assert_int_equal(sample.port, 7);
	assert_int_equal(bind_with(&table_any_case, "issuer: https://x\nPort: 7\nport: 8"), E_FORMAT);
	assert_string_equal(why.text, "c.yaml:3: port: expected each key once, in whatever case, found it again (first on line 2)");
}

static void
an_outer_path_leads_the_keys(void **state)
{
	struct yaml_node *root;

	(void)state;
	assert_int_equal(yaml_parse(&arena, "c.yaml", SLICE_LIT("issuer: https://x\nkeys: [{path: []}]"), &root, &why), OK);
	assert_int_equal(config_bind(&arena, "c.yaml", root, "connectors[2].config", &table, &sample, &why), E_FORMAT);
	assert_string_equal(why.text, "c.yaml:2: connectors[2].config.keys[0].path: expected a text, found a list");
}

static void
an_exhausted_arena_is_no_memory(void **state)
{
	struct yaml_node *root;
	struct arena small;

	(void)state;
	assert_int_equal(yaml_parse(&arena, "c.yaml", SLICE_LIT("issuer: https://x\nscopes: [a]"), &root, &why), OK);
	arena_init(&small, 8);
	assert_int_equal(config_bind(&small, "c.yaml", root, NULL, &table, &sample, &why), E_NOMEM);
	assert_string_equal(why.text, "c.yaml: out of memory");
	arena_fini(&small);
}

static void
durations_follow_go(void **state)
{
	static const struct {
		const char *text;
		enum err e;
		int64_t ms;
	} rows[] = {
		{ "0", OK, 0 },
		{ "0s", OK, 0 },
		{ "+5s", OK, 5000 },
		{ "1h15m30.918s", OK, 4530918 },
		{ "1h15m30.5s", OK, 4530500 },
		{ "100ms", OK, 100 },
		{ ".5s", OK, 500 },
		{ "1.s", OK, 1000 },
		{ "1.5h", OK, 5400000 },
		{ "52763797000ns", OK, 52764 },
		{ "1ns", OK, 1 },
		{ "1us", OK, 1 },
		{ "11us", OK, 1 },
		{ "1500\xC2\xB5s", OK, 2 },
		{ "1500\xCE\xBCs", OK, 2 },
		{ "0.3s", OK, 300 },
		{ "0.001s", OK, 1 },
		{ "24h", OK, 86400000 },
		{ "1m1m", OK, 120000 },
		{ "0.100000000000000000000h", OK, 360000 },
		{ "9223372036854775807ns", OK, 9223372036855 },
		{ "2562047h47m16.854775s", OK, 9223372036855 },
		{ "9223372036854775808ns", E_LIMIT, 0 },
		{ "2562048h", E_LIMIT, 0 },
		{ "2562047h47m17s", E_LIMIT, 0 },
		{ "99999999999999999999h", E_LIMIT, 0 },
		{ "", E_FORMAT, 0 },
		{ "3", E_FORMAT, 0 },
		{ "-1s", E_FORMAT, 0 },
		{ "+", E_FORMAT, 0 },
		{ "s", E_FORMAT, 0 },
		{ ".", E_FORMAT, 0 },
		{ ".s", E_FORMAT, 0 },
		{ "1.2.3s", E_FORMAT, 0 },
		{ "1d", E_FORMAT, 0 },
		{ "1 s", E_FORMAT, 0 },
		{ " 1s", E_FORMAT, 0 },
		{ "1s ", E_FORMAT, 0 },
		{ "1S", E_FORMAT, 0 },
		{ "0x1s", E_FORMAT, 0 },
		{ "1h30", E_FORMAT, 0 },
		{ "00", E_FORMAT, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ms = 0;
		assert_int_equal(duration_parse_ms(slice_str(rows[i].text), &ms), rows[i].e);
		assert_int_equal(ms, rows[i].ms);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_type_is_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(absent_and_null_keys_take_their_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(required_keys_are_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(a_required_list_must_have_items, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unknown_key_names_the_nearest, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wrong_shape_says_what_was_found_and_no_content, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_values_say_what_was_expected, setup, teardown),
		cmocka_unit_test_setup_teardown(a_secret_never_shows_in_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unset_variable_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(variables_are_expanded_where_they_stand, setup, teardown),
		cmocka_unit_test_setup_teardown(files_must_be_readable, setup, teardown),
		cmocka_unit_test_setup_teardown(lists_of_files_and_open_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(a_table_may_ignore_case, setup, teardown),
		cmocka_unit_test_setup_teardown(an_outer_path_leads_the_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(an_exhausted_arena_is_no_memory, setup, teardown),
		cmocka_unit_test(durations_follow_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
