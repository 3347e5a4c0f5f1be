#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include "proxyd/control.h"
#include "proxyd/credentials.h"
#include "proxyd/inheritance.h"
#include "proxyd/metrics_report.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

/* A number of the environment. False: it is not there, or none. */
static bool
number_of(const char *name, uint64_t most, int *out)
{
	uint64_t v;

	if (!slice_to_u64(slice_str(getenv(name)), most, &v))
		return false;
	*out = (int)v;
	return true;
}

static int
option_of(int fd, int option)
{
	int value = -1;
	socklen_t n = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &n) < 0 ? -1 : value;
}

static enum err
take_socket(struct listeners *l, int fd, struct slice name, char why[INHERITANCE_WHY_BYTES])
{
	struct listener *one = &l->items[l->n];
	const char *wrong = NULL;

	*one = (struct listener){ .fd = fd, .bound.len = sizeof(one->bound.u), .listening = option_of(fd, SO_ACCEPTCONN) == 1 };
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ||
		getsockname(fd, &one->bound.u.sa, &one->bound.len) < 0)
		wrong = strerrordesc_np(errno);
	else if (option_of(fd, SO_TYPE) != SOCK_STREAM)
		wrong = "it is no stream socket";
	else if (one->bound.u.sa.sa_family != AF_INET && one->bound.u.sa.sa_family != AF_INET6 && one->bound.u.sa.sa_family != AF_UNIX)
		wrong = "neither IP nor a unix path";
	if (wrong) {
		snprintf(why, INHERITANCE_WHY_BYTES, "the socket \"%.*s\" that was passed on (descriptor %d) cannot be used: %s", (int)(name.n < 64 ? name.n : 64), name.n ? name.p : "",
			fd, wrong);
		return E_FORMAT;
	}
	one->configured = one->bound;
	l->n++;
	return OK;
}

static enum err
take_sockets(struct inheritance *i, char why[INHERITANCE_WHY_BYTES])
{
	struct slice names = slice_str(getenv("LISTEN_FDNAMES"));
	enum err e = OK;
	int pid, n;

	/* Meant for another process, such as the one that started us: what we have there is ours. */
	if (!number_of("LISTEN_PID", INT32_MAX, &pid) || pid != getpid() || !getenv("LISTEN_FDS"))
		return OK;
	if (!number_of("LISTEN_FDS", INHERITANCE_SOCKETS_MAX, &n)) {
		snprintf(why, INHERITANCE_WHY_BYTES, "LISTEN_FDS is no number from 0 to %d", INHERITANCE_SOCKETS_MAX);
		return E_FORMAT;
	}
	for (int fd = FIRST_FD; fd < FIRST_FD + n && !e; fd++)
		e = take_socket(&i->sockets, fd, slice_cut(&names, ':'), why);
	return e;
}

static void
take_ticket_secret(struct inheritance *i, int fd)
{
	struct buf secret;

	buf_init(&secret, 0);
	if (credentials_unwrap(fd, &secret) == OK && secret.n == sizeof(i->ticket_secret)) {
		memcpy(i->ticket_secret, secret.p, secret.n);
		i->has_ticket_secret = true;
	}
	buf_fini_secret(&secret);
}

/* What is there already. Another version may say what we do not know: nothing of it is needed. */
static void
take_messages(struct inheritance *i)
{
	struct control_message m;
	enum err e;
	int fd;

	while ((e = control_receive(i->predecessor.fd, &m, &fd)) == OK || e == E_FORMAT) {
		if (e)
			continue;
		if (m.kind == CONTROL_GENERATION)
			i->generation = m.value;
		if (m.kind == CONTROL_TICKETS && fd >= 0)
			take_ticket_secret(i, fd);
		if (m.kind == CONTROL_KEYCACHE && fd >= 0 && i->keycache_fd < 0)
			i->keycache_fd = fd;
		else if (m.kind == CONTROL_METRICS && fd >= 0 && i->metrics_fd < 0 && m.value == metrics_layout())
			i->metrics_fd = fd;
		else if (fd >= 0)
			close(fd);
	}
}

enum err
inheritance_take(struct inheritance *out, char why[INHERITANCE_WHY_BYTES])
{
	int fd;

	*out = (struct inheritance){ .predecessor.fd = -1, .sockets = { .inherited = true }, .keycache_fd = -1, .metrics_fd = -1 };
	enum err e = take_sockets(out, why);
	if (number_of(INHERITANCE_PREDECESSOR, INT32_MAX, &fd) && option_of(fd, SO_TYPE) == SOCK_SEQPACKET && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
		out->predecessor.fd = fd;
		out->from_predecessor = true;
		out->predecessor_pid = getppid();
		take_messages(out);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv(INHERITANCE_PREDECESSOR);
	return e;
}

void
inheritance_fini(struct inheritance *i)
{
	listeners_close(&i->sockets, NULL);
	if (i->keycache_fd >= 0)
		close(i->keycache_fd);
	if (i->metrics_fd >= 0)
		close(i->metrics_fd);
	if (i->predecessor.fd >= 0)
		close(i->predecessor.fd);
	i->keycache_fd = i->metrics_fd = i->predecessor.fd = -1;
	OPENSSL_cleanse(i->ticket_secret, sizeof(i->ticket_secret));
}

void
inheritance_tell(struct inheritance *i, unsigned kind, uint32_t value, const char *text, int fd)
{
	if (i->predecessor.fd < 0)
		return;
	enum err e = control_send(i->predecessor.fd, (enum control_kind)kind, value, text, fd);
	if (e && e != E_EMPTY)
		log_warn("predecessor not told", LOG_UINT("kind", kind), LOG_STR("reason", err_name(e)));
}
