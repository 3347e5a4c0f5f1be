"""authd's password page: what it says, to whom, and how often one may try."""
import concurrent.futures

import pytest
import requests

from authd_client import EMAIL, OTHER, PASSWORD, WEB, WEB_URI, Authd, fields, person, query_of
from clock import Clock, held_back

TWIN = [person("one@example.com", username="twin", userID="1"), person("two@example.com", username="twin", userID="2")]


@pytest.fixture
def authd(tmp_path):
    with Authd(tmp_path, staticPasswords=[person(), *TWIN]) as authd:
        yield authd


def attempt(authd, login=EMAIL, password="wrong", browser=None):
    browser = browser or authd.browser()
    return browser.fill(browser.get("/console/signin"), login, password)


def test_mail_address_and_user_name_both_name_a_person_without_regard_to_case_of_the_address(authd):
    for login in (EMAIL, EMAIL.upper(), "jane", f"  {EMAIL} "):
        assert attempt(authd, login, PASSWORD).url.endswith("/console/")


def test_a_user_name_that_two_people_have_names_neither(authd):
    assert attempt(authd, "twin", PASSWORD).status_code == 401
    assert attempt(authd, "one@example.com", PASSWORD).url.endswith("/console/")


def test_wrong_password_and_unknown_person_look_the_same(authd):
    answers = [attempt(authd), attempt(authd, "nobody@example.com"), attempt(authd, EMAIL, "x" * 100), attempt(authd, EMAIL, PASSWORD + " ")]
    texts = {a.text.replace(fields(a.text)["req"], "").replace(fields(a.text)["csrf"], "").replace("nobody@", "jane@") for a in answers}
    assert {a.status_code for a in answers} == {401} and len(texts) == 1
    assert 'role="alert"' in texts.pop() and "x" * 100 not in answers[2].text


def test_the_same_page_can_be_tried_again(authd):
    browser = authd.browser()
    page = attempt(authd, browser=browser)
    assert f'value="{EMAIL}"' in page.text
    assert browser.fill(page).url.endswith("/console/")
    assert browser.fill(page).status_code == 400  # that sign-in is over


def test_both_fields_are_needed(authd):
    assert attempt(authd, "", PASSWORD).status_code == 400
    assert attempt(authd, EMAIL, "").status_code == 400
    assert attempt(authd, "a" * 400, PASSWORD).status_code == 400


@pytest.mark.parametrize("change,headers", [
    ({"csrf": ""}, {}), ({"csrf": "A" * 43}, {}), ({"req": "A" * 22}, {}), ({"req": ""}, {}),
    ({}, {"Origin": "https://evil.example"}), ({}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}), ({}, {"Sec-Fetch-Site": "same-site"}),
])
def test_a_form_that_is_not_ours_is_refused_before_the_password_is_looked_at(authd, change, headers):
    browser = authd.browser()
    form = fields(browser.get("/console/signin").text) | {"login": EMAIL, "password": PASSWORD} | change
    answer = browser.post("/oidc/auth/local/login", form, headers=headers)
    assert answer.status_code == 400 and "password refused" not in authd.log() and "gatehouse" not in browser.http.cookies


def test_bodies_that_are_no_form(authd):
    for body, kind in (("{}", "application/json"), ("a=%zz", "application/x-www-form-urlencoded"), ("x" * 70000, "application/x-www-form-urlencoded")):
        answer = requests.post(f"{authd.issuer}/auth/local/login", data=body, headers={"Content-Type": kind}, timeout=20)
        assert answer.status_code in (400, 413)


@pytest.fixture
def clocked(tmp_path):
    clock, authd = Clock(tmp_path), Authd(tmp_path, staticPasswords=[person(), person("two@example.com")])
    authd.program.env |= clock.env
    with authd:
        authd.clock = clock
        yield authd


def test_a_dozen_wrong_passwords_are_held_back_and_nobody_is_signed_out(clocked):
    signed_in = clocked.browser()
    signed_in.sign_in()

    def guess():
        return attempt(clocked, "two@example.com", "wrong")

    assert [guess().status_code for _ in range(5)] == [401] * 5
    late = held_back(clocked.clock, guess)
    assert "Too many attempts" in late.text
    assert attempt(clocked, "two@example.com", PASSWORD).status_code == 429  # also with the right one: else guessing would go on
    assert clocked.session_token(signed_in)[0] == 200
    assert attempt(clocked, EMAIL, PASSWORD).url.endswith("/console/")  # another account from the same address
    assert "password attempt held back" in clocked.log()


def test_trying_in_parallel_gains_nothing(clocked):
    wait = held_back(clocked.clock, lambda: attempt(clocked, EMAIL, "wrong")).headers["Retry-After"]
    clocked.clock.forward(int(wait))
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: attempt(clocked, EMAIL, "wrong").status_code, range(12)))
    assert sorted(answers) == [401] + [429] * 11


def test_a_client_that_does_not_allow_passwords(tmp_path):
    authd = Authd(tmp_path)
    clients = [{"id": WEB, "name": "Web", "secret": "s", "redirectURIs": [WEB_URI], "allowedConnectors": ["github"]},
               {"id": OTHER, "name": "Other", "secret": "s", "redirectURIs": [WEB_URI]}]
    github = {"type": "github", "id": "github", "name": "GitHub", "config": {"clientID": "a", "clientSecret": "b", "redirectURI": f"{authd.issuer}/callback"}}
    authd.program.write_config(authd.configuration(staticClients=clients, console={}, connectors=[github]))
    with authd:
        browser = authd.browser()
        choice = browser.authorize(OTHER, WEB_URI)
        assert "Sign in with GitHub" in choice.text and "Sign in with a password" in choice.text
        page = browser.authorize(OTHER, WEB_URI, connector_id="local")
        assert 'type="password"' in page.text and "Sign in another way" in page.text
        assert "Sign in with GitHub" in browser.get(f"/oidc/auth?req={fields(page.text)['req']}").text
        away = browser.authorize(WEB, WEB_URI)
        assert away.headers["Location"].startswith("https://github.com/login/oauth/authorize?")
        state = query_of(away.headers["Location"])["state"]
        assert browser.get(f"/oidc/auth/local/login?req={state}").status_code == 400
        browser.fill(page)  # signed in with a password: not good for WEB
        assert browser.authorize(WEB, WEB_URI).headers["Location"].startswith("https://github.com/")
        assert query_of(browser.authorize(WEB, WEB_URI, prompt="none").headers["Location"])["error"] == "login_required"
        assert query_of(browser.authorize(WEB, WEB_URI, connector_id="local").headers["Location"])["error"] == "invalid_request"
        assert browser.get(f"/oidc/auth/local?client_id={OTHER}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb%3Fx%3D1&response_type=code&scope=openid").is_redirect


def test_the_login_screen_can_be_shown_always(tmp_path):
    with Authd(tmp_path, oauth2={"skipApprovalScreen": True, "alwaysShowLoginScreen": True}) as authd:
        page = authd.browser().get("/console/signin")
        assert "Sign in with a password" in page.text and 'type="password"' not in page.text


def test_a_sign_in_under_way_follows_the_configuration_of_the_moment(tmp_path):
    authd = Authd(tmp_path)
    github = {"type": "github", "id": "github", "name": "GitHub", "config": {"clientID": "a", "clientSecret": "b", "redirectURI": f"{authd.issuer}/callback"}}
    clients = [{"id": WEB, "name": "Web", "secret": "s", "redirectURIs": [WEB_URI], "allowedConnectors": ["github"]}]
    authd.program.write_config(authd.configuration(staticClients=clients, console={}, connectors=[github]))
    with authd:
        browser = authd.browser()
        state = query_of(browser.authorize(WEB, WEB_URI).headers["Location"])["state"]
        authd.program.write_config(authd.configuration(staticClients=[clients[0] | {"allowedConnectors": ["local"]}], console={}, connectors=[github]))
        authd.program.reload()
        assert browser.get(f"/oidc/auth/github?req={state}").status_code == 400
        assert browser.get(f"/oidc/auth?req={state}").status_code == 200


def test_hashes_are_checked_at_start(tmp_path):
    authd = Authd(tmp_path, staticPasswords=[person(hash="plain")])
    check = authd.program.check()
    authd.program.close()
    assert check.returncode == 1 and "hash" in check.stderr and "plain" not in check.stderr


def test_a_client_for_which_there_is_no_way_to_sign_in(tmp_path):
    authd = Authd(tmp_path)
    github = {"type": "github", "id": "github", "name": "GitHub", "config": {"clientID": "a", "clientSecret": "b", "redirectURI": f"{authd.issuer}/callback"}}
    clients = [{"id": WEB, "name": "Web", "secret": "s", "redirectURIs": [WEB_URI], "allowedConnectors": ["local"]}]
    more = {"staticClients": clients, "console": {}, "connectors": [github], "enablePasswordDB": False, "staticPasswords": []}
    authd.program.write_config(authd.configuration(**more))
    with authd:
        answer = authd.browser().authorize(WEB, WEB_URI)
        assert answer.status_code == 403 and "No way to sign in" in answer.text
