"""Routes to other backends, with the real authd: what each kind tells a recording backend of the caller, who may come, and what never gets there."""
import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import urllib.parse

import jwt
import pytest
import requests
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

import harness
from gatehouse import CA, Upstream, write_answer
from h2_client import H2
from waiting import until

ANN, BOB = "ann@example.com", "bob@example.com"
GROUPS = {ANN: ["dev", "on <call>"], BOB: ["sales"]}
BROWSER = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate"}


class Stage:
    """A gateway with a backend of each kind, which all record; people sign in once."""

    def __init__(self, folder):
        self.ca = CA(folder / "ca")
        self.stack = contextlib.ExitStack()
        self.cert, self.key = self.ca.issue("gateway-client", "gateway")
        enter = self.stack.enter_context
        self.tls, self.plain = enter(Upstream(self.ca)), enter(Upstream(self.ca, plain=True))
        self.socket, self.cluster = enter(Upstream(self.ca, unix=folder / "backend.sock")), enter(Upstream(self.ca))
        self.gateway = harness.Gateway(folder / "gateway", {ANN: "correct horse", BOB: "battery staple"}, GROUPS, proxyd_more=self.config())
        authentication = self.gateway.proxyd.config["authentication"]
        self.people_ca = CA(folder / "people", "people")
        authentication["clientCertificate"] = {"certificateAuthority": str(self.people_ca.file)}
        self.gateway.proxyd.config["routes"] += [{"path": p, "to": f"unix:{self.gateway.socket}"} for p in ("/oidc", "/console")]
        self.gateway.proxyd.write_config(self.gateway.proxyd.config)
        self.stack.enter_context(self.gateway)
        self.tokens = {email: person.sign_in()["id_token"] for email, person in self.gateway.people.items()}
        self.cookies = {email: "; ".join(f"{c.name}={c.value}" for c in p.browser.cookies) for email, p in self.gateway.people.items()}
        self.url, self.host = self.gateway.url, f"localhost:{self.gateway.port}"

    def config(self):
        tls = {"certificateAuthority": str(self.ca.file), "certFile": str(self.cert), "keyFile": str(self.key)}
        https, http = f"https://127.0.0.1:{self.tls.address[1]}", f"http://127.0.0.1:{self.plain.address[1]}"
        return {
            "clusters": [{"name": "default", "kubeconfig": str(self.cluster.kubeconfig()), "allowedGroups": ["dev", "ops"]}],
            "routes": [
                {"path": "/bearer", "to": https, "kind": "bearer", "tls": tls},
                {"path": "/dashboard", "to": https, "kind": "bearer", "audience": harness.CLIENT_ID, "tls": tls},
                {"path": "/stranger", "to": https, "kind": "bearer", "audience": "nobody", "tls": tls},
                {"path": "/front", "to": https, "kind": "frontProxy", "tls": tls},
                {"path": "/socket", "to": f"unix:{self.socket.unix}", "kind": "frontProxy", "stripPrefix": True, "allowedGroups": ["dev"]},
                {"path": "/session", "to": http, "kind": "session", "allowedOrigins": ["https://friend.example"]},
                {"path": "/session/open", "to": http, "kind": "public"},
                {"path": "/", "host": "app.example", "to": http + "/base", "kind": "public"},
                {"path": "/absent", "to": f"unix:{self.socket.unix}.absent", "kind": "public"},
                {"path": "/gone", "to": "http://127.0.0.1:1", "kind": "public"},
            ],
            "log": {"format": "json"},
        }

    def close(self):
        self.stack.close()

    def ask(self, path, method="GET", headers=None, **more):
        return requests.request(method, self.url + path, headers={"Accept": "*/*"} | (headers or {}), verify=str(self.gateway.ca), allow_redirects=False,
                                timeout=20, **more)

    def as_token(self, email=ANN):
        return {"Authorization": f"Bearer {self.tokens[email]}"}

    def as_cookie(self, email=ANN):
        return {"Cookie": self.cookies[email]}

    def client_context(self, **certificate):
        """For h2_client."""
        context = ssl.create_default_context(cafile=self.gateway.ca)
        if certificate:
            context.load_cert_chain(certificate["cert"], certificate["key"])
        return context

    def h2(self):
        return H2(f"127.0.0.1:{self.gateway.port}", self)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("routes"))
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture(autouse=True)
def fresh(stage):
    for backend in (stage.tls, stage.plain, stage.socket, stage.cluster):
        backend.requests.clear()
        backend.answer = lambda r: (200, {"Content-Type": "text/plain"}, f"{r.method} {r.target}".encode())
        backend.on_request = None


def remote(recorded):
    """X-Remote-* in order, without that."""
    return [(n[9:], v) for n, v in recorded.headers if n.lower().startswith("x-remote")]


ANNS = [("User", ANN), ("Group", "dev"), ("Group", "on <call>"), ("Group", "system:authenticated")]


def status_of(answer, code):
    assert answer.status_code == code, answer.text
    body = answer.json()
    assert (body["kind"], body["code"]) == ("Status", code)
    return body["message"]


# ---- bearer


def test_bearer_passes_on_the_very_token_that_was_verified(stage):
    answer = stage.ask("/bearer/a%20b?x=%2F", headers=stage.as_token())
    assert (answer.status_code, answer.text) == (200, "GET /bearer/a%20b?x=%2F")
    (seen,) = stage.tls.requests
    assert seen.values("Authorization") == [f"Bearer {stage.tokens[ANN]}"]
    assert dict(seen.peer["subject"][-1])["commonName"] == "gateway"
    assert seen.values("Host") == seen.values("X-Forwarded-Host") == [stage.host]
    assert seen.values("X-Forwarded-Proto") == ["https"] and seen.values("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.values("X-Request-Id") == [answer.headers["X-Request-Id"]]
    assert not seen.values("Cookie") and not remote(seen) and not [n for n, _ in seen.headers if n.lower().startswith("impersonate")]


def test_bearer_passes_on_a_sessions_own_id_token_which_opens_nothing_else(stage):
    assert stage.ask("/bearer", headers=stage.as_cookie()).status_code == 200
    (seen,) = stage.tls.requests
    (value,) = seen.values("Authorization")
    token = value.removeprefix("Bearer ")
    keys = jwt.PyJWKSet.from_dict(stage.ask("/oidc/keys").json()).keys
    (key,) = [k.key for k in keys if k.key_id == jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["RS256", "ES256"], audience=stage.gateway.issuer, issuer=stage.gateway.issuer)
    assert (claims["email"], claims["groups"]) == (ANN, GROUPS[ANN]) and claims["exp"] - claims["iat"] <= 600
    assert not seen.values("Cookie")
    assert stage.ask("/api/v1/pods", headers={"Authorization": value}).status_code == 401
    assert not stage.cluster.requests


def test_bearer_with_an_audience_passes_on_a_token_of_that_client_for_the_session(stage):
    assert stage.ask("/dashboard/x", headers=stage.as_cookie()).status_code == 200
    (value,) = stage.tls.requests[0].values("Authorization")
    claims, session = (jwt.decode(t, options={"verify_signature": False}) for t in (value.removeprefix("Bearer "), stage.tokens[ANN]))
    assert claims["aud"] == harness.CLIENT_ID and "azp" not in claims and claims["exp"] - claims["iat"] <= 600
    assert (claims["sid"], claims["sub"], claims["groups"]) == (session["sid"], session["sub"], session["groups"])
    # What Kubernetes Dashboard and its kin do with it: they call the cluster for their person.
    assert stage.ask("/api/v1/pods", headers={"Authorization": value}).status_code == 200
    assert stage.cluster.requests[0].values("Impersonate-User") == [ANN]
    # A caller's own token goes on as it is.
    assert stage.ask("/dashboard/x", headers=stage.as_token()).status_code == 200
    assert stage.tls.requests[1].values("Authorization") == [f"Bearer {stage.tokens[ANN]}"]


def test_an_audience_that_authd_does_not_know_is_told(stage):
    message = status_of(stage.ask("/stranger", headers=stage.as_cookie()), 403)
    assert message.endswith("authd makes no ID token for the route's audience: is it a client there?")
    assert not stage.tls.requests
    assert "client=nobody" in stage.gateway.authd.log_file.read_text()


def test_a_token_among_websocket_protocols_becomes_the_backends_bearer_token(stage):
    encoded = base64.urlsafe_b64encode(stage.tokens[ANN].encode()).rstrip(b"=").decode()
    with websocket(stage, "/bearer/ws", protocols=f"chat, base64url.bearer.authorization.k8s.io.{encoded}") as ws:
        assert ws.status == 101 and ws.echo(b"hello") == b"hello"
    (seen,) = stage.tls.requests
    assert seen.values("Authorization") == [f"Bearer {stage.tokens[ANN]}"] and seen.values("Sec-WebSocket-Protocol") == ["chat"]


def test_what_is_no_id_token_is_not_passed_on(stage):
    cert, key = stage.people_ca.issue("ann", "ann", usages=[Usage.CLIENT_AUTH])
    answer = stage.ask("/bearer", cert=(str(cert), str(key)))
    assert status_of(answer, 403) == 'User "ann" cannot use route "/bearer": an ID token is passed on here, and they have proven themselves with something else'
    assert not stage.tls.requests
    assert stage.ask("/front", cert=(str(cert), str(key))).status_code == 200
    assert remote(stage.tls.requests[0])[0] == ("User", "ann")


# ---- front proxy


@pytest.mark.parametrize("credential, how", [("as_token", "jwt"), ("as_cookie", "session")])
def test_front_proxy_names_the_caller_in_headers(stage, credential, how):
    assert stage.ask("/front/x", headers=getattr(stage, credential)()).status_code == 200
    (seen,) = stage.tls.requests
    names = remote(seen)
    assert names[:4] == ANNS and ("Extra-gatehouse%2Fhow", how) in names
    assert not seen.values("Authorization") and not seen.values("Cookie")
    assert [n for n, _ in seen.headers][-len(names):] == [f"X-Remote-{n}" for n, _ in names], "the identity comes last"


def test_front_proxy_over_a_socket_with_its_prefix_taken_off(stage):
    assert stage.ask("/socket", headers=stage.as_token()).text == "GET /"
    assert stage.ask("/socket/a//b;c?d", headers=stage.as_token()).status_code == 400
    assert stage.ask("/socket/x/y/a//b;c?d", headers=stage.as_token()).text == "GET /x/y/a//b;c?d"
    assert [remote(r)[:4] for r in stage.socket.requests] == [ANNS, ANNS]


# ---- session, public


def test_session_is_for_people_in_browsers_only(stage):
    assert stage.ask("/session/x", headers=stage.as_cookie()).text == "GET /session/x"
    (seen,) = stage.plain.requests
    assert not seen.values("Cookie") and not seen.values("Authorization") and not remote(seen)
    for headers in ({}, stage.as_token(), {"Cookie": "__Host-gatehouse=nobodys"}, {"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"},
                    {"Accept": "text/html", "Sec-Fetch-Mode": "cors"}):
        assert status_of(stage.ask("/session/x", headers=headers), 401) == "Unauthorized"
    cert, key = stage.people_ca.issue("ann", "ann", usages=[Usage.CLIENT_AUTH])
    assert stage.ask("/session/x", cert=(str(cert), str(key))).status_code == 401
    assert len(stage.plain.requests) == 1


def test_a_browser_is_sent_to_sign_in_and_back(stage):
    answer = stage.ask("/session/x?y=%20z", headers=BROWSER)
    assert answer.status_code == 302
    where = urllib.parse.urlsplit(answer.headers["Location"])
    assert where.path == "/console/signin" and urllib.parse.parse_qs(where.query)["to"] == ["/session/x?y=%20z"]
    stranger = harness.Person(stage.gateway, BOB, "battery staple")
    page = stranger.walk(stage.url + "/session/x?y=%20z") if stranger.browser.headers.update(BROWSER) is None else None
    assert page.url == stage.url + "/session/x?y=%20z" and page.text == "GET /session/x?y=%20z"


def test_the_applications_own_authorization_passes_where_nobody_is_named(stage):
    assert stage.ask("/session/x", headers=stage.as_cookie() | {"Authorization": "Basic YTpi"}).status_code == 200
    assert stage.ask("/session/open", headers={"Authorization": "Basic YTpi"}).status_code == 200
    assert [r.values("Authorization") for r in stage.plain.requests] == [["Basic YTpi"]] * 2


def test_public_is_for_everybody(stage):
    assert stage.ask("/session/open/x", "POST", data=b"body").text == "POST /session/open/x"
    assert stage.plain.requests[0].body == b"body" and not remote(stage.plain.requests[0])


def test_a_route_with_a_host_is_found_by_it(stage):
    def ask(host, path):
        context = stage.client_context()
        context.check_hostname = False  # the gateway's certificate is for localhost
        with socket.create_connection(("127.0.0.1", stage.gateway.port), 20) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{stage.gateway.port}\r\nAccept: text/html\r\n\r\n".encode())
            return harness.read_answer(tls)

    status, _, body = ask("app.example", "/clusters/x?y")
    assert (status, body) == (200, b"GET /base/clusters/x?y")
    assert stage.plain.requests[0].values("Host") == [f"app.example:{stage.gateway.port}"]
    assert ask("apps.example", "/api")[0] == 302
    assert ask("app.example", "/console/")[2] == b"GET /base/console/", "all of that host is the application's"


# ---- who may


def test_allowed_groups_of_a_route_and_of_a_cluster(stage):
    for headers in (stage.as_token(BOB), stage.as_cookie(BOB)):
        message = status_of(stage.ask("/socket", headers=headers), 403)
        assert message == f'User "{BOB}" cannot use route "/socket": they are in none of its allowedGroups'
        message = status_of(stage.ask("/api", headers=headers), 403)
        assert message == f'User "{BOB}" cannot use cluster "default": they are in none of its allowedGroups'
        answer = stage.ask("/clusters/default/api", headers=headers)
        assert status_of(answer, 403) == message
        assert answer.headers["Warning"] == '299 - "' + message.replace('"', '\\"') + '"', "what kubectl prints where it reads no Status"
    page = stage.ask("/socket", headers=stage.as_cookie(BOB) | BROWSER)
    assert page.status_code == 403 and page.headers["Content-Type"].startswith("text/html") and "allowedGroups" in page.text
    assert not stage.socket.requests and not stage.cluster.requests
    assert stage.ask("/api", headers=stage.as_token()).status_code == 200
    assert stage.ask("/front", headers=stage.as_token(BOB)).status_code == 200


# ---- cookies


def test_cookies_of_ours_stay_here_and_no_backend_sets_them(stage):
    def answer(recorded):
        return 200, {"Set-Cookie": "a=1"}, b""

    name = stage.cookies[ANN].split("=")[0]
    sets = [f"{name}=evil; Path=/; Secure", f"{name}-login=evil", f"={name}=evil", name, "theirs=1; HttpOnly"]

    def on_request(recorded, stream):
        lines = "".join(f"Set-Cookie: {s}\r\n" for s in sets)
        stream.sendall(f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n".encode())
        return True

    for backend, path in ((stage.tls, "/front"), (stage.tls, "/bearer"), (stage.plain, "/session"), (stage.plain, "/session/open"), (stage.cluster, "/api")):
        backend.on_request = on_request
        headers = {"Cookie": f"x=1; {stage.cookies[ANN]}; {name}_more=2; y=2"}
        assert stage.ask(path, headers=headers).headers["Set-Cookie"] == "theirs=1; HttpOnly"
        assert backend.requests[-1].values("Cookie") == ["x=1; y=2"]
        with stage.h2() as h2:
            got = h2.answer(h2.request("GET", path, headers=[("cookie", "x=1"), ("cookie", stage.cookies[ANN]), ("cookie", "y=2")]))
            assert got.headers["set-cookie"] == "theirs=1; HttpOnly" and got.status == 200
        assert backend.requests[-1].values("Cookie") == ["x=1; y=2"]


# ---- one origin


def test_what_a_pod_shows_to_a_browser_is_no_page_of_this_origin(stage):
    """Below …/proxy anybody's program answers; its scripts would be the visitor's."""
    html = {"Content-Type": "text/html", "Clear-Site-Data": '"*"', "Service-Worker-Allowed": "/"}
    stage.cluster.answer = lambda r: (200, html, b"<script>alert(document.domain)</script>")
    path = "/api/v1/namespaces/a/pods/b/proxy/"
    answer = stage.ask(path, headers=stage.as_cookie())
    assert answer.headers["Content-Security-Policy"] == "sandbox" and "Clear-Site-Data" not in answer.headers and "Service-Worker-Allowed" not in answer.headers
    with stage.h2() as h2:
        fields = h2.answer(h2.request("GET", path, headers=[("cookie", stage.cookies[ANN])])).headers
        assert fields["content-security-policy"] == "sandbox" and "clear-site-data" not in fields
    assert "Content-Security-Policy" not in stage.ask(path, headers=stage.as_token()).headers, "no browser sends that by itself"
    stage.plain.answer = lambda r: (200, html, b"")
    answer = stage.ask("/session", headers=stage.as_cookie())
    assert not {"Content-Security-Policy", "Clear-Site-Data", "Service-Worker-Allowed"} & set(answer.headers)


# ---- pages of others


@pytest.mark.parametrize("path", ["/session/x", "/front/x", "/bearer", "/api/v1/namespaces"])
def test_a_cookie_changes_something_only_for_pages_of_ours(stage, path):
    mine, evil = f"https://{stage.host}", "https://evil.example"
    refused = [{}, {"Origin": evil}, {"Origin": "null"}, {"Origin": f"http://{stage.host}"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
               {"Origin": "null", "Sec-Fetch-Site": "cross-site"}, {"Origin": evil, "Sec-Fetch-Site": "same-origin"}]
    allowed = [{"Origin": mine}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "null", "Sec-Fetch-Site": "same-origin"}]
    for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND"):
        for headers in refused:
            assert stage.ask(path, method, headers | stage.as_cookie()).status_code == 401, (method, headers)
    assert not stage.plain.requests and not stage.tls.requests and not stage.cluster.requests
    for method in ("POST", "DELETE"):
        for headers in allowed:
            assert stage.ask(path, method, headers | stage.as_cookie()).status_code == 200, (method, headers)
    with stage.h2() as h2:
        cookie = [("cookie", stage.cookies[ANN])]
        assert h2.answer(h2.request("POST", path, headers=cookie, body=b"")).status == 401
        assert h2.answer(h2.request("POST", path, headers=cookie + [("origin", evil)], body=b"")).status == 401
        assert h2.answer(h2.request("POST", path, headers=cookie + [("origin", "https://localhost")], body=b"")).status == 200


def test_a_listed_origin_is_taken_for_ours_on_its_route(stage):
    friend = {"Origin": "https://friend.example"} | stage.as_cookie()
    assert stage.ask("/session/x", "POST", friend).status_code == 200
    assert stage.ask("/front/x", "POST", friend).status_code == 401


# ---- WebSockets


class WebSocket:
    def __init__(self, stage, path, headers, protocols):
        lines = "".join(f"{n}: {v}\r\n" for n, v in headers.items()) + (f"Sec-WebSocket-Protocol: {protocols}\r\n" if protocols else "")
        self.key = base64.b64encode(os.urandom(16)).decode()
        plain = socket.create_connection(("127.0.0.1", stage.gateway.port), 20)
        self.tls = stage.client_context().wrap_socket(plain, server_hostname="localhost")
        self.tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {stage.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         f"Sec-WebSocket-Key: {self.key}\r\n{lines}\r\n".encode())
        self.stream = self.tls.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.stream.read(1)
            assert byte, head
            head += byte
        self.status, self.head = int(head.split()[1]), head.decode()

    def echo(self, data):
        self.tls.sendall(data)
        return self.stream.read(len(data))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stream.close()
        self.tls.close()


def switch(recorded, stream):
    """A backend that accepts (RFC 6455, 4.2.2) and sends back what comes."""
    if not recorded.values("Upgrade"):
        write_answer(stream, 200, {}, b"")
        return True
    key = recorded.values("Sec-WebSocket-Key")[0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    stream.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    while data := stream.recv(4096):
        stream.sendall(data)
    return False


def websocket(stage, path, headers=None, protocols=None):
    for backend in (stage.tls, stage.plain, stage.socket):
        backend.on_request = switch
    return WebSocket(stage, path, headers or {}, protocols)


def test_websockets_are_opened_by_pages_of_ours_and_of_listed_origins(stage):
    mine, friend, evil = ({"Origin": o} for o in (f"https://{stage.host}", "https://friend.example", "https://evil.example"))
    cookie, token = stage.as_cookie(), stage.as_token()
    cases = [("/session/ws", mine | cookie, 101), ("/session/ws", friend | cookie, 101), ("/session/ws", evil | cookie, 401), ("/session/ws", cookie, 401),
             ("/session/ws", mine, 401), ("/front/ws", mine | cookie, 101), ("/front/ws", friend | cookie, 401), ("/front/ws", token, 101),
             ("/front/ws", evil | token, 403), ("/session/open", {}, 101), ("/session/open", mine, 101), ("/session/open", evil, 403),
             ("/session/open", {"Origin": "null"}, 403), ("/socket/ws", mine | cookie, 101)]
    for path, headers, status in cases:
        with websocket(stage, path, headers) as ws:
            assert ws.status == status, (path, headers, ws.head)
            if status == 101:
                assert ws.echo(b"\x81\x85mask12345") == b"\x81\x85mask12345"
    assert [r.target for r in stage.socket.requests] == ["/ws"]


# ---- what goes wrong


@pytest.mark.parametrize("how, reason", [("other ca", "certificate verify failed"), ("other name", "certificate verify failed"), ("no certificate", "alert")])
def test_a_backend_that_is_not_the_right_one_gets_nothing(stage, tmp_path, how, reason):
    proxyd, before = stage.gateway.proxyd, stage.gateway.proxyd.config
    changed = json.loads(json.dumps(before))
    tls = {"certificateAuthority": str((CA(tmp_path, "other") if how == "other ca" else stage.ca).file)}
    tls |= {"serverName": "other.example"} if how == "other name" else {}
    changed["routes"].append({"path": "/wrong", "to": f"https://127.0.0.1:{stage.tls.address[1]}", "kind": "bearer", "tls": tls})
    proxyd.write_config(changed)
    proxyd.reload()
    try:
        # A connection may still be the old worker's, which has no such route.
        answer = until("the new route", lambda: stage.ask("/wrong", headers=stage.as_cookie()), lambda a: a.status_code not in (404, 200))
        assert reason in status_of(answer, 502) or "closed" in answer.text
        assert not stage.tls.requests
    finally:
        proxyd.write_config(before)
        proxyd.reload()


def test_a_person_whose_session_is_not_accepted_is_not_sent_in_circles(tmp_path):
    """claimValidationRules refuse what authd says of them: it would send them straight back."""
    gateway = harness.Gateway(tmp_path, {ANN: "correct horse"})
    gateway.proxyd.config["authentication"]["jwt"][0]["claimValidationRules"] = [{"claim": "hd", "requiredValue": "example.org"}]
    gateway.proxyd.config["routes"].append({"path": "/app", "to": "http://127.0.0.1:1", "kind": "session"})
    gateway.proxyd.write_config(gateway.proxyd.config)
    with gateway:
        person = gateway.people[ANN]
        person.sign_in()
        answer = person.browser.get(gateway.url + "/app", headers=BROWSER, timeout=20)
        assert answer.status_code == 403 and not answer.history and "you are signed in, but not accepted here" in answer.text
        assert person.browser.get(gateway.url + "/app", timeout=20).status_code == 401
        assert person.browser.get(gateway.url + "/console/", headers=BROWSER, timeout=20).status_code == 200, "the console is authd's"


def test_errors_are_pages_for_browsers_and_objects_for_others(stage):
    assert "connection refused" in status_of(stage.ask("/gone/x"), 502).lower()
    page = stage.ask("/gone/x", headers=BROWSER)
    assert page.status_code == 502 and page.text.startswith("<!DOCTYPE html>") and "refused" in page.text.lower()
    assert status_of(stage.ask("/absent/x"), 502) == "the service behind /absent: its socket is not there: is it running?"
    stage.plain.answer = lambda r: (401, {"WWW-Authenticate": "Basic", "Location": "x"}, b"mine")
    answer = stage.ask("/session/open")
    assert (answer.status_code, answer.text, answer.headers["WWW-Authenticate"]) == (401, "mine", "Basic"), "a backend's own refusal is its own"


@pytest.mark.parametrize("path", ["/session/%6fpen", "/session/ope%6E/x", "/session/%256fpen", "/%73ession/open", "/session/open%2fx", "/session/./open",
                                  "/session//open", "/session/x/../open", "/session/%2e%2e/front", "/session;x/open", "/session/open;x", "/session/open%3bx",
                                  "/session\\open", "/session/open%5cx", "/session/open%00", "/session/%c0%af", "//session/open", "/./session/open"])
def test_a_path_that_could_belong_to_another_route_goes_nowhere(stage, path):
    for headers in ("", f"Cookie: {stage.cookies[ANN]}\r\n"):
        status, _, body = stage.gateway.raw(f"GET {path} HTTP/1.1\r\nHost: {stage.host}\r\n{headers}\r\n".encode())
        assert status == 400, body
    with stage.h2() as h2:
        answer = h2.answer(h2.request("GET", path, headers=[("cookie", stage.cookies[ANN])]))
        assert answer.reset is not None or answer.status == 400
    assert not stage.plain.requests and not stage.cluster.requests and not stage.tls.requests


def test_a_reload_changes_routes_and_a_bad_one_changes_nothing(stage):
    proxyd, before = stage.gateway.proxyd, stage.gateway.proxyd.config
    try:
        changed = json.loads(json.dumps(before))
        changed["routes"].append({"path": "/new", "to": f"http://127.0.0.1:{stage.plain.address[1]}", "kind": "public"})
        assert stage.ask("/new").status_code == 401
        proxyd.write_config(changed)
        proxyd.reload()
        until("the new route", lambda: stage.ask("/new").status_code == 200)  # a connection may still have been the old worker's
        broken = json.loads(json.dumps(changed))
        broken["routes"][-1]["to"] = "http://backend.example"
        proxyd.write_config(broken)
        assert f"routes[{len(broken['routes']) - 1}].to: is refused: http leads to this machine only" in proxyd.check().stderr
        proxyd.reload(fails=True)
        assert stage.ask("/new").status_code == 200
    finally:
        proxyd.write_config(before)
        proxyd.reload()
        until("the new route's end", lambda: stage.ask("/new").status_code != 200)


def test_the_log_says_who_came_to_which_route(stage):
    stage.ask("/front/logged", headers=stage.as_cookie())
    (line,) = stage.gateway.proxyd.wait_lines(lambda line: line.get("path") == "/front/logged", "the request")
    assert (line["route"], line["user"], line["how"], line["status"]) == ("/front", ANN, "session", 200)
    text = stage.gateway.proxyd.log_file.read_text()
    assert not any(secret in text for secret in [*stage.tokens.values(), *(c.split("=", 1)[1] for c in stage.cookies.values())])
