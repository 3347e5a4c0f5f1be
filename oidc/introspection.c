#include "oidc/introspection.h"

static void
member(struct buf *out, const char *name)
{
	buf_add_str(out, ",\"");
	buf_add_str(out, name);
	buf_add_str(out, "\":");
}

static void
member_text(struct buf *out, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	member(out, name);
	buf_add_json(out, value);
}

static void
member_time(struct buf *out, const char *name, int64_t value)
{
	if (value <= 0)
		return;
	member(out, name);
	buf_add_u64(out, (uint64_t)value);
}

void
introspection_print(const struct introspection *i, struct buf *out)
{
	buf_add_str(out, "{\"active\":true");
	member_text(out, "iss", i->issuer);
	member_text(out, "sub", i->sub);
	member_text(out, "aud", i->audience);
	member_time(out, "exp", i->expires_at);
	member_time(out, "iat", i->issued_at);
	member_text(out, "client_id", i->client_id);
	member_text(out, "scope", i->scope);
	member_text(out, "username", i->username);
	member_text(out, "token_type", SLICE_LIT("Bearer"));
	member_text(out, "token_use", slice_str(i->use));
	member_text(out, "sid", i->sid);
	member_text(out, "jti", i->jti);
	buf_add_char(out, '}');
}
