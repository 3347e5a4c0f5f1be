#include "authd/record.h"

/* A record is its fields in the table's order, each "tag (1 byte), length (LEB128), value"; fields that are empty or zero are left
 * out. Tags are for ever: a field that goes leaves its number behind, a new field takes a new one. */

enum field_type {
	FIELD_SLICE,
	FIELD_SECRET,  /* a slice, sealed where there is a vault: then its tag has SEALED */
	FIELD_INT,     /* 8 bytes, big-endian two's complement */
	FIELD_BOOL,    /* one byte, 1 */
	FIELD_STRINGS, /* one occurrence per item, at most RECORD_LIST_MAX */
	FIELD_USER     /* a record_user, encoded by its own table */
};
struct field {
	unsigned char tag; /* 0 ends the table */
	enum field_type type;
	size_t offset;
};

#define SEALED 0x80u /* of a tag; no field's own number has it */
#define LENGTH_BYTES_MAX 5 /* LEB128 of 32 bits */

_Static_assert(RECORD_GROUPS_MAX <= RECORD_LIST_MAX, "groups are a list");

#define F(type, tag, record, member) { (tag), (type), offsetof(struct record, member) }
#define SLICE(...) F(FIELD_SLICE, __VA_ARGS__)
#define SECRET(...) F(FIELD_SECRET, __VA_ARGS__)
#define INT(...) F(FIELD_INT, __VA_ARGS__)
#define BOOL(...) F(FIELD_BOOL, __VA_ARGS__)
#define STRINGS(...) F(FIELD_STRINGS, __VA_ARGS__)
#define USER(...) F(FIELD_USER, __VA_ARGS__)
#define END { 0, FIELD_SLICE, 0 }

static const struct field user_fields[] = {
	SLICE(1, record_user, connector_id),
	SLICE(2, record_user, user_id),
	SLICE(3, record_user, username),
	SLICE(4, record_user, preferred_username),
	SLICE(5, record_user, email),
	BOOL(6, record_user, email_verified),
	STRINGS(7, record_user, groups),
	SECRET(8, record_user, connector_data),
	END,
};

static const struct field auth_request_fields[] = {
	SLICE(1, record_auth_request, client_id),
	SLICE(2, record_auth_request, redirect_uri),
	SLICE(3, record_auth_request, state),
	SLICE(4, record_auth_request, nonce),
	SLICE(5, record_auth_request, scope),
	SLICE(6, record_auth_request, response_mode),
	SLICE(7, record_auth_request, code_challenge),
	STRINGS(8, record_auth_request, audiences),
	INT(9, record_auth_request, response_type),
	INT(10, record_auth_request, pkce_method),
	INT(11, record_auth_request, prompt),
	INT(12, record_auth_request, max_age_s),
	SLICE(13, record_auth_request, login_hint),
	SLICE(14, record_auth_request, return_to),
	SLICE(15, record_auth_request, browser_hash),
	SLICE(17, record_auth_request, connector_id),
	SECRET(18, record_auth_request, upstream_verifier),
	BOOL(19, record_auth_request, upstream_pending),
	BOOL(20, record_auth_request, logged_in),
	USER(21, record_auth_request, user),
	INT(22, record_auth_request, auth_time),
	SLICE(23, record_auth_request, sid),
	INT(24, record_auth_request, created_at),
	INT(25, record_auth_request, expires_at),
	BOOL(26, record_auth_request, remember),
	SLICE(27, record_auth_request, device_key),
	SLICE(28, record_auth_request, user_code),
	END,
};

static const struct field code_fields[] = {
	SLICE(1, record_code, client_id),
	SLICE(2, record_code, redirect_uri),
	SLICE(3, record_code, nonce),
	SLICE(4, record_code, scope),
	SLICE(5, record_code, code_challenge),
	STRINGS(6, record_code, audiences),
	INT(7, record_code, pkce_method),
	USER(8, record_code, user),
	INT(9, record_code, auth_time),
	SLICE(10, record_code, sid),
	INT(11, record_code, redeemed_at),
	SLICE(12, record_code, refresh_id),
	SLICE(13, record_code, grant_id),
	INT(14, record_code, expires_at),
	END,
};

static const struct field session_fields[] = {
	SLICE(1, record_session, sid),
	USER(2, record_session, user),
	INT(3, record_session, auth_time),
	INT(4, record_session, created_at),
	INT(5, record_session, last_seen_at),
	INT(6, record_session, expires_at),
	SECRET(7, record_session, jwt),
	INT(8, record_session, jwt_expires_at),
	SLICE(9, record_session, user_agent),
	SLICE(10, record_session, address),
	BOOL(11, record_session, remember),
	END,
};

static const struct field refresh_fields[] = {
	SLICE(1, record_refresh, client_id),
	SLICE(2, record_refresh, scope),
	SLICE(3, record_refresh, nonce),
	STRINGS(4, record_refresh, audiences),
	USER(5, record_refresh, user),
	INT(6, record_refresh, auth_time),
	SLICE(7, record_refresh, sid),
	SLICE(8, record_refresh, current_hash),
	SLICE(9, record_refresh, previous_hash),
	SECRET(10, record_refresh, chain_secret),
	INT(11, record_refresh, created_at),
	INT(12, record_refresh, rotated_at),
	INT(13, record_refresh, last_used_at),
	INT(14, record_refresh, expires_at),
	BOOL(15, record_refresh, ended),
	INT(16, record_refresh, read_at),
	END,
};

static const struct field key_fields[] = {
	SLICE(1, record_key, alg),
	SECRET(2, record_key, private_pem),
	INT(3, record_key, state),
	INT(4, record_key, created_at),
	INT(5, record_key, active_at),
	INT(6, record_key, retired_at),
	INT(7, record_key, expires_at),
	INT(8, record_key, token_lifetime_s),
	END,
};

static const struct field approval_fields[] = {
	SLICE(1, record_approval, scope),
	INT(2, record_approval, approved_at),
	INT(3, record_approval, expires_at),
	INT(4, record_approval, withdrawn_at),
	END,
};

static const struct field client_fields[] = {
	SECRET(1, record_client, secret_hash),
	SLICE(2, record_client, name),
	SLICE(3, record_client, logo_url),
	SLICE(4, record_client, backchannel_logout_uri),
	STRINGS(5, record_client, redirect_uris),
	STRINGS(6, record_client, trusted_peers),
	STRINGS(7, record_client, allowed_connectors),
	STRINGS(8, record_client, post_logout_redirect_uris),
	BOOL(9, record_client, public),
	INT(10, record_client, created_at),
	INT(11, record_client, expires_at),
	STRINGS(12, record_client, grant_types),
	STRINGS(13, record_client, groups),
	STRINGS(14, record_client, claims),
	SLICE(15, record_client, signing_alg),
	BOOL(16, record_client, plain_subject),
	INT(17, record_client, id_tokens_s),
	INT(18, record_client, refresh_absolute_s),
	INT(19, record_client, refresh_idle_s),
	INT(20, record_client, changed_at),
	INT(21, record_client, revision),
	END,
};

static const struct field account_fields[] = {
	SECRET(1, record_account, hash),
	SLICE(2, record_account, email),
	SLICE(3, record_account, username),
	SLICE(4, record_account, name),
	SLICE(5, record_account, preferred_username),
	STRINGS(6, record_account, groups),
	BOOL(7, record_account, email_verified),
	INT(8, record_account, created_at),
	INT(9, record_account, changed_at),
	INT(10, record_account, expires_at),
	END,
};

static const struct field account_name_fields[] = {
	SLICE(1, record_account_name, user_id),
	INT(2, record_account_name, expires_at),
	END,
};

static const struct field revocation_fields[] = {
	SLICE(1, record_revocation, sid),
	INT(2, record_revocation, expires_at),
	END,
};

static const struct field ended_fields[] = {
	INT(1, record_ended, sequence),
	INT(2, record_ended, expires_at),
	END,
};

static const struct field feed_fields[] = {
	SLICE(1, record_feed, epoch),
	INT(2, record_feed, sequence),
	INT(3, record_feed, expires_at),
	END,
};

static const struct field person_session_fields[] = {
	SLICE(1, record_person_session, session_key),
	INT(2, record_person_session, expires_at),
	END,
};

static const struct field session_client_fields[] = {
	SLICE(1, record_session_client, connector_id),
	SLICE(2, record_session_client, user_id),
	INT(3, record_session_client, since),
	INT(4, record_session_client, expires_at),
	END,
};

static const struct field logout_notice_fields[] = {
	SLICE(1, record_logout_notice, client_id),
	SLICE(2, record_logout_notice, sid),
	SLICE(3, record_logout_notice, connector_id),
	SLICE(4, record_logout_notice, user_id),
	INT(5, record_logout_notice, created_at),
	INT(6, record_logout_notice, due_at),
	INT(7, record_logout_notice, attempts),
	INT(8, record_logout_notice, expires_at),
	END,
};

static const struct field device_fields[] = {
	SLICE(1, record_device, client_id),
	SLICE(2, record_device, scope),
	SLICE(3, record_device, user_code),
	SLICE(4, record_device, code_challenge),
	STRINGS(5, record_device, audiences),
	INT(6, record_device, pkce_method),
	BOOL(7, record_device, denied),
	INT(8, record_device, interval_s),
	INT(9, record_device, polled_at),
	INT(10, record_device, created_at),
	INT(11, record_device, valid_until),
	INT(12, record_device, expires_at),
	END,
};

static const struct field user_code_fields[] = {
	SLICE(1, record_user_code, device_key),
	INT(2, record_user_code, expires_at),
	END,
};

static const struct {
	const struct field *fields;
	size_t size, expires_at;
	const char *name;
} kinds[RECORD_KINDS] = {
#define KIND(fields, record, name) { (fields), sizeof(struct record), offsetof(struct record, expires_at), (name) }
	[RECORD_AUTH_REQUEST] = KIND(auth_request_fields, record_auth_request, "auth_request"),
	[RECORD_CODE] = KIND(code_fields, record_code, "code"),
	[RECORD_SESSION] = KIND(session_fields, record_session, "session"),
	[RECORD_REFRESH] = KIND(refresh_fields, record_refresh, "refresh"),
	[RECORD_KEY] = KIND(key_fields, record_key, "key"),
	[RECORD_APPROVAL] = KIND(approval_fields, record_approval, "approval"),
	[RECORD_CLIENT] = KIND(client_fields, record_client, "client"),
	[RECORD_ACCOUNT] = KIND(account_fields, record_account, "account"),
	[RECORD_ACCOUNT_NAME] = KIND(account_name_fields, record_account_name, "account_name"),
	[RECORD_REVOCATION] = KIND(revocation_fields, record_revocation, "revocation"),
	[RECORD_ENDED] = KIND(ended_fields, record_ended, "ended"),
	[RECORD_FEED] = KIND(feed_fields, record_feed, "feed"),
	[RECORD_PERSON_SESSION] = KIND(person_session_fields, record_person_session, "person_session"),
	[RECORD_SESSION_CLIENT] = KIND(session_client_fields, record_session_client, "session_client"),
	[RECORD_LOGOUT_NOTICE] = KIND(logout_notice_fields, record_logout_notice, "logout_notice"),
	[RECORD_DEVICE] = KIND(device_fields, record_device, "device"),
	[RECORD_USER_CODE] = KIND(user_code_fields, record_user_code, "user_code"),
};

const char *
record_kind_name(enum record_kind kind)
{
	return kinds[kind].name;
}

size_t
record_size(enum record_kind kind)
{
	return kinds[kind].size;
}

int64_t
record_expires_at(enum record_kind kind, const void *record)
{
	int64_t at;

	memcpy(&at, (const char *)record + kinds[kind].expires_at, sizeof(at));
	return at;
}

static void
add_head(struct buf *out, unsigned char tag, size_t n)
{
	char head[1 + LENGTH_BYTES_MAX];
	size_t at = 0;

	if (n > UINT32_MAX) {
		out->failed = true;
		return;
	}
	head[at++] = (char)tag;
	for (; n >= 0x80; n >>= 7)
		head[at++] = (char)(n | 0x80);
	head[at++] = (char)n;
	buf_add(out, head, at);
}

static void
add_int(struct buf *out, unsigned char tag, int64_t v)
{
	char bytes[8];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)((uint64_t)v >> (56 - 8 * i));
	add_head(out, tag, sizeof(bytes));
	buf_add(out, bytes, sizeof(bytes));
}

static void
add_slice(struct buf *out, unsigned char tag, struct slice s)
{
	add_head(out, tag, s.n);
	buf_add_slice(out, s);
}

static void
add_strings(struct buf *out, unsigned char tag, const struct record_strings *list)
{
	if (list->n > RECORD_LIST_MAX)
		out->failed = true; /* what could not be read again is not written */
	for (size_t i = 0; i < list->n && buf_ok(out); i++)
		add_slice(out, tag, list->items[i]);
}

/* Where the encoding stands: within, the tag of the user that a field is of, else 0. */
struct place {
	struct vault_box *box; /* NULL: nothing is sealed */
	unsigned within;
};

static void
add_secret(struct buf *out, unsigned char tag, struct slice s, const struct place *at)
{
	if (!at->box) {
		add_slice(out, tag, s);
		return;
	}
	add_head(out, (unsigned char)(tag | SEALED), s.n + VAULT_OVERHEAD_BYTES);
	vault_box_seal(at->box, at->within << 8 | tag, s, out);
}

static void encode(const struct field *f, const char *record, const struct place *at, struct buf *out);

static void
add_user(struct buf *out, unsigned char tag, const char *user, const struct place *at)
{
	struct place inside = { at->box, tag };
	struct buf inner;

	buf_init(&inner, 0);
	encode(user_fields, user, &inside, &inner);
	if (!buf_ok(&inner))
		out->failed = true;
	else if (inner.n)
		add_slice(out, tag, buf_slice(&inner));
	buf_fini_secret(&inner);
}

static void
encode(const struct field *f, const char *record, const struct place *at, struct buf *out)
{
	for (; f->tag; f++) {
		const void *value = record + f->offset;
		switch (f->type) {
		case FIELD_SLICE: {
			const struct slice *s = value;
			if (s->n)
				add_slice(out, f->tag, *s);
			break;
		}
		case FIELD_SECRET: {
			const struct slice *s = value;
			if (s->n)
				add_secret(out, f->tag, *s, at);
			break;
		}
		case FIELD_INT: {
			const int64_t *v = value;
			if (*v)
				add_int(out, f->tag, *v);
			break;
		}
		case FIELD_BOOL: {
			const bool *v = value;
			if (*v)
				add_slice(out, f->tag, SLICE_LIT("\x01"));
			break;
		}
		case FIELD_STRINGS:
			add_strings(out, f->tag, value);
			break;
		case FIELD_USER:
			add_user(out, f->tag, value, at);
			break;
		}
	}
}

void
record_encode_sealed(enum record_kind kind, const void *record, struct vault_box *box, struct buf *out)
{
	const struct place at = { box && box->vault ? box : NULL, 0 };

	encode(kinds[kind].fields, record, &at, out);
}

void
record_encode(enum record_kind kind, const void *record, struct buf *out)
{
	record_encode_sealed(kind, record, NULL, out);
}

bool
record_has_secrets(enum record_kind kind)
{
	for (const struct field *f = kinds[kind].fields; f->tag; f++)
		if (f->type == FIELD_SECRET || f->type == FIELD_USER)
			return true;
	return false;
}

/* Cuts the next field off *in. */
static enum err
next_field(struct slice *in, unsigned char *tag, struct slice *value)
{
	size_t at = 1;
	uint64_t n = 0;

	*tag = (unsigned char)in->p[0];
	for (unsigned shift = 0;; shift += 7) {
		if (at == in->n || at > LENGTH_BYTES_MAX)
			return E_FORMAT;
		unsigned char byte = (unsigned char)in->p[at++];
		n |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			break;
	}
	if (*tag == 0 || n > in->n - at)
		return E_FORMAT;
	*value = slice_of(in->p + at, (size_t)n);
	in->p += at + n;
	in->n -= at + (size_t)n;
	return OK;
}

static const struct field *
find_field(const struct field *f, unsigned char tag)
{
	for (; f->tag; f++)
		if (f->tag == tag)
			return f;
	return NULL;
}

/* Room for as many items as the tag occurs. */
static enum err
strings_allocate(struct slice bytes, unsigned char wanted, struct arena *arena, struct record_strings *list)
{
	size_t n = 0;

	while (bytes.n) {
		unsigned char tag;
		struct slice value;
		enum err e = next_field(&bytes, &tag, &value);
		if (e != OK)
			return e;
		n += tag == wanted;
	}
	if (n > RECORD_LIST_MAX)
		return E_FORMAT;
	list->items = arena_alloc(arena, n * sizeof(*list->items));
	return list->items ? OK : E_NOMEM;
}

static enum err decode(const struct field *fields, struct slice bytes, const struct place *at, struct arena *arena, char *record);

static enum err
take_secret(const struct field *f, bool sealed, struct slice value, const struct place *at, struct arena *arena, struct slice *target)
{
	if (sealed != (at->box != NULL))
		return E_FORMAT;
	if (sealed)
		return vault_box_open(at->box, at->within << 8 | f->tag, value, arena, target);
	*target = value;
	return OK;
}

/* whole: the bytes that the field stands in. */
static enum err
take_field(const struct field *f, unsigned char tag, struct slice value, struct slice whole, const struct place *at, struct arena *arena, void *target)
{
	struct place inside = { at->box, f->tag };

	switch (f->type) {
	case FIELD_SLICE:
		*(struct slice *)target = value;
		return OK;
	case FIELD_SECRET:
		return take_secret(f, tag & SEALED, value, at, arena, target);
	case FIELD_INT: {
		uint64_t v = 0;
		if (value.n != sizeof(v))
			return E_FORMAT;
		for (size_t i = 0; i < sizeof(v); i++)
			v = v << 8 | (unsigned char)value.p[i];
		*(int64_t *)target = (int64_t)v;
		return OK;
	}
	case FIELD_BOOL:
		if (!slice_eq(value, SLICE_LIT("\x01")))
			return E_FORMAT;
		*(bool *)target = true;
		return OK;
	case FIELD_STRINGS: {
		struct record_strings *list = target;
		enum err e = list->n ? OK : strings_allocate(whole, f->tag, arena, list);
		if (e == OK)
			list->items[list->n++] = value;
		return e;
	}
	case FIELD_USER:
		return decode(user_fields, value, &inside, arena, target);
	}
	return E_FORMAT;
}

static enum err
decode(const struct field *fields, struct slice bytes, const struct place *at, struct arena *arena, char *record)
{
	struct slice rest = bytes;
	uint64_t seen = 0; /* by place in the table */

	while (rest.n) {
		unsigned char tag;
		struct slice value;
		enum err e = next_field(&rest, &tag, &value);
		if (e != OK)
			return e;
		const struct field *f = find_field(fields, (unsigned char)(tag & ~SEALED));
		if (!f || ((tag & SEALED) && f->type != FIELD_SECRET))
			continue; /* a newer program's */
		uint64_t bit = UINT64_C(1) << (f - fields);
		if ((seen & bit) && f->type != FIELD_STRINGS)
			return E_FORMAT;
		seen |= bit;
		e = take_field(f, tag, value, bytes, at, arena, record + f->offset);
		if (e != OK)
			return e;
	}
	return OK;
}

enum err
record_decode(enum record_kind kind, struct slice bytes, struct arena *arena, void *record)
{
	return record_decode_sealed(kind, bytes, NULL, arena, record);
}

enum err
record_decode_sealed(enum record_kind kind, struct slice bytes, struct vault_box *box, struct arena *arena, void *record)
{
	const struct place at = { box && box->vault ? box : NULL, 0 };

	memset(record, 0, kinds[kind].size);
	struct slice copy = arena_slice(arena, bytes); /* every slice points into it */
	if (!copy.p)
		return E_NOMEM;
	return decode(kinds[kind].fields, copy, &at, arena, record);
}
