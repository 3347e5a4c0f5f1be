#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <termios.h>
#include <unistd.h>
#include "authd/ctl_internal.h"

#define LINE_BYTES_MAX 4096

enum { KEY_INTERRUPT = 3, KEY_END = 4, KEY_BACKSPACE = 8, KEY_KILL = 21, KEY_DELETE = 127 };

int
ctl_line(struct ctl *c, const char *what, struct slice *out)
{
	char text[LINE_BYTES_MAX];
	size_t n = 0;
	ssize_t got;
	int status = CTL_DONE;

	/* Byte by byte: nothing of the secret stays in a buffer of stdio, and what stands behind it is left for others. */
	while (n < sizeof(text) && (got = read(STDIN_FILENO, text + n, 1)) == 1 && text[n] != '\n')
		n++;
	if (n && n < sizeof(text) && text[n - 1] == '\r')
		n--;
	if (n == sizeof(text))
		status = ctl_say(CTL_USAGE, "%s: the line on standard input is too long", what);
	else if (n == 0)
		status = ctl_say(CTL_USAGE, "%s: expected on the first line of standard input, found nothing", what);
	else if (!(*out = arena_slice(&c->arena, slice_of(text, n))).p)
		status = ctl_no_memory();
	OPENSSL_cleanse(text, sizeof(text));
	return status;
}

static void
show(int tty, const char *text)
{
	size_t n = strlen(text);

	while (n) {
		ssize_t put = write(tty, text, n);
		if (put <= 0)
			return;
		text += put;
		n -= (size_t)put;
	}
}

/* One line, not shown. The terminal's own signal keys are off meanwhile, so that ^C cannot leave it without echo. False: given up. */
static bool
read_hidden(int tty, char *text, size_t cap, size_t *n)
{
	char key;

	*n = 0;
	while (read(tty, &key, 1) == 1) {
		if (key == '\n' || key == '\r')
			return true;
		if (key == KEY_INTERRUPT || (key == KEY_END && *n == 0))
			return false;
		if (key == KEY_KILL)
			*n = 0;
		else if (key == KEY_BACKSPACE || key == KEY_DELETE)
			*n -= *n > 0;
		else if (*n < cap)
			text[(*n)++] = key;
	}
	return false;
}

static int
ask(struct ctl *c, int tty, const char *prompt, const char *what, struct slice *out)
{
	char text[LINE_BYTES_MAX];
	struct termios before, hidden;
	size_t n = 0;
	bool given;

	if (tcgetattr(tty, &before) != 0)
		return ctl_say(CTL_FAILED, "%s: cannot ask at the terminal: %s", what, strerrordesc_np(errno));
	hidden = before;
	hidden.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
	hidden.c_cc[VMIN] = 1;
	hidden.c_cc[VTIME] = 0;
	tcsetattr(tty, TCSAFLUSH, &hidden);
	show(tty, prompt);
	given = read_hidden(tty, text, sizeof(text), &n);
	tcsetattr(tty, TCSAFLUSH, &before);
	show(tty, "\n");
	if (given)
		*out = arena_slice(&c->arena, slice_of(text, n));
	OPENSSL_cleanse(text, sizeof(text));
	if (!given)
		return ctl_say(CTL_FAILED, "given up: nothing was changed");
	return out->p ? CTL_DONE : ctl_no_memory();
}

int
ctl_password(struct ctl *c, const char *what, struct slice *out)
{
	struct slice again;
	int tty, status;

	if (!isatty(STDIN_FILENO))
		return ctl_line(c, what, out);
	tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (tty < 0)
		return ctl_say(CTL_FAILED, "%s: cannot ask at the terminal: %s", what, strerrordesc_np(errno));
	status = ask(c, tty, "New password: ", what, out);
	if (status == CTL_DONE)
		status = ask(c, tty, "Once more: ", what, &again);
	close(tty);
	if (status == CTL_DONE && !slice_eq(*out, again))
		status = ctl_say(CTL_FAILED, "the two are not the same: nothing was changed");
	return status;
}
