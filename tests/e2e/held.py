"""Requests that are under way while something happens: an upstream that keeps its answers back, and requests in threads."""
import threading

from gatehouse import Upstream, request


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
