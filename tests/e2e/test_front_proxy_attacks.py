"""Who claims to be somebody else before a backend that believes X-Remote-*: every case through the whole gateway, over HTTP/1.1 and HTTP/2. One judge: whatever reaches the backend
names the person whose token it was, once, in our spelling, last, and nobody else in any spelling."""
import re
import socket

import jwt
import pytest

import h2_client
import harness
from gatehouse import write_answer
from h2_client import Gone, Raw, block, frame
from test_proxyd_routes import ANN, ANNS, Stage

EVIL = "root-of-all-evil"
# What CGI, WSGI, PHP and their kin make of a name: whatever is no letter or digit is one separator.
FOLD = re.compile(r"[^a-z0-9]+")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("attacks"))
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture(autouse=True)
def judge(stage):
    stage.tls.requests.clear()
    stage.tls.on_request, stage.tls.answer = None, lambda r: (200, {}, b"")
    yield
    jti = jwt.decode(stage.tokens[ANN], options={"verify_signature": False})["jti"]
    for recorded in stage.tls.requests:
        is_anns(recorded, jti)


def is_anns(recorded, jti):
    """recorded is a request of Ann's for the front-proxy route, and says so once."""
    extras = [("Extra-authentication.kubernetes.io%2Fcredential-id", f"JTI={jti}"), ("Extra-gatehouse%2Fhow", "jwt")]
    ours = [(f"X-Remote-{n}", v) for n, v in ANNS + extras]
    names = [(n, v) for n, v in recorded.headers if re.match("x-?(remote|gatehouse)|impersonate|remote-user|authorization", FOLD.sub("-", n.lower()))]
    assert names == ours, recorded
    assert recorded.headers[-len(ours):] == ours, "the identity stands last"
    for name in ("Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id"):
        assert len([n for n, _ in recorded.headers if FOLD.sub("-", n.lower()) == name.lower()]) == 1, (name, recorded)
    assert len(recorded.values("Content-Length") + recorded.values("Transfer-Encoding") + recorded.values("Upgrade")) == 1
    assert EVIL not in recorded.head.decode("latin-1")
    assert EVIL.encode() not in recorded.body


class Connection:
    """HTTP/1.1 as bytes; a new connection whenever the gateway has closed the last."""

    def __init__(self, stage):
        self.stage, self.tls = stage, None

    def close(self):
        if self.tls:
            self.tls.close()
        self.tls = None

    def ask(self, lines, method="GET", path="/front/x", body=b""):
        """Status of a request of Ann's with these lines, as bytes, among its headers."""
        if self.tls is None:
            plain = socket.create_connection(("127.0.0.1", self.stage.gateway.port), 20)
            self.tls = self.stage.client_context().wrap_socket(plain, server_hostname="localhost")
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.stage.host}\r\nAuthorization: Bearer {self.stage.tokens[ANN]}\r\n".encode()
        self.tls.sendall(head + lines + b"\r\n" + body)
        status, headers, _ = harness.read_answer(self.tls)
        if headers.get("connection") == "close":
            self.close()
        return status


@pytest.fixture
def h1(stage):
    connection = Connection(stage)
    yield connection
    connection.close()


NAMES = ["X-Remote-User", "X-Remote-Group", "X-Remote-Uid", "X-Remote-Extra-Scopes", "X-Remote-Extra-gatehouse%2Fhow"]
OTHERS = ["X-Forwarded-User", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Preferred-Username", "Forwarded", "X-Real-IP", "X-Request-Id",
          "X-Gatehouse-Clusters", "Proxy", "Proxy-Authorization"]


def spellings(name):
    """With '-' as other bytes, one kind for all, or for the first or last alone; in three cases."""
    out = []
    for s in "-_.!#$%&'*+^`|~":
        head, _, tail = name.rpartition("-")
        out += [name.replace("-", s), name.replace("-", s, 1), head + s + tail if head else name]
    return sorted({f(n) for n in out for f in (str, str.upper, str.lower)})


def test_headers_of_an_identity_in_any_spelling(stage, h1):
    statuses = {}
    for name in NAMES + OTHERS:
        for spelling in spellings(name):
            status = h1.ask(f"{spelling}: {EVIL}\r\n".encode())
            statuses.setdefault(status, []).append(spelling)
    assert set(statuses) == {200, 400}
    assert not [s for s in statuses[400] if s.lower() in {n.lower() for n in NAMES + OTHERS}], "the usual spelling is removed, not refused: proxies before us may send it"
    assert len(stage.tls.requests) == len(statuses[200])


def test_over_http2_too(stage):
    refused = passed = 0
    with stage.h2() as h2:
        for name in NAMES + OTHERS:
            for spelling in sorted({s.lower() for s in spellings(name)}):
                answer = h2.answer(h2.request("GET", "/front/x", token=stage.tokens[ANN], headers=[(spelling, EVIL)]))
                assert answer.reset is None and answer.status in (200, 400), spelling
                refused, passed = refused + (answer.status == 400), passed + (answer.status == 200)
    assert refused > 300 and passed == len(stage.tls.requests) >= len(NAMES + OTHERS)


def test_several_at_once_and_around_the_callers_own(stage, h1):
    lines = "".join(f"{n}: {EVIL}\r\n" for n in NAMES + OTHERS)
    assert h1.ask((lines + "X-Own: 1\r\n" + lines).encode()) == 200
    assert stage.tls.requests[0].values("X-Own") == ["1"]
    with stage.h2() as h2:
        fields = [(n.lower(), EVIL) for n in NAMES + OTHERS]
        assert h2.answer(h2.request("GET", "/front/x", token=stage.tokens[ANN], headers=fields + [("x-own", "2")] + fields)).status == 200
    assert stage.tls.requests[1].values("X-Own") == ["2"]


@pytest.mark.parametrize("line", [
    f"X-Own: 1\n X-Remote-User: {EVIL}\r\n", f"X-Own: 1\nX-Remote-User: {EVIL}\r\n", f"X-Own: 1\rX-Remote-User: {EVIL}\r\n",
    f"X-Own: 1\r\n X-Remote-User: {EVIL}\r\n", f"X-Own: 1\r\n\tX-Remote-User: {EVIL}\r\n", f" X-Remote-User: {EVIL}\r\n", f"X-Remote-User : {EVIL}\r\n",
    f"X-Remote-User\t: {EVIL}\r\n", f"X-Remote-User\0: {EVIL}\r\n", f"\0X-Remote-User: {EVIL}\r\n", f"X-Remote-User{EVIL}\r\n", f": {EVIL}\r\n",
    f"X-Own: 1\0X-Remote-User: {EVIL}\r\n", f"X-Own: 1\x0bX-Remote-User: {EVIL}\r\n", f"Connection: close, X-Remote-User\r\nX-Remote-User: {EVIL}\r\n",
    "Connection: X-Remote-Group\r\n", "Connection: x_remote_user\r\n", "Connection: X-Remote-Extra-Scopes, close\r\n", "Connection: X-Forwarded-Host\r\n",
    "Connection: X-Request-Id\r\n", f"Transfer-Encoding: chunked\r\nContent-Length: 4\r\nX-Remote-User: {EVIL}\r\n", f"Host: {EVIL}\r\n", f"Authorization: Bearer {EVIL}\r\n",
])
def test_lines_that_two_readers_could_read_differently_are_refused(stage, h1, line):
    assert h1.ask(line.encode("latin-1")) in (400, 401)
    assert not stage.tls.requests


@pytest.mark.parametrize("name", ["Impersonate-User", "impersonate_user", "IMPERSONATE-GROUP", "Impersonate-Extra-x"])
def test_impersonation_is_no_way_in_either(stage, h1, name):
    assert h1.ask(f"{name}: {EVIL}\r\n".encode()) == 403
    with stage.h2() as h2:
        assert h2.answer(h2.request("GET", "/front/x", token=stage.tokens[ANN], headers=[(name.lower(), EVIL)])).status == 403
    assert not stage.tls.requests


def test_every_byte_at_every_edge(stage, h1):
    """256 × 4 for the name that matters most, through sockets; the parsers' unit tests have every place of every name."""
    count = {}
    for place in range(4):
        for byte in range(256):
            b = bytes([byte])
            parts = [b if place == i else b"" for i in range(4)]
            status = h1.ask(parts[0] + b"X-Remote-User" + parts[1] + b":" + parts[2] + EVIL.encode() + parts[3] + b"\r\n")
            count[status] = count.get(status, 0) + 1
            if status == 200 and any(EVIL in str(v) for _, v in stage.tls.requests[-1].headers):
                # Another name, to every reader there is: a letter or digit more.
                recorded = stage.tls.requests.pop()
                (name,) = [n for n, v in recorded.headers if EVIL in v]
                assert place in (0, 1) and FOLD.sub("-", name.lower()) != "x-remote-user" and not name.lower().startswith("x-remote"), name
    assert set(count) == {200, 400} and count[400] > 400


def test_every_byte_at_every_edge_over_http2(stage):
    """The same as raw frames: what the rules refuse is a reset or a 400."""
    raw, stream, answered = None, 1, 0
    try:
        for place in range(4):
            for byte in range(256):
                b = bytes([byte])
                parts = [b if place == i else b"" for i in range(4)]
                fields = [(":method", "GET"), (":scheme", "https"), (":path", "/front/x"), (":authority", "localhost"),
                          ("authorization", f"Bearer {stage.tokens[ANN]}"), (parts[0] + b"x-remote-user" + parts[1], parts[2] + EVIL.encode() + parts[3])]
                for _ in range(2):  # resets are counted: past some the connection ends
                    if raw is None:
                        raw, stream = Raw(f"127.0.0.1:{stage.gateway.port}", stage), 1
                    try:
                        raw.send(frame(h2_client.HEADERS, h2_client.END_STREAM | h2_client.END_HEADERS, stream, block(fields)))
                        how, _ = raw.outcome(stream)
                    except (OSError, Gone):
                        how = "closed"
                    stream += 2
                    if how in ("reset", "answer"):
                        break
                    raw.socket.close()
                    raw = None
                answered += how == "answer"
                assert how in ("reset", "answer"), (place, byte, how)
                if stage.tls.requests and any(EVIL in v for _, v in stage.tls.requests[-1].headers):
                    recorded = stage.tls.requests.pop()
                    (name,) = [n for n, v in recorded.headers if EVIL in v]
                    assert place in (0, 1) and FOLD.sub("-", name.lower()) != "x-remote-user" and not name.lower().startswith("x-remote"), name
    finally:
        if raw:
            raw.socket.close()
    assert 256 < answered < 1024


def test_nothing_comes_in_trailers(stage, h1):
    body = b"5\r\nhello\r\n0\r\n"
    for name in NAMES + ["x_remote_user", "X.Remote.User", "X+Remote+User", "Authorization", "Host", "X-Forwarded-For"]:
        stage.tls.requests.clear()
        assert h1.ask(b"Transfer-Encoding: chunked\r\nTrailer: x\r\n", "POST", body=body + f"{name}: {EVIL}\r\n\r\n".encode()) == 400, name
        assert not [r for r in stage.tls.requests if EVIL in str(r.headers)]
    stage.tls.requests.clear()
    assert h1.ask(b"Transfer-Encoding: chunked\r\n", "POST", body=body + f"X-Own: {EVIL}\r\n\r\n".encode()) == 200
    assert stage.tls.requests[0].body == b"hello"
    with stage.h2() as h2:
        for name in NAMES:
            stage.tls.requests.clear()
            stream = h2.request("POST", "/front/x", token=stage.tokens[ANN], body=b"hello", end=False)
            h2.state.send_headers(stream, [(name.lower(), EVIL)], end_stream=True)
            h2.flush()
            answer = h2.answer(stream)
            assert answer.reset is not None or answer.status in (200, 400)
            assert all(r.body == b"hello" for r in stage.tls.requests)


def test_nothing_comes_with_a_websocket(stage, h1):
    def switch(recorded, stream):
        write_answer(stream, 200, {}, b"")
        return False

    stage.tls.on_request = switch
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    lines = "".join(f"{n}: {EVIL}\r\n" for n in NAMES + OTHERS).encode()
    assert h1.ask(lines + upgrade + lines) == 200
    assert len(stage.tls.requests) == 1
    assert h1.ask(b"X_Remote_User: x\r\n" + upgrade) == 400
    assert h1.ask(upgrade.replace(b"Upgrade\r\n", b"Upgrade, X-Remote-User\r\n", 1)) == 400


def test_a_second_request_in_the_same_bytes_is_a_request_of_its_own(stage):
    """Whoever hides one inside another has it judged by itself: without a token it gets nowhere."""
    hidden = f"GET /front/hidden HTTP/1.1\r\nHost: {stage.host}\r\nX-Remote-User: {EVIL}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", stage.gateway.port), 20) as plain, \
            stage.client_context().wrap_socket(plain, server_hostname="localhost") as tls:
        head = f"POST /front/x HTTP/1.1\r\nHost: {stage.host}\r\nAuthorization: Bearer {stage.tokens[ANN]}\r\nContent-Length: 5\r\n\r\nhello"
        tls.sendall(head.encode() + hidden)
        stream = tls.makefile("rb")
        statuses = []
        for _ in range(2):
            statuses.append(int(stream.readline().split()[1]))
            length = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            stream.read(length)
    assert statuses == [200, 401] and len(stage.tls.requests) == 1


def test_nobody_is_named_where_nobody_is_known(stage):
    for headers in ({}, {"Authorization": "Bearer x"}, {"Cookie": "__Host-gatehouse=x"}, {"X-Remote-User": "ann"}):
        assert stage.ask("/front/x", headers=headers).status_code == 401
    assert not stage.tls.requests
