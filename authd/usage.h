/* usage.h - what authd prints about itself: a few lines after a wrong command line; to `--help`, and in its manual page, everything. */
#ifndef AUTHD_USAGE_H
#define AUTHD_USAGE_H

extern const char authd_usage[], authd_help[];

#endif
