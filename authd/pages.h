/* pages.h - HTML as the server writes it: the frame of every page with its headers, small parts, and the page of an error. No script anywhere.
 *
 * Whatever comes from outside goes through page_text; everything else is a literal of ours. */
#ifndef AUTHD_PAGES_H
#define AUTHD_PAGES_H

#include "authd/request.h"
#include "shared/buf.h"

struct page {
	struct request *r;
	struct buf html;
};

/* Begin with the head and the brand; title is a literal. page_send ends and sends it. A wide page has more than one thing to say. */
void page_begin(struct page *p, struct request *r, const char *title);
void page_begin_wide(struct page *p, struct request *r, const char *title);
/* form_target: where the answer to a form of this page may redirect to, beside our own origin (browser_form_target); .n 0: nowhere else. Chromium
 * holds redirects after a form to form-action too. */
void page_send(struct page *p, int status, struct slice form_target);

/* A whole page of somebody else's making, with our headers. html is taken. */
void page_send_html(struct request *r, int status, struct slice form_target, struct buf *html);
/* Of our icon, below the issuer's path without a slash before it. */
const char *page_icon_path(void);

void page_html(struct page *p, const char *literal);
void page_text(struct page *p, struct slice text);
/* "<form method=post …>": path is below the issuer's. */
void page_form_begin(struct page *p, const char *path);
void page_hidden(struct page *p, const char *name, struct slice value);
/* "Sat, 3 Jan 2026, 15:04 UTC" in a time element. */
void page_time(struct page *p, int64_t at_s);

/* What happened, what to do now, and the request's id. status also answers HEAD and clients that want no HTML. way_on: an address of ours to
 * go on at, with its text; .n 0: none. */
struct page_error {
	int status;
	const char *title;
	struct slice what;
	const char *todo;
	struct slice way_on;
	const char *way_on_text;
	unsigned retry_after_s; /* 0: none */
};
void page_error_send(struct request *r, const struct page_error *e);
/* The three that every handler needs. */
void page_bad_request(struct request *r, const char *what);
void page_unavailable(struct request *r);
void page_expired(struct request *r); /* a sign-in that is unknown, too old, or of another browser */

/* Headers of every page but Content-Security-Policy, which page_send writes. */
void page_headers(struct request *r);
/* 303 to an address. */
void page_redirect(struct request *r, struct slice location);
/* 303 to a path below the issuer's, with one query parameter (NULL: none). */
void page_redirect_to(struct request *r, const char *path, const char *parameter, struct slice value);
/* The same with all fields of a form, for a POST that another site has made: browsers keep SameSite=Lax cookies back from it, and the session would not be
 * seen. Answers r also when the address would be too long. */
void page_redirect_form(struct request *r, const char *path, const struct form *form);

/* The style sheet and the icon: their address changes with their bytes, so that they can be kept for a year. "/static/…", NUL-terminated. */
#define PAGE_STATIC_PATH "/static/"
struct page_static {
	const char *name, *content_type;
	struct slice bytes;
};
/* By the rest of the path after PAGE_STATIC_PATH; NULL: none such. */
const struct page_static *page_static_find(struct slice rest);
extern const char page_style_css[], page_icon_svg[];

#endif
