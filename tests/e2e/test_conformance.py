"""What the OpenID conformance suite asks of a Basic and Config OP, one test per module and named after it, and beside them the rules of OAuth that it leaves out.

The client is a confidential one without PKCE, as the suite's is. Of a code's rules, the hundred concurrent redemptions are in test_authd_token.py, its expiry in
unit/test_grant.c.
"""
import base64
import json
import signal
import time
import urllib.parse

import jwt
import pytest
import requests

import harness
from authd_client import CLI_URI, EMAIL, OTHER, OTHER_SECRET, WEB, WEB_SECRET, WEB_URI, Authd, fields, query_of
from waiting import until_time

BASIC = (WEB, WEB_SECRET)
EVERY_SCOPE = "openid profile email address phone"


@pytest.fixture(scope="module", autouse=True)
def redeemed_early(authd):
    """(when, code, tokens) of a code that is redeemed before everything else, to be used again half a minute later."""
    code, tokens = signed_in(authd, authd.browser(), scope="openid offline_access")
    return time.time(), code, tokens


def ask(browser, scope="openid", **more):
    return browser.authorize(WEB, WEB_URI, scope, **({"state": "st"} | more))


def answered(answer, uri=WEB_URI):
    """The parameters that a redirect brings to the client."""
    assert answer.status_code == 303, answer.text
    assert answer.headers["Location"].startswith(uri)
    return query_of(answer.headers["Location"])


def redeem(authd, code, auth=BASIC, uri=WEB_URI, **more):
    return authd.token({"grant_type": "authorization_code", "code": code, "redirect_uri": uri} | more, auth=auth)


def signed_in(authd, browser, **more):
    """The code and the tokens of a whole flow, with a login where one is asked for."""
    answer = ask(browser, **more)
    parameters = answered(answer if answer.is_redirect else browser.fill(answer))
    assert parameters["state"] == "st"
    answer = redeem(authd, parameters["code"])
    assert answer.status_code == 200, answer.text
    return parameters["code"], answer.json()


def claims_of(authd, browser, **more):
    return authd.verified(signed_in(authd, browser, **more)[1]["id_token"], WEB)


def clock_passes(second):
    """Times in tokens are whole seconds: a later one shows only when the clock has moved on."""
    until_time(second + 1)


def asks_for_password(answer):
    return answer.status_code == 200 and 'type="password"' in answer.text


def is_error_page(answer):
    return answer.status_code == 400 and "Location" not in answer.headers and "text/html" in answer.headers["Content-Type"]


def refused(answer, error, status=400):
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    return answer


# ---- the flow ----


def test_oidcc_server(authd):
    claims = claims_of(authd, authd.browser(), nonce="n")
    assert claims["nonce"] == "n" and claims["aud"] == WEB
    keys = authd.get("/oidc/keys").json()["keys"]
    assert len({k["kid"] for k in keys}) == len(keys) > 0
    assert not any(set(k) & {"d", "p", "q", "dp", "dq", "qi", "k"} for k in keys)


def test_oidcc_server_client_secret_post(authd):
    browser = authd.browser()
    code = answered(browser.fill(ask(browser)))["code"]
    tokens = redeem(authd, code, auth=None, client_id=WEB, client_secret=WEB_SECRET).json()
    assert authd.verified(tokens["id_token"], WEB)["aud"] == WEB


def test_oidcc_response_type_missing(authd):
    parameters = answered(ask(authd.browser(), response_type=None))
    assert parameters["error"] in ("unsupported_response_type", "invalid_request") and parameters["state"] == "st"


def test_oidcc_idtoken_signature(authd):
    _, tokens = signed_in(authd, authd.browser())
    header = jwt.get_unverified_header(tokens["id_token"])
    assert header["alg"] == "RS256" and header["kid"] in {k["kid"] for k in authd.get("/oidc/keys").json()["keys"]}
    authd.verified(tokens["id_token"], WEB)


def userinfo_is_right(authd, answer, tokens):
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    assert answer.json()["sub"] == authd.verified(tokens["id_token"], WEB)["sub"]


def test_oidcc_userinfo_get(authd):
    _, tokens = signed_in(authd, authd.browser())
    userinfo_is_right(authd, authd.userinfo(tokens["access_token"]), tokens)


def test_oidcc_userinfo_post_header(authd):
    _, tokens = signed_in(authd, authd.browser())
    answer = requests.post(f"{authd.issuer}/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"}, timeout=20)
    userinfo_is_right(authd, answer, tokens)


def test_oidcc_userinfo_post_body(authd):
    _, tokens = signed_in(authd, authd.browser())
    userinfo_is_right(authd, requests.post(f"{authd.issuer}/userinfo", data={"access_token": tokens["access_token"]}, timeout=20), tokens)


def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(authd):
    assert "nonce" not in claims_of(authd, authd.browser(), nonce=None)


def scope_gives(authd, scope, *names):
    """Exactly these claims about the person, at userinfo and in the ID token alike."""
    _, tokens = signed_in(authd, authd.browser(), scope=scope)
    info = authd.userinfo(tokens["access_token"]).json()
    assert set(info) == {"sub", *names}
    assert info.items() <= authd.verified(tokens["id_token"], WEB).items()


def test_oidcc_scope_profile(authd):
    scope_gives(authd, "openid profile", "name", "preferred_username")


def test_oidcc_scope_email(authd):
    scope_gives(authd, "openid email", "email", "email_verified")


def test_oidcc_scope_address(authd):
    scope_gives(authd, "openid address")  # nobody here has one


def test_oidcc_scope_phone(authd):
    scope_gives(authd, "openid phone")  # nobody here has one


def test_oidcc_scope_all(authd):
    scope_gives(authd, EVERY_SCOPE, "name", "preferred_username", "email", "email_verified")


def test_oidcc_alternate_happy_flow(authd):
    """The same scopes the other way round."""
    scope_gives(authd, " ".join(reversed(EVERY_SCOPE.split())), "name", "preferred_username", "email", "email_verified")


# ---- parameters that are never an error ----


def test_oidcc_display_page(authd):
    claims_of(authd, authd.browser(), display="page")


def test_oidcc_display_popup(authd):
    claims_of(authd, authd.browser(), display="popup")


def test_oidcc_ui_locales(authd):
    claims_of(authd, authd.browser(), ui_locales="se no-NO")


def test_oidcc_claims_locales(authd):
    claims_of(authd, authd.browser(), claims_locales="se no-NO")


def test_oidcc_login_hint(authd):
    browser = authd.browser()
    page = ask(browser, login_hint=EMAIL)
    assert f'value="{EMAIL}"' in page.text
    assert "code" in answered(browser.fill(page))


def test_oidcc_ensure_request_with_acr_values_succeeds(authd):
    claims_of(authd, authd.browser(), acr_values="1 2")


def test_oidcc_ensure_request_with_unknown_parameter_succeeds(authd):
    claims_of(authd, authd.browser(), extra="foobar")


def test_oidcc_claims_essential(authd):
    claims_of(authd, authd.browser(), claims=json.dumps({"userinfo": {"name": {"essential": True}}, "id_token": {"auth_time": {"essential": True}}}))


# ---- sessions ----


@pytest.fixture
def browser(authd):
    browser = authd.browser()
    browser.sign_in()
    return browser


def authenticates_again(authd, browser, first, **more):
    page = ask(browser, **more)
    assert asks_for_password(page)
    again = authd.verified(redeem(authd, answered(browser.fill(page))["code"]).json()["id_token"], WEB)
    assert again["sub"] == first["sub"] and again["auth_time"] > first["auth_time"]


def test_oidcc_prompt_login(authd, browser):
    first = claims_of(authd, browser)
    clock_passes(first["auth_time"])
    authenticates_again(authd, browser, first, prompt="login")


def test_oidcc_max_age_1(authd, browser):
    first = claims_of(authd, browser)
    clock_passes(first["auth_time"] + 1)
    authenticates_again(authd, browser, first, max_age="1")


def test_oidcc_max_age_10000(authd, browser):
    first, again = claims_of(authd, browser), answered(ask(browser, max_age="10000"))
    again = authd.verified(redeem(authd, again["code"]).json()["id_token"], WEB)
    assert (first["sub"], first["auth_time"]) == (again["sub"], again["auth_time"])


def test_oidcc_prompt_none_not_logged_in(authd):
    parameters = answered(ask(authd.browser(), prompt="none"))
    assert parameters["error"] == "login_required" and parameters["state"] == "st" and "code" not in parameters


def silent(authd, browser, first, **more):
    again = authd.verified(redeem(authd, answered(ask(browser, prompt="none", **more))["code"]).json()["id_token"], WEB)
    assert (first["sub"], first["auth_time"]) == (again["sub"], again["auth_time"])


def test_oidcc_prompt_none_logged_in(authd, browser):
    silent(authd, browser, claims_of(authd, browser))


def test_oidcc_id_token_hint(authd, browser):
    token = signed_in(authd, browser)[1]["id_token"]
    silent(authd, browser, authd.verified(token, WEB), id_token_hint=token)


# ---- codes ----


def code_is_dead(authd, code, tokens):
    refused(redeem(authd, code), "invalid_grant")
    assert authd.userinfo(tokens["access_token"]).status_code == 401
    refused(authd.token({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}, auth=BASIC), "invalid_grant")


def test_oidcc_codereuse(authd, browser):
    code, tokens = signed_in(authd, browser, scope="openid offline_access")
    assert authd.userinfo(tokens["access_token"]).status_code == 200
    code_is_dead(authd, code, tokens)


# ---- the redirect URI ----


def test_oidcc_ensure_registered_redirect_uri(authd, browser):
    assert is_error_page(browser.authorize(WEB, "https://elsewhere.example/cb?x=1"))


def test_oidcc_redirect_uri_query_ok(authd, browser):
    assert answered(ask(browser))["x"] == "1"  # the URI's own query stays


def test_oidcc_redirect_uri_query_added(authd, browser):
    assert is_error_page(browser.authorize(WEB, WEB_URI + "&foo=bar"))


def test_oidcc_redirect_uri_query_mismatch(authd, browser):
    assert is_error_page(browser.authorize(WEB, WEB_URI.replace("x=1", "x=2")))


def test_oidcc_ensure_redirect_uri_in_authorization_request(authd, browser):
    assert is_error_page(browser.authorize(WEB, None))


# ---- requests in other shapes ----


def test_oidcc_ensure_post_request_succeeds(authd):
    browser = authd.browser()
    page = browser.post("/oidc/auth", {"client_id": WEB, "redirect_uri": WEB_URI, "response_type": "code", "scope": "openid", "state": "st", "nonce": "n"})
    parameters = answered(browser.fill(page))
    assert authd.verified(redeem(authd, parameters["code"]).json()["id_token"], WEB)["nonce"] == "n"


def test_oidcc_request_uri_unsigned(authd, browser):
    assert answered(ask(browser, request_uri="https://app.example/request.jwt"))["error"] == "request_uri_not_supported"


UNSIGNED = jwt.encode({"response_type": "code", "client_id": WEB, "scope": "openid", "redirect_uri": WEB_URI, "state": "inner"}, None, "none")


def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(authd, browser):
    parameters = answered(ask(browser, request=UNSIGNED))
    assert parameters["error"] == "request_not_supported" and parameters["state"] == "st"


def test_oidcc_ensure_request_object_with_redirect_uri(authd, browser):
    """The URI that is registered stands in the object only: it is not looked at."""
    assert is_error_page(browser.authorize(WEB, "https://elsewhere.example/", request=UNSIGNED))


# ---- tokens, keys, discovery ----


def test_oidcc_refresh_token(authd, browser):
    _, tokens = signed_in(authd, browser, scope="openid offline_access")
    before = authd.verified(tokens["id_token"], WEB)
    clock_passes(before["iat"])
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refused(authd.token(form, auth=(OTHER, OTHER_SECRET)), "invalid_grant")
    answer = authd.token(form, auth=BASIC)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    after = authd.verified(answer.json()["id_token"], WEB)
    assert [before[name] for name in ("iss", "sub", "aud")] == [after[name] for name in ("iss", "sub", "aud")]
    assert after["iat"] > before["iat"]


def test_oidcc_server_rotate_keys(tmp_path):
    with Authd(tmp_path) as authd:
        before = {k["kid"]: k for k in authd.get("/oidc/keys").json()["keys"]}
        authd.program.send_signal(signal.SIGUSR2)
        authd.wait_log("signing keys rotated")
        after = {k["kid"]: k for k in authd.get("/oidc/keys").json()["keys"]}
        assert before.items() < after.items()


def test_oidcc_config(tmp_path):
    """The Config OP's profile: discovery, over https."""
    certificates = harness.Certificates(tmp_path / "pki")
    cert, key = certificates.issue("authd", "/CN=authd", "DNS:localhost,IP:127.0.0.1")
    (port,) = harness.free_ports(1)
    issuer = f"https://localhost:{port}/oidc"
    with Authd(tmp_path, issuer=issuer, web={"https": f"127.0.0.1:{port}", "tlsCert": str(cert), "tlsKey": str(key)}):
        answer = requests.get(f"{issuer}/.well-known/openid-configuration", verify=str(certificates.ca), timeout=20)
    d = answer.json()
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    assert d["issuer"] == issuer
    endpoints = [value for name, value in d.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(endpoints) >= 4 and all(e.startswith(issuer + "/") for e in endpoints)
    assert "RS256" in d["id_token_signing_alg_values_supported"] and "none" not in d["id_token_signing_alg_values_supported"]
    assert {"code"} <= set(d["response_types_supported"]) and d["subject_types_supported"] == ["public"]
    assert {"client_secret_basic", "client_secret_post"} <= set(d["token_endpoint_auth_methods_supported"])
    assert "openid" in d["scopes_supported"] and {"sub", "iss"} <= set(d["claims_supported"])
    assert d["request_parameter_supported"] is False and d["request_uri_parameter_supported"] is False


# ---- what the suite leaves out ----


def test_a_duplicate_parameter_is_invalid_request(authd, browser):
    query = urllib.parse.urlencode({"client_id": WEB, "redirect_uri": WEB_URI, "response_type": "code", "scope": "openid", "state": "st"})
    assert answered(browser.get(f"/oidc/auth?{query}&nonce=a&nonce=b"))["error"] == "invalid_request"
    refused(authd.token([("grant_type", "authorization_code"), ("code", "a"), ("code", "b"), ("redirect_uri", WEB_URI)], auth=BASIC), "invalid_request")


def test_basic_and_post_together_are_refused_and_so_is_a_secret_in_the_query(authd, browser):
    code = answered(ask(browser))["code"]
    refused(redeem(authd, code, client_id=WEB, client_secret=WEB_SECRET), "invalid_request")
    query = urllib.parse.urlencode({"client_id": WEB, "client_secret": WEB_SECRET})
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": WEB_URI}
    refused(requests.post(f"{authd.issuer}/token?{query}", data=form, timeout=20), "invalid_request")
    assert redeem(authd, code).status_code == 200


def test_a_code_is_for_one_client_and_one_redirect_uri(authd, browser):
    code = answered(ask(browser))["code"]
    refused(redeem(authd, code, auth=(OTHER, OTHER_SECRET)), "invalid_grant")
    refused(redeem(authd, code, uri=CLI_URI), "invalid_grant")
    assert redeem(authd, code).status_code == 200


def test_codes_are_random_and_long_enough(authd, browser):
    codes = [answered(ask(browser))["code"] for _ in range(20)]
    assert len(set(codes)) == 20
    raw = [base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)) for code in codes]
    varying = [len({r[i] for r in raw}) > 1 for i in range(min(map(len, raw)))]
    assert sum(varying) >= 16  # bytes that are not the same in all of them: 128 bits


def test_login_pages_are_not_framed_tell_no_referrer_and_answer_posts_with_303(authd):
    browser = authd.browser()
    page = ask(browser)
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"] and page.headers["Referrer-Policy"] == "no-referrer"
    assert browser.fill(page).status_code == 303


def test_revocation_of_an_unknown_token_is_200(authd):
    assert authd.revoke("never-issued", auth=BASIC).status_code == 200


def test_introspection_authenticates_and_says_of_dead_tokens_only_that(authd, browser):
    foreign = browser.tokens()["access_token"]
    _, tokens = signed_in(authd, browser)
    assert authd.introspect(tokens["access_token"]).json()["active"] is True
    assert authd.introspect(tokens["access_token"], auth=None).status_code == 401
    assert authd.introspect(tokens["access_token"], auth=(WEB, "wrong")).status_code == 401
    for token in ("never-issued", foreign):
        assert authd.introspect(token).content == b'{"active":false}'


def test_a_token_that_has_expired_is_refused_everywhere(tmp_path):
    with Authd(tmp_path, expiry={"idTokens": "1s"}) as authd:
        _, tokens = signed_in(authd, authd.browser())
        clock_passes(jwt.decode(tokens["access_token"], options={"verify_signature": False})["exp"])
        assert authd.userinfo(tokens["access_token"]).status_code == 401
        assert authd.introspect(tokens["access_token"]).content == b'{"active":false}'


def test_a_refused_approval_is_access_denied_to_the_client(tmp_path):
    with Authd(tmp_path, oauth2={"skipApprovalScreen": False}) as authd:
        browser = authd.browser()
        page = browser.fill(ask(browser))
        parameters = answered(browser.post("/oidc/approval", fields(page.text) | {"approval": "deny"}))
        assert parameters["error"] == "access_denied" and parameters["state"] == "st"


# ---- last: most of the half minute has passed by now ----


def test_oidcc_codereuse_30seconds(authd, redeemed_early):
    when, code, tokens = redeemed_early
    assert authd.userinfo(tokens["access_token"]).status_code == 200
    until_time(when + 30)
    code_is_dead(authd, code, tokens)
