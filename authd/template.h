/* template.h - an operator's own pages (frontend.dir/templates), in the language of dex's: Go's html/template, as far as pages need it.
 *
 *   {{ .Field }} {{ $x }} {{ "text" }} {{ f a b | g }}   if else with range end   template define block   $x := …   comments, {{- and -}}
 *   functions: and or not eq ne lt le gt ge len print, html/template's; extra issuer logo url, dex's; lower upper title trim default join contains
 *   hasPrefix hasSuffix replace quote, of those that dex takes from sprig
 *
 * What a value is escaped for is found out when a template is read: text, a quoted attribute, an address. A value in a script, a style, an unquoted
 * attribute or a tag's name is refused then, since no escaping there is safe.   Spec: pkg.go.dev/text/template, pkg.go.dev/html/template. */
#ifndef AUTHD_TEMPLATE_H
#define AUTHD_TEMPLATE_H

#include "shared/arena.h"
#include "shared/buf.h"

#define TEMPLATE_DEPTH_MAX 32      /* blocks, parentheses, templates in one another */
#define TEMPLATE_VARIABLES_MAX 32
#define TEMPLATE_PAGE_BYTES_MAX (1u << 20)

struct template_value {
	enum { TEMPLATE_NIL, TEMPLATE_BOOL, TEMPLATE_INT, TEMPLATE_TEXT, TEMPLATE_URL, TEMPLATE_LIST, TEMPLATE_MAP } kind; /* URL: ours, of any scheme */
	int64_t number;  /* BOOL, INT */
	struct slice text;
	const struct template_value *items; /* LIST, MAP */
	const char *const *names;           /* MAP */
	size_t n;
};
static inline struct template_value
template_text(struct slice s)
{
	return (struct template_value){ .kind = TEMPLATE_TEXT, .text = s };
}
static inline struct template_value
template_url(struct slice s)
{
	return (struct template_value){ .kind = TEMPLATE_URL, .text = s };
}
static inline struct template_value
template_bool(bool b)
{
	return (struct template_value){ .kind = TEMPLATE_BOOL, .number = b };
}

/* What dex's own functions answer. base: path of the issuer. extra: a map of texts. */
struct template_world {
	struct slice issuer, logo, base;
	struct template_value extra;
};

struct template_set;
struct template_set *template_set_new(struct arena *arena);
/* name: "login.html". text is kept. E_FORMAT with why ("login.html:12: …"); E_NOMEM. */
MUST_CHECK enum err template_add(struct template_set *set, const char *name, struct slice text, char *why, size_t why_n);
/* After the last: templates that call each other are there, and values stand where they can be escaped. page: one that is shown; others are only called. */
MUST_CHECK enum err template_check(struct template_set *set, const char *page, char *why, size_t why_n);
bool template_has(const struct template_set *set, const char *name);
/* Append the page. data: a MAP, "." of the template. E_FORMAT: a field that is not there, values that do not fit a function: why says it, and *out is a
 * prefix; E_LIMIT, E_NOMEM. */
MUST_CHECK enum err template_render(const struct template_set *set, const char *page, const struct template_world *world, const struct template_value *data,
	struct arena *arena, struct buf *out, char *why, size_t why_n);

#endif
