/* generation_state.h - what generation.c (its children's lives) and generation_messages.c (what is said to them and by them) share. Nobody else includes it. */
#ifndef PROXYD_GENERATION_STATE_H
#define PROXYD_GENERATION_STATE_H

#include "proxyd/control.h"
#include "proxyd/generation.h"

#define GENERATION_MESSAGES_MAX 64 /* at once: a child that talks without end must not keep master from the others */

/* The keeper is child 0, worker i child i + 1. */
struct child *generation_child(struct generation *g, size_t i);
/* Nothing where it does not live; what it does not take is logged. fd: -1, or one that stays the caller's. */
void generation_send(struct child *c, enum control_kind kind, uint32_t value, int fd);
/* At most n_max of the messages that wait; closes the connection at its end. */
void generation_hear(struct child *c, unsigned n_max);
/* A child's control.on_event. */
void generation_on_control(struct loop_watch *w, uint32_t events);
/* It has said that it is ready. */
void generation_child_ready(struct child *c);

#endif
