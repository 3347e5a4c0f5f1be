"""One run, alternating: authd's CPU µs per answer beside what no answer can do without - OpenSSL's bare signatures of the tokens in it and, where something is
stored, a part of a durable commit that a group shares. Medians with minimum and maximum; build/bench/authd.json has the shape of proxy.json.

authd has CPU 0 to itself (one for each algorithm; the other one idles); the load and the bare loops run on the other CPU. CPU is authd's own user and system
time over the answers that it gave."""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / "e2e"), str(pathlib.Path(__file__).resolve().parent.parent)]
import authd_client  # noqa: E402
import parts  # noqa: E402

# case: (algorithm, signatures in an answer, whether it is stored, expected status)
CASES = {
    "client_credentials_es256": ("ES256", 1, False, 200),
    "client_credentials_rs256": ("RS256", 1, False, 200),
    "refresh_es256": ("ES256", 2, True, 200),
    "refresh_rs256": ("RS256", 2, True, 200),
    "userinfo": ("ES256", 0, False, 200),
    "introspect": ("ES256", 0, False, 200),
    "login_sso": ("ES256", 0, True, 303),
    "discovery": ("ES256", 0, False, 200),
    "keys": ("ES256", 0, False, 200),
}
WANTED = {"client_credentials_es256": 1.5, "refresh_es256": 1.5, "client_credentials_rs256": 1.2, "refresh_rs256": 1.2}
WANTED_US = {"userinfo": 30, "introspect": 30}
BUILD = pathlib.Path("build/bench")
STORED = 20_000    # sessions, each with a refresh token: as many records as a bare commit's (RECORDS in authd_bare.c), so that a write meets as many pages
LOADED_GROUP = 50  # of sessions in a commit when they are made: as under load
LIFETIME_H = 24
SESSIONS = {"sessions": {"cookieName": "session", "absoluteLifetime": f"{LIFETIME_H}h", "validIfNotUsedFor": f"{LIFETIME_H}h"}}


def options():
    p = argparse.ArgumentParser(description="authd's CPU time per answer, one core, plain HTTP")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=3, help="per case and round")
    p.add_argument("--connections", type=int, default=50)
    p.add_argument("--only", nargs="*", choices=CASES, default=list(CASES), help="none: with --scale, that alone")
    p.add_argument("--scale", action="store_true", help="also with many sessions stored: sign-ins, memory, start (about two minutes, 1.5 GB of disk)")
    return p.parse_args()


class Issuer(authd_client.Authd):
    """One authd of an algorithm, on CPU 0, and who is signed in there. more: of the configuration."""

    def __init__(self, folder, alg, **more):
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        (self.metrics_port,) = parts.free_port(),
        config = self.configuration() | {
            "signer": {"type": "local", "config": {"algorithm": alg}}, "logger": {"level": "warn"},
            "telemetry": {"http": f"127.0.0.1:{self.metrics_port}"},
            "oauth2": {"skipApprovalScreen": True, "grantTypes": ["authorization_code", "refresh_token", "client_credentials"]}} | more
        file = folder / "bench.json"
        file.write_text(json.dumps(config))
        self.running = parts.Program("authd", [os.path.abspath("build/authd"), str(file)], self.port, 0, folder / "log")

    def stop(self):
        self.running.stop()

    def store(self):
        """(writes, commits) until now."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5).read().decode()
        return tuple(sum(float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)", text, re.M)) for name in STORE_METRICS)


STORE_METRICS = ("gatehouse_store_writes_total", "gatehouse_store_commits_total")


def http_request(method, path, form=None, **headers):
    body = urllib.parse.urlencode(form) if form else ""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"] + [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
    if form:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines) + "\r\n\r\n" + body


def fill(folder, sessions, group, own, client=None):
    """A store of so many sessions, a group of them in a commit: of the first `own`, which are our person's, the cookie and, given a client, its refresh token."""
    folder.mkdir()
    who = authd_client.person()
    words = [str(n) for n in (sessions, group, own)] + [who["userID"], who["email"], str(LIFETIME_H * 3600)] + ([client] if client else [])
    out = subprocess.run([BUILD / "authd_sessions", folder / "store", *words], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"bench: {out.stderr}")
    return [(f"session={line.split()[0]}", *line.split()[1:]) for line in out.stdout.splitlines()]


def basic():
    import base64
    pair = f"{urllib.parse.quote_plus(authd_client.WEB)}:{urllib.parse.quote_plus(authd_client.WEB_SECRET)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def login_request(cookie):
    _, challenge = authd_client.pkce()
    query = urllib.parse.urlencode({"client_id": authd_client.CLI, "redirect_uri": authd_client.CLI_URI, "response_type": "code", "scope": "openid email",
                                    "state": "st", "nonce": "n", "code_challenge": challenge, "code_challenge_method": "S256"})
    return http_request("GET", f"/oidc/auth?{query}", Cookie=cookie)


def requests_of(case, issuer, people):
    """One for each connection, and its person: a cookie and a refresh token."""
    n = len(people)
    if case.startswith("refresh"):
        return [http_request("POST", "/oidc/token", {"grant_type": "refresh_token", "client_id": authd_client.CLI, "refresh_token": t}) for _, t in people]
    if case == "login_sso":
        return [login_request(cookie) for cookie, _ in people]
    browser = issuer.browser()
    browser.sign_in()
    if case.startswith("client_credentials"):
        return [http_request("POST", "/oidc/token", {"grant_type": "client_credentials"}, Authorization=basic())] * n
    if case == "userinfo":
        token = browser.tokens(scope="openid email profile groups offline_access")["access_token"]
        return [http_request("GET", "/oidc/userinfo", Authorization=f"Bearer {token}")] * n
    if case == "introspect":
        answer = browser.authorize(authd_client.WEB, authd_client.WEB_URI, "openid email offline_access")
        form = {"grant_type": "authorization_code", "code": authd_client.query_of(answer.headers["Location"])["code"], "redirect_uri": authd_client.WEB_URI}
        token = issuer.token(form, auth=(authd_client.WEB, authd_client.WEB_SECRET)).json()["access_token"]
        return [http_request("POST", "/oidc/token/introspect", {"token": token}, Authorization=basic())] * n
    return [http_request("GET", {"discovery": "/oidc/.well-known/openid-configuration", "keys": "/oidc/keys"}[case])] * n


def bare(folder, milliseconds, group, cpu):
    """CPU µs of each part, in a store of its own."""
    place = folder / "bare"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    out = subprocess.run(["taskset", "-c", str(cpu), BUILD / "authd_bare", place, str(milliseconds), str(max(round(group), 1))], capture_output=True, text=True,
                         check=True).stdout
    return json.loads(out)


def measure(case, issuer, file, o, seconds, folder, cpu):
    alg, signatures, stored, status = CASES[case]
    writes, commits = issuer.store()
    used = issuer.running.cpu_s()
    out = subprocess.run(["taskset", "-c", str(cpu), BUILD / "authd_load", str(issuer.port), str(seconds), str(status), file], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"bench: {case}: {out.stderr}")
    sample = json.loads(out.stdout)
    used = issuer.running.cpu_s() - used
    if sample["failed"]:
        print(f"{case}: {out.stderr[:400]}", file=sys.stderr)
    after_writes, after_commits = issuer.store()
    group = (after_writes - writes) / max(after_commits - commits, 1) if stored else 1
    part = bare(folder, 200, group, cpu)
    return {"requests_per_s": sample["requests"] / sample["seconds"], "cpu_us": used / max(sample["requests"], 1) * 1e6, "p99_ms": sample["p99_ms"],
            "failed": sample["failed"], "group": group, "bare_us": signatures * part[f"{alg.lower()}_us"] + (part["commit_us"] if stored else 0)}


def figures(samples):
    row = {}
    for key in ("requests_per_s", "cpu_us", "p99_ms", "bare_us", "group"):
        values = [s[key] for s in samples]
        row[key] = round(statistics.median(values), 2)
        row[key + "_min"], row[key + "_max"] = round(min(values), 2), round(max(values), 2)
    row["failed"] = sum(s["failed"] for s in samples)
    return row


def run(o, folder):
    cpu = 1 if os.cpu_count() > 1 else 0
    people = {alg: fill(folder / alg, STORED, LOADED_GROUP, o.connections, authd_client.CLI) for alg in ("RS256", "ES256")}
    issuers = {alg: Issuer(folder / alg, alg, **SESSIONS) for alg in people}
    try:
        files = {}
        for case in o.only:
            files[case] = folder / f"{case}.requests"
            files[case].write_text("".join(f"{len(r)}\n{r}" for r in requests_of(case, issuers[CASES[case][0]], people[CASES[case][0]])))
        samples = {case: [] for case in o.only}
        for round_ in range(o.rounds + 1):
            for case in o.only:
                sample = measure(case, issuers[CASES[case][0]], files[case], o, o.seconds if round_ else 1, folder, cpu)
                if round_:  # round 0 warms connections and caches
                    samples[case].append(sample)
        return [{"case": case, "protocol": "h1", **figures(s)} for case, s in samples.items()], {a: i.running.resident_kib() for a, i in issuers.items()}
    finally:
        for issuer in issuers.values():
            issuer.stop()


def show(rows):
    print(f"{'case':<26}{'req/s':>9}{'CPU µs':>9}{'(min–max)':>18}{'bare µs':>9}{'÷ bare':>8}{'wanted':>9}{'group':>7}{'p99 ms':>9}{'failed':>8}")
    for r in rows:
        ratio = f"{r['cpu_us'] / r['bare_us']:.2f}" if r["bare_us"] else ""
        wanted = f"≤ {WANTED[r['case']]}" if r["case"] in WANTED else f"< {WANTED_US[r['case']]} µs" if r["case"] in WANTED_US else ""
        span = f"({r['cpu_us_min']}–{r['cpu_us_max']})"
        print(f"{r['case']:<26}{r['requests_per_s']:>9.0f}{r['cpu_us']:>9.1f}{span:>18}{r['bare_us']:>9.1f}{ratio:>8}{wanted:>9}{r['group']:>7.1f}"
              f"{r['p99_ms']:>9.2f}{r['failed']:>8}")


def main():
    import bench_scale  # which uses this file
    o = options()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-bench-"))
    rows = []
    try:
        if o.only:
            rows, resident = run(o, folder)
            show(rows)
            print("authd resident after the run: " + ", ".join(f"{alg} {kib} KiB" for alg, kib in resident.items()))
        if o.scale:
            rows += bench_scale.run(o, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "authd.json").write_text(json.dumps(rows, indent=1))
    if any(r.get("failed") for r in rows):
        raise SystemExit("bench: some requests failed")


if __name__ == "__main__":
    main()
