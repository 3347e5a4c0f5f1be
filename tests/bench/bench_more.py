"""The rows of make bench that are no plain load: attacks, handshakes, large bodies, tunnels, tokens seen for the first time, idle watches.

Each function measures proxyd beside nginx, or beside OpenSSL alone, and returns rows: case, what is measured, proxyd, other, ratio or excess, what is wanted. The proxy has CPU 0; what
plays clients and upstream has the other CPU. CPU is the proxy's own, so it does not matter that Python is slow. Attackers run when nobody else wants the CPU (SCHED_IDLE), so
that they take the good client's time at the proxy only."""
import os
import re
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import sys

import h2.config
import h2.connection
import h2.events

import parts
from waiting import until

HERE = os.path.dirname(os.path.abspath(__file__))
MB = 1 << 20
ROWS = ["attacks", "handshakes", "answers", "uploads", "tunnels", "first-token", "watches", "workers"]


class Stage:
    """What all rows share: keys, programs, the other CPU."""

    def __init__(self, o, folder):
        self.o, self.folder = o, folder
        self.cpu = 1 if os.cpu_count() > 1 else 0
        self.files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))  # inherited by all
        os.sched_setaffinity(0, {self.cpu})
        self.attacker = ["chrt", "--idle", "0"]
        if o.realtime:  # inherited by all but attackers, who then take what is left of their CPU before anybody else
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            self.attacker = ["chrt", "--other", "0", "nice", "-n", "-20"]
        self.pki = parts.Pki(folder)
        self.issuer = parts.Issuer(self.pki)
        self.plain = parts.start_upstream(self.pki, self.cpu)
        port = parts.free_port()
        self.special = parts.Program("upstream.py", [sys.executable, HERE + "/upstream.py", str(port), folder], port, self.cpu, self.pki["special.log"])
        self.running = [self.plain, self.special]
        self.context = ssl.create_default_context(cafile=self.pki["ca.pem"])

    def stop(self):
        for program in self.running:
            program.stop()

    def start(self, kind, upstream, **more):
        """proxyd or nginx before one of the two upstreams."""
        if kind == "nginx":
            program = parts.start_nginx(self.pki, upstream.port, 0)
        else:
            program = parts.start_proxyd(self.pki, upstream.port, self.issuer, 0, **more)
            self.await_token(program.port, self.issuer.token("ES256"))
        self.running.append(program)
        return program

    def end(self, program):
        self.running.remove(program)
        program.stop()

    def await_token(self, port, token):
        until("proxyd to take the token", lambda: self.ask(self.dial(port), token) == 200)

    def dial(self, port, context=None, session=None):
        plain = socket.create_connection(("127.0.0.1", port), 60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return (context or self.context).wrap_socket(plain, server_hostname="localhost", session=session)

    @staticmethod
    def say(tls, token, path="/api"):
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        tls.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n".encode())

    @staticmethod
    def hear(tls):
        """An answer's status; the body is read."""
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += tls.recv(65536)
        head, body = answer.split(b"\r\n\r\n", 1)
        left = int(re.search(rb"(?i)content-length: (\d+)", head).group(1)) - len(body)
        while left > 0:
            left -= len(tls.recv(65536))
        return int(answer.split(b" ", 2)[1])

    @classmethod
    def ask(cls, tls, token, path="/api"):
        """One request on a kept connection: its status."""
        cls.say(tls, token, path)
        return cls.hear(tls)


def row(case, unit, proxyd, other, wanted, of="nginx", excess=False):
    """ratio: proxyd / other. excess: proxyd - other instead."""
    return {"case": case, "unit": unit, "proxyd": round(proxyd, 2), of: round(other, 2), "compared_with": of,
            "result": round(proxyd - other if excess else proxyd / other if other else float("nan"), 2), "by": "excess" if excess else "ratio", "wanted": wanted}


def cpu_of(program, work):
    """CPU seconds of the program while work() runs; work's result."""
    before = program.cpu_s()
    result = work()
    return program.cpu_s() - before, result


# ---- attacks


def p99_ms(stage, port, token):
    out = subprocess.run([parts.tool("wrk"), "-t1", "-c1", f"-d{stage.o.seconds}s", "--latency", "-H", "Authorization: Bearer " + token,
                          f"https://127.0.0.1:{port}/api"], capture_output=True, text=True, check=True).stdout
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", out)
    if bad:
        raise SystemExit(f"bench: a good client's requests failed: {bad.group(0)}")
    return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def attacks(stage):
    """p99 of a good client, quiet and under attack, alternating."""
    rows, good = [], stage.issuer.token("ES256")
    tokens = os.path.join(stage.folder, "bad-tokens")
    with open(tokens, "w") as f:
        for _ in range(2000):
            body = stage.issuer.token("ES256").rsplit(".", 1)[0]
            f.write(body + "." + parts.b64(os.urandom(64)) + "\n")
    for kind, n in (("bad-tokens", 32), ("slowloris", stage.o.slowloris), ("rapid-reset", 8), ("handshakes", 32), ("one-identity", 200)):
        proxyd = stage.start("proxyd", stage.plain)
        quiet, loud = [], []
        p99_ms(stage, proxyd.port, good)
        for _ in range(stage.o.rounds):
            quiet.append(p99_ms(stage, proxyd.port, good))
            argv = [sys.executable, HERE + "/attack.py", kind, str(proxyd.port), stage.pki["ca.pem"], tokens, str(n)]
            if kind == "one-identity":  # somebody who may do what they do, as fast as they can
                argv = ["stdbuf", "-oL", parts.tool("wrk"), "-t1", f"-c{n}", "-d600s", "-H", "Authorization: Bearer " + stage.issuer.token("ES256", email="flood@example.com"),
                        f"https://127.0.0.1:{proxyd.port}/api"]
            attacker = subprocess.Popen(stage.attacker + argv, stdout=subprocess.PIPE, text=True)
            try:
                attacker.stdout.readline()
                loud.append(p99_ms(stage, proxyd.port, good))
            finally:
                attacker.send_signal(signal.SIGTERM)
                print(f"{kind}: {attacker.stdout.read().strip()}", file=sys.stderr)
                attacker.wait()
        rows.append(row(f"p99 of a good client, {kind} ({n})", "ms", statistics.median(loud), statistics.median(quiet), "≤ 2", of="quiet"))
        stage.end(proxyd)
    return rows


# ---- handshakes


def connect_many(stage, port, version, resumed, n):
    context = ssl.create_default_context(cafile=stage.pki["ca.pem"])
    context.minimum_version = context.maximum_version = version
    session = None
    if resumed:
        with stage.dial(port, context) as tls:
            stage.ask(tls, None, "/nothing")
            session = tls.session
    for _ in range(n):
        with stage.dial(port, context, session) as tls:
            assert tls.session_reused == resumed and tls.cipher()[0] in (parts.CIPHER, parts.CIPHER_12)


def handshakes(stage):
    rows, n = [], stage.o.handshakes
    programs = {kind: stage.start(kind, stage.plain) for kind in ("nginx", "proxyd")}
    for name, version in (("TLS 1.3", ssl.TLSVersion.TLSv1_3), ("TLS 1.2", ssl.TLSVersion.TLSv1_2)):
        for resumed in (False, True):
            found = {kind: [] for kind in programs}
            for _ in range(stage.o.rounds):
                for kind, program in programs.items():
                    used, _ = cpu_of(program, lambda: connect_many(stage, program.port, version, resumed, n))
                    found[kind].append(used / n * 1e6)
            rows.append(row(f"new connection, {name}, {'resumed' if resumed else 'full'}", "CPU µs", statistics.median(found["proxyd"]),
                            statistics.median(found["nginx"]), "≤ 1.05"))
    for program in programs.values():
        stage.end(program)
    return rows


# ---- answers, uploads, tunnels


def answers(stage):
    rows, token = [], stage.issuer.token("ES256")
    programs = {kind: stage.start(kind, stage.plain) for kind in ("nginx", "proxyd")}
    for name, path in (("64 KiB", "/api/64k"), ("1 MiB", "/api/1m")):
        found = {kind: [] for kind in programs}
        for _ in range(stage.o.rounds):
            for kind, program in programs.items():
                argv = [parts.tool("wrk"), "-t1", "-c10", f"-d{stage.o.seconds}s", "-H", "Authorization: Bearer " + token, f"https://127.0.0.1:{program.port}{path}"]
                used, out = cpu_of(program, lambda: subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
                if "Non-2xx" in out or "Socket errors" in out:
                    raise SystemExit(f"bench: answers of {name} failed at {kind}:\n{out}")
                found[kind].append(used / int(re.search(r"(\d+) requests in", out).group(1)) * 1e6)
        rows.append(row(f"answer of {name}", "CPU µs", statistics.median(found["proxyd"]), statistics.median(found["nginx"]), "≤ 1.0"))
    for program in programs.values():
        stage.end(program)
    return rows


def upload(stage, port, token, megabytes):
    block = bytes(MB)
    with stage.dial(port) as tls:
        tls.sendall(f"POST /api/v1/upload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {megabytes * MB}\r\n\r\n".encode())
        for _ in range(megabytes):
            tls.sendall(block)
        assert tls.recv(12) == b"HTTP/1.1 200"


def tunnel(stage, port, token, protocol, up, down):
    block, room = bytes(MB), bytearray(MB)
    ask = "GET" if protocol == "websocket" else "POST"
    more = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" if protocol == "websocket" else ""
    with stage.dial(port) as tls:
        tls.sendall(f"{ask} /api/v1/namespaces/a/pods/b/exec?command=x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n"
                    f"Upgrade: {protocol}\r\n{more}\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += tls.recv(1)
        assert head.startswith(b"HTTP/1.1 101"), head
        tls.sendall((up * MB).to_bytes(8, "big") + (down * MB).to_bytes(8, "big"))
        for _ in range(up):
            tls.sendall(block)
        left = down * MB + 1
        while left:
            left -= tls.recv_into(room, min(left, MB))


def bulk(stage, cases):
    rows, token = [], stage.issuer.token("ES256")
    programs = {kind: stage.start(kind, stage.special) for kind in ("nginx", "proxyd")}
    for name, work in cases.items():
        found = {kind: [] for kind in programs}
        for _ in range(stage.o.rounds):
            for kind, program in programs.items():
                used, _ = cpu_of(program, lambda: work(program.port, token))
                found[kind].append(used * 1e3)
        rows.append(row(name, "CPU ms", statistics.median(found["proxyd"]), statistics.median(found["nginx"]), "≤ 1.0"))
    for program in programs.values():
        stage.end(program)
    return rows


def uploads(stage):
    return bulk(stage, {"upload of 100 MB": lambda port, token: upload(stage, port, token, 100)})


def tunnels(stage):
    return bulk(stage, {
        "exec (WebSocket), 100 MB up": lambda port, token: tunnel(stage, port, token, "websocket", 100, 0),
        "exec (WebSocket), 100 MB down": lambda port, token: tunnel(stage, port, token, "websocket", 0, 100),
        "port-forward (SPDY), 100 MB each way": lambda port, token: tunnel(stage, port, token, "SPDY/3.1", 100, 100)})


# ---- tokens


def bare_verify_us(algorithm):
    """OpenSSL's own signature check with a held key."""
    out = subprocess.run(["openssl", "speed", "-mr", "-seconds", "1", {"RS256": "rsa2048", "ES256": "ecdsap256"}[algorithm]],
                         capture_output=True, text=True, check=True).stdout
    return 1e6 / float(re.search(r"\+F[24]:\d+:\d+:[\d.]+:([\d.]+)", out).group(1))


# Requests at a time: as OpenSSL's loop does, the proxy works without a pause. Woken for each one, it would pay for cold caches beside it.
AT_A_TIME = 16


def ask_all(stage, held, tokens):
    for at in range(0, len(tokens), len(held)):
        pairs = list(zip(held, tokens[at : at + len(held)]))
        for tls, token in pairs:
            stage.say(tls, token)
        if any(stage.hear(tls) != 200 for tls, _ in pairs):
            raise SystemExit("bench: proxyd does not take a token")


def first_token(stage):
    """Requests with a token that was never seen, beside requests with one that was; alternating on the same connections."""
    rows, n = [], 1000
    proxyd = stage.start("proxyd", stage.plain)
    for algorithm in ("RS256", "ES256"):
        excess, bare = [], []
        for _ in range(stage.o.rounds):
            known, *fresh = [stage.issuer.token(algorithm, jti=os.urandom(8).hex()) for _ in range(n + 1)]
            held = [stage.dial(proxyd.port) for _ in range(AT_A_TIME)]
            ask_all(stage, held, [known] * AT_A_TIME)
            cold, _ = cpu_of(proxyd, lambda: ask_all(stage, held, fresh))
            warm, _ = cpu_of(proxyd, lambda: ask_all(stage, held, [known] * n))
            for tls in held:
                tls.close()
            excess.append((cold - warm) / n * 1e6)
            bare.append(bare_verify_us(algorithm))
        rows.append(row(f"first request of a token, {algorithm}, over a known one's", "CPU µs", statistics.median(excess), statistics.median(bare),
                        "≤ 30 µs more", of="one signature check", excess=True))
    stage.end(proxyd)
    return rows


# ---- watches


def watch_h1(stage, port, token, n):
    held = []
    for _ in range(n):
        tls = stage.dial(port)
        tls.sendall(f"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        seen = b""
        while b"BOOKMARK" not in seen:
            seen += tls.recv(4096)
        held.append(tls)
    return held


def watch_h2(stage, port, token, n, each=100):
    held = []
    context = ssl.create_default_context(cafile=stage.pki["ca.pem"])
    context.set_alpn_protocols(["h2"])
    fields = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/api/v1/pods?watch=1"), ("authorization", "Bearer " + token)]
    for _ in range(n // each):
        tls = stage.dial(port, context)
        c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        c.initiate_connection()
        for i in range(each):
            c.send_headers(2 * i + 1, fields, end_stream=True)
        tls.sendall(c.data_to_send())
        events = 0
        while events < each:
            events += sum(isinstance(e, h2.events.DataReceived) for e in c.receive_data(tls.recv(65536)))
            tls.sendall(c.data_to_send())
        held.append(tls)
    return held


def connections_to(port):
    """Established ones of this machine, seen from the side that has connected."""
    lines = [line.split() for line in open("/proc/net/tcp").read().splitlines()[1:]]
    return sum(fields[3] == "01" and int(fields[2].split(":")[1], 16) == port for fields in lines)


def hold_watches(stage, watch, token, n, http2):
    """KiB of each, connections to the apiserver."""
    proxyd = stage.start("proxyd", stage.special, http2=http2)
    before = proxyd.resident_kib()
    held = watch(stage, proxyd.port, token, n)
    each = (proxyd.resident_kib() - before) / n
    connections = connections_to(stage.special.port)
    for tls in held:
        tls.close()
    stage.end(proxyd)
    return each, connections


def watches(stage):
    # A watch is two connections of proxyd's, and a few descriptors are for other things.
    rows, n, token = [], min(stage.o.watches, (stage.files - 400) // 200 * 100), stage.issuer.token("ES256")
    bare = {}
    out = subprocess.run([os.path.abspath("build/bench/proxy_bare"), str(min(n, 2000)), stage.pki["server.pem"], stage.pki["server.key"], stage.pki["ca.pem"]],
                         capture_output=True, text=True, check=True).stdout
    bare["h1"], bare["h2"] = (float(x) for x in out.split())
    for protocol, watch in (("h1", watch_h1), ("h2", watch_h2)):
        alone, _ = hold_watches(stage, watch, token, n, "never")
        rows.append(row(f"{n} idle watches, {protocol}, memory of each", "KiB", alone, bare[protocol], "≤ 1.1", of="bare TLS and HTTP/2"))
        shared, connections = hold_watches(stage, watch, token, n, "watches")
        rows.append(row(f"{n} idle watches, {protocol}, memory of each, on shared connections", "KiB", shared, alone, "< 1", of="own connections"))
        rows.append(row(f"{n} idle watches, {protocol}, connections to the apiserver", "", connections, n, "≤ 0.01", of="own connections"))
    return rows


# ---- workers


def workers(stage):
    """Two workers against one, all programs on both cores. Of n busy workers the machine gets n times what one does if a request costs the same and none has more of them than the
    others: the load generator, which takes as much as all of them, is not in it."""
    cores, token = {0, stage.cpu}, stage.issuer.token("ES256")
    both, n_requests = ",".join(map(str, sorted(cores))), 10000 * stage.o.seconds
    for pid in stage.plain.pids():
        os.sched_setaffinity(pid, cores)
    programs = {n: parts.start_proxyd(stage.pki, stage.plain.port, stage.issuer, both, workers=n) for n in (1, 2)}
    stage.running += programs.values()
    cost, part = {n: [] for n in programs}, []
    for program in programs.values():
        stage.await_token(program.port, token)
    for _ in range(stage.o.rounds):
        for n, program in programs.items():
            before = program.cpu_s_by_pid()
            # Connections come one after the other, as those of people do: fifty at once are whose worker gets onto a core first, here where there is none for each.
            out = subprocess.run(["taskset", "-c", both, parts.tool("h2load"), "--h1", "-t1", "-c40", f"-n{n_requests}", "-r1", "--rate-period=5ms", "-H",
                                  "Authorization: Bearer " + token, f"https://127.0.0.1:{program.port}/api"], capture_output=True, text=True, check=True).stdout
            used = sorted(seconds - before.get(pid, 0) for pid, seconds in program.cpu_s_by_pid().items())
            cost[n].append(sum(used) / int(re.search(r"(\d+) succeeded", out).group(1)) * 1e6)
            if n == 2:
                part.append(used[-1] / sum(used[-2:]))
    for program in programs.values():
        stage.end(program)
    for pid in stage.plain.pids():
        os.sched_setaffinity(pid, {stage.cpu})
    found = row("request, 2 workers on 2 cores", "CPU µs", statistics.median(cost[2]), statistics.median(cost[1]), "≥ 1.8 × as many", of="1 worker")
    return [found | {"busier_worker": round(statistics.median(part), 3), "result": round(statistics.median(cost[1]) / statistics.median(cost[2]) / statistics.median(part), 2)}]


MEASURES = {"attacks": attacks, "handshakes": handshakes, "answers": answers, "uploads": uploads, "tunnels": tunnels, "first-token": first_token, "watches": watches, "workers": workers}


def run(o, folder):
    stage, rows = Stage(o, folder), []
    try:
        for name in o.rows:
            found = MEASURES[name](stage)
            show(found)
            rows += found
    finally:
        stage.stop()
    return rows


def show(rows):
    for r in rows:
        other = r["compared_with"]
        print(f"{r['case']:<56}{r['unit']:>8}{r['proxyd']:>10}{other:>22}{r[other]:>10}{('+' if r['by'] == 'excess' else '×'):>3}{r['result']:<8}{r['wanted']}", flush=True)
