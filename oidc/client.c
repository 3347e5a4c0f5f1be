#include "oidc/client.h"
#include "shared/address.h"

#define OOB "urn:ietf:wg:oauth:2.0:oob"

/* "http://" + one of the loopback hosts [+ ":" + digits] + rest: the rest, which begins with '/', '?' or is empty. */
static bool
loopback_rest(struct slice uri, struct slice *rest)
{
	static const char *const hosts[] = { "127.0.0.1", "[::1]", "localhost" };
	struct slice scheme = SLICE_LIT("http://");
	uint64_t port;

	if (!slice_has_prefix(uri, scheme))
		return false;
	uri = slice_of(uri.p + scheme.n, uri.n - scheme.n);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct slice host = slice_str(hosts[i]);
		if (!slice_has_prefix(uri, host))
			continue;
		struct slice after = slice_of(uri.p + host.n, uri.n - host.n);
		if (after.n && after.p[0] == ':') {
			size_t n = 1;
			while (n < after.n && after.p[n] >= '0' && after.p[n] <= '9')
				n++;
			if (n == 1 || !slice_to_u64(slice_of(after.p + 1, n - 1), 65535, &port) || port == 0)
				return false;
			after = slice_of(after.p + n, after.n - n);
		}
		if (after.n && after.p[0] != '/' && after.p[0] != '?')
			return false;
		*rest = after;
		return true;
	}
	return false;
}

static bool
same_loopback(struct slice registered, struct slice uri)
{
	struct slice a, b;

	/* Which of the three names is asked for is the client's choice too: all are this person's own machine. */
	return loopback_rest(registered, &a) && loopback_rest(uri, &b) && slice_eq(a, b);
}

bool
client_redirect_uri_ok(const struct client *c, struct slice uri)
{
	struct slice rest;

	if (slice_has_prefix(uri, SLICE_LIT("/")))
		return false;
	/* RFC 6749 section 3.1.2: no fragment. RFC 3986 appendix A: printable ASCII; all else has no place in a Location header. */
	for (size_t i = 0; i < uri.n; i++)
		if (uri.p[i] <= 0x20 || uri.p[i] >= 0x7f || strchr("#\"<>\\", uri.p[i]))
			return false;
	for (size_t i = 0; i < c->redirect_uri_n; i++) {
		struct slice registered = slice_str(c->redirect_uris[i]);
		if (slice_eq(registered, uri) || (c->public && same_loopback(registered, uri)))
			return true;
	}
	return c->public && c->redirect_uri_n == 0 && (slice_eq_str(uri, OOB) || loopback_rest(uri, &rest));
}

static const char *const claim_sources[CLIENT_CLAIM_SOURCES] = { [CLAIM_TEXT] = "", [CLAIM_SUB] = "sub", [CLAIM_USER_ID] = "user_id",
	[CLAIM_CONNECTOR_ID] = "connector_id", [CLAIM_NAME] = "name", [CLAIM_PREFERRED_USERNAME] = "preferred_username", [CLAIM_EMAIL] = "email",
	[CLAIM_GROUPS] = "groups" };

const char *
client_claim_from_name(enum client_claim_from from)
{
	return claim_sources[from];
}

bool
client_claim_from_find(struct slice name, enum client_claim_from *out)
{
	for (size_t i = CLAIM_TEXT + 1; i < CLIENT_CLAIM_SOURCES; i++)
		if (slice_eq_str(name, claim_sources[i])) {
			*out = (enum client_claim_from)i;
			return true;
		}
	return false;
}

bool
client_has_device_callback(const struct client *c)
{
	for (size_t i = 0; i < c->redirect_uri_n; i++)
		if (strcmp(c->redirect_uris[i], CLIENT_DEVICE_CALLBACK) == 0)
			return true;
	return false;
}

/* '*' stands for any run of characters, also none. Linear in text for each star: only the last one is ever tried again. */
static bool
pattern_matches(const char *pattern, struct slice text)
{
	const char *star = NULL;
	size_t i = 0, tried = 0;

	while (i < text.n) {
		if (*pattern == '*') {
			star = pattern++;
			tried = i;
		} else if (*pattern && *pattern == text.p[i]) {
			pattern++;
			i++;
		} else if (star) {
			pattern = star + 1;
			i = ++tried;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool
client_is_peer(const struct client *c, struct slice id)
{
	if (slice_eq_str(id, c->id))
		return true;
	for (size_t i = 0; i < c->trusted_peer_n; i++)
		if (slice_eq_str(id, c->trusted_peers[i]))
			return true;
	return false;
}

bool
client_group_wanted(const struct client *c, struct slice group)
{
	for (size_t i = 0; i < c->group_n; i++)
		if (pattern_matches(c->groups[i], group))
			return true;
	return c->group_n == 0;
}

bool
client_post_logout_redirect_uri_ok(const struct client *c, struct slice uri)
{
	for (size_t i = 0; i < c->post_logout_redirect_uri_n; i++)
		if (slice_eq_str(uri, c->post_logout_redirect_uris[i]))
			return true;
	return false;
}

bool
client_backchannel_logout_uri_ok(const char *uri)
{
	struct url u;

	if (url_parse(slice_str(uri), &u) != OK || strchr(uri, '#'))
		return false;
	return u.tls || slice_eq_str(u.host, "127.0.0.1") || slice_eq_str(u.host, "::1") || slice_eq_str(u.host, "localhost");
}
