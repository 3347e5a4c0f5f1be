"""What the OpenID conformance suite asks of an Implicit, Hybrid and Form Post OP, for each response_type, a test per module that differs from the Basic OP's
(test_conformance.py has those); and beside them that nothing of it is there unless oauth2.responseTypes says so."""
import base64
import hashlib
import html
import re
import urllib.parse

import pytest

from authd_client import CLI, CLI_URI, EMAIL, WEB, WEB_SECRET, WEB_URI, Authd, fields, pkce, query_of

BASIC = (WEB, WEB_SECRET)
IMPLICIT = ["id_token", "id_token token"]
HYBRID = ["code id_token", "code token", "code id_token token"]
ALL = IMPLICIT + HYBRID
ON = {"skipApprovalScreen": True, "responseTypes": ["code", "token", "id_token"]}
SCOPE = "openid email groups"


@pytest.fixture(scope="module")
def authd(tmp_path_factory):
    with Authd(tmp_path_factory.mktemp("authd"), oauth2=ON) as authd:
        yield authd


def ask(browser, response_type, scope=SCOPE, **more):
    return browser.authorize(WEB, WEB_URI, scope, **({"response_type": response_type, "state": "s t&", "nonce": "n-1"} | more))


def answered(answer, mode="fragment"):
    """The parameters, as the mode has them come."""
    if mode == "form_post":
        assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store", answer.text
        action = html.unescape(re.search(r'<form method="post" action="([^"]*)"', answer.text).group(1))
        assert action == WEB_URI
        pairs = [(k, html.unescape(v)) for k, v in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', answer.text)]
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)
    assert answer.status_code == 303 and answer.headers["Cache-Control"] == "no-store", answer.text
    at = {"fragment": WEB_URI + "#", "query": WEB_URI + "&"}[mode]
    assert answer.headers["Location"].startswith(at)
    if mode == "fragment":
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(answer.headers["Location"]).fragment, keep_blank_values=True))
    return {k: v for k, v in query_of(answer.headers["Location"]).items() if k != "x"}


def half_hash(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).rstrip(b"=").decode()


def checked(authd, response_type, got, nonce="n-1"):
    """Everything that Core 3.2.2.10 and 3.3.2.11 have the client check. The claims of the ID token, or None."""
    words = set(response_type.split())
    wanted = {"state", "iss"} | ({"code"} & words) | ({"id_token"} & words) | ({"access_token", "token_type", "expires_in", "scope"} if "token" in words else set())
    assert set(got) == wanted and got["state"] == "s t&" and got["iss"] == authd.issuer
    if "token" in words:
        assert got["token_type"] == "Bearer" and int(got["expires_in"]) > 0
        authd.verified(got["access_token"], authd.issuer, typ="at+jwt")
    if "id_token" not in words:
        return None
    claims = authd.verified(got["id_token"], WEB)
    assert claims["nonce"] == nonce and claims["aud"] == WEB
    assert claims.get("c_hash") == (half_hash(got["code"]) if "code" in words else None)
    assert claims.get("at_hash") == (half_hash(got["access_token"]) if "token" in words else None)
    return claims


def redeem(authd, code, **more):
    return authd.token({"grant_type": "authorization_code", "code": code, "redirect_uri": WEB_URI} | more, auth=BASIC)


# ---- the modules ----


@pytest.mark.parametrize("mode", ["fragment", "form_post"])
@pytest.mark.parametrize("response_type", ALL)
def test_oidcc_server(authd, browser, response_type, mode):
    got = answered(ask(browser, response_type, **({} if mode == "fragment" else {"response_mode": mode})), mode)
    claims = checked(authd, response_type, got)
    if claims:
        assert claims["email"] == EMAIL and claims["groups"] == ["developers", "ops"] and claims["sid"] and claims["auth_time"]
    if "code" in got:
        tokens = redeem(authd, got["code"])
        assert tokens.status_code == 200, tokens.text
        later = authd.verified(tokens.json()["id_token"], WEB)
        assert later["nonce"] == "n-1" and "c_hash" not in later
        assert not claims or (later["iss"], later["sub"], later["sid"]) == (claims["iss"], claims["sub"], claims["sid"])


@pytest.mark.parametrize("response_type", ALL)
def test_oidcc_server_with_a_login_and_with_an_approval(tmp_path, response_type):
    with Authd(tmp_path, oauth2=ON | {"skipApprovalScreen": False}) as authd:
        browser = authd.browser()
        page = browser.fill(ask(browser, response_type))
        assert 'name="approval"' in page.text
        checked(authd, response_type, answered(browser.post("/oidc/approval", fields(page.text) | {"approval": "approve"})))
        page = ask(browser, response_type, prompt="consent")
        got = answered(browser.post("/oidc/approval", fields(page.text) | {"approval": "deny"}))
        assert got["error"] == "access_denied" and got["state"] == "s t&" and not set(got) & {"code", "id_token", "access_token"}


@pytest.mark.parametrize("response_type", [t for t in ALL if "id_token" in t])
def test_oidcc_ensure_request_without_nonce_fails(browser, response_type):
    got = answered(ask(browser, response_type, nonce=None))
    assert got["error"] == "invalid_request" and got["state"] == "s t&"


def test_oidcc_ensure_request_without_nonce_succeeds_where_no_id_token_comes_back(authd, browser):
    assert "code" in answered(ask(browser, "code token", nonce=None))


@pytest.mark.parametrize("response_type", [t for t in ALL if " token" in t])
def test_oidcc_userinfo_get(authd, browser, response_type):
    got = answered(ask(browser, response_type))
    info = authd.userinfo(got["access_token"])
    assert info.status_code == 200 and info.json()["email"] == EMAIL
    if "id_token" in got:
        assert info.json()["sub"] == authd.verified(got["id_token"], WEB)["sub"]


@pytest.mark.parametrize("response_type", HYBRID)
def test_oidcc_codereuse(authd, browser, response_type):
    got = answered(ask(browser, response_type))
    tokens = redeem(authd, got["code"]).json()
    again = redeem(authd, got["code"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert authd.userinfo(tokens["access_token"]).status_code == 401


@pytest.mark.parametrize("response_type", ALL)
def test_oidcc_prompt_none_not_logged_in(authd, response_type):
    got = answered(ask(authd.browser(), response_type, prompt="none"))
    assert got["error"] == "login_required" and got["state"] == "s t&" and got["iss"] == authd.issuer


@pytest.mark.parametrize("response_type", [t for t in ALL if "id_token" in t])
def test_oidcc_prompt_none_logged_in(authd, browser, response_type):
    first = checked(authd, response_type, answered(ask(browser, response_type)))
    second = checked(authd, response_type, answered(ask(browser, response_type, prompt="none", nonce="n-2")), nonce="n-2")
    assert (first["sub"], first["auth_time"]) == (second["sub"], second["auth_time"])


@pytest.mark.parametrize("response_type", ALL)
def test_oidcc_response_mode_query_is_refused_for_tokens(browser, response_type):
    answer = ask(browser, response_type, response_mode="query")
    assert answered(answer)["error"] == "invalid_request", "and the error comes in the fragment"


@pytest.mark.parametrize("mode", ["query", "fragment", "form_post"])
def test_oidcc_server_code_in_every_mode(authd, browser, mode):
    got = answered(ask(browser, "code", response_mode=mode), mode)
    assert set(got) == {"code", "state", "iss"} and redeem(authd, got["code"]).status_code == 200


@pytest.mark.parametrize("response_type", ALL)
def test_oidcc_ensure_redirect_uri_is_registered_for_these_too(authd, response_type):
    answer = authd.browser().authorize(WEB, "https://evil.example/cb", response_type=response_type, nonce="n")
    assert answer.status_code == 400 and "Location" not in answer.headers


@pytest.mark.parametrize("response_type", ["token", "code code", "id_token id_token", "none", "token code token", "code id_token x"])
def test_oidcc_response_types_that_are_none(browser, response_type):
    answer = ask(browser, response_type)
    assert "error=unsupported_response_type" in answer.headers["Location"]


@pytest.mark.parametrize("response_type,same", [("token id_token", "id_token token"), ("id_token code", "code id_token"), ("token id_token code", "code id_token token")])
def test_oidcc_alternate_order_of_response_types(authd, browser, response_type, same):
    checked(authd, same, answered(ask(browser, response_type)))


def test_oidcc_discovery_endpoint_verification(authd, tmp_path):
    found = authd.get("/oidc/.well-known/openid-configuration").json()
    assert sorted(found["response_types_supported"]) == sorted(["code", *ALL])
    assert found["response_modes_supported"] == ["query", "fragment", "form_post"] and "implicit" in found["grant_types_supported"]
    with Authd(tmp_path, oauth2={"responseTypes": ["code", "code id_token"]}) as some:
        found = some.get("/oidc/.well-known/openid-configuration").json()
        assert set(found["response_types_supported"]) == {"code", "code id_token"}


# ---- beside them ----


@pytest.mark.parametrize("response_type", ALL)
def test_without_configuration_only_a_code_is_given(tmp_path, response_type):
    with Authd(tmp_path) as authd:
        got = answered(ask(authd.browser(), response_type))
        assert got["error"] == "unsupported_response_type"
        found = authd.get("/oidc/.well-known/openid-configuration").json()
        assert found["response_types_supported"] == ["code"] and "implicit" not in found["grant_types_supported"]


def test_signing_out_ends_tokens_that_came_through_the_browser(authd):
    browser = authd.browser()
    browser.sign_in()
    got = answered(ask(browser, "id_token token"))
    assert authd.introspect(got["access_token"]).json()["active"] is True
    browser.post("/console/signout", fields(browser.get("/console/").text))
    assert authd.userinfo(got["access_token"]).status_code == 401
    assert authd.introspect(got["access_token"]).json() == {"active": False}


def test_no_refresh_token_ever_comes_through_the_browser(browser):
    got = answered(ask(browser, "code id_token token", scope="openid offline_access"))
    assert "refresh_token" not in got


def test_a_public_client_needs_pkce_where_a_code_comes_back(authd, browser):
    more = {"response_type": "code id_token", "nonce": "n", "state": "st"}
    refused = urllib.parse.urlsplit(browser.authorize(CLI, CLI_URI, **more).headers["Location"]).fragment
    assert "error=invalid_request" in refused and "code_challenge" in refused
    verifier, challenge = pkce()
    answer = browser.authorize(CLI, CLI_URI, code_challenge=challenge, code_challenge_method="S256", **more)
    got = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(answer.headers["Location"]).fragment))
    assert authd.redeem(got["code"], verifier).status_code == 200


def test_a_client_s_grant_types_leave_it_out(tmp_path):
    authd = Authd(tmp_path, oauth2=ON)
    for client in authd.program.config["staticClients"]:
        if client["id"] == WEB:
            client["grantTypes"] = ["authorization_code"]
    authd.program.write_config(authd.program.config)
    with authd:
        assert answered(ask(authd.browser(), "id_token token"))["error"] == "unauthorized_client"
        assert 'type="password"' in ask(authd.browser(), "code").text


def test_what_is_set_for_the_client_holds_for_these_tokens(tmp_path):
    authd = Authd(tmp_path, oauth2=ON)
    for client in authd.program.config["staticClients"]:
        if client["id"] == WEB:
            client |= {"expiry": {"idTokens": "5m"}, "groups": ["ops"], "subject": "plain"}
    authd.program.write_config(authd.program.config)
    with authd:
        browser = authd.browser()
        got = answered(browser.fill(ask(browser, "id_token token")))
        claims = checked(authd, "id_token token", got)
        assert claims["sub"] == "local:id-jane" and claims["groups"] == ["ops"] and claims["exp"] - claims["iat"] == int(got["expires_in"]) == 300


def test_no_token_is_logged(authd, browser):
    got = answered(ask(browser, "code id_token token"))
    assert not any(got[name] in authd.log() for name in ("code", "id_token", "access_token"))
