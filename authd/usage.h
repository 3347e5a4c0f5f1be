/* usage.h - what `authd --help` prints, and its manual page with it. */
#ifndef AUTHD_USAGE_H
#define AUTHD_USAGE_H

extern const char authd_usage[];

#endif
