/* template_pages.h - our pages by an operator's templates (frontend.dir), with the fields that dex gives them. A page that has no template is ours. */
#ifndef AUTHD_TEMPLATE_PAGES_H
#define AUTHD_TEMPLATE_PAGES_H

#include "authd/pages.h"
#include "authd/sign_in_pages.h"

/* Each of them: false: there is no such template, or it failed, which was logged; then the caller's own page is to be sent. */
bool template_page_login(struct request *r, const struct sign_in_page *s);
bool template_page_password(struct request *r, const struct sign_in_page *s, const struct sign_in_page_filled *f, bool other_ways);
bool template_page_approval(struct request *r, const struct sign_in_page *s, struct slice user, const struct slice *scopes, size_t scope_n);
bool template_page_code(struct request *r, struct slice code);
bool template_page_device(struct request *r, int status, struct slice token, struct slice user_code, bool invalid);
bool template_page_error(struct request *r, const struct page_error *e);

/* Whether the approval page is a template: its form has no field of ours, so its address brings the form token. */
bool template_pages_approve(const struct request *r);
/* Render each template once with sample data. E_FORMAT with why. */
MUST_CHECK enum err template_pages_try(const struct generation *g, char *why, size_t why_n);

#endif
