/* gateway_faults.h - allocations of the gateway's thread that fail when a test says so, and a cluster and authd that answer everything. Not under sanitizers,
 * which bring their own malloc. */
#ifndef TESTS_GATEWAY_FAULTS_H
#define TESTS_GATEWAY_FAULTS_H

#include <stdatomic.h>
#include "tests/unit/exchange_unit.h"

static _Thread_local bool may_fail; /* set in the gateway's thread only */
static atomic_long countdown;       /* 0: nothing fails */
static atomic_bool hit;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static inline bool
fails_now(void)
{
	if (!may_fail || atomic_load(&countdown) == 0 || atomic_fetch_sub(&countdown, 1) != 1)
		return false;
	atomic_store(&hit, true);
	return true;
}
void *
malloc(size_t n)
{
	return fails_now() ? NULL : __libc_malloc(n);
}
void *
calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __libc_calloc(n, size);
}
void *
realloc(void *p, size_t n)
{
	return fails_now() ? NULL : __libc_realloc(p, n);
}

static inline void
mark_thread(struct rig *r, void *arg)
{
	(void)r, (void)arg;
	may_fail = true;
}
/* So that blocks, requests and exchanges are allocated anew, too. */
static inline void
forget_lists(struct rig *r, void *arg)
{
	(void)arg;
	exchange_free_lists(&r->gateway);
	block_pool_fini(&r->gateway.blocks);
	buf_fini(&r->gateway.scratch);
	buf_init(&r->gateway.scratch, GATEWAY_SCRATCH_BYTES_MAX);
}

/* The cluster and authd answer everything, each in a thread, until their listeners are closed. */
static inline bool
answer_one(struct end *e, const char *answer)
{
	char buf[8192];
	size_t n = 0;

	while (n + 1 < sizeof(buf)) {
		ssize_t r = end_read(e, buf + n, sizeof(buf) - 1 - n);
		if (r <= 0)
			return false;
		n += (size_t)r;
		buf[n] = '\0';
		char *end = strstr(buf, "\r\n\r\n");
		if (!end || (strstr(buf, "chunked\r\n") && !strstr(end, "0\r\n\r\n")))
			continue;
		ERR_clear_error();
		return e->ssl ? SSL_write(e->ssl, answer, (int)strlen(answer)) > 0 : send(e->fd, answer, strlen(answer), MSG_NOSIGNAL) > 0;
	}
	return false;
}
static bool (*serve_one)(struct end *e, const char *answer) = answer_one; /* false: the connection is over */
struct server {
	int fd;
	SSL_CTX *tls;
	const char *answer;
	pthread_t thread;
};
static inline void *
serve_connection(void *arg)
{
	struct server *s = arg;
	struct end e = { .fd = s->fd };

	end_patience(&e);
	if (s->tls) {
		e.ssl = SSL_new(s->tls);
		SSL_set_fd(e.ssl, e.fd);
		if (SSL_accept(e.ssl) != 1)
			e.fd = (SSL_free(e.ssl), e.ssl = NULL, close(e.fd), -1);
	}
	while (e.fd >= 0 && serve_one(&e, s->answer))
		;
	end_close(&e);
	free(s);
	return NULL;
}
static inline void *
serve(void *arg)
{
	const struct server *s = arg;
	int fd;

	while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct server *one = malloc(sizeof(*one));
		pthread_attr_t attr;
		*one = *s;
		one->fd = fd;
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_create(&one->thread, &attr, serve_connection, one);
	}
	return NULL;
}

/* A rig whose cluster and authd answer everything with these, and whose gateway's thread may fail. */
static struct server fault_cluster, fault_authd;

static inline void
faults_begin(const char *cluster_says, const char *authd_says)
{
	rig_start(&rig, NULL);
	fault_cluster = (struct server){ rig.cluster_fd, rig.back_tls, cluster_says, 0 };
	fault_authd = (struct server){ rig.authd_fd, NULL, authd_says, 0 };
	pthread_create(&fault_cluster.thread, NULL, serve, &fault_cluster);
	pthread_create(&fault_authd.thread, NULL, serve, &fault_authd);
	rig_run(&rig, mark_thread, NULL);
}
static inline void
faults_end(void)
{
	shutdown(rig.cluster_fd, SHUT_RDWR);
	shutdown(rig.authd_fd, SHUT_RDWR);
	pthread_join(fault_cluster.thread, NULL);
	pthread_join(fault_authd.thread, NULL);
	rig_stop(&rig);
}

/* The nth allocation from here on fails, until fault_was_hit(). */
static inline void
fault_at(long n)
{
	atomic_store(&hit, false);
	atomic_store(&countdown, n);
}
static inline bool
fault_was_hit(void)
{
	atomic_store(&countdown, 0);
	return atomic_load(&hit);
}

/* A connection of which the nth allocation fails; whether it was shaken hands with. */
static inline bool
fault_client(struct end *client, long n)
{
	struct sockaddr_in a;
	socklen_t an = sizeof(a);

	*client = (struct end){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .ssl = SSL_new(rig.client_tls) };
	assert_int_equal(getsockname(rig.listen_fd, (struct sockaddr *)&a, &an), 0);
	end_patience(client);
	fault_at(n);
	assert_int_equal(connect(client->fd, (struct sockaddr *)&a, an), 0);
	SSL_set_fd(client->ssl, client->fd);
	return SSL_connect(client->ssl) == 1;
}

#endif
