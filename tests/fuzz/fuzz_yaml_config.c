/* Any bytes as a configuration file: parsed, bound by a table with every type, and walked. Whatever is refused must say why
 * in clean text, whatever is accepted must keep the bounds. */
#include <stdlib.h>
#include "shared/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sample {
	const char *text;
	const char *secret;
	const struct yaml_node *node;
	struct config_strings strings;
	struct config_list blocks;
	int64_t number, duration;
	int word;
	bool flag;
	struct {
		const char *text;
		int line;
	} inner;
};

struct item {
	const char *name;
	int64_t number;
};

static const char *const words[] = { "text", "json", NULL };

#define ITEM(name, type, member, ...) { name, type, offsetof(struct item, member), __VA_ARGS__ }
static const struct config_field item_fields[] = {
	ITEM("name", CONFIG_STRING, name, CONFIG_REQUIRED | CONFIG_EXPAND_ENV, NULL, 0, 0, NULL, NULL, NULL),
	ITEM("n", CONFIG_INT, number, 0, "7", -5, 5000, NULL, NULL, NULL),
	{ 0 },
};
static const struct config_table items = { item_fields, sizeof(struct item), false, 0 };

#define INNER(member) offsetof(struct sample, inner.member) - offsetof(struct sample, inner)
static const struct config_field inner_fields[] = {
	{ "text", CONFIG_STRING, INNER(text), CONFIG_REQUIRED, NULL, 0, 0, NULL, NULL, NULL },
	{ 0 },
};
static const struct config_table inner = { inner_fields, 0, true, INNER(line) };

#define ROW(name, type, member, ...) { name, type, offsetof(struct sample, member), __VA_ARGS__ }
static const struct config_field fields[] = {
	ROW("text", CONFIG_STRING, text, 0, NULL, 0, 0, NULL, NULL, NULL),
	ROW("secret", CONFIG_STRING, secret, CONFIG_SECRET | CONFIG_EXPAND_ENV, NULL, 0, 0, NULL, NULL, NULL),
	ROW("node", CONFIG_NODE, node, 0, NULL, 0, 0, NULL, NULL, NULL),
	ROW("strings", CONFIG_STRING_LIST, strings, 0, "[a, b]", 0, 10, NULL, NULL, NULL),
	ROW("blocks", CONFIG_BLOCK_LIST, blocks, 0, NULL, 0, 0, NULL, &items, NULL),
	ROW("number", CONFIG_INT, number, 0, "1", 0, 0, NULL, NULL, NULL),
	ROW("duration", CONFIG_DURATION, duration, 0, "10s", 0, 0, NULL, NULL, NULL),
	ROW("word", CONFIG_ENUM, word, 0, NULL, 0, 0, words, NULL, NULL),
	ROW("flag", CONFIG_BOOL, flag, 0, NULL, 0, 0, NULL, NULL, NULL),
	ROW("inner", CONFIG_BLOCK, inner, 0, NULL, 0, 0, NULL, &inner, NULL),
	{ 0 },
};
static const struct config_table table = { fields, sizeof(struct sample), false, 0 };

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static size_t
walk(const struct yaml_node *node, int depth)
{
	size_t n = 1;

	must(depth <= YAML_DEPTH_MAX);
	must(node->line > 0);
	if (node->kind == YAML_SCALAR)
		must(strlen(node->scalar.p) == node->scalar.n);
	for (const struct yaml_node *child = node->first; child; child = child->next) {
		must((node->kind == YAML_MAP) == (child->key.p != NULL));
		n += walk(child, depth + 1);
	}
	return n;
}

static void
must_explain(const struct config_error *e)
{
	must(slice_has_prefix(slice_str(e->text), SLICE_LIT("fuzz")));
	must(slice_is_utf8(slice_str(e->text)));
	must(strlen(e->text) < sizeof(e->text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct yaml_node *root;
	struct config_error e = { "" };
	struct sample sample;

	arena_init(&arena, 64u << 20);
	enum err result = yaml_parse(&arena, "fuzz", slice_of((const char *)data, size), &root, &e);
	if (result != OK) {
		must_explain(&e);
	} else {
		if (root)
			must(walk(root, 1) <= YAML_NODES_MAX);
		result = config_bind(&arena, "fuzz", root, "at", &table, &sample, &e);
		if (result != OK) {
			must_explain(&e);
		} else {
			must(sample.number >= 0 && sample.duration >= 0 && (sample.word == 0 || sample.word == 1));
			must(sample.strings.n <= 10 && sample.blocks.n <= 1000);
			const struct item *list = sample.blocks.items;
			for (size_t i = 0; i < sample.blocks.n; i++)
				must(list[i].name && list[i].name[0] && list[i].number >= -5 && list[i].number <= 5000);
		}
	}
	arena_fini(&arena);
	return 0;
}
