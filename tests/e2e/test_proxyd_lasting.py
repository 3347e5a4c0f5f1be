"""Watches, followed logs and tunnels: what ends them besides their peers, and how. A watch ends between two events with its answer complete; the others are cut."""
import contextlib
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

from gatehouse import Adopted, Issuer, Proxyd, Upstream, adopt_orphans, connect, proxyd_config, request
from h2_client import H2
from held import load
from waiting import until

EVENT = b'{"type":"ADDED","object":{"name":"}{"}}\n'
WATCH, LOG, EXEC = "/api/v1/pods?watch=1", "/api/v1/namespaces/a/pods/p/log?follow=true", "/api/v1/namespaces/a/pods/p/exec?command=sh&stdin=1"
SKEW_S = 10  # how long a token counts after its exp, for clocks that differ


class Cluster(Upstream):
    """Watches and logs begin with an event or a line and go on as the test says; exec echoes."""

    def __init__(self, ca):
        super().__init__(ca)
        self.on_request = self._course
        self.lasting, self.arrived, self.over = {}, threading.Condition(), threading.Event()

    def _course(self, r, tls):
        if r.values("Upgrade"):
            tls.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
            while data := tls.recv(4096):
                tls.sendall(data)
            return False
        if "watch=" not in r.target and "follow=" not in r.target:
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            return True
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.send(tls, EVENT)
        with self.arrived:
            self.lasting[r.target] = tls
            self.arrived.notify_all()
        self.over.wait()
        return False

    def send(self, tls, data):
        tls.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def more(self, target, data):
        with self.arrived:
            assert self.arrived.wait_for(lambda: target in self.lasting, 30)
        self.send(self.lasting[target], data)

    def __exit__(self, *exc):
        self.over.set()
        super().__exit__(*exc)


@pytest.fixture
def cluster(ca):
    with Cluster(ca) as cluster:
        yield cluster


class Cut(Exception):
    """The end of a connection where none should be."""


class Client:
    """One request on a connection of its own, and what comes of it."""

    def __init__(self, proxyd, ca, token, path, more=""):
        self.tls = connect(proxyd.address, ca)
        self.tls.sendall(f"{'POST' if 'exec' in path else 'GET'} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{more}\r\n".encode())
        self.buffer = b""
        self.head = self._until(b"\r\n\r\n").decode()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.tls.close()

    def _read(self):
        try:
            data = self.tls.recv(65536)
        except OSError as e:
            raise Cut(repr(e)) from None
        if not data:
            raise Cut("end")
        self.buffer += data

    def _until(self, what):
        while what not in self.buffer:
            self._read()
        found, self.buffer = self.buffer.split(what, 1)
        return found

    def _exactly(self, n):
        while len(self.buffer) < n:
            self._read()
        found, self.buffer = self.buffer[:n], self.buffer[n:]
        return found

    def chunk(self):
        """The next one; b"" is the answer's proper end."""
        n = int(self._until(b"\r\n"), 16)
        return self._exactly(n + 2)[:-2]

    def echo(self, data=b"ping"):
        self.tls.sendall(data)
        assert self._exactly(len(data)) == data

    def wait_cut(self):
        """Until nothing more comes."""
        with contextlib.suppress(Cut):
            while True:
                self._read()


def shell(proxyd, ca, token):
    client = Client(proxyd, ca, token, EXEC, "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n")
    assert client.head.startswith("HTTP/1.1 101 ")
    client.echo()
    return client


def stream(proxyd, ca, token, path):
    client = Client(proxyd, ca, token, path)
    assert client.head.startswith("HTTP/1.1 200 ") and client.chunk() == EVENT
    return client


def config(ca, issuers, cluster, limits=None, long_running=None, workers=1):
    made = proxyd_config(ca, issuers, cluster, workers=workers, limits=limits or {})
    if long_running:
        made["authentication"]["longRunning"] = long_running
    return made


def requests_logged(proxyd, path):
    return proxyd.find_log("request", path=path.split("?")[0])


# ---- a drain


def test_a_reload_ends_watches_and_leaves_shells_and_followed_logs(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster, {"drainTimeout": "500ms", "tunnelDrainTimeout": "3s"})) as proxyd:
        token = issuer.mint()
        with stream(proxyd, ca, token, WATCH) as watch, stream(proxyd, ca, token, LOG) as log, shell(proxyd, ca, token) as exec_:
            proxyd.reload()
            assert watch.chunk() == b""  # its answer is complete
            reason = proxyd.wait_log("request", path="/api/v1/pods")["reason"]
            assert reason == "the worker drains"
            assert proxyd.wait_log("tunnels go on")["connections"] == 2
            exec_.echo(b"still here")
            cluster.more(LOG, b"a line\n")
            assert log.chunk() == b"a line\n"
            proxyd.wait_log("generation gone", generation=1)
            exec_.wait_cut()
            with pytest.raises(Cut):  # nobody shall take a log for complete that is not
                log.chunk()


def test_the_worker_goes_with_its_last_tunnel(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster, {"drainTimeout": "100ms"})) as proxyd:
        with shell(proxyd, ca, issuer.mint()) as exec_:
            proxyd.reload()
            assert proxyd.wait_log("tunnels go on")["seconds"] > 8 * 3600 - 60
            exec_.echo()
        proxyd.wait_log("generation gone", generation=1)


def test_a_request_has_drain_timeout_and_no_more(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster, {"drainTimeout": "300ms"})) as proxyd:
        token = issuer.mint()
        with shell(proxyd, ca, token), contextlib.closing(connect(proxyd.address, ca)) as slow:
            slow.sendall(f"POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 4\r\n\r\nab".encode())
            cluster_has_it = proxyd.mark()
            proxyd.reload()
            proxyd.wait_log("tunnels go on", after=cluster_has_it)
            assert slow.recv(100) == b""
        assert requests_logged(proxyd, "/api/v1/pods")[-1]["reason"] == "the gateway stopped"


def test_quit_waits_for_nobody_longer_than_drain_timeout(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster, {"drainTimeout": "500ms"})) as proxyd:
        token = issuer.mint()
        with shell(proxyd, ca, token) as old:
            proxyd.reload()
            with shell(proxyd, ca, token) as new:
                proxyd.wait_log("tunnels go on")  # the old one's has eight hours, had
                assert proxyd.stop(signal.SIGQUIT) == 0
                old.wait_cut()
                new.wait_cut()


def test_a_worker_that_leaves_at_ttou_keeps_its_tunnels(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster, {"drainTimeout": "100ms"}, workers=2)) as proxyd:
        token = issuer.mint()
        first, _ = proxyd.pids("worker")
        os.kill(first, signal.SIGSTOP)
        host, port = proxyd.address.rsplit(":", 1)
        # The first one is woken up, and sleeps; the other gets the next.
        with socket.create_connection((host, int(port))), shell(proxyd, ca, token) as exec_:
            os.kill(first, signal.SIGCONT)
            proxyd.send(signal.SIGTTOU)
            proxyd.wait_log("tunnels go on")
            exec_.echo()
        proxyd.wait_log("worker gone")


def test_the_new_program_leaves_the_shells_of_the_old_one(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster, {"drainTimeout": "100ms"})) as proxyd:
        token = issuer.mint()
        with shell(proxyd, ca, token) as exec_, stream(proxyd, ca, token, WATCH) as watch:
            mark = proxyd.mark()
            proxyd.send(signal.SIGUSR2)
            adopt_orphans()
            proxyd.wait_log("upgrade: the new program accepts connections", after=mark)
            assert request(proxyd.address, "GET", "/api", ca, token=token)[0] == 200
            old, proxyd.process = proxyd.process, Adopted(proxyd.wait_log("upgrade: this program serves")["pid"])
            assert watch.chunk() == b""
            proxyd.wait_log("tunnels go on")
            exec_.echo()
            assert old.poll() is None
        assert old.wait(30) == 0


def test_an_event_that_is_on_its_way_comes_whole(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster, {"drainTimeout": "1s"})) as proxyd:
        with stream(proxyd, ca, issuer.mint(), WATCH) as watch:
            cluster.more(WATCH, EVENT[:20])
            assert watch.chunk() == EVENT[:20]
            proxyd.reload({**proxyd.config, "limits": {"drainTimeout": "0s"}})
            with pytest.raises(Cut):  # with no time at all it is cut
                watch.chunk()
        with stream(proxyd, ca, issuer.mint(), WATCH) as watch:
            cluster.more(WATCH, EVENT[:20])
            assert watch.chunk() == EVENT[:20]
            proxyd.reload({**proxyd.config, "limits": {"drainTimeout": "4s"}})
            with pytest.raises(TimeoutError):  # it was to end within 3 s, and does not in the middle of an event
                watch.tls.settimeout(3.3)
                watch.tls.recv(1)
            watch.tls.settimeout(30)
            cluster.more(WATCH, EVENT[20:] + EVENT[:7])
            assert watch.chunk() == EVENT[20:]
            assert watch.chunk() == b""


def test_watches_over_http2_end_with_their_streams_and_the_connection_with_goaway(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster, {"drainTimeout": "2s"})) as proxyd:
        with H2(proxyd.address, ca) as client:
            token = issuer.mint()
            streams = [client.request("GET", f"/api/v1/pods?watch=1&n={n}", token=token) for n in range(20)]
            while not all(client.answers[s].body == EVENT for s in streams):
                client.receive()
            proxyd.reload()
            while not all(client.answers[s].ended for s in streams):
                client.receive()
            assert client.goaway and client.goaway[0] == 0
            assert [client.answers[s].reset for s in streams] == [None] * 20
        proxyd.wait_log("generation gone", generation=1)


# ---- age


def test_a_watch_ends_at_its_age_and_a_log_does_not(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster, {"watchMaxAge": "1s"})) as proxyd:
        token = issuer.mint()
        with contextlib.ExitStack() as stack:
            log, exec_ = stack.enter_context(stream(proxyd, ca, token, LOG)), stack.enter_context(shell(proxyd, ca, token))
            watches = [stack.enter_context(stream(proxyd, ca, token, WATCH)) for _ in range(12)]
            for watch in watches:
                assert watch.chunk() == b""
            lines = [proxyd.wait_log("request", path="/api/v1/pods", count=n + 1) for n in range(12)]
            assert {line["reason"] for line in lines} == {"limits.watchMaxAge"}
            ages = sorted(line["ms"] for line in lines)
            assert 700 <= ages[0] and ages[-1] <= 2000
            assert len(set(ages)) > 3  # one after the other, not all at once
            # The connection is as good as before.
            watches[0].tls.sendall(f"GET /api HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            assert watches[0]._until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
            exec_.echo()
            cluster.more(LOG, b"a line\n")
            assert log.chunk() == b"a line\n"


# ---- the credential


def soon(seconds):
    """The exp of a token that counts for so many seconds more."""
    return int(time.time()) - SKEW_S + seconds


def test_an_expired_token_ends_what_runs_after_the_time_that_is_configured(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster, long_running={"tokenExpired": "1s"})) as proxyd:
        token = issuer.mint(exp=soon(2))
        with stream(proxyd, ca, token, WATCH) as watch, stream(proxyd, ca, token, LOG) as log, shell(proxyd, ca, token) as exec_:
            assert watch.chunk() == b""
            exec_.wait_cut()
            with pytest.raises(Cut):
                log.chunk()
            for path in (WATCH, LOG, EXEC):
                line = proxyd.wait_log("request", path=path.split("?")[0])
                assert line["reason"] == "its credential has expired" and 1900 <= line["ms"] <= 5000
            assert request(proxyd.address, "GET", "/api", ca, token=token)[0] == 401


def test_by_default_an_expired_token_leaves_what_runs(tmp_path, ca, issuer, cluster):
    with Proxyd(tmp_path, config(ca, [issuer], cluster)) as proxyd:
        token = issuer.mint(exp=soon(2))
        with stream(proxyd, ca, token, WATCH) as watch, shell(proxyd, ca, token) as exec_:
            until("the token's end", lambda: request(proxyd.address, "GET", "/api", ca, token=token)[0] == 401)
            exec_.echo()
            cluster.more(WATCH, EVENT)
            assert watch.chunk() == EVENT


class Sessions(Issuer):
    """authd as its keeper knows it: discovery and keys over a socket, and news of ended sessions, held until there are some."""

    def __init__(self, ca, folder):
        self.ended, self.news, self.asked = [], threading.Condition(), 0
        super().__init__(ca, unix=folder / "authd.sock", url="https://gateway.test/oidc")

    def end(self, sid):
        with self.news:
            self.ended.append({"sid": sid, "until": int(time.time()) + 3600})
            self.news.notify_all()

    def _answer(self, h):
        if not h.path.startswith("/internal/revocations"):
            super()._answer(h)
            return
        after = int(m.group(1)) if (m := re.search(r"after=(\d+)", h.path)) else None
        with self.news:
            self.news.wait_for(lambda: after is None or len(self.ended) > after, 20)
            body = json.dumps({"epoch": "e", "sequence": len(self.ended), "revoked": self.ended[after or 0 :]}).encode()
        with contextlib.suppress(OSError):
            h.send_response(200)
            h.send_header("Content-Type", "application/json")
            h.send_header("Content-Length", str(len(body)))
            h.end_headers()
            h.wfile.write(body)


@pytest.fixture
def sessions(ca, tmp_path):
    with Sessions(ca, tmp_path) as sessions:
        yield sessions
        sessions.end("nobody's")  # who is held is let go


def test_the_end_of_a_session_ends_what_runs_of_it_and_nothing_else(tmp_path, ca, sessions, cluster):
    with Proxyd(tmp_path, config(ca, [sessions], cluster, workers=2)) as proxyd:
        mine, other = sessions.mint(sid="mine"), sessions.mint(sid="other")
        with contextlib.ExitStack() as stack:
            watch, log, exec_ = (stack.enter_context(c) for c in (
                stream(proxyd, ca, mine, WATCH), stream(proxyd, ca, mine, LOG), shell(proxyd, ca, mine)))
            others = [stack.enter_context(shell(proxyd, ca, other)) for _ in range(3)]
            client = stack.enter_context(H2(proxyd.address, ca))
            over_h2 = client.request("GET", WATCH + "&h2", token=mine)
            while client.answers[over_h2].body != EVENT:
                client.receive()
            started = time.monotonic()
            sessions.end("mine")
            assert watch.chunk() == b""
            exec_.wait_cut()
            with pytest.raises(Cut):
                log.chunk()
            while not client.answers[over_h2].ended:
                client.receive()
            assert time.monotonic() - started < 3
            assert proxyd.wait_log("request", path=EXEC.split("?")[0])["reason"] == "its session has ended"
            for one in others:
                one.echo()


def test_a_session_that_ends_reaches_workers_that_drain_and_programs_that_were_replaced(tmp_path, ca, sessions, cluster):
    with Proxyd(tmp_path, config(ca, [sessions], cluster, {"drainTimeout": "100ms"})) as proxyd:
        tokens = [sessions.mint(sid=sid) for sid in ("one", "two", "three")]
        with shell(proxyd, ca, tokens[0]) as one:
            proxyd.reload()
            with shell(proxyd, ca, tokens[1]) as two:
                with load(proxyd, ca, tokens[2], clients=2, path="/api"):
                    first = proxyd.upgrade()
                with shell(proxyd, ca, tokens[1]) as three:
                    with load(proxyd, ca, tokens[2], clients=2, path="/api"):
                        second = proxyd.upgrade()
                    sessions.end("one")  # of a worker of the first program's first configuration
                    one.wait_cut()
                    two.echo()
                    three.echo()
                    sessions.end("two")
                    two.wait_cut()
                    three.wait_cut()
        assert first.wait(30) == second.wait(30) == 0


def test_what_runs_may_be_kept_when_its_session_ends(tmp_path, ca, sessions, cluster):
    with Proxyd(tmp_path, config(ca, [sessions], cluster, long_running={"sessionEnded": "keep"})) as proxyd:
        token = sessions.mint(sid="mine")
        with shell(proxyd, ca, token) as exec_:
            sessions.end("mine")
            until("the session's end", lambda: request(proxyd.address, "GET", "/api", ca, token=token)[0] == 401)
            exec_.echo()
