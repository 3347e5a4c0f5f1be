"""The oracle: a recording upstream that judges every message which reaches it, whatever the callers sent.

    For N messages of callers at most N messages upstream, each once and under its own name; each with one Host, one framing header, the identity of
    the caller whose token it came with, and no header that looks like an identity, an address or a credential and is the caller's.

A message tells who sent it and which one it is by its target (/m/<user>/<number>...); expected bodies are compared whole. What a body smuggles would
arrive as /smuggled/. The judge reads heads twice: strictly, and as the most lenient server would."""
import contextlib
import random
import re
import ssl
import threading

from gatehouse import Upstream

GOOD, ODD, REFUSED, AMBIGUOUS = range(4)  # to be taken; taken or refused; to be refused; to be refused, and nothing after it may arrive
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(TOKEN + rb" (/[\x21\x22\x24-\x7e]*) HTTP/1\.1")
FIELD = re.compile(rb"(" + TOKEN + rb"): ((?:[\x21-\x7e\x80-\xff](?:[\x20-\x7e\t\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)")
OWN = re.compile(rb"/m/([a-z]+)/(\d+)(?![0-9])")


class Message:
    def __init__(self, number, user):
        self.number, self.user = number, user
        self.verdict, self.why = GOOD, []
        self.method, self.target, self.body = b"GET", b"", b""  # target and body as they have to arrive
        self.loose = False  # where it ends, and what follows it on its connection, is as its bytes say, not as they were meant
        self.closes = False  # its connection may end with it
        self.arrived, self.forbidden = 0, False

    def mark(self, verdict, why):
        self.verdict = max(self.verdict, verdict)
        self.why.append(why)

    def __repr__(self):
        return f"<{self.number} {('good', 'odd', 'refused', 'ambiguous')[self.verdict]} {self.method} {self.target} {self.why}>"


def lenient_names(head):
    """Header names as a server reads them that ends lines at any CR or LF, ignores what is no token and takes _ and . for -."""
    for line in re.split(rb"[\r\n]", head)[1:]:
        yield re.sub(rb"[^\x21-\x7e]", b"", line.split(b":", 1)[0]).lower().replace(b"_", b"-").replace(b".", b"-"), line


class Broken(Exception):
    """What arrived is not what the oracle allows."""


class Judge(Upstream):
    """messages: those that may arrive, by number. wrong: what is not as it has to be."""

    def __init__(self, ca):
        self.lock, self.messages, self.wrong = threading.Lock(), {}, []
        self.identities = {}  # user: the Impersonate lines
        self.taken, self.cut = 0, 0
        super().__init__(ca)

    def blame(self, what):
        with self.lock:
            self.wrong.append(what)

    def _serve(self, plain):
        with contextlib.suppress(OSError, ssl.SSLError), contextlib.ExitStack() as stack:
            stack.enter_context(plain)
            tls = stack.enter_context(self._context.wrap_socket(plain, server_side=True))
            self.connections += 1
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    more = tls.recv(65536)
                    if not more:
                        if buffer:
                            raise Broken(f"half a head: {buffer}")
                        return
                    buffer += more
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                try:
                    message, framing, length = self.judge_head(head)
                    body, buffer = self.read_body(tls, buffer, framing, length)
                    if body is None:  # cut: it counts as never sent
                        self.cut += 1
                        return
                    self.judge_whole(message, body)
                except Broken as broken:
                    self.blame(f"{broken}\n{head.decode('latin-1')}")
                    return
                tls.sendall(self.answer_to(message))
                if message.closes and b"upgrade" in head.lower():
                    return

    def judge_head(self, head):
        lines = head.split(b"\r\n")
        line = REQUEST_LINE.fullmatch(lines[0])
        if not line:
            raise Broken("no request line")
        fields = [FIELD.fullmatch(text) for text in lines[1:]]
        if not all(fields):
            raise Broken("a line that is no header")
        target = line[1]
        own = OWN.match(target)
        message = own and self.messages.get(int(own[2]))
        if not message:
            raise Broken("a message that nobody sent")
        if (message.user.encode(), message.target) != (own[1], target):
            raise Broken(f"the target of {message}")
        names = list(lenient_names(head))
        count = lambda *wanted: sum(name in wanted for name, _ in names)
        if count(b"host") != 1:
            raise Broken("not one Host")
        upgrade = count(b"upgrade")
        if count(b"content-length", b"transfer-encoding") != (not upgrade) or (upgrade and not message.closes):
            raise Broken("not one framing header")
        if count(b"connection") != upgrade or count(b"keep-alive", b"te", b"trailer", b"proxy-connection", b"http2-settings", b"expect"):
            raise Broken("a header about the caller's hop")
        if [text for name, text in names if name.startswith(b"impersonate")] != self.identities.get(message.user):
            raise Broken(f"another identity than {message.user}'s")
        if count(b"authorization", b"proxy-authorization") or any(name.startswith(b"x-remote") for name, _ in names):
            raise Broken("a credential or an identity of the caller")
        forwarded = [text for name, text in names if name.startswith(b"x-forwarded") or name in (b"forwarded", b"x-real-ip")]
        if forwarded != [b"X-Forwarded-For: 127.0.0.1"]:
            raise Broken("an address header of the caller")
        fields = {field[1].lower(): field[2] for field in fields}
        length = fields.get(b"content-length", b"0")
        if not re.fullmatch(rb"\d{1,15}", length) or fields.get(b"transfer-encoding", b"chunked") != b"chunked":
            raise Broken("framing that is not plain")
        return message, b"chunked" if b"transfer-encoding" in fields else b"length", int(length)

    def read_body(self, tls, buffer, framing, length):
        """(body, what came behind it); body None: it was cut."""
        def upto(n):
            nonlocal buffer
            while len(buffer) < n:
                more = tls.recv(65536)
                if not more:
                    return None
                buffer += more
            out, buffer = buffer[:n], buffer[n:]
            return out

        def line():
            nonlocal buffer
            while b"\r\n" not in buffer:
                more = tls.recv(65536)
                if not more:
                    return None
                buffer += more
            out, _, buffer = buffer.partition(b"\r\n")
            return out

        if framing == b"length":
            body = upto(length)
            return body, buffer
        body = b""
        while True:
            size = line()
            if size is None:
                return None, b""
            if not re.fullmatch(rb"[0-9a-f]{1,8}", size):
                raise Broken(f"a chunk of the size {size}")
            chunk = upto(int(size, 16))
            end = line() if chunk is not None else None
            if end is None:
                return None, b""
            if end:
                raise Broken(f"behind a chunk: {end}")
            if size == b"0":
                return body, buffer
            body += chunk

    def judge_whole(self, message, body):
        with self.lock:
            message.arrived += 1
            self.taken += 1
            arrived = message.arrived
        if arrived > 1:
            raise Broken(f"{message} came twice")
        if message.forbidden or message.verdict in (REFUSED, AMBIGUOUS):
            raise Broken(f"{message} may not arrive")
        if body != message.body and not message.loose:
            raise Broken(f"the body of {message}: {body[:300]}")

    @staticmethod
    def content(message):
        """What the answer to it says."""
        kind = message.number % 6
        if kind == 2 or message.method == b"HEAD":
            return b""
        text = b"answer to %d." % message.number
        return text * 2000 if kind == 5 else text

    def answer_to(self, message):
        """One of several shapes, by the message's number."""
        kind, content = message.number % 6, self.content(message)
        own = b"X-Saw: %d\r\n" % message.number
        if kind == 2:
            return b"HTTP/1.1 204 No Content\r\n" + own + b"\r\n"
        if kind == 1 and message.method != b"HEAD":
            rng, chunks, at = random.Random(message.number), b"", 0
            while at < len(content):
                n = rng.randint(1, len(content) - at)
                chunks += b"%x\r\n%s\r\n" % (n, content[at : at + n])
                at += n
            return b"HTTP/1.1 200 OK\r\n" + own + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        status = b"404 Not Found" if kind == 3 else b"200 OK"
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" if kind == 4 else b""
        return interim + b"HTTP/1.1 " + status + b"\r\n" + own + b"Content-Length: %d\r\n\r\n" % len(content) + content


STATUS = {0: 200, 1: 200, 2: 204, 3: 404, 4: 200, 5: 200}


def own_answer(message, status, saw, body):
    """Whether an answer is the upstream's to this message, whole."""
    return status == STATUS[message.number % 6] and saw == message.number and body == Judge.content(message)
