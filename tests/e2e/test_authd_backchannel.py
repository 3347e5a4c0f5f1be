"""authd: back-channel logout, to real receiving servers. The conformance suite's modules by their names (oidcc-backchannel-…), and what they do not ask."""
import http.server
import json
import signal
import threading
import time
import urllib.parse

import jwt
import pytest

from authd_client import CLI, OTHER, OTHER_SECRET, PASSWORD, WEB, WEB_SECRET, WEB_URI, Authd, fields, person, query_of
from clock import Clock
from harness import free_port

BACK = "https://app.example/bye"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
BOB = "bob@example.com"


class Receiver:
    """A relying party's back-channel endpoint. answers: statuses to give in turn, the last for ever; gate: set while it may answer."""

    def __init__(self, port=0, answers=(200,)):
        self.requests, self.changed, self.answers, self.gate = [], threading.Condition(), list(answers), threading.Event()
        self.gate.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with receiver.changed:
                    status = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                    receiver.requests.append((self.path, dict(self.headers), body, time.monotonic()))
                    receiver.changed.notify_all()
                receiver.gate.wait(30)
                try:
                    self.send_response(status)
                    if status == 307:
                        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.uri = self.uri_at(self.port)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def uri_at(port):
        return f"http://127.0.0.1:{port}/backchannel_logout?tenant=1"

    def wait(self, n=1, timeout_s=20):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= n, timeout_s), f"{len(self.requests)} of {n} came"
            return list(self.requests)

    def token(self, i=0):
        """The only parameter of a request."""
        path, headers, body, _ = self.wait(i + 1)[i]
        assert path == "/backchannel_logout?tenant=1" and headers["Content-Type"] == "application/x-www-form-urlencoded"
        ((name, value),) = urllib.parse.parse_qsl(body, strict_parsing=True)
        assert name == "logout_token"
        return value

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()


def start(folder, uri, other=None, **more):
    clients = [
        {"id": CLI, "name": "kubectl", "public": True, "redirectURIs": ["http://127.0.0.1/callback"]},
        {"id": WEB, "name": "Web", "secret": WEB_SECRET, "redirectURIs": [WEB_URI], "postLogoutRedirectURIs": [BACK], "backchannelLogoutURI": uri,
         "backchannelLogoutSessionRequired": True},
        {"id": OTHER, "name": "Other", "secret": OTHER_SECRET, "redirectURIs": [WEB_URI]} | ({"backchannelLogoutURI": other} if other else {}),
    ]
    return Authd(folder, staticClients=clients, staticPasswords=[person(), person(BOB)], **more)


@pytest.fixture
def authd(tmp_path, receiver):
    with start(tmp_path, receiver.uri) as authd:
        yield authd


def sign_in(browser, client=WEB, secret=WEB_SECRET, scope="openid", login=None):
    """The token endpoint's answer at a client with a secret."""
    answer = browser.authorize(client, WEB_URI, scope)
    if not answer.is_redirect:
        answer = browser.fill(answer, *([login, PASSWORD] if login else []))
    form = {"grant_type": "authorization_code", "code": query_of(answer.headers["Location"])["code"], "redirect_uri": WEB_URI}
    answer = browser.authd.token(form, auth=(client, secret))
    assert answer.status_code == 200, answer.text
    return answer.json()


def signed_in(authd, **more):
    browser = authd.browser()
    browser.answer = sign_in(browser, **more)
    browser.claims = authd.verified(browser.answer["id_token"], WEB)
    return browser


def sign_out(browser):
    answer = browser.post("/console/signout", fields(browser.get("/console/").text))
    assert "You are signed out" in answer.text


def logout_claims(authd, token):
    """Of a logout token as section 2.6 has a client check it."""
    claims = authd.verified(token, WEB, typ="logout+jwt")
    assert claims["events"] == {EVENT: {}} and "nonce" not in claims
    assert abs(claims["iat"] - time.time()) < 60 and 0 < claims["exp"] - claims["iat"] <= 120
    assert len(claims["jti"]) >= 22 and set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti", "sid", "events"}
    return claims


def assert_told(authd, receiver, browser, i=0):
    claims = logout_claims(authd, receiver.token(i))
    assert claims["sub"] == browser.claims["sub"] and claims["sid"] == browser.claims["sid"]
    return claims


# ---- conformance ----


def test_oidcc_backchannel_logout_discovery_endpoint_verification(authd):
    document = authd.get("/oidc/.well-known/openid-configuration").json()
    assert document["backchannel_logout_supported"] is True and document["backchannel_logout_session_supported"] is True
    assert document["end_session_endpoint"] == f"{authd.issuer}/logout"


def test_oidcc_backchannel_rp_initiated_logout(authd, receiver):
    browser = signed_in(authd)
    parameters = {"id_token_hint": browser.answer["id_token"], "post_logout_redirect_uri": BACK, "state": "s1"}
    answer = browser.get("/oidc/logout?" + urllib.parse.urlencode(parameters))
    assert answer.headers["Location"] == f"{BACK}?state=s1"
    assert_told(authd, receiver, browser)
    again = browser.authorize(WEB, WEB_URI, prompt="none")
    assert query_of(again.headers["Location"])["error"] == "login_required"


# ---- every way a session ends ----


def end_by_console(browser):
    sign_out(browser)


def end_by_question(browser):
    page = browser.get("/oidc/logout")
    assert "You are signed out" in browser.post("/oidc/logout/confirm", fields(page.text)).text


def end_from_another_browser(browser):
    elsewhere = browser.authd.browser()
    elsewhere.sign_in()
    page = elsewhere.get("/console/sessions")
    elsewhere.post("/console/sessions/end", {"csrf": fields(page.text)["csrf"], "sid": browser.claims["sid"]})


def end_all_others(browser):
    elsewhere = browser.authd.browser()
    elsewhere.sign_in()
    elsewhere.post("/console/sessions/end", {"csrf": fields(elsewhere.get("/console/sessions").text)["csrf"], "others": "1"})


def end_by_somebody_else(browser):
    browser.fill(browser.authorize(WEB, WEB_URI, prompt="login"), login=BOB)


def end_by_ctl(browser):
    done = browser.authd.ctl("sessions", "end", browser.claims["sid"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("end", [end_by_console, end_by_question, end_from_another_browser, end_all_others, end_by_somebody_else, end_by_ctl])
def test_whatever_ends_the_session_the_client_is_told(authd, receiver, end):
    browser = signed_in(authd)
    end(browser)
    assert_told(authd, receiver, browser)
    authd.wait_log("client told of a logout")
    assert len(receiver.requests) == 1


def test_an_offline_grant_whose_browser_is_long_gone_counts(tmp_path, receiver):
    clock, authd = Clock(tmp_path), start(tmp_path, receiver.uri, sessions={"absoluteLifetime": "1h", "validIfNotUsedFor": "1h"})
    authd.program.env |= clock.env
    with authd:
        browser = signed_in(authd, scope="openid offline_access")
        assert authd.session_token(browser)[0] == 200
        clock.forward(3601)
        assert authd.session_token(browser)[0] != 200
        assert authd.token({"grant_type": "refresh_token", "refresh_token": browser.answer["refresh_token"]}, auth=(WEB, WEB_SECRET)).status_code == 200
        assert not receiver.requests, "an end by time is nobody's logout"
        assert authd.ctl("sessions", "end", browser.claims["sid"]).returncode == 0
        assert jwt.decode(receiver.token(), options={"verify_signature": False})["sid"] == browser.claims["sid"]


def test_giving_up_a_token_is_no_logout(authd, receiver):
    browser = signed_in(authd, scope="openid offline_access")
    assert authd.revoke(browser.answer["refresh_token"], auth=(WEB, WEB_SECRET)).status_code == 200
    sign_out(browser)
    assert_told(authd, receiver, browser)
    authd.wait_log("client told of a logout")
    assert len(receiver.requests) == 1, "the logout, and not the revocation before it"


def test_only_clients_that_were_given_tokens_are_told_and_each_for_itself(tmp_path, receiver):
    other = Receiver()
    with start(tmp_path, receiver.uri, other.uri) as authd:
        both, one = signed_in(authd), signed_in(authd)
        sign_in(both, OTHER, OTHER_SECRET)
        both.tokens()  # kubectl, which has no such address
        code = one.authorize(OTHER, WEB_URI)  # a code that is never redeemed
        assert query_of(code.headers["Location"])["code"]
        sign_out(one)
        assert_told(authd, receiver, one)
        sign_out(both)
        assert_told(authd, receiver, both, 1)
        claims = authd.verified(other.token(), OTHER, typ="logout+jwt")
        assert claims["aud"] == OTHER and claims["sid"] == both.claims["sid"]
        assert len(other.requests) == 1
        with pytest.raises(jwt.InvalidAudienceError):
            authd.verified(other.token(), WEB, typ="logout+jwt")
    other.close()


def test_a_logout_token_is_no_token_for_anything_else(authd, receiver):
    browser = signed_in(authd)
    sign_out(browser)
    token = receiver.token()
    assert authd.userinfo(token).status_code == 401
    assert authd.introspect(token).json() == {"active": False}
    assert browser.get("/oidc/logout?" + urllib.parse.urlencode({"id_token_hint": token})).status_code == 400
    answer = browser.authorize(WEB, WEB_URI, id_token_hint=token)
    assert query_of(answer.headers["Location"])["error"] == "invalid_request"


# ---- clients that are slow, gone, or say no ----


def test_what_fails_is_sent_again_with_growing_pauses_and_a_token_of_its_own(tmp_path):
    receiver = Receiver(answers=[503, 429, 307, 204])
    with start(tmp_path, receiver.uri) as authd:
        browser = signed_in(authd)
        sign_out(browser)
        times = [r[3] for r in receiver.wait(4)]
        authd.wait_log("client told of a logout")
        for pause, (before, after) in zip((1, 2, 4), zip(times, times[1:])):  # the clock that counts has whole seconds
            assert pause - 1.1 < after - before < pause + 5, times
        assert len({assert_told(authd, receiver, browser, i)["jti"] for i in range(4)}) == 4
        assert len(receiver.requests) == 4
    receiver.close()


def test_a_client_that_says_no_is_not_asked_again(tmp_path):
    receiver = Receiver(answers=[400])
    with start(tmp_path, receiver.uri) as authd:
        browser = signed_in(authd)
        sign_out(browser)
        authd.wait_log("client refused to be told of a logout")
        sign_out(second := signed_in(authd))
        assert_told(authd, receiver, second, 1)
    assert len(receiver.requests) == 2
    receiver.close()


def test_a_client_that_does_not_answer_holds_up_nobody(tmp_path, receiver):
    stuck = Receiver()
    stuck.gate.clear()
    with start(tmp_path, receiver.uri, stuck.uri) as authd:
        for i in range(6):
            browser = authd.browser()
            sign_in(browser, OTHER, OTHER_SECRET)
            sign_in(browser)
            began = time.monotonic()
            sign_out(browser)
            assert time.monotonic() - began < 5, "a page waits for no client"
            receiver.wait(i + 1)
        assert len(stuck.wait(4)) == 4, "as many at once as one client gets"
        stuck.gate.set()
        stuck.wait(6)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    stuck.close()


def test_a_stop_waits_for_no_client_and_the_next_start_tells_it(tmp_path, receiver):
    receiver.gate.clear()
    authd = start(tmp_path, receiver.uri)
    with authd:
        browser = signed_in(authd)
        sign_out(browser)
        receiver.wait()
        began = time.monotonic()
        authd.program.stop()
        assert time.monotonic() - began < 5
        receiver.gate.set()
        authd.program.start()
        assert_told(authd, receiver, browser, 1)
        authd.wait_log("client told of a logout")


def test_kill_9_loses_no_logout(tmp_path):
    """The client is down while sessions end and authd is killed, again and again; when it is back it is told of every one that was acknowledged."""
    port = free_port()
    authd = start(tmp_path, Receiver.uri_at(port))
    with authd:
        sids = set()
        for _ in range(4):
            for _ in range(3):
                browser = signed_in(authd)
                sign_out(browser)
                sids.add(browser.claims["sid"])
            authd.program.process.send_signal(signal.SIGKILL)
            authd.program.process.wait()
            authd.program.start()
        up = Receiver(port)
        deadline = time.monotonic() + 60
        while {jwt.decode(up.token(i), options={"verify_signature": False})["sid"] for i in range(len(up.requests))} != sids:
            assert time.monotonic() < deadline, f"{len(up.requests)} of {len(sids)}"
            up.wait(len(up.requests) + 1, 60)
        up.close()


# ---- where it may go ----


def test_the_address_is_the_configurations_of_the_moment(tmp_path, receiver):
    old = Receiver(answers=[503])
    with start(tmp_path, old.uri) as authd:
        browser = signed_in(authd)
        sign_out(browser)
        old.wait()
        config = json.loads(json.dumps(authd.program.config))
        config["staticClients"][1]["backchannelLogoutURI"] = receiver.uri
        authd.program.write_config(config)
        authd.program.reload()
        assert_told(authd, receiver, browser)
        del config["staticClients"][1]["backchannelLogoutURI"], config["staticClients"][1]["backchannelLogoutSessionRequired"]
        authd.program.write_config(config)
        sign_out(second := signed_in(authd))
        assert_told(authd, receiver, second, 1)
        authd.program.reload()
        sign_out(signed_in(authd))
        config["staticClients"][1]["backchannelLogoutURI"] = receiver.uri
        authd.program.write_config(config)
        authd.program.reload()
        sign_out(fourth := signed_in(authd))
        assert_told(authd, receiver, fourth, 2)
    old.close()


def test_a_tls_name_that_nobody_vouches_for_is_told_nothing(tmp_path):
    from gatehouse import CA

    ca = CA(tmp_path)
    receiver = Receiver()
    receiver.server.socket = ca.server_context(*ca.issue("client")).wrap_socket(receiver.server.socket, server_side=True)
    with start(tmp_path, receiver.uri.replace("http:", "https:")) as authd:
        sign_out(signed_in(authd))
        authd.wait_log("client could not be told of a logout: trying again")
    assert not receiver.requests
    receiver.close()


@pytest.mark.parametrize("uri", ["http://app.example/out", "http://10.0.0.1/out", "ftp://app.example/out", "https://app.example/out#f", "/out", "https://u@app.example/",
                                 "http://127.0.0.1.evil.example/", "unix:/run/x.sock"])
def test_an_address_that_tokens_may_not_go_to_is_an_error_of_the_configuration(tmp_path, uri):
    authd = start(tmp_path, uri)
    done = authd.program.check()
    assert done.returncode == 1 and "staticClients[1].backchannelLogoutURI: expected an https URL" in done.stderr


def test_the_sub_is_the_one_that_the_client_knows(tmp_path, receiver):
    authd = start(tmp_path, receiver.uri)
    config = authd.program.config
    config["staticClients"][1]["subject"] = "plain"
    authd.program.write_config(config)
    with authd:
        browser = signed_in(authd)
        sign_out(browser)
        assert jwt.decode(receiver.token(), options={"verify_signature": False})["sub"] == browser.claims["sub"] == "local:id-jane"
