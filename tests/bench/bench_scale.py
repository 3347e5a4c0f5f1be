"""authd with many sessions stored (bench_authd.py --scale): sign-ins by session, resident memory, time to start. authd_sessions.c makes the stores."""
import contextlib
import os
import pathlib
import statistics
import time

import authd_client
import bench_authd

LOGIN_SESSIONS, MEMORY_SESSIONS, START_SESSIONS = 200_000, 100_000, 1_000_000
LARGE_GROUP = 10_000  # of sessions in a commit: as many as fit, to be done in half a minute
LOGINS_WANTED, MEMORY_WANTED_MIB, START_WANTED_S = 2000, 64, 1


def memory_mib(pid, name):
    (kib,) = [int(line.split()[1]) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name + ":")]
    return kib / 1024


def row(case, unit, value, wanted, **more):
    found = {"case": case, "unit": unit, "value": round(value, 3), "wanted": wanted} | {k: round(v, 3) for k, v in more.items()}
    print(f"{case:<50}{unit:>5}{found['value']:>9}{wanted:>9}   " + ", ".join(f"{k} {v}" for k, v in found.items() if k in more), flush=True)
    return found


@contextlib.contextmanager
def filled(folder, sessions, connections):
    """An issuer whose store holds so many sessions, and a file of requests: each connection signs in by another session."""
    people = bench_authd.fill(folder, sessions, bench_authd.LOADED_GROUP, connections)
    issuer = bench_authd.Issuer(folder, "ES256", **bench_authd.SESSIONS)
    file = folder / "login_sso.requests"
    file.write_text("".join(f"{len(r)}\n{r}" for r in (bench_authd.login_request(cookie) for cookie, in people)))
    try:
        yield issuer, file
    finally:
        issuer.stop()


def logins(o, folder, cpu):
    """Alternating: a store with the sessions that sign in alone, and the same among many."""
    stored = {f"login_sso_{n}_sessions": n for n in (o.connections, LOGIN_SESSIONS)}
    with contextlib.ExitStack() as stack:
        issuers = {case: stack.enter_context(filled(folder / case, n, o.connections)) for case, n in stored.items()}
        samples = {case: [] for case in stored}
        for round_ in range(o.rounds + 1):
            for case, (issuer, file) in list(issuers.items())[::1 if round_ % 2 else -1]:
                sample = bench_authd.measure("login_sso", issuer, file, o, o.seconds if round_ else 1, folder, cpu)
                if round_:  # round 0 warms connections and caches
                    samples[case].append(sample)
    rows = [{"case": case, "protocol": "h1", **bench_authd.figures(s)} for case, s in samples.items()]
    bench_authd.show(rows)
    few, many = rows
    print(f"{LOGIN_SESSIONS} sessions stored ÷ {o.connections}: CPU {many['cpu_us'] / few['cpu_us']:.2f}, p99 {many['p99_ms'] / few['p99_ms']:.2f}, "
          f"rate {many['requests_per_s'] / few['requests_per_s']:.2f}; wanted ≥ {LOGINS_WANTED} logins a second")
    return rows


def memory(o, folder, cpu):
    """All that is resident, and its parts: anonymous memory is authd's own; pages of files, of the store those that were looked at (in time perhaps all), are the
    kernel's cache, which takes them back when it needs them."""
    rows = []
    with filled(folder / "memory", MEMORY_SESSIONS, o.connections) as (issuer, file):
        for when in ("ready", "logins"):
            if when == "logins":
                sample = bench_authd.measure("login_sso", issuer, file, o, o.seconds, folder, cpu)
            pid = issuer.running.process.pid
            rows.append(row(f"memory_{MEMORY_SESSIONS}_sessions_{when}", "MiB", memory_mib(pid, "VmRSS"), f"< {MEMORY_WANTED_MIB}",
                            rss_anon_mib=memory_mib(pid, "RssAnon"), rss_file_mib=memory_mib(pid, "RssFile"), store_mib=os.stat(issuer.folder / "store/data.mdb").st_size / (1 << 20)))
    rows[-1]["failed"] = sample["failed"]
    return rows


def start_s(issuer, cold):
    """From fork and exec to READY=1."""
    with open(issuer.folder / "store/data.mdb", "rb") as f:
        if cold:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begin = time.monotonic()
    issuer.program.start()
    took_s = time.monotonic() - begin
    issuer.program.stop()
    return took_s


def starts(o, folder):
    """Alternating: few and many sessions, the store's file in the kernel's cache and not."""
    cases = {(n, cold): [] for n in (o.connections, START_SESSIONS) for cold in (False, True)}
    issuers = {}
    for n in (o.connections, START_SESSIONS):
        bench_authd.fill(folder / f"start-{n}", n, LARGE_GROUP, 1)
        issuers[n] = authd_client.Authd(folder / f"start-{n}", **bench_authd.SESSIONS)
    try:
        for n in issuers:
            start_s(issuers[n], False)  # the first one makes the signing keys
        for _ in range(o.rounds):
            for (n, cold), samples in cases.items():
                samples.append(start_s(issuers[n], cold))
    finally:
        for issuer in issuers.values():
            issuer.program.close()
    return [row(f"start_{n}_sessions_{'cold' if cold else 'warm'}", "s", statistics.median(s), f"< {START_WANTED_S}", min=min(s), max=max(s),
                store_mib=os.stat(issuers[n].folder / "store/data.mdb").st_size / (1 << 20)) for (n, cold), s in cases.items()]


def run(o, folder):
    cpu = 1 if os.cpu_count() > 1 else 0
    if os.getpriority(os.PRIO_PROCESS, 0):
        print(f"(niceness {os.getpriority(os.PRIO_PROCESS, 0)}: p99 and rate are those of a machine that does other things first)")
    return logins(o, folder, cpu) + memory(o, folder, cpu) + starts(o, folder)
