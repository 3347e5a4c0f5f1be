/* Load for authd: one thread and one kept-alive connection for each request of a file, each sending its request again and again. A refresh token in an answer
 * replaces the one in the thread's request, as a client does.
 *
 *   authd_load PORT SECONDS STATUS FILE   FILE: requests, each "LENGTH\n" and so many bytes
 *   prints {"requests":N,"seconds":S,"p50_ms":…,"p99_ms":…,"failed":N}; failed: another status than STATUS, or the connection ended */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX 65536
#define THREADS_MAX 512
#define SAMPLES_MAX (1u << 20)

struct client {
	pthread_t thread;
	char *request;
	size_t request_n;
	unsigned port;
	const char *status;
	double until_s;
	size_t requests, failed;
	float *ms;
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

static int
connect_to(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
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

static void *
run(void *arg)
{
	struct client *c = arg;
	char *in = malloc(ANSWER_BYTES_MAX + 1);
	int fd = connect_to(c->port);
	double begin;

	while (in && (begin = now_s()) < c->until_s) {
		size_t n = 0;
		ssize_t got = send(fd, c->request, c->request_n, MSG_NOSIGNAL);
		while (got > 0 && !whole(in, n) && n < ANSWER_BYTES_MAX && (got = recv(fd, in + n, ANSWER_BYTES_MAX - n, 0)) > 0)
			n += (size_t)got;
		if (!n || !whole(in, n) || strncmp(in + 9, c->status, 3) != 0) {
			if (c->failed++ == 0)
				fprintf(stderr, "authd_load: %.*s\n", (int)(n < 600 ? n : 600), in);
			close(fd);
			fd = connect_to(c->port);
			continue;
		}
		take_token(c, in);
		c->requests++;
		if (c->ms_n < SAMPLES_MAX)
			c->ms[c->ms_n++] = (float)((now_s() - begin) * 1e3);
	}
	close(fd);
	free(in);
	return NULL;
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
	static struct client clients[THREADS_MAX];
	size_t n = 0, requests = 0, failed = 0, samples = 0;
	FILE *f = argc == 5 ? fopen(argv[4], "r") : NULL;

	if (!f)
		fail("PORT SECONDS STATUS FILE");
	double begin = now_s();
	for (size_t length; n < THREADS_MAX && fscanf(f, "%zu\n", &length) == 1; n++) {
		struct client *c = &clients[n];
		*c = (struct client){ .request = malloc(length + 1), .request_n = length, .port = (unsigned)atoi(argv[1]), .status = argv[3],
			.until_s = begin + atof(argv[2]), .ms = calloc(SAMPLES_MAX, sizeof(float)) };
		if (!c->request || !c->ms || fread(c->request, 1, length, f) != length)
			fail("a request");
		c->request[length] = '\0';
	}
	fclose(f);
	for (size_t i = 0; i < n; i++)
		if (pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0)
			fail("a thread");
	for (size_t i = 0; i < n; i++) {
		pthread_join(clients[i].thread, NULL);
		requests += clients[i].requests;
		failed += clients[i].failed;
		samples += clients[i].ms_n;
	}
	double seconds = now_s() - begin;
	float *all = malloc((samples + 1) * sizeof *all);
	if (!all)
		fail("memory");
	samples = 0;
	for (size_t i = 0; i < n; i++) {
		memcpy(all + samples, clients[i].ms, clients[i].ms_n * sizeof *all);
		samples += clients[i].ms_n;
	}
	qsort(all, samples, sizeof *all, compare);
	printf("{\"requests\":%zu,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"failed\":%zu}\n", requests, seconds,
		samples ? (double)all[samples / 2] : 0.0, samples ? (double)all[samples * 99 / 100] : 0.0, failed);
	/* A refreshed request goes on in the next run: its token has been rotated. */
	f = fopen(argv[4], "w");
	for (size_t i = 0; f && i < n; i++) {
		fprintf(f, "%zu\n", clients[i].request_n);
		fwrite(clients[i].request, 1, clients[i].request_n, f);
	}
	return f && fclose(f) == 0 ? 0 : 1;
}
