/* sandbox.h - what a process may still ask of the kernel once it has started: a process says what it goes on needing, everything else is taken from it for good.
 *
 * Two mechanisms, each blind where the other sees:
 *   seccomp   system calls, by number and by arguments that are plain numbers. No path, no address, nothing behind a pointer.
 *   Landlock  files by the folder that they are below (Linux 5.13), TCP ports (6.7), signals and abstract sockets to the outside (6.12). Nothing that is open already.
 *
 *                                            seccomp                    Landlock
 *   exec, ptrace, bpf, mount and their kin   end the process            no file may be executed
 *   fork                                     EPERM; threads by need
 *   code at run time (PROT_EXEC)             EPERM
 *   opening files                            EPERM, by need             below the named paths only
 *   sockets                                  by need: family, type      TCP: connect to the named ports, bind not at all without SANDBOX_LISTEN
 *   signals                                  to itself only             to itself only
 *   anything that no need names              ENOSYS, so that a C library of tomorrow falls back to the call of yesterday
 *
 * What seccomp refuses stands in the log with its name and number, once for each call of a process, also what ends it; but for starting processes and threads, which shows as an error of
 * the call, as all that Landlock refuses.
 *
 * Not enforced by either: which IP address is connected to (ports are), and which local socket, by path. Landlock knows the latter since Linux 7.1 but ties a rule to
 * a folder as it is now, and service managers make a new one when the other side restarts: file modes decide there. Without Landlock a process that may read files may read all that its
 * user may.  Spec: seccomp(2), landlock(7). */
#ifndef SHARED_SANDBOX_H
#define SHARED_SANDBOX_H

#include "shared/err.h"
#include "shared/slice.h"

/* Always there: its memory, its open descriptors, time, randomness, waiting, ending. */
enum sandbox_need {
	SANDBOX_CONNECT = 1 << 0,  /* TCP connections to others */
	SANDBOX_LOCAL = 1 << 1,    /* local stream sockets of its own */
	SANDBOX_ACCEPT = 1 << 2,   /* on sockets that listen already */
	SANDBOX_LISTEN = 1 << 3,   /* on new ones */
	SANDBOX_NAMES = 1 << 4,    /* getaddrinfo(3), and TLS with the system's authorities: some files, UDP, the kernel's list of routes */
	SANDBOX_NOTIFY = 1 << 5,   /* process_notify */
	SANDBOX_READ = 1 << 6,     /* open files to read: those of sandbox.paths */
	SANDBOX_WRITE = 1 << 7,    /* make, change and remove files: ditto */
	SANDBOX_THREADS = 1 << 8,  /* start threads */
	SANDBOX_FORKS = 1 << 9     /* starts and replaces processes, which lock themselves in: only what nobody needs is taken. Alone; no Landlock */
};

enum sandbox_access {
	SANDBOX_MAY_READ,
	SANDBOX_MAY_WRITE,         /* and read, make, remove */
	SANDBOX_MAY_MAKE_SOCKETS   /* and remove files */
};
struct sandbox_path {
	const char *path;          /* a folder and all below it, or a file; passed over where there is none */
	enum sandbox_access access;
};

struct sandbox {
	unsigned needs;                   /* enum sandbox_need */
	const struct sandbox_path *paths;
	size_t path_n;
	const uint16_t *ports;            /* of TCP, to connect to; NULL: any */
	size_t port_n;
};

/* Landlock. Holds for this thread and what it starts, so before there are others. OK also where the kernel has none. E_SYSTEM (errno), E_NOMEM: the caller must exit. */
MUST_CHECK enum err sandbox_enter_files(const struct sandbox *s);
/* seccomp, for every thread there is. Ditto. */
MUST_CHECK enum err sandbox_enter_calls(const struct sandbox *s);
/* Both, in this order. */
MUST_CHECK enum err sandbox_enter(const struct sandbox *s);

/* Which of the name service's files are there and cannot be read, one bit each: a bit that was not set after entering means that the file was put in place of another since, and that
 * only a new process will see what it says. */
uint64_t sandbox_names_closed(void);

struct sandbox_support {
	bool seccomp;
	int landlock; /* version of its interface; 0: none */
};
/* What this kernel has. A build with a sanitizer uses neither, for sanitizers open, fork and trace. */
struct sandbox_support sandbox_support(void);
/* What of the two is missing, for a person to read; NULL: nothing. */
const char *sandbox_lack(void);
/* One line that says what there is; a warning where something is missing. */
void sandbox_log_support(void);

#endif
