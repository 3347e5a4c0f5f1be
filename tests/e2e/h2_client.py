"""A client of HTTP/2 for tests: the h2 library's state machine on a TLS connection, one request or many at a time; and raw frames for those
that no library would send.

    with H2(proxyd.address, ca) as c:
        stream = c.request("GET", "/version", token=token)
        assert c.answer(stream).status == 200"""
import collections
import contextlib
import socket
import ssl

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import hpack
from h2.settings import SettingCodes

WAIT_S = 30
MORE = 1 << 24


class Gone(Exception):
    """The connection has ended; code is the last GOAWAY's, None without one."""

    def __init__(self, code):
        super().__init__(f"connection ended, GOAWAY {code}")
        self.code = code


class Answer:
    def __init__(self):
        self.headers, self.body, self.ended, self.reset = None, b"", False, None

    @property
    def status(self):
        return int(self.headers[":status"])


def tls(address, ca, protocols=("h2",), server_name="localhost"):
    host, port = address.rsplit(":", 1)
    context = ca.client_context()
    context.set_alpn_protocols(list(protocols))
    plain = socket.create_connection((host, int(port)), WAIT_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=server_name)


class H2:
    def __init__(self, address, ca, window=MORE):
        self.address = address
        self.socket = tls(address, ca)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        # As they are from the start: what is assigned later counts here once the server has agreed, and is never sent by initiate_connection.
        values = {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.ENABLE_PUSH: 0}
        self.state.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self.state.initiate_connection()
        self.state.increment_flow_control_window(MORE)
        self.answers = collections.defaultdict(Answer)
        self.goaway = None  # (code, last stream)
        self.pongs, self.buffer = 0, b""
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.state.data_to_send())

    def request(self, method, path, token=None, headers=(), body=None, end=True):
        """Sends it, and returns its stream's number. body: as much as the window takes."""
        stream = self.state.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")]
        fields += [("authorization", f"Bearer {token}")] if token else []
        self.state.send_headers(stream, fields + list(headers), end_stream=end and body is None)
        self.answers[stream] = Answer()
        if body is not None:
            self.send(stream, body, end)
        self.flush()
        return stream

    def send(self, stream, body, end=False):
        at = 0
        while at < len(body):
            room = min(self.state.local_flow_control_window(stream), self.state.max_outbound_frame_size)
            if room == 0:
                self.flush()
                self.receive()
                continue
            self.state.send_data(stream, body[at : at + room])
            at += room
        if end:
            self.state.end_stream(stream)
        self.flush()

    def receive(self):
        """One read, and what came of it."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            raise Gone(self.goaway and self.goaway[0])
        self.buffer += data
        # The library takes nothing more after a GOAWAY, though streams may go on (RFC 9113 section 6.8): it never sees one.
        while len(self.buffer) >= 9 and len(self.buffer) >= (size := 9 + int.from_bytes(self.buffer[:3], "big")):
            one, self.buffer = self.buffer[:size], self.buffer[size:]
            if one[3] == GOAWAY:
                self.goaway = (int.from_bytes(one[13:17], "big"), int.from_bytes(one[9:13], "big"))
                continue
            for event in self.state.receive_data(one):
                self._on(event)
        with contextlib.suppress(OSError):
            self.flush()

    def _on(self, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.ResponseReceived):
            self.answers[stream].headers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.answers[stream].body += event.data
            if event.flow_controlled_length:
                self.state.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamEnded):
            self.answers[stream].ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.answers[stream].reset = event.error_code
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1

    def remote_setting(self, code):
        """As the server has told it; 0 if it has not."""
        return dict(self.state.remote_settings).get(code, 0)

    def until(self, condition):
        while not condition():
            self.receive()

    def answer(self, stream):
        """The whole answer, or what of it came before a reset."""
        a = self.answers[stream]
        self.until(lambda: a.ended or a.reset is not None)
        return a

    def ping(self):
        before = self.pongs
        self.state.ping(b"12345678")
        self.flush()
        self.until(lambda: self.pongs > before)

    def end(self):
        """Reads until the connection ends: GOAWAY's code."""
        try:
            while True:
                self.receive()
        except Gone as gone:
            return gone.code


# ---- raw frames

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
ENABLE_CONNECT_PROTOCOL = 8  # RFC 8441
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def block(fields):
    """HPACK, every field literal: bytes may be anything."""
    def text(b):
        return hpack.hpack.encode_integer(len(b), 7) + b

    raw = ((n if isinstance(n, bytes) else n.encode(), v if isinstance(v, bytes) else v.encode()) for n, v in fields)
    return b"".join(b"\0" + bytes(text(n)) + bytes(text(v)) for n, v in raw)


class Raw:
    """Sends what it is told to, and reads frames: (type, flags, stream, payload)."""

    def __init__(self, address, ca):
        self.socket = tls(address, ca)
        self.buffer = b""
        self.decoder = hpack.Decoder()
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _read(self, n):
        while len(self.buffer) < n:
            try:
                data = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                data = b""
            if not data:
                return None
            self.buffer += data
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def frames(self):
        while head := self._read(9):
            payload = self._read(int.from_bytes(head[:3], "big"))
            if payload is None:
                return
            yield head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload

    def answer(self, stream):
        """The status of the next answer, which is this stream's, once it is whole."""
        status = None
        for kind, flags, of, payload in self.frames():
            if kind == HEADERS:
                assert of == stream and flags & END_HEADERS
                status = int(dict(self.decoder.decode(payload))[":status"])
            assert kind not in (RST_STREAM, GOAWAY), payload
            if of == stream and flags & END_STREAM:
                return status
        raise Gone(None)

    def outcome(self, stream):
        """How a stream ends: ("reset", code), ("answer", None), ("goaway", code) or ("closed", None)."""
        for kind, flags, of, payload in self.frames():
            if kind == RST_STREAM and of == stream:
                return "reset", int.from_bytes(payload, "big")
            if kind in (HEADERS, DATA) and of == stream and flags & END_STREAM:
                return "answer", None
            if kind == GOAWAY:
                return "goaway", int.from_bytes(payload[4:8], "big")
        return "closed", None
