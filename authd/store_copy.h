/* store_copy.h - backup and restore of a store, by a process that is not the authd that serves from it.
 *
 * LMDB is opened by a child process that has become the owner of the folder, so that root leaves no files behind that authd cannot open, a damaged file
 * ends only the child, and a slow disk holds up no writer: a reader elsewhere keeps old pages, and nothing else. */
#ifndef AUTHD_STORE_COPY_H
#define AUTHD_STORE_COPY_H

#include "authd/record.h"

struct store_copy_report {
	uint64_t bytes, records[RECORD_KINDS]; /* expired ones that are not purged yet included */
};

/* why (>= 256 bytes): what, and what to do. */

/* Write the database of folder as it is at one moment, without its free pages, to fd: a file, or a pipe. authd may go on writing. E_EMPTY: there is
 * none; E_SYSTEM with errno: disk full, permissions; E_FORMAT: damaged, or not ours. */
MUST_CHECK enum err store_copy_out(const char *folder, int fd, char *why, size_t why_n);
/* Read all of a copy. fd: a regular file. E_FORMAT: damaged, or not ours; E_SYSTEM. */
MUST_CHECK enum err store_copy_verify(int fd, struct store_copy_report *out, char *why, size_t why_n);
/* Put a verified copy in the place of the folder's database; the one that was there is kept beside it, its name in kept ("" for none). Either the old
 * or the new one is in place, whenever this ends. E_CONFLICT: an authd has the folder open; E_EMPTY: there is no such folder; E_SYSTEM. */
#define STORE_COPY_KEPT_BYTES 64
MUST_CHECK enum err store_copy_in(const char *folder, int fd, char kept[STORE_COPY_KEPT_BYTES], char *why, size_t why_n);

#endif
