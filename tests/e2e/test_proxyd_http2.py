"""HTTP/2 in front of the whole proxyd: what real clients do, what attackers send, and what a reload costs those who are connected."""
import json
import re
import signal
import subprocess
import threading

import pytest

import h2_client
from gatehouse import Proxyd, proxyd_config, request
from h2_client import H2, Gone, Raw, block, frame
from harness import free_port


@pytest.fixture
def proxyd(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        proxyd.ca = ca
        yield proxyd


@pytest.fixture
def token(issuer):
    return issuer.mint("jane", groups=["dev"])


def curl(proxyd, token, *arguments, path="/api/v1/pods?limit=5"):
    command = ["curl", "-sS", "--max-time", "20", "--cacert", str(proxyd.ca.file), "-H", f"Authorization: Bearer {token}", *arguments]
    port = proxyd.address.rsplit(":", 1)[1]
    return subprocess.run([*command, f"https://localhost:{port}{path}"], capture_output=True, text=True, timeout=60)


# ---- clients as they are


def test_curl_speaks_what_it_is_told_to(proxyd, upstream, token):
    for version, option in (("2", "--http2"), ("1.1", "--http1.1")):
        done = curl(proxyd, token, option, "-w", "\n%{http_version} %{http_code}")
        assert done.returncode == 0, done.stderr
        body, last = done.stdout.rsplit("\n", 1)
        assert last == f"{version} 200" and json.loads(body) == {"path": "/api/v1/pods?limit=5"}
    one, other = upstream.requests
    for recorded in (one, other):
        assert recorded.line == "GET /api/v1/pods?limit=5 HTTP/1.1"
        assert recorded.values("Impersonate-User") == ["jane"]
        assert recorded.values("Impersonate-Group") == ["dev", "system:authenticated"]
        assert recorded.values("Authorization") == []
        assert len(recorded.values("Host")) == 1


def test_a_large_upload_and_a_large_answer_arrive_whole(proxyd, upstream, token, tmp_path):
    content = bytes(range(256)) * 20000  # 5 MB
    (tmp_path / "large").write_bytes(content)
    upstream.answer = lambda r: (200, {}, r.body)
    done = curl(proxyd, token, "--http2", "-X", "POST", "--data-binary", f"@{tmp_path / 'large'}", "-o", str(tmp_path / "back"))
    assert done.returncode == 0, done.stderr
    assert upstream.requests[0].body == content
    assert upstream.requests[0].values("Content-Length") == [str(len(content))]
    assert (tmp_path / "back").read_bytes() == content


def test_an_answer_before_the_end_of_an_upload_reaches_curl(proxyd, upstream, tmp_path):
    (tmp_path / "large").write_bytes(bytes(5_000_000))
    done = curl(proxyd, "not-a-token", "--http2", "-X", "POST", "--data-binary", f"@{tmp_path / 'large'}", "-w", "%{http_code}", "-o", "/dev/null")
    assert (done.returncode, done.stdout) == (0, "401"), done.stderr
    assert upstream.requests == []


def test_h2load_sees_no_failure(proxyd, token):
    port = proxyd.address.rsplit(":", 1)[1]
    command = ["h2load", "-n2000", "-c10", "-m20", "-H", f"Authorization: Bearer {token}", f"https://127.0.0.1:{port}/api"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout" in out
    assert "status codes: 2000 2xx" in out


def test_each_request_is_its_own_tokens_whatever_came_before_on_the_connection(proxyd, issuer, upstream):
    """What this client sends of a token is coded at length each time (RFC 7541 section 7.1.3), and known again by that."""
    jane, john = issuer.mint("jane", groups=["dev"]), issuer.mint("john")
    broken = jane[:-2] + ("AA" if jane[-2:] != "AA" else "QQ")
    tokens = [jane, jane, jane, john, john, jane, broken, jane, broken, broken, None, jane, "-", jane]
    wanted = {jane: "jane", john: "john"}
    with H2(proxyd.address, proxyd.ca) as c:
        for token in tokens:
            assert c.answer(c.request("GET", "/api", token=token)).status == (200 if token in wanted else 401)
        streams = [c.request("GET", "/api", token=token) for token in tokens]
        assert [c.answer(stream).status for stream in streams] == [200 if token in wanted else 401 for token in tokens]
        twice = c.request("GET", "/api", token=jane, headers=[("authorization", f"Bearer {john}")])
        assert c.answer(twice).status in (400, 401)
        assert c.answer(c.request("GET", "/api", token=john)).status == 200
        assert not c.goaway
    one_by_one = [wanted[token] for token in tokens if token in wanted]
    seen = [recorded.values("Impersonate-User") for recorded in upstream.requests]
    assert seen[: len(one_by_one)] == [[name] for name in one_by_one] and seen[-1] == ["john"]
    assert sorted(seen) == sorted([[name] for name in 2 * one_by_one] + [["john"]])


def test_answers_of_our_own_are_kubernetes_statuses(proxyd, upstream):
    with H2(proxyd.address, proxyd.ca) as c:
        a = c.answer(c.request("GET", "/api"))
        assert a.status == 401 and a.headers["www-authenticate"] == "Bearer" and a.headers["content-type"] == "application/json"
        assert json.loads(a.body)["reason"] == "Unauthorized"
        assert re.fullmatch("[0-9a-f]{16}", a.headers["x-request-id"])
        a = c.answer(c.request("GET", "/a/%2e%2e/b", token="x"))
        assert a.status == 400 and json.loads(a.body)["kind"] == "Status"
        assert not c.goaway
    assert upstream.requests == []


# ---- watches


class Watches:
    """An upstream that begins each answer and keeps it: event() sends one to all."""

    def __init__(self, upstream):
        self.lock, self.held, self.release = threading.Condition(), [], threading.Event()
        upstream.on_request = self._on_request

    def _on_request(self, recorded, stream):
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        with self.lock:
            self.held.append(stream)
            self.lock.notify_all()
        self.release.wait(60)
        return False

    def wait(self, n):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.held) >= n, 60), f"{len(self.held)} watches, wanted {n}"

    def event(self, text):
        for stream in self.held:
            stream.sendall(f"{len(text):x}\r\n{text}\r\n".encode())


def test_five_hundred_watches_on_one_connection(tmp_path, ca, issuer, upstream, token):
    watches = Watches(upstream)
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, workers=1)) as proxyd, H2(proxyd.address, ca) as c:
        streams = [c.request("GET", f"/api/v1/pods?watch=1&n={n}", token=token) for n in range(500)]
        c.until(lambda: all(c.answers[s].headers for s in streams))
        watches.wait(500)
        for text in ("first", "second"):
            watches.event(text)
            c.ping()
            c.until(lambda: all(c.answers[s].body.endswith(text.encode()) for s in streams))
        a = c.answer(c.request("GET", "/api"))  # somebody without a token, meanwhile
        assert a.status == 401
        assert {c.answers[s].body for s in streams} == {b"firstsecond"} and not c.goaway
        for s in streams:
            c.state.reset_stream(s)
        c.flush()
        proxyd.wait_log("request", path="/api/v1/pods", count=500)
        c.ping()
        assert not c.goaway
        watches.release.set()


def test_a_watch_ends_with_what_was_sent_when_the_upstream_is_lost(proxyd, upstream, token):
    watches = Watches(upstream)
    with H2(proxyd.address, proxyd.ca) as c:
        stream = c.request("GET", "/api/v1/pods?watch=1", token=token)
        watches.wait(1)
        watches.event("half")
        c.until(lambda: c.answers[stream].body == b"half")
        watches.release.set()  # the upstream closes without the last chunk
        a = c.answer(stream)
        assert (a.ended, a.reset, a.body) == (False, 2, b"half")  # INTERNAL_ERROR
        upstream.on_request = None
        assert c.answer(c.request("GET", "/api", token=token)).status == 200


# ---- what must not pass

TARGET = [(":method", "GET"), (":scheme", "https"), (":path", "/api"), (":authority", "localhost")]
MALFORMED = {
    "CR LF in a value": TARGET + [("x", b"a\r\nimpersonate-user: root")],
    "LF in a value": TARGET + [("x", b"a\nb")],
    "NUL in a value": TARGET + [("x", b"a\0b")],
    "CR LF in a name": TARGET + [(b"x\r\nimpersonate-user", "root")],
    "colon in a name": TARGET + [("x:y", "z")],
    "blank in a name": TARGET + [("x y", "z")],
    "upper case": TARGET + [("X-Upper", "y")],
    "transfer-encoding": TARGET + [("transfer-encoding", "chunked")],
    "connection": TARGET + [("connection", "keep-alive")],
    "connection that names a header": TARGET + [("connection", "impersonate-user")],
    "upgrade": TARGET + [("upgrade", "websocket")],
    "two paths": TARGET + [(":path", "/other")],
    "empty path": [(":method", "GET"), (":scheme", "https"), (":path", ""), (":authority", "localhost")],
    "no path": [(":method", "GET"), (":scheme", "https"), (":authority", "localhost")],
    "CR LF in the path": [(":method", "GET"), (":scheme", "https"), (":path", b"/ HTTP/1.1\r\nx: y\r\n\r\n"), (":authority", "localhost")],
    "blank in the method": [(":method", "GET / HTTP/1.1\r\n"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")],
    "another host": TARGET + [("host", "other")],
    "user in the authority": [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "root@localhost")],
    "pseudo-header behind a header": [("x", "y")] + TARGET,
    "unknown pseudo-header": TARGET + [(":user", "root")],
    "extended CONNECT": [(":method", "CONNECT"), (":protocol", "websocket")] + TARGET[1:],
    "content-length without a body": TARGET + [("content-length", "5")],
    "two content-lengths": TARGET + [("content-length", "0"), ("content-length", "0")],
    "signed content-length": TARGET + [("content-length", "+0")],
}


def test_malformed_requests_end_their_stream_and_never_arrive(proxyd, upstream, token):
    for what, fields in MALFORMED.items():
        with Raw(proxyd.address, proxyd.ca) as raw:
            raw.send(frame(h2_client.HEADERS, 5, 1, block(fields + [("authorization", f"Bearer {token}")])))
            assert raw.outcome(1) == ("reset", 1), what  # PROTOCOL_ERROR
    assert upstream.requests == []


def test_a_body_of_another_length_never_becomes_a_request_of_its_own(proxyd, upstream, token):
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with Raw(proxyd.address, proxyd.ca) as raw:
        for stream, length, body in ((1, "3", b"abc" + smuggled), (3, "100", smuggled)):
            fields = [(":method", "POST")] + TARGET[1:] + [("content-length", length), ("authorization", f"Bearer {token}")]
            raw.send(frame(h2_client.HEADERS, 4, stream, block(fields)) + frame(h2_client.DATA, 1, stream, body))
            assert raw.outcome(stream) == ("reset", 1)
    with H2(proxyd.address, proxyd.ca) as c:
        assert c.answer(c.request("POST", "/api", token=token, body=smuggled)).status == 200
    upstream.wait_requests(1)
    assert all(r.target == "/api" for r in upstream.requests)
    assert upstream.requests[-1].body == smuggled


def test_identity_headers_of_the_client_are_refused_or_removed(proxyd, upstream, token):
    with H2(proxyd.address, proxyd.ca) as c:
        for name in ("impersonate-user", "impersonate-group", "impersonate-extra-x", "impersonate-uid"):
            assert c.answer(c.request("GET", "/api", token=token, headers=[(name, "root")])).status == 403
        for name in ("x_forwarded_for", "x_remote_user", "content_length", "transfer_encoding"):
            assert c.answer(c.request("GET", "/api", token=token, headers=[(name, "1")])).status == 400
        headers = [("x-remote-user", "root"), ("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1"), ("x-real-ip", "192.0.2.1"),
                   ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("proxy-authorization", "Basic eA==")]
        assert c.answer(c.request("GET", "/api", token=token, headers=headers)).status == 200
    (recorded,) = upstream.requests
    assert recorded.values("X-Forwarded-For") == ["127.0.0.1"] and recorded.values("cookie") == ["a=1; b=2"]
    for name in ("x-remote-user", "forwarded", "x-real-ip", "te", "proxy-authorization", "authorization"):
        assert recorded.values(name) == [], name


# ---- floods


def flood_of(kind):
    request_headers = block(TARGET + [("authorization", "Bearer x")])
    if kind == "rapid reset":
        pair = (frame(h2_client.HEADERS, 5, n, request_headers) + frame(h2_client.RST_STREAM, 0, n, b"\0\0\0\x08") for n in range(1, 600, 2))
        return b"".join(pair)
    if kind == "made you reset":
        return b"".join(
            frame(h2_client.HEADERS, 4, n, request_headers) + frame(h2_client.WINDOW_UPDATE, 0, n, b"\x7f\xff\xff\xff") for n in range(1, 600, 2))
    if kind == "continuation":
        return frame(h2_client.HEADERS, 1, 1, request_headers) + frame(h2_client.CONTINUATION, 0, 1) * 20
    if kind == "empty data":
        return frame(h2_client.HEADERS, 4, 1, request_headers) + frame(h2_client.DATA, 0, 1) * 400
    payload = {"ping": (h2_client.PING, b"12345678"), "settings": (h2_client.SETTINGS, b""), "priority": (h2_client.PRIORITY, b"\0\0\0\0\x10")}[kind]
    return frame(payload[0], 0, 1 if kind == "priority" else 0, payload[1]) * 400


@pytest.mark.parametrize("kind", ["rapid reset", "made you reset", "continuation", "empty data", "ping", "settings", "priority"])
def test_a_flood_ends_its_connection_with_enhance_your_calm(proxyd, upstream, token, kind):
    with H2(proxyd.address, proxyd.ca) as neighbour, Raw(proxyd.address, proxyd.ca) as raw:
        raw.send(flood_of(kind))
        codes = [int.from_bytes(payload[4:8], "big") for of, _, _, payload in raw.frames() if of == h2_client.GOAWAY]
        assert codes == [11]
        assert neighbour.answer(neighbour.request("GET", "/api", token=token)).status == 200
    assert len(upstream.requests) == 1


def settings(**initial_window):
    return frame(h2_client.SETTINGS, 0, 0, b"\0\4" + initial_window["window"].to_bytes(4, "big"))


def test_whoever_takes_no_answer_is_reset_and_costs_others_nothing(tmp_path, ca, issuer, upstream, token):
    """Windows of 0: the heads go out, the bodies have no room. Each stream is given up after limits.bodyTimeout (30 s at most), not the connection."""
    upstream.answer = lambda r: (200, {}, bytes(100_000))
    config = proxyd_config(ca, [issuer], upstream, workers=1, limits={"bodyTimeout": "1s"})
    with Proxyd(tmp_path, config) as proxyd, H2(proxyd.address, ca) as neighbour, Raw(proxyd.address, ca) as raw:
        raw.send(settings(window=0))
        streams = range(1, 100, 2)
        fields = block(TARGET + [("authorization", f"Bearer {token}")])
        raw.send(b"".join(frame(h2_client.HEADERS, 5, n, fields) for n in streams))
        upstream.wait_requests(len(streams))
        assert len(neighbour.answer(neighbour.request("GET", "/api", token=token)).body) == 100_000
        heads, resets = set(), {}
        for kind, _, stream, payload in raw.frames():
            assert kind not in (h2_client.DATA, h2_client.GOAWAY)
            if kind == h2_client.HEADERS:
                heads.add(stream)
            elif kind == h2_client.RST_STREAM:
                resets[stream] = int.from_bytes(payload, "big")
            if len(resets) == len(streams):
                break
        assert heads == set(streams) and set(resets.values()) == {2}  # INTERNAL_ERROR: not whole
        raw.send(settings(window=200_000) + frame(h2_client.WINDOW_UPDATE, 0, 0, (200_000).to_bytes(4, "big")) + frame(h2_client.HEADERS, 5, 101, fields))
        assert raw.outcome(101) == ("answer", None)
        line = proxyd.wait_log("request", count=50, path="/api", reason="the client did not take the answer")
        assert line["user"] == "jane"


def test_one_who_reads_slowly_gets_all_of_it(proxyd, upstream, token):
    """A window of 1,000 bytes, opened again each time it is used up: 300 KB in a few hundred steps, byte for byte."""
    content = bytes(range(256)) * 1200
    upstream.answer = lambda r: (200, {}, content)
    with Raw(proxyd.address, proxyd.ca) as raw:
        fields = block(TARGET + [("authorization", f"Bearer {token}")])
        raw.send(settings(window=1000) + frame(h2_client.HEADERS, 5, 1, fields))
        got, open_ = b"", 1000
        for kind, flags, _, payload in raw.frames():
            if kind == h2_client.DATA:
                got += payload
                assert len(got) <= open_
                if flags & h2_client.END_STREAM:
                    break
                if len(got) == open_:
                    open_ += 1000
                    more = (1000).to_bytes(4, "big")
                    raw.send(frame(h2_client.WINDOW_UPDATE, 0, 1, more) + frame(h2_client.WINDOW_UPDATE, 0, 0, more))
        assert got == content


def test_headers_that_are_too_large_are_answered_however_small_they_came(proxyd, upstream, token):
    """64 KiB is for what is decoded: seven frames of literals, or one small frame that names the same entry of the table over and over."""
    base = TARGET + [("authorization", f"Bearer {token}")]
    literal = block(base + [(f"x-{n}", "v" * 4000) for n in range(17)])
    chunks = [literal[at : at + 16384] for at in range(0, len(literal), 16384)]
    long = b"v" * 3900
    entry = b"\x40" + bytes([1]) + b"x" + bytes(h2_client.hpack.hpack.encode_integer(len(long), 7)) + long  # into the table, at index 62
    with H2(proxyd.address, proxyd.ca) as neighbour, Raw(proxyd.address, proxyd.ca) as raw:
        raw.send(frame(h2_client.HEADERS, 1, 1, chunks[0]))
        for n, chunk in enumerate(chunks[1:], 2):
            raw.send(frame(h2_client.CONTINUATION, 4 if n == len(chunks) else 0, 1, chunk))
        assert raw.answer(1) == 431
        raw.send(frame(h2_client.HEADERS, 5, 3, block(base) + entry + b"\xbe" * 20))
        assert raw.answer(3) == 431
        # The table that both sides keep is still the same: the entry once is no trouble.
        raw.send(frame(h2_client.HEADERS, 5, 5, block(base) + b"\xbe"))
        assert raw.answer(5) == 200
        assert neighbour.answer(neighbour.request("GET", "/api", token=token)).status == 200
    first, second = upstream.requests
    assert sorted(len(r.values("x")) for r in (first, second)) == [0, 1]


# ---- upgrades


def test_whoever_needs_an_upgrade_is_served_by_http11_and_told_so_in_http2(proxyd, upstream, token):
    def switch(recorded, stream):
        if not recorded.values("Upgrade"):
            refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 27\r\n\r\nUpgrade request is required"
            stream.sendall(refusal)
            return True
        stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
        stream.sendall(stream.recv(5))
        return False

    upstream.on_request = switch
    path = "/api/v1/namespaces/default/pods/p/exec?command=id"
    with H2(proxyd.address, proxyd.ca) as c:  # what the apiserver says to it goes back
        a = c.answer(c.request("POST", path, token=token))
        assert (a.status, a.body) == (400, b"Upgrade request is required")
        assert c.remote_setting(h2_client.ENABLE_CONNECT_PROTOCOL) == 0  # browsers then use HTTP/1.1 for WebSockets
    extended = [(":method", "CONNECT"), (":protocol", "websocket")] + TARGET[1:] + [("authorization", f"Bearer {token}")]
    plain = [(":method", "CONNECT"), (":authority", "localhost:443"), ("authorization", f"Bearer {token}")]
    with Raw(proxyd.address, proxyd.ca) as raw:
        raw.send(frame(h2_client.HEADERS, 5, 1, block(extended)))
        assert raw.outcome(1) == ("reset", 1)
        raw.send(frame(h2_client.HEADERS, 5, 3, block(plain)))
        assert raw.answer(3) == 501
    # The same client by HTTP/1.1, chosen by ALPN, or by none at all.
    for protocols in (("http/1.1",), ()):
        with h2_client.tls(proxyd.address, proxyd.ca, protocols) as tls:
            assert tls.selected_alpn_protocol() == (protocols[0] if protocols else None)
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
            tls.sendall(head.encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                assert (more := tls.recv(4096))
                answer += more
            assert answer.startswith(b"HTTP/1.1 101 ")
            tls.sendall(b"hello")
            assert tls.recv(5) == b"hello"


def test_an_upstream_that_switches_unasked_is_a_bad_gateway(proxyd, upstream, token):
    def switch(recorded, stream):
        stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
        return False

    upstream.on_request = switch
    with H2(proxyd.address, proxyd.ca) as c:
        assert c.answer(c.request("GET", "/api", token=token)).status == 502


# ---- reload


def test_requests_survive_reloads(tmp_path, ca, issuer, upstream, token):
    """Four clients, one request after the other, on connections that are told to end by each reload."""
    stop, failed, counts = threading.Event(), [], [0, 0, 0, 0]

    def client(i, proxyd):
        while not stop.is_set():
            with H2(proxyd.address, ca) as c:
                try:
                    while not stop.is_set() and not c.goaway:
                        stream = c.request("GET", f"/api?n={i}", token=token)
                        a = c.answer(stream)
                        counts[i] += 1
                        if a.status != 200 or not a.ended:
                            failed.append((a.status, a.reset))
                except Gone:
                    # Not begun (its number is past the last one's) may be sent again; anything else is a loss.
                    if not c.goaway or stream <= c.goaway[1]:
                        failed.append(("gone", c.goaway, stream))
                except Exception as e:
                    failed.append(e)

    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream) | {"listen": fixed_listen(ca)}) as proxyd:
        threads = [threading.Thread(target=client, args=(i, proxyd)) for i in range(4)]
        for t in threads:
            t.start()
        for _ in range(8):
            before = sum(counts)
            proxyd.reload()
            while sum(counts) < before + 20 and not failed:
                stop.wait(0.01)
        stop.set()
        for t in threads:
            t.join(60)
        assert not failed and min(counts) > 10
        proxyd.wait_log("generation gone", count=8)  # the old ones end by themselves, long before their deadline


def fixed_listen(ca):
    cert, key = ca.issue("gateway")
    return [{"address": f"127.0.0.1:{free_port()}", "tls": {"certFile": str(cert), "keyFile": str(key)}}]


def test_draining_tells_idle_connections_and_lets_a_request_finish(tmp_path, ca, issuer, upstream, token):
    watches = Watches(upstream)
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, workers=1)) as proxyd:
        with H2(proxyd.address, ca) as idle, H2(proxyd.address, ca) as busy:
            idle.ping()
            stream = busy.request("GET", "/api/v1/pods?watch=1", token=token)
            watches.wait(1)
            proxyd.send(signal.SIGQUIT)
            assert idle.end() == 0 and idle.goaway[1] == 0
            watches.event("late")
            busy.until(lambda: busy.answers[stream].body == b"late")
            watches.held[0].sendall(b"0\r\n\r\n")
            assert busy.answer(stream).ended
            assert busy.end() == 0 and busy.goaway == (0, stream)
        assert proxyd.wait() == 0
        watches.release.set()


def test_http11_clients_are_served_as_before(proxyd, token):
    status, _, body = request(proxyd.address, "GET", "/api", proxyd.ca, token=token)
    assert (status, json.loads(body)) == (200, {"path": "/api"})
