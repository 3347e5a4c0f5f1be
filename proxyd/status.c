#include "proxyd/status.h"
#include "shared/clock.h"

/* The page's only style. Its hash stands in the policy, so that no other style and no script at all can run; a test compares them. */
#define PAGE_STYLE                                                                                                                              \
	":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto 0;padding:0 1.25rem}"            \
	"h1{font-size:1.5rem;margin:0 0 .5rem}p{margin:.5rem 0}small{opacity:.7}"
#define PAGE_STYLE_HASH "sha256-hkPrnIJYe96iTLRGCpjR1QBVPpUe05GJ3LbqMU+gUk8="

/* metav1.StatusReason, as apimachinery's NewGenericServerResponse assigns them. */
const char *
status_reason(unsigned code)
{
	switch (code) {
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "NotFound";
	case 405:
		return "MethodNotAllowed";
	case 408:
	case 504:
		return "Timeout";
	case 413:
		return "RequestEntityTooLarge";
	case 429:
		return "TooManyRequests";
	case 503:
		return "ServiceUnavailable";
	default:
		return code < 500 ? "BadRequest" : "InternalError";
	}
}

/* RFC 9110 section 15 and, for 429 and 431, RFC 6585. */
static const char *
phrase(unsigned code)
{
	static const struct {
		unsigned code;
		const char *text;
	} phrases[] = { { 200, "OK" }, { 302, "Found" }, { 303, "See Other" }, { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" },
		{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
		{ 417, "Expectation Failed" }, { 421, "Misdirected Request" }, { 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
		{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" } };

	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (phrases[i].code == code)
			return phrases[i].text;
	return code < 500 ? "Refused" : "Failed";
}

static bool
contains_nocase(struct slice s, struct slice part)
{
	for (size_t i = 0; i + part.n <= s.n; i++)
		if (slice_eq_nocase(slice_of(s.p + i, part.n), part))
			return true;
	return false;
}

bool
status_wants_page(const struct http_head *h)
{
	bool html = false;

	if (h->method != METHOD_GET && h->method != METHOD_HEAD)
		return false;
	for (size_t i = 0; i < h->header_n; i++) {
		const struct http_header *f = &h->headers[i];
		if (f->field == FIELD_X_REQUESTED_WITH)
			return false;
		if (f->field == FIELD_SEC_FETCH_MODE && !slice_eq_str(f->value, "navigate"))
			return false;
		html |= f->field == FIELD_ACCEPT && contains_nocase(f->value, SLICE_LIT("text/html"));
	}
	return html;
}

static bool
is_visible_ascii(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

/* IMF-fixdate (RFC 9110 section 5.6.7). The C library's gmtime_r would open the time zone's files in a process that must not. */
static void
add_date(struct buf *out, int64_t now_s)
{
	static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char text[CLOCK_TEXT_BYTES];
	size_t day = (size_t)(now_s / 86400 % 7);

	clock_format(now_s, text); /* "2026-01-02T03:04:05Z" */
	size_t month = (size_t)((text[5] - '0') * 10 + (text[6] - '0') - 1);
	buf_printf(out, "Date: %.3s, %.2s %.3s %.4s %.8s GMT\r\n", days + 3 * day, text + 8, months + 3 * month, text, text + 11);
}

static void
add_json(const struct status_answer *a, struct buf *out)
{
	buf_add_str(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":");
	buf_add_json(out, slice_str(a->message));
	buf_printf(out, ",\"reason\":\"%s\"", status_reason(a->code));
	if (a->retry_after_s > 0)
		buf_printf(out, ",\"details\":{\"retryAfterSeconds\":%d}", a->retry_after_s);
	buf_printf(out, ",\"code\":%u}\n", a->code);
}

static void
add_page(const struct status_answer *a, struct buf *out)
{
	buf_printf(out,
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
		"<title>%s</title><style>" PAGE_STYLE "</style></head>\n<body><h1>%s</h1><p>",
		phrase(a->code), phrase(a->code));
	buf_add_html(out, slice_str(a->message));
	buf_add_str(out, "</p>");
	if (a->code >= 502 && a->code <= 504 && a->request_id.n)
		buf_add_str(out, "<p>Try again in a moment. If it stays like this, tell whoever runs this gateway the number below.</p>");
	if (a->location) {
		buf_add_str(out, "<p><a href=\"");
		buf_add_html(out, slice_str(a->location));
		buf_add_str(out, "\">Go on</a></p>");
	}
	if (a->request_id.n) {
		buf_add_str(out, "<p><small>");
		buf_printf(out, "%u, request ", a->code);
		buf_add_html(out, a->request_id);
		buf_add_str(out, "</small></p>");
	}
	buf_add_str(out, "</body></html>\n");
}

/* As kube-apiserver writes it: 299, no agent, a quoted string (RFC 7234 section 5.5). */
static void
add_warning(const char *text, struct buf *out)
{
	buf_add_str(out, "Warning: 299 - \"");
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text);
	}
	buf_add_str(out, "\"\r\n");
}

static void
add_head(const struct status_answer *a, bool page, unsigned minor, size_t body_n, struct buf *out)
{
	buf_printf(out, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", a->code, phrase(a->code),
		page ? "text/html; charset=utf-8" : "application/json", body_n);
	buf_add_str(out, "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n");
	if (page)
		buf_add_str(out, "Content-Security-Policy: default-src 'none'; style-src '" PAGE_STYLE_HASH "'; frame-ancestors 'none'; base-uri 'none'; "
				 "form-action 'none'\r\nReferrer-Policy: no-referrer\r\n");
	if (a->code == 401)
		buf_add_str(out, "WWW-Authenticate: Bearer\r\n");
	if (a->warning)
		add_warning(a->message, out);
	if (a->location)
		buf_printf(out, "Location: %s\r\n", a->location);
	if (a->retry_after_s > 0)
		buf_printf(out, "Retry-After: %d\r\n", a->retry_after_s);
	if (a->hsts)
		buf_add_str(out, "Strict-Transport-Security: max-age=31536000\r\n");
	if (a->now_s > 0)
		add_date(out, a->now_s);
	if (a->request_id.n) {
		buf_add_str(out, "X-Request-Id: ");
		buf_add_slice(out, a->request_id);
		buf_add_str(out, "\r\n");
	}
	if (a->close)
		buf_add_str(out, "Connection: close\r\n");
	else if (minor == 0)
		buf_add_str(out, "Connection: keep-alive\r\n");
	buf_add_str(out, "\r\n");
}

void
status_write(const struct status_answer *a, bool page, bool head_only, unsigned minor, struct buf *out)
{
	struct status_answer answer = *a;
	struct buf body;

	if (answer.location && !is_visible_ascii(answer.location)) {
		answer.location = NULL;
		answer.code = 500;
		answer.message = "the gateway made a malformed redirect";
	}
	buf_init(&body, 0);
	if (answer.json.n)
		buf_add_slice(&body, answer.json);
	else if (page)
		add_page(&answer, &body);
	else
		add_json(&answer, &body);
	if (!buf_ok(&body)) {
		buf_fini(&body);
		out->failed = true;
		return;
	}
	add_head(&answer, page && !answer.json.n, minor, body.n, out);
	if (!head_only)
		buf_add_slice(out, buf_slice(&body));
	buf_fini(&body);
}
