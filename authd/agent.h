/* agent.h - a User-Agent header in a few words that its owner recognizes. Pure. */
#ifndef AUTHD_AGENT_H
#define AUTHD_AGENT_H

#include "shared/buf.h"

/* Append "Firefox on Linux", "Safari on iPhone"; of what is no browser its first word, "curl/8.5.0"; "Unknown browser" for nothing. What stands in
 * the header is appended as it is: not escaped. */
void agent_name_add(struct buf *out, struct slice user_agent);

#endif
