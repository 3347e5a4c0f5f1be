/* origin.h - whether a page of ours made a request, by what browsers say of it. Nobody else says it, and no page can make a browser say something else.
 * Spec: Fetch ("Origin"), Fetch Metadata (Sec-Fetch-Site), RFC 6454. */
#ifndef PROXYD_ORIGIN_H
#define PROXYD_ORIGIN_H

#include "proxyd/http_head.h"
#include "shared/config.h"

enum origin {
	ORIGIN_OURS,   /* a page of the host that the request is for, or of a listed origin; or the person, with the browser's own means */
	ORIGIN_OTHERS,
	ORIGIN_UNSAID  /* no browser, or an old one */
};
/* listed: origins whose pages are taken for ours; NULL: none. Pages with no-referrer send "null" for their own forms (Fetch, 3.2): there, and without any
 * Origin, Sec-Fetch-Site decides. */
enum origin origin_of(const struct http_head *h, const struct config_strings *listed);
/* It only asks: no page of another origin gets to see the answer. An upgrade opens a channel that no same-origin policy guards. */
bool origin_is_harmless(const struct http_head *h);

#endif
