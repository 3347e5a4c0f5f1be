# shellcheck shell=bash
# lib-check.sh - runs groups of tests, adds up what they say, closes with "N passed, N failed". Sourced after lib.sh.

CHECK_LOGS=$ROOT/build/check
PASSED=0 FAILED=0
mkdir -p "$CHECK_LOGS"

# tier NAME MINUTES COMMAND... : runs a group of tests, shows what it prints, and adds its counts. A group that breaks off, runs
# too long or runs no test at all counts as one failure.
tier() {
	local name=$1 minutes=$2 log=$CHECK_LOGS/$1.log status=0 passed failed started=$SECONDS
	shift 2
	step "$name: $*"
	: >"$log"
	timeout --kill-after=20 "${minutes}m" "$@" >"$log" 2>&1 </dev/null &
	local pid=$!
	# What the group prints, without its own closing line: only the sum of all groups is printed in that form.
	tail --pid="$pid" -n +1 -s 0.2 -f "$log" | grep --line-buffered -vxE '[0-9]+ passed, [0-9]+ failed' || true
	wait "$pid" || status=$?
	passed=$(tier_count "$log" 'passed') failed=$(tier_count "$log" 'failed|errors?')
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		printf '%s: stopped after %s minutes\n' "$name" "$minutes"
	fi
	if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
		failed=1
		printf '%s: ended with exit %s\n' "$name" "$status"
	elif [ "$((passed + failed))" -eq 0 ]; then
		failed=1
		printf '%s: ran no test\n' "$name"
	fi
	PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed))
	printf '%s==>%s %s: %d good, %d bad, %d s\n' "$BOLD" "$PLAIN" "$name" "$passed" "$failed" "$((SECONDS - started))"
}

# The number before a word in the last closing line of a log ("3 passed, 0 failed", pytest's "1 failed, 2 passed in 3.4s").
tier_count() {
	{ grep -E '^=* ?[0-9]+ (passed|failed|skipped|deselected|warnings?|errors?)([, ]|$)' "$1" || true; } | tail -n 1 |
		{ grep -oE "[0-9]+ ($2)\b" || true; } | awk '{ n += $1 } END { print n + 0 }'
}

# Prints the closing line; fails if anything did.
close_check() {
	printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
	[ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ]
}
