"""The programs as tests run them: authd and proxyd from build/ (or GATEHOUSE_BUILD) in a folder of their own, on free ports, and
people who sign in as a browser would. Programs report READY=1 to the notification socket they get from us, as they do to
systemd; what else happens is read from their logs (tests/waiting.py)."""
import base64
import contextlib
import hashlib
import html.parser
import json
import os
import pathlib
import random
import re
import secrets
import select
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse

import bcrypt
import requests
import yaml

from waiting import wait_file, wait_lines

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("GATEHOUSE_BUILD", ROOT / "build"))
CLIENT_ID = "gatehouse-cli"
REDIRECT_URI = "http://127.0.0.1:1/callback"  # nobody listens: the code is read from the Location header
START_S = 60  # an authd that makes its first key while a machine does other things takes many seconds


def free_ports(n):
    """Below the range from which the kernel takes the ports of outgoing connections: nobody gets them by chance meanwhile."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = []
    while len(ports) < n:
        port = random.randrange(20000, first if first > 21000 else 32000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in ports:
                ports.append(port)
    return ports


def free_port():
    """Where a program can report what it bound, ask it for port 0 instead."""
    return free_ports(1)[0]


def part(name):
    """The folder of a part, which is made first where there is none (scripts/cluster-parts)."""
    script = '"$1/scripts/cluster-parts" "$2" >/dev/null && . "$1/scripts/lib.sh" && . "$1/scripts/lib-parts.sh" && part_folder "$2"'
    found = subprocess.run(["bash", "-c", script, "part", ROOT, name], stdout=subprocess.PIPE, text=True, check=True).stdout
    return pathlib.Path(found.strip())


def open_to_all(folder):
    """Another user reaches what is in it: pytest's own folders around it are closed."""
    while folder != pathlib.Path(tempfile.gettempdir()):
        folder.chmod(0o755)
        folder = folder.parent


def password_hash(password):
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(10)).decode()


class Certificates:
    """A CA and what it signs, as files in a folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._bash(f"make_ca {self.folder} ca")
        self.ca = self.folder / "ca.pem"

    def issue(self, name, subject, san=""):
        """Returns (certificate, key)."""
        self._bash(f"make_cert {self.folder} ca {name} '{subject}' '{san}'")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _bash(self, command):
        subprocess.run(["bash", "-c", f". {ROOT}/scripts/lib.sh; {command}"], check=True)


class Program:
    """One of our programs with its configuration file. start() returns when it is ready."""

    name = None

    def __init__(self, folder, config, env=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_file = self.folder / f"{self.name}.yaml"
        self.log_file = self.folder / f"{self.name}.log"
        self.env, self.process = env or {}, None
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify_path = str(self.folder / f"{self.name}.notify")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.notify_path)
        self.notify.bind(self.notify_path)
        self.write_config(config)

    def write_config(self, config):
        self.config = config
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        temporary = self.config_file.with_suffix(".new")
        temporary.write_text(text)
        temporary.rename(self.config_file)

    def start(self):
        self._forget_states()
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [BUILD / self.name, self.config_file],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"NOTIFY_SOCKET": self.notify_path} | self.env,
            )
        try:
            self.wait_state("READY=1")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def check(self):
        """--check of the configuration as it is: the finished process."""
        return subprocess.run([BUILD / self.name, "--check", self.config_file], capture_output=True, text=True, timeout=30)

    def wait_state(self, wanted, timeout_s=START_S):
        """Waits for a message with that line of sd_notify(3), and returns it."""
        deadline = time.monotonic() + timeout_s
        assert self.process.returncode is None, f"{self.name} has ended:\n{self.log_tail()}"
        ending = os.pidfd_open(self.process.pid)
        try:
            while ready := select.select([self.notify, ending], [], [], max(0, deadline - time.monotonic()))[0]:
                if self.notify in ready:
                    message = self.notify.recv(4096).decode()
                    if wanted in message.splitlines():
                        return message
                elif self.process.poll() is not None:
                    raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}")
        finally:
            os.close(ending)
        raise AssertionError(f"{self.name} never said {wanted}:\n{self.log_tail()}")

    def _forget_states(self):
        self.notify.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.notify.recv(4096)

    def send_signal(self, number):
        self.process.send_signal(number)

    def reload(self, fails=False):
        """HUP, and wait until the new configuration serves; or, where it is to fail, until the old one goes on."""
        self._forget_states()
        self.send_signal(signal.SIGHUP)
        state = self.wait_state("READY=1")
        assert ("reload failed" in state) == fails, f"{state}\n{self.log_tail()}"

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.send_signal(number)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"{self.name} did not end after signal {number}:\n{self.log_tail()}") from None
        return self.process and self.process.returncode

    def close(self):
        try:
            self.stop()
        finally:
            self.notify.close()

    def mark(self):
        """Where the log ends now, for wait_log(after=) and wait_lines(after=)."""
        return self.log_file.stat().st_size

    def wait_log(self, text, after=0):
        """Until the log has the text."""
        return wait_file(self.log_file, lambda log: text in log, text, after)

    def wait_lines(self, wanted, what, n=1, after=0):
        """The log's lines (JSON objects) for which wanted(line) is true, once there are n."""
        return wait_lines(self.log_file, wanted, what, n, after)

    def log_tail(self, lines=40):
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def children(self):
        return [int(p) for p in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]


class Authd(Program):
    name = "authd"


class Proxyd(Program):
    name = "proxyd"


class Person:
    """Somebody with a password, and the browser they use."""

    def __init__(self, gateway, email, password):
        self.gateway, self.email, self.password = gateway, email, password
        self.browser = gateway.browser()

    def password_entry(self, **more):
        """As in authd's staticPasswords."""
        name = self.email.split("@")[0]
        return {"email": self.email, "hash": password_hash(self.password), "username": name, "userID": f"id-{name}"} | more

    def sign_in(self, scope="openid email profile groups offline_access", connector=None):
        """Code flow with PKCE, as a command-line client does it. Returns the token endpoint's answer. connector: the way to sign in where there are several."""
        verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
        query = {
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "scope": scope,
            "state": state,
            "nonce": secrets.token_urlsafe(8),
            "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        } | ({"connector_id": connector} if connector else {})
        back = self.walk(f"{self.gateway.issuer}/auth?{urllib.parse.urlencode(query)}")
        answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
        assert answer.get("state") == state and "code" in answer, f"no code came back: {back}"
        token = self.browser.post(
            f"{self.gateway.issuer}/token",
            data={
                "grant_type": "authorization_code",
                "code": answer["code"],
                "redirect_uri": REDIRECT_URI,
                "client_id": CLIENT_ID,
                "code_verifier": verifier,
            },
            timeout=10,
        )
        assert token.status_code == 200, token.text
        return token.json()

    def walk(self, url):
        """Follows redirects and fills forms until the way leads to the client; returns that URL, or the last page's answer."""
        answer = self.browser.get(url, allow_redirects=False, timeout=20)
        for _ in range(12):
            if answer.is_redirect:
                url = urllib.parse.urljoin(answer.url, answer.headers["Location"])
                if url.startswith(REDIRECT_URI):
                    return url
                answer = self.browser.get(url, allow_redirects=False, timeout=20)
                continue
            assert answer.status_code == 200, f"{answer.url}: {answer.status_code} {answer.text[:4000]}"
            form = Form.of(answer.text)
            if form is None:
                return answer
            answer = self.browser.post(
                urllib.parse.urljoin(answer.url, form.action or answer.url),
                data=form.filled(self.email, self.password),
                headers={"Origin": self.gateway.url},
                allow_redirects=False,
                timeout=20,
            )
        raise AssertionError(f"no end at {answer.url}")


class Form(html.parser.HTMLParser):
    """The first POST form of a page: where it goes, its fields, its first button."""

    def __init__(self):
        super().__init__()
        self.action, self.fields, self.button, self.state = None, [], None, "before"

    @classmethod
    def of(cls, source):
        form = cls()
        form.feed(source)
        asks = form.button or any(kind == "password" for _, _, kind in form.fields)
        return form if form.state != "before" and asks else None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form" and self.state == "before" and attrs.get("method", "").lower() == "post":
            self.action, self.state = attrs.get("action"), "in"
        elif self.state == "in" and tag in ("input", "button"):
            kind = attrs.get("type", "submit" if tag == "button" else "text").lower()
            if kind != "submit":
                self.fields.append((attrs.get("name"), attrs.get("value", ""), kind))
            elif self.button is None and attrs.get("name"):
                self.button = (attrs["name"], attrs.get("value", ""))

    def handle_endtag(self, tag):
        if tag == "form" and self.state == "in":
            self.state = "after"

    def filled(self, user, password):
        values = {"password": password, "text": user, "email": user}
        data = [(name, values.get(kind, value)) for name, value, kind in self.fields if name and kind not in ("checkbox", "radio")]
        return data + ([self.button] if self.button else [])


class Gateway:
    """authd and proxyd together. people: {email: password}; groups: {email: [group]}; clusters: as in proxyd's configuration.
    authd_more and proxyd_more are merged into the configurations. Use as a context."""

    def __init__(self, folder, people, groups=None, clusters=(), authd_more=None, proxyd_more=None):
        self.folder = pathlib.Path(folder)
        self.certificates = Certificates(self.folder / "pki")
        self.ca = self.certificates.ca
        cert, key = self.certificates.issue("gateway", "/CN=gateway", "DNS:localhost,IP:127.0.0.1")
        self.port, self.admin_port = free_ports(2)
        self.url = f"https://localhost:{self.port}"
        self.issuer = f"{self.url}/oidc"
        self.socket = self.folder / "authd.sock"
        self.people = {email: Person(self, email, password) for email, password in people.items()}
        groups = groups or {}
        self.authd = Authd(
            self.folder,
            {
                "issuer": self.issuer,
                "storage": {"type": "lmdb", "config": {"path": str(self.folder / "store")}},
                "web": {"unix": str(self.socket)},
                "oauth2": {"skipApprovalScreen": True},
                "enablePasswordDB": True,
                "staticPasswords": [p.password_entry(groups=groups.get(e, [])) for e, p in self.people.items()],
                "staticClients": [
                    {
                        "id": CLIENT_ID,
                        "name": "kubectl",
                        "public": True,
                        "redirectURIs": ["http://127.0.0.1/callback", "http://localhost/callback", "/device/callback"],
                    }
                ],
                "console": {
                    "certificateAuthority": str(self.ca),
                    "clientID": CLIENT_ID,
                    "clusters": [c["name"] for c in clusters],
                },
            }
            | (authd_more or {}),
        )
        self.proxyd = Proxyd(
            self.folder,
            {
                "listen": [{"address": f"127.0.0.1:{self.port}", "tls": {"certFile": str(cert), "keyFile": str(key)}}],
                "workers": 2,
                "authentication": {
                    "jwt": [
                        {
                            "issuer": {
                                "url": self.issuer,
                                "discoveryURL": f"unix:{self.socket}",
                                "audiences": [CLIENT_ID],
                            },
                            "claimMappings": {
                                "username": {"claim": "email", "prefix": ""},
                                "groups": {"claim": "groups", "prefix": ""},
                            },
                        }
                    ]
                },
                "clusters": list(clusters),
                "routes": [{"path": p, "to": f"unix:{self.socket}"} for p in ("/oidc", "/console")],
                "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            }
            | (proxyd_more or {}),
        )

    def __enter__(self):
        try:
            self.authd.start()
            self.proxyd.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        try:
            self.proxyd.close()
        finally:
            self.authd.close()

    def browser(self):
        session = requests.Session()
        session.trust_env, session.verify = False, str(self.ca)
        return session

    def raw(self, request, timeout_s=20):
        """Sends bytes as they are on a connection of their own; returns (status, headers, body) of the first answer."""
        context = ssl.create_default_context(cafile=self.ca)
        with socket.create_connection(("127.0.0.1", self.port), timeout_s) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(request)
                return read_answer(tls)

    def write_kubeconfig(self, file, user, namespace="default"):
        """A kubeconfig for this gateway. user: the "user" of a kubeconfig's users entry."""
        pathlib.Path(file).write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "default",
                    "contexts": [{"name": "default", "context": {"cluster": "default", "user": "me", "namespace": namespace}}],
                    "clusters": [{"name": "default", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}],
                    "users": [{"name": "me", "user": user}],
                }
            )
        )
        os.chmod(file, 0o600)
        return file


def read_answer(tls):
    """One HTTP/1.1 answer with Content-Length, chunks or an end by closing."""
    stream = tls.makefile("rb")
    line = stream.readline()
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", line)
    assert found, f"no status line: {line!r}"
    headers = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name.lower(), value.strip()))
    h = dict(headers)
    if "content-length" in h:
        body = stream.read(int(h["content-length"]))
    elif h.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
    else:
        body = stream.read()
    return int(found.group(1)), h, body
