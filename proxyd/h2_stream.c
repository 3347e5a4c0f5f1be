#include <stdlib.h>
#include "proxyd/h2_state.h"

/* A chunk has room for what comes next in small pieces, so that a body of single bytes does not cost a malloc for each. */
#define CHUNK_BYTES_MIN 1024

struct h2_stream *
h2_stream_new(struct h2 *h, int32_t id)
{
	struct h2_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->h = h;
	s->id = id;
	s->next = h->streams;
	if (h->streams)
		h->streams->prev = s;
	h->streams = s;
	return s;
}

static void
due_unlink(struct h2_stream *s)
{
	struct h2 *h = s->h;

	*(s->due_prev ? &s->due_prev->due_next : &h->due) = s->due_next;
	*(s->due_next ? &s->due_next->due_prev : &h->due_last) = s->due_prev;
	s->due_next = s->due_prev = NULL;
	s->due = 0;
}

void
h2_stream_free(struct h2_stream *s)
{
	struct h2 *h = s->h;

	if (s->due)
		due_unlink(s);
	*(s->prev ? &s->prev->next : &h->streams) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	h2_stream_drop(s);
	request_put(h2_gateway(h), s->request);
	free(s->text);
	free(s->own);
	free(s);
}

void
h2_stream_due(struct h2_stream *s, enum h2_due what)
{
	struct h2 *h = s->h;

	if (!s->due) {
		s->due_prev = h->due_last;
		*(h->due_last ? &h->due_last->due_next : &h->due) = s;
		h->due_last = s;
	}
	s->due |= what;
}

unsigned
h2_stream_take_due(struct h2 *h, struct h2_stream **out)
{
	struct h2_stream *s = *out = h->due;

	if (!s)
		return 0;
	unsigned due = s->due;
	due_unlink(s);
	return due;
}

bool
h2_stream_keep(struct h2_stream *s, const char *p, size_t n)
{
	struct h2_chunk *c = s->body_last;
	size_t room = c ? c->bytes - c->to : 0, some = n < room ? n : room;

	if (some) {
		memcpy(c->data + c->to, p, some);
		c->to += some;
		p += some;
		n -= some;
	}
	if (n == 0)
		return true;
	size_t bytes = n < CHUNK_BYTES_MIN ? CHUNK_BYTES_MIN : n;
	if (!(c = malloc(sizeof(*c) + bytes)))
		return false;
	c->next = NULL;
	c->from = 0;
	c->to = n;
	c->bytes = bytes;
	memcpy(c->data, p, n);
	*(s->body_last ? &s->body_last->next : &s->body) = c;
	s->body_last = c;
	return true;
}

static void
drop_first(struct h2_stream *s)
{
	struct h2_chunk *c = s->body;

	s->body = c->next;
	if (!s->body)
		s->body_last = NULL;
	free(c);
}

size_t
h2_stream_take(struct h2_stream *s, char *p, size_t n)
{
	size_t got = 0;

	if (!s->body_ended && n >= s->length_left)
		n = s->length_left ? (size_t)s->length_left - 1 : 0;
	while (s->body && got < n) {
		struct h2_chunk *c = s->body;
		size_t some = c->to - c->from < n - got ? c->to - c->from : n - got;
		memcpy(p + got, c->data + c->from, some);
		c->from += some;
		got += some;
		if (c->from == c->to)
			drop_first(s);
	}
	if (s->length_left != UINT64_MAX)
		s->length_left -= got;
	return got;
}

size_t
h2_stream_drop(struct h2_stream *s)
{
	size_t n = 0;

	while (s->body) {
		n += s->body->to - s->body->from;
		drop_first(s);
	}
	return n;
}
