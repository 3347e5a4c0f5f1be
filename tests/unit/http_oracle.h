/* http_oracle.h - what must hold of a head that goes upstream, whatever the caller sent. Two readers judge it: the strict parser, and
 * the most lenient one there could be, which ends lines at any CR or LF, ignores blanks, controls and 8-bit bytes around names and takes
 * whatever is no letter or digit for '-'. No test framework in here: the fuzzers use it, too. */
#ifndef TESTS_UNIT_HTTP_ORACLE_H
#define TESTS_UNIT_HTTP_ORACLE_H

#include "proxyd/forward.h"

#define ORACLE_HOST "kube.example:6443"
#define ORACLE_USER "Impersonate-User: jane\r\n"
#define ORACLE_IDENTITY ORACLE_USER "Impersonate-Group: dev\r\nImpersonate-Group: system:authenticated\r\n"
#define ORACLE_CREDENTIAL "Authorization: Bearer gateway\r\n"
#define ORACLE_IP "203.0.113.9"

static const struct forward_target oracle_cluster = { FORWARD_CLUSTER, { ORACLE_HOST, sizeof(ORACLE_HOST) - 1 }, { NULL, 0 }, { NULL, 0 },
	{ ORACLE_CREDENTIAL, sizeof(ORACLE_CREDENTIAL) - 1 }, { "__Host-gatehouse", 16 } };
static const struct forward_context oracle_context = { { ORACLE_IDENTITY, sizeof(ORACLE_IDENTITY) - 1 }, { ORACLE_IP, sizeof(ORACLE_IP) - 1 },
	{ "rid", 3 }, true, { "gw", 2 } };

/* A backend that believes X-Remote-*, and one that gets an ID token. */
#define ORACLE_REMOTE "X-Remote-User: jane\r\nX-Remote-Group: dev\r\nX-Remote-Group: system:authenticated\r\n"
#define ORACLE_TOKEN "Authorization: Bearer jane.s.token\r\n"
static const struct forward_target oracle_front = { FORWARD_FRONT_PROXY, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { "__Host-gatehouse", 16 } };
static const struct forward_target oracle_bearer = { FORWARD_BEARER, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { "__Host-gatehouse", 16 } };

/* What each destination has to get: how many of each, and what stands last. */
static const struct oracle_kind {
	const struct forward_target *target;
	struct slice identity, host, last;
	unsigned user, groups, remote_user, remote_groups, authorization, other_forwarded;
} oracle_kinds[] = {
	{ &oracle_cluster, { ORACLE_IDENTITY, sizeof(ORACLE_IDENTITY) - 1 }, { ORACLE_HOST, sizeof(ORACLE_HOST) - 1 },
		{ ORACLE_CREDENTIAL ORACLE_IDENTITY "\r\n", sizeof(ORACLE_CREDENTIAL ORACLE_IDENTITY "\r\n") - 1 }, 1, 2, 0, 0, 1, 0 },
	{ &oracle_front, { ORACLE_REMOTE, sizeof(ORACLE_REMOTE) - 1 }, { "gw", 2 }, { ORACLE_REMOTE "\r\n", sizeof(ORACLE_REMOTE "\r\n") - 1 }, 0, 0, 1, 2, 0, 2 },
	{ &oracle_bearer, { ORACLE_TOKEN, sizeof(ORACLE_TOKEN) - 1 }, { "gw", 2 }, { ORACLE_TOKEN "\r\n", sizeof(ORACLE_TOKEN "\r\n") - 1 }, 0, 0, 0, 0, 1, 2 },
};
enum { ORACLE_CLUSTER, ORACLE_FRONT, ORACLE_BEARER, ORACLE_KINDS };

struct oracle_seen {
	unsigned host, framing, user, groups, remote_user, remote_groups, other_identity, authorization, forwarded_for, other_forwarded, connection, own_cookie;
};

/* The line's name as the lenient reader sees it. */
static inline struct slice
oracle_name(struct slice line, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < line.n && line.p[i] != ':'; i++) {
		char c = line.p[i];
		bool digit = c >= '0' && c <= '9', lower = c >= 'a' && c <= 'z';
		c = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c > ' ' && c < 0x7f && !digit && !lower ? '-' : c;
		if (c > ' ' && c < 0x7f && n < cap)
			out[n++] = c;
	}
	return slice_of(out, n);
}

/* Ours stands in it under its own name. */
static inline bool
oracle_has_cookie(struct slice line)
{
	static const char ours[] = "__Host-gatehouse=";
	const char *at = memmem(line.p, line.n, ours, sizeof(ours) - 1);

	while (at && at > line.p && (at[-1] == ' ' || at[-1] == '\t'))
		at--;
	return at && at > line.p && (at[-1] == ';' || at - 1 == memchr(line.p, ':', line.n));
}

static inline void
oracle_count(struct slice name, struct slice line, struct oracle_seen *seen)
{
	seen->host += slice_eq_str(name, "host");
	seen->framing += slice_eq_str(name, "content-length") || slice_eq_str(name, "transfer-encoding");
	seen->connection += slice_eq_str(name, "connection") || slice_eq_str(name, "upgrade") || slice_eq_str(name, "keep-alive");
	seen->authorization += slice_eq_str(name, "authorization");
	seen->own_cookie += slice_eq_str(name, "cookie") && oracle_has_cookie(line);
	if (slice_eq_str(name, "impersonate-user"))
		seen->user++;
	else if (slice_eq_str(name, "impersonate-group"))
		seen->groups++;
	else if (slice_eq_str(name, "x-remote-user"))
		seen->remote_user++;
	else if (slice_eq_str(name, "x-remote-group"))
		seen->remote_groups++;
	else if (slice_has_prefix(name, SLICE_LIT("impersonate")) || slice_has_prefix(name, SLICE_LIT("x-remote")) || slice_has_prefix(name, SLICE_LIT("x-gatehouse")))
		seen->other_identity++;
	if (slice_eq_str(line, "X-Forwarded-For: " ORACLE_IP))
		seen->forwarded_for++;
	else if (slice_has_prefix(name, SLICE_LIT("x-forwarded")) || slice_eq_str(name, "forwarded") || slice_eq_str(name, "x-real-ip"))
		seen->other_forwarded++;
}

static inline void
oracle_read_leniently(struct slice text, struct oracle_seen *seen)
{
	char name[64];

	*seen = (struct oracle_seen){ 0 };
	slice_cut(&text, '\n'); /* the first line is no header */
	while (text.n) {
		size_t n = 0;
		while (n < text.n && text.p[n] != '\r' && text.p[n] != '\n')
			n++;
		struct slice line = slice_of(text.p, n);
		oracle_count(oracle_name(line, name, sizeof(name)), line, seen);
		text = n < text.n ? slice_of(text.p + n + 1, text.n - n - 1) : SLICE_NONE;
	}
}

/* Headers that are written besides the caller's: with as many of those as the parser takes, it would find too many in what is sent. */
#define ORACLE_HEADERS_ADDED 8

/* sent: what forward_request() made of h for this kind. NULL: all is well; or what is wrong. */
static inline const char *
oracle_judge_as(const struct oracle_kind *kind, const struct http_head *h, struct slice sent)
{
	static const struct http_limits limits = { 1 << 20, 1 << 20 };
	static struct http_head again;
	struct oracle_seen seen;
	size_t scanned = 0, head_bytes = 0;
	const char *why;

	if (h->header_n > HTTP_HEADERS_MAX - ORACLE_HEADERS_ADDED)
		return NULL;
	if (http_request_parse(sent.p, sent.n, &scanned, &limits, &again, &head_bytes, &why) != HTTP_OK)
		return "what is sent is refused by our own parser";
	if (head_bytes != sent.n)
		return "what is sent is more than one head";
	if (!slice_eq(again.method_text, h->method_text) || !slice_eq(again.path, h->path) || !slice_eq(again.query, h->query))
		return "the request line is another one";
	bool upgrade = h->upgrade != UPGRADE_NONE;
	if (again.upgrade != h->upgrade)
		return "upgrade differs";
	if (!upgrade && (h->framing == FRAMING_NONE ? again.framing != FRAMING_LENGTH || again.content_length != 0 :
		    again.framing != h->framing || again.content_length != h->content_length))
		return "the body is framed differently";
	if (!slice_eq(again.host, kind->host))
		return "Host is another one";
	if (!slice_has_suffix(sent, kind->last))
		return "the identity is not what stands last";
	oracle_read_leniently(sent, &seen);
	if (seen.host != 1)
		return "not one Host";
	if (seen.framing != !upgrade)
		return "not one framing header";
	if (seen.connection != (upgrade ? 2 : 0))
		return "a header about the caller's hop";
	if (seen.authorization != kind->authorization)
		return "not the Authorization that is due";
	if (seen.user != kind->user || seen.groups != kind->groups || seen.remote_user != kind->remote_user || seen.remote_groups != kind->remote_groups ||
		seen.other_identity != 0)
		return "an identity header of the caller";
	if (seen.forwarded_for != 1 || seen.other_forwarded != kind->other_forwarded)
		return "an address header of the caller";
	if (seen.own_cookie)
		return "a cookie of ours";
	return NULL;
}

static inline const char *
oracle_judge(const struct http_head *h, struct slice sent)
{
	return oracle_judge_as(&oracle_kinds[ORACLE_CLUSTER], h, sent);
}

/* A head that passed the rules, written for each kind and judged. buf: for what is written. NULL: all is well. */
static inline const char *
oracle_judge_all(const struct http_head *h, struct buf *buf)
{
	for (size_t i = 0; i < ORACLE_KINDS; i++) {
		struct forward_context c = oracle_context;
		c.identity = oracle_kinds[i].identity;
		buf_reset(buf);
		if (forward_request(h, oracle_kinds[i].target, &c, buf) != OK)
			return "what was checked could not be written";
		const char *wrong = oracle_judge_as(&oracle_kinds[i], h, buf_slice(buf));
		if (wrong)
			return wrong;
	}
	return NULL;
}

#endif
