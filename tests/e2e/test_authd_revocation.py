"""authd: revocation (RFC 7009) and introspection (RFC 7662)."""
import urllib.parse

import pytest
import requests

from authd_client import CLI, OTHER, OTHER_SECRET, WEB, WEB_SECRET, WEB_URI, query_of

INACTIVE = b'{"active":false}'


def web_tokens(authd, browser, scope="openid email offline_access"):
    """What the client with a secret gets."""
    answer = browser.authorize(WEB, WEB_URI, scope)
    form = {"grant_type": "authorization_code", "code": query_of(answer.headers["Location"])["code"], "redirect_uri": WEB_URI}
    answer = authd.token(form, auth=(WEB, WEB_SECRET))
    assert answer.status_code == 200, answer.text
    return answer.json()


def done(answer):
    return answer.status_code == 200 and answer.content == b"" and answer.headers["Cache-Control"] == "no-store"


def ended(authd, tokens):
    userinfo = authd.userinfo(tokens["access_token"]).status_code
    refresh = authd.refresh(tokens["refresh_token"])
    assert userinfo in (200, 401) and refresh.status_code in (200, 400)
    return userinfo == 401 and refresh.json()["error"] == "invalid_grant"


# ---- revocation ----


def test_discovery_names_both_endpoints(authd):
    d = authd.get("/oidc/.well-known/openid-configuration").json()
    assert d["revocation_endpoint"] == f"{authd.issuer}/token/revoke"
    assert d["introspection_endpoint"] == f"{authd.issuer}/token/introspect"
    assert "none" in d["revocation_endpoint_auth_methods_supported"]
    assert "none" not in d["introspection_endpoint_auth_methods_supported"]


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
@pytest.mark.parametrize("hint", [None, "refresh_token", "access_token", "other"])
def test_a_revoked_token_takes_its_whole_grant_with_it(authd, browser, kind, hint):
    tokens = browser.tokens(scope="openid offline_access")
    assert done(authd.revoke(tokens[kind], **({"token_type_hint": hint} if hint else {})))
    assert ended(authd, tokens)


def test_a_token_that_was_read_many_times_is_dead_at_once(authd, browser):
    tokens = web_tokens(authd, browser)

    def read():
        return authd.userinfo(tokens["access_token"]).status_code, authd.introspect(tokens["access_token"], auth=(WEB, WEB_SECRET)).content == INACTIVE

    assert [read() for _ in range(5)] == [(200, False)] * 5
    assert done(authd.revoke(tokens["refresh_token"], auth=(WEB, WEB_SECRET)))
    assert [read() for _ in range(5)] == [(401, True)] * 5


def test_an_access_token_without_a_refresh_token_is_ended(authd, browser):
    tokens = browser.tokens()
    assert done(authd.revoke(tokens["access_token"]))
    assert authd.userinfo(tokens["access_token"]).status_code == 401


def test_an_earlier_token_of_the_family_ends_it_too(authd, browser):
    first = browser.tokens(scope="openid offline_access")
    second = authd.refresh(first["refresh_token"]).json()
    assert done(authd.revoke(first["refresh_token"]))
    assert authd.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("token", ["never-issued", "a.b.c", "ey.ey.ey", "\U0001f600", "x" * 10000])
def test_an_unknown_token_is_as_good_as_revoked(authd, token):
    assert done(authd.revoke(token))


def test_another_clients_token_is_left_alone(authd, browser):
    tokens = browser.tokens(scope="openid offline_access")
    for kind in ("refresh_token", "access_token"):
        assert done(authd.revoke(tokens[kind], auth=(WEB, WEB_SECRET)))
    assert authd.userinfo(tokens["access_token"]).status_code == 200
    assert authd.refresh(tokens["refresh_token"]).status_code == 200


def test_one_login_ends_and_the_other_one_of_the_same_client_lives(authd, browser):
    first, second = (browser.tokens(scope="openid offline_access") for _ in range(2))
    assert done(authd.revoke(first["refresh_token"]))
    assert ended(authd, first) and not ended(authd, second)


@pytest.mark.parametrize("more,auth,status,error", [
    ({"token": ""}, (WEB, WEB_SECRET), 400, "invalid_request"),
    ({}, (WEB, "wrong"), 401, "invalid_client"),
    ({"client_id": WEB}, None, 401, "invalid_client"),
    ({"client_id": "nosuch"}, None, 401, "invalid_client"),
    ({"client_id": ""}, None, 401, "invalid_client"),
    ({"client_secret": WEB_SECRET}, (WEB, WEB_SECRET), 400, "invalid_request"),
])
@pytest.mark.parametrize("endpoint", ["revoke", "introspect"])
def test_both_endpoints_authenticate_the_client_and_want_a_token(authd, endpoint, more, auth, status, error):
    answer = getattr(authd, endpoint)("x", auth=auth, **more)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("endpoint", ["revoke", "introspect"])
def test_malformed_requests_get_the_standards_error(authd, endpoint):
    url = f"{authd.issuer}/token/{endpoint}"
    client = urllib.parse.urlencode({"client_id": WEB, "client_secret": WEB_SECRET})
    for body, headers, query in [
        ("token=x&token=y", {}, ""),
        ("token=%00", {}, ""),
        ("token=%ff", {}, ""),
        ("token=x", {"Content-Type": "application/json"}, ""),
        ("token=x", {}, "?token=x"),
    ]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | headers
        answer = requests.post(url + query, data=f"{body}&{client}", headers=headers, timeout=20)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), (body, answer.text)
    assert requests.get(url, timeout=20).status_code == 405


# ---- introspection ----


def test_an_access_token_is_described_to_its_client(authd, browser):
    tokens = web_tokens(authd, browser)
    answer = authd.introspect(tokens["access_token"])
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json" and answer.headers["Cache-Control"] == "no-store"
    claims = authd.verified(tokens["access_token"], authd.issuer, typ="at+jwt")
    assert answer.json() == {
        "active": True, "iss": authd.issuer, "sub": claims["sub"], "aud": authd.issuer, "exp": claims["exp"], "iat": claims["iat"],
        "client_id": WEB, "scope": "openid email offline_access", "username": "jane", "token_type": "Bearer", "token_use": "access_token",
        "sid": claims["sid"], "jti": claims["jti"],
    }


def test_a_refresh_token_is_described_to_its_client_and_rotation_ends_it(authd, browser):
    tokens = web_tokens(authd, browser)
    answer = authd.introspect(tokens["refresh_token"], token_type_hint="refresh_token").json()
    access = authd.introspect(tokens["access_token"]).json()
    assert answer["active"] and answer["token_use"] == "refresh_token"
    assert all(answer[name] == access[name] for name in ("iss", "sub", "client_id", "scope", "username", "sid"))
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    successor = authd.token(form, auth=(WEB, WEB_SECRET)).json()
    assert authd.introspect(successor["refresh_token"]).json()["active"]


def test_what_is_not_active_has_one_answer(authd, browser):
    tokens, revoked = web_tokens(authd, browser), web_tokens(authd, browser)
    authd.revoke(revoked["access_token"], auth=(WEB, WEB_SECRET))
    head, _, signature = tokens["access_token"].rpartition(".")
    altered = head + "." + ("A" if signature[0] != "A" else "B") + signature[1:]
    for token in (revoked["access_token"], revoked["refresh_token"], altered, "never-issued", "a.b.c", tokens["id_token"], "x" * 10000):
        assert authd.introspect(token).content == INACTIVE, token


def test_a_client_learns_nothing_of_foreign_tokens(authd, browser):
    tokens = browser.tokens(scope="openid offline_access")
    for kind in ("access_token", "refresh_token"):
        assert authd.introspect(tokens[kind]).content == INACTIVE


def test_a_client_may_ask_about_access_tokens_of_its_trusted_peers(authd, browser):
    """OTHER lists WEB in trustedPeers: tokens of WEB may be meant for it."""
    tokens = web_tokens(authd, browser)
    assert authd.introspect(tokens["access_token"], auth=(OTHER, OTHER_SECRET)).json()["client_id"] == WEB
    assert authd.introspect(tokens["refresh_token"], auth=(OTHER, OTHER_SECRET)).content == INACTIVE


def test_who_has_no_secret_may_not_ask(authd, browser):
    tokens = browser.tokens()
    answer = authd.introspect(tokens["access_token"], auth=None, client_id=CLI)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_introspection_may_be_called_from_allowed_origins(authd):
    answer = requests.options(f"{authd.issuer}/token/introspect", headers={"Origin": "https://spa.example"}, timeout=20)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://spa.example"
    answer = requests.options(f"{authd.issuer}/token/introspect", headers={"Origin": "https://other.example"}, timeout=20)
    assert "Access-Control-Allow-Origin" not in answer.headers
