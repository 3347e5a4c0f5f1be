#include "proxyd/http_bytes.h"
#include "proxyd/http_head.h"

struct known {
	const char *name; /* lower case */
	enum http_field field;
};

/* By length: a name is compared with the few known ones that are as long, and of these only with those that start alike. */
#define NAME_BYTES_MAX 25
static const struct known by_length[NAME_BYTES_MAX + 1][6] = {
	[2] = { { "te", FIELD_TE } },
	[4] = { { "host", FIELD_HOST }, { "date", FIELD_DATE } },
	[6] = { { "accept", FIELD_ACCEPT }, { "cookie", FIELD_COOKIE }, { "origin", FIELD_ORIGIN }, { "expect", FIELD_EXPECT },
		{ "server", FIELD_SERVER } },
	[7] = { { "upgrade", FIELD_UPGRADE }, { "trailer", FIELD_TRAILER } },
	[8] = { { "location", FIELD_LOCATION } },
	[9] = { { "forwarded", FIELD_FORWARDED }, { "x-real-ip", FIELD_X_REAL_IP } },
	[10] = { { "user-agent", FIELD_USER_AGENT }, { "connection", FIELD_CONNECTION }, { "set-cookie", FIELD_SET_COOKIE },
		{ "keep-alive", FIELD_KEEP_ALIVE } },
	[12] = { { "content-type", FIELD_CONTENT_TYPE }, { "x-request-id", FIELD_X_REQUEST_ID } },
	[13] = { { "authorization", FIELD_AUTHORIZATION } },
	[14] = { { "content-length", FIELD_CONTENT_LENGTH }, { "sec-fetch-mode", FIELD_SEC_FETCH_MODE },
		{ "http2-settings", FIELD_HTTP2_SETTINGS } },
	[15] = { { "accept-encoding", FIELD_ACCEPT_ENCODING }, { "clear-site-data", FIELD_WHOLE_ORIGIN } },
	[16] = { { "proxy-connection", FIELD_PROXY_CONNECTION }, { "x-requested-with", FIELD_X_REQUESTED_WITH } },
	[17] = { { "transfer-encoding", FIELD_TRANSFER_ENCODING } },
	[18] = { { "proxy-authenticate", FIELD_PROXY_AUTHENTICATE } },
	[19] = { { "proxy-authorization", FIELD_PROXY_AUTHORIZATION } },
	[22] = { { "sec-websocket-protocol", FIELD_SEC_WEBSOCKET_PROTOCOL }, { "service-worker-allowed", FIELD_WHOLE_ORIGIN } },
	[25] = { { "strict-transport-security", FIELD_STRICT_TRANSPORT_SECURITY } },
};

/* name, in any case, starts with the n bytes of lower. */
static bool
starts_with(struct slice name, const char *lower, size_t n)
{
	if (name.n < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (http_byte_lower(name.p[i]) != lower[i])
			return false;
	return true;
}

/* Families: what counts is how the name begins. */
static enum http_field
family_of(struct slice name)
{
	switch (http_byte_lower(name.p[0])) {
	case 'i':
		return starts_with(name, "impersonate", 11) ? FIELD_IMPERSONATE : FIELD_OTHER;
	case 'x':
		if (starts_with(name, "x-forwarded", 11))
			return FIELD_X_FORWARDED;
		if (starts_with(name, "x-gatehouse", 11))
			return FIELD_X_GATEHOUSE;
		return starts_with(name, "x-remote", 8) ? FIELD_X_REMOTE : FIELD_OTHER;
	case 'p':
		if (starts_with(name, "proxy", 5) && (name.n == 5 || name.p[5] == '-'))
			return FIELD_PROXY; /* "Proxy" would become HTTP_PROXY in a CGI program (CVE-2016-5385) */
		return FIELD_OTHER;
	default:
		return FIELD_OTHER;
	}
}

enum http_field
http_field_of(struct slice name)
{
	if (name.n == 0)
		return FIELD_OTHER;
	if (name.n <= NAME_BYTES_MAX) {
		char first = http_byte_lower(name.p[0]);
		for (const struct known *k = by_length[name.n]; k->name; k++)
			if (k->name[0] == first && starts_with(name, k->name, name.n))
				return k->field;
	}
	return family_of(name);
}

enum http_field
http_field_folded(struct slice name)
{
	char folded[NAME_BYTES_MAX + 1]; /* longer ones only matter for how they begin */
	size_t n = name.n < sizeof(folded) ? name.n : sizeof(folded);

	for (size_t i = 0; i < n; i++)
		folded[i] = http_byte_is(name.p[i], HTTP_BYTE_FOLDS) ? '-' : name.p[i];
	return http_field_of(slice_of(folded, n));
}

bool
http_field_is_critical(enum http_field f)
{
	static const uint64_t critical = HTTP_FIELD_BIT(FIELD_HOST) | HTTP_FIELD_BIT(FIELD_CONNECTION) | HTTP_FIELD_BIT(FIELD_CONTENT_LENGTH) |
		HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(FIELD_UPGRADE) | HTTP_FIELD_BIT(FIELD_TRAILER) |
		HTTP_FIELD_BIT(FIELD_EXPECT) | HTTP_FIELD_BIT(FIELD_PROXY_AUTHORIZATION) | HTTP_FIELD_BIT(FIELD_AUTHORIZATION) |
		HTTP_FIELD_BIT(FIELD_COOKIE) | HTTP_FIELD_BIT(FIELD_SET_COOKIE) | HTTP_FIELD_BIT(FIELD_ORIGIN) |
		HTTP_FIELD_BIT(FIELD_CONTENT_TYPE) | HTTP_FIELD_BIT(FIELD_LOCATION) | HTTP_FIELD_BIT(FIELD_FORWARDED) |
		HTTP_FIELD_BIT(FIELD_X_FORWARDED) | HTTP_FIELD_BIT(FIELD_X_REAL_IP) | HTTP_FIELD_BIT(FIELD_X_REMOTE) | HTTP_FIELD_BIT(FIELD_X_GATEHOUSE) |
		HTTP_FIELD_BIT(FIELD_IMPERSONATE) | HTTP_FIELD_BIT(FIELD_SEC_WEBSOCKET_PROTOCOL) | HTTP_FIELD_BIT(FIELD_X_REQUEST_ID) |
		HTTP_FIELD_BIT(FIELD_X_REQUESTED_WITH) | HTTP_FIELD_BIT(FIELD_SEC_FETCH_MODE) |
		HTTP_FIELD_BIT(FIELD_STRICT_TRANSPORT_SECURITY);
	return critical >> f & 1;
}

const struct http_header *
http_head_find(const struct http_head *h, enum http_field field)
{
	for (size_t i = 0; i < h->header_n; i++)
		if (h->headers[i].field == field)
			return &h->headers[i];
	return NULL;
}

const struct http_header *
http_head_find_name(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->header_n; i++)
		if (slice_eq_nocase(h->headers[i].name, slice_str(name)))
			return &h->headers[i];
	return NULL;
}

struct slice
http_cookie(const struct http_head *h, const char *name)
{
	struct slice found = SLICE_NONE;

	for (size_t i = 0; i < h->header_n; i++) {
		if (h->headers[i].field != FIELD_COOKIE)
			continue;
		struct slice pairs = h->headers[i].value;
		while (pairs.n) {
			struct slice value = slice_cut(&pairs, ';');
			struct slice key = slice_trim(slice_cut(&value, '='));
			if (!slice_eq_str(key, name))
				continue;
			value = slice_trim(value);
			if (found.p && !slice_eq(found, value))
				return SLICE_NONE; /* a second one was planted, by a sibling domain for example */
			found = value;
		}
	}
	return found;
}
