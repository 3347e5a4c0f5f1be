/* process.h - what a process sets up about itself: signals, privileges, descriptors, service manager. */
#ifndef SHARED_PROCESS_H
#define SHARED_PROCESS_H

#include <sys/types.h>
#include "shared/err.h"
#include "shared/slice.h"

/* Block the given signals (0-terminated list) in this thread, to be called before threads and forks, and return a
 * non-blocking close-on-exec signalfd for them in *fd. SIGPIPE is ignored. E_SYSTEM (errno). A signalfd shared over fork
 * delivers to whoever reads: a child makes its own. */
MUST_CHECK enum err process_signals(const int *signals, int *fd);
/* Next signal number from the signalfd; 0: none now. */
int process_signal_next(int fd);
/* In a forked child: unblock everything (used before exec). */
void process_signals_unblock(void);

/* No core files, not dumpable (no ptrace by the same user, /proc/self owned by root), no_new_privs. E_SYSTEM (errno). */
MUST_CHECK enum err process_harden(void);
/* Become user (name; supplementary groups dropped) when running as root, then drop every capability. user NULL or "": only drop
 * capabilities. E_EMPTY: no such user; E_DENIED: neither root nor that user already; E_SYSTEM (errno). Fails closed: on an error
 * the caller must exit. To be called before threads: capabilities are a thread's. */
MUST_CHECK enum err process_drop(const char *user);
/* Whether process_drop could do it, before it is time: OK; E_EMPTY: no such user; E_DENIED: only root could become them. */
MUST_CHECK enum err process_may_become(const char *user);
/* For a process that stays root to start others: of the capabilities that it has keep those of the mask (1 << CAP_…) alone, and let nothing it starts gain another. E_SYSTEM (errno). To
 * be called before threads. */
MUST_CHECK enum err process_keep_capabilities(uint64_t mask);
/* Die with SIGKILL when the parent dies (PR_SET_PDEATHSIG); E_CONFLICT when it is already gone. After process_drop: the kernel
 * forgets it when the user changes. */
MUST_CHECK enum err process_die_with_parent(pid_t parent);
/* Short title for ps ("proxyd: worker 2"): overwrites the memory of main's arguments and environment. process_title_init moves
 * them away first, so argv[i] and getenv() stay good; pointers into them taken before do not. */
void process_title_init(int argc, char **argv);
void process_title_set(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Raise the soft limit of open files to the hard one; returns the limit now in force. */
size_t process_raise_nofile(void);

/* systemd's notification datagram (sd_notify(3)) to $NOTIFY_SOCKET: "READY=1", "RELOADING=1\nMONOTONIC_USEC=…", "STOPPING=1",
 * "STATUS=…". Silently nothing when the variable is unset. */
void process_notify(const char *state);
/* Microseconds of WatchdogSec ($WATCHDOG_USEC for this pid); 0: none. */
uint64_t process_watchdog_us(void);

/* Send or receive one message (n > 0) with up to one descriptor over a SOCK_SEQPACKET socket (SCM_RIGHTS). fd -1: none.
 * Receiving: *fd is -1 when none came, else close-on-exec and the caller's. E_AGAIN: would block; E_EMPTY: peer closed;
 * E_LIMIT: the message is longer than cap; E_FORMAT: it carries more than one descriptor (both close what came). */
MUST_CHECK enum err process_send_fd(int sock, const void *msg, size_t n, int fd);
MUST_CHECK enum err process_recv_fd(int sock, void *msg, size_t cap, size_t *n, int *fd);

#endif
