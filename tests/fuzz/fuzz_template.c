/* A template of anybody's writing: read, checked, run. Whatever came out cannot hold an unescaped value where it would be markup. */
#include "authd/template.h"
#include "tests/fuzz/must.h"

#define MARK "\x01zq\x02"
static const struct template_value text = { .kind = TEMPLATE_TEXT, .text = { "<" MARK "\"'&>", 9 } }, url = { .kind = TEMPLATE_URL, .text = { "/x?y=<z>", 8 } };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "ReqPath", "PostURL", "Invalid", "Connectors", "Inner" };
	const struct template_value items[] = { text, url };
	const struct template_value inner[] = { text };
	const struct template_value values[] = { text, url, template_bool(true), { .kind = TEMPLATE_LIST, .items = items, .n = 2 },
		{ .kind = TEMPLATE_MAP, .names = (const char *[]){ "ID" }, .items = inner, .n = 1 } };
	const struct template_value root = { .kind = TEMPLATE_MAP, .names = names, .items = values, .n = 5 };
	const struct template_world world = { .issuer = { "Acme <", 6 }, .logo = { "theme/logo.png", 14 }, .base = { "/oidc", 5 } };
	struct arena arena;
	struct template_set *set;
	struct buf out;
	char why[300] = "";
	enum err e;

	arena_init(&arena, 16u << 20);
	buf_init(&out, TEMPLATE_PAGE_BYTES_MAX);
	set = template_set_new(&arena);
	MUST(set);
	e = template_add(set, "header.html", SLICE_LIT("<head>{{ issuer }}</head>"), why, sizeof(why));
	MUST(e == OK);
	e = template_add(set, "page.html", slice_of((const char *)data, size), why, sizeof(why));
	if (e == OK)
		e = template_check(set, "page.html", why, sizeof(why));
	if (e == OK) {
		e = template_render(set, "page.html", &world, &root, &arena, &out, why, sizeof(why));
		/* The value comes out escaped, or not at all; what the template itself says is its author's. */
		MUST(!out.n || memmem(data, size, MARK, 4) || !memmem(out.p, out.n, "<" MARK, 5));
	}
	MUST(e != E_FORMAT || why[0]);
	buf_fini(&out);
	arena_fini(&arena);
	return 0;
}
