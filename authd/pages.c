#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include "authd/app.h"
#include "authd/pages.h"
#include "authd/template_pages.h"

#define REDIRECT_FORM_BYTES_MAX 16384 /* an id_token_hint of 8 KiB among them */

#define PAGE_BYTES_MAX (1u << 20)

/* ---- what never changes ---- */

static struct page_static statics[2];
static char static_names[2][32], icon_path[48];
static pthread_once_t statics_once = PTHREAD_ONCE_INIT;

static void
static_prepare(size_t i, const char *text, const char *extension, const char *content_type)
{
	unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };
	struct slice bytes = slice_str(text);

	EVP_Digest(bytes.p, bytes.n, digest, NULL, EVP_sha256(), NULL);
	snprintf(static_names[i], sizeof static_names[i], "%02x%02x%02x%02x%02x%02x.%s", digest[0], digest[1], digest[2], digest[3], digest[4],
		digest[5], extension);
	statics[i] = (struct page_static){ static_names[i], content_type, bytes };
}

static void
statics_prepare(void)
{
	static_prepare(0, page_style_css, "css", "text/css; charset=utf-8");
	static_prepare(1, page_icon_svg, "svg", "image/svg+xml");
	snprintf(icon_path, sizeof icon_path, "static/%s", static_names[1]);
}

const struct page_static *
page_static_find(struct slice rest)
{
	pthread_once(&statics_once, statics_prepare);
	for (size_t i = 0; i < sizeof statics / sizeof statics[0]; i++)
		if (slice_eq_str(rest, statics[i].name))
			return &statics[i];
	return NULL;
}

/* ---- parts ---- */

void
page_html(struct page *p, const char *literal)
{
	buf_add_str(&p->html, literal);
}

void
page_text(struct page *p, struct slice text)
{
	buf_add_html(&p->html, text);
}

static void
page_path(struct page *p, const char *path)
{
	page_text(p, p->r->generation->path);
	page_html(p, path);
}

void
page_form_begin(struct page *p, const char *path)
{
	page_html(p, "<form method=\"post\" action=\"");
	page_path(p, path);
	page_html(p, "\">");
}

void
page_hidden(struct page *p, const char *name, struct slice value)
{
	page_html(p, "<input type=\"hidden\" name=\"");
	page_html(p, name);
	page_html(p, "\" value=\"");
	page_text(p, value);
	page_html(p, "\">");
}

void
page_time(struct page *p, int64_t at_s)
{
	char machine[CLOCK_TEXT_BYTES], people[64];
	time_t at = (time_t)at_s;
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(people, sizeof people, "%a, %-d %b %Y, %H:%M UTC", &tm);
	page_html(p, "<time datetime=\"");
	page_html(p, clock_format(at_s, machine));
	page_html(p, "\">");
	page_html(p, people);
	page_html(p, "</time>");
}

static struct slice
brand_name(const struct request *r)
{
	const char *name = r->generation->config->frontend.issuer;

	return name && name[0] ? slice_str(name) : SLICE_LIT("Gatehouse");
}

static void
link_file(struct page *p, const char *before, const char *path)
{
	page_html(p, before);
	page_path(p, path);
	page_html(p, "\">");
}

/* An operator's own style comes behind ours, which it may change. */
static void
links(struct page *p, const struct frontend_files *files)
{
	page_html(p, "<link rel=\"stylesheet\" href=\"");
	page_path(p, PAGE_STATIC_PATH);
	page_html(p, static_names[0]);
	page_html(p, "\">");
	if (frontend_find(files, "theme/", SLICE_LIT("styles.css")))
		link_file(p, "<link rel=\"stylesheet\" href=\"", "/theme/styles.css");
	if (frontend_find(files, "theme/", SLICE_LIT("favicon.png"))) {
		link_file(p, "<link rel=\"icon\" href=\"", "/theme/favicon.png");
		return;
	}
	page_html(p, "<link rel=\"icon\" type=\"image/svg+xml\" href=\"");
	page_path(p, PAGE_STATIC_PATH);
	page_html(p, static_names[1]);
	page_html(p, "\">");
}

static void
logo(struct page *p, const struct authd_frontend *f)
{
	page_html(p, f->logo_url ? "<img class=\"logo\" alt=\"\" src=\"" : "<img alt=\"\" src=\"");
	if (!f->logo_url) {
		page_path(p, PAGE_STATIC_PATH);
		page_html(p, static_names[1]);
	} else if (f->logo_origin.n) {
		page_text(p, slice_str(f->logo_url));
	} else {
		page_path(p, "/");
		page_text(p, slice_str(f->logo_url));
	}
	page_html(p, "\">");
}

static void
begin(struct page *p, struct request *r, const char *title, const char *main_tag)
{
	static const char *const scheme_classes[] = { [AUTHD_SCHEME_BROWSERS] = "", [AUTHD_SCHEME_LIGHT] = " class=\"light\"",
		[AUTHD_SCHEME_DARK] = " class=\"dark\"" };
	static const char *const scheme_names[] = { [AUTHD_SCHEME_BROWSERS] = "light dark", [AUTHD_SCHEME_LIGHT] = "light", [AUTHD_SCHEME_DARK] = "dark" };
	const struct authd_frontend *f = &r->generation->config->frontend;

	pthread_once(&statics_once, statics_prepare);
	p->r = r;
	buf_init(&p->html, PAGE_BYTES_MAX);
	page_html(p, "<!doctype html><html lang=\"en\"");
	page_html(p, scheme_classes[f->scheme]);
	page_html(p, "><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
		"<meta name=\"color-scheme\" content=\"");
	page_html(p, scheme_names[f->scheme]);
	page_html(p, "\"><title>");
	page_html(p, title);
	page_html(p, " · ");
	page_text(p, brand_name(r));
	page_html(p, "</title>");
	links(p, &f->files);
	page_html(p, "</head><body>");
	page_html(p, main_tag);
	page_html(p, "<div class=\"brand\">");
	logo(p, f);
	page_html(p, "<span>");
	page_text(p, brand_name(r));
	page_html(p, "</span></div>");
}

void
page_begin(struct page *p, struct request *r, const char *title)
{
	begin(p, r, title, "<main>");
}

void
page_begin_wide(struct page *p, struct request *r, const char *title)
{
	begin(p, r, title, "<main class=\"wide\">");
}

/* ---- sending ---- */

void
page_headers(struct request *r)
{
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_header(r, "Referrer-Policy", SLICE_LIT("no-referrer"));
	response_header(r, "X-Content-Type-Options", SLICE_LIT("nosniff"));
	response_header(r, "X-Frame-Options", SLICE_LIT("DENY"));
	if (r->generation->secure)
		response_header(r, "Strict-Transport-Security", SLICE_LIT("max-age=31536000"));
}

void
page_send_html(struct request *r, int status, struct slice form_target, struct buf *html)
{
	const struct authd_frontend *f = &r->generation->config->frontend;
	char *policy = arena_printf(&r->arena,
		"default-src 'none'; style-src 'self'; img-src 'self'%s%.*s;%s%s form-action 'self'%s%.*s; frame-ancestors 'none'; base-uri 'none'",
		f->logo_origin.n ? " " : "", SLICE_FMT(f->logo_origin), f->dir ? " font-src 'self';" : "", f->templates ? " script-src 'self';" : "",
		form_target.n ? " " : "", SLICE_FMT(form_target));

	page_headers(r);
	response_header(r, "Content-Security-Policy", policy ? slice_str(policy) : SLICE_LIT("default-src 'none'"));
	response_send(r, status, "text/html; charset=utf-8", html);
}

void
page_send(struct page *p, int status, struct slice form_target)
{
	page_html(p, "</main></body></html>\n");
	page_send_html(p->r, status, form_target, &p->html);
}

const char *
page_icon_path(void)
{
	pthread_once(&statics_once, statics_prepare);
	return icon_path;
}

void
page_redirect(struct request *r, struct slice location)
{
	page_headers(r);
	response_header(r, "Location", location);
	response_send(r, 303, NULL, NULL);
}

void
page_redirect_to(struct request *r, const char *path, const char *parameter, struct slice value)
{
	struct buf location;

	buf_init(&location, 8192);
	buf_add_slice(&location, r->generation->path);
	buf_add_str(&location, path);
	if (parameter) {
		buf_printf(&location, "?%s=", parameter);
		buf_add_urlencoded(&location, value);
	}
	if (!buf_ok(&location))
		r->answer_failed = true;
	page_redirect(r, buf_slice(&location));
	buf_fini(&location);
}

void
page_redirect_form(struct request *r, const char *path, const struct form *form)
{
	struct buf location;

	buf_init(&location, REDIRECT_FORM_BYTES_MAX);
	buf_add_slice(&location, r->generation->path);
	buf_add_str(&location, path);
	for (size_t i = 0; i < form->n; i++) {
		buf_add_char(&location, i ? '&' : '?');
		buf_add_urlencoded(&location, form->fields[i].name);
		buf_add_char(&location, '=');
		buf_add_urlencoded(&location, form->fields[i].value);
	}
	if (buf_ok(&location))
		page_redirect(r, buf_slice(&location));
	else
		page_bad_request(r, "The request is too long.");
	buf_fini_secret(&location);
}

/* ---- errors ---- */

void
page_error_send(struct request *r, const struct page_error *e)
{
	struct page p;

	if (e->retry_after_s) {
		char text[16];
		snprintf(text, sizeof text, "%u", e->retry_after_s);
		response_header(r, "Retry-After", slice_str(text));
	}
	if (template_page_error(r, e))
		return;
	page_begin(&p, r, e->title);
	page_html(&p, "<h1>");
	page_html(&p, e->title);
	page_html(&p, "</h1><p>");
	page_text(&p, e->what);
	page_html(&p, "</p><p class=\"lead\">");
	page_html(&p, e->todo);
	page_html(&p, "</p>");
	if (e->way_on.n) {
		page_html(&p, "<a class=\"button\" href=\"");
		page_text(&p, e->way_on);
		page_html(&p, "\">");
		page_html(&p, e->way_on_text);
		page_html(&p, "</a>");
	}
	page_html(&p, "<footer>Request <code>");
	page_text(&p, slice_str(r->id));
	page_html(&p, "</code></footer>");
	page_send(&p, e->status, SLICE_NONE);
}

void
page_bad_request(struct request *r, const char *what)
{
	page_error_send(r, &(struct page_error){ .status = 400, .title = "This request cannot be served", .what = slice_str(what),
		.todo = "Go back to the application and try to sign in again. If it stays like this, tell its operator the request number below." });
}

void
page_unavailable(struct request *r)
{
	page_error_send(r, &(struct page_error){ .status = 503, .title = "Not just now",
		.what = SLICE_LIT("The sign-in service cannot do this at the moment."),
		.todo = "Try again in a minute. If it stays like this, tell your administrator the request number below.", .retry_after_s = 10 });
}

void
page_expired(struct request *r)
{
	page_error_send(r, &(struct page_error){ .status = 400, .title = "This sign-in is no longer open",
		.what = SLICE_LIT("It is too old, was finished already, or was started in another browser."),
		.todo = "Start again from the application that you want to use. Cookies must be allowed for this site.",
		.way_on = SLICE_LIT("/console/"), .way_on_text = "Go to the console" });
}
