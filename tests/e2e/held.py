"""What is under way while something happens: an upstream that keeps its answers back, requests in threads or half sent, many clients, a reload that waits."""
import contextlib
import signal
import threading
import types

from gatehouse import Issuer, Proxyd, Upstream, connect, proxyd_config, request
from load import Load


class Held:
    """An upstream behind a unix socket that keeps answers back until they are released."""

    def __init__(self, ca, path):
        self.released = threading.Event()
        self.upstream = Upstream(ca, unix=path)
        self.upstream.answer = self._answer
        self.route = {"path": "/held", "to": f"unix:{path}"}

    def _answer(self, recorded):
        if recorded.target.startswith("/held/wait"):
            self.released.wait()
        return 200, {}, recorded.target.encode()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.released.set()
        self.upstream.__exit__(*exc)


class Running(threading.Thread):
    """A request on its own thread; result() is what came of it."""

    def __init__(self, address, path, ca):
        super().__init__(daemon=True)
        self.arguments, self.outcome = (address, "GET", path, ca), None
        self.start()

    def run(self):
        try:
            self.outcome = request(*self.arguments)
        except Exception as e:
            self.outcome = e

    def result(self):
        self.join(30)
        assert not self.is_alive(), "no answer"
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def get(proxyd, path, ca):
    return request(proxyd.address, "GET", path, ca)


def load(proxyd, ca, token, clients=8, path="/api/v1/pods"):
    """Clients that ask one thing after the other, each on a connection that it keeps: tests/load.py."""
    target = types.SimpleNamespace(port=int(proxyd.address.rsplit(":", 1)[1]), ca=ca.file)
    return Load(target, path, {"Authorization": "Bearer " + token}, clients=clients)


@contextlib.contextmanager
def half_a_request(proxyd, ca, token):
    """A connection on which a POST of "abcd" lacks its last two bytes."""
    with contextlib.closing(connect(proxyd.address, ca)) as tls:
        head = f"POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 4\r\n\r\n"
        tls.sendall(head.encode() + b"ab")
        yield tls


@contextlib.contextmanager
def reloading(folder, ca, issuer):
    """A proxyd with one worker that waits for the keys of a new issuer, and what lets it go on."""
    with Issuer(ca) as slow, Proxyd(folder, proxyd_config(ca, [issuer], workers=1)) as proxyd:
        slow.hold = threading.Event()
        proxyd.write(proxyd_config(ca, [issuer, slow], workers=1))
        proxyd.send(signal.SIGHUP)
        slow.wait_requests(1)
        yield proxyd, slow.hold.set
