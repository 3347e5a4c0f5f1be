/* Any bytes in front of a connection. A header is within what came, is longer than nothing, and says the same whatever follows it; a beginning of one is never
 * refused that the whole was taken with. */
#include <string.h>
#include "proxyd/proxy_protocol.h"
#include "tests/fuzz/must.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proxy_header whole, part;
	const char *why = NULL;

	if (n == 0)
		return 0;
	enum proxy_verdict v = proxy_protocol_parse((const char *)data, n, &whole, &why);
	MUST((v == PROXY_BAD) == (why != NULL));
	MUST(v != PROXY_MORE || n < PROXY_BYTES_MAX);
	if (v != PROXY_OK)
		return 0;
	MUST(whole.bytes > 0 && whole.bytes <= n && whole.bytes <= PROXY_BYTES_MAX);
	MUST(proxy_protocol_parse((const char *)data, whole.bytes, &part, &why) == PROXY_OK);
	MUST(part.bytes == whole.bytes && part.has_ip == whole.has_ip && memcmp(&part.ip, &whole.ip, sizeof(part.ip)) == 0);
	for (size_t i = 1; i < whole.bytes; i++)
		MUST(proxy_protocol_parse((const char *)data, i, &part, &why) == PROXY_MORE);
	return 0;
}
