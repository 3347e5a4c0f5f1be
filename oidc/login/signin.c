#include "oidc/login/signin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "oidc/base64url.h"
#include "oidc/login/loopback.h"
#include "oidc/login/provider.h"
#include "oidc/login/qr.h"
#include "oidc/pkce.h"
#include "shared/clock.h"
#include "shared/rng.h"

#define RANDOM_BYTES 32

static bool
random_text(char out[BASE64URL_ENCODED_BYTES(RANDOM_BYTES) + 1])
{
	unsigned char bytes[RANDOM_BYTES];
	if (rng_fill(&rng_system, bytes, sizeof(bytes)) != OK)
		return false;
	base64url_encode(bytes, sizeof(bytes), out);
	return true;
}

/* Start the person's browser, detached, silent. False: there is none. The program is found out before anything is forked twice. */
static bool
open_browser(const char *url)
{
	const char *const tries[] = { getenv("BROWSER"), "xdg-open", "open", "wslview" };
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		int pipefd[2];
		if (!tries[i] || !*tries[i] || pipe2(pipefd, O_CLOEXEC) != 0)
			continue;
		pid_t pid = fork();
		if (pid == 0) {
			/* Twice, so that the browser belongs to nobody who waits; the pipe closes at exec, or carries the error. */
			if (fork() != 0)
				_exit(0);
			setsid();
			int null = open("/dev/null", O_RDWR);
			for (int fd = 0; fd <= 2 && null >= 0; fd++)
				dup2(null, fd);
			execlp(tries[i], tries[i], url, (char *)NULL);
			int failed = errno;
			ssize_t ignored = write(pipefd[1], &failed, sizeof(failed));
			(void)ignored;
			_exit(127);
		}
		close(pipefd[1]);
		int failed = 0;
		ssize_t n = pid > 0 ? read(pipefd[0], &failed, sizeof(failed)) : 1;
		close(pipefd[0]);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		if (n == 0)
			return true;
	}
	return false;
}

static void
tell_url(const struct signin_options *o, const char *url)
{
	bool opened = o->open_browser && open_browser(url);
	fprintf(stderr, opened ? "Your browser shows the sign-in page. If it does not, open this address:\n\n  %s\n\n" :
				  "Open this address in a browser to sign in:\n\n  %s\n\n", url);
	if (o->paste)
		fprintf(stderr, "If that browser is on another machine, it ends on a page that it cannot reach: paste that page's address here.\n");
}

/* Code flow with PKCE and a loopback redirect (RFC 8252). */
static enum err
browser_signin(const struct signin_options *o, struct provider *p, struct arena *arena, struct login_tokens *out, char *why, size_t why_n)
{
	char state[44], nonce[44], verifier[44], challenge[PKCE_CHALLENGE_BYTES + 1];
	struct loopback l;
	struct form *query = arena_alloc(arena, sizeof(*query));
	struct buf url;
	if (!query || !random_text(state) || !random_text(nonce) || !random_text(verifier)) {
		snprintf(why, why_n, "no randomness or memory");
		return E_SYSTEM;
	}
	if (loopback_open(&l, o->listen_port) != OK) {
		snprintf(why, why_n, "cannot listen on 127.0.0.1:%u for the browser's answer: %s; choose another --listen-port", o->listen_port, strerror(errno));
		return E_SYSTEM;
	}
	pkce_challenge_s256(slice_str(verifier), challenge);
	buf_init(&url, 16384);
	enum err err = provider_authorization_url(p, l.redirect_uri, slice_str(state), slice_str(nonce), slice_str(challenge), &url);
	if (err == OK) {
		tell_url(o, url.p);
		err = loopback_wait(&l, slice_str(state), o->paste ? STDIN_FILENO : -1, o->timeout_ms, arena, query);
		if (err == E_AGAIN)
			snprintf(why, why_n, "nobody signed in within %d seconds", o->timeout_ms / 1000);
		else if (err != OK)
			snprintf(why, why_n, "waiting for the browser: %s", strerror(errno));
	} else {
		snprintf(why, why_n, "the sign-in address is too long");
	}
	buf_fini(&url);
	loopback_close(&l);
	if (err != OK)
		return err;
	struct slice error = form_get(query, "error"), description = form_get(query, "error_description"), iss = form_get(query, "iss");
	if (error.p) {
		snprintf(why, why_n, "the issuer refused: %.*s%s%.*s", SLICE_FMT(error), description.n ? ": " : "", SLICE_FMT(description));
		return E_DENIED;
	}
	/* RFC 9207 section 2.4: an answer of another issuer is not for us. */
	if (iss.p && !slice_eq_str(iss, o->issuer)) {
		snprintf(why, why_n, "the answer came from another issuer");
		return E_DENIED;
	}
	return provider_redeem(p, form_get(query, "code"), l.redirect_uri, slice_str(verifier), slice_str(nonce), arena, out, why, why_n);
}

/* For a telephone's camera. An address that is too long for one is there in letters anyway. */
static void
draw(struct slice address)
{
	struct qr q;
	struct buf out;
	if (qr_encode(address, &q) != OK)
		return;
	buf_init(&out, 0);
	qr_print(&q, &out);
	if (buf_ok(&out))
		fprintf(stderr, "%.*s\n", SLICE_FMT(buf_slice(&out)));
	buf_fini(&out);
}

static void
tell_code(const struct provider_device *d)
{
	fprintf(stderr, "Open this address in a browser on any machine:\n\n  %.*s\n\nand type this code:\n\n  %.*s\n\n", SLICE_FMT(d->verification_uri),
		SLICE_FMT(d->user_code));
	if (d->verification_uri_complete.n)
		fprintf(stderr, "or open this one, and compare the code that it shows:\n\n  %.*s\n\n", SLICE_FMT(d->verification_uri_complete));
	if (d->verification_uri_complete.n && isatty(STDERR_FILENO))
		draw(d->verification_uri_complete);
}

/* Device flow: ask every few seconds, less often when the issuer says so or cannot be reached (RFC 8628 section 3.5). */
static enum err
device_signin(const struct signin_options *o, struct provider *p, struct arena *arena, struct login_tokens *out, char *why, size_t why_n)
{
	struct provider_device d;
	enum err err = provider_device_start(p, arena, &d, why, why_n);
	if (err != OK)
		return err;
	int64_t patience_ms = o->timeout_ms < d.expires_in_s * 1000 ? o->timeout_ms : d.expires_in_s * 1000;
	uint64_t until_ms = clock_mono_ms(&clock_system) + (uint64_t)patience_ms;
	int64_t interval_ms = d.interval_s * 1000;
	tell_code(&d);
	for (;;) {
		int64_t left_ms = (int64_t)(until_ms - clock_mono_ms(&clock_system));
		if (left_ms <= 0) {
			snprintf(why, why_n, "nobody signed in within %lld seconds", (long long)(patience_ms / 1000));
			return E_AGAIN;
		}
		int64_t wait_ms = left_ms < interval_ms ? left_ms : interval_ms;
		nanosleep(&(struct timespec){ .tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000 }, NULL);
		if (wait_ms < interval_ms)
			continue; /* too early to ask, and too late */
		err = provider_device_poll(p, d.device_code, arena, out, why, why_n);
		if (err == E_LIMIT)
			interval_ms += 5000;
		else if (err == E_SYSTEM)
			interval_ms *= 2;
		else if (err != E_AGAIN)
			return err;
	}
}

static bool
usable(const struct login_tokens *t)
{
	return t->expires_at > clock_now_s(&clock_system) + SIGNIN_MARGIN_S;
}

/* With the entry locked: what other processes did while we waited counts. */
static enum err
signin_locked(const struct signin_options *o, struct login_cache *cache, struct arena *arena, struct login_tokens *out, char *why, size_t why_n)
{
	struct provider p;
	struct login_tokens held;
	enum err have = login_cache_get(cache, arena, &held), err = E_EMPTY;
	if (!o->fresh && have == OK && usable(&held)) {
		*out = held;
		return OK;
	}
	if (provider_init(&p, o->issuer, o->client_id, o->scope, o->ca_file) != OK) {
		snprintf(why, why_n, "out of memory or threads");
		return E_NOMEM;
	}
	err = provider_discover(&p, why, why_n);
	if (err == OK) {
		enum err refreshed = E_EMPTY;
		if (!o->fresh && have == OK && held.refresh_token.n)
			refreshed = provider_refresh(&p, held.refresh_token, arena, out, why, why_n);
		/* Refused or nothing to refresh with: the person has to come. Unreachable: say so, and keep what is stored. */
		if (refreshed == E_EMPTY || refreshed == E_DENIED || refreshed == E_FORMAT)
			err = o->device ? device_signin(o, &p, arena, out, why, why_n) : browser_signin(o, &p, arena, out, why, why_n);
		else
			err = refreshed;
	}
	if (err == OK) {
		err = login_cache_put(cache, out, why, why_n);
		/* The tokens are good even where they cannot be kept. */
		if (err != OK)
			fprintf(stderr, "warning: %s\n", why);
		err = OK;
	}
	provider_fini(&p);
	return err;
}

enum err
signin(const struct signin_options *o, struct arena *arena, struct login_tokens *out, char *why, size_t why_n)
{
	struct login_cache cache;
	enum err err = login_cache_open(&cache, o->issuer, o->client_id, o->scope, why, why_n);
	if (err != OK)
		return err;
	/* The usual way: nothing to lock, nothing to ask. */
	if (!o->fresh && login_cache_get(&cache, arena, out) == OK && usable(out))
		return OK;
	err = login_cache_lock(&cache, why, why_n);
	if (err == OK)
		err = signin_locked(o, &cache, arena, out, why, why_n);
	login_cache_close(&cache);
	return err;
}
