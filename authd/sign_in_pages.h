/* sign_in_pages.h - the pages of a sign-in: password, choice of a way, approval, code to copy. */
#ifndef AUTHD_SIGN_IN_PAGES_H
#define AUTHD_SIGN_IN_PAGES_H

#include "authd/app.h"

struct page;
struct sign_in_page {
	struct slice id;              /* of the authorization */
	struct slice token;           /* form token */
	const struct client *client;  /* NULL: the console */
	unsigned grants;              /* GRANT_BITs of what it is for */
	struct slice user_code;       /* of a device, as the device shows it; .n 0: it is not for one */
	struct slice form_target;     /* browser_form_target of the client's redirect_uri */
};
/* What stands in the form already. */
struct sign_in_page_filled {
	int status;
	struct slice login;
	bool remember;
	const char *problem; /* what was wrong the last time; NULL: nothing */
};
void sign_in_page_password(struct request *r, const struct sign_in_page *s, const struct sign_in_page_filled *f, bool other_ways);
/* Who is signed in, or somebody else (prompt=select_account). */
void sign_in_page_select(struct request *r, const struct sign_in_page *s, const struct record_user *user);
/* Every connector that the client may use. */
void sign_in_page_choose(struct request *r, const struct sign_in_page *s);
void sign_in_page_approval(struct request *r, const struct sign_in_page *s, const struct record_user *user, struct slice scope);
/* What scopes allow, as a list for people. */
void sign_in_page_scopes(struct page *p, unsigned scopes);
/* OAuth 2.0 Form Post Response Mode, with a button to press where others run a script. parameters: urlencoded. */
void sign_in_page_form_post(struct request *r, struct slice redirect_uri, struct slice parameters);
/* Where a device's user code is typed. */
void sign_in_page_device(struct request *r, int status, struct slice token, struct slice user_code, const char *problem);
/* The person has decided; there is nothing more to do in this browser. */
void sign_in_page_device_done(struct request *r, bool agreed);
/* For clients that have no address to be redirected to. */
void sign_in_page_code(struct request *r, struct slice code);

#endif
