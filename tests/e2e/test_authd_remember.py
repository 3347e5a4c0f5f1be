"""How long a session lasts: the cookie that ends with the browser and the one that stays, the absolute and the idle lifetime."""
import re
import time

import pytest

from authd_client import CLI, CLI_URI, Authd, pkce
from github_standin import Account, GitHub
from harness import Certificates

DAY_S = 24 * 3600


def start(folder, **sessions):
    return Authd(folder, sessions=sessions)


@pytest.fixture(scope="module")
def authd(tmp_path_factory):
    with start(tmp_path_factory.mktemp("authd")) as authd:
        yield authd


def box_checked(page):
    (box,) = re.findall(r'<input type="checkbox" name="remember" value="1"( checked)?>', page.text)
    return bool(box)


def login_page(authd):
    browser = authd.browser()
    return browser, browser.get("/console/signin")


def cookie(browser, page, **form):
    """The session's cookie as the answer to a filled form sets it."""
    browser.http.hooks["response"].append(lambda r, *a, **k: seen.extend(r.raw.headers.getlist("Set-Cookie")))
    seen = []
    browser.fill(page, **form)
    (found,) = [c for c in seen if c.startswith("gatehouse=")]
    return found


def lifetime_s(text):
    match = re.search(r"Max-Age=(\d+)", text)
    return int(match.group(1)) if match else None


def test_the_box_is_checked_by_default_and_makes_the_cookie_last_as_long_as_the_session_may(authd):
    browser, page = login_page(authd)
    assert box_checked(page)
    assert DAY_S - 60 < lifetime_s(cookie(browser, page, remember="1")) <= DAY_S


def test_without_the_box_the_cookie_ends_with_the_browser(authd):
    browser, page = login_page(authd)
    assert lifetime_s(cookie(browser, page)) is None
    browser, page = login_page(authd)
    assert lifetime_s(cookie(browser, page, remember="yes")) is None


def test_a_wrong_password_keeps_what_was_chosen(authd):
    browser, page = login_page(authd)
    assert not box_checked(browser.fill(page, password="wrong"))
    again = browser.fill(page, password="wrong", remember="1")
    assert again.status_code == 401 and box_checked(again)


def test_signing_in_again_chooses_again(authd):
    browser, page = login_page(authd)
    assert lifetime_s(cookie(browser, page, remember="1"))
    _, challenge = pkce()
    page = browser.authorize(CLI, CLI_URI, prompt="login", code_challenge=challenge, code_challenge_method="S256")
    assert lifetime_s(cookie(browser, page)) is None


def test_the_box_can_be_left_empty_by_default(tmp_path):
    with start(tmp_path, rememberMeCheckedByDefault=False) as authd:
        browser, page = login_page(authd)
        assert not box_checked(page)
        assert lifetime_s(cookie(browser, page, remember="1"))


@pytest.mark.parametrize("default", [True, False])
def test_where_nobody_is_asked_the_default_counts(tmp_path, default):
    certificates = Certificates(tmp_path / "github")
    cert, key = certificates.issue("github", "/CN=github", "IP:127.0.0.1,DNS:localhost")
    with GitHub(cert, key) as github:
        github.next_user = github.add(Account(7, "ann", emails=[("ann@example.com", True, True)]))
        authd = start(tmp_path, rememberMeCheckedByDefault=default)
        config = {"clientID": github.client_id, "clientSecret": github.client_secret, "redirectURI": authd.issuer + "/callback",
                  "rootCA": str(certificates.ca), "baseURL": github.url, "apiURL": github.url}
        authd.program.write_config(authd.program.config | {"connectors": [{"type": "github", "id": "github", "name": "GitHub", "config": config}]})
        with authd:
            browser = authd.browser()
            browser.get("/console/signin")
            to_github = browser.get("/oidc/auth/github?req=" + re.search(r"req=([\w-]+)", browser.get("/console/signin").text).group(1))
            back = browser.http.get(to_github.headers["Location"], verify=False, allow_redirects=False).headers["Location"]
            answer = browser.http.get(back, allow_redirects=False)
            (found,) = [c for c in answer.raw.headers.getlist("Set-Cookie") if c.startswith("gatehouse=")]
            assert bool(lifetime_s(found)) == default


def gone(browser):
    return "/console/signin" in browser.http.get(browser.authd.origin + "/console/", allow_redirects=False).headers.get("Location", "")


def test_a_session_that_is_used_without_end_ends_by_its_absolute_lifetime(tmp_path):
    with start(tmp_path, absoluteLifetime="3s", validIfNotUsedFor="2s") as authd:
        browser, page = login_page(authd)
        assert lifetime_s(cookie(browser, page, remember="1")) <= 3
        value = browser.http.cookies["gatehouse"]
        began = time.monotonic()
        while True:
            answer = authd.get("/console/", cookies={"gatehouse": value})
            if answer.status_code != 200:
                break
            assert time.monotonic() - began < 10, "never ended"
        assert "/console/signin" in answer.headers["Location"]
        assert 1.9 < time.monotonic() - began < 4.5, "used all the time, it lasted longer than it may unused"


def test_a_session_that_is_not_used_ends(tmp_path):
    with start(tmp_path, validIfNotUsedFor="2s") as authd:
        (used, page), (unused, other) = login_page(authd), login_page(authd)
        used.fill(page), unused.fill(other)
        until = time.monotonic() + 3.1
        while time.monotonic() < until:
            assert not gone(used)
        assert gone(unused)
