#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include "proxyd/impersonate.h"
#include "proxyd/principal.h"

/* What is allocated: this, then arrays of slices, then bytes. */
struct held {
	struct principal principal; /* first: callers hold a pointer to it */
	struct slice token;
	size_t bytes;
};

void
principal_ref(struct principal *p)
{
	p->refs++;
}

void
principal_unref(struct principal *p)
{
	if (!p)
		return;
	assert(p->refs > 0);
	if (--p->refs > 0)
		return;
	struct held *h = (struct held *)p;
	OPENSSL_cleanse(h, h->bytes); /* a session's token is a credential */
	free(h);
}

struct slice
principal_token(const struct principal *p)
{
	return ((const struct held *)p)->token;
}

/* Where copies go. Measures while p is NULL; everything with an alignment is taken before any bytes are. */
struct pack {
	char *p;
	size_t n;
};

static void *
pack_take(struct pack *k, size_t n)
{
	void *at = k->p ? k->p + k->n : NULL;
	k->n += n;
	return at;
}

static struct slice
pack_bytes(struct pack *k, struct slice s)
{
	char *at = pack_take(k, s.n);

	if (!at)
		return SLICE_NONE;
	if (s.n)
		memcpy(at, s.p, s.n);
	return slice_of(at, s.n);
}

static void
pack_values(struct pack *k, struct slice *to, const struct slice *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct slice copy = pack_bytes(k, from[i]);
		if (to)
			to[i] = copy;
	}
}

/* The same walk measures and copies. */
static void
pack_principal(struct pack *k, const struct identity *id, struct slice headers, struct slice token)
{
	struct held *h = pack_take(k, sizeof(*h)), measured;
	struct slice *groups = pack_take(k, id->group_n * sizeof(*groups)), *values[IDENTITY_EXTRA_MAX];
	struct identity_extra *extra = pack_take(k, id->extra_n * sizeof(*extra));

	for (size_t i = 0; i < id->extra_n; i++)
		values[i] = pack_take(k, id->extra[i].n * sizeof(**values));
	if (!h)
		h = &measured;
	h->principal.identity = *id;
	h->principal.identity.username = pack_bytes(k, id->username);
	h->principal.identity.uid = pack_bytes(k, id->uid);
	h->principal.identity.issuer = pack_bytes(k, id->issuer);
	h->principal.identity.sid = pack_bytes(k, id->sid);
	h->principal.identity.id_tokens = pack_bytes(k, id->id_tokens);
	h->principal.identity.groups = groups;
	h->principal.identity.extra = extra;
	pack_values(k, groups, id->groups, id->group_n);
	for (size_t i = 0; i < id->extra_n; i++) {
		struct slice key = pack_bytes(k, id->extra[i].key);
		if (extra)
			extra[i] = (struct identity_extra){ key, values[i], id->extra[i].n };
		pack_values(k, values[i], id->extra[i].values, id->extra[i].n);
	}
	h->principal.headers = pack_bytes(k, headers);
	h->token = pack_bytes(k, token);
}

static struct held *
held_new(const struct identity *id, struct slice headers, struct slice token)
{
	struct pack k = { NULL, 0 };

	pack_principal(&k, id, headers, token);
	size_t bytes = k.n;
	k = (struct pack){ malloc(bytes), 0 };
	if (!k.p)
		return NULL;
	pack_principal(&k, id, headers, token);
	assert(k.n == bytes);
	struct held *h = (struct held *)(void *)k.p;
	h->bytes = bytes;
	return h;
}

enum err
principal_new(const struct identity *id, struct slice token, int64_t expires_at, int64_t refresh_at, struct principal **out)
{
	struct buf headers;

	buf_init(&headers, 0);
	enum err e = impersonate_block(id, &headers); /* also bounds what is copied */
	struct held *h = e == OK ? held_new(id, buf_slice(&headers), token) : NULL;
	buf_fini(&headers);
	if (!h)
		return e == OK ? E_NOMEM : e;
	h->principal.expires_at = expires_at;
	h->principal.refresh_at = refresh_at;
	h->principal.lane = NULL;
	h->principal.refs = 1;
	*out = &h->principal;
	return OK;
}
