#include "authd/agent.h"

#define WORD_BYTES_MAX 40

struct mark {
	const char *text, *name;
};

/* The first that occurs counts: most browsers name those that they want to be taken for as well. */
static const struct mark browsers[] = {
	{ "Edg/", "Edge" }, { "EdgA/", "Edge" }, { "EdgiOS/", "Edge" }, { "OPR/", "Opera" }, { "Vivaldi/", "Vivaldi" }, { "SamsungBrowser/", "Samsung Internet" },
	{ "FxiOS/", "Firefox" }, { "Firefox/", "Firefox" }, { "CriOS/", "Chrome" }, { "Chromium/", "Chromium" }, { "HeadlessChrome/", "Chrome" },
	{ "Chrome/", "Chrome" }, { "Safari/", "Safari" },
};
static const struct mark systems[] = {
	{ "iPhone", "iPhone" }, { "iPad", "iPad" }, { "Android", "Android" }, { "Windows", "Windows" }, { "CrOS", "ChromeOS" }, { "Macintosh", "Mac" },
	{ "Linux", "Linux" }, { "X11", "Unix" },
};

static const char *
find(struct slice text, const struct mark *marks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (memmem(text.p, text.n, marks[i].text, strlen(marks[i].text)))
			return marks[i].name;
	return NULL;
}

void
agent_name_add(struct buf *out, struct slice user_agent)
{
	struct slice rest = slice_trim(user_agent);

	if (rest.n == 0) {
		buf_add_str(out, "Unknown browser");
		return;
	}
	const char *browser = find(rest, browsers, sizeof browsers / sizeof browsers[0]);
	const char *system = find(rest, systems, sizeof systems / sizeof systems[0]);
	struct slice word = slice_cut(&rest, ' ');
	if (browser)
		buf_add_str(out, browser);
	else
		buf_add_slice(out, slice_of(word.p, word.n < WORD_BYTES_MAX ? word.n : WORD_BYTES_MAX));
	if (system)
		buf_printf(out, " on %s", system);
}
