"""What one address or one caller may take, before the whole proxy: rates, shares, garbage, idle strangers. Others notice nothing."""
import json
import signal
import socket
import ssl
import threading
import time

import pytest

from gatehouse import Issuer, Proxyd, connect, proxyd_config, request
from test_proxyd_metrics import scrape


def limited(ca, issuer, upstream, **limits):
    return proxyd_config(ca, [issuer], upstream, workers=1, limits=limits)


def get(connection, token, path="/api"):
    """On a kept connection: (status, headers, body)."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline().strip()):
        name, value = line.decode().split(": ", 1)
        headers[name.lower()] = value
    return status, headers, stream.read(int(headers["content-length"]))


def test_a_caller_over_the_rate_gets_a_status_that_says_when_to_come_again(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, limited(ca, issuer, upstream, requestRatePerIdentity=2)) as proxyd:
        jane, joe = issuer.mint("jane"), issuer.mint("joe")
        with connect(proxyd.address, ca) as c:
            answer = next(answer for answer in (get(c, jane) for _ in range(40)) if answer[0] != 200)
            assert answer[0] == 429 and answer[1]["retry-after"] == "1"
            status = json.loads(answer[2])
            assert (status["kind"], status["reason"], status["code"]) == ("Status", "TooManyRequests", 429)
            assert status["details"] == {"retryAfterSeconds": 1}
            assert get(c, issuer.mint("jane", jti="another token, the same person"))[0] in (200, 429)
            assert get(c, joe)[0] == 200
        assert len(upstream.requests) < 40
        assert scrape(proxyd).sum("gatehouse_requests_limited_total", limit="requestRatePerIdentity") >= 1


def test_an_address_over_the_rate_waits_whoever_it_says_it_is(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, limited(ca, issuer, upstream, requestRatePerAddress=1)) as proxyd, connect(proxyd.address, ca) as c:
        statuses = [get(c, issuer.mint(f"user-{n}"))[0] for n in range(12)]
        assert statuses[:10] == [200] * 10 and 429 in statuses[10:]


def test_a_flood_of_bad_tokens_ends_in_waiting_and_who_is_known_is_served_at_once(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, limited(ca, issuer, upstream, refusalRatePerAddress=1)) as proxyd:
        token = issuer.mint()
        with connect(proxyd.address, ca) as good, connect(proxyd.address, ca) as bad:
            assert get(good, token)[0] == 200
            other = Issuer(ca, url=issuer.url)
            statuses = [get(bad, other.mint(jti=str(n)))[0] for n in range(10)]
            assert statuses == [401] * 10
            done = threading.Event()
            late = []

            def flood():
                started = time.monotonic()
                late.append((get(bad, other.mint(jti="one more"))[0], time.monotonic() - started))
                done.set()

            threading.Thread(target=flood).start()
            for _ in range(50):
                assert get(good, token)[0] == 200
            assert not done.is_set(), "fifty good answers come before the late one"
            assert done.wait(30) and late[0][0] == 429 and late[0][1] > 0.5
            # A new credential from the same address has to wait with the others; the client is told when to come again.
            assert get(good, issuer.mint("new"))[0] in (200, 429)
        other.down()
        assert scrape(proxyd).sum("gatehouse_requests_limited_total", limit="refusalRatePerAddress") >= 1


def test_requests_in_flight_are_shared_fairly(tmp_path, ca, issuer, upstream):
    release = threading.Event()

    def hold(r):
        if "slow" in r.target:
            release.wait(30)
        return 200, {}, b"{}"

    upstream.answer = hold
    with Proxyd(tmp_path, limited(ca, issuer, upstream, requestsInFlight=10)) as proxyd:
        flood, good = issuer.mint("flood"), issuer.mint("good")
        held = []
        for _ in range(10):
            c = connect(proxyd.address, ca)
            c.sendall(f"GET /api/slow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {flood}\r\n\r\n".encode())
            held.append(c)
        upstream.wait_requests(10)
        with connect(proxyd.address, ca) as c:
            assert get(c, flood)[0] == 429
            for _ in range(20):
                assert get(c, good)[0] == 200
        release.set()
        for c in held:
            assert c.recv(12) == b"HTTP/1.1 200"
            c.close()
        with connect(proxyd.address, ca) as c:
            assert get(c, flood)[0] == 200


def test_idle_strangers_make_room_for_those_who_sign_in(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, limited(ca, issuer, upstream, connections=20)) as proxyd:
        host, port = proxyd.address.rsplit(":", 1)
        with connect(proxyd.address, ca) as known:
            token = issuer.mint()
            assert get(known, token)[0] == 200
            crowd = [socket.create_connection((host, int(port))) for _ in range(100)]
            # Some with TLS and then nothing: no longer a matter of handshakes.
            crowd += [connect(proxyd.address, ca) for _ in range(30)]
            for _ in range(5):
                assert request(proxyd.address, "GET", "/api", ca, token=token)[0] == 200
            assert get(known, token)[0] == 200
            s = scrape(proxyd)
            assert s.sum("gatehouse_connections_refused_total", reason="shed") >= 100 and s.sum("gatehouse_connections_open") <= 20
            for c in crowd:
                c.close()
        assert len(proxyd.find_log("as many connections as limits.connections allows")) == 1


def test_a_head_has_one_term_however_many_bytes_keep_coming(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, limited(ca, issuer, upstream, headerTimeout="400ms")) as proxyd, connect(proxyd.address, ca) as c:
        started = time.monotonic()
        c.settimeout(0.05)
        answer = b""
        for byte in b"GET /api HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 10000:
            try:
                c.sendall(bytes([byte]))
                answer = c.recv(4096)
            except TimeoutError:
                continue
            except (OSError, ssl.SSLError):
                pass
            break
        assert answer.startswith(b"HTTP/1.1 408 ") and 0.3 < time.monotonic() - started < 5


@pytest.mark.parametrize("key, value, expected", [
    ("requestRatePerIdentity", -1, "0 to 1000000"), ("requestRatePerAddress", 2000000, "0 to 1000000"), ("bodyRate", "fast", "a whole number"),
    ("requestsInFlite", 1, "requestsInFlight"), ("refusalRatePerAddres", 1, "refusalRatePerAddress")])
def test_a_bad_limit_is_named_with_its_line_and_what_was_expected(tmp_path, ca, issuer, upstream, key, value, expected):
    result = Proxyd(tmp_path, limited(ca, issuer, upstream, **{key: value})).check()
    assert result.returncode == 1 and f"limits.{key}" in result.stderr and expected in result.stderr, result.stderr


class Newcomer:
    """A handshake whose pieces are sent when told: connected, and its first message on the way."""

    def __init__(self, address, ca):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), 30)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ca.client_context().wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.socket.sendall(self.outgoing.read())

    def call(self, what, *arguments):
        """what(*arguments) of the TLS object, with as many reads as it takes."""
        while True:
            try:
                result = what(*arguments)
                self.socket.sendall(self.outgoing.read())
                return result
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outgoing.read())
                data = self.socket.recv(65536)
                assert data, "cut"
                self.incoming.write(data)

    def status(self, token):
        """Goes on from where it is, up to the answer of a request."""
        self.call(self.tls.do_handshake)
        self.call(self.tls.write, f"GET /api HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        return int(self.call(self.tls.read, 65536).split()[1])


@pytest.mark.parametrize("change", [None, "reload", "drain"])
def test_handshakes_of_a_flood_are_all_completed_and_who_is_connected_is_served_meanwhile(tmp_path, ca, issuer, upstream, change):
    """Waiting for one's turn is no refusal: not for a handshake in a crowd, nor for one that a worker takes along when it is replaced."""
    with Proxyd(tmp_path, limited(ca, issuer, upstream)) as proxyd, connect(proxyd.address, ca) as known:
        token = issuer.mint()
        assert get(known, token)[0] == 200
        crowd = [Newcomer(proxyd.address, ca) for _ in range(150)]
        if change == "reload":
            mark = proxyd.mark()
            proxyd.send(signal.SIGHUP)
            proxyd.wait_log("draining", after=mark)
        elif change == "drain":
            proxyd.send(signal.SIGQUIT)
        for n, newcomer in enumerate(crowd):
            if n % 10 == 0 and not change:
                assert get(known, token)[0] == 200
            assert newcomer.status(token) == 200
        for newcomer in crowd:
            newcomer.socket.close()
        if change == "drain":
            known.close()
            assert proxyd.wait() == 0


def test_a_flood_of_one_caller_is_served_and_so_is_everybody_else(tmp_path, ca, issuer, upstream):
    """Sixty connections that ask without a pause, one of them with many requests at once: all of it is answered, and another caller's requests come between."""
    with Proxyd(tmp_path, limited(ca, issuer, upstream)) as proxyd:
        flood, good = issuer.mint("flood"), issuer.mint("good")
        one = f"GET /clusters/none/api HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {flood}\r\n\r\n".encode()
        crowd = [connect(proxyd.address, ca) for _ in range(60)]
        with connect(proxyd.address, ca) as c:
            assert get(c, good)[0] == 200
            for n in range(20):
                for other in crowd:
                    other.sendall(one * (20 if n == 0 else 1))
                assert get(c, good)[0] == 200
        for other in crowd:
            stream = other.makefile("rb")
            for _ in range(39):
                assert stream.readline().split()[1] == b"404"
                length = 0
                while (line := stream.readline().strip()):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                assert len(stream.read(length)) == length
            other.close()
