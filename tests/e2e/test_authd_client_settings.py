"""authd: what is set for one client alone, in the configuration or by authd ctl: lifetimes, the groups it is told, a readable sub, claims of its own, grants, its
algorithm; and grants of one connector."""
import contextlib
import json
import time

import pytest
import requests

from authd_client import CLI, WEB, WEB_SECRET, WEB_URI, Authd, fields, person, query_of
from test_authd_backchannel import Receiver
from waiting import until_time

BASIC = (WEB, WEB_SECRET)
GROUPS = ["acme:platform", "acme:sre-eu", "acme:sre-us", "other:platform"]
SETTINGS = {
    "groups": ["acme:sre-*", "nobody"],
    "subject": "plain",
    "idTokenSignedResponseAlg": "ES256",
    "claims": [{"name": "tenant", "value": "acme \"1\""}, {"name": "https://example.com/roles", "from": "groups"}, {"name": "login", "from": "preferred_username"},
               {"name": "uid", "from": "user_id"}, {"name": "via", "from": "connector_id"}, {"name": "who", "from": "sub"}, {"name": "mail", "from": "email"}],
    "expiry": {"idTokens": "10m", "refreshTokens": {"absoluteLifetime": "3s", "validIfNotUsedFor": "2s"}},
}


@pytest.fixture(scope="module", params=["configured", "stored"])
def how(request):
    """Where the client stands: everything here holds for both."""
    return request.param


@contextlib.contextmanager
def running(folder, settings, how, **more):
    authd = Authd(folder)
    config = authd.configuration(staticPasswords=[person(groups=GROUPS), person("mute@example.com", groups=[], emailVerified=False)], **more)
    (client,) = [c for c in config["staticClients"] if c["id"] == WEB]
    client |= settings
    if how == "stored":
        config["staticClients"].remove(client)
    authd.program.write_config(config)
    with authd:
        if how == "stored":
            authd.ctl("clients", "add", "--from-file", "-", given=json.dumps(client))
        yield authd


@pytest.fixture(scope="module")
def authd(tmp_path_factory, how):
    with running(tmp_path_factory.mktemp("authd"), SETTINGS, how) as authd:
        yield authd


def web_tokens(authd, browser=None, scope="openid email profile groups offline_access", login=None):
    answer = (browser or authd.browser()).authorize(WEB, WEB_URI, scope)
    if not answer.is_redirect:
        answer = (browser or authd.browser()).fill(answer, **({"login": login} if login else {}))
    form = {"grant_type": "authorization_code", "code": query_of(answer.headers["Location"])["code"], "redirect_uri": WEB_URI}
    answer = authd.token(form, auth=BASIC)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_client_s_tokens_say_what_is_set_for_it_and_another_client_s_do_not(authd, browser):
    tokens = web_tokens(authd, browser)
    claims = authd.verified(tokens["id_token"], WEB, alg="ES256")
    assert claims["sub"] == "local:id-jane" and claims["groups"] == ["acme:sre-eu", "acme:sre-us"]
    assert claims["tenant"] == 'acme "1"' and claims["https://example.com/roles"] == ["acme:sre-eu", "acme:sre-us"], "no way around the filter"
    assert (claims["login"], claims["uid"], claims["via"], claims["who"], claims["mail"]) == ("jane", "id-jane", "local", "local:id-jane", "jane@example.com")
    assert claims["exp"] - claims["iat"] == tokens["expires_in"] == 600
    access = authd.verified(tokens["access_token"], authd.issuer, typ="at+jwt", alg="ES256")
    assert access["sub"] == "local:id-jane" and access["exp"] - access["iat"] == 600 and "tenant" not in access

    info = authd.userinfo(tokens["access_token"]).json()
    assert {k: info[k] for k in ("sub", "groups", "tenant", "login")} == {k: claims[k] for k in ("sub", "groups", "tenant", "login")}
    for given in (tokens["access_token"], tokens["refresh_token"]):
        assert authd.introspect(given).json()["sub"] == "local:id-jane"

    plain = browser.tokens(scope="openid email groups")
    other = authd.verified(plain["id_token"], CLI)
    assert other["groups"] == GROUPS and ":" not in other["sub"] and "tenant" not in other and other["exp"] - other["iat"] == 24 * 3600
    assert authd.userinfo(plain["access_token"]).json()["sub"] == other["sub"]


def test_what_the_person_has_nothing_for_is_left_out(authd):
    browser = authd.browser()
    claims = authd.verified(web_tokens(authd, browser, login="mute@example.com")["id_token"], WEB, alg="ES256")
    assert "mail" not in claims, "an address that nobody has verified is not given under another name"
    assert "https://example.com/roles" not in claims and "groups" not in claims
    assert claims["tenant"] == 'acme "1"'


def test_scopes_do_not_matter_to_its_own_claims_but_to_all_others(authd, browser):
    claims = authd.verified(web_tokens(authd, browser, scope="openid")["id_token"], WEB, alg="ES256")
    assert claims["tenant"] and "groups" not in claims and "email" not in claims


def test_id_tokens_with_a_plain_sub_are_hints_for_sign_in_and_sign_out(authd):
    browser = authd.browser()
    browser.sign_in()
    tokens = web_tokens(authd, browser)
    silent = browser.authorize(WEB, WEB_URI, prompt="none", id_token_hint=tokens["id_token"])
    assert "code" in query_of(silent.headers["Location"])
    stranger = authd.browser()
    stranger.fill(stranger.get("/console/signin"), login="mute@example.com")
    refused = stranger.authorize(WEB, WEB_URI, prompt="none", id_token_hint=tokens["id_token"])
    assert query_of(refused.headers["Location"])["error"] == "login_required"
    browser.get("/oidc/logout?id_token_hint=" + tokens["id_token"])
    assert authd.session_token(browser)[0] != 200, "signed out at once, as the hint is of this session"


def test_refresh_tokens_end_by_the_client_s_own_lifetimes(authd, browser):
    def refresh(token):
        return authd.token({"grant_type": "refresh_token", "refresh_token": token}, auth=BASIC)

    started = int(time.time())
    token = web_tokens(authd, browser)["refresh_token"]
    listed = authd.introspect(token).json()
    assert listed["exp"] - started in (2, 3), "two seconds without use"
    token = refresh(token).json()["refresh_token"]
    until_time(started + 5)
    assert refresh(token).json()["error"] == "invalid_grant"


def test_only_the_listed_grants_are_a_client_s(tmp_path, how):
    with running(tmp_path, {"grantTypes": ["authorization_code"]}, how) as authd:
        browser = authd.browser()
        browser.sign_in()
        assert "refresh_token" not in web_tokens(authd, browser), "although offline_access is asked for"
        answer = authd.token({"grant_type": "refresh_token", "refresh_token": "x"}, auth=BASIC)
        assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
        assert "refresh_token" in browser.tokens(scope="openid offline_access")


def test_a_client_without_authorization_code_starts_no_sign_in(tmp_path, how):
    with running(tmp_path, {"grantTypes": ["client_credentials"]}, how, oauth2={"grantTypes": ["authorization_code", "client_credentials"]}) as authd:
        answer = authd.browser().authorize(WEB, WEB_URI, state="st")
        assert query_of(answer.headers["Location"])["error"] == "unauthorized_client"
        assert authd.token({"grant_type": "client_credentials"}, auth=BASIC).status_code == 200


def test_connectors_sign_out_and_consoles_of_a_client(tmp_path, how):
    receiver = Receiver()
    settings = {"allowedConnectors": ["local"], "backchannelLogoutURI": receiver.uri, "postLogoutRedirectURIs": ["https://app.example/bye"], "subject": "plain"}
    try:
        with running(tmp_path, settings, how) as authd:
            browser = authd.browser()
            tokens = web_tokens(authd, browser)
            audience = authd.session_token(browser, f"?audience={WEB}")[1]["id_tokens"][WEB]
            assert authd.verified(audience, WEB)["sub"] == "local:id-jane"
            answer = browser.get(f"/oidc/logout?id_token_hint={tokens['id_token']}&post_logout_redirect_uri=https://app.example/bye&state=s")
            assert answer.headers["Location"] == "https://app.example/bye?state=s"
            assert authd.verified(receiver.token(), WEB, typ="logout+jwt")["sub"] == "local:id-jane"
    finally:
        receiver.close()


def connector(ident, **more):
    keys = {"clientID": "id", "clientSecret": "secret"}
    return {"type": "github", "id": ident, "name": ident, "config": keys} | more


def test_a_connector_is_offered_for_its_own_grants_only(tmp_path):
    authd = Authd(tmp_path)
    device = "urn:ietf:params:oauth:grant-type:device_code"
    connectors = [connector("all"), connector("codes", grantTypes=["authorization_code"]), connector("devices", grantTypes=[device])]
    for c in connectors:
        c["config"]["redirectURI"] = authd.issuer + "/callback"
    config = authd.configuration(connectors=connectors)
    config["staticClients"].append({"id": "tv", "name": "TV", "public": True})
    authd.program.write_config(config)
    with authd:
        page = authd.browser().authorize(WEB, WEB_URI).text
        assert "Sign in with all" in page and "Sign in with codes" in page and "Sign in with devices" not in page
        refused = authd.browser().authorize(WEB, WEB_URI, connector_id="devices")
        assert query_of(refused.headers["Location"])["error"] == "invalid_request"
        code = requests.post(f"{authd.issuer}/device/code", data={"client_id": "tv"}, timeout=20).json()["user_code"]
        browser = authd.browser()
        page = browser.get("/oidc/device")
        page = browser.post("/oidc/device/auth/verify_code", fields(page.text) | {"user_code": code}).text
        assert "Sign in with all" in page and "Sign in with codes" not in page and "Sign in with devices" in page
