/* h2_guard.h - what a client, or an upstream, sends, looked at frame by frame before the library sees it: what costs us more than its sender is counted, and
 * frames that cannot be are refused. The library passes over some of them in silence.
 *
 * Pure. One per connection; zeroed is a fresh one.   Spec: RFC 9113 sections 4.1, 5.1, 5.1.1, 10.5; CVE-2023-44487 (rapid reset), CVE-2025-8671 (resets
 * that the server is made to send), CVE-2024-28182 (CONTINUATION), CVE-2019-9512, -9513, -9515, -9518 (PING, PRIORITY, SETTINGS, empty frames) */
#ifndef PROXYD_H2_GUARD_H
#define PROXYD_H2_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Streams given up before they were answered, by the client's reset or by one that a fault of the client made us send. */
#define H2_GUARD_RESETS_PER_S 100
#define H2_GUARD_ANSWER_RESETS_PER_S 500 /* of a server that ends all that runs on a connection */
/* SETTINGS, PING, PRIORITY and frames of other kinds that carry nothing, DATA without a byte. Go's client sends a PING with the first reset of a
 * series and one per 15 to 30 s of silence; browsers reprioritise each asset of a page: a hundred at once are somebody's habit. */
#define H2_GUARD_CONTROLS_PER_S 10
#define H2_GUARD_CONTROLS_BURST 100
#define H2_GUARD_CONTINUATIONS_MAX 8
/* Streams that the client has ended lately: nothing more may come for them. */
#define H2_GUARD_CLOSED 32

#define H2_PREFACE_BYTES 24
#define H2_FRAME_HEAD_BYTES 9

struct h2_guard {
	bool begun;                 /* the preface is being counted down */
	bool answers;               /* the peer is a server: h2_guard_answers */
	unsigned char head[H2_FRAME_HEAD_BYTES]; /* of a frame: head_n bytes are there */
	unsigned head_n;
	uint32_t left;              /* bytes before the next frame's head */
	uint32_t padded;            /* length of a DATA frame whose first byte will say how much of it is padding */
	bool in_head, head_ends;    /* from HEADERS on until a frame that has END_HEADERS is whole */
	unsigned heads;             /* how many have begun */
	unsigned continuation_n;
	uint32_t last_id, gap_from, gap_to; /* gap: streams that were left out most recently; they can never be opened (RFC 9113 section 5.1.1) */
	uint32_t closed[H2_GUARD_CLOSED];
	unsigned closed_at;
	uint64_t reset_second_ms, control_ms; /* when counting began, when the bucket was looked at last */
	unsigned reset_n, control_n;          /* in this second; in the bucket */
};

/* The peer answers: it has no preface and opens no streams; it may reset what we have opened, each once; nothing of ours is so long that it had to widen a window. A fresh one. */
void h2_guard_answers(struct h2_guard *g);

enum h2_fault { H2_FAULT_NONE, H2_FAULT_FLOOD, H2_FAULT_STREAM_CLOSED, H2_FAULT_STREAM_ID };

/* The next n bytes from the wire, each once. *ok: how many may be used, all of them but with a fault. now_ms: monotonic. */
enum h2_fault h2_guard_frames(struct h2_guard *g, const char *p, size_t n, uint64_t now_ms, size_t *ok);
/* How many of the next n bytes, n > 0, belong to one frame: to the one that began before, or, with *begins, to the one that begins here. */
size_t h2_guard_frame(const struct h2_guard *g, const char *p, size_t n, bool *begins);
/* A request's head has begun and is not whole, or the preface is not. */
bool h2_guard_in_head(const struct h2_guard *g);
/* The stream is closed, and the client had said before that it sends nothing more for it. (RST_STREAM is noted without this.) */
void h2_guard_closed(struct h2_guard *g, uint32_t id);
/* One more stream given up. False: too many. */
bool h2_guard_reset(struct h2_guard *g, uint64_t now_ms);

#endif
