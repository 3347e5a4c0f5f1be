"""One run, alternating: requests/s, CPU µs per request, p99, of each case and protocol on one core; medians with minimum and maximum.

The proxy has CPU 0 to itself; the load (wrk, h2load) and the upstream share the other. CPU is the proxy's own user+system time over the requests
that it answered, so a busy machine stretches seconds but not this figure. Results go to build/bench/proxy.json as well."""
import argparse
import json
import os
import re
import shutil
import ssl
import statistics
import subprocess
import tempfile
import urllib.request

import bench_more
import parts
from waiting import until

# h2: as many connections as h1, one stream each; h2x10: a tenth of them with ten streams each.
PROTOCOLS = ["h1", "h2", "h2x10"]
PATH = "/api/v1/namespaces/default/pods?limit=500"
CASES = ["nginx_no_auth", "haproxy_no_auth", "haproxy_rs256", "haproxy_es256", "proxyd_rs256", "proxyd_es256"]


def options():
    p = argparse.ArgumentParser(description="proxyd against nginx and HAProxy, one core, TLS both sides, 1 KiB answers")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=3, help="per case and round")
    p.add_argument("--connections", type=int, default=50)
    p.add_argument("--only", nargs="*", choices=CASES, default=CASES)
    p.add_argument("--protocols", nargs="*", choices=PROTOCOLS, default=PROTOCOLS)
    p.add_argument("--rows", nargs="*", choices=bench_more.ROWS, default=bench_more.ROWS, help="what else is measured (bench_more.py)")
    p.add_argument("--realtime", action="store_true", help="what is measured in the rows of --rows goes before all other programs of the machine (SCHED_FIFO, as root)")
    p.add_argument("--slowloris", type=int, default=5000, help="connections of that attack")
    p.add_argument("--watches", type=int, default=10000)
    p.add_argument("--handshakes", type=int, default=500, help="per kind and round")
    return p.parse_args()


def wrk(port, token, seconds, connections, cpu):
    argv = ["taskset", "-c", str(cpu), parts.tool("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", "Accept: application/json"]
    if token:
        argv += ["-H", "Authorization: Bearer " + token]
    out = subprocess.run(argv + [f"https://127.0.0.1:{port}{PATH}"], capture_output=True, text=True, check=True).stdout
    count, span = re.search(r"(\d+) requests in ([\d.]+)(m?s)", out).group(1, 2)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    failed = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", out))
    for line in re.findall(r"Socket errors: (.*)", out):
        failed += sum(int(n) for n in re.findall(r"\d+", line))
    scale = {"us": 1e-3, "ms": 1, "s": 1e3}[p99.group(2)]
    return int(count), float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), float(p99.group(1)) * scale, failed


def h2load(port, token, seconds, connections, streams, cpu, folder):
    log = os.path.join(folder, "h2load.log")
    if os.path.exists(log):
        os.unlink(log)
    argv = ["taskset", "-c", str(cpu), parts.tool("h2load"), "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", f"--log-file={log}",
            "-H", "Accept: application/json"]
    if token:
        argv += ["-H", "Authorization: Bearer " + token]
    out = subprocess.run(argv + [f"https://127.0.0.1:{port}{PATH}"], capture_output=True, text=True, check=True).stdout
    done, succeeded, failed, errored, timeout = (int(n) for n in re.search(
        r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out).groups())
    if "Application protocol: h2" not in out:
        raise SystemExit(f"bench: no HTTP/2 at port {port}:\n{out}")
    with open(log) as f:
        times = sorted(int(line.rsplit("\t", 1)[1]) for line in f)  # start, status, µs
    p99 = times[int(len(times) * 0.99)] / 1e3 if times else float("nan")
    return done, float(re.search(r"([\d.]+) req/s", out).group(1)), p99, done - succeeded + failed + errored + timeout


def load(protocol, port, token, o, seconds, cpu, folder):
    if protocol == "h1":
        return wrk(port, token, seconds, o.connections, cpu)
    streams = 10 if protocol == "h2x10" else 1
    return h2load(port, token, seconds, max(o.connections // streams, 1), streams, cpu, folder)


def await_token(port, token, ca):
    """The keeper fetches keys at its own start: ask until a token is taken."""
    context = ssl.create_default_context(cafile=ca)
    request = urllib.request.Request(f"https://localhost:{port}/api", headers={"Authorization": "Bearer " + token})

    def ask():
        try:
            with urllib.request.urlopen(request, context=context, timeout=5) as answer:
                return answer.status
        except OSError as e:
            return e

    until("proxyd to take the token", ask, lambda found: found == 200)


def figures(samples):
    row = {}
    for key in ("requests_per_s", "cpu_us", "p99_ms"):
        values = [s[key] for s in samples]
        row[key] = round(statistics.median(values), 2)
        row[key + "_min"], row[key + "_max"] = round(min(values), 2), round(max(values), 2)
    row["failed"] = sum(s["failed"] for s in samples)
    return row


def run(o, folder):
    pki = parts.Pki(folder)
    issuer = parts.Issuer(pki)
    others = 1 if os.cpu_count() > 1 else 0
    upstream = parts.start_upstream(pki, others)
    programs = {"nginx_no_auth": parts.start_nginx(pki, upstream.port, 0), "haproxy_no_auth": parts.start_haproxy(pki, upstream.port, 0, None),
                "haproxy_rs256": parts.start_haproxy(pki, upstream.port, 0, "RS256"), "haproxy_es256": parts.start_haproxy(pki, upstream.port, 0, "ES256"),
                "proxyd": parts.start_proxyd(pki, upstream.port, issuer, 0)}
    programs["proxyd_rs256"] = programs["proxyd_es256"] = programs["proxyd"]
    tokens = {case: issuer.token(case[-5:].upper()) if case.endswith("s256") else None for case in CASES}
    try:
        await_token(programs["proxyd"].port, tokens["proxyd_rs256"], pki["ca.pem"])
        idle_kib = programs["proxyd"].resident_kib()
        samples = {(case, protocol): [] for protocol in o.protocols for case in o.only}
        for round_ in range(o.rounds + 1):
            for case, protocol in samples:
                program = programs[case]
                before = program.cpu_s()
                count, rate, p99, failed = load(protocol, program.port, tokens[case], o, o.seconds if round_ else 1, others, folder)
                used = program.cpu_s() - before
                # Round 0 warms connections and caches.
                if round_:
                    samples[case, protocol].append({"requests_per_s": rate, "cpu_us": used / max(count, 1) * 1e6, "p99_ms": p99, "failed": failed})
        rows = [{"case": case, "protocol": protocol, **figures(s)} for (case, protocol), s in samples.items()]
        return rows, idle_kib, programs["proxyd"].resident_kib()
    finally:
        for program in list({id(p): p for p in programs.values()}.values()) + [upstream]:
            program.stop()


def show(rows, idle_kib, busy_kib):
    by = {(r["case"], r["protocol"]): r for r in rows}
    print(f"{'case':<18}{'':<6}{'req/s':>9}{'CPU µs':>9}{'(min–max)':>16}{'p99 ms':>9}{'failed':>8}{'÷ nginx':>9}{'÷ haproxy jwt':>15}")
    for r in rows:
        base = by.get(("nginx_no_auth", r["protocol"]))
        jwt_case = by.get(("haproxy_" + r["case"][-5:], r["protocol"])) if r["case"].startswith("proxyd") else None
        span = "({}–{})".format(r["cpu_us_min"], r["cpu_us_max"])
        print(f"{r['case']:<18}{r['protocol']:<6}{r['requests_per_s']:>9.0f}{r['cpu_us']:>9.1f}{span:>16}{r['p99_ms']:>9.2f}{r['failed']:>8}"
              f"{(r['cpu_us'] / base['cpu_us'] if base else float('nan')):>9.2f}{(format(r['cpu_us'] / jwt_case['cpu_us'], '.2f') if jwt_case else ''):>15}")
    print(f"proxyd's largest process: {idle_kib} KiB resident at start, {busy_kib} KiB after the run")


def main():
    o = options()
    folder = tempfile.mkdtemp(prefix="gatehouse-bench-")
    rows, more = [], []
    try:
        if o.only and o.protocols:
            rows, idle_kib, busy_kib = run(o, folder)
            show(rows, idle_kib, busy_kib)
        if o.rows:
            more = bench_more.run(o, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    os.makedirs("build/bench", exist_ok=True)
    with open("build/bench/proxy.json", "w") as f:
        json.dump(rows + more, f, indent=1)
    if any(r["failed"] for r in rows):
        raise SystemExit("bench: some requests failed")


if __name__ == "__main__":
    main()
