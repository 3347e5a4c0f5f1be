/* The clusters that the console shows and puts into a kubeconfig. proxyd decides who may use which (allowedGroups) and says so with each request for these pages; console.clusters
 * chooses among them. Where it says nothing, console.clusters is all that is known, and the default one. */
#include "authd/console.h"
#include "authd/kubeconfig.h"
#include "authd/pages.h"

static bool
is_default(const char *name)
{
	return strcmp(name, KUBECONFIG_DEFAULT_CLUSTER) == 0;
}

static bool
is_chosen(const struct config_strings *chosen, const char *name)
{
	for (size_t i = 0; i < chosen->n; i++)
		if (strcmp(chosen->items[i], name) == 0)
			return true;
	return chosen->n == 0 || is_default(name);
}

static void
put(struct console_clusters *c, const char *name)
{
	size_t at = is_default(name) ? 0 : c->n;

	memmove(c->names + at + 1, c->names + at, (c->n - at) * sizeof *c->names);
	c->names[at] = name;
	c->n++;
}

static bool
put_told(struct request *r, struct slice told, struct console_clusters *c)
{
	while (told.n) {
		struct slice word = slice_cut(&told, ' ');
		const char *name = word.n ? arena_strndup(&r->arena, word.p, word.n) : NULL;
		if (word.n && !name)
			return false;
		if (name && is_chosen(&r->generation->config->console.clusters, name))
			put(c, name);
	}
	return true;
}

bool
console_clusters_of(struct request *r, struct console_clusters *out)
{
	const struct config_strings *configured = &r->generation->config->console.clusters;
	struct slice told = r->door == DOOR_GATEWAY ? request_header(r, "X-Gatehouse-Clusters") : SLICE_NONE;
	size_t most = configured->n + told.n / 2 + 2; /* a name and a blank each; the default one */

	*out = (struct console_clusters){ .names = arena_alloc(&r->arena, most * sizeof *out->names), .told = told.p != NULL };
	if (!out->names)
		return false;
	if (told.p)
		return put_told(r, told, out);
	put(out, KUBECONFIG_DEFAULT_CLUSTER);
	for (size_t i = 0; i < configured->n; i++)
		if (!is_default(configured->items[i]))
			put(out, configured->items[i]);
	return true;
}

/* Names are DNS labels: nothing in them needs escaping. */
static void
card(struct page *p, const char *name)
{
	const struct authd_config *c = p->r->generation->config;

	page_html(p, "<li><h3>");
	page_html(p, name);
	page_html(p, "</h3><dl><dt>Server</dt><dd><code>");
	page_text(p, c->console.gateway ? slice_str(c->console.gateway) : p->r->generation->origin);
	if (!is_default(name)) {
		page_html(p, "/clusters/");
		page_html(p, name);
	}
	page_html(p, "</code></dd>");
	if (c->console.client_id) {
		page_html(p, "<dt>kubectl</dt><dd><code>kubectl --context ");
		kubeconfig_context_add(&p->html, name);
		page_html(p, " get pods</code></dd>");
	}
	page_html(p, "</dl></li>");
}

void
console_clusters_add(struct page *p, const struct console_clusters *c)
{
	if (!c->told && c->n < 2)
		return;
	page_html(p, "<h2>Your clusters</h2>");
	if (c->n == 0) {
		page_html(p, "<p>None of the clusters here is open to you. Who may use them is decided by groups; its administrator can tell which.</p>");
		return;
	}
	page_html(p, "<ul class=\"cards\">");
	for (size_t i = 0; i < c->n; i++)
		card(p, c->names[i]);
	page_html(p, "</ul>");
}
