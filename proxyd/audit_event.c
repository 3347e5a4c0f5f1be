#include "proxyd/audit_event.h"
#include "proxyd/impersonate.h"
#include "proxyd/status.h"
#include "shared/clock.h"

/* "key":"value" behind a comma, unless there is none. */
static void
add_member(struct buf *out, const char *key, struct slice value)
{
	if (!value.n)
		return;
	buf_add_str(out, ",\"");
	buf_add_str(out, key);
	buf_add_str(out, "\":");
	buf_add_json(out, value);
}

static void
add_strings(struct buf *out, const struct slice *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_char(out, ',');
		buf_add_json(out, items[i]);
	}
}

/* metav1.MicroTime: "2026-01-02T03:04:05.678901Z". */
static void
add_time(struct buf *out, const char *key, int64_t us)
{
	char text[CLOCK_TEXT_BYTES];

	clock_format(us / 1000000, text);
	buf_printf(out, ",\"%s\":\"%.19s.%06dZ\"", key, text, (int)(us % 1000000));
}

static void
add_uri(struct buf *out, const struct audit_event *e)
{
	size_t begins;

	buf_add_str(out, ",\"requestURI\":");
	buf_add_json(out, e->path);
	if (!e->query.p || !buf_ok(out))
		return;
	begins = out->n - 1; /* the closing quote gives way to the opening one, which becomes '?' */
	out->n = begins;
	buf_add_json(out, e->query);
	if (buf_ok(out))
		out->p[begins] = '?';
}

static void
add_verb(struct buf *out, const struct audit_event *e)
{
	char lower[32];
	size_t n = e->method.n < sizeof(lower) ? e->method.n : sizeof(lower);

	for (size_t i = 0; i < n; i++)
		lower[i] = (char)(e->method.p[i] >= 'A' && e->method.p[i] <= 'Z' ? e->method.p[i] | 0x20 : e->method.p[i]);
	buf_add_str(out, ",\"verb\":");
	buf_add_json(out, e->verb ? slice_str(e->verb) : slice_of(lower, n));
}

/* Whoever got in is in this group, there as here. */
static void
add_groups(struct buf *out, const struct identity *u)
{
	static const struct slice everybody = { "system:authenticated", 20 };
	bool named = false;

	for (size_t i = 0; i < u->group_n; i++)
		named = named || slice_eq(u->groups[i], everybody);
	buf_add_str(out, ",\"groups\":[");
	add_strings(out, u->groups, u->group_n);
	if (!named) {
		if (u->group_n)
			buf_add_char(out, ',');
		buf_add_json(out, everybody);
	}
	buf_add_char(out, ']');
}

static void
add_user(struct buf *out, const char *key, const struct identity *u)
{
	buf_add_str(out, key);
	buf_add_char(out, '{');
	if (u) {
		buf_add_str(out, "\"username\":");
		buf_add_json(out, u->username);
		add_member(out, "uid", u->uid);
		add_groups(out, u);
	}
	for (size_t i = 0; u && i < u->extra_n; i++) {
		buf_add_str(out, i ? "," : ",\"extra\":{");
		buf_add_json(out, u->extra[i].key);
		buf_add_str(out, ":[");
		add_strings(out, u->extra[i].values, u->extra[i].n);
		buf_add_str(out, i + 1 == u->extra_n ? "]}" : "]");
	}
	buf_add_char(out, '}');
}

static void
add_client(struct buf *out, const struct audit_event *e)
{
	static const struct slice cut = { "...TRUNCATED", 12 };

	if (e->client_ip.n) {
		buf_add_str(out, ",\"sourceIPs\":[");
		buf_add_json(out, e->client_ip);
		buf_add_char(out, ']');
	}
	if (e->user_agent.n <= AUDIT_USER_AGENT_BYTES_MAX) {
		add_member(out, "userAgent", e->user_agent);
		return;
	}
	add_member(out, "userAgent", slice_of(e->user_agent.p, AUDIT_USER_AGENT_BYTES_MAX));
	if (buf_ok(out))
		out->n--; /* the closing quote */
	buf_add_slice(out, cut);
	buf_add_char(out, '"');
}

static void
add_object(struct buf *out, const struct kube_request *k)
{
	size_t begins;

	buf_add_str(out, ",\"objectRef\":");
	begins = out->n;
	add_member(out, "resource", k->resource);
	add_member(out, "namespace", k->namespace);
	add_member(out, "name", k->name);
	add_member(out, "apiGroup", k->group);
	add_member(out, "apiVersion", k->version);
	add_member(out, "subresource", k->subresource);
	if (buf_ok(out) && out->n > begins)
		out->p[begins] = '{'; /* in place of the first comma */
	else
		buf_add_char(out, '{');
	buf_add_char(out, '}');
}

static void
add_status(struct buf *out, const struct audit_event *e)
{
	buf_add_str(out, ",\"responseStatus\":{\"metadata\":{}");
	if (e->own_answer && e->code >= 400) {
		buf_add_str(out, ",\"status\":\"Failure\"");
		add_member(out, "reason", slice_str(status_reason(e->code)));
	}
	buf_printf(out, ",\"code\":%u}", e->code);
}

static void
add_annotations(struct buf *out, const struct audit_event *e)
{
	buf_add_str(out, ",\"annotations\":{\"" IMPERSONATE_OUR_EXTRA "request-id\":");
	buf_add_json(out, e->request_id);
	add_member(out, IMPERSONATE_OUR_EXTRA "cluster", slice_str(e->cluster));
	if (e->user) {
		add_member(out, IMPERSONATE_OUR_EXTRA "authenticated-by", slice_str(identity_how_name(e->user->how)));
		add_member(out, IMPERSONATE_OUR_EXTRA "issuer", e->user->issuer);
	}
	add_member(out, IMPERSONATE_OUR_EXTRA "reason", slice_str(e->why));
	buf_add_char(out, '}');
}

void
audit_event_write(const struct audit_event *e, struct buf *out)
{
	buf_add_str(out, "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\"auditID\":");
	buf_add_json(out, e->id);
	buf_add_str(out, ",\"stage\":\"ResponseComplete\"");
	add_uri(out, e);
	add_verb(out, e);
	add_user(out, ",\"user\":", e->user);
	if (e->impersonated)
		add_user(out, ",\"impersonatedUser\":", e->impersonated);
	add_client(out, e);
	if (e->object)
		add_object(out, e->object);
	if (e->code)
		add_status(out, e);
	add_time(out, "requestReceivedTimestamp", e->received_us);
	add_time(out, "stageTimestamp", e->finished_us);
	add_annotations(out, e);
	buf_add_str(out, "}\n");
}
