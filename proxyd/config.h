/* config.h - proxyd's configuration file, bound and checked whole before anything uses it. */
#ifndef PROXYD_CONFIG_H
#define PROXYD_CONFIG_H

#include "oidc/id_token.h"
#include "proxyd/forwarded_for.h"
#include "proxyd/kubeconfig.h"
#include "proxyd/token_file.h"
#include "shared/address.h"
#include "shared/clock.h"
#include "shared/bearer_file.h"
#include "shared/config.h"
#include "shared/file_watch.h"
#include "shared/log.h"

struct proxyd_listen {
	const char *address_text;
	struct {
		const char *cert_file, *key_file;
		int min_version; /* 0: 1.2, 1: 1.3 */
		struct slice cert_pem, key_pem; /* as read and checked: chain, leaf first, and its key. Workers use these, never the files */
	} tls;
	bool proxy_protocol; /* each connection begins with a header that says who calls (proxy_protocol.h) */
	struct address address;
	int line;
};

struct proxyd_jwt {
	struct {
		const char *url, *discovery_url, *certificate_authority; /* discovery_url: https://… or unix:/path of authd's socket */
		int audience_match_policy; /* MatchAny is the only one there is */
		struct config_strings audiences;
	} issuer;
	struct {
		struct { const char *claim, *prefix; } username, groups;
		struct { const char *claim; } uid;
	} claim_mappings;
	struct config_list claim_validation_rules; /* struct id_token_required */
	struct id_token_policy policy;             /* made of the above */
	struct slice ca_pem;                       /* of certificate_authority, which is a file or, as in Kubernetes, the PEM itself; empty: the system's */
	const char *socket;                        /* path of a unix discovery_url; NULL: fetched over https */
	int line;
};

enum { PROXYD_SESSION_ENDED_CUT, PROXYD_SESSION_ENDED_KEEP };
enum { PROXYD_HTTP2_WATCHES, PROXYD_HTTP2_NEVER };
enum { PROXYD_IMPERSONATE_REFUSED, PROXYD_IMPERSONATE_REVIEWED };
struct proxyd_cluster {
	const char *name;          /* DNS label */
	const char *kubeconfig;    /* file */
	const char *context;       /* NULL: current-context */
	int impersonate_others;    /* PROXYD_IMPERSONATE_* */
	int http2;                 /* PROXYD_HTTP2_*: what rides on shared connections to it */
	struct config_strings allowed_groups; /* one of them is needed; none: everybody who is known */
	struct kubeconfig target;  /* read from the file */
	struct config_strings servers;  /* HOST:PORT to connect to instead of the kubeconfig's server; none: that one */
	struct proxyd_server { const char *host; uint16_t port; } *server_items; /* of servers */
	int line;
};
#define PROXYD_CLUSTERS_MAX 64
#define PROXYD_ROUTES_MAX 256
#define PROXYD_AUDIENCES_MAX 8 /* a token each, at every look at a session */
#define PROXYD_LISTENERS_MAX 64
#define PROXYD_WORKERS_MAX 256

/* What a route's backend gets of the caller, and who may come. */
enum {
	PROXYD_ROUTE_AUTHD,       /* our own authd, which asks itself */
	PROXYD_ROUTE_BEARER,      /* the caller's ID token, as Authorization */
	PROXYD_ROUTE_FRONT_PROXY, /* X-Remote-User, -Group, -Uid, -Extra-* */
	PROXYD_ROUTE_SESSION,     /* nothing; people who are signed in in their browser */
	PROXYD_ROUTE_PUBLIC       /* nothing; everybody */
};
struct proxyd_route {
	const char *path;          /* prefix, begins with '/', ends at a segment */
	const char *host;          /* lower case, without port; NULL: any */
	const char *to;            /* "unix:/path", "https://host:port", "http://" with an address of this machine; a URL may have a path */
	int kind;                  /* PROXYD_ROUTE_* */
	bool strip_prefix;         /* the backend's paths begin behind path */
	const char *audience;      /* of PROXYD_ROUTE_BEARER: the client that ID tokens of sessions are made for; NULL: the issuer itself */
	size_t audience_at;        /* in id_token_audiences */
	struct { const char *certificate_authority, *cert_file, *key_file, *server_name; } tls;
	struct config_strings allowed_groups;  /* as a cluster's */
	struct config_strings allowed_origins; /* whose pages are taken for our own */
	struct address address;    /* of unix:/path, else len is 0 */
	struct kubeconfig target;  /* of a URL: where, CA, client certificate */
	bool plain;                /* of a URL: no TLS */
	int line;
};

struct proxyd_config {
	const char *file;
	struct arena arena;
	struct arena secrets;        /* private keys, and kubeconfigs as a whole: their trees hold keys and tokens */
	struct config_list listen;   /* proxyd_listen */
	struct config_strings trusted_proxies_text;
	struct trusted_proxies trusted_proxies; /* whose word about who is calling is taken */
	int64_t workers;             /* 0: one per CPU; 1..256 */
	const char *user;            /* to become when started as root; NULL: stay */
	bool reload_on_change;       /* a change of this file counts as HUP; of files that it names, it always does */
	const char *pid_file;        /* where the master that serves writes its number; NULL: nowhere */
	int sandbox;                 /* 0: what the kernel has; 1: all of it, or proxyd does not start */
	struct {
		struct config_list jwt;  /* proxyd_jwt */
		struct {
			const char *issuer;      /* NULL: the first jwt with a unix discoveryURL */
			const char *cookie_name; /* default __Host-gatehouse */
			const char *revocations_secret_file; /* NULL: ended sessions are heard of at authd's socket, or not at all */
			char revocations_secret[BEARER_BYTES_MAX + 1]; /* the first of that file, for the keeper; "": none. It reads which sessions have ended, and nothing else */
		} session;
		struct { const char *certificate_authority; struct slice ca_pem; } client_certificate; /* a file, or the PEM itself; empty: nobody is asked */
		const char *token_file;  /* NULL: none */
		struct { int session_ended; int64_t token_expired_ms; } long_running; /* PROXYD_SESSION_ENDED_*: cut; 8h: what becomes of watches, streams and tunnels (lasting.h) */
		bool how_extra;          /* extra gatehouse/how says upstream how a caller was proven */
		struct { bool enabled; struct config_strings audiences; } token_review; /* audiences empty: the apiserver's own */
	} authentication;
	struct config_list clusters; /* proxyd_cluster; the first, or the one called "default", is served at the root */
	struct config_list routes;   /* proxyd_route: with a host first, then longest path first */
	struct {
		int64_t header_bytes;        /* 65536; 4096..1048576 */
		int64_t header_timeout_ms;   /* 10s */
		int64_t idle_timeout_ms;     /* 5m: a kept client connection without a request */
		int64_t body_timeout_ms;     /* 1m: no byte of a request body that is being sent */
		int64_t body_rate;           /* 240 bytes a second: what a request body has to make over BODY_WINDOW_MS; 0: whatever */
		int64_t upstream_connect_timeout_ms; /* 5s */
		int64_t upstream_idle_timeout_ms;    /* 60s: below Go's 90 s, so that we close first */
		int64_t tunnel_idle_timeout_ms; /* 1h: an upgraded connection without a byte either way */
		int64_t drain_timeout_ms;    /* 30s: how long requests of old workers may take after HUP, and everything after QUIT */
		int64_t tunnel_drain_timeout_ms; /* 8h: how long streams and tunnels of old workers may; at least drainTimeout */
		int64_t watch_max_age_ms;    /* 1h; 0: as long as the cluster lets it go on */
		int64_t upgrade_timeout_ms;  /* 1m: how long a new program may take until it is ready */
		int64_t connections;         /* per worker; 0: from the open files limit */
		int64_t connections_per_address; /* per worker, as are the following; 0: no limit */
		int64_t request_rate_per_address, request_rate_per_identity; /* a second; 0: no limit */
		int64_t refusal_rate_per_address; /* 50 a second: credentials that were no good, before new ones are not looked at; 0: no limit */
		int64_t requests_in_flight;  /* 4096: not answered yet; past it whoever has most is refused; 0: no limit */
		int64_t requests_in_flight_per_identity; /* 0: no limit */
		int64_t token_bytes;         /* 8192 */
		int64_t identities;          /* remembered verifications per worker; 65536 */
	} limits;
	struct { const char *address_text; struct address address; int line; } admin; /* address_text NULL: none */
	struct { int level, format; const char *file; int line; } log; /* file NULL: standard error */
	struct { const char *file; int level; int line; } audit;       /* file NULL: no events; level: Metadata is the only one there is */

	/* derived */
	struct file_watch self, files;        /* this file; and those that it names, tokens of clusters excepted (credentials.h) */
	struct token_file tokens;             /* of authentication.tokenFile */
	const struct proxyd_jwt *session_jwt; /* whose cookie counts; NULL: no sessions */
	const struct proxyd_jwt *revocations_jwt; /* whose ended sessions are heard of: session_jwt, or an issuer elsewhere, by https; NULL: nobody's */
	struct address session_socket;        /* authd's, from its discoveryURL */
	struct config_strings id_token_audiences; /* what routes name, each once */
};

#define PROXYD_SKEW_S 10 /* how far an issuer's clock may be from ours */

/* Read, bind and check everything: files, certificates and keys (pair, expiry), addresses, kubeconfigs. Refuses any program the
 * config names that proxyd would have to run. E_FORMAT, E_SYSTEM, E_NOMEM with e filled "FILE:LINE: key: …".
 * *out is one allocation, freed by proxyd_config_free. */
MUST_CHECK enum err proxyd_config_load(const char *path, const struct clock *clock, struct proxyd_config **out, struct config_error *e);
void proxyd_config_free(struct proxyd_config *c);
/* Wipe private keys and everything of the kubeconfigs (target becomes empty), and routes' client certificates, in a process that has no use for them. */
void proxyd_config_forget_secrets(struct proxyd_config *c);
const struct proxyd_cluster *proxyd_config_default_cluster(const struct proxyd_config *c);

#endif
