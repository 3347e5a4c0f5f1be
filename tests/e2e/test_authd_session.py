"""authd's single sign-on session, the approval page, the console, and what proxyd asks over the socket."""
import base64
import json
import re
import urllib.parse

import pytest
import requests
import yaml

import harness
from authd_client import CLI, CLI_URI, EMAIL, PASSWORD, WEB, WEB_SECRET, WEB_URI, Authd, fields, person, pkce, query_of

BOB = "bob@example.com"


@pytest.fixture(scope="module")
def authd(tmp_path_factory):
    with Authd(tmp_path_factory.mktemp("authd"), staticPasswords=[person(), person(BOB, name="Bob <b>", groups=[])]) as authd:
        yield authd


def s256():
    _, challenge = pkce()
    return {"code_challenge": challenge, "code_challenge_method": "S256"}


def location(answer):
    assert answer.status_code == 303, answer.text
    return query_of(answer.headers["Location"])


def asks_for_password(answer):
    return answer.status_code == 200 and 'type="password"' in answer.text


def id_claims(authd, browser, **more):
    return authd.verified(browser.tokens(**more)["id_token"], CLI)


# ---- single sign-on ----


def test_a_second_client_needs_no_second_login(authd):
    browser = authd.browser()
    first = id_claims(authd, browser)
    parameters = location(browser.authorize(WEB, WEB_URI, "openid"))
    form = {"grant_type": "authorization_code", "code": parameters["code"], "redirect_uri": WEB_URI}
    second = authd.verified(authd.token(form, auth=(WEB, WEB_SECRET)).json()["id_token"], WEB)
    assert (first["sub"], first["sid"], first["auth_time"]) == (second["sub"], second["sid"], second["auth_time"])


def test_prompt_none_without_a_session_is_login_required_without_a_page(authd):
    parameters = location(authd.browser().authorize(prompt="none", state="s", **s256()))
    assert parameters["error"] == "login_required" and parameters["state"] == "s" and "code" not in parameters


def test_prompt_none_with_a_session_is_silent(authd):
    browser = authd.browser()
    first = id_claims(authd, browser)
    again = id_claims(authd, browser, prompt="none")
    assert (first["sub"], first["auth_time"]) == (again["sub"], again["auth_time"])


@pytest.mark.parametrize("more", [{"prompt": "login"}, {"prompt": "login select_account"}, {"max_age": "0"}])
def test_login_is_asked_again_in_spite_of_a_session(authd, more):
    browser = authd.browser()
    first = id_claims(authd, browser)
    page = browser.authorize(**s256(), **more)
    assert asks_for_password(page)
    assert location(browser.authorize(prompt="none", **s256()))["code"]  # the session was not ended by asking
    assert "code" in location(browser.fill(page))
    again = id_claims(authd, browser)
    assert again["auth_time"] >= first["auth_time"] and again["sid"] == first["sid"]


# ---- prompt=select_account ----


def asks_whom(answer):
    return answer.status_code == 200 and "Continue as " in answer.text and "another account" in answer.text


def choose(browser, page, account, **more):
    return browser.post("/oidc/select", fields(page.text) | {"account": account} | more)


def test_oidcc_prompt_select_account_goes_on_as_the_person_who_is_here(authd):
    browser = authd.browser()
    first = id_claims(authd, browser)
    page = browser.authorize(prompt="select_account", state="st", **s256())
    assert asks_whom(page) and EMAIL in page.text and "password" not in page.text
    back = location(choose(browser, page, "this"))
    assert back["state"] == "st" and back["code"]
    again = id_claims(authd, browser)
    assert (again["sid"], again["auth_time"]) == (first["sid"], first["auth_time"]), "nobody has proved anything anew"
    assert "no longer open" in choose(browser, page, "this").text, "answered once"


def test_another_account_signs_in_and_the_session_is_theirs(authd):
    browser = authd.browser()
    browser.sign_in()
    page = choose(browser, browser.authorize(prompt="select_account", **s256()), "other")
    assert asks_for_password(page)
    assert location(browser.fill(page, login=BOB))["code"]
    assert "Bob &lt;b&gt;" in browser.get("/console/").text


def test_without_a_session_select_account_is_a_login_and_none_with_it_is_refused(authd):
    assert asks_for_password(authd.browser().authorize(prompt="select_account", **s256()))
    browser = authd.browser()
    browser.sign_in()
    assert asks_for_password(browser.authorize(prompt="select_account", max_age="0", **s256()))
    assert location(browser.authorize(prompt="none select_account", **s256()))["error"] == "invalid_request"


def test_who_signed_in_meanwhile_in_another_window_is_not_taken(authd):
    browser = authd.browser()
    browser.sign_in()
    page = browser.authorize(prompt="select_account", **s256())
    browser.fill(browser.authorize(prompt="login", **s256()), login=BOB)
    assert asks_for_password(choose(browser, page, "this")), "not as bob, whom nobody asked"


def test_the_form_of_the_choice_is_this_browsers_own(authd):
    browser, other = authd.browser(), authd.browser()
    browser.sign_in(), other.sign_in()
    page, theirs = (b.authorize(prompt="select_account", **s256()) for b in (browser, other))
    assert choose(browser, page, "this", csrf=fields(theirs.text)["csrf"]).status_code == 400
    assert choose(browser, page, "neither").status_code == 400
    assert choose(browser, theirs, "this").status_code == 400
    foreign = browser.http.post(authd.issuer + "/select", data=fields(page.text) | {"account": "this"}, headers={"Origin": "https://evil.example"}, allow_redirects=False)
    assert foreign.status_code == 400
    assert browser.get("/oidc/select?req=" + fields(theirs.text)["req"]).status_code == 400
    login = browser.authorize(prompt="login", **s256())
    assert browser.get("/oidc/select?req=" + fields(login.text)["req"]).status_code == 400, "nobody was to choose there"
    assert location(choose(browser, page, "this"))["code"]


def test_a_choice_and_then_an_approval(tmp_path):
    with Authd(tmp_path, oauth2={"skipApprovalScreen": False}) as authd:
        browser = authd.browser()
        browser.sign_in()
        page = choose(browser, browser.authorize(prompt="select_account", **s256()), "this")
        assert "Allow " in page.text
        assert location(browser.post("/oidc/approval", fields(page.text) | {"approval": "approve"}))["code"]


def test_max_age_within_the_sessions_age_is_silent(authd):
    browser = authd.browser()
    browser.sign_in()
    assert "code" in location(browser.authorize(max_age="10000", **s256()))


def test_an_id_token_hint_of_this_person_is_silent_and_of_another_is_not(authd):
    jane, bob = authd.browser(), authd.browser()
    hint = jane.tokens()["id_token"]
    assert "code" in location(jane.authorize(prompt="none", id_token_hint=hint, **s256()))
    bob.fill(bob.get("/console/signin"), login=BOB)
    assert location(bob.authorize(prompt="none", id_token_hint=hint, **s256()))["error"] == "login_required"
    assert asks_for_password(bob.authorize(id_token_hint=hint, **s256()))
    access = jane.tokens()["access_token"]  # no ID token: another kind
    assert location(jane.authorize(prompt="none", id_token_hint=access, **s256()))["error"] == "invalid_request"


def test_the_sessions_secret_changes_at_every_login(authd):
    browser = authd.browser()
    browser.sign_in()
    before = browser.http.cookies["gatehouse"]
    browser.fill(browser.authorize(prompt="login", **s256()))
    after = browser.http.cookies["gatehouse"]
    assert before != after and len(after) == 43
    old = requests.get(f"{authd.origin}/console/", cookies={"gatehouse": before}, allow_redirects=False, timeout=20)
    assert old.status_code == 303 and "/console/signin" in old.headers["Location"]


def test_a_session_cookie_that_somebody_planted_is_never_taken_over(authd):
    browser = authd.browser()
    browser.http.cookies.set("gatehouse", "A" * 43, path="/", domain="127.0.0.1")
    browser.sign_in()
    assert "A" * 43 not in [c.value for c in browser.http.cookies if c.name == "gatehouse"]


def test_cookies_are_out_of_reach(authd):
    browser = authd.browser()
    page = browser.http.get(f"{authd.origin}/console/signin", allow_redirects=False, timeout=20)
    assert re.fullmatch(r"gatehouse-login=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax", page.headers["Set-Cookie"])
    login = browser.get("/console/signin")
    answer = browser.http.post(f"{authd.issuer}/auth/local/login", fields(login.text) | {"login": EMAIL, "password": PASSWORD}, allow_redirects=False, timeout=20)
    assert re.fullmatch(r"gatehouse=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax", answer.headers["Set-Cookie"])


# ---- approval ----


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    with Authd(tmp_path_factory.mktemp("authd"), oauth2={"skipApprovalScreen": False}) as authd:
        yield authd


def approve(browser, page, choice="approve", **more):
    return browser.post("/oidc/approval", fields(page.text) | {"approval": choice} | more)


def test_approval_is_asked_once_and_names_client_and_scopes(asking):
    browser = asking.browser()
    page = browser.fill(browser.authorize(WEB, WEB_URI, "openid email"))
    assert page.status_code == 200 and "Web &amp; App" in page.text and "mail address" in page.text and "groups" not in page.text
    assert f"form-action 'self' {urllib.parse.urlsplit(WEB_URI).scheme}://app.example;" in page.headers["Content-Security-Policy"]
    assert location(browser.authorize(WEB, WEB_URI, "openid email", prompt="none"))["error"] == "consent_required"
    assert "code" in location(approve(browser, page))
    assert "code" in location(browser.authorize(WEB, WEB_URI, "openid email", prompt="none"))
    assert "code" in location(browser.authorize(WEB, WEB_URI, "openid"))
    assert "groups" in browser.authorize(WEB, WEB_URI, "openid groups").text  # more than before: asked
    assert "Allow" in browser.authorize(WEB, WEB_URI, "openid", prompt="consent").text


def test_a_refusal_goes_to_the_client(asking):
    browser = asking.browser()
    page = browser.fill(browser.authorize(CLI, scope="openid groups", state="s", **s256()))
    parameters = location(approve(browser, page, "deny"))
    assert parameters["error"] == "access_denied" and parameters["state"] == "s" and parameters["iss"] == asking.issuer
    assert approve(browser, page).status_code == 400  # answered already


def test_an_approval_is_bound_to_its_browser_its_token_and_its_session(asking):
    browser, other = asking.browser(), asking.browser()
    page = browser.fill(browser.authorize(CLI, scope="openid profile", **s256()))
    assert approve(browser, page, csrf="x").status_code == 400
    other.sign_in()
    assert approve(other, page).status_code == 400
    assert approve(browser, page, "perhaps").status_code == 400
    answer = browser.post("/oidc/approval", fields(page.text) | {"approval": "approve"}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 400
    session = browser.http.cookies["gatehouse"]
    browser.http.cookies.set("gatehouse", "B" * 43, path="/", domain="127.0.0.1")
    assert approve(browser, page).status_code == 400
    browser.http.cookies.set("gatehouse", session, path="/", domain="127.0.0.1")
    assert "code" in location(approve(browser, page))


# ---- the console ----


def test_the_console_asks_to_sign_in_and_shows_who_one_is(authd):
    browser = authd.browser()
    assert asks_for_password(browser.get("/console/"))
    page = browser.sign_in()
    assert page.url.endswith("/console/")
    for text in ("jane", EMAIL, "developers", "ops", "Password", "Until", "gatehouse-prod"):
        assert text in page.text
    assert re.search(r'<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ">', page.text)


def test_names_are_escaped(authd):
    browser = authd.browser()
    page = browser.fill(browser.get("/console/"), login="bob")
    assert "Bob &lt;b&gt;" in page.text and "Bob <b>" not in page.text


@pytest.mark.parametrize("path", ["/console", "/"])
def test_short_addresses_lead_to_the_console(authd, path):
    answer = authd.get(path)
    assert answer.status_code == 303 and answer.headers["Location"] == "/console/"


def test_a_deep_link_returns_there_after_signing_in(authd):
    browser = authd.browser()
    answer = browser.fill(browser.get("/console/signin?to=" + urllib.parse.quote("/clusters/prod/api?a=b&c=d", safe="")))
    assert answer.status_code == 404 and answer.url == authd.origin + "/clusters/prod/api?a=b&c=d"  # which authd alone does not serve
    assert browser.get("/console/signin?to=/console/kubeconfig").headers["Content-Type"].startswith("application/yaml")


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "", "/a\r\nX: y", "/é"])
def test_a_return_address_elsewhere_becomes_the_console(authd, to):
    browser = authd.browser()
    assert browser.sign_in(to).url == authd.origin + "/console/"
    again = browser.http.get(f"{authd.origin}/console/signin", params={"to": to}, allow_redirects=False, timeout=20)
    assert again.headers["Location"] == "/console/"


def test_signing_out_ends_the_session_and_its_refresh_tokens_and_no_others(authd):
    browser, other = authd.browser(), authd.browser()
    mine, theirs = (b.tokens(scope="openid offline_access")["refresh_token"] for b in (browser, other))
    page = browser.get("/console/")
    assert authd.session_token(browser)[0] == 200
    secret = browser.http.cookies["gatehouse"]
    answer = browser.post("/console/signout", fields(page.text))
    assert answer.status_code == 200 and "signed out" in answer.text
    assert "gatehouse" not in browser.http.cookies
    assert authd.over_socket("POST", "/internal/session", {"Cookie": f"gatehouse={secret}"})[0] == 401
    assert authd.refresh(mine).json()["error"] == "invalid_grant"
    assert authd.refresh(theirs).status_code == 200
    assert asks_for_password(browser.get("/console/"))


def test_signing_out_needs_the_form_of_this_session(authd):
    browser, other = authd.browser(), authd.browser()
    page = browser.sign_in()
    other.sign_in()
    assert browser.post("/console/signout", {}).status_code == 400
    assert browser.post("/console/signout", fields(page.text) | {"csrf": "x"}).status_code == 400
    assert other.post("/console/signout", fields(page.text)).status_code == 400
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}):
        assert browser.post("/console/signout", fields(page.text), headers=headers).status_code == 400
    assert authd.get("/console/signout").status_code == 405
    assert authd.session_token(browser)[0] == authd.session_token(other)[0] == 200
    answer = browser.post("/console/signout", fields(page.text), headers={"Origin": "null", "Sec-Fetch-Site": "same-origin"})
    assert "signed out" in answer.text


def test_the_kubeconfig_works_for_every_cluster_and_holds_nothing_secret(tmp_path):
    ca = harness.Certificates(tmp_path / "pki").ca
    both = tmp_path / "both.pem"
    both.write_text(ca.with_suffix(".key").read_text() + ca.read_text())  # a careless administrator
    console = {"clientID": CLI, "clusters": ["default", "prod"], "certificateAuthority": str(ca), "gateway": "https://gw.example:8443"}
    with Authd(tmp_path, console=console) as authd:
        assert authd.get("/console/kubeconfig").status_code == 303
        browser = authd.browser()
        browser.sign_in()
        answer = browser.get("/console/kubeconfig")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="gatehouse.kubeconfig"'
        assert answer.headers["Cache-Control"] == "no-store"
        config = yaml.safe_load(answer.text)
        assert [(c["name"], c["cluster"]["server"]) for c in config["clusters"]] == [
            ("gatehouse", "https://gw.example:8443"), ("gatehouse-prod", "https://gw.example:8443/clusters/prod")]
        assert config["current-context"] == "gatehouse" and len(config["contexts"]) == 2
        (user,) = config["users"]
        assert user["user"]["exec"]["args"] == ["get-token", "--issuer", authd.issuer, "--client-id", CLI]
        assert user["user"]["exec"]["interactiveMode"] == "IfAvailable"
        data = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
        assert "BEGIN CERTIFICATE" in data and "PRIVATE" not in data
        for secret in (PASSWORD, *(c.value for c in browser.http.cookies)):
            assert secret not in answer.text
        authd.program.write_config(authd.configuration(console=console | {"certificateAuthority": str(both)}))
        authd.program.reload()
        if "configuration not reloaded" not in authd.log():  # a file with a key is refused, or the key is left out of what people get
            data = yaml.safe_load(browser.get("/console/kubeconfig").text)["clusters"][0]["cluster"]["certificate-authority-data"]
            assert "PRIVATE" not in base64.b64decode(data).decode()


def test_without_a_client_for_kubectl_there_is_no_kubeconfig(tmp_path):
    with Authd(tmp_path, console={}) as authd:
        browser = authd.browser()
        assert "kubeconfig" not in browser.sign_in().text
        assert browser.get("/console/kubeconfig").status_code == 404


# ---- for proxyd ----


def test_a_sessions_token_is_made_once_and_verifiable(authd):
    browser = authd.browser()
    browser.sign_in()
    status, answer = authd.session_token(browser)
    assert status == 200 and answer["refresh_after"] == 15
    claims = authd.verified(answer["id_token"], authd.issuer)
    assert claims["email"] == EMAIL and claims["groups"] == ["developers", "ops"] and claims["sid"] and claims["preferred_username"] == "jane"
    assert 0 < claims["exp"] - claims["iat"] <= 600
    assert authd.session_token(browser) == (200, answer)
    assert authd.userinfo(answer["id_token"]).status_code == 401


def test_proxyd_may_ask_for_id_tokens_of_clients_beside_the_sessions(authd):
    browser = authd.browser()
    browser.sign_in()
    status, answer = authd.session_token(browser, f"?audience={CLI}%20nobody%20{WEB}")
    assert status == 200 and set(answer["id_tokens"]) == {CLI, WEB}
    session = authd.verified(answer["id_token"], authd.issuer)
    for client in (CLI, WEB):
        claims = authd.verified(answer["id_tokens"][client], client)
        assert claims["aud"] == client and 0 < claims["exp"] - claims["iat"] <= 600
        assert [claims[c] for c in ("sub", "sid", "email", "groups")] == [session[c] for c in ("sub", "sid", "email", "groups")]
    assert authd.session_token(browser)[1]["id_tokens"] == {}
    assert authd.session_token(browser, "?audience=%zz")[0] == 503
    assert authd.over_socket("POST", f"/internal/session?audience={CLI}", {"Cookie": "gatehouse=" + "A" * 43})[0] == 401


def test_unknown_cookies_have_no_session(authd):
    for cookie in ("", "gatehouse=", "gatehouse=" + "A" * 43, "gatehouse=" + "A" * 5000, "other=1", "gatehouse=a; gatehouse=b"):
        status, _, body = authd.over_socket("POST", "/internal/session", {"Cookie": cookie} if cookie else {})
        assert status == 401 and json.loads(body) == {"error": "no_session"}


def test_internal_paths_are_for_the_socket_only(authd):
    browser = authd.browser()
    browser.sign_in()
    assert browser.http.post(f"{authd.origin}/internal/session", timeout=20).status_code == 404
    assert authd.over_socket("GET", "/internal/session")[0] == 405
    assert authd.over_socket("POST", "/internal/other")[0] == 404


def test_a_session_ends_with_its_person(tmp_path):
    with Authd(tmp_path) as authd:
        browser = authd.browser()
        browser.sign_in()
        authd.program.write_config(authd.configuration(staticPasswords=[person(BOB)]))
        authd.program.reload()
        assert authd.session_token(browser)[0] == 401
        assert asks_for_password(browser.get("/console/"))


def test_everything_is_served_over_the_socket_too(authd):
    status, headers, body = authd.over_socket("GET", "/oidc/keys", {"X-Request-Id": "from-proxyd", "X-Forwarded-For": "192.0.2.7"})
    assert status == 200 and headers["X-Request-Id"] == "from-proxyd" and json.loads(body)["keys"]
    assert "address=192.0.2.7 request_id=from-proxyd" in authd.log()
    answer = authd.get("/oidc/keys", headers={"X-Request-Id": "forged", "X-Forwarded-For": "192.0.2.8"})
    assert answer.headers["X-Request-Id"] != "forged" and "192.0.2.8" not in authd.log()


def test_what_is_under_way_is_bound_to_its_browser(authd):
    browser, other = authd.browser(), authd.browser()
    page = browser.authorize(CLI, CLI_URI, **s256())
    form = fields(page.text) | {"login": EMAIL, "password": PASSWORD}
    other.get("/console/signin")  # has a cookie of its own
    assert other.get(f"/oidc/auth/local/login?req={form['req']}").status_code == 400
    assert other.post("/oidc/auth/local/login", form).status_code == 400
    assert "code" in location(browser.post("/oidc/auth/local/login", form))
