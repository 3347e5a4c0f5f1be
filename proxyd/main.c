#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include "proxyd/control.h"
#include "proxyd/master.h"
#include "shared/process.h"
#include "shared/program.h"

static const char usage[] = "usage: proxyd [--check] CONFIG\n"
			    "       proxyd --help | --version\n";

static const char help[] =
	"usage: proxyd [--check] CONFIG\n"
	"       proxyd --help | --version\n"
	"\n"
	"proxyd is the access gateway of Gatehouse: a TLS proxy in front of kube-apiserver. It verifies who is\n"
	"calling (OpenID Connect tokens, browser sessions of authd) and passes the request on with its own\n"
	"credential and Impersonate-* headers, so that the cluster's RBAC decides for that person.\n"
	"\n"
	"It stays in the foreground and logs to standard error or a file. A master process opens the addresses\n"
	"and starts a logger, which alone writes files, so that no disk delays a request; one keeper, which\n"
	"fetches the issuers' keys; and the workers, which serve. A process that dies is replaced.\n"
	"\n"
	"OPTIONS\n"
	"  CONFIG      YAML file; every error in it is reported with its line and key\n"
	"  --check     read CONFIG, the certificates, keys and kubeconfigs that it names, report and end\n"
	"  --help      this text\n"
	"  --version   version of this program and of OpenSSL\n"
	"\n"
	"CONFIGURATION\n"
	"  listen:                                 # required\n"
	"  - address: \"0.0.0.0:8443\"               # IP:PORT, [IPv6]:PORT, :PORT (all), unix:/path; port 0: any free one\n"
	"    tls: {certFile: FILE, keyFile: FILE, minVersion: \"1.2\"}\n"
	"    proxyProtocol: false                  # true: each connection begins with a header of the PROXY protocol, v1 or v2\n"
	"  trustedProxies: [10.0.0.0/8]            # who may say who is calling: X-Forwarded-For, PROXY; default: nobody\n"
	"  workers: 0                              # 0: one for each CPU\n"
	"  user: NAME                              # to become when started as root\n"
	"  sandbox: available                      # required: do not start where the kernel has no seccomp or no Landlock\n"
	"  authentication:\n"
	"    jwt:                                  # as in Kubernetes' AuthenticationConfiguration, without CEL\n"
	"    - issuer:\n"
	"        url: https://gateway.example.com/oidc\n"
	"        audiences: [kubectl]              # a token must have one of them\n"
	"        audienceMatchPolicy: MatchAny     # that, as Kubernetes says it\n"
	"        discoveryURL: unix:/run/gatehouse/authd.sock   # or an https URL; default: below url\n"
	"        certificateAuthority: FILE        # or the PEM text; default: the system's\n"
	"      claimMappings:\n"
	"        username: {claim: email, prefix: \"\"}          # default: sub, prefixed with \"ISSUER#\"\n"
	"        groups: {claim: groups, prefix: \"oidc:\"}\n"
	"        uid: {claim: sub}\n"
	"      claimValidationRules: [{claim: hd, requiredValue: example.com}]\n"
	"    session: {issuer: URL,                # whose cookies and ended sessions count; default: the first issuer behind a socket\n"
	"              cookieName: __Host-gatehouse,\n"
	"              revocationsSecretFile: FILE}   # of an issuer elsewhere: its ended sessions are heard of over https\n"
	"    clientCertificate: {certificateAuthority: FILE}   # asked for, not demanded; CN is the user, each O a group\n"
	"    tokenReview: {enabled: false, audiences: []}      # ask the request's cluster about tokens of no issuer above:\n"
	"                                          # service accounts; needs the role gatehouse-reviewer there\n"
	"    tokenFile: FILE                       # lines of token,user,uid,\"group1,group2\"; read again by HUP\n"
	"    longRunning: {sessionEnded: cut, tokenExpired: 8h}   # watches, followed logs and tunnels when their session has\n"
	"                                          # ended (cut, keep), and how long they go on after their token expired\n"
	"    howExtra: true                        # say upstream how a caller was proven: extra gatehouse/how\n"
	"  clusters:                               # the one called \"default\", or the first, is served at /\n"
	"  - {name: default, kubeconfig: FILE, context: NAME,\n"
	"     servers: [\"10.0.0.1:6443\", \"10.0.0.2:6443\"],   # to connect to instead of the kubeconfig's server, whose name,\n"
	"                                          # authority and credential stay; default: that one\n"
	"     impersonateOthers: refuse,           # or subjectAccessReview: the cluster is asked whom the caller may be (--as);\n"
	"                                          # role gatehouse-reviewer\n"
	"     http2: watches,                      # many of them share a connection, if the server speaks HTTP/2; or never\n"
	"     allowedGroups: [GROUP]}              # one of them is needed; default: everybody who is known\n"
	"  routes:\n"
	"  - {path: /oidc, to: \"unix:/run/gatehouse/authd.sock\"}   # our own authd\n"
	"  - path: /app                            # at most 3 segments, longest first; / where no cluster is, or with a host\n"
	"    host: app.example.com                 # default: any\n"
	"    to: https://HOST:PORT/BASE            # or http:// on this machine, or unix:/path\n"
	"    kind: bearer                          # passes on the caller's ID token; frontProxy: says X-Remote-User, -Group, -Uid,\n"
	"                                          # -Extra-*; session: for people signed in in a browser; public: for everybody\n"
	"    audience: CLIENT                      # bearer: the client of authd's that a session's ID token is made for; default:\n"
	"                                          # its issuer, which makes it good for nothing at the gateway\n"
	"    stripPrefix: false                    # true: the backend's paths begin behind path\n"
	"    tls: {certificateAuthority: FILE, certFile: FILE, keyFile: FILE, serverName: NAME}   # certFile: needed by frontProxy\n"
	"    allowedGroups: [GROUP]                # as of a cluster\n"
	"    allowedOrigins: [https://HOST]        # whose pages are taken for ours: WebSockets and changes by cookie\n"
	"  limits: {headerBytes: 65536, headerTimeout: 10s, idleTimeout: 5m, bodyTimeout: 1m, bodyRate: 240,\n"
	"           upstreamConnectTimeout: 5s, upstreamIdleTimeout: 60s, tunnelIdleTimeout: 1h, drainTimeout: 30s,\n"
	"           tunnelDrainTimeout: 8h,           # exec, port-forward, followed logs of old processes after HUP, TTOU, USR2\n"
	"           watchMaxAge: 1h,                  # ends behind an event, as the cluster's own do; 0: not by us\n"
	"           upgradeTimeout: 1m,               # how long a new program may take until it is ready\n"
	"           connections: 0, connectionsPerAddress: 0, tokenBytes: 8192, identities: 65536,   # each worker counts for itself\n"
	"           requestRatePerAddress: 0, requestRatePerIdentity: 0, refusalRatePerAddress: 50,  # a second; 0: no limit\n"
	"           requestsInFlight: 4096, requestsInFlightPerIdentity: 0}\n"
	"  admin: {address: \"127.0.0.1:9443\"}      # plain HTTP: /livez, /readyz, /metrics\n"
	"  reloadOnChange: false                   # true: a change of CONFIG counts as HUP. Of certificates, keys,\n"
	"                                          # kubeconfigs and other files that it names it does always\n"
	"  pidFile: FILE                           # of the master that serves; default: none\n"
	"  log: {level: info, format: json, file: LOG}   # debug, info, warn, error; text, json; default: standard error\n"
	"  audit: {file: AUDIT, level: Metadata}   # an audit.k8s.io/v1 Event for each request to a cluster, one a line\n"
	"\n"
	"SIGNALS (to the master process)\n"
	"  HUP         read CONFIG, certificates and kubeconfigs anew. New processes start beside the old ones and take\n"
	"              over when they are ready; the old ones finish what they are doing: requests for at most drainTimeout,\n"
	"              tunnels and followed logs for at most tunnelDrainTimeout; watches end between two events.\n"
	"              If anything is wrong nothing changes, and the log says why\n"
	"  USR1        open log and audit files again, after they have been renamed. Nothing is lost; \"log file opened\" in the\n"
	"              new file says that the old one is complete\n"
	"  USR2        start the program's file as it is now, with the same arguments and sockets, beside this one. When it is\n"
	"              ready new connections are its to answer; when it has answered one, or ten seconds have passed without\n"
	"              the loss of a process, this one leaves as after HUP. Whatever goes wrong before that ends the new one,\n"
	"              this one goes on, and the log says why\n"
	"  TTIN, TTOU  one worker more, one worker less, until the next HUP. The one that leaves finishes what it has, as\n"
	"              after HUP\n"
	"  QUIT        finish what is running, tunnels too, for at most drainTimeout, then end\n"
	"  TERM, INT   end now\n"
	"\n"
	"ENVIRONMENT\n"
	"  NOTIFY_SOCKET, WATCHDOG_USEC   set by systemd (Type=notify): READY=1, RELOADING=1, STOPPING=1, WATCHDOG=1,\n"
	"                                 and MAINPID after USR2\n"
	"  LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES   sockets that systemd has opened (Sockets=): one that has an address of CONFIG is\n"
	"                                 used in place of one of our own, others are closed with a line in the log\n"
	"\n"
	"EXIT STATUS\n"
	"  0  ended by a signal, replaced by USR2, or --check found nothing wrong    1  could not start, or --check found an error\n"
	"  2  wrong command line\n";

/* A descriptor below 3 that is not open would be given to the next socket, which children would take for a standard stream. */
static void
open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 3);
	if (fd >= 3)
		close(fd);
}

static int
run(const char *path)
{
	struct proxyd_config *config;
	struct config_error e = { "" };
	struct inheritance inheritance;
	int status = 1;

	if (inheritance_take(&inheritance, e.text) == OK && proxyd_config_load(path, &clock_system, &config, &e) == OK) {
		status = master_run(path, config, &inheritance, &clock_system);
	} else {
		fprintf(stderr, "proxyd: %s\n", e.text);
		inheritance_tell(&inheritance, CONTROL_FAILED, 0, e.text, -1);
	}
	inheritance_fini(&inheritance);
	return status;
}

int
main(int argc, char **argv)
{
	struct proxyd_config *config;
	struct config_error e = { "" };
	bool check = argc > 1 && strcmp(argv[1], "--check") == 0;
	const char *path = argc == 2 + check ? argv[1 + check] : NULL;

	open_standard_streams();
	if (path && strcmp(path, "--help") == 0 && !check)
		return fputs(help, stdout) < 0 || fflush(stdout) != 0;
	if (path && strcmp(path, "--version") == 0 && !check)
		return printf("proxyd %s, %s\n", GATEHOUSE_VERSION, OpenSSL_version(OPENSSL_VERSION)) < 0 || fflush(stdout) != 0;
	if (!path || path[0] == '-') {
		fputs(usage, stderr);
		return 2;
	}
	if (program_init(argv) == E_NOMEM)
		return 1;
	process_title_init(argc, argv);
	path = argv[1 + check]; /* it may have been moved */
	if (!check)
		return run(path);
	if (proxyd_config_load(path, &clock_system, &config, &e)) {
		fprintf(stderr, "proxyd: %s\n", e.text);
		return 1;
	}
	proxyd_config_free(config);
	return printf("%s: ok\n", path) < 0 || fflush(stdout) != 0;
}
