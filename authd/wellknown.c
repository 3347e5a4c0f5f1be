#include <stdio.h>
#include "authd/app.h"
#include "authd/pages.h"
#include "authd/routes.h"

static void
send_bytes(struct request *r, const char *content_type, struct slice cache_control, struct slice bytes)
{
	struct buf body;

	buf_init(&body, 0);
	buf_add_slice(&body, bytes);
	response_header(r, "Cache-Control", cache_control);
	response_header(r, "X-Content-Type-Options", SLICE_LIT("nosniff"));
	response_send(r, 200, content_type, &body);
}

void
wellknown_discovery(struct request *r, struct slice rest)
{
	const struct key_set *set = keys_acquire(r->app->keys);
	bool es256 = r->generation->config->alg == JWS_ES256 || (set->algs & KEYS_ALG(JWS_ES256));

	(void)rest;
	keys_release(r->app->keys, set);
	send_bytes(r, "application/json", SLICE_LIT("public, max-age=300"), r->generation->discovery[es256]);
}

void
wellknown_keys(struct request *r, struct slice rest)
{
	const struct key_set *set = keys_acquire(r->app->keys);
	char cache[48];

	(void)rest;
	snprintf(cache, sizeof cache, "public, max-age=%d", KEYS_MAX_AGE_S);
	send_bytes(r, "application/json", slice_str(cache), set->jwks_json);
	keys_release(r->app->keys, set);
}

void
wellknown_health(struct request *r, struct slice rest)
{
	struct buf body;
	bool healthy = store_healthy(r->app->store) == OK;

	(void)rest;
	buf_init(&body, 0);
	buf_add_str(&body, healthy ? "Health check passed\n" : "Health check failed: the store cannot be used\n");
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_send(r, healthy ? 200 : 503, "text/plain; charset=utf-8", &body);
}

/* A file of frontend.dir. An image may hold a script (SVG): where it is opened by itself, that does not run. */
static void
send_file(struct request *r, const char *folder, struct slice rest)
{
	const struct frontend_file *f = frontend_find(&r->generation->config->frontend.files, folder, rest);

	if (!f) {
		page_error_send(r, &(struct page_error){ .status = 404, .title = "There is no such page",
			.what = SLICE_LIT("Nothing is served under this address."), .todo = "Load the page that led here again." });
		return;
	}
	response_header(r, "Content-Security-Policy", SLICE_LIT("default-src 'none'; style-src 'unsafe-inline'; sandbox"));
	send_bytes(r, f->content_type, SLICE_LIT("public, max-age=300"), f->bytes);
}

void
wellknown_static(struct request *r, struct slice rest)
{
	const struct page_static *s = page_static_find(rest);

	if (s)
		send_bytes(r, s->content_type, SLICE_LIT("public, max-age=31536000, immutable"), s->bytes);
	else
		send_file(r, "static/", rest);
}

void
wellknown_theme(struct request *r, struct slice rest)
{
	send_file(r, "theme/", rest);
}
