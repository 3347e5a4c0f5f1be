/* record.h - what authd keeps: plain structs, and their encoding as bytes (tag, length, value; unknown tags are skipped, so that an
 * older program reads a newer file). Slices in a decoded record live in the arena given. No LMDB here. */
#ifndef AUTHD_RECORD_H
#define AUTHD_RECORD_H

#include "authd/vault.h"
#include "shared/arena.h"
#include "shared/buf.h"

#define RECORD_GROUPS_MAX 1000
#define RECORD_LIST_MAX 1000

struct record_strings {
	struct slice *items;
	size_t n;
};

/* A person as a connector described them. */
struct record_user {
	struct slice connector_id, user_id; /* identity: never the login name alone */
	struct slice username, preferred_username, email;
	bool email_verified;
	struct record_strings groups;
	struct slice connector_data; /* the connector's own, e.g. upstream token for re-reading groups */
};

/* A sign-in under way. Key: random id. Bounded and short-lived. */
struct record_auth_request {
	struct slice client_id, redirect_uri, state, nonce, scope, response_mode, code_challenge;
	struct record_strings audiences;
	int64_t response_type, pkce_method, prompt, max_age_s;
	struct slice login_hint;
	struct slice device_key;      /* of a record_device: the person signs in for a device, and is asked in any case */
	struct slice user_code;       /* its code, shown once more */
	struct slice return_to;       /* console sign-in: a same-origin path, instead of a client */
	struct slice browser_hash;    /* SHA-256 of the pre-login cookie: knowing the id or state alone yields nothing (CVE-2022-39222) */
	struct slice connector_id;    /* chosen */
	struct slice upstream_verifier; /* PKCE towards the connector */
	bool upstream_pending;        /* the connector's answer is awaited: single use */
	bool logged_in;
	struct record_user user;      /* when logged_in */
	int64_t auth_time;
	struct slice sid;
	int64_t created_at, expires_at;
	bool remember;                /* the session is to outlive the browser's window */
};

/* Key: SHA-256 of the code. Kept after redemption until expires_at, so that a second redemption is seen. */
struct record_code {
	struct slice client_id, redirect_uri, nonce, scope, code_challenge;
	struct record_strings audiences;
	int64_t pkce_method;
	struct record_user user;
	int64_t auth_time;
	struct slice sid;
	int64_t redeemed_at;      /* 0: not yet */
	struct slice refresh_id;  /* family issued for it */
	struct slice grant_id;    /* carried by its access tokens, so that they can be ended */
	int64_t expires_at;
};

/* A device that waits for somebody to sign in for it (RFC 8628). Key: SHA-256 of the device code. When they agree, a record_code takes its place under the same
 * key. */
struct record_device {
	struct slice client_id, scope, user_code, code_challenge;
	struct record_strings audiences;
	int64_t pkce_method;
	bool denied;
	int64_t interval_s, polled_at;   /* how often the client may ask; when it did */
	int64_t created_at, valid_until;
	int64_t expires_at;              /* kept a little longer, so that the client is told that it is too late */
};
/* Key: the user code, eight letters. */
struct record_user_code {
	struct slice device_key;
	int64_t expires_at;
};

/* Browser session. Key: SHA-256 of the cookie's secret. */
struct record_session {
	struct slice sid;         /* public name of the session; goes into tokens */
	struct record_user user;
	int64_t auth_time, created_at, last_seen_at, expires_at;
	struct slice jwt;         /* the session's current signed JWT */
	int64_t jwt_expires_at;
	struct slice user_agent, address;
	bool remember;
};

/* Refresh token family. Key: id (random, the token's first part). */
struct record_refresh {
	struct slice client_id, scope, nonce;
	struct record_strings audiences;
	struct record_user user;
	int64_t auth_time;
	struct slice sid;
	struct slice current_hash, previous_hash; /* SHA-256 of the secret part */
	struct slice chain_secret; /* next secret = HMAC(chain_secret, presented secret): the same successor for concurrent refreshes, nothing reusable stored */
	int64_t created_at, rotated_at, last_used_at, expires_at;
	bool ended;               /* replay seen, logged out or revoked: stays until expires_at, so that it is refused and not unknown */
	int64_t read_at;          /* when the connector described the person last; 0: when created_at */
};

enum record_key_state { RECORD_KEY_NEXT, RECORD_KEY_ACTIVE, RECORD_KEY_RETIRED };
/* Signing key. Key: kid. */
struct record_key {
	struct slice alg;         /* "RS256", "ES256" */
	struct slice private_pem; /* PKCS#8; never printed */
	int64_t state, created_at, active_at, retired_at;
	int64_t expires_at;       /* of a retired key: when the last token signed by it has expired */
	int64_t token_lifetime_s; /* of the longest token that it may have signed */
};

/* Consent remembered. Key: user sub NUL client id. */
struct record_approval {
	struct slice scope;      /* empty: withdrawn */
	int64_t approved_at, expires_at;
	int64_t withdrawn_at;    /* what was granted until then has ended; 0: never */
};

/* A client beside those of the configuration. Key: its id. */
struct record_client {
	struct slice secret_hash; /* SHA-256; empty: a public client without a secret */
	struct slice name, logo_url, backchannel_logout_uri;
	struct record_strings redirect_uris, trusted_peers, allowed_connectors, post_logout_redirect_uris;
	bool public;
	int64_t created_at, expires_at; /* expires_at 0: never */
	/* what the configuration can say of one client alone; all of it empty in records of before */
	struct record_strings grant_types, groups;
	struct record_strings claims;   /* of each three: its name, its text, what it is taken from; one of the last two is empty */
	struct slice signing_alg;       /* "RS256", "ES256"; empty: the issuer's */
	bool plain_subject;
	int64_t id_tokens_s, refresh_absolute_s, refresh_idle_s;
	int64_t changed_at, revision;   /* revision: one more with each change */
};

/* Somebody with a local password, beside those of the configuration. Key: user id. */
struct record_account {
	struct slice hash; /* bcrypt */
	struct slice email, username, name, preferred_username;
	struct record_strings groups;
	bool email_verified;
	int64_t created_at, changed_at, expires_at; /* expires_at 0: never */
};
/* What somebody may type to sign in. Key: "email:" and the address in lower case, or "username:" and the user name. */
struct record_account_name {
	struct slice user_id;
	int64_t expires_at; /* 0: never */
};

/* A session that was ended before its tokens expired, for who follows such news. Key: its sequence number, 8 bytes, big-endian. */
struct record_revocation {
	struct slice sid;
	int64_t expires_at;  /* when the last token with this sid has expired */
};
/* The same by its sid. */
struct record_ended {
	int64_t sequence, expires_at;
};
/* Of the news as a whole: one record. */
struct record_feed {
	struct slice epoch;  /* random: a store that was made anew is noticed by it */
	int64_t sequence;    /* last number given */
	int64_t expires_at;  /* 0: never */
};

/* A session among those of its person. Key: SHA-256 of the person's sub, sid. */
struct record_person_session {
	struct slice session_key; /* of its record_session */
	int64_t expires_at;       /* its absolute end: never before the session's own */
};
/* A client that was given tokens in a session. Key: sid "." client id. */
struct record_session_client {
	struct slice connector_id, user_id; /* whose session it is */
	int64_t since, expires_at;          /* expires_at: not before the session's absolute end, nor that of the tokens; 0: never */
};
/* A client that has to be told that a session has ended. Key: logout_notice.c's; sorts by client, then by due_at. */
struct record_logout_notice {
	struct slice client_id, sid, connector_id, user_id;
	int64_t created_at, due_at, attempts, expires_at;
};

/* A kind's number stands in its records' checksums: new ones go last. */
enum record_kind {
	RECORD_AUTH_REQUEST, RECORD_CODE, RECORD_SESSION, RECORD_REFRESH, RECORD_KEY, RECORD_APPROVAL, RECORD_CLIENT, RECORD_ACCOUNT,
	RECORD_ACCOUNT_NAME, RECORD_REVOCATION, RECORD_ENDED, RECORD_FEED, RECORD_PERSON_SESSION, RECORD_SESSION_CLIENT, RECORD_LOGOUT_NOTICE,
	RECORD_DEVICE, RECORD_USER_CODE, RECORD_KINDS
};

/* "session", "refresh" …, for messages and tables. */
const char *record_kind_name(enum record_kind kind);
/* record: the struct of that kind. out fails (buf_ok) for a list of more than RECORD_LIST_MAX. */
void record_encode(enum record_kind kind, const void *record, struct buf *out);
/* *record is zeroed, then filled. E_FORMAT: damaged bytes. */
MUST_CHECK enum err record_decode(enum record_kind kind, struct slice bytes, struct arena *arena, void *record);
/* The same with a record's secrets sealed (vault.h); box->vault NULL, or box NULL: as above. Once a store is sealed a secret that is not is damage: whoever
 * may write the file could otherwise bring a key of their own. E_FORMAT also: sealed, and no vault. */
void record_encode_sealed(enum record_kind kind, const void *record, struct vault_box *box, struct buf *out);
MUST_CHECK enum err record_decode_sealed(enum record_kind kind, struct slice bytes, struct vault_box *box, struct arena *arena, void *record);
/* Whether records of that kind have secrets. */
bool record_has_secrets(enum record_kind kind);
size_t record_size(enum record_kind kind);
/* expires_at of a record of that kind; 0: never expires. */
int64_t record_expires_at(enum record_kind kind, const void *record);

#endif
