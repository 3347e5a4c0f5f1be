"""The console's page of what one has allowed: shown, taken back, and what that ends."""
import re
import time

import pytest

from authd_client import CLI, CLI_URI, WEB, WEB_SECRET, WEB_URI, Authd, fields, person, pkce, query_of
from waiting import until_time

BOB = "bob@example.com"
PATH = "/console/applications"


@pytest.fixture
def authd(tmp_path):
    with Authd(tmp_path, oauth2={"skipApprovalScreen": False}, staticPasswords=[person(), person(BOB)]) as authd:
        yield authd


def authorize(browser, scope, **more):
    verifier, challenge = pkce()
    return browser.authorize(CLI, CLI_URI, scope, code_challenge=challenge, code_challenge_method="S256", **more), verifier


def allow(browser, scope="openid email offline_access", login=None):
    """Tokens of the public client, by the page that asks."""
    page, verifier = authorize(browser, scope)
    if 'type="password"' in page.text:
        page = browser.fill(page, *([login] if login else []))
    assert "Allow " in page.text, page.text
    answer = browser.post("/oidc/approval", fields(page.text) | {"approval": "approve"})
    return browser.authd.redeem(query_of(answer.headers["Location"])["code"], verifier).json()


def cards(browser):
    page = browser.get(PATH)
    assert page.status_code == 200
    return [(re.sub(r"<[^>]*>", " ", card), fields(card)) for card in re.findall(r"<li><h3>.*?</form></li>", page.text, re.S)]


def withdraw(browser, **form):
    return browser.post(PATH + "/withdraw", form)


def after_this_second():
    """Times are whole seconds: what is granted in the very second of a withdrawal counts as granted before it."""
    until_time(int(time.time()) + 1)


def test_what_was_allowed_is_shown_and_asked_once(authd):
    browser = authd.browser()
    allow(browser)
    ((text, form),) = cards(browser)
    assert "kubectl" in text and "mail address" in text and "Stay signed in" in text and form["client"] == CLI
    answer, _ = authorize(browser, "openid email")
    assert query_of(answer.headers["Location"])["code"], "not asked again"
    assert PATH in browser.get("/console/").text


def test_taking_back_ends_what_was_granted_and_asks_again(authd):
    browser = authd.browser()
    tokens = allow(browser)
    without_refresh = allow(browser, "openid profile")
    ((_, form),) = cards(browser)
    answer = withdraw(browser, **form)
    assert answer.status_code == 200 and cards(browser) == [] and "None yet" in answer.text
    assert authd.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert authd.userinfo(tokens["access_token"]).status_code == 401 == authd.userinfo(without_refresh["access_token"]).status_code
    none, _ = authorize(browser, "openid email", prompt="none")
    assert query_of(none.headers["Location"])["error"] == "consent_required"
    assert withdraw(browser, **form).status_code == 200, "taken back twice is taken back"
    after_this_second()
    again = allow(browser)
    assert authd.refresh(again["refresh_token"]).status_code == 200 and authd.userinfo(again["access_token"]).status_code == 200
    assert authd.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant", "the old ones stay ended"
    assert authd.userinfo(without_refresh["access_token"]).status_code == 401


def test_a_withdrawal_survives_a_restart_and_ends_tokens_of_sessions_long_gone(authd):
    elsewhere, browser = authd.browser(), authd.browser()
    tokens = allow(elsewhere)
    browser.sign_in()
    ((_, form),) = cards(browser)
    withdraw(browser, **form)
    authd.program.stop()
    authd.program.start()
    assert authd.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"


def test_nobody_takes_back_for_another_and_no_other_site_does(authd):
    jane, bob = authd.browser(), authd.browser()
    janes, bobs = allow(jane), allow(bob, login=BOB)
    ((_, form),), ((_, others),) = cards(jane), cards(bob)
    for bad in ({"client": CLI}, form | {"csrf": others["csrf"]}):
        assert withdraw(jane, **bad).status_code == 400
    foreign = jane.http.post(authd.origin + PATH + "/withdraw", data=form, headers={"Origin": "https://evil.example"}, allow_redirects=False)
    assert foreign.status_code == 400
    withdraw(bob, **others)
    assert authd.userinfo(bobs["access_token"]).status_code == 401
    assert authd.userinfo(janes["access_token"]).status_code == 200 and len(cards(jane)) == 1
    for client in ("", "nobody", "x" * 5000, WEB):
        assert withdraw(jane, **form | {"client": client}).status_code == 200
    assert withdraw(jane, **form | {"client": "a\0b"}).status_code == 400
    assert len(cards(jane)) == 1


def test_introspection_sees_a_withdrawal(authd):
    browser = authd.browser()
    page = browser.fill(browser.authorize(WEB, WEB_URI, "openid offline_access"))
    back = browser.post("/oidc/approval", fields(page.text) | {"approval": "approve"})
    form = {"grant_type": "authorization_code", "code": query_of(back.headers["Location"])["code"], "redirect_uri": WEB_URI}
    tokens = authd.token(form, auth=(WEB, WEB_SECRET)).json()
    assert all(authd.introspect(tokens[kind]).json()["active"] for kind in ("access_token", "refresh_token"))
    ((_, form),) = cards(browser)
    withdraw(browser, **form)
    assert all(authd.introspect(tokens[kind]).json() == {"active": False} for kind in ("access_token", "refresh_token"))
