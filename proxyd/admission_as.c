#include "proxyd/access_review.h"
#include "proxyd/exchange_state.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))

static void
deny(struct exchange *x)
{
	struct buf message;

	x->why = "not allowed to impersonate";
	buf_init(&message, 0);
	impersonation_refusal(&x->as->checks[x->as->at], x->principal->identity.username, &message);
	exchange_answer(x, 403, buf_ok(&message) ? message.p : x->why);
	buf_fini(&message);
}

static void
out_of_memory(struct exchange *x)
{
	x->why = "out of memory";
	exchange_answer(x, 503, "the gateway has no memory for this now; try again");
}

static void
ask(struct exchange *x, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct slice body)
{
	struct review_question q = { .body = body };

	memcpy(q.digest, digest, sizeof(q.digest));
	x->phase = EXCHANGE_ASKING;
	if (review_client_ask(x->gateway->access_reviews, x->to, &q, &x->review))
		x->review.on_answer(&x->review, REVIEW_UNKNOWN, NULL, "too many wait for reviews");
}

/* Whether to go on with the next one. If not, x may be gone: it waits for the cluster, or has been answered. */
static bool
check_one(struct exchange *x)
{
	struct gateway *g = x->gateway;
	unsigned char digest[CREDENTIAL_DIGEST_BYTES];
	enum access_review known = ACCESS_BROKEN;
	struct buf question;

	buf_init(&question, 0);
	access_review_print(&x->principal->identity, &x->as->checks[x->as->at], &question);
	if (!buf_ok(&question) || !credential_digest(&g->access_hasher, CREDENTIAL_ACCESS, slice_str(x->to->name), buf_slice(&question), digest)) {
		out_of_memory(x);
	} else if (!access_answers_find(g->access_answers, digest, clock_now_s(g->clock), &known)) {
		ask(x, digest, buf_slice(&question));
	} else if (known == ACCESS_ALLOWED) {
		x->as->at++;
	} else {
		deny(x);
	}
	buf_fini(&question);
	return known == ACCESS_ALLOWED;
}

static void
check_on(struct exchange *x)
{
	while (x->as->at < x->as->n)
		if (!check_one(x))
			return;
	if (impersonation_allow(x->as)) {
		out_of_memory(x);
		return;
	}
	x->why = NULL;
	exchange_forward(x);
}

static void
on_answer(struct review_wait *w, enum review_verdict verdict, struct principal *principal, const char *why)
{
	struct exchange *x = OWNER(struct exchange, review, w);

	(void)principal; /* this kind of question gives none */
	x->why = why;
	switch (verdict) {
	case REVIEW_YES:
		x->as->at++;
		check_on(x);
		break;
	case REVIEW_NO:
		deny(x);
		break;
	case REVIEW_UNKNOWN:
		exchange_answer(x, 503, "the cluster does not say whom you may impersonate; try again");
		break;
	case REVIEW_DENIED:
		exchange_answer(x, 502, "the gateway may not ask this cluster whom you may impersonate");
		break;
	}
}

void
admission_as(struct exchange *x)
{
	const char *why;

	switch (impersonation_new(&x->request->head, &x->principal->identity, &x->as, &why)) {
	case OK:
		break;
	case E_NOMEM:
		out_of_memory(x);
		return;
	default:
		x->why = why;
		exchange_answer(x, 400, why);
		return;
	}
	x->review.on_answer = on_answer;
	check_on(x);
}
