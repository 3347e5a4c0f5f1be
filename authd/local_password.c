#include "authd/counters.h"
#include "authd/limiter.h"
#include "authd/local_password.h"
#include "authd/person.h"
#include "shared/log.h"

static void
done(struct local_password *p, enum local_password_verdict verdict)
{
	p->verdict = verdict;
	p->next(p->r);
}

static void
wrong(struct local_password *p)
{
	counters_login(p->r->app->counters, SLICE_LIT(AUTHD_PASSWORD_CONNECTOR), "wrong_password");
	log_info("password refused", LOG_SLICE("user_id", p->entry ? slice_str(p->entry->user_id) : SLICE_LIT("unknown")),
		LOG_SLICE("address", p->r->address), LOG_REQ(p->r->id));
	done(p, LOCAL_PASSWORD_WRONG);
}

static void
right(struct local_password *p)
{
	limiter_succeeded(p->r->app->limiter, p->login, p->r->address);
	done(p, person_from_password(&p->r->arena, p->entry, &p->user) == OK ? LOCAL_PASSWORD_RIGHT : LOCAL_PASSWORD_UNAVAILABLE);
}

static void
held_back(struct local_password *p)
{
	counters_login(p->r->app->counters, SLICE_LIT(AUTHD_PASSWORD_CONNECTOR), "held_back");
	log_info("password attempt held back", LOG_INT("wait_s", p->wait_s), LOG_SLICE("address", p->r->address), LOG_REQ(p->r->id));
	done(p, LOCAL_PASSWORD_HELD_BACK);
}

static void
checked(struct request *r)
{
	struct local_password *p = r->write;

	if (p->checked != OK)
		done(p, LOCAL_PASSWORD_UNAVAILABLE);
	else if (p->entry && p->matches)
		right(p);
	else
		wrong(p);
}

static void
on_checked(void *arg, enum err e, bool matches)
{
	struct local_password *p = arg;

	p->checked = e;
	p->matches = matches;
	request_resume(p->r);
}

void
local_password_check(struct request *r, struct local_password *p, struct slice password, void (*next)(struct request *r))
{
	struct directory d = directory_of(r);
	enum err e;

	p->r = r;
	p->next = next;
	p->wait_s = limiter_attempt(r->app->limiter, p->login, r->address);
	if (p->wait_s) {
		held_back(p);
		return;
	}
	e = directory_account_by_login(&d, p->login, &p->entry);
	if (e == E_EMPTY)
		p->entry = NULL;
	else if (e != OK) {
		done(p, LOCAL_PASSWORD_UNAVAILABLE);
		return;
	}
	r->write = p;
	request_wait(r, checked);
	e = password_check(r->app->passwords, password, slice_str(p->entry ? p->entry->hash : ""), on_checked, p);
	if (e != OK)
		on_checked(p, e, false);
}
