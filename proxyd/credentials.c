#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "proxyd/credentials.h"
#include "shared/buf.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/sealed.h"

struct credential {
	struct proxyd_cluster *cluster;
	size_t index; /* of the cluster */
	struct file_stamp seen; /* zeroed: not looked at yet. The configuration may have been read from what the file was before */
	struct buf token; /* empty: still the configuration's own */
	const char *failure; /* said already; NULL: none */
};

struct credentials {
	struct credential *items;
	size_t n;
};

struct credentials *
credentials_new(struct proxyd_config *config)
{
	struct proxyd_cluster *clusters = config->clusters.items;
	struct credentials *c = calloc(1, sizeof(*c));

	if (!c || !(c->items = calloc(config->clusters.n + 1, sizeof(*c->items)))) {
		free(c);
		return NULL;
	}
	for (size_t i = 0; i < config->clusters.n; i++) {
		if (!clusters[i].target.token_file)
			continue;
		c->items[c->n] = (struct credential){ .cluster = &clusters[i], .index = i };
		buf_init(&c->items[c->n++].token, KUBECONFIG_TOKEN_BYTES_MAX);
	}
	return c;
}

void
credentials_free(struct credentials *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		buf_fini_secret(&c->items[i].token);
	free(c->items);
	free(c);
}

bool
credentials_any(const struct credentials *c)
{
	return c->n > 0;
}

static void
failed(struct credential *c, const char *why)
{
	if (c->failure && strcmp(c->failure, why) == 0)
		return;
	c->failure = why;
	log_error("token file not read: its last token stays", LOG_STR("cluster", c->cluster->name), LOG_STR("file", c->cluster->target.token_file),
		LOG_STR("reason", why));
}

/* *changed: there is another token than before. NULL, or why not. */
static const char *
take(struct credential *c, struct slice token, bool *changed)
{
	struct buf copy;

	if (slice_eq_str(token, c->cluster->target.token))
		return NULL;
	buf_init(&copy, KUBECONFIG_TOKEN_BYTES_MAX);
	buf_add_slice(&copy, token);
	if (!buf_ok(&copy)) {
		buf_fini_secret(&copy);
		return "out of memory";
	}
	buf_fini_secret(&c->token);
	c->token = copy;
	c->cluster->target.token = copy.p;
	*changed = true;
	return NULL;
}

static const char *
look(struct credential *c, bool *changed)
{
	const char *file = c->cluster->target.token_file, *why;
	struct slice token;
	struct buf text;
	struct file_stamp now;

	if (file_stamp(file, &now))
		return strerrordesc_np(errno);
	if (file_stamp_same(&now, &c->seen))
		return NULL;
	buf_init(&text, KUBECONFIG_TOKEN_BYTES_MAX);
	enum err e = file_read(file, KUBECONFIG_TOKEN_BYTES_MAX, &text);
	if (e)
		why = e == E_SYSTEM ? strerrordesc_np(errno) : e == E_LIMIT ? "it is too long" : "out of memory";
	else if (token = buf_slice(&text), !kubeconfig_token_trim(&token))
		why = "it holds no token";
	else
		why = take(c, token, changed);
	buf_fini_secret(&text);
	if (!why)
		c->seen = now;
	return why;
}

void
credentials_look(struct credentials *c, void (*changed)(void *arg, size_t cluster, struct slice token), void *arg)
{
	for (size_t i = 0; i < c->n; i++) {
		bool is_new = false;
		const char *why = look(&c->items[i], &is_new);
		if (why) {
			failed(&c->items[i], why);
			continue;
		}
		c->items[i].failure = NULL;
		if (is_new)
			changed(arg, c->items[i].index, buf_slice(&c->items[i].token));
	}
}

/* ---- between processes ---- */

enum err
credentials_wrap(struct slice token, int *fd)
{
	void *map;
	enum err e = sealed_create("credential", token.n, fd, &map);

	if (e)
		return e;
	memcpy(map, token.p, token.n);
	sealed_unmap(map, token.n);
	return OK;
}

enum err
credentials_unwrap(int fd, struct buf *out)
{
	const void *map;
	struct stat st;
	enum err e = fstat(fd, &st) < 0 ? E_SYSTEM : st.st_size <= 0 || st.st_size > KUBECONFIG_TOKEN_BYTES_MAX ? E_FORMAT : OK;

	if (!e)
		e = sealed_map(fd, (size_t)st.st_size, &map);
	if (e)
		return e == E_DENIED ? E_FORMAT : e;
	buf_add(out, map, (size_t)st.st_size);
	sealed_unmap(map, (size_t)st.st_size);
	return buf_ok(out) ? OK : E_NOMEM;
}
