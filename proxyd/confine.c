#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include "oidc/strict_json.h"
#include "proxyd/confine.h"
#include "shared/log.h"
#include "shared/process.h"
#include "shared/rng.h"
#include "shared/sandbox.h"

/* What libraries would open later is settled now: jansson takes its seed from /dev/urandom at its first object. */
static enum err
settle(void)
{
	uint32_t seed;

	if (rng_fill(&rng_system, &seed, sizeof(seed)))
		return E_SYSTEM;
	strict_json_seed(seed);
	return OK;
}

/* It reads no network byte, but opens files of any name (HUP, USR1), forks, and executes the binary that replaces it (USR2): which file is executed is behind a pointer,
 * and who may open any file can have the loader run it, so Landlock would be no answer either. Its children inherit this and add their own. */
enum err
confine_master(void)
{
	/* Where it is root, to open what only root may, to bind low ports, to make children somebody else, to signal them. */
	static const uint64_t kept = 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_DAC_READ_SEARCH | 1ull << CAP_FOWNER | 1ull << CAP_CHOWN | 1ull << CAP_NET_BIND_SERVICE |
		1ull << CAP_SETUID | 1ull << CAP_SETGID | 1ull << CAP_SETPCAP | 1ull << CAP_KILL | 1ull << CAP_SYS_RESOURCE;
	const struct sandbox s = { .needs = SANDBOX_FORKS };
	enum err e = process_keep_capabilities(kept);

	return e ? e : sandbox_enter(&s);
}

/* HTTPS to issuers anywhere, by a thread of curl's; the admin address. It reads /proc/self for its metrics: held open, for to Landlock a folder of /proc that is made anew is
 * another. */
enum err
confine_keeper(void)
{
	static const struct sandbox_path paths[] = { { "/proc/self", SANDBOX_MAY_READ } };
	const struct sandbox s = {
		.needs = SANDBOX_CONNECT | SANDBOX_LOCAL | SANDBOX_ACCEPT | SANDBOX_NAMES | SANDBOX_READ | SANDBOX_THREADS,
		.paths = paths,
		.path_n = sizeof(paths) / sizeof(paths[0]),
	};

	if (open("/proc/self", O_PATH | O_CLOEXEC) < 0 && errno != ENOENT)
		return E_SYSTEM;
	enum err e = settle();
	return e ? e : sandbox_enter(&s);
}

/* It writes into descriptors that master gives it and talks to nobody. */
enum err
confine_logger(void)
{
	const struct sandbox s = { .needs = 0 };

	return sandbox_enter(&s);
}

static void
add_port(struct confine_destinations *d, uint16_t port)
{
	for (size_t i = 0; i < d->port_n; i++)
		if (d->ports[i] == port)
			return;
	if (d->port_n < CONFINE_PORTS_MAX)
		d->ports[d->port_n++] = port;
	else
		d->too_many = true;
}

void
confine_add(struct confine_destinations *d, const struct address *addresses, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (addresses[i].u.sa.sa_family == AF_UNIX)
			d->local = true;
		else if (addresses[i].u.sa.sa_family == AF_INET)
			add_port(d, ntohs(addresses[i].u.in4.sin_port));
		else
			add_port(d, ntohs(addresses[i].u.in6.sin6_port));
	}
}

/* It talks to everybody: no file, no process, no thread; connections to upstreams' ports only. */
enum err
confine_worker(const struct confine_destinations *d)
{
	const struct sandbox s = {
		.needs = SANDBOX_ACCEPT | (d->port_n ? SANDBOX_CONNECT : 0u) | (d->local ? SANDBOX_LOCAL : 0u),
		.ports = d->too_many ? NULL : d->ports,
		.port_n = d->port_n,
	};

	if (d->too_many)
		log_warn("sandbox: too many different ports: a worker may connect to any", LOG_UINT("ports_max", CONFINE_PORTS_MAX));
	enum err e = settle();
	return e ? e : sandbox_enter(&s);
}
