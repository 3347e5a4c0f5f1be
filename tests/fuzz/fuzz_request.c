/* What authd makes of a request line and of headers that libmicrohttpd let through. Input: target LF headers, one a line, "name:value". */
#include <assert.h>
#include "authd/request.h"

#define COOKIE "gatehouse"

static void
read_headers(struct request *r, struct slice text)
{
	while (text.n && r->header_n < REQUEST_HEADERS_MAX) {
		struct slice value = slice_cut(&text, '\n');
		struct slice name = slice_cut(&value, ':');
		r->headers[r->header_n++] = (struct request_header){ name, value };
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct request r;
	struct slice text = { (const char *)data, n };
	struct slice target = slice_cut(&text, '\n'), cookie;
	struct form *form;

	r = (struct request){ 0 };
	arena_init(&r.arena, REQUEST_ARENA_BYTES_MAX);
	read_headers(&r, text);
	if (request_target_split(target, &r.path, &r.query)) {
		assert(r.path.n > 0 && r.path.p[0] == '/');
		assert(r.path.n + (r.query.p ? r.query.n + 1 : 0) == target.n);
		if (request_query_form(&r, &form) == OK)
			assert(form->n <= FORM_FIELDS_MAX);
	}
	cookie = request_cookie(&r, COOKIE);
	assert(!cookie.n || !memchr(cookie.p, ';', cookie.n));
	if (!request_head_refused(&r))
		for (size_t i = 0; i < r.header_n; i++)
			assert(r.headers[i].name.n && !memchr(r.headers[i].value.p ? r.headers[i].value.p : "", 0, r.headers[i].value.n));
	request_id_set(&r, cookie, &rng_system);
	assert(strlen(r.id) > 0);
	arena_fini(&r.arena);
	return 0;
}
