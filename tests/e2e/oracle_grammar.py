"""What the oracle's callers say: messages drawn from a grammar, each production with its well-formed and its hostile alternatives. Every draw comes from
the generator that is passed in, so that its seed gives the same bytes again.

An alternative comes with a verdict (oracle.py). The cases are those of request smuggling's literature and of RFC 9110, 9112 and 9113: what two readers
could understand in two ways."""
from h2_client import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PRIORITY, WINDOW_UPDATE, frame
from oracle import AMBIGUOUS, ODD, REFUSED, Message

METHODS = [b"GET", b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"HEAD", b"M-SEARCH", b"get"]
CONTROLS = [bytes([b]) for b in [*range(0, 9), 11, 12, *range(14, 32), 127]]
NO_TOKEN = [bytes([b]) for b in [*range(0, 9), 11, 12, *range(14, 33), *b'"(),/;<=>?@[\\]{}', *range(127, 256)]]
# Behind the number of a message: segments that no route looks at, and queries.
ENDS = [b"", b"", b"", b"/x", b"/x//y", b"//", b"/x;y=1", b"/a%20b", b"/%C3%A9", b"/a%2Fb", b"/...", b"/.x", b"/x./y", b"?", b"?a=1&b=%00", b"?../..",
        b"?a=//", b"?limit=5&continue=%2e%2e%2f", b"?x={|}^\"`", b"/x?y?z", b"/~user/!$&'()*+,=:@"]
BAD_ENDS = [b"/..", b"/../x", b"/.", b"/./x", b"/%2e%2e/x", b"/%2E%2E", b"/.%2e", b"/%2e", b"/..;a=b/x", b"/x/..%2fy", b"/\\", b"/%5c", b"/%5C..",
            b"/%00", b"/%0d%0aX:y", b"/%7f", b"/%c0%af", b"/%e0%80%af", b"/%ff", b"/%ed%a0%80", b"/%zz", b"/%", b"/%2", b"#x", b"?a#b", b"/\x80",
            b"/\xc3\xa9", b'/"', b"/<", b"/{", b"/|", b"/^", b"/`"]
# Instead of the slash behind "/m".
BAD_SLASHES = [b"//", b"/;/", b"%2f", b"%2F", b"/%2e/", b"/../m/", b";a=b/", b"\\"]
BAD_LENGTHS = [b"", b"+%d", b"-%d", b"0x%x", b"%d_0", b"%d,%d", b"%d, %d", b"%d %d", b"%de0", b"%d.0", b"18446744073709551617",
               b"9223372036854775808", b"\xef\xbc\x95", b"%d\x0b", b"\"%d\"", b"%d;", b"1" * 400]
BAD_CODINGS = [b"Transfer-Encoding: " + c for c in [b"", b",chunked", b"chunked,", b"identity", b"gzip, chunked", b"chunked, chunked",
                                                    b"chunked, identity", b'"chunked"', b"'chunked'", b"chunked;a=b", b"xchunked", b"chunkedx",
                                                    b"Chunked", b"cHuNkEd", b"chunked\x0b", b"\x0bchunked", b"chunked\x0c", b"\x00chunked",
                                                    b"chunked\x00", b"\x85chunked", b"chunked\xa0", b"\xffchunked", b"chunk", b"gzip"]]
BAD_CODINGS += [b"Transfer_Encoding: chunked", b"Transfer.Encoding: chunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked",
                b" Transfer-Encoding: chunked", b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding:\nchunked",
                b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                b"Transfer-Encoding\x00: chunked", b"\x0bTransfer-Encoding: chunked"]
BAD_SIZES = [b"0x%x", b"+%x", b"-%x", b"0_%x", b"", b" %x", b"%x ", b"\t%x", b"%x\t", b"0000000000000%04x", b"1000000000000000%x", b"%x,", b"%x\x00",
             b"%xg", b"%x;", b"%x;a\x00b", b"%x;a\rb", b"%x;a\nb", b"%x;" + b"e" * 300, b"%x;a=b\n"]
BAD_TRAILERS = [b"Authorization: Bearer x", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: other", b"Impersonate-User: root",
                b"impersonate_group: x", b"X-Remote-User: root", b"Connection: close", b"X y: z", b"nocolon", b": x", b" folded", b"X: a\x00",
                b"X: a\rb", b"X-Forwarded-For: 1.2.3.4", b"Cookie: a=b", b"X: " + b"t" * 8200]
IDENTITIES = [b"Impersonate-User: root", b"impersonate-user: root", b"Impersonate-Group: system:masters", b"Impersonate-Uid: 0",
              b"Impersonate-Extra-scopes: all", b"Impersonate-Extra-Gatehouse%2fhow: x", b"IMPERSONATE-USER: root", b"Impersonate_User: root",
              b"Impersonate.Group: system:masters", b"ImpersonateUser: root"]
NAMED = [b"Connection: " + n for n in [b"authorization", b"Impersonate-User", b"close, Impersonate-Group", b"host", b"X-Forwarded-For",
                                       b"x-remote-user", b"Content-Length", b"transfer-encoding", b"keep-alive,impersonate_user"]]
# Lines that spoil the head they are in, wherever they stand.
BAD_LINES = [b": no name", b"no colon", b"X : y", b"X\t: y", b"X y: z", b" folded", b"\tfolded", b"X: y\r\n folded", b"X: y\r\n\tfolded",
             b"X: a\x00b", b"X: a\rb", b"X: a\nb", b"X: a\r\r", b"X: y\n", b"X\x00: y", b"X\x80: y", b"X\xc3\xa9: y", b"\x0bX: y", b"X\r: y",
             b"(X): y", b"X: \x7f", b"X: \x01", b"Host: localhost", b"Host: other", b"host: localhost:1", b"Authorization: Bearer other",
             b"authorization: Basic eDp5", b"Content-Type: a/b\r\nContent-Type: a/b", b"Content_Length: 5", b"Content.Length: 5",
             b"Content-Length : 5", b"Content-Length\x0b: 5", b"X_Forwarded_For: 1.2.3.4", b"X_Remote_User: root", b"X.Real.IP: 1.2.3.4",
             b"Upgrade: h2c", b"Upgrade: websocket", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
             b"Connection: Upgrade\r\nUpgrade: TLS/1.0", b"Connection: Upgrade\r\nUpgrade: websocket, h2c", b"Expect: 200-ok",
             b"Expect: 100-continue, x", b"Connection: a b", b"Connection: @"]
GOOD_LINES = [b"X-Remote-User: root", b"X-Remote-Group: system:masters", b"X-Remote-Extra-Scopes: all", b"X-Forwarded-For: 192.0.2.1",
              b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: http", b"Forwarded: for=192.0.2.1", b"X-Real-IP: 192.0.2.1", b"X-Request-Id: mine",
              b"Accept: */*", b"Accept-Encoding: gzip", b"User-Agent: oracle", b"Cookie: a=b; c=d", b"Cookie: __Host-gatehouse=x", b"X-Empty:",
              b"X-Tight:y", b"X-Tab:\ty\t", b"X-Text: \x80\xff\xc3\xa9", b"X-Quote: \"a, b\"", b"If-Match: *", b"Connection: keep-alive",
              b"Connection: X-Hop, keep-alive\r\nX-Hop: 1", b"Connection: ,,", b"TE: trailers", b"Trailer: X-Sum", b"Keep-Alive: timeout=5",
              b"Proxy-Authorization: Basic eDp5", b"Proxy: http://x", b"Proxy-Connection: close", b"HTTP2-Settings: AAMAAABkAAQAAP__",
              b"Content-Type: application/json", b"X-Http-Method-Override: DELETE", b"X-Original-URL: /admin", b"Warning: 299 - x", b"Via: 1.0 other"]
HOSTS = [b"localhost", b"localhost", b"localhost:443", b"LOCALHOST", b"127.0.0.1"]
BAD_HOSTS = [b"Host:", b"Host: ", b"Host: local host", b"Host: user@localhost", b"Host: localhost,other", b"Host: localhost:", b"Host: localhost:x",
             b"Host: localhost:80:80", b"Host: localhost:99999", b"Host: localhost/x", b"Host: local\x00host", b"Host : localhost", b"Host: [::1",
             b"X: no host at all", b"Host: localhost#", b"Host: \xe2\x84\xaaocalhost"]
# The critical headers, each with a byte put in somewhere: whatever it is then.
EDGES = [(b"Content-Length", b"0"), (b"Transfer-Encoding", b"chunked"), (b"Host", b"localhost"), (b"Connection", b"close"),
         (b"Authorization", b"Bearer x"), (b"Impersonate-User", b"root"), (b"X-Remote-User", b"root"),
         (b"Sec-WebSocket-Protocol", b"base64url.bearer.authorization.k8s.io.eA"), (b"Expect", b"100-continue")]


def smuggled(rng, number):
    return rng.choice([
        b"GET /smuggled/%d HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"0\r\n\r\nGET /smuggled/%d HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\n\r\nPOST /smuggled/%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n",
        b"x\n\nGET /smuggled/%d HTTP/1.1\nHost: localhost\nImpersonate-User: root\n\n",
    ]) % number


def body(rng, number):
    kind = rng.randrange(4)
    if kind == 0:
        return b""
    if kind == 1:
        return smuggled(rng, number)
    if kind == 2:
        return rng.randbytes(rng.randint(1, 200))
    return smuggled(rng, number) + rng.randbytes(rng.randint(1, 5000)) + smuggled(rng, number)


def pieces(rng, data, most=6):
    """data, cut at random places."""
    cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.randrange(most)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]


def target(rng, m):
    """What the client writes; m.target is what has to arrive."""
    m.target = b"/m/%s/%d" % (m.user.encode(), m.number) + rng.choice(ENDS)
    prefix = b"/clusters/default" if rng.random() < 0.1 else b""
    return prefix + m.target


def bad_target(rng, m):
    if rng.random() < 0.3:
        return m.target.replace(b"/m/", b"/m" + rng.choice(BAD_SLASHES) if rng.random() < 0.5 else rng.choice(BAD_SLASHES) + b"m/", 1)
    return b"/m/%s/%d" % (m.user.encode(), m.number) + rng.choice(BAD_ENDS)


def edge(rng):
    """A critical header with any byte in any of four places."""
    name, value = edge_of(*rng.choice(EDGES), rng.randrange(4), rng.randrange(256))
    return name + b": " + value


def edge_of(name, value, place, byte):
    """(name, value) with the byte before or behind the one or the other."""
    byte = bytes([byte])
    return [(byte + name, value), (name + byte, value), (name, byte + value), (name, value + byte)][place]


# ---- HTTP/1.1


class H1Draft:
    """A request in parts, that alternatives change before it is written."""

    def __init__(self, rng, m, token):
        self.rng, self.m = rng, m
        m.method = rng.choice(METHODS)
        self.line = [m.method, b" ", target(rng, m), b" ", b"HTTP/1.1", b"\r\n"]
        self.host = b"Host: " + rng.choice(HOSTS)
        self.headers = [b"Authorization: " + rng.choice([b"Bearer ", b"Bearer ", b"bearer ", b"BEARER "]) + token]
        self.headers += rng.sample(GOOD_LINES, rng.choice([0, 1, 2, 5]))
        self.framing, self.after = [], b""
        if rng.random() < 0.6:
            m.body = body(rng, m.number)
            if rng.random() < 0.5:
                self.with_length()
            else:
                self.with_chunks()

    def with_length(self):
        self.framing, self.after = [b"Content-Length: %d" % len(self.m.body)], self.m.body

    def with_chunks(self, spoil=None):
        """spoil: what is wrong with one chunk of it."""
        rng, out = self.rng, b""
        parts = [p for p in pieces(rng, self.m.body) if p]
        wrong = rng.randrange(len(parts) + (spoil != "data")) if spoil else -1
        for i, part in enumerate([*parts, b""]):
            size = rng.choice([b"%x", b"%x", b"%X", b"00%x", b"%x;a=b", b'%x;a="b c"']) % len(part)
            end = b"\r\n"
            if i == wrong and spoil == "size":
                text = rng.choice(BAD_SIZES)
                size = text % len(part) if b"%" in text else text
                if size == b"0000000000000%04x" % len(part):
                    size = b"0" * 13 + size  # 17 digits and more
            if i == wrong and spoil == "line":
                end = rng.choice([b"\n", b"\r", b"\r\r\n", b"\n\n"])
            out += size + end
            if part:
                out += part + (rng.choice([b"", b"\n", b"\r", b"x\r\n", b"\n\r"]) if i == wrong and spoil == "data" else b"\r\n")
        if spoil == "trailer":
            out += rng.choice(BAD_TRAILERS) + b"\r\n"
        elif rng.random() < 0.2:
            out += b"X-Sum: 1\r\n"
        out += b"\n" if spoil == "end" else b"\r\n"
        self.framing, self.after = [b"Transfer-Encoding: chunked"], out

    def write(self):
        headers = self.headers + self.framing
        self.rng.shuffle(headers)
        headers.insert(self.rng.randint(0, len(headers)), self.host)
        return b"".join(self.line) + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + self.after


def h1_line(d):
    d.m.mark(AMBIGUOUS, "request line")
    which, text = d.rng.choice([(0, b""), (0, b"GE(T"), (0, b"G\x00T"), (0, b"\xc7ET"), (0, b" GET"), (0, b"CONNECT"), (0, b"TRACE"), (0, b"M" * 33),
                                (1, b"  "), (1, b"\t"), (1, b"\x0b"), (3, b"  "), (3, b"\t"), (3, b" x "), (4, b"HTTP/1.2"), (4, b"HTTP/0.9"),
                                (4, b"HTTP/2.0"), (4, b"HTTP/1.1x"), (4, b"http/1.1"), (4, b"HTTP/1."), (4, b"HTTP/01.1"), (4, b""), (5, b"\n"),
                                (5, b"\r"), (5, b"\r\r\n"), (5, b" \r\n")])
    d.line[which] = text


def h1_target(d):
    d.m.mark(AMBIGUOUS, "target")
    own = d.line[2]
    d.line[2] = d.rng.choice([lambda: bad_target(d.rng, d.m), lambda: b"http://other" + own, lambda: b"https://user@localhost" + own,
                              lambda: b"https://localhost,other" + own, lambda: b"ftp://localhost" + own, lambda: b"//localhost" + own,
                              lambda: own[1:], lambda: b"https://" + own, lambda: b"localhost:443" if own else own])()


def h1_absolute(d):
    d.m.mark(ODD, "absolute form")
    d.line[2] = d.rng.choice([b"https://", b"HTTPS://", b"http://"]) + d.host[6:] + d.line[2]


def h1_host(d):
    d.m.mark(AMBIGUOUS, "Host")
    d.host = d.rng.choice(BAD_HOSTS)


def h1_misdirected(d):
    d.m.mark(REFUSED, "another Host than the handshake's")
    d.host = d.rng.choice([b"Host: other.example", b"Host: localhost.", b"Host: xlocalhost"])


def h1_length(d):
    d.m.mark(AMBIGUOUS, "Content-Length")
    d.with_length()
    text, n = d.rng.choice(BAD_LENGTHS), len(d.m.body)
    text = text % ((n,) * text.count(b"%")) if b"%" in text else text
    d.framing = d.rng.choice([[b"Content-Length: " + text], [*d.framing, d.framing[0]], [*d.framing, b"Content-Length: %d" % (n + 1)],
                              [*d.framing, b"Content-Length: 0"]])


def h1_both(d):
    d.m.mark(AMBIGUOUS, "both lengths")
    d.with_chunks()
    length = b"Content-Length: %d" % d.rng.choice([0, 5, len(d.m.body), len(d.after)])
    d.framing = d.rng.choice([[length, *d.framing], [*d.framing, length]])


def h1_coding(d):
    d.m.mark(AMBIGUOUS, "Transfer-Encoding")
    if d.rng.random() < 0.5:
        d.with_chunks()
        d.framing = [d.rng.choice(BAD_CODINGS)]
    else:
        d.with_length()
        d.framing.insert(d.rng.randrange(2), d.rng.choice(BAD_CODINGS))


def h1_chunks(d):
    d.m.body = d.m.body or b"not empty"
    spoil = d.rng.choice(["size", "size", "line", "data", "trailer", "end"])
    d.m.mark(AMBIGUOUS, f"chunks: {spoil}")
    d.with_chunks(spoil)


def h1_bad_line(d):
    d.m.mark(AMBIGUOUS, "header line")
    d.headers.append(d.rng.choice(BAD_LINES))


def h1_identity(d):
    d.m.mark(REFUSED, "identity")
    d.headers.append(d.rng.choice(IDENTITIES + NAMED))


def h1_credential(d):
    d.m.mark(REFUSED, "credential")
    d.headers[0] = d.rng.choice([b"X: none", b"Authorization: Basic eDp5", b"Authorization: Bearer", b"Authorization: Bearer x.y.z",
                                 d.headers[0] + b"x", d.headers[0].replace(b" ", b"", 1)[:14], d.headers[0][:-1], d.headers[0] + b" x"])


def h1_edge(d):
    """A message without a body, since it may be read in another way than this grammar knows."""
    d.m.mark(ODD, "a byte at an edge")
    d.m.loose, d.m.closes, d.m.body, d.after, d.framing = True, True, b"", b"", []
    d.headers.append(edge(d.rng))


def h1_old(d):
    d.m.mark(ODD, "HTTP/1.0")
    d.line[4], d.m.closes = b"HTTP/1.0", True


def h1_last(d):
    d.headers.append(d.rng.choice([b"Connection: close", b"Connection: Close, x", b"connection: keep-alive, close"]))
    d.m.closes = True


def h1_expect(d):
    d.m.mark(ODD, "Expect")
    d.headers.append(b"Expect: 100-continue")


def h1_upgrade(d):
    d.m.mark(ODD, "upgrade")
    d.m.closes, d.m.body, d.after, d.framing = True, b"", b"", []
    d.m.method = d.line[0] = d.rng.choice([b"GET", b"POST"])
    d.headers.append(b"Connection: Upgrade\r\nUpgrade: " + d.rng.choice([b"websocket", b"SPDY/3.1", b"WebSocket"]))


def h1_many(d):
    d.m.mark(ODD, "many headers")
    d.headers += [b"X-%d: %s" % (i, b"v" * d.rng.choice([1, 100, 600])) for i in range(d.rng.choice([50, 118, 130]))]


H1_HOSTILE = [h1_line, h1_target, h1_host, h1_misdirected, h1_length, h1_both, h1_coding, h1_coding, h1_chunks, h1_chunks, h1_bad_line, h1_bad_line,
              h1_identity, h1_credential, h1_edge, h1_edge, h1_absolute, h1_old, h1_last, h1_expect, h1_upgrade, h1_many]


def h1_message(rng, number, user, token):
    """(Message, its bytes)"""
    m = Message(number, user)
    draft = H1Draft(rng, m, token)
    if rng.random() < 0.55:
        rng.choice(H1_HOSTILE)(draft)
        if rng.random() < 0.1 and m.verdict == AMBIGUOUS:
            h1_identity(draft)
    return m, draft.write()


# ---- HTTP/2


class H2Draft:
    """A request as fields and pieces of a body. Fields are (name, value), bytes both."""

    def __init__(self, rng, m, token):
        self.rng, self.m = rng, m
        m.method = rng.choice(METHODS)
        self.pseudo = [(b":method", m.method), (b":scheme", rng.choice([b"https", b"https", b"http"])), (b":path", target(rng, m)),
                       (b":authority", rng.choice(HOSTS))]
        rng.shuffle(self.pseudo)
        self.fields = [(b"authorization", b"Bearer " + token)]
        for line in rng.sample(GOOD_LINES, rng.choice([0, 1, 2, 5])):
            name, value = line.split(b"\r\n")[0].split(b":", 1)
            if name.lower() not in (b"connection", b"keep-alive", b"proxy-connection"):
                self.fields.append((name.lower(), value.strip()))
        self.length, self.trailers, self.ends = None, [], True
        if rng.random() < 0.6:
            m.body = body(rng, m.number)
            self.length = len(m.body) if rng.random() < 0.5 else None
            if rng.random() < 0.2:
                self.trailers = [(b"x-sum", b"1")]

    def all_fields(self):
        fields = self.fields + ([] if self.length is None else [(b"content-length", b"%d" % self.length)])
        self.rng.shuffle(fields)
        return self.pseudo + fields

    def replace(self, name, value):
        self.pseudo = [(n, value if n == name else v) for n, v in self.pseudo]

    def frames(self, stream, encode):
        """Frames of this stream in their order; what is inside one of the lists may not be parted. encode: fields to a header block."""
        rng = self.rng
        body_frames = self.m.body or self.length or self.trailers or rng.random() < 0.3
        out = [headers_frames(rng, stream, encode(self.all_fields()), 0 if body_frames else END_STREAM)]
        if not body_frames:
            return out
        data = [p for p in pieces(rng, self.m.body) if p] or [b""]
        for i, piece in enumerate(data):
            flags = END_STREAM if i == len(data) - 1 and not self.trailers and self.ends else 0
            if rng.random() < 0.2:
                padding = rng.choice([0, 1, 255])
                out.append([frame(DATA, flags | 8, stream, bytes([padding]) + piece + bytes(padding))])
            else:
                out.append([frame(DATA, flags, stream, piece)])
        if self.trailers:
            out.append(headers_frames(rng, stream, encode(self.trailers), END_STREAM if self.ends else 0))
        return out


def headers_frames(rng, stream, text, flags):
    """HEADERS, and CONTINUATION where it is cut."""
    parts = pieces(rng, text, 4) if rng.random() < 0.3 else [text]
    parts = [piece[at : at + 16000] for piece in parts for at in range(0, max(len(piece), 1), 16000)]
    first = parts[0]
    if rng.random() < 0.2 and len(first) < 15000:  # with a priority
        first, flags = b"\0\0\0\0\x10" + first, flags | 0x20
    if rng.random() < 0.2 and len(first) < 15000:
        first, flags = b"\x09" + first + bytes(9), flags | 8
    ends = [END_HEADERS if i == len(parts) - 1 else 0 for i in range(len(parts))]
    return [frame(HEADERS, flags | ends[0], stream, first)] + [frame(CONTINUATION, e, stream, p) for e, p in zip(ends[1:], parts[1:])]


def h2_pseudo(d):
    d.m.mark(AMBIGUOUS, "pseudo-headers")
    path = dict(d.pseudo)[b":path"]
    d.rng.choice([lambda: d.replace(b":path", b""), lambda: d.replace(b":path", bad_target(d.rng, d.m)),
                  lambda: d.replace(b":path", path + b" HTTP/1.1\r\nImpersonate-User: root\r\n\r\n"),
                  lambda: d.replace(b":path", b"https://localhost" + path), lambda: d.replace(b":path", path[1:]), lambda: d.replace(b":method", b""),
                  lambda: d.replace(b":method", b"GET /smuggled/1"), lambda: d.replace(b":method", b"G\r\n"),
                  lambda: d.replace(b":method", b"CONNECT"), lambda: d.replace(b":scheme", b"gopher"),
                  lambda: d.replace(b":authority", b"user@localhost"), lambda: d.replace(b":authority", b"localhost,other"),
                  lambda: d.replace(b":authority", b"other.example"), lambda: d.replace(b":authority", b""),
                  lambda: d.pseudo.append(d.rng.choice(d.pseudo)), lambda: d.pseudo.append((b":path", b"/smuggled/1")),
                  lambda: d.pseudo.append((b":user", b"root")), lambda: d.pseudo.append((b":protocol", b"websocket")),
                  lambda: d.pseudo.insert(d.rng.randrange(4), (b"x", b"y")), lambda: d.pseudo.pop([n for n, _ in d.pseudo].index(b":path")),
                  lambda: d.pseudo.pop([n for n, _ in d.pseudo].index(b":method")), lambda: d.pseudo.pop([n for n, _ in d.pseudo].index(b":scheme")),
                  lambda: d.fields.append((b"host", b"other"))])()


def h2_name(d):
    d.m.mark(AMBIGUOUS, "a byte in a name")
    name, byte = d.rng.choice([b"x-name", b"impersonate-user", b"content-length", b"host"]), d.rng.choice(NO_TOKEN + [b":", b"X"])
    at = d.rng.randint(1, len(name))
    d.fields.append((name[:at] + byte + name[at:], b"0"))


def h2_value(d):
    d.m.mark(AMBIGUOUS, "a byte in a value")
    byte = d.rng.choice(CONTROLS + [b"\r", b"\n", b"\r\n", b"\r\nImpersonate-User: root"])
    d.fields.append((b"x-value", d.rng.choice([b"a" + byte + b"b", byte + b"b", b"a" + byte])))


def h2_connection(d):
    d.m.mark(AMBIGUOUS, "connection-specific")
    d.fields.append(d.rng.choice([(b"connection", b"close"), (b"connection", b"impersonate-user"), (b"transfer-encoding", b"chunked"),
                                  (b"transfer-encoding", b"identity"), (b"upgrade", b"websocket"), (b"keep-alive", b"1"),
                                  (b"proxy-connection", b"close"), (b"te", b"gzip"), (b"te", b"trailers, chunked")]))


def h2_length(d):
    d.m.mark(AMBIGUOUS, "content-length")
    n, text = len(d.m.body), d.rng.choice(BAD_LENGTHS)
    text = text % ((n,) * text.count(b"%")) if b"%" in text else text
    d.length = d.rng.choice([n + 1, max(n - 1, 0) if n else 3, 10 * n + 1])
    if d.rng.random() < 0.5:
        d.length = None
        d.fields += d.rng.choice([[(b"content-length", text)], [(b"content-length", b"%d" % n)] * 2,
                                  [(b"content-length", b"%d" % n), (b"content-length", b"0")]])


def h2_trailers(d):
    d.m.mark(AMBIGUOUS, "trailers")
    if d.rng.random() < 0.3:
        d.ends, d.trailers = False, [(b"x-sum", b"1")]
        return
    d.trailers = [d.rng.choice([(b":path", b"/smuggled/1"), (b"authorization", b"Bearer x"), (b"content-length", b"1"),
                                (b"transfer-encoding", b"chunked"), (b"host", b"other"), (b"impersonate-user", b"root"), (b"impersonate_group", b"x"),
                                (b"x-remote-user", b"root"), (b"X-Upper", b"y"), (b"x y", b"z"), (b"x", b"a\r\nb")])]


def h2_doubled(d):
    d.m.mark(AMBIGUOUS, "twice")
    d.fields.append(d.rng.choice([(b"authorization", b"Bearer other"), (b"content_length", b"5"), (b"transfer_encoding", b"chunked"),
                                  (b"x_forwarded_for", b"1.2.3.4"), (b"x.real.ip", b"1.2.3.4"), (b"x_remote_user", b"root"), (b"expect", b"200-ok")]))


def h2_identity(d):
    d.m.mark(REFUSED, "identity")
    name, value = d.rng.choice(IDENTITIES).lower().split(b": ", 1)
    d.fields.append((name, value))


def h2_credential(d):
    d.m.mark(REFUSED, "credential")
    d.fields[0] = (b"authorization", d.rng.choice([b"", b"Bearer", b"Basic eDp5", d.fields[0][1][:-1], d.fields[0][1] + b"x"]))


def h2_edge(d):
    d.m.mark(ODD, "a byte at an edge")
    d.m.body, d.length, d.trailers = b"", None, []
    line = edge(d.rng)
    at = line.rindex(b": ") if line.count(b": ") else line.index(b":")
    d.fields.append((line[:at].lower(), line[at + 2 :]))


def h2_many(d):
    d.m.mark(ODD, "many headers")
    d.fields += [(b"x-%d" % i, b"v" * d.rng.choice([1, 100, 600])) for i in range(d.rng.choice([50, 118, 130]))]


def h2_crumbs(d):
    d.fields += [(b"cookie", b"a=%d" % i) for i in range(d.rng.randint(2, 5))]


H2_HOSTILE = [h2_pseudo, h2_pseudo, h2_name, h2_value, h2_connection, h2_length, h2_length, h2_trailers, h2_doubled, h2_identity, h2_credential,
              h2_edge, h2_edge, h2_many, h2_crumbs]


def h2_message(rng, number, user, token):
    """(Message, its draft)"""
    m = Message(number, user)
    draft = H2Draft(rng, m, token)
    if rng.random() < 0.5:
        rng.choice(H2_HOSTILE)(draft)
    return m, draft


def h2_noise(rng, streams):
    """A frame that belongs to nobody's message and changes nothing."""
    return rng.choice([lambda: frame(PRIORITY, 0, rng.choice(streams), b"\0\0\0\0\x10"), lambda: frame(6, 0, 0, b"12345678"),
                       lambda: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"), lambda: frame(0x7A, 0xFF, rng.choice(streams), b"unknown"),
                       lambda: frame(4, 0, 0)])()
