/* Load for authd: one kept-alive connection for each request of a file, each sending its request again and again. A refresh token in an answer replaces the one
 * in the connection's request, as a client does.
 *
 * One thread asks all connections without ever sleeping: on one machine, waking who waits for an answer is done, and paid for, by who sends it (with 50 sleeping
 * threads on another CPU 5 to 8 us an answer), and a client behind a network never costs that.
 *
 *   authd_load PORT SECONDS STATUS FILE   FILE: requests, each "LENGTH\n" and so many bytes
 *   prints {"requests":N,"seconds":S,"p50_ms":…,"p99_ms":…,"failed":N}; failed: another status than STATUS, or the connection ended */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX 65536
#define CLIENTS_MAX 512
#define SAMPLES_MAX (1u << 22)
#define LAST_ANSWERS_S 5

struct client {
	char *request;
	size_t request_n;
	int fd;
	bool waiting; /* for an answer */
	double since_s;
	char *in;
	size_t in_n;
};
struct load {
	unsigned port;
	const char *status;
	double until_s;
	int epoll;
	struct client clients[CLIENTS_MAX];
	size_t n, waiting, requests, failed;
	float ms[SAMPLES_MAX];
	size_t ms_n;
};

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
fail(const char *what)
{
	fprintf(stderr, "authd_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
client_connect(struct load *l, struct client *c)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)l->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event want = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) != 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
		fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &want) != 0)
		fail("connect");
}

/* Bytes of a whole answer at the start of in; 0: not yet. */
static size_t
whole(char *in, size_t n)
{
	in[n] = '\0';
	char *body = strstr(in, "\r\n\r\n"), *length = strcasestr(in, "\r\ncontent-length:");

	if (!body || !length || length > body)
		return 0;
	size_t all = (size_t)(body + 4 - in) + strtoul(length + 17, NULL, 10);
	return n >= all ? all : 0;
}

static void
take_token(struct client *c, const char *answer)
{
	static const char name[] = "\"refresh_token\":\"", field[] = "refresh_token=";
	const char *from = strstr(answer, name);
	char *to = from ? memmem(c->request, c->request_n, field, sizeof field - 1) : NULL;

	if (!to)
		return;
	from += sizeof name - 1;
	to += sizeof field - 1;
	memcpy(to, from, strcspn(from, "\"")); /* all of ours are of one length */
}

static void
client_ask(struct load *l, struct client *c)
{
	c->in_n = 0;
	c->since_s = now_s();
	c->waiting = c->since_s < l->until_s;
	if (!c->waiting)
		return;
	l->waiting++;
	if (send(c->fd, c->request, c->request_n, MSG_NOSIGNAL) != (ssize_t)c->request_n)
		shutdown(c->fd, SHUT_RDWR); /* which is read as its end */
}

static void
client_failed(struct load *l, struct client *c)
{
	if (l->failed++ == 0)
		fprintf(stderr, "authd_load: %.*s\n", (int)(c->in_n < 600 ? c->in_n : 600), c->in);
	close(c->fd);
	client_connect(l, c);
}

static void
client_answered(struct load *l, struct client *c)
{
	take_token(c, c->in);
	l->requests++;
	if (l->ms_n < SAMPLES_MAX)
		l->ms[l->ms_n++] = (float)((now_s() - c->since_s) * 1e3);
}

static void
client_read(struct load *l, struct client *c)
{
	ssize_t got = recv(c->fd, c->in + c->in_n, ANSWER_BYTES_MAX - c->in_n, 0);
	bool ended = got == 0 || (got < 0 && errno != EAGAIN) || c->in_n == ANSWER_BYTES_MAX;

	c->in_n += got > 0 ? (size_t)got : 0;
	bool answered = whole(c->in, c->in_n) && c->waiting;
	if (!answered && !ended)
		return;
	if (answered && strncmp(c->in + 9, l->status, 3) == 0)
		client_answered(l, c);
	else
		client_failed(l, c);
	l->waiting -= c->waiting;
	client_ask(l, c);
}

static void
run(struct load *l)
{
	struct epoll_event ready[64];

	for (size_t i = 0; i < l->n; i++) {
		client_connect(l, &l->clients[i]);
		client_ask(l, &l->clients[i]);
	}
	while (l->waiting && now_s() < l->until_s + LAST_ANSWERS_S) {
		int n = epoll_wait(l->epoll, ready, 64, 0);
		for (int i = 0; i < n; i++)
			client_read(l, ready[i].data.ptr);
	}
	l->failed += l->waiting;
}

static int
compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	static struct load load;
	struct load *l = &load;
	FILE *f = argc == 5 ? fopen(argv[4], "r") : NULL;

	if (!f)
		fail("PORT SECONDS STATUS FILE");
	double begin = now_s();
	l->port = (unsigned)atoi(argv[1]);
	l->status = argv[3];
	l->until_s = begin + atof(argv[2]);
	l->epoll = epoll_create1(0);
	for (size_t length; l->n < CLIENTS_MAX && fscanf(f, "%zu\n", &length) == 1; l->n++) {
		struct client *c = &l->clients[l->n];
		*c = (struct client){ .request = malloc(length + 1), .request_n = length, .in = malloc(ANSWER_BYTES_MAX + 1) };
		if (!c->request || !c->in || fread(c->request, 1, length, f) != length)
			fail("a request");
		c->request[length] = '\0';
	}
	fclose(f);
	run(l);
	double seconds = now_s() - begin;
	qsort(l->ms, l->ms_n, sizeof *l->ms, compare);
	printf("{\"requests\":%zu,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"failed\":%zu}\n", l->requests, seconds,
		l->ms_n ? (double)l->ms[l->ms_n / 2] : 0.0, l->ms_n ? (double)l->ms[l->ms_n * 99 / 100] : 0.0, l->failed);
	/* A refreshed request goes on in the next run: its token has been rotated. */
	f = fopen(argv[4], "w");
	for (size_t i = 0; f && i < l->n; i++) {
		fprintf(f, "%zu\n", l->clients[i].request_n);
		fwrite(l->clients[i].request, 1, l->clients[i].request_n, f);
	}
	return f && fclose(f) == 0 ? 0 : 1;
}
