#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "shared/process.h"

/* The memory where the kernel looks for the command line: main's arguments, and the environment right behind them. */
static char *title;
static size_t title_bytes, arguments_bytes;

/* The end of the strings of list that stand one behind the other from `from` on. */
static char *
end_of_run(char **list, char *from)
{
	for (size_t i = 0; list[i] && list[i] == from; i++)
		from += strlen(list[i]) + 1;
	return from;
}

/* Copies of list's strings, in one piece with it. Lives as long as the process. */
static char **
copy_strings(char **list)
{
	size_t n = 0, bytes = 0;

	for (; list[n]; n++)
		bytes += strlen(list[n]) + 1;
	char **copy = malloc((n + 1) * sizeof(char *) + bytes);
	if (!copy)
		return NULL;
	char *to = (char *)(copy + n + 1);
	for (size_t i = 0; i < n; i++) {
		copy[i] = to;
		to = stpcpy(to, list[i]) + 1;
	}
	copy[n] = NULL;
	return copy;
}

void
process_title_init(int argc, char **argv)
{
	if (title || argc < 1)
		return;
	char **arguments = copy_strings(argv), **environment = copy_strings(environ);
	if (!arguments || !environment) {
		free(arguments);
		free(environment);
		return; /* no titles then */
	}
	char *start = argv[0], *arguments_end = end_of_run(argv, start), *end = end_of_run(environ, arguments_end);
	for (int i = 0; i < argc; i++)
		argv[i] = arguments[i];
	environ = environment;
	arguments_bytes = (size_t)(arguments_end - start);
	title_bytes = (size_t)(end - start);
	title = start;
}

void
process_title_set(const char *fmt, ...)
{
	va_list args;

	if (!title)
		return;
	memset(title, 0, title_bytes);
	va_start(args, fmt);
	int n = vsnprintf(title, title_bytes, fmt, args);
	va_end(args);
	/* The kernel shows the text up to its first NUL, instead of all arguments, only where the last byte of the arguments was
	 * overwritten. */
	if (n >= 0 && (size_t)n < arguments_bytes - 1)
		title[arguments_bytes - 1] = '.';
}
