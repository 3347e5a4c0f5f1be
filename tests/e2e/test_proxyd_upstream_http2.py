"""Watches share HTTP/2 connections to an apiserver that speaks it, one stream each; everything else has HTTP/1.1 and a connection of its own. Whatever such an apiserver does wrong ends what
it was said of, in words or cut, and nothing else."""
import contextlib
import http.client
import json
import threading

import hpack
import pytest

import h2_client
import openmetrics
from gatehouse import Proxyd, Upstream, connect, proxyd_config
from h2_client import CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, H2, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame
from test_a_day import Clock

WATCH = "/api/v1/pods?watch=1"
EVENT = b'{"type":"ADDED"}\n'
OK_HEAD = block([(":status", "200"), ("content-type", "application/json")])
ACK = 1


class Connection:
    """The apiserver's end of a connection that chose HTTP/2."""

    def __init__(self, upstream, tls):
        self.upstream, self.tls, self.decoder, self.lock = upstream, tls, hpack.Decoder(), threading.Lock()
        self.asked, self.ended, self.pings, self.over = {}, {}, 0, threading.Event()

    def send(self, *frames):
        with self.lock, contextlib.suppress(OSError):
            self.tls.sendall(b"".join(frames))

    def event(self, stream, data=EVENT):
        self.send(frame(DATA, 0, stream, data))

    def _read(self, n):
        out = b""
        while len(out) < n:
            more = self.tls.recv(n - len(out))
            if not more:
                raise OSError("closed")
            out += more
        return out

    def run(self):
        upstream = self.upstream
        assert self._read(len(h2_client.PREFACE)) == h2_client.PREFACE
        self.send(frame(SETTINGS, 0, 0, b"\0\3" + upstream.streams.to_bytes(4, "big")))
        while True:
            head = self._read(9)
            payload = self._read(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                with upstream.changed:
                    self.pings += 1
                    upstream.changed.notify_all()
                if not upstream.mute:
                    self.send(frame(PING, ACK, 0, payload))
            elif kind == HEADERS:
                assert flags == END_STREAM | END_HEADERS
                fields = self.decoder.decode(payload)
                with upstream.changed:
                    self.asked[stream] = fields
                    upstream.changed.notify_all()
                upstream.on_stream(self, stream, dict(fields))
            elif kind == RST_STREAM:
                with upstream.changed:
                    self.ended[stream] = int.from_bytes(payload, "big")
                    upstream.changed.notify_all()
            else:
                assert kind in (SETTINGS, PING, WINDOW_UPDATE, GOAWAY), kind


class Cluster(Upstream):
    """shared: the connections of HTTP/2, in order. on_stream(connection, stream, fields) answers; by default a watch begins with one event."""

    def __init__(self, ca):
        self.shared, self.streams, self.mute, self.protocols = [], 100, False, ["h2", "http/1.1"]
        self.on_stream = self.begin
        super().__init__(ca)

    @staticmethod
    def begin(connection, stream, fields):
        connection.send(frame(HEADERS, END_HEADERS, stream, OK_HEAD), frame(DATA, 0, stream, EVENT))

    def _serve(self, plain):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(plain)
            self._context.set_alpn_protocols(self.protocols)
            tls = stack.enter_context(self._context.wrap_socket(plain, server_side=True))
            if tls.selected_alpn_protocol() == "h2":
                connection = Connection(self, tls)
                with self.changed:
                    self.shared.append(connection)
                    self.changed.notify_all()
                try:
                    connection.run()
                finally:
                    connection.over.set()
                return
            self.connections += 1
            stream = tls.makefile("rb")
            while (recorded := self._read(stream, tls)) is not None:
                with self.changed:
                    self.requests.append(recorded)
                    self.changed.notify_all()
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nalone")

    def wait(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, 30)


@pytest.fixture
def cluster(ca):
    with Cluster(ca) as cluster:
        yield cluster


def start(folder, ca, issuer, cluster, env=None, **more):
    config = proxyd_config(ca, [issuer], cluster, workers=1, limits={"watchMaxAge": "0s", "drainTimeout": "3s"})
    config["clusters"][0].update(more)
    proxyd = Proxyd(folder, config, env=env)
    proxyd.ca, proxyd.token = ca, issuer.mint()
    return proxyd


@pytest.fixture
def proxyd(tmp_path, ca, issuer, cluster):
    with start(tmp_path, ca, issuer, cluster) as proxyd:
        yield proxyd


class Watch:
    """Over HTTP/1.1; the head has come."""

    def __init__(self, proxyd, path=WATCH, token=None):
        self.connection = http.client.HTTPConnection("localhost", timeout=30)
        self.connection.sock = connect(proxyd.address, proxyd.ca)
        self.connection.request("GET", path, headers={"Authorization": f"Bearer {token or proxyd.token}"})
        self.answer = self.connection.getresponse()
        self.status = self.answer.status

    def hears(self, event=EVENT):
        assert self.answer.readline() == event

    def rest(self):
        """(bytes, whole)"""
        try:
            return self.answer.read(), True
        except (http.client.IncompleteRead, ConnectionError, ValueError) as e:
            return getattr(e, "partial", b""), False

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.connection.close()


def test_watches_of_different_callers_share_a_connection_and_nothing_else(proxyd, cluster, ca, issuer):
    people = ["alice", "bob", "carol"]
    with contextlib.ExitStack() as stack:
        watches = [stack.enter_context(Watch(proxyd, token=issuer.mint(sub=who, groups=["of-" + who]))) for who in people]
        for watch in watches:
            watch.hears()
        h2 = stack.enter_context(H2(proxyd.address, ca))
        streams = [h2.request("GET", WATCH, issuer.mint(sub=who, groups=["of-" + who])) for who in people]
        h2.until(lambda: all(h2.answers[s].body == EVENT for s in streams))
        (shared,) = cluster.shared
        assert sorted(shared.asked) == [1, 3, 5, 7, 9, 11]
        for fields, who in zip((shared.asked[s] for s in sorted(shared.asked)), people + people):
            values = [(n, v) for n, v in fields if n.startswith("impersonate") or n in ("authorization", "connection", "content-length")]
            groups = [("impersonate-group", "of-" + who), ("impersonate-group", "system:authenticated")]
            assert values[0] == ("impersonate-user", who) and sorted(v for v in values if v[0] == "impersonate-group") == groups, values
            assert dict(fields)[":path"] == WATCH and dict(fields)[":scheme"] == "https"
        # Each hears what is said on its stream.
        for i, watch in enumerate(watches):
            shared.event(2 * i + 1, f"{i}\n".encode())
        for i, watch in enumerate(watches):
            watch.hears(f"{i}\n".encode())
        # What is no watch goes beside it.
        other = http.client.HTTPConnection("localhost", timeout=30)
        other.sock = connect(proxyd.address, ca)
        other.request("GET", "/api/v1/pods", headers={"Authorization": f"Bearer {proxyd.token}"})
        assert other.getresponse().read() == b"alone" and cluster.connections == 1
        other.close()
        metrics = openmetrics.parse(proxyd.admin("/metrics")[2])
        labels = {"cluster": "default"}
        assert metrics.sum("gatehouse_upstream_streams_open", **labels) == 6
        assert metrics.sum("gatehouse_upstream_shared_connections_open", **labels) == 1
        assert metrics.sum("gatehouse_upstream_connections_total", kind="shared", **labels) == 6
    cluster.wait(lambda: len(shared.ended) == 6)
    assert set(shared.ended.values()) == {8}  # CANCEL


def test_http2_never_means_never(tmp_path, ca, issuer, cluster):
    with start(tmp_path, ca, issuer, cluster, http2="never") as proxyd, Watch(proxyd) as watch:
        assert watch.answer.read() == b"alone" and not cluster.shared


def test_an_apiserver_of_http1_has_a_connection_for_each(proxyd, cluster):
    cluster.protocols = ["http/1.1"]
    with Watch(proxyd) as one, Watch(proxyd) as two:
        assert one.answer.read() == two.answer.read() == b"alone"
    assert not cluster.shared
    proxyd.wait_log("upstream server speaks no HTTP/2: each watch has a connection of its own")


def test_hup_ends_watches_and_with_the_last_of_them_their_connection(proxyd, cluster):
    with Watch(proxyd) as watch:
        watch.hears()
        proxyd.reload()
        while len(cluster.shared) == 1:  # one more may still have come to the old worker
            with Watch(proxyd) as more:
                more.hears()
        with Watch(proxyd) as after:
            after.hears()
            assert watch.rest() == (b"", True)
            assert cluster.shared[0].over.wait(30)
            cluster.shared[1].event(max(cluster.shared[1].asked))
            after.hears()
            assert len(cluster.shared) == 2


# ---- faults


@pytest.fixture
def other(proxyd):
    """Somebody else on the same connection, stream 1."""
    with Watch(proxyd) as watch:
        watch.hears()
        yield watch


def goes_on(other, cluster):
    cluster.shared[0].event(1)
    other.hears()


def is_failure(watch, words):
    text = json.loads(watch.rest()[0])
    assert watch.status == text["code"] == 502 and text["message"].startswith("cluster default: ") and words in text["message"], text


def fails_with(*make):
    """on_stream that writes what make(stream) returns."""
    return lambda connection, stream, fields: connection.send(*(m(stream) for m in make))


REFUSED = {
    "reset": ([lambda s: frame(RST_STREAM, 0, s, b"\0\0\0\2")], "stream reset: internal error"),
    "no status": ([lambda s: frame(HEADERS, END_HEADERS, s, block([("content-type", "text/plain")]))], ""),
    "101": ([lambda s: frame(HEADERS, END_HEADERS, s, block([(":status", "101")]))], ""),
    "Connection": ([lambda s: frame(HEADERS, END_HEADERS, s, block([(":status", "200"), ("connection", "close")]))], ""),
    "Transfer-Encoding": ([lambda s: frame(HEADERS, END_HEADERS, s, block([(":status", "200"), ("transfer-encoding", "chunked")]))], ""),
    "an injected line": ([lambda s: frame(HEADERS, END_HEADERS, s, block([(":status", "200"), ("x-a", "b\r\nset-cookie: c=d")]))], ""),
    "two lengths": ([lambda s: frame(HEADERS, END_HEADERS, s, block([(":status", "200"), ("content-length", "1"), ("content-length", "2")]))], ""),
    "200 headers": ([lambda s: frame(HEADERS, END_HEADERS, s, block([(":status", "200")] + [(f"x-{i}", "1") for i in range(200)]))], "too many headers"),
    "our own credential refused": ([lambda s: frame(HEADERS, END_HEADERS | END_STREAM, s, block([(":status", "401")]))], "does not accept the gateway's own credential"),
}
CUT = {
    "reset": [lambda s: frame(RST_STREAM, 0, s, b"\0\0\0\2")],
    "reset without an error": [lambda s: frame(RST_STREAM, 0, s, b"\0\0\0\0")],
    "a trailer that names the caller": [lambda s: frame(HEADERS, END_HEADERS | END_STREAM, s, block([("impersonate-user", "root")]))],
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_no_answer_is_said_and_others_on_the_connection_go_on(proxyd, cluster, other, fault):
    make, words = REFUSED[fault]
    cluster.on_stream = fails_with(*make)
    for _ in range(3):
        with Watch(proxyd) as watch:
            is_failure(watch, words)
    goes_on(other, cluster)
    cluster.on_stream = cluster.begin
    with Watch(proxyd) as watch:
        watch.hears()
    assert len(cluster.shared) == 1


@pytest.mark.parametrize("fault", CUT)
def test_a_watch_that_breaks_off_never_looks_whole(proxyd, cluster, other, fault):
    with Watch(proxyd) as watch:
        watch.hears()
        cluster.shared[0].send(*(m(3) for m in CUT[fault]))
        assert watch.rest() == (b"", False)
    goes_on(other, cluster)


@pytest.mark.parametrize("sent", [b"half", b"more than that"])
def test_a_length_that_is_wrong_never_looks_right(proxyd, cluster, other, sent):
    head = lambda s: frame(HEADERS, END_HEADERS, s, block([(":status", "200"), ("content-length", "10")]))
    cluster.on_stream = fails_with(head, lambda s: frame(DATA, END_STREAM, s, sent))
    with Watch(proxyd) as watch:
        body, whole = watch.rest()
        assert not whole and len(body) < 10 or watch.status == 502
    goes_on(other, cluster)


def test_goaway_lets_what_runs_go_on_and_what_is_new_has_another_connection(proxyd, cluster, other):
    cluster.on_stream = lambda connection, stream, fields: connection.send(frame(GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4)))
    with Watch(proxyd) as watch:  # not looked at: asked for again
        assert watch.answer.read() == b"alone"
    cluster.on_stream = cluster.begin
    with Watch(proxyd) as watch:
        watch.hears()
        assert len(cluster.shared) == 2
        goes_on(other, cluster)
        cluster.shared[0].send(frame(DATA, END_STREAM, 1))
        assert other.rest() == (b"", True)
        assert cluster.shared[0].over.wait(30)
        cluster.shared[1].event(1)
        watch.hears()


FLOODS = {
    "settings": lambda: frame(SETTINGS, 0, 0) * 1000,
    "pings": lambda: frame(PING, 0, 0, b"12345678") * 1000,
    "resets": lambda: frame(RST_STREAM, 0, 1, bytes(4)) * 1000,
    "empty data": lambda: frame(DATA, 0, 1) * 1000,
    "continuations": lambda: frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1) * 1000,
    "headers": lambda: frame(HEADERS, 0, 1, block([(":status", "200")])) + b"".join(frame(CONTINUATION, 0, 1, block([("x-a", "b" * 16000)])) for _ in range(64)),
    "not HTTP/2": lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 100,
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_ends_the_connection_and_the_next_watch_has_another(proxyd, cluster, other, flood):
    with Watch(proxyd) as watch:
        watch.hears()
        cluster.shared[0].send(FLOODS[flood]())
        assert not watch.rest()[1] and not other.rest()[1]
    assert cluster.shared[0].over.wait(30)
    with Watch(proxyd) as watch:
        watch.hears()
    assert len(cluster.shared) == 2
    proxyd.wait_log("upstream connection lost", upstream="default")


def test_an_apiserver_that_has_died_silently_is_found_out(tmp_path, ca, issuer, cluster):
    clock = Clock(tmp_path)
    with start(tmp_path, ca, issuer, cluster, env=clock.env) as proxyd, Watch(proxyd) as watch:
        watch.hears()
        (shared,) = cluster.shared
        clock.forward(31)
        cluster.wait(lambda: shared.pings == 1)
        shared.event(1)
        watch.hears()
        cluster.mute = True
        clock.forward(31)
        cluster.wait(lambda: shared.pings == 2)
        clock.forward(16)
        assert watch.rest() == (b"", False)
        proxyd.wait_log("upstream connection lost", reason="the server does not answer any more")


def test_who_does_not_read_holds_up_nobody_else(proxyd, cluster, other):
    """Its own window, and no more, is what the apiserver has sent for it."""
    with Watch(proxyd) as slow:
        slow.hears()
        shared = cluster.shared[0]
        for _ in range(16):  # the whole window of a stream
            shared.event(3, b"x" * 16383 + b"\n")
        for _ in range(50):
            goes_on(other, cluster)
        for _ in range(16):
            slow.hears(b"x" * 16383 + b"\n")
