"""Ended sessions reach a proxyd on another machine: over https, with a secret, held open, and going on where it left off whatever was restarted."""
import concurrent.futures
import http.server
import json
import os
import signal
import threading
import time

import pytest
import requests

from authd_client import CLI, Authd, fields
from gatehouse import CA, Proxyd, Upstream, proxyd_config, request
from harness import free_port

SECRET, OLD_SECRET = "s" * 40 + "+/=", "o" * 44


class Elsewhere:
    """authd on its own https address, and a proxyd that has nothing of its machine: the CA, the issuer's URL and a secret."""

    def __init__(self, folder, ca, upstream):
        self.folder, self.ca, self.upstream = folder, ca, upstream
        self.authd = Authd(folder)
        self.port = free_port()
        self.issuer = f"https://localhost:{self.port}/oidc"
        cert, key = ca.issue("authd")
        self.secret_file = folder / "feed.secret"
        self.keep(SECRET)
        self.authd.program.write_config(self.authd.program.config | {
            "issuer": self.issuer, "web": {"https": f"127.0.0.1:{self.port}", "tlsCert": str(cert), "tlsKey": str(key), "unix": str(self.authd.socket)},
            "revocations": {"secretFile": str(self.secret_file)}})
        self.authd.origin, self.authd.issuer = f"https://localhost:{self.port}", self.issuer
        self.proxyd_secret = folder / "proxyd.secret"
        self.write(self.proxyd_secret, SECRET)

    @staticmethod
    def write(file, text):
        file.touch(mode=0o600)
        file.write_text(text + "\n")

    def keep(self, *secrets):
        self.write(self.secret_file, "\n".join(secrets))

    def proxyd(self, folder=None, **session):
        config = proxyd_config(self.ca, (), self.upstream, workers=2)
        config["authentication"] = {
            "jwt": [{"issuer": {"url": self.issuer, "audiences": [CLI], "certificateAuthority": str(self.ca.file)},
                     "claimMappings": {"username": {"claim": "email", "prefix": ""}}}],
            "session": {"revocationsSecretFile": str(self.proxyd_secret)} | session}
        folder = folder or self.folder
        folder.mkdir(exist_ok=True)
        return Proxyd(folder, config)

    def person(self):
        browser = self.authd.browser()
        browser.http.verify = str(self.ca.file)
        browser.token = browser.tokens(scope="openid email")["id_token"]
        return browser


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    ca = CA(tmp_path / "ca")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca.file))
    with Upstream(ca) as upstream:
        e = Elsewhere(tmp_path, ca, upstream)
        with e.authd:
            yield e


def status(proxyd, ca, token):
    return request(proxyd.address, "GET", "/api", ca, token=token)[0]


def statuses(proxyd, ca, token, n=12):
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return set(pool.map(lambda _: status(proxyd, ca, token), range(n)))


def sign_out(browser):
    answer = browser.post("/console/signout", fields(browser.get("/console/").text))
    assert "You are signed out" in answer.text


def stops_within_a_second(proxyd, ca, token):
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline and statuses(proxyd, ca, token) != {401}:
        pass
    assert statuses(proxyd, ca, token) == {401}


def test_a_session_that_ends_stops_there_within_a_second(elsewhere):
    with elsewhere.proxyd() as proxyd:
        proxyd.wait_log("following news of ended sessions")
        ann, bob = elsewhere.person(), elsewhere.person()
        assert statuses(proxyd, elsewhere.ca, ann.token) == {200} == statuses(proxyd, elsewhere.ca, bob.token)
        sign_out(ann)
        stops_within_a_second(proxyd, elsewhere.ca, ann.token)
        assert statuses(proxyd, elsewhere.ca, bob.token) == {200}
        cookie = "; ".join(f"{c.name}={c.value}" for c in bob.http.cookies)
        assert request(proxyd.address, "GET", "/api", elsewhere.ca, headers={"Cookie": cookie})[0] == 401, "there is no socket to ask about cookies"


def test_the_news_go_on_after_either_side_was_restarted(elsewhere):
    with elsewhere.proxyd() as proxyd:
        proxyd.wait_log("following news of ended sessions")
        first, second, third, last = (elsewhere.person() for _ in range(4))
        sign_out(first)
        stops_within_a_second(proxyd, elsewhere.ca, first.token)
        elsewhere.authd.program.stop()
        proxyd.wait_log("news of ended sessions cannot be read")
        assert statuses(proxyd, elsewhere.ca, first.token) == {401} and statuses(proxyd, elsewhere.ca, second.token) == {200}
        elsewhere.authd.program.start()
        proxyd.wait_log("following news of ended sessions", count=2)
        sign_out(second)
        stops_within_a_second(proxyd, elsewhere.ca, second.token)
        mark = proxyd.mark()
        os.kill(proxyd.pids("keeper")[0], signal.SIGKILL)
        proxyd.wait_log("following news of ended sessions", after=mark)
        sign_out(third)
        stops_within_a_second(proxyd, elsewhere.ca, third.token)
    assert not [line for line in proxyd.lines if SECRET in json.dumps(line)]
    sign_out_while_away = elsewhere.person()
    sign_out(sign_out_while_away)
    with elsewhere.proxyd(elsewhere.folder / "anew") as proxyd:
        proxyd.wait_log("following news of ended sessions", sessions=4)
        for ended in (first, second, third, sign_out_while_away):
            assert statuses(proxyd, elsewhere.ca, ended.token) == {401}
        assert statuses(proxyd, elsewhere.ca, last.token) == {200}


def feed(elsewhere, secret=None, query="", **more):
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return requests.get(f"{elsewhere.issuer}/revocations{query}", headers=headers | more, verify=str(elsewhere.ca.file), timeout=20, allow_redirects=False)


def test_only_who_has_the_secret_reads_them(elsewhere):
    browser = elsewhere.person()
    sign_out(browser)
    answer = feed(elsewhere, SECRET)
    assert answer.status_code == 200 and len(answer.json()["revoked"]) == 1 and answer.headers["Cache-Control"] == "no-store"
    for secret in (None, "", SECRET[:-1], SECRET + "x", OLD_SECRET, SECRET.upper()):
        refused = feed(elsewhere, secret)
        assert refused.status_code == 401 and refused.headers["WWW-Authenticate"].startswith("Bearer") and not refused.content
    assert feed(elsewhere, None, f"?access_token={SECRET}").status_code == 401
    assert feed(elsewhere, None, Cookie=f"secret={SECRET}").status_code == 401
    assert feed(elsewhere, None, Authorization=f"Basic {SECRET}").status_code == 401
    assert feed(elsewhere, browser.token).status_code == 401
    log = elsewhere.authd.log()
    assert "news of ended sessions refused" in log and SECRET not in log
    elsewhere.authd.program.write_config({k: v for k, v in elsewhere.authd.program.config.items() if k != "revocations"})
    elsewhere.authd.program.reload()
    assert feed(elsewhere, SECRET).status_code == 404, "without a secret there is no such page"


def test_a_secret_is_changed_without_a_gap(elsewhere):
    with elsewhere.proxyd() as proxyd:
        proxyd.wait_log("following news of ended sessions")
        elsewhere.keep(SECRET, OLD_SECRET)
        elsewhere.authd.program.reload()
        assert feed(elsewhere, SECRET).status_code == 200 == feed(elsewhere, OLD_SECRET).status_code
        elsewhere.write(elsewhere.proxyd_secret, OLD_SECRET)
        proxyd.reload()
        elsewhere.keep(OLD_SECRET)
        elsewhere.authd.program.reload()
        ann = elsewhere.person()
        assert statuses(proxyd, elsewhere.ca, ann.token) == {200}
        sign_out(ann)
        stops_within_a_second(proxyd, elsewhere.ca, ann.token)
        assert not proxyd.find_log("news of ended sessions cannot be read")


def test_another_secret_is_said_and_tokens_go_on(elsewhere):
    elsewhere.write(elsewhere.proxyd_secret, OLD_SECRET)
    with elsewhere.proxyd() as proxyd:
        proxyd.wait_log("news of ended sessions cannot be read", reason=lambda why: "another secret" in why)
        assert statuses(proxyd, elsewhere.ca, elsewhere.person().token) == {200}


def test_a_secret_goes_to_nobody_whom_the_authority_does_not_vouch_for(elsewhere, tmp_path):
    """The issuer's address is taken by somebody else: nothing is sent."""
    seen = []
    with elsewhere.proxyd() as proxyd:
        proxyd.wait_log("following news of ended sessions")
        elsewhere.authd.program.stop()
        stranger = CA(tmp_path / "stranger", "stranger")
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(self.headers)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", elsewhere.port), Handler)
        server.socket = stranger.server_context(*stranger.issue("authd")).wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        mark = proxyd.mark()
        os.kill(proxyd.pids("keeper")[0], signal.SIGKILL)
        proxyd.wait_log("news of ended sessions cannot be read", after=mark)
        server.shutdown()
        server.server_close()
        assert not seen
    elsewhere.authd.program.start()


def test_what_the_check_says(elsewhere):
    os.chmod(elsewhere.proxyd_secret, 0o644)
    done = elsewhere.proxyd().check()
    assert done.returncode == 1 and "authentication.session.revocationsSecretFile: " in done.stderr and "chmod o=" in done.stderr
    os.chmod(elsewhere.secret_file, 0o644)
    done = elsewhere.authd.program.check()
    assert done.returncode == 1 and "revocations.secretFile: " in done.stderr
