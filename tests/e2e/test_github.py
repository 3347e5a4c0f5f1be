"""Signing in with GitHub: the stand-in speaks its documented API over HTTPS, everything else is real."""
import threading
import time
import urllib.parse

import jwt
import pytest

from github_standin import Account, GitHub, rate_limited
from harness import Certificates, Gateway

REFUSED_BY_ORG = "not in an organization or team"


@pytest.fixture
def github(tmp_path):
    certificates = Certificates(tmp_path / "github")
    cert, key = certificates.issue("github", "/CN=github", "IP:127.0.0.1,DNS:localhost")
    with GitHub(cert, key) as g:
        g.ca = str(certificates.ca)
        yield g


def start(tmp_path, github, **config):
    """A gateway with the stand-in as its only connector beside local passwords."""
    port_free = Gateway(tmp_path / "gateway", {"local@example.com": "correct horse"})
    base = {"clientID": github.client_id, "clientSecret": "$GITHUB_TEST_SECRET", "redirectURI": port_free.issuer + "/callback",
            "rootCA": github.ca, "baseURL": github.url, "apiURL": github.url}
    port_free.authd.write_config(port_free.authd.config | {
        "connectors": [{"type": "github", "id": "github", "name": "GitHub", "config": base | config}]})
    port_free.authd.env["GITHUB_TEST_SECRET"] = github.client_secret
    return port_free


def sign_in(gateway, browser=None):
    """Presses "GitHub" and follows every redirect. Returns (id_token claims, token answer), or (None, last page)."""
    person = type(next(iter(gateway.people.values())))(gateway, "nobody", "nobody")
    if browser:
        person.browser = browser
    original = person.browser.get

    def get(url, **more):
        if url.startswith("https://127.0.0.1:") and "/login/oauth/" in url:
            more["verify"] = False
        return original(url, **more)

    person.browser.get = get
    try:
        answer = person.sign_in(connector="github")
    except AssertionError as page:
        return None, str(page)
    finally:
        person.browser.get = original
    return jwt.decode(answer["id_token"], options={"verify_signature": False}), answer


def test_login_gives_the_person_with_groups_of_the_allowed_orgs(tmp_path, github):
    github.page_size = 2
    github.add(Account(583231, "octocat", "Mona Octocat", [("old@example.com", False, False), ("mona@example.com", True, True)], ["Acme", "Other"],
                       [("Acme", f"Team {i}", f"team-{i}") for i in range(5)] + [("Other", "Dev", "dev")]))
    with start(tmp_path, github, orgs=[{"name": "acme"}]) as gateway:
        claims, answer = sign_in(gateway)
        assert claims, answer
        assert claims["email"] == "mona@example.com" and claims["email_verified"] is True
        assert claims["name"] == "Mona Octocat" and claims["preferred_username"] == "octocat"
        assert claims["groups"] == [f"acme:Team {i}" for i in range(5)]
    assert sum(path == "/user/teams" for _, path in github.calls) == 3, "six teams, two a page, each page read once"


def test_members_of_no_allowed_org_get_a_page_that_says_so(tmp_path, github):
    github.add(Account(7, "stranger", orgs=["Elsewhere"]))
    with start(tmp_path, github, orgs=[{"name": "acme", "teams": ["ops"]}]) as gateway:
        claims, page = sign_in(gateway)
        assert claims is None and ": 403 " in page and REFUSED_BY_ORG in page
        github.next_user = github.add(Account(8, "member", orgs=["Acme"], teams=[("Acme", "Dev", "dev")]))
        claims, page = sign_in(gateway)
        assert claims is None and ": 403 " in page, "a member of the org who is in none of its listed teams"


def test_without_a_verified_address_nobody_comes_in(tmp_path, github):
    github.add(Account(7, "ann", emails=[("ann@example.com", False, True)]))
    with start(tmp_path, github) as gateway:
        claims, page = sign_in(gateway)
        assert claims is None and ": 403 " in page and "no verified primary mail address" in page


def test_a_changed_login_name_is_still_the_same_person(tmp_path, github):
    account = github.add(Account(42, "before", "Ann"))
    with start(tmp_path, github) as gateway:
        first, _ = sign_in(gateway)
        account.login = "after"
        second, _ = sign_in(gateway)
        assert first["sub"] == second["sub"]
        assert (first["preferred_username"], second["preferred_username"]) == ("before", "after")
        # Somebody who takes the abandoned name is somebody else.
        github.add(Account(43, "before", "Eve"))
        third, _ = sign_in(gateway)
        assert third["sub"] != first["sub"]


def test_refusal_at_github_is_not_an_error_of_the_server(tmp_path, github):
    github.add(Account(7, "ann"))
    github.deny = True
    with start(tmp_path, github) as gateway:
        claims, page = sign_in(gateway)
        assert claims is None and ": 403 " in page and "did not allow" in page


def test_one_server_error_is_retried_and_lasting_ones_are_said(tmp_path, github):
    github.add(Account(7, "ann"))
    with start(tmp_path, github) as gateway:
        github.fail["/user"] = [(502, {}, "bad gateway")]
        claims, answer = sign_in(gateway)
        assert claims, answer
        github.fail["/user"] = [(502, {}, "")] * 2
        claims, page = sign_in(gateway)
        assert claims is None and ": 503 " in page and "cannot be reached" in page


def test_rate_limits_are_passed_on_with_their_time(tmp_path, github):
    github.add(Account(7, "ann"))
    with start(tmp_path, github) as gateway:
        github.fail["/user"] = [rate_limited(90)]
        claims, page = sign_in(gateway)
        assert claims is None and ": 503 " in page and "limits how often" in page
        assert github.calls.count(("GET", "/user")) == 1, "a limit is not asked again"


@pytest.mark.parametrize("path,body", [("/login/oauth/access_token", "<html>"), ("/user", {"id": "7", "login": "ann"}), ("/user/emails", {}),
                                       ("/user", '{"id":7,"login":"a\\u0000b"}')])
def test_answers_not_as_documented_end_in_a_page_not_in_a_login(tmp_path, github, path, body):
    github.add(Account(7, "ann"))
    github.fail[path] = [(200, {}, body)]
    with start(tmp_path, github) as gateway:
        claims, page = sign_in(gateway)
        assert claims is None and ": 502 " in page and "not understood" in page


def test_a_foreign_next_page_never_gets_the_token(tmp_path, github):
    github.add(Account(7, "ann", orgs=["acme"]))
    github.fail["/user/teams"] = [(200, {"Link": '<https://127.0.0.1:1/steal>; rel="next"'}, [])]
    with start(tmp_path, github, orgs=[{"name": "acme"}]) as gateway:
        claims, answer = sign_in(gateway)
        assert claims and claims.get("groups", []) == [], answer


def test_a_slow_github_delays_nobody_else(tmp_path, github):
    github.add(Account(7, "ann"))
    with start(tmp_path, github) as gateway:
        github.delay = threading.Event()
        results = []
        waiting = [threading.Thread(target=lambda: results.append(sign_in(gateway))) for _ in range(8)]
        for t in waiting:
            t.start()
        github.calls.wait(8, lambda call: call[1] == "/login/oauth/access_token")
        # All eight hang in GitHub; a local sign-in goes through meanwhile.
        answer = gateway.people["local@example.com"].sign_in(connector="local")
        assert jwt.decode(answer["id_token"], options={"verify_signature": False})["email"] == "local@example.com"
        assert not results
        github.delay.set()
        for t in waiting:
            t.join(30)
        assert len(results) == 8 and all(claims for claims, _ in results), results


def test_github_down_is_said_and_local_passwords_go_on(tmp_path, github):
    github.add(Account(7, "ann"))
    with start(tmp_path, github, apiURL="https://127.0.0.1:1") as gateway:
        claims, page = sign_in(gateway)
        assert claims is None and ": 503 " in page
        assert gateway.people["local@example.com"].sign_in(connector="local")["id_token"]


def test_an_answer_counts_once_and_only_in_the_browser_that_asked(tmp_path, github):
    github.add(Account(7, "ann"))
    with start(tmp_path, github) as gateway:
        browser, thief = gateway.browser(), gateway.browser()
        query = urllib.parse.urlencode({"client_id": "gatehouse-cli", "redirect_uri": "http://127.0.0.1:1/callback", "response_type": "code", "scope": "openid",
                                        "state": "s", "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256",
                                        "connector_id": "github"})
        url = f"{gateway.issuer}/auth?{query}"
        for _ in range(5):
            answer = browser.get(url, allow_redirects=False)
            url = urllib.parse.urljoin(url, answer.headers["Location"])
            if url.startswith(github.url):
                break
        callback = browser.get(url, allow_redirects=False, verify=False).headers["Location"]
        assert thief.get(callback, allow_redirects=False).status_code in (400, 403), "knowing the state is not enough"
        first = browser.get(callback, allow_redirects=False)
        assert first.status_code in (302, 303)
        second = browser.get(callback, allow_redirects=False)
        assert second.status_code in (400, 403), "the same answer a second time"


def refresh(gateway, answer):
    form = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"], "client_id": "gatehouse-cli"}
    return gateway.browser().post(f"{gateway.issuer}/token", data=form)


def groups_of(answer):
    return jwt.decode(answer.json()["id_token"], options={"verify_signature": False}).get("groups", [])


def test_groups_are_read_again_at_refresh_and_old_ones_serve_for_a_time(tmp_path, github):
    account = github.add(Account(7, "ann", orgs=["acme"], teams=[("acme", "Dev", "dev")]))
    with start(tmp_path, github, orgs=[{"name": "acme"}]) as gateway:
        gateway.authd.write_config(gateway.authd.config | {"expiry": {"staleGroups": "3s"}})
        gateway.authd.reload()
        claims, answer = sign_in(gateway)
        assert claims["groups"] == ["acme:Dev"]
        account.teams.append(("acme", "Ops", "ops"))
        first = refresh(gateway, answer)
        read_at = time.monotonic()
        assert sorted(groups_of(first)) == ["acme:Dev", "acme:Ops"]
        github.fail["/user"] = [(502, {}, "")] * 100_000
        account.teams.clear()
        last = first
        while (again := refresh(gateway, last.json())).status_code == 200:
            last = again
            assert sorted(groups_of(last)) == ["acme:Dev", "acme:Ops"] and time.monotonic() - read_at < 20
        assert time.monotonic() - read_at > 2
        assert again.status_code == 503 and again.json()["error"] == "temporarily_unavailable" and again.headers["Retry-After"] == "60"
        del github.fail["/user"][:]
        back = refresh(gateway, last.json())
        assert back.status_code == 200 and groups_of(back) == [], "nothing was lost, and what changed meanwhile counts"


def to_github(gateway, github, **more):
    """The parameters with which the browser is sent there."""
    query = urllib.parse.urlencode({"client_id": "gatehouse-cli", "redirect_uri": "http://127.0.0.1:1/callback", "response_type": "code", "scope": "openid",
                                    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256", "connector_id": "github"} | more)
    browser, url = gateway.browser(), f"{gateway.issuer}/auth?{query}"
    while not url.startswith(github.url):
        url = urllib.parse.urljoin(url, browser.get(url, allow_redirects=False).headers["Location"])
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


def test_who_is_expected_and_whether_to_ask_is_passed_on(tmp_path, github):
    with start(tmp_path, github) as gateway:
        plain = to_github(gateway, github)
        assert "login" not in plain and "prompt" not in plain
        assert to_github(gateway, github, login_hint="ann&x=1")["login"] == "ann&x=1"
        for more in ({"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "0"}):
            assert to_github(gateway, github, **more)["prompt"] == "select_account", more
        assert "prompt" not in to_github(gateway, github, prompt="consent", max_age="60")


def test_the_secret_is_in_no_log(tmp_path, github):
    github.add(Account(7, "ann"))
    with start(tmp_path, github) as gateway:
        claims, answer = sign_in(gateway)
        assert claims
        logs = gateway.authd.log_file.read_text() + gateway.proxyd.log_file.read_text()
    for secret in [github.client_secret, answer["id_token"], answer["access_token"], answer["refresh_token"], *github.tokens]:
        assert secret not in logs
