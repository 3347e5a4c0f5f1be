#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include "shared/file.h"

static void
close_keep_errno(int fd)
{
	int saved = errno;
	close(fd);
	errno = saved;
}

/* Through a piece on the stack, so that a buffer bounded to exactly the file's size is enough. */
static enum err
read_all(int fd, size_t bytes_max, struct buf *out)
{
	char piece[8192];
	size_t left = bytes_max;
	enum err e = OK;

	for (;;) {
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			e = n < 0 ? E_SYSTEM : OK;
			break;
		}
		if ((size_t)n > left) {
			e = E_LIMIT;
			break;
		}
		left -= (size_t)n;
		buf_add(out, piece, (size_t)n);
		if (!buf_ok(out)) {
			e = out->max && (size_t)n > out->max - out->n ? E_LIMIT : E_NOMEM;
			break;
		}
	}
	OPENSSL_cleanse(piece, sizeof(piece)); /* it may be a key file */
	return e;
}

enum err
file_read(const char *path, size_t bytes_max, struct buf *out)
{
	struct stat st;
	size_t before = out->n;
	/* Non-blocking, so that opening a fifo without a writer returns and can be refused. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return E_SYSTEM;
	if (fstat(fd, &st) < 0) {
		close_keep_errno(fd);
		return E_SYSTEM;
	}
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		return E_SYSTEM;
	}
	if ((uint64_t)st.st_size > bytes_max) {
		close(fd);
		return E_LIMIT;
	}
	enum err e = read_all(fd, bytes_max, out);
	close_keep_errno(fd);
	if (e != OK && out->p) {
		OPENSSL_cleanse(out->p + before, out->n - before);
		out->n = before;
		out->p[before] = '\0';
	}
	return e;
}

static bool
write_all(int fd, struct slice bytes)
{
	while (bytes.n) {
		ssize_t n = write(fd, bytes.p, bytes.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		bytes.p += n;
		bytes.n -= (size_t)n;
	}
	return true;
}

/* The rename itself is durable only once its folder is. */
static enum err
sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (!slash)
		strcpy(folder, ".");
	else if (n == 0)
		strcpy(folder, "/");
	else {
		memcpy(folder, path, n);
		folder[n] = '\0';
	}
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return E_SYSTEM;
	enum err e = fsync(fd) == 0 ? OK : E_SYSTEM;
	close_keep_errno(fd);
	return e;
}

enum err
file_write_atomic(const char *path, struct slice bytes, mode_t mode)
{
	char temporary[PATH_MAX];
	int n = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);

	if (n < 0 || (size_t)n >= sizeof(temporary)) {
		errno = ENAMETOOLONG;
		return E_SYSTEM;
	}
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return E_SYSTEM;
	if (fchmod(fd, mode) < 0 || !write_all(fd, bytes) || fsync(fd) < 0) {
		close_keep_errno(fd);
		goto failed;
	}
	if (close(fd) < 0 || rename(temporary, path) < 0)
		goto failed;
	return sync_folder_of(path);

failed:;
	int saved = errno;
	unlink(temporary);
	errno = saved;
	return E_SYSTEM;
}

enum err
file_stamp(const char *path, struct file_stamp *out)
{
	struct stat st;

	*out = (struct file_stamp){ .inode = 0 };
	if (stat(path, &st) < 0)
		return E_SYSTEM;
	*out = (struct file_stamp){ st.st_dev, st.st_ino, st.st_size, st.st_ctim };
	return OK;
}

bool
file_stamp_same(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
		a->changed.tv_nsec == b->changed.tv_nsec;
}
