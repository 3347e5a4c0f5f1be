/* status.h - answers of our own: Kubernetes Status objects, or a page or redirect for a browser. */
#ifndef PROXYD_STATUS_H
#define PROXYD_STATUS_H

#include "proxyd/http_head.h"
#include "shared/buf.h"

struct status_answer {
	unsigned code;           /* 200, 302, 303, 400, 401, 403, 404, 408, 413, 414, 417, 421, 429, 431, 500, 501, 502, 503, 504, 505 */
	const char *message;     /* for people; no foreign bytes are put into it without escaping */
	int retry_after_s;       /* 0: no header */
	bool warning;            /* the message as a Warning header, too: kubectl prints those, also of answers whose Status it does not read (discovery) */
	bool close;
	const char *location;    /* with code 302/303: where to, visible ASCII only (else a 500 is written); NULL otherwise */
	struct slice request_id;
	bool hsts;               /* add Strict-Transport-Security: the answer goes out over TLS */
	struct slice json;       /* with code 200: what was asked for, instead of a Status */
	int64_t now_s;           /* for the Date header (RFC 9110 section 6.6.1); 0: none */
};
/* "Unauthorized", "Forbidden", "BadRequest", "ServiceUnavailable" … (metav1.StatusReason) */
const char *status_reason(unsigned code);
/* True when the caller is a browser that navigates: GET or HEAD, Accept has text/html, no X-Requested-With, Sec-Fetch-Mode navigate or absent. */
bool status_wants_page(const struct http_head *h);
/* Append a whole response, head and body. page: HTML instead of JSON. head_only: answering HEAD. Has nosniff, no-store, never WWW-Authenticate: Basic;
 * 401 carries WWW-Authenticate: Bearer. */
void status_write(const struct status_answer *a, bool page, bool head_only, unsigned minor, struct buf *out);

#endif
