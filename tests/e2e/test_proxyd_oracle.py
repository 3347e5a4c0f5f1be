"""The oracle: callers who say what a grammar comes up with, over HTTP/1.1 and HTTP/2, and an upstream that judges what of it arrives.

ORACLE_SECONDS (10): how long. ORACLE_SEED: which messages; a run says which it took, and with the same seed each connection says the same again.
ORACLE_CONNECTION: only this one of the seed, for looking at what went wrong."""
import os
import random
import secrets
import socket
import ssl
import threading
import time

import h2_client
import hpack
import pytest
from gatehouse import CA, Issuer, Proxyd, connect, proxyd_config, request
from h2_client import frame
from oracle import AMBIGUOUS, GOOD, ODD, REFUSED, Judge, Message, own_answer
from oracle_grammar import edge_of, h1_message, h2_message, h2_noise, pieces

SECONDS = float(os.environ.get("ORACLE_SECONDS", "10"))
CALLERS = 6
MESSAGES_MAX = 6  # of a connection
KEEP = "ORACLE_CONNECTION" in os.environ  # what the gateway says to refusals
PATIENCE_S = 20
GROUPS = {"jane": ["dev"], "joe": [], "ann": ["dev", "night-shift"]}


class Failed(Exception):
    pass


class World:
    """The gateway, the judge, and who calls."""

    def __init__(self, judge, proxyd, ca, tokens):
        self.judge, self.proxyd, self.ca, self.tokens = judge, proxyd, ca, tokens
        self.seed = os.environ.get("ORACLE_SEED") or secrets.token_hex(4)
        self.only = os.environ.get("ORACLE_CONNECTION")
        self.lock, self.sent, self.next_connection = threading.Lock(), 0, 1
        self.counts = {}
        self.contexts = {}
        for protocol in ("h2", "http/1.1"):
            self.contexts[protocol] = ca.client_context()
            self.contexts[protocol].set_alpn_protocols([protocol])

    def numbers(self, connection, n):
        """Of the messages of a connection: its own, so that a replay has the same bytes."""
        with self.lock:
            self.sent += n
        return range(connection * MESSAGES_MAX, connection * MESSAGES_MAX + n)

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def connect(self, protocol):
        host, port = self.proxyd.address.rsplit(":", 1)
        plain = socket.create_connection((host, int(port)), PATIENCE_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.contexts[protocol].wrap_socket(plain, server_hostname="localhost")


class Reader:
    """Bytes from a connection, and its end, however it comes."""

    def __init__(self, tls):
        self.tls, self.buffer, self.patient = tls, b"", True

    def be_impatient(self):
        """What was meant as one thing and may be read as another can leave the gateway waiting for more: then silence is an end, too."""
        self.patient = False
        self.tls.settimeout(0.3)

    def more(self):
        try:
            data = self.tls.recv(65536)
        except TimeoutError:
            if self.patient:
                raise Failed("no answer, and the connection stays open") from None
            data = b""
        except (OSError, ssl.SSLError):
            data = b""
        self.buffer += data
        return bool(data)

    def until(self, end):
        while end not in self.buffer:
            if not self.more():
                return None
        out, _, self.buffer = self.buffer.partition(end)
        return out

    def take(self, n):
        while len(self.buffer) < n:
            if not self.more():
                return None
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out


# ---- HTTP/1.1


def read_answer(reader, method):
    """(status, X-Saw, body, whether the connection goes on); None: it ended before a whole answer."""
    head = reader.until(b"\r\n\r\n")
    if head is None:
        return None
    lines = head.split(b"\r\n")
    status = int(lines[0].split()[1])
    if status < 200:
        return read_answer(reader, method)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    saw, goes_on = headers.get(b"x-saw"), headers.get(b"connection", b"").lower() != b"close"
    if method == b"HEAD" or status in (204, 304):
        body = b""
    elif headers.get(b"transfer-encoding") == b"chunked":
        body = b""
        while size := int(reader.until(b"\r\n") or b"0", 16):
            body += reader.take(size) or b""
            reader.take(2)
        reader.take(2)
    elif b"content-length" in headers:
        body = reader.take(int(headers[b"content-length"]))
    else:
        body, goes_on = b"", False
        while reader.more():
            pass
        body, reader.buffer = reader.buffer, b""
    return None if body is None else (status, None if saw is None else int(saw), body, goes_on)


def h1_connection(world, rng, numbers):
    """Some messages in a row, pipelined in pieces that have nothing to do with where they end."""
    user = rng.choice(list(GROUPS))
    made = [h1_message(rng, n, user, world.tokens[user].encode()) for n in numbers]
    messages = [m for m, _ in made]
    world.judge.messages.update((m.number, m) for m in messages)
    text = b"".join(raw for _, raw in made)
    tls = world.connect("http/1.1")
    with tls:
        try:
            for piece in pieces(rng, text, 5):
                tls.sendall(piece)
            tls.sendall(b"GET /end HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")  # 401: nothing is left unanswered
        except (OSError, ssl.SSLError):
            pass
        judge_h1(world, messages, Reader(tls))


def judge_h1(world, messages, reader):
    open_, loose, ended_by = True, False, None
    for m in messages:
        if ended_by:
            m.forbidden = True
            continue
        if m.loose:
            reader.be_impatient()
        answer = read_answer(reader, m.method) if open_ else None
        if answer is None:
            open_ = False
            world.count("unanswered")
            if m.verdict in (GOOD, REFUSED) and not loose:
                raise Failed(f"no answer to {m}")
            if m.verdict == AMBIGUOUS:
                ended_by = m
            loose = loose or m.verdict != GOOD
            continue
        status, saw, body, goes_on = answer
        if loose:  # whose answer it is nobody can say
            open_ = goes_on
            continue
        judge_answer(world, m, status, saw, body)
        if m.verdict == AMBIGUOUS and goes_on and read_answer(reader, b"GET") is not None:
            raise Failed(f"the connection goes on behind {m}")
        if m.verdict == AMBIGUOUS:
            ended_by = m
        elif not goes_on:
            if m.verdict == GOOD and not m.closes:
                raise Failed(f"the connection ends behind {m}")
            open_, loose = False, True
        loose = loose or m.loose


def judge_answer(world, m, status, saw, body):
    ours = own_answer(m, status, saw, body)
    refused = 400 <= status < 500 or status in (501, 505)
    if m.verdict == GOOD and not ours:
        raise Failed(f"{m} was answered {status} (saw {saw}): {body[:300]}")
    if m.verdict in (REFUSED, AMBIGUOUS) and (saw is not None or not refused):
        raise Failed(f"{m} was answered {status} (saw {saw}): {body[:300]}")
    if m.verdict == ODD and not ours and (saw is not None or not refused):
        raise Failed(f"{m} was answered {status} (saw {saw}): {body[:300]}")
    world.count(status if saw is None else "taken")


# ---- HTTP/2

# With windows that all answers fit into.
BEGINNING = h2_client.PREFACE + frame(h2_client.SETTINGS, 0, 0, b"\0\4\0\x0f\xff\xff") + frame(h2_client.WINDOW_UPDATE, 0, 0,
                                                                                               (1 << 24).to_bytes(4, "big"))


def literal(fields):
    return h2_client.block(fields)


def indexed(encoder, rng):
    def encode(fields):
        return encoder.encode(fields, huffman=rng.random() < 0.5)

    return encode


def mix(rng, streams):
    """The frames of all streams: each stream's in their order, a head never parted, streams opened in the order of their numbers."""
    out, waiting, opened = [], [list(s) for s in streams], []
    while waiting or opened:
        if waiting and (not opened or rng.random() < 0.4):
            opened.append(waiting.pop(0))
            one = opened[-1]
        else:
            one = rng.choice(opened)
        out.append(b"".join(one.pop(0)))
        opened = [s for s in opened if s]
    return out


def h2_connection(world, rng, numbers):
    user = rng.choice(list(GROUPS))
    made = [h2_message(rng, n, user, world.tokens[user].encode()) for n in numbers]
    messages = {1 + 2 * i: m for i, (m, _) in enumerate(made)}
    world.judge.messages.update((m.number, m) for m in messages.values())
    encode = literal if rng.random() < 0.5 else indexed(hpack.Encoder(), rng)
    frames = []
    # A table's state goes from head to head: they are encoded in the order in which they are sent, trailers included.
    for one in range(0, len(made), len(made) if encode is literal else 1):
        part = made[one : one + (len(made) if encode is literal else 1)]
        frames += mix(rng, [draft.frames(1 + 2 * (one + i), encode) for i, (_, draft) in enumerate(part)])
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(frames) + 1)
        frames.insert(at, h2_noise(rng, list(messages)[: 1]))
    text = BEGINNING + b"".join(frames)
    tls = world.connect("h2")
    with tls:
        try:
            for piece in pieces(rng, text, 8):
                tls.sendall(piece)
        except (OSError, ssl.SSLError):
            pass
        judge_h2(world, messages, Reader(tls))


def judge_h2(world, messages, reader):
    decoder, answers, left = hpack.Decoder(), {s: [None, None, b""] for s in messages}, set(messages)
    while left:
        try:
            head = reader.take(9)
        except Failed as failed:
            raise Failed(f"{failed}: {[messages[s] for s in sorted(left)]}") from None
        payload = None if head is None else reader.take(int.from_bytes(head[:3], "big"))
        if payload is None:
            raise Failed(f"the connection ended without a word about {[messages[s] for s in sorted(left)]}")
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
        if kind == h2_client.GOAWAY:
            raise Failed(f"GOAWAY {int.from_bytes(payload[4:8], 'big')} among {list(messages.values())}")
        if kind == h2_client.HEADERS:
            fields = dict(decoder.decode(payload, raw=True))
            if fields[b":status"][:1] != b"1":
                answers[stream][:2] = int(fields[b":status"]), int(fields[b"x-saw"]) if b"x-saw" in fields else None
        elif kind == h2_client.DATA:
            answers[stream][2] += payload
        elif kind == h2_client.RST_STREAM and stream in left:
            m = messages[stream]
            if m.verdict in (GOOD, REFUSED):
                raise Failed(f"reset {int.from_bytes(payload, 'big')} of {m}")
            world.count("reset")
            left.discard(stream)
        if kind in (h2_client.HEADERS, h2_client.DATA) and flags & h2_client.END_STREAM and stream in left:
            left.discard(stream)
            judge_answer(world, messages[stream], *answers[stream])


# ---- the run


def call(world, deadline):
    while time.monotonic() < deadline and not world.judge.wrong:
        with world.lock:
            connection = world.next_connection
            world.next_connection += 1
        if world.only is not None:
            connection = int(world.only)
        rng = random.Random(f"{world.seed}:{connection}")
        numbers = world.numbers(connection, rng.randint(1, MESSAGES_MAX))
        try:
            (h1_connection if connection % 2 else h2_connection)(world, rng, numbers)
        except Failed as failed:
            world.judge.blame(f"connection {connection}: {failed}")
        except Exception as e:
            world.judge.blame(f"connection {connection}: {e!r}")
            raise
        for n in numbers:
            if world.judge.messages[n].arrived:
                world.judge.messages[n].body = None  # not needed any more
        if world.only is not None:
            return


class Quiet(Proxyd):
    """Its lines about requests are not kept: there are very many."""

    def _read(self, stream):
        super()._read(line for line in stream if b'"msg":"request"' not in line and (KEEP or b'"msg":"request refused"' not in line))


@pytest.fixture
def world(tmp_path):
    ca = CA(tmp_path / "pki")
    with Issuer(ca) as issuer, Judge(ca) as judge:
        config = proxyd_config(ca, [issuer], judge, limits={"refusalRatePerAddress": 0})
        tokens = {user: issuer.mint(user, groups=groups) for user, groups in GROUPS.items()}
        with Quiet(tmp_path, config) as proxyd:
            yield World(judge, proxyd, ca, tokens)


def learn_identities(world):
    """What each caller's identity looks like upstream: right once, and the same ever after."""
    for number, (user, groups) in enumerate(GROUPS.items()):
        m = Message(number, user)
        m.target = b"/m/%s/%d" % (user.encode(), m.number)
        lines = [b"Impersonate-User: " + user.encode()]
        lines += [b"Impersonate-Group: " + g.encode() for g in (*groups, "system:authenticated")]
        lines += [b"Impersonate-Extra-gatehouse%2Fhow: jwt"]
        world.judge.messages[m.number], world.judge.identities[user] = m, lines
        assert request(world.proxyd.address, "GET", m.target.decode(), world.ca, token=world.tokens[user])[0] in (200, 204, 404), world.judge.wrong


def test_nothing_reaches_the_upstream_that_can_be_read_in_two_ways(world, capsys):
    learn_identities(world)
    deadline = time.monotonic() + SECONDS
    callers = [threading.Thread(target=call, args=(world, deadline)) for _ in range(1 if world.only is not None else CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    counts = ", ".join(f"{n} {what}" for what, n in sorted(world.counts.items(), key=str))
    with capsys.disabled():
        print(f"\noracle: seed {world.seed}, {world.next_connection - 1} connections, {world.sent} messages: {counts}; "
              f"upstream {world.judge.taken} whole, {world.judge.cut} cut off")
    assert not world.judge.wrong, f"ORACLE_SEED={world.seed}: {world.judge.wrong[0]}\n{world.proxyd.log_text(10)}"
    assert world.only is not None or (world.judge.taken > 10 * SECONDS and world.counts.get(400, 0) > SECONDS)


# ---- every byte at every edge


EXHAUSTIVE = [(name, value, place, byte) for name,
              value in ((b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked"), (b"Host", b"localhost"), (b"Connection", b"close"),
                        (b"Authorization", b"Bearer x"), (b"Impersonate-User", b"root")) for place in range(4) for byte in range(256)]


def edge_message(world, number, user):
    m = Message(number, user)
    m.mark(ODD, "a byte at an edge")
    m.target, m.loose, m.closes = b"/m/%s/%d" % (user.encode(), number), True, True
    world.judge.messages[number] = m
    return m


def h1_edges(world, number, cases, alone):
    """A connection for each case, since each may end it. alone: instead of the header that belongs there."""
    for number, (name, value, place, byte) in enumerate(cases, number):
        m = edge_message(world, number, "jane")
        headers = {b"Host": b"Host: localhost\r\n", b"Authorization": b"Authorization: Bearer %s\r\n" % world.tokens["jane"].encode()}
        headers[name if alone else b""] = b"%s: %s\r\n" % edge_of(name, value, place, byte)
        with world.connect("http/1.1") as tls:
            tls.sendall(b"GET %s HTTP/1.1\r\n" % m.target + b"".join(headers.values()) + b"\r\n")
            tls.sendall(b"GET /end HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            judge_h1(world, [m], Reader(tls))


def h2_edges(world, number, cases, alone):
    messages, text = {}, BEGINNING
    for i, (name, value, place, byte) in enumerate(cases):
        m = messages[1 + 2 * i] = edge_message(world, number + i, "jane")
        fields = {b":method": b"GET", b":scheme": b"https", b":path": m.target, b":authority": b"localhost",
                  b"authorization": b"Bearer " + world.tokens["jane"].encode()}
        if alone:
            fields.pop({b"Host": b":authority"}.get(name, name.lower()), None)
        text += frame(h2_client.HEADERS, 5, 1 + 2 * i, literal([*fields.items(), edge_of(name.lower(), value, place, byte)]))
    with world.connect("h2") as tls:
        tls.sendall(text)
        judge_h2(world, messages, Reader(tls))


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_every_byte_at_every_edge_is_refused_or_read_in_one_way(world, capsys, protocol):
    """All 2 × 6,144 cases in a run of a minute or more, every eighth in a short one."""
    learn_identities(world)
    cases = EXHAUSTIVE if SECONDS >= 60 else EXHAUSTIVE[random.Random(world.seed).randrange(8) :: 8]
    batches = [(1000 + 100_000 * alone + at, cases[at : at + 24], alone) for alone in (False, True) for at in range(0, len(cases), 24)]

    def work():
        while not world.judge.wrong:
            with world.lock:
                if not batches:
                    return
                batch = batches.pop()
            try:
                (h1_edges if protocol == "h1" else h2_edges)(world, *batch)
            except Exception as e:
                world.judge.blame(f"batch {batch[0]}: {e!r}")

    workers = [threading.Thread(target=work) for _ in range(CALLERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with capsys.disabled():
        print(f"\noracle: {protocol}, {2 * len(cases)} cases: {world.counts}")
    assert not world.judge.wrong, f"ORACLE_SEED={world.seed}: {world.judge.wrong[0]}\n{world.proxyd.log_text(10)}"
    assert sum(world.counts.values()) >= 2 * len(cases) and world.counts["taken"] > len(cases) / 20


OWN_HEAD = b"GET /m/jane/7 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-Forwarded-For: 127.0.0.1\r\nImpersonate-User: jane\r\n\r\n"
WRONG = {
    "sent by nobody": OWN_HEAD.replace(b"/7", b"/8"),
    "another's": OWN_HEAD.replace(b"/jane", b"/joe"),
    "another target": OWN_HEAD.replace(b"/7", b"/7/x"),
    "smuggled": OWN_HEAD.replace(b"/m/jane/7", b"/smuggled/7"),
    "no identity": OWN_HEAD.replace(b"Impersonate-User: jane\r\n", b""),
    "another identity": OWN_HEAD.replace(b": jane", b": root"),
    "two identities": OWN_HEAD.replace(b"Host", b"Impersonate-User: root\r\nHost"),
    "an identity for lenient readers": OWN_HEAD.replace(b"Host", b"X: y\rimpersonate_user: root\r\nHost"),
    "no Host": OWN_HEAD.replace(b"Host", b"Ghost"),
    "two Hosts": OWN_HEAD.replace(b"Host", b"Host: y\r\nHost"),
    "no framing": OWN_HEAD.replace(b"Content-Length: 0\r\n", b""),
    "two framings": OWN_HEAD.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost"),
    "a folded framing": OWN_HEAD.replace(b"Host", b"Transfer_Encoding: chunked\r\nHost"),
    "a token": OWN_HEAD.replace(b"Host", b"Authorization: Bearer x\r\nHost"),
    "an address": OWN_HEAD.replace(b"Host", b"X-Real-IP: 1.2.3.4\r\nHost"),
    "a bare LF": OWN_HEAD.replace(b"Host", b"X: y\nHost"),
    "a hop's header": OWN_HEAD.replace(b"Host", b"Connection: close\r\nHost"),
    "another body": OWN_HEAD.replace(b"Length: 0", b"Length: 3") + b"abc",
    "twice": OWN_HEAD + OWN_HEAD,
}


@pytest.mark.parametrize("what", WRONG)
def test_the_judge_is_not_blind(tmp_path, what):
    ca = CA(tmp_path / "pki")
    with Judge(ca) as judge:
        m = Message(7, "jane")
        m.target, judge.messages[7], judge.identities["jane"] = b"/m/jane/7", m, [b"Impersonate-User: jane"]
        with connect(judge.address, ca, **dict(zip(("cert", "key"), ca.issue("client")))) as tls:
            tls.sendall(WRONG[what])
            while tls.recv(4096):
                pass
        assert len(judge.wrong) == 1
