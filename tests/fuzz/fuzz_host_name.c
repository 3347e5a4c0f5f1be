/* The name that a handshake was for, a line, then a Host. What passes as the same name is the same, or an address; and what the parser takes for the Host is what
 * came. */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include "proxyd/host_name.h"
#include "proxyd/http_head.h"
#include "shared/buf.h"
#include "tests/fuzz/must.h"

/* As any reader of names would have it: up to the port. */
static bool
is_address(struct slice host)
{
	char text[512];
	unsigned char bytes[4];
	size_t n = 0;

	if (host.p[0] == '[')
		return true;
	while (n < host.n && n < sizeof(text) - 1 && host.p[n] != ':') {
		text[n] = host.p[n];
		n++;
	}
	text[n] = '\0';
	return inet_pton(AF_INET, text, bytes) == 1;
}

static void
judge(struct slice sni, struct slice host)
{
	struct slice name = host_name_of(host);
	const struct slice nobody = SLICE_NONE;
	struct buf again;

	MUST(!host_name_is_misdirected(nobody, host));
	MUST((name.p == NULL) == is_address(host));
	if (!name.p) {
		MUST(!host_name_is_misdirected(sni, host));
		return;
	}
	MUST(name.p == host.p && name.n > 0 && name.n <= host.n && (name.n == host.n || host.p[name.n] == ':'));
	MUST(host_name_is_misdirected(sni, host) == (sni.n != name.n || strncasecmp(sni.p, name.p, name.n) != 0));
	MUST(!host_name_is_misdirected(name, host));
	buf_init(&again, 0);
	buf_add_slice(&again, name);
	buf_add_char(&again, 'x');
	MUST(!buf_ok(&again) || host_name_is_misdirected(buf_slice(&again), host));
	buf_fini(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct http_limits limits = { 65536, 8192 };
	static struct http_head head;
	struct slice host = slice_of((const char *)data, n), sni = slice_cut(&host, '\n');
	size_t scanned = 0, head_bytes = 0;
	const char *why = NULL;
	struct buf text;

	if (host.n && memchr(host.p, '\r', host.n)) /* it would end the line by itself */
		return 0;
	buf_init(&text, 0);
	buf_add_str(&text, "GET / HTTP/1.1\r\nHost: ");
	buf_add_slice(&text, host);
	buf_add_str(&text, "\r\n\r\n");
	if (buf_ok(&text) && http_request_parse(text.p, text.n, &scanned, &limits, &head, &head_bytes, &why) == HTTP_OK && head.header_n == 1) {
		MUST(slice_eq(head.host, slice_trim(host)));
		MUST(http_authority_ok(head.host));
		judge(sni.p ? sni : SLICE_LIT(""), head.host);
	}
	buf_fini(&text);
	return 0;
}
