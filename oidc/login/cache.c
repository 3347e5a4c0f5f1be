#include "oidc/login/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/file.h"

#define ENTRY_BYTES_MAX (256u * 1024)

/* XDG Base Directory: $XDG_CACHE_HOME if absolute, else $HOME/.cache. */
static enum err
folder_name(char *out, size_t n)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int len = -1;
	if (xdg && xdg[0] == '/')
		len = snprintf(out, n, "%s/gatehouse", xdg);
	else if (home && home[0] == '/')
		len = snprintf(out, n, "%s/.cache/gatehouse", home);
	return len > 0 && (size_t)len < n ? OK : E_EMPTY;
}

static enum err
make_folders(char *path)
{
	for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		int rc = mkdir(path, 0700);
		*slash = '/';
		if (rc != 0 && errno != EEXIST)
			return E_SYSTEM;
	}
	return mkdir(path, 0700) == 0 || errno == EEXIST ? OK : E_SYSTEM;
}

enum err
login_cache_open(struct login_cache *c, const char *issuer, const char *client_id, const char *scope, char *why, size_t why_n)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	char name[2 * 16 + 1], *key = NULL;
	c->lock_fd = -1;
	if (folder_name(c->folder, sizeof(c->folder)) != OK) {
		snprintf(why, why_n, "no place for the token cache: set HOME or XDG_CACHE_HOME to an absolute path");
		return E_EMPTY;
	}
	if (make_folders(c->folder) != OK) {
		snprintf(why, why_n, "%s: cannot be made: %s", c->folder, strerror(errno));
		return E_SYSTEM;
	}
	int len = asprintf(&key, "%s\n%s\n%s", issuer, client_id, scope);
	if (len < 0) {
		snprintf(why, why_n, "out of memory");
		return E_NOMEM;
	}
	SHA256((const unsigned char *)key, (size_t)len, digest);
	free(key);
	for (int i = 0; i < 16; i++)
		snprintf(name + 2 * i, 3, "%02x", digest[i]);
	snprintf(c->path, sizeof(c->path), "%s/%s.json", c->folder, name);
	return OK;
}

enum err
login_cache_lock(struct login_cache *c, char *why, size_t why_n)
{
	char path[sizeof(c->path) + 8];
	snprintf(path, sizeof(path), "%s.lock", c->path);
	c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = -1;
	if (c->lock_fd >= 0) {
		do
			rc = flock(c->lock_fd, LOCK_EX);
		while (rc != 0 && errno == EINTR);
	}
	if (rc != 0) {
		snprintf(why, why_n, "%s: cannot be locked: %s", path, strerror(errno));
		login_cache_close(c);
		return E_SYSTEM;
	}
	return OK;
}

void
login_cache_close(struct login_cache *c)
{
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	c->lock_fd = -1;
}

static struct slice
text_member(json_t *root, const char *key, struct arena *arena)
{
	json_t *v = json_object_get(root, key);
	return json_is_string(v) ? arena_slice(arena, slice_of(json_string_value(v), json_string_length(v))) : SLICE_NONE;
}

static enum err
read_entry(const char *path, struct arena *arena, struct login_tokens *out)
{
	struct stat st;
	struct buf text;
	/* A file that others may read or that is not ours is no place a token of ours came from. */
	if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return E_EMPTY;
	buf_init(&text, ENTRY_BYTES_MAX);
	enum err err = file_read(path, ENTRY_BYTES_MAX, &text) == OK ? OK : E_EMPTY;
	json_t *root = err == OK ? json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	json_t *exp = json_object_get(root, "expires_at");
	*out = (struct login_tokens){ .issuer = text_member(root, "issuer", arena), .client_id = text_member(root, "client_id", arena),
		.scope = text_member(root, "scope", arena), .id_token = text_member(root, "id_token", arena),
		.refresh_token = text_member(root, "refresh_token", arena), .expires_at = json_integer_value(exp) };
	if (!json_is_integer(exp) || !out->issuer.p || !out->client_id.p || !out->id_token.p)
		err = E_EMPTY;
	json_decref(root);
	buf_fini_secret(&text);
	return err;
}

enum err
login_cache_get(const struct login_cache *c, struct arena *arena, struct login_tokens *out)
{
	return read_entry(c->path, arena, out);
}

enum err
login_cache_put(const struct login_cache *c, const struct login_tokens *t, char *why, size_t why_n)
{
	struct buf b;
	buf_init(&b, ENTRY_BYTES_MAX);
	buf_add_str(&b, "{\"issuer\":");
	buf_add_json(&b, t->issuer);
	buf_add_str(&b, ",\"client_id\":");
	buf_add_json(&b, t->client_id);
	buf_add_str(&b, ",\"scope\":");
	buf_add_json(&b, t->scope);
	buf_printf(&b, ",\"expires_at\":%lld,\"id_token\":", (long long)t->expires_at);
	buf_add_json(&b, t->id_token);
	if (t->refresh_token.n) {
		buf_add_str(&b, ",\"refresh_token\":");
		buf_add_json(&b, t->refresh_token);
	}
	buf_add_str(&b, "}\n");
	enum err err = buf_ok(&b) ? file_write_atomic(c->path, buf_slice(&b), 0600) : E_LIMIT;
	if (err != OK)
		snprintf(why, why_n, "%s: cannot be written: %s", c->path, err == E_SYSTEM ? strerror(errno) : err_name(err));
	buf_fini_secret(&b);
	return err;
}

size_t
login_cache_each(const char *issuer, void (*visit)(void *arg, const char *path, const struct login_tokens *t), void *arg)
{
	char folder[1024], path[1400];
	size_t visited = 0;
	DIR *d = folder_name(folder, sizeof(folder)) == OK ? opendir(folder) : NULL;
	struct dirent *entry;
	while (d && (entry = readdir(d))) {
		struct login_tokens t;
		struct arena arena;
		if (!slice_has_suffix(slice_str(entry->d_name), SLICE_LIT(".json")))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		arena_init(&arena, 2 * ENTRY_BYTES_MAX);
		if (read_entry(path, &arena, &t) == OK && (!issuer || slice_eq_str(t.issuer, issuer))) {
			visit(arg, path, &t);
			visited++;
		}
		arena_fini_secret(&arena);
	}
	if (d)
		closedir(d);
	return visited;
}
