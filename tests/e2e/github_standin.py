"""A stand-in for GitHub that speaks its documented API over HTTPS: the OAuth web flow (with PKCE) and the REST calls that
sign-in needs, with pages and Link headers. Who signs in next, and what goes wrong, is set on the object by the test."""
import base64
import hashlib
import http.server
import json
import secrets
import ssl
import threading
import time
import urllib.parse

from waiting import Seen


class Account:
    """One GitHub account. orgs: names; teams: (org, team name, slug) triples; emails: (address, verified, primary)."""

    def __init__(self, id, login, name=None, emails=None, orgs=(), teams=()):
        self.id, self.login, self.name = id, login, name
        self.emails = emails if emails is not None else [(f"{login}@example.com", True, True)]
        self.orgs, self.teams = list(orgs), list(teams)


class GitHub:
    """with GitHub(cert, key) as g: g.url is both login and API base. g.next_user decides who presses the green button.

    Faults: g.fail[path] = list of (status, headers, body) served first, one each; g.delay is an Event or None: when set to an
    Event, API calls wait for it; g.deny makes the person say no; page_size bounds per_page so that paging is exercised."""

    def __init__(self, cert, key, client_id="gh-client", client_secret="gh-secret"):
        self.client_id, self.client_secret = client_id, client_secret
        self.accounts, self.codes, self.tokens = {}, {}, {}
        self.next_user, self.deny, self.page_size = None, False, 100
        self.others_tokens = set()  # good ones that were given to another application
        self.fail, self.delay, self.calls, self.lock = {}, None, Seen(), threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def do_GET(self):
                outer._serve(self, "GET", b"")

            def do_POST(self):
                outer._serve(self, "POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        # The handshake runs in the connection's own thread: a client that never speaks delays nobody.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc):
        if self.delay:
            self.delay.set()
        self.server.shutdown()
        self.server.server_close()

    def add(self, account):
        self.accounts[account.id] = account
        self.next_user = account
        return account

    def _serve(self, h, method, body):
        url = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        with self.lock:
            self.calls.append((method, url.path))
            fault = self.fail.get(url.path)
            fault = fault.pop(0) if fault else None
        if self.delay and url.path != "/login/oauth/authorize":
            self.delay.wait(60)
        if fault:
            return self._answer(h, fault[0], fault[2], fault[1])
        if url.path == "/login/oauth/authorize":
            return self._authorize(h, query)
        if url.path == "/login/oauth/access_token" and method == "POST":
            return self._access_token(h, dict(urllib.parse.parse_qsl(body.decode())))
        if url.path.startswith("/applications/") and method == "POST":
            return self._check_token(h, url.path, json.loads(body))
        scheme, _, token = h.headers.get("Authorization", "").partition(" ")
        account = self.tokens.get(token) if scheme.lower() in ("bearer", "token") else None
        if not account:
            return self._answer(h, 401, {"message": "Bad credentials"})
        if not h.headers.get("User-Agent"):
            return self._answer(h, 403, {"message": "Request forbidden by administrative rules."})
        return self._api(h, account, url.path, query)

    def _authorize(self, h, q):
        if q.get("client_id") != self.client_id or not q.get("redirect_uri"):
            return self._answer(h, 404, {"message": "Not Found"})
        params = {"state": q.get("state", "")}
        if self.deny:
            params.update(error="access_denied", error_description="The user has denied your application access.")
        else:
            code = secrets.token_hex(10)
            with self.lock:
                self.codes[code] = (self.next_user, q["redirect_uri"], q.get("code_challenge"), q.get("scope", ""))
            params["code"] = code
        self._answer(h, 302, "", {"Location": q["redirect_uri"] + "?" + urllib.parse.urlencode(params)})

    def _access_token(self, h, form):
        with self.lock:
            account, redirect_uri, challenge, scope = self.codes.pop(form.get("code"), (None, None, None, None))
        verifier = form.get("code_verifier", "")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if form.get("client_id") != self.client_id or form.get("client_secret") != self.client_secret:
            answer = {"error": "incorrect_client_credentials", "error_description": "The client_id and/or client_secret passed are incorrect."}
        elif account is None or (challenge and digest != challenge):
            answer = {"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."}
        elif form.get("redirect_uri") not in (None, redirect_uri):
            answer = {"error": "redirect_uri_mismatch", "error_description": "The redirect_uri MUST match the registered callback URL."}
        else:
            token = "gho_" + secrets.token_hex(18)
            self.tokens[token] = account
            answer = {"access_token": token, "scope": scope.replace(" ", ","), "token_type": "bearer"}
        self._answer(h, 200, answer)

    def _check_token(self, h, path, form):
        pair = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if h.headers.get("Authorization") != f"Basic {pair}":
            return self._answer(h, 401, {"message": "Requires authentication"})
        account = self.tokens.get(form["access_token"])
        if path != f"/applications/{self.client_id}/token" or not account or form["access_token"] in self.others_tokens:
            return self._answer(h, 404, {"message": "Not Found"})
        return self._answer(h, 200, {"id": 1, "app": {"client_id": self.client_id, "name": "Gatehouse"}, "user": {"login": account.login, "id": account.id}})

    def _api(self, h, account, path, query):
        parts = path.strip("/").split("/")
        if path == "/user":
            return self._answer(h, 200, {"id": account.id, "login": account.login, "name": account.name, "email": None, "type": "User"})
        if path == "/user/emails":
            return self._page(h, query, path, [{"email": e, "verified": v, "primary": p, "visibility": None} for e, v, p in account.emails])
        if path == "/user/orgs":
            return self._page(h, query, path, [{"login": o, "id": 1} for o in account.orgs])
        if path == "/user/teams":
            return self._page(h, query, path, [{"name": n, "slug": s, "organization": {"login": o}} for o, n, s in account.teams])
        if len(parts) == 4 and parts[0] == "orgs" and parts[2] == "members":
            mine = [o.lower() for o in account.orgs]
            found = parts[1].lower() in mine and parts[3].lower() == account.login.lower()
            return self._answer(h, 204 if found else 404, "" if found else {"message": "Not Found"})
        return self._answer(h, 404, {"message": "Not Found"})

    def _page(self, h, query, path, items):
        size = min(int(query.get("per_page", 30)), self.page_size)
        page = int(query.get("page", 1))
        headers = {}
        if page * size < len(items):
            base = f"{self.url}{path}?per_page={size}&page="
            headers["Link"] = f'<{base}{page + 1}>; rel="next", <{base}{-(-len(items) // size)}>; rel="last"'
        self._answer(h, 200, items[(page - 1) * size:page * size], headers)

    @staticmethod
    def _answer(h, status, body, headers=None):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        h.send_response(status)
        if data:
            h.send_header("Content-Type", "application/json; charset=utf-8")
        if status != 204:
            h.send_header("Content-Length", str(len(data)))
        for k, v in (headers or {}).items():
            h.send_header(k, v)
        h.end_headers()
        try:
            h.wfile.write(data)
        except OSError:
            pass


def rate_limited(seconds):
    """A fault as GitHub documents its primary rate limit."""
    reset = str(int(time.time()) + seconds)
    return (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, {"message": "API rate limit exceeded"})
