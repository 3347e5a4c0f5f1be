/* watch_events.h - where one event of a watch ends and the next begins, so that a watch can be ended between two of them: a client that finds half an event takes it for a failure. Pure.
 *
 * Spec: Kubernetes API, "efficient detection of changes": application/json is one object after the other; application/vnd.kubernetes.protobuf;stream=watch puts four bytes of
 * length, the high one first, before each. */
#ifndef PROXYD_WATCH_EVENTS_H
#define PROXYD_WATCH_EVENTS_H

#include "shared/slice.h"

enum watch_format { WATCH_JSON, WATCH_PROTOBUF, WATCH_UNKNOWN };
struct watch_events {
	enum watch_format format;
	uint32_t depth;   /* JSON: braces and brackets that are open */
	bool text, escape; /* JSON: inside a string, behind a backslash */
	uint32_t left;    /* protobuf: bytes of this event that are to come */
	uint8_t length_n; /* protobuf: bytes of its length that have come */
	uint32_t length;
};

void watch_events_init(struct watch_events *w, struct slice content_type);
/* More bytes: how many of them are at most part of whole events; the rest is the beginning of one. 0 also when an event has only gone on. Of a format that we do not know whatever
 * comes at once is taken for whole events: the apiserver flushes each. */
size_t watch_events_take(struct watch_events *w, struct slice bytes);
/* Nothing has come, or only whole events. */
bool watch_events_between(const struct watch_events *w);

#endif
