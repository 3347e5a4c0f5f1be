#include <stdio.h>
#include <unistd.h>
#include "proxyd/control.h"
#include "shared/process.h"

enum err
control_send(int sock, enum control_kind kind, uint32_t value, const char *text, int fd)
{
	struct control_message m = { .kind = kind, .value = value };

	if (text)
		snprintf(m.text, sizeof(m.text), "%s", text);
	return process_send_fd(sock, &m, sizeof(m), fd);
}

enum err
control_receive(int sock, struct control_message *m, int *fd)
{
	struct control_message got;
	size_t n;
	enum err e = process_recv_fd(sock, &got, sizeof(got), &n, fd);

	if (e)
		return e;
	bool known = got.kind >= CONTROL_READY && got.kind < CONTROL_KINDS;
	if (n != sizeof(got) || !known || !memchr(got.text, '\0', sizeof(got.text))) {
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		return E_FORMAT;
	}
	*m = got;
	return OK;
}
