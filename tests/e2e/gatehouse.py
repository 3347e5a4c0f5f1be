"""What end-to-end tests of a single program are made of: certificates, an issuer of tokens, a recording upstream, and the
program itself, whose log is read as it is written. Whatever else is waited for: tests/waiting.py.

    ca = CA(tmp_path)
    with Issuer(ca) as issuer, Upstream(ca) as upstream, Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        token = issuer.mint("jane", groups=["dev"])
        status, headers, body = request(proxyd.address, "GET", "/version", ca, token=token)
        assert upstream.requests[0].values("Impersonate-User") == ["jane"]

For both programs together see tests/harness.py."""
import base64
import contextlib
import ctypes
import datetime
import http.client
import http.server
import ipaddress
import json
import os
import pathlib
import select
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time

import jwt
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from harness import BUILD, free_port
from waiting import WAIT_S, until


class CA:
    """An authority and what it signs, as files in a folder. P-256 keys."""

    def __init__(self, folder, name="ca"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name}")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self._sign(self.subject, self.key.public_key(), 365, [(constraints, True)])
        self.file = self.folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, public_key, days, extensions):
        now = datetime.datetime.utcnow()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=days))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name, cn=None, organizations=(), dns=("localhost",), ips=("127.0.0.1",), days=30, usages=()):
        """(certificate file, key file). days negative: expired. usages: OIDs of an extended key usage; none: no such extension."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
        subject = x509.Name(attributes + [x509.NameAttribute(NameOID.COMMON_NAME, cn or name)])
        names = [x509.DNSName(d) for d in dns] + [x509.IPAddress(ipaddress.ip_address(i)) for i in ips]
        extensions = [(x509.SubjectAlternativeName(names), False)] + ([(x509.ExtendedKeyUsage(usages), False)] if usages else [])
        certificate = self._sign(subject, key.public_key(), days, extensions)
        cert_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key_file.touch(mode=0o600)
        key_file.write_bytes(key.private_bytes(*pem))
        return cert_file, key_file

    def client_context(self, cert=None, key=None):
        context = ssl.create_default_context(cafile=self.file)
        if cert:
            context.load_cert_chain(cert, key)
        return context

    def server_context(self, cert, key, clients=None):
        """clients: a CA whose certificates clients must show."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        if clients:
            context.load_verify_locations(clients.file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class SigningKey:
    """kid None: the key is published without one."""

    def __init__(self, kid="k1", alg="ES256"):
        self.kid, self.alg = kid, alg
        self.private = rsa.generate_private_key(65537, 2048) if alg == "RS256" else ec.generate_private_key(ec.SECP256R1())

    def jwk(self):
        algorithm = jwt.algorithms.RSAAlgorithm if self.alg == "RS256" else jwt.algorithms.ECAlgorithm
        out = json.loads(algorithm.to_jwk(self.private.public_key())) if self.alg == "RS256" else self._ec_jwk()
        out = {k: v for k, v in out.items() if k in ("kty", "n", "e", "crv", "x", "y")} | {"use": "sig", "alg": self.alg}
        return out | ({"kid": self.kid} if self.kid else {})

    def _ec_jwk(self):
        numbers = self.private.public_key().public_numbers()
        x, y = (base64.urlsafe_b64encode(v.to_bytes(32, "big")).rstrip(b"=").decode() for v in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}

    def sign(self, claims, **header):
        return jwt.encode(claims, self.private, self.alg, headers=({"kid": self.kid} if self.kid else {}) | header)


class Issuer:
    """An OpenID provider as far as a verifier sees it: discovery and keys, over HTTPS or, given unix, over a socket in plain HTTP.

    keys may be changed at any time. answers[path] = (status, headers, body) replaces what a path answers; hold = an Event that
    answers wait for. requests: (path, Host) of everything asked."""

    def __init__(self, ca, unix=None, url=None, path="", keys=None):
        self.keys = keys or [SigningKey()]
        self.answers, self.hold = {}, None
        self.requests, self.changed = [], threading.Condition()
        self.max_age_s = None
        self.ca, self.unix = ca, unix
        self._files = None if unix else ca.issue("issuer")
        self._port = 0 if unix else free_port()  # its own for good: down() and up()
        self._server = None
        self.up()
        self.url = url or f"https://127.0.0.1:{self._port}{path}"
        self.path = "/" + self.url.split("/", 3)[3] if self.url.count("/") > 2 else ""

    def up(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer._answer(self)

            def log_message(self, *args):
                pass

            def address_string(self):
                return "client"

        if self.unix:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.unix)
            self._server = _UnixServer(str(self.unix), Handler)
        else:
            self._server = _Server(("127.0.0.1", self._port), Handler)
            context = self.ca.server_context(*self._files)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def down(self):
        """Connections are refused from here on; up() brings it back on the same port."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.hold:
            self.hold.set()
        self.down()

    def config(self, **more):
        """The `issuer` block of proxyd's configuration."""
        if self.unix:
            return {"url": self.url, "discoveryURL": f"unix:{self.unix}", "audiences": ["test"]} | more
        return {"url": self.url, "certificateAuthority": str(self.ca.file), "audiences": ["test"]} | more

    def jwks(self):
        return {"keys": [k.jwk() for k in self.keys]}

    def discovery(self):
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "authorization_endpoint": f"{self.url}/auth",
                "token_endpoint": f"{self.url}/token"}

    def mint(self, sub="jane", key=None, header=None, **claims):
        """A token of this issuer for the audience "test", good for an hour. A claim of None is left out."""
        now = int(time.time())
        all_claims = {"iss": self.url, "aud": "test", "sub": sub, "iat": now, "exp": now + 3600} | claims
        return (key or self.keys[0]).sign({k: v for k, v in all_claims.items() if v is not None}, **(header or {}))

    def wait_requests(self, n, path=None, timeout_s=WAIT_S):
        """Until n requests (for path) have come; returns how many there are."""
        def count():
            return sum(1 for p, _ in self.requests if path is None or p == path)

        with self.changed:
            assert self.changed.wait_for(lambda: count() >= n, timeout_s), f"{count()} requests, wanted {n}"
            return count()

    def _answer(self, h):
        with self.changed:
            self.requests.append((h.path, h.headers.get("Host")))
            self.changed.notify_all()
        if self.hold:
            self.hold.wait()
        pages = {f"{self.path}/.well-known/openid-configuration": self.discovery, f"{self.path}/keys": self.jwks}
        if h.path in self.answers:
            status, headers, body = self.answers[h.path]
        elif h.path in pages:
            headers = {"Content-Type": "application/json"}
            headers |= {"Cache-Control": f"public, max-age={self.max_age_s}"} if self.max_age_s is not None else {}
            status, body = 200, json.dumps(pages[h.path]()).encode()
        else:
            status, headers, body = 404, {}, b""
        with contextlib.suppress(OSError):
            h.send_response(status)
            for name, value in headers.items():
                h.send_header(name, value)
            h.send_header("Content-Length", str(len(body)))
            h.end_headers()
            h.wfile.write(body)


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *args):
        """A client that goes away is no news."""


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    def handle_error(self, *args):
        pass


class Recorded:
    """A request as it arrived: bytes of the head, its lines, its headers in order, the body without its framing."""

    def __init__(self, head, body, peer):
        self.head, self.body, self.peer = head, body, peer
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.method, self.target, self.version = lines[0].split(" ", 2)
        self.headers = [tuple(part.strip(" \t") for part in line.split(":", 1)) for line in lines[1:] if line]

    def values(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def __repr__(self):
        return f"<{self.line} {self.headers}>"


class Upstream:
    """A TLS server that demands client certificates of the CA and records what it gets. By default it answers 200 with a JSON object.

    answer = function(Recorded) -> (status, headers, body); or on_request = function(Recorded, tls) -> bool that writes to the
    connection itself and says whether the connection goes on. unix: a path to listen on instead, in the clear; so is a port when plain is set."""

    def __init__(self, ca, unix=None, plain=False):
        self.ca, self.unix, self.plain = ca, unix, plain or unix
        self.requests, self.changed = [], threading.Condition()
        self.connections = 0
        self.answer = lambda r: (200, {"Content-Type": "application/json"}, json.dumps({"path": r.target}).encode())
        self.on_request = None
        if unix:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(unix))
            self._listener.listen(64)
        else:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self._context = None if plain else ca.server_context(*ca.issue("upstream"), clients=ca)
        self.address = None if unix else self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def kubeconfig(self, name="upstream.kubeconfig", **cluster):
        """A kubeconfig for this server, with a client certificate."""
        cert, key = self.ca.issue("gateway-client", "gateway", ["gateways"])
        file = self.ca.folder / name
        server = {"server": f"https://127.0.0.1:{self.address[1]}", "certificate-authority": str(self.ca.file)} | cluster
        user = {"client-certificate": str(cert), "client-key": str(key)}
        file.write_text(
            yaml.safe_dump(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                    "clusters": [{"name": "k", "cluster": server}],
                    "users": [{"name": "u", "user": user}],
                }
            )
        )
        return file

    def wait_requests(self, n, timeout_s=WAIT_S):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= n, timeout_s), f"{len(self.requests)} requests, wanted {n}"
            return self.requests

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain):
        with contextlib.suppress(OSError, ssl.SSLError), contextlib.ExitStack() as stack:
            stack.enter_context(plain)
            tls = plain if self.plain else stack.enter_context(self._context.wrap_socket(plain, server_side=True))
            self.connections += 1
            stream = tls.makefile("rb")
            while (recorded := self._read(stream, tls)) is not None:
                with self.changed:
                    self.requests.append(recorded)
                    self.changed.notify_all()
                if self.on_request:
                    if not self.on_request(recorded, tls):
                        return
                else:
                    write_answer(tls, *self.answer(recorded), head_only=recorded.method == "HEAD")

    def _read(self, stream, tls):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return None
            head += line
        recorded = Recorded(head[:-4], b"", None if self.plain else tls.getpeercert())
        if recorded.values("Transfer-Encoding"):
            while line := stream.readline():
                size = int(line.split(b";")[0], 16)
                recorded.body += stream.read(size)
                stream.readline()
                if size == 0:
                    break
            if not line:
                return None  # given up in the middle
        elif recorded.values("Content-Length"):
            recorded.body = stream.read(int(recorded.values("Content-Length")[0]))
        return recorded


def write_answer(stream, status, headers, body, head_only=False):
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if status >= 200 and status not in (204, 304):
        lines.append(f"Content-Length: {len(body)}")
    stream.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if head_only else body))


def connect(address, ca, timeout_s=WAIT_S, server_name="localhost", **certificate):
    """A TLS connection to "IP:port" or (ip, port)."""
    host, port = address.rsplit(":", 1) if isinstance(address, str) else address
    plain = socket.create_connection((host, int(port)), timeout_s)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ca.client_context(**certificate).wrap_socket(plain, server_hostname=server_name)


def request(address, method, path, ca, token=None, headers=None, body=None, timeout_s=WAIT_S, **certificate):
    """One request on a connection of its own: (status, headers as http.client has them, body)."""
    connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
    connection.sock = connect(address, ca, timeout_s, **certificate)
    try:
        all_headers = ({"Authorization": f"Bearer {token}"} if token else {}) | (headers or {})
        connection.request(method, path, body=body, headers=all_headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


class Program:
    """One of our programs with its configuration file. Its log (JSON) is read from its standard error as it is written.

    As a context: starts, waits until it is ready, stops at the end and checks that the exit status is 0."""

    name = None
    build = BUILD
    ready = None  # message of the log line that says it serves
    captured = False  # a test makes it do what it would not

    def __init__(self, folder, config, env=None, binary=None):
        self.folder = pathlib.Path(folder)
        self.binary = binary or self.build / self.name
        self.file = self.folder / f"{self.name}.yaml"
        self.env = env or {}
        self.process, self.lines, self.plain, self.changed = None, [], [], threading.Condition()
        self.write(config)

    def write(self, config):
        """Replaces the configuration file; a text is written as it is."""
        self.config = config
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        temporary = self.file.with_suffix(".new")
        temporary.write_text(text)
        temporary.rename(self.file)

    def run(self, *arguments):
        """A run that ends by itself: CompletedProcess with text."""
        return subprocess.run([self.build / self.name, *arguments], capture_output=True, text=True, timeout=WAIT_S, env=os.environ | self.env)

    def check(self):
        return self.run("--check", self.file)

    def start(self, wait=True):
        self.lines, self.plain = [], []
        self.process = subprocess.Popen(
            [self.binary, self.file], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | self.env
        )
        threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True).start()
        if wait:
            self.wait_log(self.ready)
        return self

    def _read(self, stream):
        for raw in stream:
            line = raw.decode(errors="replace").rstrip("\n")
            with self.changed:
                try:
                    self.lines.append(json.loads(line))
                except json.JSONDecodeError:
                    self.plain.append(line)
                self.changed.notify_all()
        with self.changed:
            self.lines.append({"msg": "end of log"})
            self.changed.notify_all()

    def mark(self):
        """Position in the log, for wait_log(after=)."""
        with self.changed:
            return len(self.lines)

    def forget_log(self):
        """All but the newest lines, right after a reload: a long run's log is no use to anybody."""
        with self.changed:
            del self.lines[: -500 if len(self.lines) > 1000 else 0]

    def find_log(self, msg, after=0, **fields):
        """Lines with this message and these fields; a value may be a function that judges it."""
        def fits(line):
            return line.get("msg") == msg and all(k in line and (v(line[k]) if callable(v) else line[k] == v) for k, v in fields.items())

        with self.changed:
            return [line for line in self.lines[after:] if fits(line)]

    def wait_log(self, msg, after=0, count=1, timeout_s=WAIT_S, **fields):
        """Waits until a log line with this message and these fields has been written; returns it (the last of count)."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while True:
                found = self.find_log(msg, after, **fields)
                if len(found) >= count:
                    return found[count - 1]
                ended = any(line["msg"] == "end of log" for line in self.lines)
                left = deadline - time.monotonic()
                if ended or left <= 0:
                    raise AssertionError(f"{self.name} {'ended' if ended else 'went on'} without {msg!r} {fields}:\n{self.log_text()}")
                self.changed.wait(left)

    def log_text(self, n=60):
        with self.changed:
            return "\n".join(self.plain + [json.dumps(line) for line in self.lines[-n:]])

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, timeout_s=WAIT_S):
        """Exit status."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end:\n{self.log_text()}") from None

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.send(number)
        return self.wait()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind, *exc):
        status = self.stop()
        assert kind is not None or status == 0, f"exit status {status}:\n{self.log_text()}"
        assert not any("Sanitizer" in line for line in self.plain), self.log_text()
        if not self.captured:
            refused = [line for line in self.lines if line["msg"].startswith(("sandbox: a system call", "sandbox: this process"))]
            assert not refused, f"the sandbox is narrower than the program: {refused}"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


REAPED = "its parent has its status"


class Adopted:
    """A process that is not the test's own child: it becomes one when its parent ends (adopt_orphans). As Popen, as far as it is used."""

    def __init__(self, pid):
        self.pid, self.returncode, self.fd = pid, None, os.pidfd_open(pid)

    def poll(self):
        if self.returncode is None and select.select([self.fd], [], [], 0)[0]:
            self.wait(0)
        return self.returncode

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self.fd], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(["pid", self.pid], timeout)
            self.returncode = self._status()
            os.close(self.fd)
        return self.returncode

    def _status(self):
        def ask():
            try:
                result = os.waitid(os.P_PIDFD, self.fd, os.WEXITED)
                return "status", result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
            except ChildProcessError:  # its parent is about to end as well, and tells nobody when it has
                try:
                    signal.pidfd_send_signal(self.fd, 0)
                except ProcessLookupError:
                    return "status", REAPED
                return "its parent is alive", None

        return until(f"the status of process {self.pid}, which has ended", ask, lambda found: found[0] == "status")[1]

    def send_signal(self, number):
        if self.returncode is None:
            signal.pidfd_send_signal(self.fd, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def adopt_orphans():
    """From here on whatever our children leave behind is ours to wait for: prctl(PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


class Authd(Program):
    name, ready = "authd", "authd ready"


def proxyd_config(ca, issuers=(), upstream=None, workers=2, **more):
    """A configuration on a free port with its own certificate ("gateway"), user names and groups as the tokens say."""
    cert, key = ca.issue("gateway")
    mappings = {"username": {"claim": "sub", "prefix": ""}, "groups": {"claim": "groups", "prefix": ""}}
    config = {
        "listen": [{"address": "127.0.0.1:0", "tls": {"certFile": str(cert), "keyFile": str(key)}}],
        "workers": workers,
        "authentication": {"jwt": [{"issuer": i.config(), "claimMappings": mappings} for i in issuers]},
        "clusters": [{"name": "default", "kubeconfig": str(upstream.kubeconfig())}] if upstream else [],
        "admin": {"address": "127.0.0.1:0"},
    }
    return config | more


class Proxyd(Program):
    name, ready = "proxyd", "proxyd ready"

    def current(self):
        """The log line of what serves now: generation, addresses, admin."""
        return (self.find_log("proxyd ready") + self.find_log("reload: done"))[-1]

    @property
    def addresses(self):
        return self.current()["addresses"].split(",")

    @property
    def address(self):
        return self.addresses[0]

    def admin(self, path, method="GET"):
        """(status, headers, text) from the admin address."""
        connection = http.client.HTTPConnection(self.current()["admin"], timeout=WAIT_S)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def reload(self, config=None, alone=False):
        """HUP, with another configuration if given; waits until the new generation serves and returns its log line. alone: until nothing of the old one is
        left, which may still take a connection that came with the reload."""
        if config is not None:
            self.write(config)
        mark = self.mark()
        self.send(signal.SIGHUP)
        done = self.wait_log("reload: done", after=mark)
        if alone:
            self.wait_log("generation gone", after=mark)
        return done

    def upgrade(self):
        """USR2, and waits until another program serves in place of this one, which is returned: it ends with its last connection."""
        adopt_orphans()
        mark = self.mark()
        self.send(signal.SIGUSR2)
        new = self.wait_log("upgrade: this program serves", after=mark)["pid"]
        self.wait_log("upgrade: done, this program ends with its last connection", after=mark)
        old, self.process = self.process, Adopted(new)
        return old

    def upgrade_fails(self):
        """USR2, waits until it has failed, and returns why."""
        mark = self.mark()
        self.send(signal.SIGUSR2)
        return self.wait_log("upgrade: failed, this program stays", after=mark)["reason"]

    def reload_fails(self, config=None):
        """HUP, waits until it has failed, and returns why."""
        if config is not None:
            self.write(config)
        mark = self.mark()
        self.send(signal.SIGHUP)
        return self.wait_log("reload: failed, the configuration in use stays", after=mark)["reason"]

    def pids(self, child, generation=None):
        """Process ids of running children ("worker", "keeper") of a generation, by index."""
        generation = generation or self.current()["generation"]
        started = {}
        for line in self.find_log("child started", child=child, generation=generation):
            started[line["index"]] = line["child_pid"]
        return [started[i] for i in sorted(started)]
