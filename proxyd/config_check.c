#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "proxyd/config_check_state.h"
#include "shared/certificate.h"
#include "shared/file.h"
#include "shared/process.h"
#include "shared/sandbox.h"

#define PEM_BYTES_MAX (1u << 20)

int
config_check_line(const struct yaml_node *root, const char *key)
{
	int line;

	config_path_node(root, key, false, &line);
	return line;
}

enum err
config_check_no_memory(struct check *k)
{
	config_error_set(k->e, k->c->file, 0, NULL, "out of memory");
	return E_NOMEM;
}

/* Printable ASCII, no blank: what can stand in a cookie's name, a claim's name, a host. */
bool
config_check_word(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

enum err
config_check_pem(struct check *k, struct arena *arena, const char *key, const char *path, struct slice *out)
{
	struct buf bytes;

	buf_init(&bytes, PEM_BYTES_MAX);
	enum err e = file_watch_note(&k->c->files, path);
	if (!e)
		e = file_read(path, PEM_BYTES_MAX, &bytes);
	if (e) {
		e = REFUSE(k, key, "cannot read %s: %s", path, e == E_SYSTEM ? strerrordesc_np(errno) : err_name(e));
	} else {
		*out = arena_slice(arena, buf_slice(&bytes));
		e = out->p ? OK : config_check_no_memory(k);
	}
	buf_fini_secret(&bytes);
	return e;
}

static bool
same_address(const struct address *a, const struct address *b)
{
	return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

/* Port 0 asks the kernel for a free one: never the same twice. */
static bool
any_port(const struct address *a)
{
	return (a->u.sa.sa_family == AF_INET && a->u.in4.sin_port == 0) || (a->u.sa.sa_family == AF_INET6 && a->u.in6.sin6_port == 0);
}

enum err
config_check_address(struct check *k, const char *key, const char *text, struct address *out)
{
	const char *why = "an address";

	if (address_parse_listen(slice_str(text), out, &why))
		return REFUSE(k, key, "expected %s, found \"%s\"", why, text);
	return OK;
}

static enum err
check_trusted_proxies(struct check *k)
{
	const struct config_strings *list = &k->c->trusted_proxies_text;
	struct ip_block *blocks = arena_alloc(&k->c->arena, (list->n + 1) * sizeof(*blocks));

	if (!blocks)
		return config_check_no_memory(k);
	for (size_t i = 0; i < list->n; i++)
		if (ip_block_parse(slice_str(list->items[i]), &blocks[i]))
			return REFUSE(k, KEY_OF("trustedProxies[%zu]", i), "expected a block of addresses like \"10.0.0.0/8\" or \"fd00::/8\", found \"%s\"",
				list->items[i]);
	k->c->trusted_proxies = (struct trusted_proxies){ blocks, list->n };
	return OK;
}

static enum err
check_listen(struct check *k, size_t i)
{
	struct proxyd_listen *all = k->c->listen.items, *l = &all[i];
	enum certificate_part part;
	char why[CERTIFICATE_WHY_BYTES];

	enum err e = config_check_address(k, KEY_OF("listen[%zu].address", i), l->address_text, &l->address);
	for (size_t j = 0; j < i && !e; j++)
		if (same_address(&all[j].address, &l->address) && !any_port(&l->address))
			e = REFUSE(k, KEY_OF("listen[%zu].address", i), "\"%s\" is the address of listen[%zu] too", l->address_text, j);
	if (!e && l->proxy_protocol && k->c->trusted_proxies.n == 0 && l->address.u.sa.sa_family != AF_UNIX)
		e = REFUSE(k, KEY_OF("listen[%zu].proxyProtocol", i), "needs trustedProxies: the addresses of those who write the header; anybody could say who is calling");
	if (!e)
		e = config_check_pem(k, &k->c->arena, KEY_OF("listen[%zu].tls.certFile", i), l->tls.cert_file, &l->tls.cert_pem);
	if (!e)
		e = config_check_pem(k, &k->c->secrets, KEY_OF("listen[%zu].tls.keyFile", i), l->tls.key_file, &l->tls.key_pem);
	if (e)
		return e;
	e = certificate_check_pair(l->tls.cert_pem, l->tls.key_pem, k->now_s, &part, why);
	if (!e)
		return OK;
	bool chain = part == CERTIFICATE_CHAIN;
	return REFUSE(k, KEY_OF("listen[%zu].tls.%s", i, chain ? "certFile" : "keyFile"), "%s %s", chain ? l->tls.cert_file : l->tls.key_file, why);
}

static enum err
check_discovery(struct check *k, size_t i, struct proxyd_jwt *j)
{
	const char *text = j->issuer.discovery_url;
	struct address address;
	struct url url;

	if (!text)
		return OK;
	if (strncmp(text, "unix:", 5) == 0) {
		enum err e = config_check_address(k, KEY_OF("authentication.jwt[%zu].issuer.discoveryURL", i), text, &address);
		j->socket = text + 5;
		return e;
	}
	if (url_parse(slice_str(text), &url) || !url.tls)
		return REFUSE(k, KEY_OF("authentication.jwt[%zu].issuer.discoveryURL", i),
			"expected an https URL or unix:/path of authd's socket, found \"%s\"", text);
	if (strcmp(text, j->issuer.url) == 0)
		return REFUSE(k, KEY_OF("authentication.jwt[%zu].issuer.discoveryURL", i),
			"must differ from url; without it %s/.well-known/openid-configuration is asked", j->issuer.url);
	return OK;
}

/* Kubernetes takes the PEM itself; a file is what everything else in this configuration names. */
enum err
config_check_ca(struct check *k, const char *key, const char *ca, struct slice *pem)
{
	char why[CERTIFICATE_WHY_BYTES];
	bool inline_pem = ca && strncmp(ca, "-----BEGIN", 10) == 0;
	enum err e = OK;

	if (!ca)
		return OK;
	if (inline_pem)
		*pem = slice_str(ca);
	else
		e = config_check_pem(k, &k->c->arena, key, ca, pem);
	if (!e && certificate_check_ca(*pem, k->now_s, why))
		e = REFUSE(k, key, "%s %s", inline_pem ? "the certificate" : ca, why);
	return e;
}

static enum err
check_audiences(struct check *k, const char *key, const struct config_strings *audiences)
{
	for (size_t a = 0; a < audiences->n; a++) {
		if (!*audiences->items[a])
			return REFUSE(k, KEY_OF("%s[%zu]", key, a), "expected an audience, found \"\"");
		for (size_t b = 0; b < a; b++)
			if (strcmp(audiences->items[a], audiences->items[b]) == 0)
				return REFUSE(k, KEY_OF("%s[%zu]", key, a), "\"%s\" occurs twice", audiences->items[a]);
	}
	return OK;
}

static enum err
check_token_review(struct check *k)
{
	const char *key = "authentication.tokenReview.audiences";
	const struct config_strings *audiences = &k->c->authentication.token_review.audiences;

	if (audiences->n && !k->c->authentication.token_review.enabled)
		return REFUSE(k, key, "needs enabled: true beside it");
	return check_audiences(k, key, audiences);
}

/* As in Kubernetes: whoever names a claim says its prefix too, "" for none, so that nobody gets unprefixed names by forgetting it. */
static enum err
check_mapping(struct check *k, size_t i, const char *name, const char *claim, const char *prefix)
{
	if (!claim && prefix)
		return REFUSE(k, KEY_OF("authentication.jwt[%zu].claimMappings.%s.prefix", i, name), "needs claim beside it");
	if (claim && !config_check_word(claim))
		return REFUSE(k, KEY_OF("authentication.jwt[%zu].claimMappings.%s.claim", i, name), "expected the name of a claim, found \"%s\"", claim);
	if (claim && !prefix)
		return REFUSE(k, KEY_OF("authentication.jwt[%zu].claimMappings.%s.prefix", i, name),
			"is required where claim is set; \"\" stands for no prefix");
	for (const char *p = prefix; p && *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return REFUSE(k, KEY_OF("authentication.jwt[%zu].claimMappings.%s.prefix", i, name), "expected no control characters");
	if (prefix && strncmp(prefix, "system:", 7) == 0)
		return REFUSE(k, KEY_OF("authentication.jwt[%zu].claimMappings.%s.prefix", i, name),
			"may not begin with \"system:\": such names are Kubernetes' own, and no token can claim them");
	return OK;
}

static void
fill_policy(const struct proxyd_config *c, struct proxyd_jwt *j)
{
	j->policy = (struct id_token_policy){
		.issuer = j->issuer.url,
		.audiences = j->issuer.audiences.items,
		.audience_n = j->issuer.audiences.n,
		.username_claim = j->claim_mappings.username.claim ? j->claim_mappings.username.claim : "sub",
		.username_prefix = j->claim_mappings.username.prefix,
		.groups_claim = j->claim_mappings.groups.claim,
		.groups_prefix = j->claim_mappings.groups.claim ? j->claim_mappings.groups.prefix : "",
		.uid_claim = j->claim_mappings.uid.claim,
		.required = j->claim_validation_rules.items,
		.required_n = j->claim_validation_rules.n,
		.token_bytes_max = (size_t)c->limits.token_bytes,
		.skew_s = PROXYD_SKEW_S,
		.name = j->issuer.url,
		.how = IDENTITY_JWT,
	};
}

static enum err
check_jwt(struct check *k, size_t i)
{
	struct proxyd_jwt *all = k->c->authentication.jwt.items, *j = &all[i];
	const char *uid = j->claim_mappings.uid.claim;
	struct url url;

	if (url_parse(slice_str(j->issuer.url), &url) || !url.tls || strchr(j->issuer.url, '?'))
		return REFUSE(k, KEY_OF("authentication.jwt[%zu].issuer.url", i),
			"expected an https URL without user, query or fragment, found \"%s\"", j->issuer.url);
	for (size_t n = 0; n < i; n++)
		if (strcmp(all[n].issuer.url, j->issuer.url) == 0)
			return REFUSE(k, KEY_OF("authentication.jwt[%zu].issuer.url", i), "\"%s\" is the issuer of jwt[%zu] too", j->issuer.url, n);
	enum err e = check_discovery(k, i, j);
	if (!e)
		e = config_check_ca(k, KEY_OF("authentication.jwt[%zu].issuer.certificateAuthority", i), j->issuer.certificate_authority, &j->ca_pem);
	if (!e)
		e = check_audiences(k, KEY_OF("authentication.jwt[%zu].issuer.audiences", i), &j->issuer.audiences);
	if (!e)
		e = check_mapping(k, i, "username", j->claim_mappings.username.claim, j->claim_mappings.username.prefix);
	if (!e)
		e = check_mapping(k, i, "groups", j->claim_mappings.groups.claim, j->claim_mappings.groups.prefix);
	if (!e && uid && !config_check_word(uid))
		e = REFUSE(k, KEY_OF("authentication.jwt[%zu].claimMappings.uid.claim", i), "expected the name of a claim, found \"%s\"", uid);
	if (!e)
		fill_policy(k->c, j);
	return e;
}

/* The secret for an issuer on another machine, whose ended sessions are read over https. */
static enum err
check_revocations_secret(struct check *k)
{
	const char *key = "authentication.session.revocationsSecretFile", *path = k->c->authentication.session.revocations_secret_file, *why;
	struct bearer_secrets all;

	switch (bearer_file_read(path, &k->c->secrets, &all, &why)) {
	case OK:
		memcpy(k->c->authentication.session.revocations_secret, all.items[0].p, all.items[0].n + 1);
		return OK;
	case E_NOMEM:
		return config_check_no_memory(k);
	case E_FORMAT:
		return REFUSE(k, key, "%s: %s", path, why);
	default:
		return REFUSE(k, key, "cannot read %s: %s", path, strerrordesc_np(errno));
	}
}

static enum err
check_session(struct check *k)
{
	struct proxyd_config *c = k->c;
	const struct proxyd_jwt *all = c->authentication.jwt.items, *found = NULL;
	const char *wanted = c->authentication.session.issuer, *secret_file = c->authentication.session.revocations_secret_file;

	if (!config_is_token(c->authentication.session.cookie_name))
		return REFUSE(k, "authentication.session.cookieName", "expected the name of a cookie, found \"%s\"", c->authentication.session.cookie_name);
	for (size_t i = 0; i < c->authentication.jwt.n && !found; i++)
		if (wanted ? strcmp(wanted, all[i].issuer.url) == 0 : (all[i].socket != NULL) == !secret_file)
			found = &all[i];
	if (wanted && !found)
		return REFUSE(k, "authentication.session.issuer", "expected the url of an issuer under authentication.jwt, found \"%s\"", wanted);
	if (secret_file && (!found || found->socket))
		return REFUSE(k, "authentication.session.revocationsSecretFile", "expected an issuer that is asked over https: at authd's socket no secret is needed");
	c->revocations_jwt = found;
	if (secret_file)
		return check_revocations_secret(k);
	if (!found)
		return OK;
	if (!found->socket)
		return REFUSE(k, "authentication.session.issuer",
			"sessions are asked for at authd's socket: \"%s\" needs discoveryURL: unix:/path, or revocationsSecretFile beside this to hear of ended ones only",
			wanted);
	c->session_jwt = found;
	return config_check_address(k, "authentication.session.issuer", c->session_jwt->issuer.discovery_url, &c->session_socket);
}

static enum err
check_token_file(struct check *k)
{
	const char *key = "authentication.tokenFile", *path = k->c->authentication.token_file;
	struct config_error inner = { "" };
	struct buf text;

	if (!path)
		return OK;
	buf_init(&text, TOKEN_FILE_BYTES_MAX);
	enum err e = file_watch_note(&k->c->files, path);
	if (!e)
		e = file_read(path, TOKEN_FILE_BYTES_MAX, &text);
	if (e)
		e = REFUSE(k, key, "cannot read %s: %s", path, e == E_SYSTEM ? strerrordesc_np(errno) : err_name(e));
	else if (token_file_parse(&k->c->secrets, path, buf_slice(&text), (size_t)k->c->limits.token_bytes, &k->c->tokens, &inner))
		e = REFUSE(k, key, "%s", inner.text);
	buf_fini_secret(&text);
	return e;
}

/* RFC 1123 label, as Kubernetes names are. */
static bool
is_dns_label(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 63 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && s[0] != '-' && s[n - 1] != '-';
}

/* HOST:PORT, [IPv6]:PORT: the authority of a URL, by whose rules it is judged, that says its port. */
static enum err
check_servers(struct check *k, size_t i, struct proxyd_cluster *cluster)
{
	const struct config_strings *s = &cluster->servers;
	struct buf text;
	struct url u;

	cluster->server_items = arena_alloc(&k->c->arena, (s->n + 1) * sizeof(*cluster->server_items));
	if (!cluster->server_items)
		return config_check_no_memory(k);
	for (size_t j = 0; j < s->n; j++) {
		buf_init(&text, 0);
		buf_printf(&text, "https://%s", s->items[j]);
		bool good = buf_ok(&text) && url_parse(buf_slice(&text), &u) == OK && u.path.n == 0 && u.query.n == 0 && u.host.n &&
			memchr(u.authority.p + u.host.n, ':', u.authority.n - u.host.n) && u.authority.p[u.authority.n - 1] != ']';
		if (good)
			cluster->server_items[j] = (struct proxyd_server){ arena_strndup(&k->c->arena, u.host.p, u.host.n), u.port };
		buf_fini(&text);
		if (!good)
			return REFUSE(k, KEY_OF("clusters[%zu].servers", i), "expected HOST:PORT or [IPv6]:PORT, found \"%s\"", s->items[j]);
		if (!cluster->server_items[j].host)
			return config_check_no_memory(k);
		for (size_t m = 0; m < j; m++)
			if (cluster->server_items[m].port == cluster->server_items[j].port && strcmp(cluster->server_items[m].host, cluster->server_items[j].host) == 0)
				return REFUSE(k, KEY_OF("clusters[%zu].servers", i), "\"%s\" occurs twice", s->items[j]);
	}
	return OK;
}

static enum err
check_cluster(struct check *k, size_t i)
{
	struct proxyd_cluster *all = k->c->clusters.items, *cluster = &all[i];
	const struct kubeconfig *t = &cluster->target;
	struct config_error inner = { "" };
	char why[CERTIFICATE_WHY_BYTES];
	enum certificate_part part;

	if (!is_dns_label(cluster->name))
		return REFUSE(k, KEY_OF("clusters[%zu].name", i), "expected a DNS label (a-z, 0-9, '-'), found \"%s\"", cluster->name);
	for (size_t j = 0; j < i; j++)
		if (strcmp(all[j].name, cluster->name) == 0)
			return REFUSE(k, KEY_OF("clusters[%zu].name", i), "\"%s\" is the name of clusters[%zu] too", cluster->name, j);
	enum err e = kubeconfig_load(&k->c->secrets, cluster->kubeconfig, cluster->context, &k->c->files, &cluster->target, &inner);
	if (e)
		return REFUSE(k, KEY_OF("clusters[%zu].kubeconfig", i), "%s", inner.text);
	if (t->ca_pem.n && certificate_check_ca(t->ca_pem, k->now_s, why))
		return REFUSE(k, KEY_OF("clusters[%zu].kubeconfig", i), "%s: certificate-authority %s", cluster->kubeconfig, why);
	if (t->cert_pem.n && certificate_check_pair(t->cert_pem, t->key_pem, k->now_s, &part, why))
		return REFUSE(k, KEY_OF("clusters[%zu].kubeconfig", i), "%s: %s %s", cluster->kubeconfig,
			part == CERTIFICATE_CHAIN ? "client-certificate" : "client-key", why);
	e = check_servers(k, i, cluster);
	return e ? e : config_check_groups(k, KEY_OF("clusters[%zu].allowedGroups", i), &cluster->allowed_groups);
}

static enum err
check_admin(struct check *k)
{
	const struct proxyd_listen *listen = k->c->listen.items;
	struct proxyd_config *c = k->c;

	if (!c->admin.address_text)
		return OK;
	c->admin.line = config_check_line(k->root, "admin.address");
	enum err e = config_check_address(k, "admin.address", c->admin.address_text, &c->admin.address);
	for (size_t i = 0; i < c->listen.n && !e; i++)
		if (same_address(&listen[i].address, &c->admin.address) && !any_port(&c->admin.address))
			e = REFUSE(k, "admin.address", "\"%s\" is the address of listen[%zu] too", c->admin.address_text, i);
	return e;
}

/* Whether it can be opened is known when it is; here: whether that would be of any use. */
static enum err
check_written_file(struct check *k, const char *key, const char *path, int *line)
{
	char folder[PATH_MAX];
	struct stat st;

	if (!path)
		return OK;
	*line = config_check_line(k->root, key);
	if (!*path || strlen(path) >= sizeof(folder))
		return REFUSE(k, key, "expected a file, found \"%s\"", path);
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? REFUSE(k, key, "expected a file, found the folder %s", path)
			: faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 ? OK : REFUSE(k, key, "%s cannot be written: %s", path, strerrordesc_np(errno));
	snprintf(folder, sizeof(folder), "%s", path);
	if (errno != ENOENT || faccessat(AT_FDCWD, dirname(folder), W_OK | X_OK, AT_EACCESS) < 0)
		return REFUSE(k, key, "%s cannot be created: %s", path, strerrordesc_np(errno));
	return OK;
}

static enum err
check_logs(struct check *k)
{
	struct proxyd_config *c = k->c;
	enum err e = check_written_file(k, "log.file", c->log.file, &c->log.line);

	if (!e)
		e = check_written_file(k, "audit.file", c->audit.file, &c->audit.line);
	if (!e && c->log.file && c->audit.file && strcmp(c->log.file, c->audit.file) == 0)
		e = REFUSE(k, "audit.file", "\"%s\" is log.file too", c->audit.file);
	return e;
}

static enum err
check_pid_file(struct check *k)
{
	int line;

	return check_written_file(k, "pidFile", k->c->pid_file, &line);
}

static enum err
check_user(struct check *k)
{
	switch (k->c->user ? process_may_become(k->c->user) : OK) {
	case E_EMPTY:
		return REFUSE(k, "user", "there is no user called \"%s\"", k->c->user);
	case E_DENIED:
		return REFUSE(k, "user", "only root can become \"%s\"", k->c->user);
	case E_SYSTEM:
		return REFUSE(k, "user", "\"%s\" cannot be looked up: %s", k->c->user, strerrordesc_np(errno));
	default:
		return OK;
	}
}

static enum err
check_sandbox(struct check *k)
{
	return k->c->sandbox && sandbox_lack() ? REFUSE(k, "sandbox", "expected \"available\" on this machine: %s", sandbox_lack()) : OK;
}

static bool
can_be_reached(const struct proxyd_config *c)
{
	return c->authentication.jwt.n || c->authentication.client_certificate.ca_pem.n || c->authentication.token_file ||
		c->authentication.token_review.enabled;
}

enum err
config_check(struct proxyd_config *c, const struct yaml_node *root, int64_t now_s, struct config_error *e)
{
	struct check k = { c, root, now_s, e };
	enum err err = check_user(&k);

	if (!err)
		err = check_sandbox(&k);
	if (!err)
		err = check_trusted_proxies(&k);
	for (size_t i = 0; i < c->listen.n && !err; i++)
		err = check_listen(&k, i);
	if (!err)
		err = check_admin(&k);
	if (!err)
		err = check_logs(&k);
	if (!err)
		err = check_pid_file(&k);
	for (size_t i = 0; i < c->authentication.jwt.n && !err; i++)
		err = check_jwt(&k, i);
	if (!err)
		err = check_session(&k);
	if (!err)
		err = config_check_ca(&k, "authentication.clientCertificate.certificateAuthority", c->authentication.client_certificate.certificate_authority,
			&c->authentication.client_certificate.ca_pem);
	if (!err)
		err = check_token_file(&k);
	if (!err)
		err = check_token_review(&k);
	for (size_t i = 0; i < c->clusters.n && !err; i++)
		err = check_cluster(&k, i);
	if (!err && c->clusters.n && !can_be_reached(c))
		err = REFUSE(&k, "authentication.jwt",
			"expected at least one issuer, or clientCertificate, tokenFile or tokenReview: without any of them nobody can reach a cluster");
	if (!err)
		err = config_check_routes(&k);
	return err;
}
