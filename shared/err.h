/* err.h - the one error vocabulary of fallible functions.
 * Where callers branch on more than this, a module has its own enum. */
#ifndef SHARED_ERR_H
#define SHARED_ERR_H

enum err {
	OK = 0,
	E_AGAIN,    /* nothing now: try later, or already current */
	E_NOMEM,    /* allocation failed */
	E_SYSTEM,   /* a system call failed; errno says why */
	E_FORMAT,   /* the input is not what its specification says */
	E_LIMIT,    /* a bound was reached */
	E_CONFLICT, /* the state does not allow it */
	E_EMPTY,    /* there is none */
	E_DENIED    /* refused by policy */
};

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

/* "E_NOMEM" and so on; never NULL. */
const char *err_name(enum err e);

#endif
