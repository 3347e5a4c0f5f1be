/* admin_unit.h - a whole authd with its control socket, and who asks there. */
#ifndef TESTS_ADMIN_UNIT_H
#define TESTS_ADMIN_UNIT_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "tests/unit/failing_malloc.h"
#include "tests/unit/store_unit.h"
#include "tests/unit/unconfined.h"
#include "authd/admin.h"
#include "authd/directory.h"
#include "oidc/strict_json.h"
#include "shared/log.h"

#define HASH "$2a$10$33EMT0cVYVlPy6WAMCLsceLYjWhuHpbz5yuZxu/GAFj03J9Lytjuy"

static const char config_text[] =
	"issuer: http://127.0.0.1/oidc\n"
	"storage: {type: lmdb, config: {path: %s/store}}\n"
	"web: {http: \"127.0.0.1:0\", unix: %s/authd.sock}\n"
	"logger: {level: error}\n"
	"enablePasswordDB: true\n"
	"staticPasswords: [{email: j@example.com, hash: \"" HASH "\", username: j, userID: u1, groups: [a, b]}]\n"
	"staticClients: [{id: cli, name: cli, public: true, redirectURIs: [\"http://127.0.0.1/cb\"]}]\n";

static struct authd app;
static char folder[64], ctl_path[128], gateway_path[128];

/* ---- a small client ---- */

static char answer[4 << 20];
static const char *body;
static size_t answers, longest;

static inline int
ask(const char *path, const char *request)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), status = 0;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;
	ssize_t m = 1;

	assert_true(strlen(path) < sizeof(to.sun_path));
	strcpy(to.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	/* Without memory a connection may be closed before anything is read: status 0. */
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
		m = 0;
	while (m > 0 && n < sizeof(answer) - 1) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		m = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);
		n += m > 0 ? (size_t)m : 0;
	}
	answer[n] = '\0';
	close(fd);
	body = strstr(answer, "\r\n\r\n");
	body = body ? body + 4 : "";
	answers++;
	longest = n > longest ? n : longest;
	return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

static inline int
get(const char *path, const char *target)
{
	static char request[2048];

	snprintf(request, sizeof(request), "GET " CTL_PATH "%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", target);
	return ask(path, request);
}

static inline int
post(const char *target, const char *form)
{
	static char request[65536];

	snprintf(request, sizeof(request),
		"POST " CTL_PATH "%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n%s", target,
		strlen(form), form);
	return ask(ctl_path, request);
}

static inline json_t *
answered(void)
{
	json_t *out = NULL;

	if (strict_json_parse(slice_str(body), &out) != OK)
		fail_msg("no JSON: %s", answer);
	return out;
}

/* All pages: how many items, and of the last one the member's text. */
static inline size_t
count_all(const char *target, const char *member, char last[128])
{
	char at[1024], after[600] = "";
	size_t n = 0;

	do {
		snprintf(at, sizeof(at), "%s%s%s", target, *after ? "&after=" : "", after);
		assert_int_equal(get(ctl_path, at), 200);
		json_t *page = answered(), *items = json_object_get(page, "items");
		const char *more = json_string_value(json_object_get(page, "after"));
		n += json_array_size(items);
		if (member && json_array_size(items))
			snprintf(last, 128, "%s", json_string_value(json_object_get(json_array_get(items, json_array_size(items) - 1), member)));
		snprintf(after, sizeof(after), "%s", more ? more : "");
		json_decref(page);
	} while (*after);
	return n;
}

/* ---- the program ---- */

static inline int
begin(void **state)
{
	char text[2048], why[512] = "", config_path[128];

	(void)state;
	unit_folder_make(folder);
	snprintf(config_path, sizeof(config_path), "%s/c.yaml", folder);
	snprintf(ctl_path, sizeof(ctl_path), "%s/store/ctl.sock", folder);
	snprintf(gateway_path, sizeof(gateway_path), "%s/authd.sock", folder);
	snprintf(text, sizeof(text), config_text, folder, folder);
	unit_file_write(config_path, text, strlen(text));
	app = (struct authd){ .clock = &clock_system, .rng = &rng_system };
	if (app_start(&app, config_path, why, sizeof(why)) != OK)
		fail_msg("%s", why);
	log_set_level(LOG_LEVEL_ERROR + 1);
	return 0;
}

static inline int
end(void **state)
{
	char command[128];

	(void)state;
	assert_true(app_stop(&app));
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	return 0;
}

#endif
