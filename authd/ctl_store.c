/* Keys, numbers, backup and restore. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "authd/ctl_internal.h"
#include "authd/store_copy.h"

#define WHY_BYTES 600

int
ctl_keys_list(struct ctl *c)
{
	static const struct ctl_column columns[] = { { "KID", "kid" }, { "ALG", "alg" }, { "STATE", "state" }, { "CREATED", "created_at" },
		{ "SIGNS FROM", "active_at" }, { "RETIRED", "retired_at" }, { "GONE", "expires_at" }, { NULL, NULL } };
	struct ctl_list l;
	int status;

	ctl_list_begin(&l, c, columns);
	status = ctl_each(c, "/keys", "", ctl_list_page, &l);
	return status == CTL_DONE ? ctl_list_end(&l) : status;
}

int
ctl_keys_rotate(struct ctl *c)
{
	struct buf form;
	json_t *answer;
	int status;

	buf_init(&form, 0);
	ctl_form_add(&form, "alg", ctl_option(c, "alg"));
	status = ctl_call(c, "/keys/rotate", &form, &answer);
	if (status != CTL_DONE)
		return status;
	json_decref(answer);
	return ctl_keys_list(c);
}

int
ctl_stats(struct ctl *c)
{
	json_t *answer;
	int status = ctl_call(c, "/stats", NULL, &answer);

	if (status != CTL_DONE)
		return status;
	status = ctl_print_object(c, answer);
	json_decref(answer);
	return status;
}

/* ---- backup ---- */

/* A file in the making: nothing stands under its name before it is whole. */
struct making {
	int dir, fd;
	const char *name;     /* in dir */
	const char *unnamed;  /* what it is called until then; NULL: nothing, and nothing is left of it whatever happens */
};

static void
making_drop(struct making *m)
{
	if (m->unnamed)
		unlinkat(m->dir, m->unnamed, 0);
	if (m->fd >= 0)
		close(m->fd);
	if (m->dir >= 0)
		close(m->dir);
}

static int
making_begin(struct ctl *c, const char *path, struct making *m)
{
	char *folder = arena_strdup(&c->arena, path), *slash = folder ? strrchr(folder, '/') : NULL;
	const char *temporary, *name = strrchr(path, '/');
	struct stat st;

	*m = (struct making){ .dir = -1, .fd = -1, .name = name ? name + 1 : path };
	temporary = arena_printf(&c->arena, ".%s.%ld", m->name, (long)getpid());
	if (!folder || !temporary)
		return ctl_no_memory();
	if (slash)
		slash[slash == folder] = '\0';
	if (!*m->name || (stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
		return ctl_say(CTL_FAILED, "cannot write %s: it is a folder; name a file in it", path);
	m->dir = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir >= 0)
		m->fd = openat(m->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (m->dir >= 0 && m->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		m->fd = openat(m->dir, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		m->unnamed = m->fd >= 0 ? temporary : NULL;
	}
	if (m->fd >= 0)
		return CTL_DONE;
	return ctl_say(CTL_FAILED, "cannot write %s: %s", path, strerrordesc_np(errno));
}

/* Durable, then in the place of what had that name before. */
static int
making_end(struct ctl *c, const char *path, struct making *m)
{
	const char *temporary = m->unnamed ? m->unnamed : arena_printf(&c->arena, ".%s.%ld", m->name, (long)getpid());
	const char *from = arena_printf(&c->arena, "/proc/self/fd/%d", m->fd);
	bool ok;

	if (!temporary || !from)
		return ctl_no_memory();
	ok = fsync(m->fd) == 0;
	if (ok && !m->unnamed) {
		ok = linkat(AT_FDCWD, from, m->dir, temporary, AT_SYMLINK_FOLLOW) == 0;
		m->unnamed = ok ? temporary : NULL;
	}
	if (!ok || renameat(m->dir, temporary, m->dir, m->name) != 0)
		return ctl_say(CTL_FAILED, "cannot write %s: %s", path, strerrordesc_np(errno));
	m->unnamed = NULL;
	if (fsync(m->dir) != 0)
		return ctl_say(CTL_FAILED, "%s is written, but may not survive a power failure: %s", path, strerrordesc_np(errno));
	return CTL_DONE;
}

static int
print_report(struct ctl *c, const char *what, const char *path, const struct store_copy_report *r, const char *kept)
{
	json_t *o = json_object(), *records = json_object();
	int status;

	for (enum record_kind kind = 0; o && records && kind < RECORD_KINDS; kind++)
		json_object_set_new(records, record_kind_name(kind), json_integer((json_int_t)r->records[kind]));
	json_object_set_new(o, what, json_string(path));
	json_object_set_new(o, "bytes", json_integer((json_int_t)r->bytes));
	if (*kept)
		json_object_set_new(o, "kept", json_string(kept));
	if (json_object_set_new(o, "records", records) != 0) {
		json_decref(o);
		return ctl_no_memory();
	}
	status = ctl_print_object(c, o);
	json_decref(o);
	return status;
}

static int
backup_to_stdout(const char *folder)
{
	char why[WHY_BYTES] = "";

	if (isatty(STDOUT_FILENO))
		return ctl_say(CTL_USAGE, "backup -: standard output is a terminal");
	return store_copy_out(folder, STDOUT_FILENO, why, sizeof(why)) == OK ? CTL_DONE : ctl_say(CTL_FAILED, "%s", why);
}

int
ctl_backup(struct ctl *c)
{
	const char *path = c->operands[0], *folder;
	struct store_copy_report report;
	char why[WHY_BYTES] = "";
	struct making m;
	int status = CTL_DONE;

	folder = ctl_store_folder(c, &status);
	if (!folder)
		return status;
	if (strcmp(path, "-") == 0)
		return backup_to_stdout(folder);
	status = making_begin(c, path, &m);
	if (status == CTL_DONE && (store_copy_out(folder, m.fd, why, sizeof(why)) != OK || store_copy_verify(m.fd, &report, why, sizeof(why)) != OK))
		status = ctl_say(CTL_FAILED, "%s", why);
	if (status == CTL_DONE)
		status = making_end(c, path, &m);
	making_drop(&m);
	return status == CTL_DONE ? print_report(c, "backup", path, &report, "") : status;
}

/* ---- restore ---- */

int
ctl_restore(struct ctl *c)
{
	const char *path = c->operands[0], *folder;
	struct store_copy_report report;
	char why[WHY_BYTES] = "", kept[STORE_COPY_KEPT_BYTES] = "";
	int fd, status = CTL_DONE;

	folder = ctl_store_folder(c, &status);
	if (!folder)
		return status;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ctl_say(CTL_FAILED, "cannot read %s: %s", path, strerrordesc_np(errno));
	if (store_copy_verify(fd, &report, why, sizeof(why)) != OK)
		status = ctl_say(CTL_FAILED, "%s: %s", path, why);
	else if (store_copy_in(folder, fd, kept, why, sizeof(why)) != OK)
		status = ctl_say(CTL_FAILED, "%s", why);
	close(fd);
	return status == CTL_DONE ? print_report(c, "restored", folder, &report, kept) : status;
}
