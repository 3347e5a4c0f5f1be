#include <string.h>
#include "proxyd/h2_guard.h"

/* RFC 9113 section 6 */
enum { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_RST_STREAM = 3, FRAME_WINDOW_UPDATE = 8, FRAME_CONTINUATION = 9 };
enum { FLAG_END_STREAM = 0x1, FLAG_END_HEADERS = 0x4, FLAG_PADDED = 0x8 };

struct frame {
	uint32_t length, id;
	unsigned type, flags;
};

bool
h2_guard_reset(struct h2_guard *g, uint64_t now_ms)
{
	if (now_ms - g->reset_second_ms >= 1000) {
		g->reset_second_ms = now_ms;
		g->reset_n = 0;
	}
	return ++g->reset_n < (g->answers ? H2_GUARD_ANSWER_RESETS_PER_S : H2_GUARD_RESETS_PER_S);
}

void
h2_guard_answers(struct h2_guard *g)
{
	g->begun = g->answers = true;
}

void
h2_guard_closed(struct h2_guard *g, uint32_t id)
{
	g->closed[g->closed_at++ % H2_GUARD_CLOSED] = id;
}

/* A bucket that drains at the allowed rate and may not run over. */
static enum h2_fault
count_control(struct h2_guard *g, uint64_t now_ms)
{
	uint64_t drained = (now_ms - g->control_ms) * H2_GUARD_CONTROLS_PER_S / 1000;

	if (drained) {
		g->control_n = drained < g->control_n ? g->control_n - (unsigned)drained : 0;
		g->control_ms = now_ms;
	}
	return ++g->control_n <= H2_GUARD_CONTROLS_BURST ? H2_FAULT_NONE : H2_FAULT_FLOOD;
}

static bool
is_closed(const struct h2_guard *g, uint32_t id)
{
	/* Nearly always it is the newest stream there is. */
	for (size_t i = 0; id <= g->last_id && i < H2_GUARD_CLOSED; i++)
		if (g->closed[i] == id)
			return true;
	return false;
}

/* Streams are opened in ascending order. Behind one that was opened none of those that were left out can be. */
static enum h2_fault
check_id(struct h2_guard *g, uint32_t id)
{
	if (id > g->last_id) {
		if (id > g->last_id + 2) {
			g->gap_from = g->last_id + 1;
			g->gap_to = id - 1;
		}
		g->last_id = id;
	} else if (id >= g->gap_from && id <= g->gap_to && id % 2 == 1) {
		return H2_FAULT_STREAM_ID;
	}
	return H2_FAULT_NONE;
}

static enum h2_fault
look(struct h2_guard *g, const struct frame *f, uint64_t now_ms)
{
	if (g->in_head && f->type == FRAME_CONTINUATION) {
		g->head_ends = f->flags & FLAG_END_HEADERS;
		return ++g->continuation_n <= H2_GUARD_CONTINUATIONS_MAX ? H2_FAULT_NONE : H2_FAULT_FLOOD;
	}
	g->in_head = false;
	switch (f->type) {
	case FRAME_DATA:
		if (f->id && is_closed(g, f->id))
			return H2_FAULT_STREAM_CLOSED;
		if (f->flags & FLAG_END_STREAM)
			return H2_FAULT_NONE;
		if (f->length == 0)
			return count_control(g, now_ms);
		g->padded = f->flags & FLAG_PADDED ? f->length : 0;
		return H2_FAULT_NONE;
	case FRAME_HEADERS:
		if (f->id && is_closed(g, f->id))
			return H2_FAULT_STREAM_CLOSED;
		g->in_head = true;
		g->heads++;
		g->head_ends = f->flags & FLAG_END_HEADERS;
		g->continuation_n = 0;
		return g->answers ? H2_FAULT_NONE : check_id(g, f->id);
	case FRAME_RST_STREAM: /* a client's is counted for what it does, by h2_guard_reset */
		if (g->answers)
			return h2_guard_reset(g, now_ms) ? H2_FAULT_NONE : H2_FAULT_FLOOD;
		if (f->id <= g->last_id)
			h2_guard_closed(g, f->id);
		return H2_FAULT_NONE;
	case FRAME_WINDOW_UPDATE:
		return g->answers ? count_control(g, now_ms) : H2_FAULT_NONE;
	case FRAME_CONTINUATION: /* where none belongs: a connection error in the library */
		return H2_FAULT_NONE;
	default:
		return count_control(g, now_ms);
	}
}

static struct frame
frame_of(const unsigned char *p)
{
	return (struct frame){
		.length = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2],
		.type = p[3],
		.flags = p[4],
		.id = ((uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8]) & 0x7fffffff,
	};
}

enum h2_fault
h2_guard_frames(struct h2_guard *g, const char *p, size_t n, uint64_t now_ms, size_t *ok)
{
	enum h2_fault fault = H2_FAULT_NONE;
	size_t at = 0;

	if (!g->begun) {
		g->begun = true;
		g->left = H2_PREFACE_BYTES;
		g->in_head = g->head_ends = true;
	}
	while (at < n && !fault) {
		*ok = at;
		if (g->left) {
			if (g->padded && g->padded <= 1u + (unsigned char)p[at])
				fault = count_control(g, now_ms);
			g->padded = 0;
			uint32_t some = n - at < g->left ? (uint32_t)(n - at) : g->left;
			g->left -= some;
			at += some;
		} else {
			size_t some = n - at < H2_FRAME_HEAD_BYTES - g->head_n ? n - at : H2_FRAME_HEAD_BYTES - g->head_n;
			memcpy(g->head + g->head_n, p + at, some);
			g->head_n += (unsigned)some;
			at += some;
			if (g->head_n < H2_FRAME_HEAD_BYTES)
				break;
			struct frame f = frame_of(g->head);
			g->head_n = 0;
			g->left = f.length;
			fault = look(g, &f, now_ms);
		}
		if (g->left == 0 && g->head_ends)
			g->in_head = false;
	}
	if (!fault)
		*ok = n;
	return fault;
}

size_t
h2_guard_frame(const struct h2_guard *g, const char *p, size_t n, bool *begins)
{
	size_t left = g->begun ? g->left : H2_PREFACE_BYTES;

	*begins = left == 0 && g->head_n == 0;
	if (*begins)
		left = n < H2_FRAME_HEAD_BYTES ? n : H2_FRAME_HEAD_BYTES + (size_t)frame_of((const unsigned char *)p).length;
	else if (left == 0)
		left = H2_FRAME_HEAD_BYTES - g->head_n;
	return left < n ? left : n;
}

bool
h2_guard_in_head(const struct h2_guard *g)
{
	return g->in_head || !g->begun;
}
