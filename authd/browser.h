/* browser.h - what ties a request to one browser, and where that browser may be sent: cookies, form tokens, the Origin check, return paths.
 * Spec: RFC 6265, Fetch (Origin), CVE-2022-39222 for why a sign-in is bound to its browser. */
#ifndef AUTHD_BROWSER_H
#define AUTHD_BROWSER_H

#include "authd/request.h"
#include "shared/buf.h"

#define BROWSER_SECRET_BYTES 32        /* random bytes of a cookie: 43 characters */
#define BROWSER_RETURN_BYTES_MAX 2048

/* Set-Cookie on the answer: Path=/, HttpOnly, SameSite=Lax, Secure where the issuer is https. max_age_s: 0 deletes, negative: until the browser ends. */
void browser_cookie_set(struct request *r, const char *name, struct slice value, int64_t max_age_s);
/* The pre-login cookie that sign-ins under way are bound to. browser_login_secret makes one (and sets it) when the browser has none that looks
 * like ours; browser_login_cookie only reads. .p NULL: none. */
struct slice browser_login_secret(struct request *r);
struct slice browser_login_cookie(const struct request *r);

/* The token a form carries: HMAC of what it is for, keyed by the cookie's secret, which no other site can read. In the arena; .p NULL: no memory. */
struct slice browser_form_token(struct request *r, struct slice secret, const char *purpose, struct slice id);
/* A POST of ours: its form token is right, and its Origin, where the browser sends one, is ours. Pages have no-referrer, which makes browsers send
 * "null" for our own forms; then Sec-Fetch-Site decides where it is sent. */
bool browser_form_ok(struct request *r, struct slice secret, const char *purpose, struct slice id, struct slice token);
/* Field of a form that was posted; where it has none of that name, of the address it was posted to: forms of templates (template_pages.h) have none of
 * ours, so their addresses bring them. */
struct slice browser_form_field(struct request *r, const struct form *body, const char *name);
bool browser_origin_ok(const struct request *r);

/* A path of this origin: exactly one '/' in front, no backslash, no control byte, no blank, ASCII. */
bool browser_return_ok(struct slice path);
/* The CSP source that lets a form's answer redirect to uri: "https://host:port", or "scheme:" where an origin cannot be written as one.
 * .n 0: none is needed or uri is no URI. In the arena. */
struct slice browser_form_target(struct request *r, struct slice uri);

#endif
