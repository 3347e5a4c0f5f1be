/* Any method, path and query. Whatever is read lies in the path or in the result itself, and fits together as a request for a resource does. */
#include <string.h>
#include "proxyd/kube_request.h"
#include "tests/fuzz/must.h"

static bool
lies_in(struct slice part, const char *p, size_t n)
{
	return part.n == 0 || (part.p >= p && part.p + part.n <= p + n);
}

static void
judge(const struct kube_request *r, struct slice path)
{
	const struct slice parts[] = { r->group, r->version, r->resource, r->subresource, r->namespace, r->name };

	MUST(r->verb < KUBE_VERBS);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		MUST(lies_in(parts[i], path.p, path.n) || lies_in(parts[i], r->decoded, sizeof(r->decoded)) ||
			lies_in(parts[i], r->name_decoded, sizeof(r->name_decoded)));
		MUST(r->is_resource || parts[i].n == 0);
		MUST(i == 5 || parts[i].n == 0 || !memchr(parts[i].p, '/', parts[i].n));
	}
	MUST(r->is_resource || (r->verb != KUBE_LIST && r->verb != KUBE_WATCH && r->verb != KUBE_CREATE && r->verb != KUBE_DELETECOLLECTION));
	MUST(r->verb != KUBE_DELETECOLLECTION || r->name.n == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct kube_request r;

	if (n == 0)
		return 0;
	struct slice query = slice_of((const char *)data + 1, n - 1), path = slice_cut(&query, '?');
	kube_request_parse((enum http_method)(data[0] % (METHOD_TRACE + 1)), path, query, &r);
	judge(&r, path);
	return 0;
}
