"""A TLS upstream that can be taken away, brought back, and made to misbehave in any way a server can."""
import contextlib
import socket
import struct
import threading

from gatehouse import Upstream


def reset(connection):
    """The connection ends by RST, as when a process is killed with bytes unread."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Faulty(Upstream):
    """on_accept = function(socket) takes a connection instead of TLS and HTTP. certificate: (certificate, key) files other than those that the CA issues."""

    def __init__(self, ca, certificate=None):
        self.live, self.on_accept, self.lock = set(), None, threading.Lock()
        super().__init__(ca)
        if certificate:
            self.use(*certificate)

    def use(self, cert, key):
        """Shown in handshakes from now on."""
        self._context = self.ca.server_context(cert, key, clients=self.ca)

    @property
    def server(self):
        return f"127.0.0.1:{self.address[1]}"

    def down(self):
        """Nobody listens, and whoever was connected is cut."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self.lock:
            live, self.live = self.live, set()
        for connection in live:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def up(self):
        self._listener = socket.create_server(("127.0.0.1", self.address[1]), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _serve(self, plain):
        with self.lock:
            self.live.add(plain)
        if self.on_accept:
            with contextlib.suppress(OSError):
                self.on_accept(plain)
            return
        tls_socket = plain.dup()  # what is wrapped is detached: this one is for down()
        with self.lock:
            self.live.add(tls_socket)
        super()._serve(plain)
        with self.lock:
            self.live -= {plain, tls_socket}
        tls_socket.close()
