"""authd: authorization code flow with PKCE, what discovery says, what /auth refuses and how."""
import base64
import hashlib
import json
import time
import urllib.parse

import jwt
import pytest
import requests

from authd_client import CLI, CLI_URI, EMAIL, OTHER, PASSWORD, WEB, WEB_SECRET, WEB_URI, fields, pkce, query_of


def error_of(answer, uri=CLI_URI):
    """The error that a redirect to the client carries."""
    assert answer.status_code == 303, answer.text
    assert answer.headers["Location"].startswith(uri)
    parameters = query_of(answer.headers["Location"])
    assert "code" not in parameters
    return parameters["error"]


def is_error_page(answer):
    return answer.status_code == 400 and "Location" not in answer.headers and "text/html" in answer.headers["Content-Type"]


# ---- what is published ----


def test_discovery_names_the_issuer_byte_for_byte_and_only_what_is_there(authd):
    answer = authd.get("/oidc/.well-known/openid-configuration")
    d = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert d["issuer"] == authd.issuer
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        assert d[name].startswith(authd.issuer + "/")
    assert d["code_challenge_methods_supported"] == ["S256"]
    assert d["response_types_supported"] == ["code"]
    assert "RS256" in d["id_token_signing_alg_values_supported"]
    assert d["authorization_response_iss_parameter_supported"] is True
    assert authd.get("/oidc/.well-known/oauth-authorization-server").json() == d


def test_keys_are_public_cacheable_and_distinct(authd):
    answer = authd.get("/oidc/keys")
    keys = answer.json()["keys"]
    assert "max-age=" in answer.headers["Cache-Control"]
    assert len({k["kid"] for k in keys}) == len(keys) >= 1
    assert not any(set(k) & {"d", "p", "q", "dp", "dq", "qi"} for k in keys)


def test_health(authd):
    assert authd.get("/oidc/healthz").status_code == 200


def test_cors_is_for_the_origins_that_are_configured(authd):
    for path in ("/oidc/keys", "/oidc/.well-known/openid-configuration", "/oidc/userinfo"):
        answer = authd.get(path, headers={"Origin": "https://spa.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "https://spa.example"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        answer = authd.get(path, headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"
    preflight = requests.options(f"{authd.issuer}/token", headers={"Origin": "https://spa.example", "Access-Control-Request-Method": "POST"}, timeout=20)
    assert preflight.status_code == 204
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in authd.get("/oidc/auth", headers={"Origin": "https://spa.example"}).headers


def test_unknown_paths_and_methods(authd):
    assert authd.get("/oidc/nothing").status_code == 404
    assert authd.get("/oidcx/keys").status_code == 404
    assert authd.get("/keys").status_code == 404
    answer = authd.get("/oidc/token")
    assert answer.status_code == 405 and answer.headers["Allow"] == "POST"
    assert requests.put(f"{authd.issuer}/keys", timeout=20).status_code == 405
    head = requests.head(f"{authd.issuer}/keys", timeout=20)
    assert head.status_code == 200 and head.content == b""


# ---- the flow ----


def test_code_flow_with_pkce_gives_tokens_that_say_what_was_asked(authd):
    before = int(time.time())
    tokens = authd.browser().tokens(scope="openid email profile groups federated:id offline_access", nonce="n-1")
    claims = authd.verified(tokens["id_token"], CLI)
    assert claims["aud"] == CLI and "azp" not in claims
    assert claims["nonce"] == "n-1"
    assert claims["email"] == EMAIL and claims["email_verified"] is True
    assert claims["groups"] == ["developers", "ops"]
    assert claims["name"] == claims["preferred_username"] == "jane"
    assert claims["federated_claims"] == {"connector_id": "local", "user_id": "id-jane"}
    # dex's sub: base64url of protobuf {1: user id, 2: connector id}
    user = b"\n\x07id-jane\x12\x05local"
    assert claims["sub"] == base64.urlsafe_b64encode(user).rstrip(b"=").decode()
    assert before - 5 <= claims["auth_time"] <= claims["iat"] < claims["exp"]
    digest = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert tokens["token_type"] == "Bearer" and tokens["expires_in"] == claims["exp"] - claims["iat"] == 24 * 3600
    assert tokens["refresh_token"]


def test_the_access_token_is_of_its_own_kind(authd):
    tokens = authd.browser().tokens(scope="openid email")
    claims = authd.verified(tokens["access_token"], authd.issuer, typ="at+jwt")
    assert claims["client_id"] == CLI and claims["scope"] == "openid email"
    assert "email" not in claims and "groups" not in claims
    assert "refresh_token" not in tokens  # not asked for


def test_scopes_decide_which_claims_there_are(authd):
    claims = authd.verified(authd.browser().tokens(scope="openid")["id_token"], CLI)
    assert not set(claims) & {"email", "email_verified", "groups", "name", "preferred_username", "federated_claims", "nonce"}


def test_state_and_issuer_come_back_with_the_code(authd):
    browser = authd.browser()
    _, challenge = pkce()
    state = "a b&c=d%é#"
    answer = browser.fill(browser.authorize(state=state, code_challenge=challenge, code_challenge_method="S256"))
    parameters = query_of(answer.headers["Location"])
    assert answer.status_code == 303
    assert parameters["state"] == state and parameters["iss"] == authd.issuer
    assert len(base64.urlsafe_b64decode(parameters["code"] + "=")) >= 16


def test_a_redirect_uri_with_a_query_keeps_it_and_a_secret_replaces_pkce(authd):
    browser = authd.browser()
    answer = browser.fill(browser.authorize(WEB, WEB_URI))
    location = answer.headers["Location"]
    assert location.startswith(WEB_URI + "&code=")
    form = {"grant_type": "authorization_code", "code": query_of(location)["code"], "redirect_uri": WEB_URI}
    assert authd.token(form, auth=(WEB, WEB_SECRET)).status_code == 200


def test_any_loopback_port_is_the_registered_one(authd):
    browser = authd.browser()
    for uri in ("http://127.0.0.1:49152/callback", "http://localhost:8000/callback", "http://[::1]:18000/callback"):
        code, verifier = browser.code(uri=uri)
        assert authd.redeem(code, verifier, uri=uri).status_code == 200


def test_audience_of_a_trusting_peer(authd):
    browser = authd.browser()
    code, verifier = browser.code(WEB, WEB_URI, f"openid audience:server:client_id:{OTHER}")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": WEB_URI, "code_verifier": verifier}
    claims = authd.verified(authd.token(form, auth=(WEB, WEB_SECRET)).json()["id_token"], OTHER)
    assert claims["aud"] == [OTHER, WEB] and claims["azp"] == WEB


def test_post_to_auth_works_like_get(authd):
    browser = authd.browser()
    verifier, challenge = pkce()
    form = {"client_id": CLI, "redirect_uri": CLI_URI, "response_type": "code", "scope": "openid", "state": "é +", "code_challenge": challenge,
            "code_challenge_method": "S256"}
    answer = browser.fill(browser.post("/oidc/auth", form))
    parameters = query_of(answer.headers["Location"])
    assert parameters["state"] == "é +"
    assert authd.redeem(parameters["code"], verifier).status_code == 200


def test_fragment_and_form_post_carry_the_answer_where_they_say(authd):
    browser = authd.browser()
    browser.sign_in()
    _, challenge = pkce()
    more = {"code_challenge": challenge, "code_challenge_method": "S256", "state": "s<1"}
    answer = browser.authorize(response_mode="fragment", **more)
    assert "?" not in answer.headers["Location"] and "code" in query_of(answer.headers["Location"])
    answer = browser.authorize(response_mode="form_post", **more)
    assert answer.status_code == 200 and f'action="{CLI_URI}"' in answer.text
    assert fields(answer.text)["state"] == "s&lt;1" and fields(answer.text)["iss"] == authd.issuer
    assert "form-action 'self' http://127.0.0.1:8000;" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("more", [
    {"display": "page"}, {"ui_locales": "se"}, {"claims_locales": "se"}, {"acr_values": "1 2"}, {"login_hint": "x@y"}, {"unknown": "é"},
    {"claims": json.dumps({"id_token": {"name": {"essential": True}}})}, {"access_type": "offline"}, {"nonce": None},
])
def test_parameters_that_are_never_an_error(authd, more):
    browser = authd.browser()
    browser.sign_in()
    code, verifier = browser.code(**more)
    assert authd.redeem(code, verifier).status_code == 200


def test_login_hint_is_in_the_field(authd):
    _, challenge = pkce()
    page = authd.browser().authorize(login_hint='a"b@example.com', code_challenge=challenge, code_challenge_method="S256")
    assert 'value="a&quot;b@example.com"' in page.text


# ---- errors ----


@pytest.mark.parametrize("client,uri", [
    ("unknown", CLI_URI), (CLI, "https://evil.example/"), (CLI, "http://127.0.0.1:8000/other"), (CLI, "http://127.0.0.1:8000/callback?x=1"),
    (WEB, "https://app.example/cb"), (WEB, WEB_URI + "&y=1"), (WEB, "https://app.example/cb?x=2"), (CLI, None), (None, CLI_URI),
])
def test_an_unregistered_client_or_redirect_uri_is_a_page_and_never_a_redirect(authd, client, uri):
    answer = authd.browser().authorize(client, uri, state="s")
    assert is_error_page(answer)
    assert "evil" not in answer.text


def test_duplicate_parameters(authd):
    base = urllib.parse.urlencode({"client_id": CLI, "redirect_uri": CLI_URI, "response_type": "code", "scope": "openid"})
    browser = authd.browser()
    assert error_of(browser.get(f"/oidc/auth?{base}&scope=openid")) == "invalid_request"
    assert is_error_page(browser.get(f"/oidc/auth?{base}&client_id={WEB}"))
    assert is_error_page(browser.get(f"/oidc/auth?{base}&redirect_uri=https://evil.example"))


@pytest.mark.parametrize("more,error", [
    ({"response_type": None}, "invalid_request"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code id_token"}, "unsupported_response_type"),
    ({"scope": "email"}, "invalid_scope"),
    ({"scope": "openid admin"}, "invalid_scope"),
    ({"scope": f"openid audience:server:client_id:{OTHER}"}, "invalid_scope"),
    ({"prompt": "none login"}, "invalid_request"),
    ({"max_age": "-1"}, "invalid_request"),
    ({"request": "e30.e30."}, "request_not_supported"),
    ({"request_uri": "https://evil.example/"}, "request_uri_not_supported"),
    ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"connector_id": "nosuch"}, "invalid_request"),
    ({"id_token_hint": "x.y.z"}, "invalid_request"),
])
def test_errors_that_go_to_the_client_with_its_state(authd, more, error):
    _, challenge = pkce()
    more = {"code_challenge": challenge, "code_challenge_method": "S256", "state": "s1", "scope": "openid"} | more
    answer = authd.browser().authorize(**more)
    assert error_of(answer) == error
    parameters = query_of(answer.headers["Location"])
    assert parameters["state"] == "s1" and parameters["iss"] == authd.issuer


@pytest.mark.parametrize("query", ["%zz", "a=%00", "a=%ff", "&".join(f"a{i}=1" for i in range(100)), "state=" + "a" * 20000],
                         ids=["percent", "nul", "utf-8", "many", "long"])
def test_bad_bytes_are_400_and_never_500(authd, query):
    base = urllib.parse.urlencode({"client_id": CLI, "redirect_uri": CLI_URI, "response_type": "code", "scope": "openid"})
    answer = authd.browser().get(f"/oidc/auth?{base}&{query}")
    assert answer.status_code == 400 or error_of(answer) == "invalid_request"


def test_a_post_that_is_no_form_is_400(authd):
    answer = requests.post(f"{authd.issuer}/auth", json={"client_id": CLI}, timeout=20)
    assert is_error_page(answer)


# ---- pages ----


def test_every_page_carries_its_protection(authd):
    browser = authd.browser()
    _, challenge = pkce()
    pages = [browser.authorize(code_challenge=challenge, code_challenge_method="S256"), browser.authorize("unknown"), browser.get("/oidc/nothing")]
    pages.append(browser.sign_in())
    for page in pages:
        h = page.headers
        policy = h["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
        assert "unsafe" not in policy and "script-src" not in policy
        assert h["Referrer-Policy"] == "no-referrer" and h["X-Content-Type-Options"] == "nosniff"
        assert h["Cache-Control"] == "no-store" and h["X-Request-Id"]
        assert "<script" not in page.text and " style=" not in page.text
        assert 'lang="en"' in page.text and 'name="viewport"' in page.text


def test_an_error_page_shows_the_request_number_and_nothing_foreign(authd):
    answer = authd.browser().authorize(client="<b>x</b>")
    assert answer.headers["X-Request-Id"] in answer.text
    assert "<b>x" not in answer.text


def test_the_style_sheet_is_kept_for_long_under_its_own_name(authd):
    page = authd.browser().get("/oidc/nothing")
    href = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    answer = authd.get(href)
    assert answer.headers["Content-Type"].startswith("text/css") and "immutable" in answer.headers["Cache-Control"]
    assert "prefers-color-scheme" in answer.text
    assert authd.get("/oidc/static/nothing.css").status_code == 404


def test_nothing_secret_is_in_the_log(authd):
    browser = authd.browser()
    code, verifier = browser.code(scope="openid offline_access", nonce="nonce-to-look-for")
    tokens = authd.redeem(code, verifier).json()
    log = authd.log()
    cookies = [c.value for c in browser.http.cookies]
    assert len(cookies) == 2
    for secret in [code, verifier, PASSWORD, WEB_SECRET, "nonce-to-look-for", *cookies, *(tokens[k] for k in ("id_token", "access_token", "refresh_token"))]:
        assert secret not in log
    assert "code redeemed" in log and jwt.get_unverified_header(tokens["id_token"])["kid"]
