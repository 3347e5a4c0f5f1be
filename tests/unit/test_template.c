#include <stdio.h>
#include "tests/unit/unit.h"
#include "authd/template.h"

static struct arena arena;
static struct template_set *set;
static char why[400];

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	set = template_set_new(&arena);
	return set ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static const struct template_value people[] = {
	{ .kind = TEMPLATE_MAP, .names = (const char *[]){ "Name", "URL" }, .n = 2,
		.items = (struct template_value[]){ { .kind = TEMPLATE_TEXT, .text = { "<Ann>", 5 } }, { .kind = TEMPLATE_URL, .text = { "custom:a", 8 } } } },
	{ .kind = TEMPLATE_MAP, .names = (const char *[]){ "Name", "URL" }, .n = 2,
		.items = (struct template_value[]){ { .kind = TEMPLATE_TEXT, .text = { "Bob", 3 } }, { .kind = TEMPLATE_URL, .text = { "/b?c=1&d", 8 } } } },
};
static const struct template_value words[] = { { .kind = TEMPLATE_TEXT, .text = { "one", 3 } }, { .kind = TEMPLATE_TEXT, .text = { "t'wo", 4 } } };
static const struct template_value data = { .kind = TEMPLATE_MAP, .n = 9,
	.names = (const char *[]){ "People", "Words", "None", "Yes", "No", "Text", "Bad", "Inner", "Empty" },
	.items = (struct template_value[]){ { .kind = TEMPLATE_LIST, .items = people, .n = 2 }, { .kind = TEMPLATE_LIST, .items = words, .n = 2 },
		{ .kind = TEMPLATE_LIST }, { .kind = TEMPLATE_BOOL, .number = 1 }, { .kind = TEMPLATE_BOOL }, { .kind = TEMPLATE_TEXT, .text = { "a \"b\" & <c>", 11 } },
		{ .kind = TEMPLATE_TEXT, .text = { "javascript:alert(1)", 19 } },
		{ .kind = TEMPLATE_MAP, .names = (const char *[]){ "Deep" }, .n = 1, .items = (struct template_value[]){ { .kind = TEMPLATE_TEXT, .text = { "deep", 4 } } } },
		{ .kind = TEMPLATE_TEXT, .text = { "", 0 } } } };

static const struct template_world world = { .issuer = { "Acme & Co", 9 }, .logo = { "theme/logo.png", 14 }, .base = { "/oidc", 5 },
	.extra = { .kind = TEMPLATE_MAP, .names = (const char *[]){ "contact" }, .n = 1,
		.items = (struct template_value[]){ { .kind = TEMPLATE_TEXT, .text = { "ops@example.com", 15 } } } } };

static enum err
add(const char *name, const char *text)
{
	return template_add(set, name, slice_str(text), why, sizeof(why));
}

/* Of "page.html"; NULL: it was refused, why says it. */
static const char *
rendered(const char *text)
{
	static struct buf out;
	static char kept[4096];
	enum err e;

	buf_init(&out, TEMPLATE_PAGE_BYTES_MAX);
	e = add("page.html", text);
	if (e == OK)
		e = template_check(set, "page.html", why, sizeof(why));
	if (e == OK)
		e = template_render(set, "page.html", &world, &data, &arena, &out, why, sizeof(why));
	snprintf(kept, sizeof(kept), "%.*s", SLICE_FMT(buf_slice(&out)));
	buf_fini(&out);
	teardown(NULL);
	setup(NULL);
	return e == OK ? kept : NULL;
}

static void
pages_are_rendered_as_go_renders_them(void **state)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{ "", "" },
		{ "plain } { text", "plain } { text" },
		{ "{{ .Text }}", "a &quot;b&quot; &amp; &lt;c&gt;" },
		{ "{{.Inner.Deep}}{{ $.Inner.Deep }}", "deepdeep" },
		{ "{{ \"q\\\"\\n\" }}{{ `raw \\n` }}{{ 42 }}{{ -7 }}{{ true }}", "q&quot;\nraw \\n42-7true" },
		{ "{{ if .Yes }}y{{ else }}n{{ end }}{{ if .No }}y{{ else }}n{{ end }}{{ if .None }}y{{ end }}{{ if .Empty }}y{{ end }}", "yn" },
		{ "{{ if .No }}1{{ else if .Yes }}2{{ else }}3{{ end }}", "2" },
		{ "{{ if .No }}1{{ else if .Empty }}2{{ else }}3{{ end }}!", "3!" },
		{ "{{ range .Words }}<i>{{ . }}</i>{{ end }}", "<i>one</i><i>t&#39;wo</i>" },
		{ "{{ range $w := .Words }}{{ $w }},{{ end }}{{ range $i, $w := .Words }}{{ $i }}={{ $w }};{{ end }}", "one,t&#39;wo,0=one;1=t&#39;wo;" },
		{ "{{ range .None }}x{{ else }}nobody{{ end }}", "nobody" },
		{ "{{ range $c := .People }}<a href=\"{{ $c.URL }}\">{{ $c.Name }}</a>{{ end }}", "<a href=\"custom:a\">&lt;Ann&gt;</a><a href=\"/b?c=1&amp;d\">Bob</a>" },
		{ "{{ with .Inner }}{{ .Deep }}{{ $.Yes }}{{ end }}{{ with .Empty }}x{{ else }}none{{ end }}", "deeptruenone" },
		{ "a {{- \" b \" -}} c", "a b c" },
		{ "a{{- /* a comment with }} in it */ -}}  b", "ab" },
		{ "{{/* x */}}b", "b" },
		{ "{{ $x := .Inner.Deep }}{{ $x }}{{ if .Yes }}{{ $x = \"new\" }}{{ end }}{{ $x }}", "deepnew" },
		{ "{{ if $x := .Inner }}{{ $x.Deep }}{{ end }}", "deep" },
		{ "{{ define \"part\" }}<b>{{ . }}</b>{{ end }}{{ template \"part\" .Inner.Deep }}{{ template \"part\" \"x\" }}", "<b>deep</b><b>x</b>" },
		{ "{{ block \"b\" .Inner }}{{ .Deep }}{{ end }}", "deep" },
		{ "{{ .Text | upper | lower }}{{ \"abc def\" | title }}", "a &quot;b&quot; &amp; &lt;c&gt;Abc Def" },
		{ "{{ default \"d\" .Empty }}{{ default \"d\" \"v\" }}{{ join \", \" .Words }}{{ len .Words }}{{ len \"abc\" }}", "dvone, t&#39;wo23" },
		{ "{{ and .Yes .Inner.Deep }}{{ or .No \"or\" }}{{ not .No }}", "deeportrue" },
		{ "{{ if eq .Inner.Deep \"x\" \"deep\" }}1{{ end }}{{ if ne 1 2 }}2{{ end }}{{ if and (lt 1 2) (le 2 2) (gt 3 2) (ge 2 2) }}3{{ end }}", "123" },
		{ "{{ contains \"ee\" .Inner.Deep }}{{ hasPrefix \"de\" .Inner.Deep }}{{ hasSuffix \"x\" .Inner.Deep }}{{ replace \"e\" \"o\" .Inner.Deep }}{{ trim \" t \" }}",
			"truetruefalsedoopt" },
		{ "{{ quote \"x\" }}{{ print \"a\" 1 2 \"b\" }}", "&quot;x&quot;a1 2b" },
		{ "{{ issuer }}|{{ extra \"contact\" }}|{{ extra \"none\" }}", "Acme &amp; Co|ops@example.com|" },
		{ "<link href=\"{{ url .Text \"static/main.css\" }}\"><img src=\"{{ url .Text logo }}\">", "<link href=\"/oidc/static/main.css\"><img src=\"/oidc/theme/logo.png\">" },
		{ "<img src=\"{{ url \"/x\" \"https://cdn.example/a\" }}\">", "<img src=\"https://cdn.example/a\">" },
		{ "{{ (print .Inner.Deep \"er\") | len }}", "6" },
		{ "<input {{ if .Yes }}checked{{ end }}/>", "<input checked/>" },
		{ "<input {{ if .Yes }} autofocus {{ end }} value=\"{{ .Text }}\">", "<input  autofocus  value=\"a &quot;b&quot; &amp; &lt;c&gt;\">" },
		{ "<input {{ if .Text }} value='{{ .Words }}' {{ else }} autofocus {{ end }}/>", "<input  value='[one t&#39;wo]' />" },
		{ "<script>if (a < b && '</b>') {}</script>{{ .Yes }}", "<script>if (a < b && '</b>') {}</script>true" },
		{ "<!-- <a href={{/* nothing */}}> --><p class=\"x-{{ .Inner.Deep }}\">", "<!-- <a href=> --><p class=\"x-deep\">" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = rendered(rows[i].text);
		if (!got)
			fail_msg("%s: %s", rows[i].text, why);
		else if (strcmp(got, rows[i].expected) != 0)
			fail_msg("%s: %s, expected %s", rows[i].text, got, rows[i].expected);
	}
}

/* What comes from a person must not run in another's browser (html/template, "Contexts"). */
static void
values_are_escaped_for_where_they_stand(void **state)
{
	(void)state;
	assert_string_equal(rendered("<a href=\"{{ .Bad }}\">"), "<a href=\"#unsafe\">");
	assert_string_equal(rendered("<a href='{{ .Empty }}{{ .Bad }}'>"), "<a href='#unsafe'>");
	assert_string_equal(rendered("<form action=\"{{ \" JavaScript:x\" }}\">"), "<form action=\"#unsafe\">");
	assert_string_equal(rendered("<a HREF=\"{{ \"java\\tscript:x\" }}\">"), "<a HREF=\"#unsafe\">");
	assert_string_equal(rendered("<a href=\"{{ \"https://a.example/?b\" }}\">"), "<a href=\"https://a.example/?b\">");
	assert_string_equal(rendered("<a href=\"/x?y={{ .Text }}\">"), "<a href=\"/x?y=a%20%22b%22%20%26%20%3Cc%3E\">");
	assert_string_equal(rendered("<a href=\"/x/{{ .Bad }}\">"), "<a href=\"/x/javascript:alert(1)\">");
	assert_string_equal(rendered("<a data-x=\"{{ .Bad }}\">"), "<a data-x=\"javascript:alert(1)\">");
}

static void
what_cannot_be_escaped_or_is_not_carried_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{ "\n<script>var a = {{ .Text }}</script>", "page.html:2: a value cannot stand in <script>" },
		{ "<style>a{color:{{ .Text }}}</style>", "page.html:1: a value cannot stand in <style>" },
		{ "<SCRIPT >{{ .Text }}</SCRIPT>", "cannot stand in <script>" },
		{ "<a href={{ .Text }}>", "without quotes" },
		{ "<a class= {{ .Text }}>", "without quotes" },
		{ "<a class=x{{ .Text }}>", "without quotes" },
		{ "<a onclick=\"{{ .Text }}\">", "an attribute that is code" },
		{ "<a style=\"{{ .Text }}\">", "an attribute that is code" },
		{ "<meta content=\"{{ .Text }}\">", "an attribute that is code" },
		{ "<a {{ .Text }}=\"x\">", "within a tag" },
		{ "<{{ .Text }}>", "" /* "<" before no name is text */ },
		{ "<a{{ .Text }}>", "within a tag" },
		{ "<!-- {{ .Text }} -->", "in a comment" },
		{ "{{ if .Yes }}<a href=\"{{ end }}x", "its branches end at different places" },
		{ "<a {{ if .Yes }}hr{{ end }}ef=\"{{ .Bad }}\">", "an attribute's name is put together" },
		{ "<a {{ if .Yes }}x{{ end }}=\"{{ .Bad }}\">", "an attribute's name is put together" },
		{ "{{ range .Words }}<a href=\"{{ end }}", "its branches end at different places" },
		{ "<a href=\"", "page.html:0: the page ends within a tag" },
		{ "{{ define \"p\" }}{{ . }}{{ end }}{{ template \"p\" .Text }}<a href=\"{{ template \"p\" .Text }}\">", "called from places that need different escaping" },
		{ "{{ template \"nosuch\" }}", "there is no template \"nosuch\"" },
		{ "{{ define \"p\" }}{{ template \"p\" }}{{ end }}{{ template \"p\" }}", "call each other without end" },
		{ "{{ define \"p\" }}{{ end }}{{ define \"p\" }}{{ end }}", "there is a template \"p\" already" },
		{ "a\n\n{{ .Nosuch }}", "page.html:3: there is no .Nosuch here" },
		{ "{{ .Inner.Deep.More }}", "there is no .More here" },
		{ "{{ $x }}", "there is no variable $x" },
		{ "{{ $x = 1 }}", "there is no variable $x" },
		{ "{{ if .Yes }}{{ $x := 1 }}{{ end }}{{ $x }}", "there is no variable $x" },
		{ "{{ eq 1 \"a\" }}", "eq cannot be done with these values" },
		{ "{{ len 1 }}", "len cannot be done" },
		{ "{{ range .Text }}{{ end }}", "range needs a list" },
		{ "{{ env \"HOME\" }}", "the function \"env\" is not carried" },
		{ "{{ break }}", "break and continue are not carried" },
		{ "{{ upper }}", "upper does not take 0 values" },
		{ "{{ print upper }}", "upper needs values" },
		{ "{{ .Text .Text }}", "only a function takes values" },
		{ "{{ .Text | .Text }}", "only a function takes values" },
		{ "{{ 1.5 }}", "a number that is not carried" },
		{ "{{ \"x }}", "an action does not end" },
		{ "{{ \"\\x41\" }}", "an escape in a text that is not known" },
		{ "{{ (print 1 }}", "expected a closing parenthesis" },
		{ "{{ }}", "expected a value" },
		{ "{{ .Text", "an action does not end" },
		{ "{{ .Text } }}", "what begins with \"}\" is not understood" },
		{ "{{ end }}", "nothing is open that could end here" },
		{ "{{ else }}", "nothing is open that could end here" },
		{ "{{ if .Yes }}", "a block that began at line 1 does not end" },
		{ "{{ if .Yes }}{{ else }}{{ else }}{{ end }}", "a second else" },
		{ "{{ define \"x\" }}", "does not end" },
		{ "{{ template }}", "expected the name of a template" },
		{ "{{ if .Yes extra }}{{ end }}", "only a function takes values" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why[0] = '\0';
		const char *got = rendered(rows[i].text);
		if (*rows[i].expected ? got != NULL : got == NULL)
			fail_msg("%s: %s", rows[i].text, got ? got : why);
		if (!strstr(why, rows[i].expected))
			fail_msg("%s: %s, expected %s", rows[i].text, why, rows[i].expected);
	}
}

static void
depth_rounds_and_length_are_bounded(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 0);
	for (int i = 0; i < 2 * TEMPLATE_DEPTH_MAX; i++)
		buf_add_str(&text, "{{ if .Yes }}");
	assert_null(rendered(buf_slice(&text).p));
	if (!strstr(why, "too many blocks or parentheses in one another"))
		fail_msg("%s", why);
	buf_reset(&text);
	buf_add_str(&text, "{{ ");
	for (int i = 0; i < 10000; i++)
		buf_add_char(&text, '(');
	buf_add_str(&text, " }}");
	assert_null(rendered(buf_slice(&text).p));
	assert_non_null(strstr(why, "too many blocks or parentheses in one another"));
	buf_reset(&text);
	for (int i = 0; i < 25; i++)
		buf_add_str(&text, "{{ range $.Words }}");
	for (int i = 0; i < 25; i++)
		buf_add_str(&text, "{{ end }}");
	assert_null(rendered(buf_slice(&text).p));
	assert_non_null(strstr(why, "too complicated"));
	buf_reset(&text);
	for (int i = 0; i < 14; i++)
		buf_add_str(&text, "{{ range $.Words }}");
	buf_add_str(&text, "{{ range $.Words }}{{ range $.Words }}{{ range $.Words }}{{ end }}{{ end }}{{ end }}");
	for (int i = 0; i < 14; i++)
		buf_add_str(&text, "{{ end }}");
	assert_null(rendered(buf_slice(&text).p)); /* E_LIMIT: 2^17 rounds */
	buf_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_are_rendered_as_go_renders_them, setup, teardown),
		cmocka_unit_test_setup_teardown(values_are_escaped_for_where_they_stand, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_escaped_or_is_not_carried_is_refused_with_its_line, setup, teardown),
		cmocka_unit_test_setup_teardown(depth_rounds_and_length_are_bounded, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
