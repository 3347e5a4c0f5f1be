#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <curl/curl.h>
#include "shared/address.h"
#include "shared/arena.h"
#include "shared/clock.h"
#include "shared/fetch.h"

#define CONCURRENT_DEFAULT 64
#define QUEUE_DEFAULT 1024
#define TIMEOUT_DEFAULT_MS 10000
#define BODY_BYTES_DEFAULT (1u << 20)
/* Handles kept between transfers: as many as a usual burst; a new one costs a millisecond, a reused one a twentieth. */
#define IDLE_HANDLES_MAX 16
#define CA_CACHE_S 60

enum overrun { OVERRUN_NONE, OVERRUN_BODY, OVERRUN_HEADERS, OVERRUN_MEMORY };

struct job {
	struct job *next; /* in the queue or among the running */
	struct arena arena; /* copies of the request */
	const char *url, *method, *peer;
	const char *unix_socket, *ca_file;
	struct curl_slist *headers;
	struct slice body;
	int timeout_ms;
	size_t body_bytes_max;
	uint64_t started_ms;
	CURL *easy;
	enum overrun overrun;
	char curl_says[CURL_ERROR_SIZE];
	void (*done)(void *arg, struct fetch_result *r);
	void *arg;
	struct fetch_result result;
};

struct fetcher {
	struct arena arena; /* copies of the options */
	const char *user_agent, *ca_file;
	size_t concurrent_max, queue_max;
	bool proxy_from_environment;
	CURLM *multi;
	pthread_t thread;

	pthread_mutex_t lock; /* started, the queue and stopping; the rest is the thread's alone */
	bool started;         /* with the first transfer: a sandbox that binds one thread and its descendants can still be entered before */
	struct job *queue, **queue_tail;
	size_t queue_n;
	bool stopping;

	struct job *running;
	size_t running_n;
	CURL *idle[IDLE_HANDLES_MAX];
	size_t idle_n;
};

static void
init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void
job_free(struct job *j)
{
	if (!j)
		return;
	fetch_result_fini(&j->result);
	arena_fini_secret(&j->arena);
	free(j);
}

static bool
is_header(const char *line)
{
	const char *colon = strchr(line, ':');

	return colon && colon != line && !strpbrk(line, "\r\n") && strcspn(line, " \t") > (size_t)(colon - line);
}

/* "Expect:" keeps curl from asking for 100-continue. Nodes of our own, so that Authorization is wiped with the arena. */
static bool
copy_headers(struct job *j, const char *const *headers)
{
	struct curl_slist **tail = &j->headers;
	const char *line = "Expect:";

	do {
		struct curl_slist *node = arena_alloc(&j->arena, sizeof(*node));
		char *data = arena_strdup(&j->arena, line);
		if (!node || !data)
			return false;
		node->data = data;
		*tail = node;
		tail = &node->next;
	} while (headers && (line = *headers++));
	return true;
}

static enum err
check_request(const struct fetch_request *req, struct url *url)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	if (!req->method || !*req->method || req->method[strspn(req->method, letters)])
		return E_FORMAT;
	for (const char *const *line = req->headers; line && *line; line++)
		if (!is_header(*line))
			return E_FORMAT;
	return req->url ? url_parse(slice_str(req->url), url) : E_FORMAT;
}

static enum err
job_new(const struct fetch_request *req, struct job **out)
{
	struct url url;
	enum err e = check_request(req, &url);

	if (e != OK)
		return e;
	if (req->body.n > FETCH_REQUEST_BYTES_MAX)
		return E_LIMIT;
	struct job *j = calloc(1, sizeof(*j));
	if (!j)
		return E_NOMEM;
	arena_init(&j->arena, 2 * FETCH_REQUEST_BYTES_MAX);
	/* The issuer's URL over its local socket: its name and path, without its TLS. */
	bool plain = req->unix_socket && url.tls && !req->unix_tls;
	j->url = plain ? arena_printf(&j->arena, "http%s", req->url + url.scheme.n) : arena_strdup(&j->arena, req->url);
	j->method = arena_strdup(&j->arena, req->method);
	j->unix_socket = req->unix_socket ? arena_strdup(&j->arena, req->unix_socket) : NULL;
	j->ca_file = req->ca_file ? arena_strdup(&j->arena, req->ca_file) : NULL;
	j->body = arena_slice(&j->arena, req->body);
	if (req->unix_socket)
		j->peer = arena_printf(&j->arena, "unix:%s", req->unix_socket);
	else
		j->peer = arena_printf(&j->arena, memchr(url.host.p, ':', url.host.n) ? "[%.*s]:%u" : "%.*s:%u", SLICE_FMT(url.host), url.port);
	if (!copy_headers(j, req->headers) || !j->url || !j->method || !j->peer || !j->body.p || (req->unix_socket && !j->unix_socket) ||
		(req->ca_file && !j->ca_file)) {
		job_free(j);
		return E_NOMEM;
	}
	j->timeout_ms = req->timeout_ms > 0 ? req->timeout_ms : TIMEOUT_DEFAULT_MS;
	j->body_bytes_max = req->body_bytes_max ? req->body_bytes_max : BODY_BYTES_DEFAULT;
	j->started_ms = clock_mono_ms(&clock_system);
	buf_init(&j->result.headers, FETCH_HEADERS_BYTES_MAX);
	buf_init(&j->result.body, j->body_bytes_max);
	*out = j;
	return OK;
}

static size_t
take_bytes(struct job *j, struct buf *to, const char *p, size_t n, enum overrun too_long)
{
	buf_add(to, p, n);
	if (buf_ok(to))
		return n;
	j->overrun = n > to->max - to->n ? too_long : OVERRUN_MEMORY;
	return CURL_WRITEFUNC_ERROR;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct job *j = arg;

	return take_bytes(j, &j->result.body, p, size * n, OVERRUN_BODY);
}

/* One line at a time; a status line begins an answer anew (a 100 or 103 comes before the last one). */
static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct job *j = arg;
	struct slice line = slice_of(p, size * n);

	if (slice_has_prefix(line, SLICE_LIT("HTTP/"))) {
		buf_reset(&j->result.headers);
		return line.n;
	}
	if (line.n <= 2)
		return line.n; /* the empty line */
	return take_bytes(j, &j->result.headers, line.p, line.n, OVERRUN_HEADERS);
}

static CURL *
take_handle(struct fetcher *f)
{
	return f->idle_n ? f->idle[--f->idle_n] : curl_easy_init();
}

static void
give_handle(struct fetcher *f, CURL *easy)
{
	curl_easy_reset(easy);
	if (f->idle_n < IDLE_HANDLES_MAX)
		f->idle[f->idle_n++] = easy;
	else
		curl_easy_cleanup(easy);
}

/* Whether every option was taken: one that is not (TLS, above all) must not be left out silently. */
static bool
set_options(const struct fetcher *f, struct job *j, long timeout_ms)
{
	CURL *easy = j->easy;
	bool post = strcmp(j->method, "POST") == 0, get = strcmp(j->method, "GET") == 0, head = strcmp(j->method, "HEAD") == 0;
	const char *ca_file = j->ca_file ? j->ca_file : f->ca_file;
	bool ok = true;

#define SET(option, value) ok = curl_easy_setopt(easy, option, value) == CURLE_OK && ok
	SET(CURLOPT_URL, j->url);
	SET(CURLOPT_PRIVATE, j);
	SET(CURLOPT_ERRORBUFFER, j->curl_says);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L); /* a name service that hangs must not hold the thread after the time-out */
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_TIMEOUT_MS, timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_CAPATH, NULL); /* only without it does curl keep the parsed bundle: 1 ms instead of 20 */
	SET(CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_S);
	if (ca_file)
		SET(CURLOPT_CAINFO, ca_file);
	if (j->unix_socket)
		SET(CURLOPT_UNIX_SOCKET_PATH, j->unix_socket);
	if (j->unix_socket || !f->proxy_from_environment)
		SET(CURLOPT_PROXY, "");
	if (f->user_agent)
		SET(CURLOPT_USERAGENT, f->user_agent);
	SET(CURLOPT_HTTPHEADER, j->headers);
	if (head)
		SET(CURLOPT_NOBODY, 1L);
	if (post || j->body.n) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)j->body.n);
		SET(CURLOPT_POSTFIELDS, j->body.p);
	}
	if (!head && !post && (!get || j->body.n))
		SET(CURLOPT_CUSTOMREQUEST, j->method);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)j->body_bytes_max);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, j);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, j);
#undef SET
	return ok;
}

static void
set_message(struct job *j, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void
set_message(struct job *j, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(j->result.message, sizeof(j->result.message), fmt, args);
	va_end(args);
}

/* The job's end: its callback, then its memory. On the thread, without the lock. */
static void
finish(struct fetcher *f, struct job *j, enum err e)
{
	if (j->easy) {
		curl_multi_remove_handle(f->multi, j->easy);
		give_handle(f, j->easy);
	}
	j->result.err = e;
	if (e != OK) {
		j->result.status = 0;
		buf_reset(&j->result.headers);
		buf_reset(&j->result.body);
	}
	j->result.total_ms = clock_mono_ms(&clock_system) - j->started_ms;
	j->done(j->arg, &j->result);
	job_free(j);
}

static enum err
explain_overrun(struct job *j)
{
	if (j->overrun == OVERRUN_MEMORY) {
		set_message(j, "%s: out of memory", j->peer);
		return E_NOMEM;
	}
	if (j->overrun == OVERRUN_HEADERS)
		set_message(j, "%s: headers longer than %u bytes", j->peer, FETCH_HEADERS_BYTES_MAX);
	else
		set_message(j, "%s: answer longer than %zu bytes", j->peer, j->body_bytes_max);
	return E_LIMIT;
}

/* What curl's code means, in words. curl's own text names hosts, files and certificates, never a query or a header. */
static enum err
explain(struct job *j, CURLcode code)
{
	long os_errno = 0;

	if (j->overrun != OVERRUN_NONE)
		return explain_overrun(j);
	switch (code) {
	case CURLE_OK:
		return OK;
	case CURLE_FILESIZE_EXCEEDED:
		j->overrun = OVERRUN_BODY;
		return explain_overrun(j);
	case CURLE_OUT_OF_MEMORY:
		j->overrun = OVERRUN_MEMORY;
		return explain_overrun(j);
	case CURLE_OPERATION_TIMEDOUT:
		set_message(j, "%s: no answer within %d ms", j->peer, j->timeout_ms);
		return E_SYSTEM;
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(j->easy, CURLINFO_OS_ERRNO, &os_errno);
		set_message(j, "connect to %s: %s", j->peer, os_errno ? strerrordesc_np((int)os_errno) : j->curl_says);
		return E_SYSTEM;
	default:
		set_message(j, "%s: %s", j->peer, j->curl_says[0] ? j->curl_says : curl_easy_strerror(code));
		return E_SYSTEM;
	}
}

static void
start(struct fetcher *f, struct job *j)
{
	uint64_t waited = clock_mono_ms(&clock_system) - j->started_ms;

	if (waited >= (uint64_t)j->timeout_ms) {
		set_message(j, "%s: not begun within %d ms, %zu others were under way", j->peer, j->timeout_ms, f->running_n);
		finish(f, j, E_SYSTEM);
		return;
	}
	CURL *easy = take_handle(f);
	bool ok = easy != NULL;
	if (ok) {
		j->easy = easy;
		ok = set_options(f, j, (long)((uint64_t)j->timeout_ms - waited)) && curl_multi_add_handle(f->multi, easy) == CURLM_OK;
	}
	if (!ok) {
		set_message(j, "%s: no memory to set up the transfer", j->peer);
		finish(f, j, E_NOMEM);
		return;
	}
	j->next = f->running;
	f->running = j;
	f->running_n++;
}

/* Queue to running, as far as there is room. False: the fetcher is being freed. */
static bool
take_work(struct fetcher *f)
{
	for (;;) {
		struct job *j = NULL;

		pthread_mutex_lock(&f->lock);
		bool stopping = f->stopping;
		if (!stopping && f->running_n < f->concurrent_max && (j = f->queue)) {
			f->queue = j->next;
			f->queue_n--;
			if (!f->queue)
				f->queue_tail = &f->queue;
		}
		pthread_mutex_unlock(&f->lock);
		if (stopping)
			return false;
		if (!j)
			return true;
		start(f, j);
	}
}

static void
remove_running(struct fetcher *f, struct job *j)
{
	struct job **at = &f->running;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	f->running_n--;
}

static size_t
finish_done(struct fetcher *f)
{
	CURLMsg *m;
	int left;
	size_t n = 0;

	while ((m = curl_multi_info_read(f->multi, &left))) {
		CURL *easy = m->easy_handle;
		CURLcode code = m->data.result; /* m ends with the handle's removal */
		char *private = NULL;
		long status = 0;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		struct job *j = (struct job *)(void *)private;
		j->result.status = (int)status;
		remove_running(f, j);
		finish(f, j, explain(j, code));
		n++;
	}
	return n;
}

static void
abandon(struct fetcher *f)
{
	struct job *j;

	while ((j = f->running)) {
		remove_running(f, j);
		set_message(j, "%s: abandoned", j->peer);
		finish(f, j, E_AGAIN);
	}
	/* Nobody adds to the queue any more. */
	while ((j = f->queue)) {
		f->queue = j->next;
		set_message(j, "%s: abandoned", j->peer);
		finish(f, j, E_AGAIN);
	}
}

static void *
run(void *arg)
{
	struct fetcher *f = arg;

	while (take_work(f)) {
		int running;

		curl_multi_perform(f->multi, &running);
		if (finish_done(f) == 0)
			curl_multi_poll(f->multi, NULL, 0, 60000, NULL); /* until a socket, a time-out or a wakeup */
	}
	abandon(f);
	return NULL;
}

static bool
start_thread(struct fetcher *f)
{
	sigset_t all, before;

	sigfillset(&all);
	sigdelset(&all, SIGSYS); /* sandbox_violation.c */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&f->thread, NULL, run, f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return !failed;
}

static void
release(struct fetcher *f)
{
	while (f->idle_n)
		curl_easy_cleanup(f->idle[--f->idle_n]);
	if (f->multi)
		curl_multi_cleanup(f->multi);
	pthread_mutex_destroy(&f->lock);
	arena_fini(&f->arena);
	free(f);
}

struct fetcher *
fetcher_new(const struct fetcher_options *o)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct fetcher *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	pthread_once(&once, init_curl);
	pthread_mutex_init(&f->lock, NULL);
	f->queue_tail = &f->queue;
	f->user_agent = o->user_agent ? arena_strdup(&f->arena, o->user_agent) : NULL;
	f->ca_file = o->ca_file ? arena_strdup(&f->arena, o->ca_file) : NULL;
	f->concurrent_max = o->concurrent_max > 0 ? (size_t)o->concurrent_max : CONCURRENT_DEFAULT;
	f->queue_max = o->queue_max > 0 ? (size_t)o->queue_max : QUEUE_DEFAULT;
	f->proxy_from_environment = o->proxy_from_environment;
	f->multi = curl_multi_init();
	if (!f->multi || (o->user_agent && !f->user_agent) || (o->ca_file && !f->ca_file)) {
		release(f);
		return NULL;
	}
	return f;
}

void
fetcher_free(struct fetcher *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stopping = true;
	bool started = f->started;
	pthread_mutex_unlock(&f->lock);
	if (started) {
		curl_multi_wakeup(f->multi);
		pthread_join(f->thread, NULL);
	}
	release(f);
}

enum err
fetch_start(struct fetcher *f, const struct fetch_request *req, void (*done)(void *arg, struct fetch_result *r), void *arg)
{
	struct job *j;
	enum err e = job_new(req, &j);

	if (e != OK)
		return e;
	j->done = done;
	j->arg = arg;
	pthread_mutex_lock(&f->lock);
	if (f->stopping)
		e = E_CONFLICT;
	else if (f->queue_n >= f->queue_max)
		e = E_LIMIT;
	else if (!f->started && !(f->started = start_thread(f)))
		e = E_NOMEM;
	else {
		*f->queue_tail = j;
		f->queue_tail = &j->next;
		f->queue_n++;
	}
	pthread_mutex_unlock(&f->lock);
	if (e != OK)
		job_free(j);
	else
		curl_multi_wakeup(f->multi);
	return e;
}

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done;
	struct fetch_result *out;
};

static void
wake_waiter(void *arg, struct fetch_result *r)
{
	struct waiter *w = arg;

	pthread_mutex_lock(&w->lock);
	*w->out = *r;
	buf_init(&r->headers, 0);
	buf_init(&r->body, 0);
	w->done = true;
	pthread_cond_signal(&w->over);
	pthread_mutex_unlock(&w->lock);
}

enum err
fetch_wait(struct fetcher *f, const struct fetch_request *req, struct fetch_result *out)
{
	struct waiter w = { .out = out };
	enum err e = E_CONFLICT;

	*out = (struct fetch_result){ .err = OK };
	pthread_mutex_lock(&f->lock);
	bool ours = f->started && pthread_equal(pthread_self(), f->thread);
	pthread_mutex_unlock(&f->lock);
	if (!ours) {
		pthread_mutex_init(&w.lock, NULL);
		pthread_cond_init(&w.over, NULL);
		e = fetch_start(f, req, wake_waiter, &w); /* *out may be filled before it returns */
		pthread_mutex_lock(&w.lock);
		while (e == OK && !w.done)
			pthread_cond_wait(&w.over, &w.lock);
		pthread_mutex_unlock(&w.lock);
		pthread_cond_destroy(&w.over);
		pthread_mutex_destroy(&w.lock);
	}
	if (e == OK)
		return out->err;
	out->err = e;
	snprintf(out->message, sizeof(out->message), "cannot begin: %s", err_name(out->err));
	return out->err;
}
