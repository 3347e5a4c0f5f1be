"""Clients that send requests one after the other on kept connections while a test does something to the programs."""
import http.client
import select
import ssl
import threading
import time


class Load:
    """with Load(gateway, path, headers, clients=50) as load: ... Then load.sent, load.failed (list of texts).

    Each client behaves as kubectl does: it keeps its connection, opens another when the gateway has closed it or said that it
    will, and never sends a request twice: whatever goes wrong after a request has been sent is a failure."""

    def __init__(self, gateway, path, headers, clients=50, status=200):
        self.gateway, self.path, self.headers, self.status = gateway, path, headers, status
        self.context = ssl.create_default_context(cafile=gateway.ca)
        self.stop, self.changed = threading.Event(), threading.Condition()
        self.sent, self.failed, self.slowest_s = 0, [], 0.0
        self.clients = [threading.Thread(target=self._client) for _ in range(clients)]
        self.started = threading.Semaphore(0)

    def __enter__(self):
        for client in self.clients:
            client.start()
        for _ in self.clients:  # everybody has had an answer, or a failure
            assert self.started.acquire(timeout=60)
        return self

    def __exit__(self, *exc):
        self.stop.set()
        for client in self.clients:
            client.join(60)
        assert not any(client.is_alive() for client in self.clients), "a request never ended"

    def count(self):
        with self.changed:
            return self.sent, len(self.failed)

    def wait_sent(self, more, timeout_s=60):
        """Until so many more requests have been answered."""
        with self.changed:
            goal = self.sent + more
            assert self.changed.wait_for(lambda: self.sent >= goal, timeout_s), f"the gateway stands still: {self.failed[-3:]}"

    def _client(self):
        connection, first = None, True
        while not self.stop.is_set():
            started = time.monotonic()
            try:
                if connection and connection.sock and select.select([connection.sock], [], [], 0)[0]:
                    connection.close()
                if connection is None:
                    connection = http.client.HTTPSConnection("localhost", self.gateway.port, timeout=30, context=self.context)
                connection.request("GET", self.path, headers=self.headers)
                answer = connection.getresponse()
                body = answer.read()
                wrong = None if answer.status == self.status else f"{answer.status}: {body[:200]!r}"
            except (OSError, http.client.HTTPException) as e:
                wrong = f"{type(e).__name__}: {e}"
                connection.close()
                connection = None
            with self.changed:
                self.sent += wrong is None
                self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                if wrong:
                    self.failed.append(wrong)
                self.changed.notify_all()
            if first:
                self.started.release()
                first = False
            if wrong:
                self.stop.wait(0.02)  # as a client that tries again
        if connection:
            connection.close()
