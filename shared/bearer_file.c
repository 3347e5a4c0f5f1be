#include <errno.h>
#include <sys/stat.h>
#include "shared/bearer_file.h"
#include "shared/buf.h"
#include "shared/file.h"

/* RFC 6750 section 2.1: b64token. */
static bool
is_token(struct slice s)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";

	for (size_t i = 0; i < s.n; i++)
		if (!memchr(letters, s.p[i], sizeof(letters) - 1))
			return false;
	return s.n >= BEARER_BYTES_MIN && s.n <= BEARER_BYTES_MAX;
}

enum err
bearer_file_parse(struct slice text, struct arena *arena, struct bearer_secrets *out, const char **why)
{
	*out = (struct bearer_secrets){ .n = 0 };
	while (text.n) {
		struct slice line = slice_cut(&text, '\n');
		line = slice_trim(slice_cut(&line, '\r'));
		if (line.n == 0 || line.p[0] == '#')
			continue;
		*why = "expected lines of one secret each, 32 to 256 of letters, digits and -._~+/=, such as `openssl rand -base64 33` prints";
		if (!is_token(line))
			return E_FORMAT;
		*why = "expected at most 8 secrets";
		if (out->n == BEARER_SECRETS_MAX)
			return E_FORMAT;
		out->items[out->n] = arena_slice(arena, line);
		if (!out->items[out->n++].p)
			return E_NOMEM;
	}
	*why = "expected a secret, found none";
	return out->n ? OK : E_FORMAT;
}

enum err
bearer_file_read(const char *path, struct arena *arena, struct bearer_secrets *out, const char **why)
{
	struct buf bytes;
	struct stat st;

	buf_init(&bytes, BEARER_FILE_BYTES_MAX);
	enum err e = file_read(path, BEARER_FILE_BYTES_MAX, &bytes);
	int saved = errno;
	if (e == E_LIMIT) {
		*why = "expected at most 4 KiB";
		e = E_FORMAT;
	} else if (e == OK && stat(path, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH))) {
		*why = "everybody on this machine may read or change it: chmod o= it";
		e = E_FORMAT;
	} else if (e == OK) {
		e = bearer_file_parse(buf_slice(&bytes), arena, out, why);
	}
	buf_fini_secret(&bytes);
	errno = saved;
	return e;
}

bool
bearer_secrets_match(const struct bearer_secrets *s, struct slice authorization)
{
	struct slice rest = authorization, scheme = slice_cut(&rest, ' ');
	bool found = false;

	if (!slice_eq_nocase(scheme, SLICE_LIT("Bearer")))
		return false;
	rest = slice_trim(rest);
	for (size_t i = 0; i < s->n; i++)
		found |= slice_eq_secret(s->items[i], rest);
	return found;
}
