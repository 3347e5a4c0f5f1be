/* Any bytes as a URL and as a listen address. What is taken must be made of the text's own parts and read the same again. */
#include <stdio.h>
#include <stdlib.h>
#include "shared/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static void
must_lie_in(struct slice part, struct slice text)
{
	must(part.n == 0 || (part.p >= text.p && part.p + part.n <= text.p + text.n));
}

static void
try_url(struct slice text)
{
	struct url u, again;

	if (url_parse(text, &u) != OK)
		return;
	must_lie_in(u.host, text);
	must_lie_in(u.path, text);
	must_lie_in(u.query, text);
	must(u.host.n > 0 && u.port != 0);
	must(u.path.n == 0 || u.path.p[0] == '/');
	must(u.origin.p == text.p && u.origin.n == u.scheme.n + 3 + u.authority.n);
	must(u.origin.n + u.path.n + (u.query.n ? 1 + u.query.n : 0) <= text.n);
	for (size_t i = 0; i < text.n; i++)
		must(text.p[i] > ' ' && text.p[i] < 0x7f && text.p[i] != '#');
	must(url_parse(u.origin, &again) == OK);
	must(slice_eq(again.host, u.host) && again.port == u.port && again.tls == u.tls);
}

static void
try_listen(struct slice text)
{
	struct address a, again;
	const char *why = NULL;
	char out[ADDRESS_TEXT_MAX], out_again[ADDRESS_TEXT_MAX];

	if (address_parse_listen(text, &a, &why) != OK) {
		must(why && *why);
		return;
	}
	must(a.len > 0 && a.len <= sizeof(a.u));
	address_format(&a, out);
	must(address_parse_listen(slice_str(out), &again, &why) == OK);
	must(strcmp(address_format(&again, out_again), out) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of((const char *)data, size);

	try_url(text);
	try_listen(text);
	return 0;
}
