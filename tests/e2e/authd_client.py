"""authd on its own, on a free port in plain HTTP and on a unix socket, and what talks to it: browsers, relying parties, proxyd's question.

    with Authd(tmp_path) as authd:
        browser = authd.browser()
        tokens = browser.tokens(CLI, "openid email offline_access")
"""
import base64
import contextlib
import fcntl
import hashlib
import http.client
import json
import pathlib
import re
import secrets
import socket
import subprocess
import sys
import termios
import urllib.parse

import jwt
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import harness  # noqa: E402
from waiting import until  # noqa: E402

CLI = "gatehouse-cli"
WEB, WEB_SECRET = "web", "web secret: +%&="
OTHER, OTHER_SECRET = "other", "other-secret"
CLI_URI = "http://127.0.0.1:8000/callback"
WEB_URI = "https://app.example/cb?x=1"
EMAIL, PASSWORD = "jane@example.com", "correct horse"
HASH = harness.password_hash(PASSWORD)  # once: bcrypt is slow on purpose


def person(email=EMAIL, **more):
    name = email.split("@")[0]
    return {"email": email, "hash": HASH, "username": name, "userID": f"id-{name}", "groups": ["developers", "ops"]} | more


def pkce():
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def query_of(url):
    parts = urllib.parse.urlsplit(url)
    pairs = urllib.parse.parse_qsl(parts.query or parts.fragment, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), f"a parameter twice: {url}"
    return dict(pairs)


class Authd:
    """Use as a context. more: merged into the configuration at the top level."""

    def __init__(self, folder, **more):
        self.folder = pathlib.Path(folder)
        (self.port,) = harness.free_ports(1)
        self.origin = f"http://127.0.0.1:{self.port}"
        self.issuer = f"{self.origin}/oidc"
        self.socket = self.folder / "authd.sock"
        self.program = harness.Authd(self.folder, self.configuration(**more))

    def configuration(self, **more):
        return {
            "issuer": self.issuer,
            "storage": {"type": "lmdb", "config": {"path": str(self.folder / "store")}},
            "web": {"http": f"127.0.0.1:{self.port}", "unix": str(self.socket), "allowedOrigins": ["https://spa.example"]},
            "oauth2": {"skipApprovalScreen": True},
            "enablePasswordDB": True,
            "staticPasswords": [person()],
            "staticClients": [
                {"id": CLI, "name": "kubectl", "public": True, "redirectURIs": ["http://127.0.0.1/callback"]},
                {"id": WEB, "name": "Web & App", "secret": WEB_SECRET, "redirectURIs": [WEB_URI]},
                {"id": "cli-with-secret", "name": "CLI", "public": True, "secret": "known-to-many", "redirectURIs": ["http://127.0.0.1/callback"]},
                {"id": OTHER, "name": "Other", "secret": OTHER_SECRET, "redirectURIs": [WEB_URI], "trustedPeers": [WEB]},
            ],
            "console": {"clientID": CLI, "clusters": ["default", "prod"]},
        } | more

    def __enter__(self):
        try:
            self.program.start()
        except BaseException:
            self.program.close()  # a start that takes too long leaves nobody behind
            raise
        return self

    def __exit__(self, *exc):
        self.program.close()

    def browser(self):
        return Browser(self)

    def log(self):
        return self.program.log_file.read_text()

    def wait_log(self, text):
        """Until the log holds a text: the one thing that some events leave behind."""
        self.program.wait_log(text)

    def get(self, path, **more):
        return requests.get(self.origin + path, timeout=20, allow_redirects=False, **more)

    def token(self, form, auth=None, **more):
        return requests.post(f"{self.issuer}/token", data=form, auth=auth and Basic(*auth), timeout=20, **more)

    def redeem(self, code, verifier, uri=CLI_URI, client=CLI):
        return self.token({"grant_type": "authorization_code", "code": code, "redirect_uri": uri, "client_id": client, "code_verifier": verifier})

    def refresh(self, token, client=CLI, **more):
        return self.token({"grant_type": "refresh_token", "refresh_token": token, "client_id": client} | more)

    def revoke(self, given, /, auth=None, client=CLI, **more):
        form = {"token": given} | ({} if auth else {"client_id": client}) | more
        return requests.post(f"{self.issuer}/token/revoke", data=form, auth=auth and Basic(*auth), timeout=20)

    def introspect(self, given, /, auth=(WEB, WEB_SECRET), **more):
        return requests.post(f"{self.issuer}/token/introspect", data={"token": given} | more, auth=auth and Basic(*auth), timeout=20)

    def userinfo(self, access_token):
        return self.get("/oidc/userinfo", headers={"Authorization": f"Bearer {access_token}"})

    def verified(self, token, audience, typ="JWT", alg="RS256"):
        """The claims of a token whose signature, times, issuer and audience are right."""
        header = jwt.get_unverified_header(token)
        assert header["typ"] == typ and header["alg"] == alg
        (key,) = [k for k in self.get("/oidc/keys").json()["keys"] if k["kid"] == header["kid"]]
        assert key["alg"] == alg
        public = jwt.get_algorithm_by_name(alg).from_jwk(json.dumps(key))
        return jwt.decode(token, public, [alg], audience=audience, issuer=self.issuer, options={"require": ["exp", "iat", "sub"]})

    def over_socket(self, method, path, headers=None, body=None):
        """(status, headers, body) over the unix socket."""
        connection = _UnixConnection(self.socket)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def asking(self, path):
        """A connection over the unix socket whose question authd has read. Close it, best with contextlib.closing()."""
        connection = _UnixConnection(self.socket)
        connection.request("GET", path)
        until("authd to read", lambda: fcntl.ioctl(connection.sock, termios.TIOCOUTQ, bytes(4)), lambda unread: unread == bytes(4))
        return connection

    def ctl(self, *arguments, given=None, status=0, **more):
        """The finished `authd ctl`, which ended with that status; given: its standard input."""
        command = [harness.BUILD / "authd", "ctl", "--config", self.program.config_file, *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, **({"stdin": subprocess.DEVNULL} if given is None else {}) | more)
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def ctl_json(self, *arguments, **more):
        return json.loads(self.ctl("--output", "json", *arguments, **more).stdout)

    def session_token(self, browser, query=""):
        """What proxyd asks for a browser's cookie: (status, JSON)."""
        cookie = "; ".join(f"{c.name}={c.value}" for c in browser.http.cookies)
        status, _, body = self.over_socket("POST", "/internal/session" + query, {"Cookie": cookie})
        return status, json.loads(body)


class Basic(requests.auth.AuthBase):
    """RFC 6749 2.3.1: both parts are form-encoded first."""

    def __init__(self, user, password):
        pair = f"{urllib.parse.quote_plus(user)}:{urllib.parse.quote_plus(password)}"
        self.value = "Basic " + base64.b64encode(pair.encode()).decode()

    def __call__(self, request):
        request.headers["Authorization"] = self.value
        return request


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.unix_path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.unix_path)


class Browser:
    """Keeps cookies, follows redirects within the issuer's origin, and stops where it is sent elsewhere."""

    def __init__(self, authd):
        self.authd = authd
        self.http = requests.Session()
        self.http.trust_env = False

    def get(self, url, **more):
        """The page that url leads to, or the redirect that leaves the origin."""
        return self._follow(self.http.get(self._absolute(url), allow_redirects=False, timeout=20, **more))

    def post(self, url, form, **more):
        return self._follow(self.http.post(self._absolute(url), data=form, allow_redirects=False, timeout=20, **more))

    def _absolute(self, url):
        return urllib.parse.urljoin(self.authd.origin, url)

    def _follow(self, answer):
        for _ in range(10):
            to = urllib.parse.urljoin(answer.url, answer.headers.get("Location", ""))
            if not answer.is_redirect or not to.startswith(self.authd.origin + "/"):
                return answer
            answer = self.http.get(to, allow_redirects=False, timeout=20)
        raise AssertionError(f"redirects without end at {answer.url}")

    def authorize(self, client=CLI, uri=CLI_URI, scope="openid", **more):
        """GET /auth. A parameter of None is left out."""
        form = {"client_id": client, "redirect_uri": uri, "response_type": "code", "scope": scope} | more
        return self.get("/oidc/auth?" + urllib.parse.urlencode({k: v for k, v in form.items() if v is not None}))

    def fill(self, page, login=EMAIL, password=PASSWORD, **more):
        """Sends the password form of a page."""
        assert page.status_code in (200, 400, 401, 429), page.text
        return self.post("/oidc/auth/local/login", fields(page.text) | {"login": login, "password": password} | more)

    def sign_in(self, to="/console/"):
        """At the console."""
        answer = self.fill(self.get("/console/signin?" + urllib.parse.urlencode({"to": to})))
        assert answer.status_code == 200, answer.text
        return answer

    def code(self, client=CLI, uri=CLI_URI, scope="openid", **more):
        """A code and its verifier, signing in where it is asked for."""
        verifier, challenge = pkce()
        more = {"code_challenge": challenge, "code_challenge_method": "S256", "state": "st"} | more
        answer = self.authorize(client, uri, scope, **more)
        if not answer.is_redirect:
            answer = self.fill(answer)
        parameters = query_of(answer.headers["Location"])
        assert parameters["state"] == "st", parameters
        return parameters["code"], verifier

    def tokens(self, client=CLI, scope="openid", **more):
        """The token endpoint's answer to a whole sign-in of the public client."""
        answer = self.authd.redeem(*self.code(client, CLI_URI, scope, **more))
        assert answer.status_code == 200, answer.text
        return answer.json()


def fields(html):
    """Hidden fields of a page."""
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', html))
