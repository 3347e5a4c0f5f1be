/* kubectl-gatehouse - signs in to an OpenID Connect issuer for kubectl. Also runs as "kubectl gatehouse". */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "oidc/base64url.h"
#include "oidc/login/exec_credential.h"
#include "oidc/login/signin.h"
#include "shared/address.h"
#include "shared/config.h"
#include "shared/log.h"

#define DEFAULT_SCOPE "openid email profile groups offline_access"
#define DEFAULT_TIMEOUT_MS 180000

static const char usage[] =
	"kubectl-gatehouse " GATEHOUSE_VERSION " - sign in once, be yourself in every cluster\n"
	"\n"
	"  kubectl gatehouse login     --issuer URL --client-id ID [options]   sign in with a browser now\n"
	"  kubectl gatehouse get-token --issuer URL --client-id ID [options]   print a token for kubectl (exec plugin)\n"
	"  kubectl gatehouse whoami    [--issuer URL]                          who the stored tokens say you are\n"
	"  kubectl gatehouse logout    [--issuer URL]                          forget stored tokens\n"
	"\n"
	"Options:\n"
	"  --issuer URL                   the OpenID Connect issuer, exactly as it names itself\n"
	"  --client-id ID                 public client registered there\n"
	"  --scope \"A B\"                  what to ask for (default \"" DEFAULT_SCOPE "\")\n"
	"  --certificate-authority FILE   PEM bundle to verify the issuer with (default: the cluster's own if it is on the\n"
	"                                 issuer's host and kubectl says it, else the system's)\n"
	"  --listen-port N                port of the browser's answer on 127.0.0.1 (default: any free one)\n"
	"  --device                       show a code to type, or a QR code, for a browser on another machine\n"
	"  --no-browser                   print the address instead of opening a browser\n"
	"  --timeout DURATION             how long to wait for the person (default 3m)\n"
	"  --help, --version\n"
	"\n"
	"Tokens are kept in $XDG_CACHE_HOME/gatehouse (default ~/.cache/gatehouse), readable by you only.\n";

struct options {
	struct signin_options signin;
	const char *issuer;
};

static int
fail(const char *what)
{
	fprintf(stderr, "kubectl-gatehouse: %s\n", what);
	return 1;
}

static bool
parse_options(int argc, char **argv, struct options *o)
{
	static const struct option known[] = { { "issuer", required_argument, NULL, 'i' }, { "client-id", required_argument, NULL, 'c' },
		{ "scope", required_argument, NULL, 's' }, { "certificate-authority", required_argument, NULL, 'a' },
		{ "listen-port", required_argument, NULL, 'p' }, { "no-browser", no_argument, NULL, 'n' }, { "timeout", required_argument, NULL, 't' },
		{ "device", no_argument, NULL, 'd' },		{ NULL, 0, NULL, 0 } };
	int c;
	int64_t ms;
	uint64_t port;
	*o = (struct options){ .signin = { .scope = DEFAULT_SCOPE, .open_browser = true, .timeout_ms = DEFAULT_TIMEOUT_MS } };
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'i':
			o->issuer = optarg;
			break;
		case 'c':
			o->signin.client_id = optarg;
			break;
		case 's':
			o->signin.scope = optarg;
			break;
		case 'a':
			o->signin.ca_file = optarg;
			break;
		case 'p':
			if (!slice_to_u64(slice_str(optarg), 65535, &port)) {
				fail("--listen-port: expected 0 to 65535");
				return false;
			}
			o->signin.listen_port = (uint16_t)port;
			break;
		case 'd':
			o->signin.device = true;
			break;
		case 'n':
			o->signin.open_browser = false;
			break;
		case 't':
			if (duration_parse_ms(slice_str(optarg), &ms) != OK || ms < 1000 || ms > 3600000) {
				fail("--timeout: expected a duration from 1s to 1h, as in 3m");
				return false;
			}
			o->signin.timeout_ms = (int)ms;
			break;
		default:
			fprintf(stderr, "Try: kubectl-gatehouse --help\n");
			return false;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "kubectl-gatehouse: unexpected argument \"%s\"\n", argv[optind]);
		return false;
	}
	o->signin.issuer = o->issuer;
	return true;
}

static bool
issuer_ok(const char *issuer, char *why, size_t why_n)
{
	struct url u;
	if (url_parse(slice_str(issuer), &u) != OK || u.query.n) {
		snprintf(why, why_n, "--issuer: expected an absolute URL like https://gateway.example/oidc, found \"%s\"", issuer);
		return false;
	}
	bool local = slice_eq_str(u.host, "localhost") || slice_eq_str(u.host, "127.0.0.1") || slice_eq_str(u.host, "::1");
	if (!u.tls && !local) {
		snprintf(why, why_n, "--issuer: http is only for this machine itself; a token must not travel in the open");
		return false;
	}
	return true;
}

/* The cluster's CA serves for the issuer when both are on one host, as at a gateway. The file is a memfd: nothing is left behind. */
static const char *
cluster_ca(const struct exec_info *info, const char *issuer, char path[64])
{
	struct url cluster, u;
	if (!info->ca_pem.n || url_parse(info->server, &cluster) != OK || url_parse(slice_str(issuer), &u) != OK || !slice_eq(cluster.host, u.host) ||
		cluster.port != u.port)
		return NULL;
	int fd = memfd_create("cluster-ca", 0);
	for (size_t at = 0; fd >= 0 && at < info->ca_pem.n;) {
		ssize_t n = write(fd, info->ca_pem.p + at, info->ca_pem.n - at);
		if (n <= 0)
			return NULL;
		at += (size_t)n;
	}
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return fd >= 0 ? path : NULL;
}

static void
print_claim(json_t *claims, const char *label, const char *name)
{
	json_t *v = json_object_get(claims, name), *item;
	size_t i;
	if (json_is_string(v) && json_string_length(v))
		printf("%-9s %s\n", label, json_string_value(v));
	if (json_is_array(v) && json_array_size(v)) {
		printf("%-9s", label);
		json_array_foreach(v, i, item) printf("%s%s", i ? ", " : " ", json_is_string(item) ? json_string_value(item) : "?");
		printf("\n");
	}
}

/* The payload of a token that was verified when it was stored. */
static void
print_person(const struct login_tokens *t)
{
	struct slice rest = t->id_token;
	slice_cut(&rest, '.');
	struct slice payload = slice_cut(&rest, '.');
	char *text = malloc(payload.n + 1), when[64] = "";
	size_t n = 0;
	json_t *claims = text && base64url_decode(payload, text, payload.n, &n) == OK ? json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	time_t exp = (time_t)t->expires_at, now = time(NULL);
	struct tm tm;
	if (localtime_r(&exp, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S %Z", &tm);
	printf("%-9s %.*s\n", "Issuer", SLICE_FMT(t->issuer));
	print_claim(claims, "Name", "name");
	print_claim(claims, "Mail", "email");
	print_claim(claims, "Subject", "sub");
	print_claim(claims, "Groups", "groups");
	printf("%-9s %s%s\n", exp > now ? "Until" : "Ended", when, t->refresh_token.n ? " (renewed by itself)" : "");
	json_decref(claims);
	free(text);
}

static void
visit_print(void *arg, const char *path, const struct login_tokens *t)
{
	size_t *n = arg;
	(void)path;
	if ((*n)++)
		printf("\n");
	print_person(t);
}

static void
visit_remove(void *arg, const char *path, const struct login_tokens *t)
{
	int *failed = arg;
	if (unlink(path) != 0) {
		fprintf(stderr, "kubectl-gatehouse: %s: %s\n", path, strerror(errno));
		*failed = 1;
	} else {
		printf("Forgot the tokens of %.*s\n", SLICE_FMT(t->issuer));
	}
}

static int
command_signin(struct options *o, bool credential)
{
	char why[512] = "", ca_path[64];
	const char *reason;
	struct arena arena;
	struct exec_info info;
	struct login_tokens tokens;
	if (!o->issuer || !o->signin.client_id)
		return fail("--issuer and --client-id are required; see kubectl-gatehouse --help");
	if (!issuer_ok(o->issuer, why, sizeof(why)))
		return fail(why);
	arena_init(&arena, 8u << 20);
	if (exec_info_parse(credential ? getenv("KUBERNETES_EXEC_INFO") : NULL, &arena, &info, &reason) != OK) {
		arena_fini(&arena);
		return fail(reason);
	}
	if (!o->signin.ca_file)
		o->signin.ca_file = cluster_ca(&info, o->issuer, ca_path);
	o->signin.paste = info.interactive && isatty(STDIN_FILENO);
	o->signin.fresh = !credential;
	int rc = 0;
	if (signin(&o->signin, &arena, &tokens, why, sizeof(why)) != OK) {
		rc = fail(why);
	} else if (credential) {
		struct buf out;
		buf_init(&out, 0);
		exec_credential_add(&out, info.api_version, tokens.id_token, tokens.expires_at - SIGNIN_MARGIN_S);
		if (!buf_ok(&out) || fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout) != 0)
			rc = fail("the credential cannot be written to standard output");
		buf_fini_secret(&out);
	} else {
		print_person(&tokens);
	}
	arena_fini_secret(&arena);
	return rc;
}

int
main(int argc, char **argv)
{
	struct options o;
	size_t shown = 0;
	int failed = 0;
	log_setup("kubectl-gatehouse", 2, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		fputs(usage, argc < 2 ? stderr : stdout);
		return argc < 2 ? 2 : 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("kubectl-gatehouse " GATEHOUSE_VERSION);
		return 0;
	}
	/* Tokens pass through this process's memory: no core file, no other process looking. Nothing that the browser would inherit. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return fail("this process cannot be protected (prctl)");
	const char *command = argv[1];
	if (!parse_options(argc - 1, argv + 1, &o))
		return 2;
	if (strcmp(command, "get-token") == 0)
		return command_signin(&o, true);
	if (strcmp(command, "login") == 0)
		return command_signin(&o, false);
	if (strcmp(command, "whoami") == 0) {
		if (login_cache_each(o.issuer, visit_print, &shown) == 0)
			return fail("nobody is signed in here; run: kubectl gatehouse login --issuer URL --client-id ID");
		return 0;
	}
	if (strcmp(command, "logout") == 0) {
		if (login_cache_each(o.issuer, visit_remove, &failed) == 0)
			puts("Nobody was signed in here.");
		return failed;
	}
	fprintf(stderr, "kubectl-gatehouse: no command \"%s\"; see kubectl-gatehouse --help\n", command);
	return 2;
}
