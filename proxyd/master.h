/* master.h - the process that starts all others and reads no byte from the network: configuration, listening sockets, signals, children.
 *
 *   HUP           read the configuration anew, start a generation of it, switch when it is ready, drain the old one; a failure changes nothing
 *   USR1          open log and audit files again
 *   USR2          start the program's file as it is now beside this one, and leave when that has served; otherwise stay
 *   TTIN, TTOU    one worker more, or one less, which finishes what it has
 *   QUIT          finish what runs, then end        TERM, INT   end now */
#ifndef PROXYD_MASTER_H
#define PROXYD_MASTER_H

#include "proxyd/config.h"
#include "proxyd/inheritance.h"

/* Takes over config, which was loaded from path, and what is in inheritance, which stays the caller's. Returns the exit status: 0 after a signal, or when another program took
 * over; 1 when it could not start (said on standard error with file, line and key) or was to take over and could not. */
int master_run(const char *path, struct proxyd_config *config, struct inheritance *inheritance, const struct clock *clock);

#endif
