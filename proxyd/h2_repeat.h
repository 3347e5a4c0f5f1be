/* h2_repeat.h - the token that comes with every request of a connection is decoded once.
 *
 * Many clients keep their token out of HPACK's tables (RFC 7541 section 7.1.3; what is built on nghttp2 does, curl for one) and send it Huffman coded with each request. To decode
 * one of 870 characters takes the library 3.8 µs, more than everything else it does for a request. So the coded bytes are kept beside what the library made of them, and where a
 * head has the same ones again, the library is given a single character in their place; whoever takes its fields puts the value that it had decoded back.
 *
 * Nothing is concluded from it: the fields that come out are, byte for byte, those that would have come. What cannot be followed with certainty is left as it came.
 * Pure but for its memory: one copy of both per connection, wiped. Zeroed is a fresh one.   Spec: RFC 7541 sections 5 and 6, RFC 9113 section 6.2 */
#ifndef PROXYD_H2_REPEAT_H
#define PROXYD_H2_REPEAT_H

#include "shared/slice.h"

/* Coded bytes: shorter ones are decoded in no time, longer ones are no token of a size that somebody uses. */
#define H2_REPEAT_BYTES_MIN 64
#define H2_REPEAT_BYTES_MAX 6144

struct h2_repeat {
	char *kept; /* coded, and behind it what it stands for; NULL: nothing */
	size_t coded_n, value_n;
	/* Of the head that the library has now. */
	enum { H2_REPEAT_NOTHING, H2_REPEAT_NEW, H2_REPEAT_LEFT_OUT } now;
	size_t index;       /* which of its fields it is */
	struct slice coded; /* NEW */
};

void h2_repeat_fini(struct h2_repeat *r);
/* A frame, from its head on, before the library gets it. It may be made shorter, in place: where it begins now; its end stays. */
char *h2_repeat_frame(struct h2_repeat *r, char *frame, size_t n);
/* A field of that frame, as the library gives it: index from 0. *value: what it is. False: it is not the field that it has to be; the connection has to end. */
bool h2_repeat_field(struct h2_repeat *r, size_t index, struct slice name, struct slice *value);

#endif
