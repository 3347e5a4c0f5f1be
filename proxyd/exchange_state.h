/* exchange_state.h - an exchange from inside: for exchange*.c, admission*.c and relay.c only. */
#ifndef PROXYD_EXCHANGE_STATE_H
#define PROXYD_EXCHANGE_STATE_H

#include "proxyd/access_log.h"
#include "proxyd/exchange.h"
#include "proxyd/impersonation.h"
#include "proxyd/lasting.h"
#include "proxyd/review_client.h"
#include "proxyd/route.h"
#include "proxyd/session_client.h"
#include "proxyd/tunnel.h"

enum exchange_phase { EXCHANGE_ADMISSION, EXCHANGE_WAITING, EXCHANGE_ASKING, EXCHANGE_CONNECTING, EXCHANGE_RELAYING, EXCHANGE_TUNNEL };

struct exchange {
	struct exchange *next;
	struct gateway *gateway;
	const struct front_ops *ops;
	void *front;
	const struct front_context *context;
	const unsigned char *address; /* whose requests limits count: the connection's, or forwarded_ip */
	struct request *request;  /* NULL: released */
	struct destination *to;   /* NULL: not routed, or nowhere */
	struct principal *principal;
	struct impersonation *as; /* whom the caller wants to be; NULL: themselves */
	struct session_wait wait;
	struct review_wait review;
	struct upstream_call call;
	struct lasting lasting;
	struct loop_timer timer;  /* a body or tunnel that does not move */
	struct turn_lane *lane;   /* on whose account it is */
	struct turn turn;         /* waits for the next one of that lane */
	enum exchange_phase phase;
	enum http_method method;
	enum http_upgrade upgrade; /* asked for */
	bool retried;
	struct ip forwarded_ip;   /* who called the trusted proxy whose connection it is */
	bool in_flight;           /* counted, under flight_key */
	uint64_t flight_key[2];
	const char *late;         /* an answer that is held back until the timer is due; NULL: none */
	struct access_kept *kept; /* for the log, once the head is released */
	const char *why;          /* static: what went wrong, for the log */
	char id[EXCHANGE_ID_BYTES];
	uint64_t window_ms, window_bytes; /* since when, and from which of bytes_up on, the body's rate is measured */
	bool up_held;             /* since then the upstream made it wait */
	uint64_t started_ms, moved_ms; /* moved: a byte of a body or tunnel, or the start */
	uint64_t bytes_up, bytes_down;
	unsigned status;          /* of the answer; 0: none yet */
	uint64_t forwarded_ms, answered_ms; /* a connection was asked for; the upstream's answer began; 0: not yet */
	char audit_id[ACCESS_AUDIT_ID_BYTES_MAX]; /* what the upstream calls this request */
	uint8_t audit_id_n;

	/* request, going up */
	struct block *up;         /* data[from..to) is framed and waits to be written */
	enum http_framing up_framing;
	bool up_written;          /* the connection took at least a byte */
	bool up_ended;            /* all of the body has been taken from the front */
	bool up_done;             /* and has been written */
	bool up_broken;           /* the upstream takes no more of it; it may have answered before */
	bool continued;           /* 100 has been sent */

	/* answer, coming down */
	struct block *down;       /* data[from..to): not decoded yet; held by the front while blocked */
	size_t down_scanned;
	bool down_any;            /* the upstream has sent a byte */
	bool down_head;           /* the answer's head went to the front */
	bool down_done;           /* so did its end */
	bool down_eof;
	bool blocked;             /* the front has the block */
	bool keep;                /* the upstream lets its connection go on */
	enum http_framing down_framing;
	uint64_t down_left;       /* FRAMING_LENGTH */
	union {
		struct http_chunk down_chunk; /* FRAMING_CHUNKED */
		struct tunnel tunnel;         /* phase EXCHANGE_TUNNEL */
	};
};
/* The client's, or that of whom a trusted proxy forwards. */
struct slice exchange_client_ip(const struct exchange *x, char text[IP_TEXT_MAX]);

/* exchange_end.c: what others end with. The exchange may not exist afterwards. */
void exchange_finish(struct exchange *x);
void exchange_answer(struct exchange *x, unsigned code, const char *message);
void exchange_redirect(struct exchange *x, const char *location);
/* 403, in words that kubectl shows whatever it asked for. */
void exchange_forbid(struct exchange *x, const char *message);
/* 200 with a body of our own. */
void exchange_answer_json(struct exchange *x, struct slice json);
/* A limit says no: 429, at once or, as long as not too many wait, a while later. Whoever asks again and again as soon as there is an answer is slowed
 * down by it; whoever heeds Retry-After notices nothing. */
#define EXCHANGE_LATE_MS 1000
#define EXCHANGES_LATE_MAX 4096
void exchange_limit(struct exchange *x, enum limit limit);
/* Not waited for any more: over, or an answer that goes on for a while. */
void exchange_leave_flight(struct exchange *x);
bool exchange_wants_hsts(const struct exchange *x);
/* A long answer, or a tunnel, goes on without the request's head. */
void exchange_release_head(struct exchange *x);
/* On again when its lane has its next turn: whatever its phase is. */
void exchange_take_turn(struct exchange *x);
/* Bytes have been moved since there were so many: a long body is more work than an event or two. */
void exchange_charge(struct exchange *x, uint64_t bytes_before);
/* In so many milliseconds it is looked at. */
void exchange_watch_for_stall(struct exchange *x, uint64_t delay_ms);
/* Its memory is the next one's. */
void exchange_recycle(struct exchange *x);
/* lasting.c's: cut it, or let a watch end with the event that it is in; x->why is set. */
void exchange_cut(struct exchange *x);
void exchange_end_watch(struct exchange *x);
/* x->to, x->request and, for a cluster, x->principal are there: connect and relay. */
void exchange_forward(struct exchange *x);

/* exchange_tunnel.c: the upstream has switched; whatever moves bytes; the timer is due. */
void exchange_start_tunnel(struct exchange *x);
void exchange_run_tunnel(struct exchange *x);
void exchange_tunnel_due(struct exchange *x);

/* admission.c: from the parsed head to exchange_forward, or to an answer of our own. */
void admission_start(struct exchange *x);
/* EXCHANGE_WAITING, and the next turn has come. */
void admission_go_on(struct exchange *x);
void admission_on_session(struct session_wait *w, enum session_answer answer, struct principal *principal);
void admission_on_token_review(struct review_wait *w, enum review_verdict verdict, struct principal *principal, const char *why);
/* admission_as.c: the caller has sent Impersonate-* headers to a cluster that is asked about such. Ends in exchange_forward, or an answer. */
void admission_as(struct exchange *x);

#endif
