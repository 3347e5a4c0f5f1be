/* lasting.h - exchanges that go on for as long as the client likes, and what ends them nevertheless.
 *
 *                 at limits.watchMaxAge   its worker drains    session ended, token expired
 *   watch         ends                    ends                 ends
 *   stream        -                       cut with tunnels     cut      followed logs, what goes through …/proxy
 *   tunnel        -                       cut with tunnels     cut      exec, attach, port-forward
 *
 * A watch ends as kube-apiserver's own do: behind a whole event, its answer complete, so that clients ask again from there. When many end for the same reason they do so one after
 * the other, for each is asked for again. The other two cannot end so that nobody notices: cut, so that nobody takes them for complete.
 * authentication.longRunning says what the last column does. */
#ifndef PROXYD_LASTING_H
#define PROXYD_LASTING_H

#include "proxyd/gateway.h"
#include "proxyd/watch_events.h"

struct exchange;

#define LASTING_END_MS 5000 /* a watch that could not end between two events by then is cut */

enum lasting_kind { LASTING_NOT, LASTING_WATCH, LASTING_STREAM, LASTING_TUNNEL };

struct lasting {
	enum lasting_kind kind;
	bool ending;             /* a watch: at its next whole event */
	uint64_t ends_at_ms;     /* UINT64_MAX: nothing ends it */
	const char *why;         /* static: what will */
	struct exchange *next, *prev;
	struct loop_timer timer;
	struct watch_events events;
};

/* Whose request, without a body, asks for a watch. */
bool lasting_will_watch(const struct exchange *x);
/* What an exchange is whose answer begins; LASTING_NOT: an ordinary request. */
enum lasting_kind lasting_kind_of(const struct exchange *x, const struct http_head *answer);
/* It is on the gateway's list from now on. answer: its head, of a watch. May end the exchange only from the loop. */
void lasting_begin(struct exchange *x, enum lasting_kind kind, const struct http_head *answer);
void lasting_over(struct exchange *x);

/* The worker drains, for so long. Watches end in the first three quarters of that. */
void lasting_drain(struct gateway *g, uint64_t within_ms);
/* Connections that streams and tunnels use: client->stays. Returns how many of both there are. */
size_t lasting_mark_stays(struct gateway *g);
/* Sessions have ended: theirs end. */
void lasting_look(struct gateway *g);

#endif
