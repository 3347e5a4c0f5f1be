/* The files that the configuration in use was read from: a renewed certificate or key, another kubeconfig or authority is taken as if HUP had come. The
 * configuration itself waits for HUP, unless it says otherwise. */
#include "proxyd/master_state.h"
#include "shared/log.h"

#define LOOK_MS 2000

static void
look(struct master *m)
{
	struct proxyd_config *c = m->active->config;
	const char *file = file_watch_look(&c->files), *self = file_watch_look(&c->self);

	if (self && c->reload_on_change) {
		file = self;
	} else if (file && !c->reload_on_change && file_watch_differs(&c->self)) {
		log_warn("file changed, but so has the configuration, which waits for HUP: neither is taken", LOG_STR("file", file), LOG_STR("config", m->path));
		return;
	}
	if (!file)
		return;
	log_info("file changed", LOG_STR("file", file));
	master_reload(m);
}

static void
on_files_due(struct loop_timer *t)
{
	struct master *m = (struct master *)((char *)t - offsetof(struct master, files));

	if (m->ending)
		return;
	/* What changes while something else runs is seen afterwards. */
	if (m->active && !master_is_busy(m))
		look(m);
	master_follow_files(m);
}

void
master_follow_files(struct master *m)
{
	m->files.on_due = on_files_due;
	if (loop_timer_set(m->loop, &m->files, LOOK_MS))
		log_error("no memory for a timer: files are not looked at any more, send HUP when they change");
}
