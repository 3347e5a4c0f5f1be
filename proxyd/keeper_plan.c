#include "proxyd/keeper_plan.h"

void
keeper_plan_init(struct keeper_plan *p, uint64_t now_ms)
{
	*p = (struct keeper_plan){ .due_ms = now_ms };
}

uint64_t
keeper_plan_delay(const struct keeper_plan *p, uint64_t now_ms)
{
	if (p->due_ms == KEEPER_NEVER)
		return KEEPER_NEVER;
	return p->due_ms > now_ms ? p->due_ms - now_ms : 0;
}

void
keeper_plan_started(struct keeper_plan *p)
{
	p->due_ms = KEEPER_NEVER;
	p->wanted = false;
}

/* Start a wanted fetch as early as it may: now, or when the last one is old enough. */
static void
pull_forward(struct keeper_plan *p, uint64_t now_ms)
{
	uint64_t at = p->want_from_ms > now_ms ? p->want_from_ms : now_ms;

	if (at >= p->due_ms)
		return; /* it will be fetched before that anyway */
	p->due_ms = at;
	p->want_from_ms = at + KEEPER_WANT_MS;
}

void
keeper_plan_want(struct keeper_plan *p, uint64_t now_ms)
{
	if (p->due_ms == KEEPER_NEVER)
		p->wanted = true;
	else
		pull_forward(p, now_ms);
}

static void
ended(struct keeper_plan *p, uint64_t now_ms, uint64_t delay_ms)
{
	p->due_ms = now_ms + delay_ms;
	p->tried = true;
	if (p->wanted)
		pull_forward(p, now_ms);
	p->wanted = false;
}

void
keeper_plan_succeeded(struct keeper_plan *p, uint64_t now_ms, int64_t max_age_s)
{
	uint64_t delay_ms = KEEPER_REFRESH_DEFAULT_MS;

	if (max_age_s >= 0)
		delay_ms = max_age_s > KEEPER_REFRESH_MAX_MS / 1000 ? KEEPER_REFRESH_MAX_MS : (uint64_t)max_age_s * 1000;
	if (delay_ms < KEEPER_REFRESH_MIN_MS)
		delay_ms = KEEPER_REFRESH_MIN_MS;
	p->failures = 0;
	ended(p, now_ms, delay_ms);
}

void
keeper_plan_failed(struct keeper_plan *p, uint64_t now_ms, uint8_t chance)
{
	uint64_t delay_ms = KEEPER_RETRY_MAX_MS;

	if (p->failures < 6) /* 1 s << 6 is past the maximum */
		delay_ms = (uint64_t)KEEPER_RETRY_MIN_MS << p->failures;
	if (p->failures < UINT32_MAX)
		p->failures++;
	ended(p, now_ms, delay_ms - delay_ms / 4 * chance / 255);
}

int64_t
keeper_max_age_s(struct slice cache_control)
{
	int64_t max_age_s = -1;
	uint64_t seconds;

	while (cache_control.n) {
		struct slice value = slice_trim(slice_cut(&cache_control, ','));
		struct slice name = slice_trim(slice_cut(&value, '='));
		if (slice_eq_nocase(name, SLICE_LIT("no-store")) || slice_eq_nocase(name, SLICE_LIT("no-cache")))
			return 0;
		value = slice_trim(value);
		if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
			value = slice_of(value.p + 1, value.n - 2);
		if (max_age_s < 0 && slice_eq_nocase(name, SLICE_LIT("max-age")) && slice_to_u64(value, INT64_MAX, &seconds))
			max_age_s = (int64_t)seconds;
	}
	return max_age_s;
}
