"""authd: RP-initiated logout. The conformance suite's modules by their names (oidcc-rp-initiated-logout…), and what they do not ask."""
import base64
import json
import urllib.parse

import jwt
import pytest

from authd_client import CLI, OTHER, OTHER_SECRET, PASSWORD, WEB, WEB_SECRET, WEB_URI, Authd, fields, person, query_of
from waiting import until_time

BACK = "https://app.example/bye?x=1"
BOB = "bob@example.com"


@pytest.fixture(scope="module")
def authd(tmp_path_factory):
    clients = [
        {"id": CLI, "name": "kubectl", "public": True, "redirectURIs": ["http://127.0.0.1/callback"]},
        {"id": WEB, "name": "Web", "secret": WEB_SECRET, "redirectURIs": [WEB_URI], "postLogoutRedirectURIs": [BACK, "https://app.example/other"]},
        {"id": OTHER, "name": "Other", "secret": OTHER_SECRET, "redirectURIs": [WEB_URI], "postLogoutRedirectURIs": ["https://other.example/bye"]},
    ]
    with Authd(tmp_path_factory.mktemp("authd"), staticClients=clients, staticPasswords=[person(), person(BOB)]) as authd:
        yield authd


def id_token(browser, client=WEB, secret=WEB_SECRET, login=None):
    """Of a sign-in at a client, in this browser's session, which begins with it if there is none."""
    answer = browser.authorize(client, WEB_URI, "openid")
    if not answer.is_redirect:
        answer = browser.fill(answer, *([login, PASSWORD] if login else []))
    form = {"grant_type": "authorization_code", "code": query_of(answer.headers["Location"])["code"], "redirect_uri": WEB_URI}
    return browser.authd.token(form, auth=(client, secret)).json()["id_token"]


@pytest.fixture
def browser(authd):
    browser = authd.browser()
    browser.hint = id_token(browser)
    return browser


def logout(browser, **parameters):
    return browser.get("/oidc/logout?" + urllib.parse.urlencode(parameters))


def signed_in(browser):
    return browser.authd.session_token(browser)[0] == 200


def is_error_page(answer):
    return answer.status_code == 400 and "Location" not in answer.headers and "text/html" in answer.headers["Content-Type"]


def is_question(answer):
    return answer.status_code == 200 and "Sign out?" in answer.text and "Location" not in answer.headers


def is_signed_out(answer):
    return answer.status_code == 200 and "You are signed out" in answer.text and "Location" not in answer.headers


def altered(token, **claims):
    """The same token with other claims under the old signature."""
    head, body, signature = token.split(".")
    text = json.loads(base64.urlsafe_b64decode(body + "==")) | claims
    return ".".join([head, base64.urlsafe_b64encode(json.dumps(text).encode()).rstrip(b"=").decode(), signature])


# ---- the suite's modules ----


def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(authd):
    d = authd.get("/oidc/.well-known/openid-configuration").json()
    assert d["end_session_endpoint"] == f"{authd.issuer}/logout"


def test_oidcc_rp_initiated_logout(browser):
    answer = logout(browser, id_token_hint=browser.hint, post_logout_redirect_uri=BACK, state="a b&c")
    assert answer.status_code == 303 and answer.headers["Location"] == BACK + "&state=a%20b%26c"
    assert not signed_in(browser)
    assert query_of(browser.authorize(WEB, WEB_URI, prompt="none").headers["Location"])["error"] == "login_required"


def test_oidcc_rp_initiated_logout_no_state(browser):
    answer = logout(browser, id_token_hint=browser.hint, post_logout_redirect_uri=BACK)
    assert answer.status_code == 303 and answer.headers["Location"] == BACK
    assert not signed_in(browser)


def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(browser):
    for uri in ("https://evil.example/", "https://other.example/bye", BACK + "/", BACK.upper(), WEB_URI, "javascript:alert(1)"):
        assert is_error_page(logout(browser, id_token_hint=browser.hint, post_logout_redirect_uri=uri, state="s")), uri
    assert signed_in(browser)


def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(browser):
    assert is_error_page(logout(browser, id_token_hint=browser.hint, post_logout_redirect_uri=BACK + "&foo=bar", state="s"))
    assert is_error_page(logout(browser, id_token_hint=browser.hint, post_logout_redirect_uri="https://app.example/other?foo=bar", state="s"))
    assert signed_in(browser)


def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(browser):
    assert is_signed_out(logout(browser, id_token_hint=browser.hint, state="s"))
    assert not signed_in(browser)


def test_oidcc_rp_initiated_logout_no_id_token_hint(browser):
    assert is_error_page(logout(browser, post_logout_redirect_uri=BACK, state="s"))
    assert signed_in(browser)


def test_oidcc_rp_initiated_logout_bad_id_token_hint(browser):
    for hint in ("garbage", "a.b.c", browser.hint + "x", "x" * 9000):
        assert is_error_page(logout(browser, id_token_hint=hint, post_logout_redirect_uri=BACK, state="s"))
    assert signed_in(browser)


def test_oidcc_rp_initiated_logout_modified_id_token_hint(browser):
    for changed in ({"sub": "somebody"}, {"aud": OTHER}, {"sid": "x"}, {"iss": "https://evil.example"}):
        assert is_error_page(logout(browser, id_token_hint=altered(browser.hint, **changed), post_logout_redirect_uri=BACK, state="s"))
    assert signed_in(browser)


def test_oidcc_rp_initiated_logout_no_params(browser):
    assert is_question(browser.get("/oidc/logout"))
    assert signed_in(browser)


def test_oidcc_rp_initiated_logout_only_state(browser):
    assert is_question(logout(browser, state="s"))
    assert signed_in(browser)


# ---- beyond ----


def confirm(browser, page, **changed):
    form = fields(page.text) | changed
    return browser.post("/oidc/logout/confirm", form, headers={"Origin": browser.authd.origin})


def test_who_is_asked_and_agrees_goes_back_with_the_state(browser):
    page = logout(browser, client_id=WEB, post_logout_redirect_uri=BACK, state="s<&")
    assert is_question(page) and signed_in(browser)
    assert "form-action 'self' https://app.example" in page.headers["Content-Security-Policy"]
    assert confirm(browser, page, client_id=OTHER).status_code == 400 and signed_in(browser), "another client's address"
    assert confirm(browser, page, csrf="x").status_code == 400 and signed_in(browser)
    answer = browser.post("/oidc/logout/confirm", fields(page.text), headers={"Origin": "https://evil.example"})
    assert answer.status_code == 400 and signed_in(browser)
    answer = confirm(browser, page, state="s<&")
    assert answer.status_code == 303 and answer.headers["Location"] == BACK + "&state=s%3C%26"
    assert not signed_in(browser)


def test_the_question_without_an_application_ends_on_our_own_page(browser):
    answer = confirm(browser, browser.get("/oidc/logout"))
    assert is_signed_out(answer) and not signed_in(browser)


def test_a_post_of_another_site_becomes_a_get_so_that_the_cookie_comes(browser):
    answer = browser.http.post(f"{browser.authd.issuer}/logout", data={"id_token_hint": browser.hint, "post_logout_redirect_uri": BACK, "state": "s"},
                               headers={"Origin": "https://app.example"}, allow_redirects=False, timeout=20)
    assert answer.status_code == 303 and answer.headers["Location"].startswith("/oidc/logout?")
    answer = browser.get(answer.headers["Location"])
    assert answer.headers["Location"] == BACK + "&state=s" and not signed_in(browser)


def test_somebody_elses_hint_asks(authd, browser):
    bob = authd.browser()
    bobs = id_token(bob, login=BOB)
    page = logout(browser, id_token_hint=bobs, post_logout_redirect_uri=BACK, state="s")
    assert is_question(page) and "jane@example.com" in page.text and signed_in(browser)
    assert signed_in(bob)


def test_a_hint_of_an_earlier_session_asks_and_of_one_that_is_over_goes_back(browser):
    first = browser.hint
    assert logout(browser, id_token_hint=first, post_logout_redirect_uri=BACK).status_code == 303
    answer = logout(browser, id_token_hint=first, post_logout_redirect_uri=BACK, state="s")
    assert answer.headers["Location"] == BACK + "&state=s", "nothing is left to end"
    id_token(browser)
    assert is_question(logout(browser, id_token_hint=first, post_logout_redirect_uri=BACK)) and signed_in(browser)


def test_without_a_session_and_a_hint_nobody_is_sent_anywhere(authd):
    browser = authd.browser()
    assert is_signed_out(logout(browser, client_id=WEB, post_logout_redirect_uri=BACK, state="s"))
    assert is_signed_out(browser.get("/oidc/logout"))


def test_a_hint_and_client_id_must_agree(browser):
    assert is_error_page(logout(browser, id_token_hint=browser.hint, client_id=OTHER))
    assert is_error_page(logout(browser, client_id="nosuch"))
    assert signed_in(browser)
    assert logout(browser, id_token_hint=browser.hint, client_id=WEB, post_logout_redirect_uri=BACK).status_code == 303


def test_a_session_token_of_proxyds_is_no_hint(authd, browser):
    _, answer = authd.session_token(browser)
    assert is_error_page(logout(browser, id_token_hint=answer["id_token"], post_logout_redirect_uri=BACK))
    assert signed_in(browser)


@pytest.mark.parametrize("query", ["state=a&state=b", "state=%00", "state=%ff"])
def test_malformed_parameters_are_a_page(browser, query):
    assert is_error_page(browser.get(f"/oidc/logout?{query}"))
    answer = browser.post("/oidc/logout", query, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert is_error_page(answer) and signed_in(browser)
    answer = browser.http.post(f"{browser.authd.issuer}/logout", data="{}", headers={"Content-Type": "application/json"}, timeout=20)
    assert is_error_page(answer)


def test_signing_out_ends_what_was_granted_with_the_session(authd, browser):
    tokens = browser.tokens(scope="openid offline_access")
    other = authd.browser()
    others = other.tokens(scope="openid offline_access")
    logout(browser, id_token_hint=browser.hint)
    assert authd.userinfo(tokens["access_token"]).status_code == 401
    assert authd.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert authd.userinfo(others["access_token"]).status_code == 200


def test_an_expired_hint_is_as_good(tmp_path):
    with Authd(tmp_path, expiry={"idTokens": "1s"}, staticClients=[
        {"id": WEB, "name": "Web", "secret": WEB_SECRET, "redirectURIs": [WEB_URI], "postLogoutRedirectURIs": [BACK]}], console={}) as authd:
        browser = authd.browser()
        hint = id_token(browser)
        expires_at = jwt.decode(hint, options={"verify_signature": False})["exp"]
        until_time(expires_at + 0.1)
        answer = logout(browser, id_token_hint=hint, post_logout_redirect_uri=BACK, state="s")
        assert answer.headers["Location"] == BACK + "&state=s" and not signed_in(browser)
