/* frontend.h - frontend.dir: an operator's own files for our pages, as dex lays them out. Read whole when the configuration is, so that a request opens no
 * file, a reload changes all of them at once, and no name in a request can lead out of the folder.
 *
 *   static/…            served at /static/…
 *   themes/THEME/…      served at /theme/…; styles.css is linked on every page, favicon.png is its icon, logo.png its logo
 *   templates/….html    pages that take the place of ours (template_pages.h) */
#ifndef AUTHD_FRONTEND_H
#define AUTHD_FRONTEND_H

#include "shared/arena.h"
#include "shared/buf.h"

#define FRONTEND_FILES_MAX 256
#define FRONTEND_FILE_BYTES_MAX (2u << 20)
#define FRONTEND_BYTES_MAX (16u << 20)
#define FRONTEND_DEPTH_MAX 4 /* folders within static and themes */

struct frontend_file {
	const char *path; /* "static/img/a.svg", "theme/styles.css", "templates/login.html" */
	const char *content_type;
	struct slice bytes; /* NUL-terminated */
};
struct frontend_files {
	struct frontend_file *items;
	size_t n;
};

/* Names that begin with a dot are left out (a ConfigMap's own), links are followed. theme NULL: none. Everything in arena. E_FORMAT, E_LIMIT, E_SYSTEM
 * with why; E_NOMEM. */
MUST_CHECK enum err frontend_read(struct arena *arena, const char *dir, const char *theme, struct frontend_files *out, char *why, size_t why_n);
/* folder: "static/" and the like; name as in a request. NULL: none. */
const struct frontend_file *frontend_find(const struct frontend_files *f, const char *folder, struct slice name);

#endif
