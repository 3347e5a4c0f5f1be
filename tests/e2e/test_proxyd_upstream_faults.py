"""What an apiserver can do wrong, over HTTP/1.1 and HTTP/2: the caller gets a Kubernetes Status that says what it was, or an answer that does not look whole;
no request goes over a connection that saw a fault; and who was served meanwhile notices nothing."""
import contextlib
import http.client
import json
import socket
import threading

import pytest

from faulty import Faulty, reset
from gatehouse import CA, Proxyd, connect, proxyd_config, write_answer
from h2_client import H2

INTERNAL_ERROR = 2  # RFC 9113 section 7


class H1:
    """As h2_client.H2 as far as it is used here; a connection for each request unless it is kept."""

    def __init__(self, address, ca):
        self.connection = http.client.HTTPConnection("localhost", timeout=30)
        self.connection.sock = connect(address, ca)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.connection.close()

    def visit(self, method, path, token, body=None):
        """(status, body, whole)"""
        self.connection.request(method, path, body=body, headers={"Authorization": f"Bearer {token}"})
        answer = self.connection.getresponse()
        try:
            return answer.status, answer.read(), True
        except (http.client.IncompleteRead, ConnectionError, ValueError) as e:
            return answer.status, getattr(e, "partial", b""), False


class Two(H2):
    def visit(self, method, path, token, body=None):
        answer = self.answer(self.request(method, path, token, body=body))
        assert answer.reset in (None, INTERNAL_ERROR)
        return answer.status, answer.body, answer.ended


FRONTS = {"h1": H1, "h2": Two}


class Cluster(Faulty):
    """Does what fault says at /fault, sends events at /watch when it is told to, and answers everything else. paths: of each connection, in order."""

    def __init__(self, ca, **more):
        self.fault, self.events, self.paths = None, threading.Semaphore(0), {}
        super().__init__(ca, **more)
        self.on_request = self.serve

    def serve(self, recorded, tls):
        self.paths.setdefault(tls, []).append(recorded.target)
        if recorded.target.startswith("/fault"):
            return bool(self.fault(tls))
        if recorded.target.startswith("/watch"):
            tls.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while self.events.acquire(timeout=60):
                tls.sendall(b"6\r\nevent\n\r\n")
            return False
        write_answer(tls, 200, {"Content-Type": "application/json"}, json.dumps({"path": recorded.target}).encode())
        return True

    def faulty_connections(self):
        return [paths for paths in self.paths.values() if any(p.startswith("/fault") for p in paths)]


@pytest.fixture
def cluster(ca):
    with Cluster(ca) as cluster:
        yield cluster


@pytest.fixture
def proxyd(tmp_path, ca, issuer, cluster):
    config = proxyd_config(ca, [issuer], cluster, workers=1, limits={"upstreamConnectTimeout": "400ms", "bodyTimeout": "2s"})
    with Proxyd(tmp_path, config) as proxyd:
        proxyd.ca, proxyd.token = ca, issuer.mint()
        yield proxyd


class Watch:
    """Somebody else, on a watch of their own from before the fault until after it."""

    def __init__(self, proxyd, cluster):
        self.cluster = cluster
        self.connection = http.client.HTTPConnection("localhost", timeout=30)
        self.connection.sock = connect(proxyd.address, proxyd.ca)
        self.connection.request("GET", "/watch", headers={"Authorization": f"Bearer {proxyd.token}"})
        self.answer = self.connection.getresponse()

    def goes_on(self):
        self.cluster.events.release()
        assert self.answer.readline() == b"event\n"

    def __enter__(self):
        self.goes_on()
        return self

    def __exit__(self, *exc):
        self.connection.close()
        for _ in range(4):
            self.cluster.events.release()  # so that its thread notices


def is_status(status, body, code, words):
    text = json.loads(body)
    assert (text["kind"], text["apiVersion"], text["status"], text["code"]) == ("Status", "v1", "Failure", code)
    assert words in text["message"] and text["message"].startswith("cluster default: "), text["message"]
    return status == code


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def sends(*parts, then="close"):
    """Writes what it can of these; then: the connection is closed, reset, or kept."""
    def fault(tls):
        with contextlib.suppress(OSError):
            for part in parts:
                tls.sendall(part)
        if then == "reset":
            reset(tls)
        return then == "keep"

    return fault


def header_without_end(tls):
    tls.sendall(HEAD)
    with contextlib.suppress(OSError):
        while True:
            tls.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")


def line_without_end(tls):
    with contextlib.suppress(OSError):
        tls.sendall(HEAD + b"X-More: ")
        while True:
            tls.sendall(b"x" * 16384)


REFUSED = {
    "reset before the answer": (sends(then="reset"), "reset"),
    "closed before the answer": (sends(), ""),
    "closed within the head": (sends(HEAD), ""),
    "reset within the head": (sends(HEAD, then="reset"), "reset"),
    "a header of 1 MB": (sends(HEAD + b"X-Large: " + b"x" * (1 << 20) + b"\r\nContent-Length: 2\r\n\r\nok", then="keep"), ""),
    "1 MB of headers": (sends(HEAD + b"X-Many: some text\r\n" * 55000 + b"Content-Length: 2\r\n\r\nok", then="keep"), ""),
    "headers without end": (header_without_end, ""),
    "a line without end": (line_without_end, ""),
    "101 unasked": (sends(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n", then="keep"), "switched protocols unasked"),
    "not HTTP": (sends(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", then="keep"), ""),
    "an answer of HTTP/2": (sends(b"\0\0\0\4\0\0\0\0\0", then="close"), ""),
    "two lengths": (sends(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!", then="keep"), ""),
    "length and chunks": (sends(HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", then="keep"), ""),
    "a length that is none": (sends(HEAD + b"Content-Length: 2,\r\n\r\nok", then="keep"), ""),
    "another transfer coding": (sends(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", then="keep"), ""),
    "a folded header": (sends(HEAD + b"X-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok", then="keep"), ""),
    "our own credential refused": (sends(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", then="keep"), "does not accept the gateway's own credential"),
}
BROKEN_OFF = {
    "closed within a sized body": sends(HEAD + b"Content-Length: 100\r\n\r\nhalf"),
    "reset within a sized body": sends(HEAD + b"Content-Length: 100\r\n\r\nhalf", then="reset"),
    "closed within a chunk": sends(HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\nhalf"),
    "reset within a chunk": sends(HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\nhalf", then="reset"),
    "closed between two chunks": sends(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    "closed before the last line": sends(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n"),
    "a chunk's size that is none": sends(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0x4\r\nmore\r\n0\r\n\r\n", then="keep"),
    "a chunk longer than it says": sends(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf!\r\n0\r\n\r\n", then="keep"),
}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("fault", REFUSED)
def test_no_answer_is_a_status_that_says_why(proxyd, cluster, front, fault):
    cluster.fault, words = REFUSED[fault]
    with Watch(proxyd, cluster) as other, FRONTS[front](proxyd.address, proxyd.ca) as client:
        assert client.visit("GET", "/before", proxyd.token)[0] == 200
        status, body, whole = client.visit("GET", "/fault", proxyd.token)
        assert whole and is_status(status, body, 502, words)
        assert client.visit("GET", "/after", proxyd.token)[:2] == (200, b'{"path": "/after"}'), "on the same connection of the client's"
        other.goes_on()
    assert all(paths[-1].startswith("/fault") for paths in cluster.faulty_connections()), cluster.paths.values()
    assert 1 <= len(cluster.faulty_connections()) <= 2
    proxyd.wait_log("request", path="/fault", status=502)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("fault", REFUSED)
def test_what_changes_something_is_sent_once_whatever_happens(proxyd, cluster, front, fault):
    cluster.fault, words = REFUSED[fault]
    with Watch(proxyd, cluster) as other, FRONTS[front](proxyd.address, proxyd.ca) as client:
        assert client.visit("GET", "/before", proxyd.token)[0] == 200
        status, body, whole = client.visit("POST", "/fault", proxyd.token, body=b'{"kind":"Pod"}')
        assert whole and is_status(status, body, 502, words)
        other.goes_on()
    assert len([r for r in cluster.requests if r.target == "/fault"]) == 1
    assert [paths[-1] for paths in cluster.faulty_connections()] == ["/fault"]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("fault", BROKEN_OFF)
def test_an_answer_that_breaks_off_never_looks_whole(proxyd, cluster, front, fault):
    cluster.fault = BROKEN_OFF[fault]
    with Watch(proxyd, cluster) as other:
        with FRONTS[front](proxyd.address, proxyd.ca) as client:
            assert client.visit("GET", "/before", proxyd.token)[0] == 200
            status, body, whole = client.visit("GET", "/fault", proxyd.token)
            if whole:  # what was wrong came along with the head, of which nothing had been said yet
                assert is_status(status, body, 502, "chunk") and fault.startswith("a chunk")
            else:
                assert b"half".startswith(body[:4])
            if front == "h2":  # one stream's loss is not the connection's
                assert client.visit("GET", "/after", proxyd.token)[0] == 200
        with FRONTS[front](proxyd.address, proxyd.ca) as client:
            assert client.visit("GET", "/after", proxyd.token)[:2] == (200, b'{"path": "/after"}')
        other.goes_on()
    assert [paths[-1] for paths in cluster.faulty_connections()] == ["/fault"]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["bytes behind a sized body", "bytes behind the last chunk", "it says close"],
)
def test_what_stands_behind_an_answer_becomes_nobodys(proxyd, cluster, front, answer):
    cluster.fault = sends(answer, then="keep")
    with Watch(proxyd, cluster) as other, FRONTS[front](proxyd.address, proxyd.ca) as client:
        assert client.visit("GET", "/before", proxyd.token)[0] == 200
        assert client.visit("GET", "/fault", proxyd.token) == (200, b"ok", True)
        assert client.visit("GET", "/after", proxyd.token)[:2] == (200, b'{"path": "/after"}')
        other.goes_on()
    assert [paths[-1] for paths in cluster.faulty_connections()] == ["/fault"]


@pytest.mark.parametrize("front", FRONTS)
def test_an_answer_that_does_not_come_is_waited_for_by_its_caller_alone(proxyd, cluster, front):
    """There is no limit: it may be a watch in which nothing happens. When the caller has left the cluster is told so."""
    asked, left = threading.Event(), threading.Event()

    def hang(tls):
        asked.set()
        tls.settimeout(30)
        with contextlib.suppress(OSError):
            assert tls.recv(1) == b""
        left.set()

    cluster.fault = hang
    with Watch(proxyd, cluster) as other:
        with FRONTS[front](proxyd.address, proxyd.ca) as client:
            if front == "h1":
                client.connection.request("GET", "/fault", headers={"Authorization": f"Bearer {proxyd.token}"})
            else:
                client.request("GET", "/fault", proxyd.token)
            assert asked.wait(30)
            with FRONTS[front](proxyd.address, proxyd.ca) as others:
                assert others.visit("GET", "/meanwhile", proxyd.token)[0] == 200
            assert not left.is_set()
        assert left.wait(30)
        other.goes_on()
    assert cluster.faulty_connections() == [["/fault"]] or cluster.faulty_connections() == [["/meanwhile", "/fault"]]


@pytest.mark.parametrize("front", FRONTS)
def test_a_body_that_is_not_taken_is_a_504(proxyd, cluster, front):
    """It reads the head and no more, while 64 MB want to go up."""
    stop = threading.Event()
    cluster._read = lambda stream, tls: stop.wait(30) and None
    with FRONTS[front](proxyd.address, proxyd.ca) as client:
        outcome = []

        def upload():
            with contextlib.suppress(OSError):
                outcome.append(client.visit("POST", "/fault", proxyd.token, body=bytes(64 << 20)))

        thread = threading.Thread(target=upload)
        thread.start()
        said = proxyd.wait_log("upstream failed", reason="it did not take the request's body")
        assert said["upstream"] == "default"
        proxyd.wait_log("request", path="/fault", status=504)
        stop.set()
        with contextlib.suppress(OSError):
            getattr(client, "socket", None) and client.socket.shutdown(socket.SHUT_RDWR)
            front == "h1" and client.connection.sock.shutdown(socket.SHUT_RDWR)
        thread.join(30)
        assert not thread.is_alive()


# ---- before there is a connection


def other_certificate(tmp_path, ca, kind):
    if kind == "of another authority":
        return CA(tmp_path / "stranger", "stranger").issue("upstream")
    if kind == "expired":
        return ca.issue("upstream-old", days=-1)
    return ca.issue("upstream-other", dns=("other.example",), ips=("127.0.0.9",))


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind, words", [("of another authority", "certificate"), ("expired", "expired"), ("for another name", "mismatch")])
def test_a_server_that_is_not_the_cluster_gets_no_request(tmp_path, proxyd, ca, cluster, front, kind, words):
    right = ca.issue("upstream")
    with Watch(proxyd, cluster) as other, FRONTS[front](proxyd.address, proxyd.ca) as client:
        cluster.use(*other_certificate(tmp_path, ca, kind))
        status, body, whole = client.visit("GET", "/secret", proxyd.token)
        assert whole and is_status(status, body, 502, words)
        assert [r.target for r in cluster.requests] == ["/watch"]
        cluster.use(*right)
        assert client.visit("GET", "/after", proxyd.token)[0] == 200
        other.goes_on()


@pytest.mark.parametrize("front", FRONTS)
def test_a_port_where_nobody_listens_is_said_to_refuse(proxyd, cluster, front):
    with FRONTS[front](proxyd.address, proxyd.ca) as client:
        assert client.visit("GET", "/before", proxyd.token)[0] == 200
        cluster.down()
        status, body, whole = client.visit("GET", "/x", proxyd.token)
        assert whole and is_status(status, body, 502, "refused")
        cluster.up()
        assert client.visit("GET", "/after", proxyd.token)[0] == 200


def cut_off(plain):
    plain.recv(1)
    reset(plain)


def talk_plainly(plain):
    plain.recv(65536)
    plain.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
    plain.close()


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    "accept, code, words",
    [
        (lambda plain: threading.Event().wait(20), 504, "TLS handshake timed out"),
        (lambda plain: plain.sendall(b"\x16\x03\x03\x40\x00" + b"\0" * 64) or threading.Event().wait(20), 504, "TLS handshake timed out"),
        (cut_off, 502, "reset"),
        (lambda plain: plain.shutdown(socket.SHUT_RDWR), 502, ""),
        (talk_plainly, 502, ""),
    ],
    ids=["silent", "half a handshake", "reset", "closed", "not TLS"],
)
def test_a_handshake_that_fails_is_a_status_and_the_next_one_counts(proxyd, cluster, front, accept, code, words):
    with Watch(proxyd, cluster) as other, FRONTS[front](proxyd.address, proxyd.ca) as client:
        cluster.on_accept = accept
        status, body, whole = client.visit("POST", "/fault", proxyd.token, body=b"{}")
        assert whole and is_status(status, body, code, words)
        cluster.on_accept = None
        with FRONTS[front](proxyd.address, proxyd.ca) as again:  # over HTTP/1.1 a body that nobody read ends its connection
            assert again.visit("GET", "/after", proxyd.token)[0] == 200
        other.goes_on()
    assert not [r for r in cluster.requests if r.target == "/fault"]


def test_a_refused_credential_is_an_error_in_the_log_and_a_number_in_the_metrics(proxyd, cluster):
    cluster.fault = REFUSED["our own credential refused"][0]
    with H1(proxyd.address, proxyd.ca) as client:
        assert client.visit("GET", "/fault", proxyd.token)[0] == 502
    assert proxyd.wait_log("the cluster does not accept the gateway's own credential")["level"] == "error"
    lines = proxyd.admin("/metrics")[2].splitlines()
    counted = [line for line in lines if line.startswith("gatehouse_upstream_failures_total") and "unauthorized" in line and 'cluster="default"' in line]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) == 1, counted
