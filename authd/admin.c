#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include "authd/admin.h"
#include "oidc/base64url.h"

void
admin_send(struct request *r, int status, struct buf *body)
{
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_send(r, status, "application/json", body);
}

void
admin_refuse(struct request *r, int status, const char *fmt, ...)
{
	struct buf body;
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	buf_init(&body, 0);
	buf_add_str(&body, "{\"error\":");
	buf_add_json(&body, slice_str(text));
	buf_add_char(&body, '}');
	admin_send(r, status, &body);
}

void
admin_refuse_store(struct request *r, enum err e)
{
	if (e == E_SYSTEM)
		admin_refuse(r, 503, "the store cannot do this just now: %s; authd's log says more", strerrordesc_np(errno));
	else if (e == E_FORMAT)
		admin_refuse(r, 503, "a stored record is damaged: restore the store from a backup (authd ctl restore)");
	else
		admin_refuse(r, 503, "the store cannot do this just now (%s): try again", err_name(e));
}

void
admin_add_text(struct buf *b, const char *name, struct slice value)
{
	buf_printf(b, ",\"%s\":", name);
	buf_add_json(b, value);
}

void
admin_add_bool(struct buf *b, const char *name, bool value)
{
	buf_printf(b, ",\"%s\":%s", name, value ? "true" : "false");
}

void
admin_add_time(struct buf *b, const char *name, int64_t at_s)
{
	char text[CLOCK_TEXT_BYTES];

	if (at_s)
		admin_add_text(b, name, slice_str(clock_format(at_s, text)));
	else
		buf_printf(b, ",\"%s\":null", name);
}

void
admin_add_texts(struct buf *b, const char *name, const struct slice *items, size_t n)
{
	buf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_char(b, ',');
		buf_add_json(b, items[i]);
	}
	buf_add_char(b, ']');
}

void
admin_add_strings(struct buf *b, const char *name, const struct config_strings *list)
{
	buf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; i < list->n; i++) {
		if (i)
			buf_add_char(b, ',');
		buf_add_json(b, slice_str(list->items[i]));
	}
	buf_add_char(b, ']');
}

/* ---- requests ---- */

struct form *
admin_form(struct request *r)
{
	struct form *form;
	struct slice twice;

	if ((r->method == METHOD_POST ? request_body_form(r, &form) : request_query_form(r, &form)) != OK) {
		admin_refuse(r, 400, "the request's parameters cannot be read: use the authd ctl of this version");
		return NULL;
	}
	twice = form_duplicate(form, NULL);
	if (!twice.p)
		return form;
	admin_refuse(r, 400, "%.*s was given twice", SLICE_FMT(twice));
	return NULL;
}

enum err
admin_list(struct arena *arena, struct slice value, struct record_strings *out)
{
	size_t n = value.n > 0;

	for (size_t i = 0; i < value.n; i++)
		n += value.p[i] == '\n';
	*out = (struct record_strings){ NULL, 0 };
	if (n > RECORD_LIST_MAX)
		return E_LIMIT;
	out->items = arena_alloc(arena, (n + 1) * sizeof(out->items[0]));
	if (!out->items)
		return E_NOMEM;
	while (out->n < n) {
		struct slice item = slice_cut(&value, '\n');
		if (item.n == 0)
			return E_FORMAT;
		out->items[out->n++] = item;
	}
	return OK;
}

/* ---- pages ---- */

bool
admin_page_begin(struct admin_page *p, struct request *r, const struct form *form)
{
	struct slice after = form_get(form, "after");
	char *key = arena_alloc(&r->arena, STORE_KEY_BYTES_MAX);

	*p = (struct admin_page){ .r = r };
	if (!key || (after.n && base64url_decode(after, (unsigned char *)key, STORE_KEY_BYTES_MAX, &p->after.n) != OK)) {
		admin_refuse(r, 400, "\"after\" is not what an answer before this one gave");
		return false;
	}
	p->after.p = key;
	arena_init(&p->scratch, REQUEST_ARENA_BYTES_MAX);
	buf_init(&p->body, 0);
	buf_add_str(&p->body, "{\"items\":[");
	return true;
}

struct buf *
admin_page_item(struct admin_page *p)
{
	if (p->body.n && p->body.p[p->body.n - 1] != '[')
		buf_add_char(&p->body, ',');
	return &p->body;
}

static enum err
page_visit(void *arg, struct slice key, const void *record)
{
	struct admin_page *p = arg;
	enum err e;

	if (p->full || p->looked == ADMIN_PAGE_RECORDS || p->body.n >= ADMIN_PAGE_BYTES) {
		p->more = true;
		return E_LIMIT;
	}
	p->looked++;
	e = p->visit(p, key, record);
	p->after = arena_slice(&p->r->arena, key);
	arena_fini_secret(&p->scratch);
	return e != OK || p->after.p ? e : E_NOMEM;
}

struct run {
	struct admin_page *page;
	enum record_kind kind;
};

static enum err
page_read(struct store_txn *t, void *arg)
{
	struct run *run = arg;

	return store_each_after(t, run->kind, run->page->after, &run->page->scratch, page_visit, run->page);
}

enum err
admin_page_run(struct admin_page *p, enum record_kind kind)
{
	struct run run = { p, kind };
	enum err e = store_read(p->r->app->store, page_read, &run);

	return e == E_LIMIT && p->more ? OK : e;
}

void
admin_page_add_after(const struct admin_page *p, struct buf *b)
{
	if (!p->more)
		return;
	buf_add_str(b, ",\"after\":\"");
	base64url_add(b, p->after.p, p->after.n);
	buf_add_char(b, '"');
}

void
admin_page_fini(struct admin_page *p)
{
	arena_fini_secret(&p->scratch);
	buf_fini_secret(&p->body);
}

void
admin_page_send(struct admin_page *p, enum err e)
{
	if (e == OK) {
		buf_add_char(&p->body, ']');
		admin_page_add_after(p, &p->body);
		buf_add_char(&p->body, '}');
		admin_send(p->r, 200, &p->body);
	} else {
		admin_refuse_store(p->r, e);
	}
	admin_page_fini(p);
}
