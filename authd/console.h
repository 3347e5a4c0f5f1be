/* console.h - what the console's pages share. */
#ifndef AUTHD_CONSOLE_H
#define AUTHD_CONSOLE_H

#include "authd/session.h"

#define CONSOLE_PATH "/console/"
#define CONSOLE_SESSIONS_PATH CONSOLE_PATH "sessions"

/* The session, or the way to get one. False: r has been answered. */
bool console_session_needed(struct request *r, struct session *s);

#endif
