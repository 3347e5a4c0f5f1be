"""authd: the password grant (RFC 6749 section 4.3), which oauth2.passwordConnector switches on: tokens for a name and a password, with the page's limits."""
import pytest

from authd_client import CLI, EMAIL, OTHER, OTHER_SECRET, PASSWORD, WEB, WEB_SECRET, Authd
from clock import Clock, held_back

ON = {"passwordConnector": "local", "skipApprovalScreen": True}
BASIC = (WEB, WEB_SECRET)


@pytest.fixture(scope="module")
def authd(tmp_path_factory):
    with Authd(tmp_path_factory.mktemp("authd"), oauth2=ON) as authd:
        yield authd


def ask(authd, username=EMAIL, password=PASSWORD, auth=BASIC, **more):
    form = {"grant_type": "password", "username": username, "password": password, "scope": "openid email groups offline_access"} | more
    return authd.token({k: v for k, v in form.items() if v is not None}, auth=auth)


def refused(answer, error, status=400):
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer


def test_a_name_and_a_password_give_tokens(authd):
    tokens = ask(authd).json()
    claims = authd.verified(tokens["id_token"], WEB)
    assert claims["email"] == EMAIL and claims["groups"] == ["developers", "ops"] and "nonce" not in claims
    assert tokens["scope"] == "openid email groups offline_access"
    assert authd.userinfo(tokens["access_token"]).json()["sub"] == claims["sub"]
    again = authd.token({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}, auth=BASIC)
    assert authd.verified(again.json()["id_token"], WEB)["sid"] == claims["sid"]


def test_a_public_client_and_a_user_name_will_do_and_no_scope_is_openid(authd):
    tokens = ask(authd, username=" jane ", auth=None, client_id=CLI, scope=None).json()
    assert tokens["scope"] == "openid" and "refresh_token" not in tokens and "email" not in authd.verified(tokens["id_token"], CLI)


def test_each_time_is_a_grant_of_its_own_that_can_be_given_up(authd):
    one, two = ask(authd).json(), ask(authd).json()
    assert authd.verified(one["id_token"], WEB)["sid"] != authd.verified(two["id_token"], WEB)["sid"]
    assert authd.revoke(one["refresh_token"], auth=BASIC).status_code == 200
    assert authd.userinfo(one["access_token"]).status_code == 401 and authd.userinfo(two["access_token"]).status_code == 200
    assert authd.introspect(two["access_token"]).json()["active"] is True


@pytest.mark.parametrize("more", [{"password": "wrong"}, {"username": "nobody@example.com"}, {"username": "x" * 400}, {"username": " "}, {"password": "x" * 100}],
                         ids=["password", "name", "long-name", "blank", "long-password"])
def test_what_is_wrong_is_not_told_apart(tmp_path, more):
    with Authd(tmp_path, oauth2=ON) as authd:
        assert refused(ask(authd, **more), "invalid_grant").json()["error_description"] == "the name or the password is wrong"


@pytest.mark.parametrize("more,error,status", [
    ({"password": None}, "invalid_request", 400), ({"username": None}, "invalid_request", 400), ({"username": ""}, "invalid_request", 400),
    ({"scope": "email"}, "invalid_scope", 400), ({"scope": "openid nonsense"}, "invalid_scope", 400),
    ({"scope": "openid audience:server:client_id:cli-with-secret"}, "invalid_scope", 400),
    ({"auth": (WEB, "wrong")}, "invalid_client", 401),
])
def test_requests_that_are_not_right(authd, more, error, status):
    refused(ask(authd, **more), error, status)


def test_a_peer_may_be_the_audience(authd):
    claims = authd.verified(ask(authd, scope=f"openid audience:server:client_id:{OTHER}").json()["id_token"], OTHER)
    assert set(claims["aud"]) == {OTHER, WEB} and claims["azp"] == WEB


def test_guessing_is_held_back_as_on_the_page_and_together_with_it(tmp_path):
    clock, authd = Clock(tmp_path), Authd(tmp_path, oauth2=ON)
    authd.program.env |= clock.env
    with authd:
        assert [ask(authd, password="wrong").status_code for _ in range(5)] == [400] * 5
        refused(held_back(clock, lambda: ask(authd, password="wrong")), "slow_down", 429)
        refused(ask(authd), "slow_down", 429)
        browser = authd.browser()
        assert browser.fill(browser.get("/console/signin")).status_code == 429, "one limit for both"


def test_discovery_lists_it_only_where_it_is_switched_on(authd, tmp_path):
    def grants(a):
        return a.get("/oidc/.well-known/openid-configuration").json()["grant_types_supported"]

    assert "password" in grants(authd)
    with Authd(tmp_path, oauth2={"grantTypes": ["authorization_code", "password"]}) as plain:
        assert "password" not in grants(plain), "listed, but no connector is named: as in dex"
        refused(ask(plain), "unsupported_grant_type")


def test_grant_types_can_leave_it_out(tmp_path):
    with Authd(tmp_path, oauth2=ON | {"grantTypes": ["authorization_code"]}) as authd:
        refused(ask(authd), "unsupported_grant_type")


def test_a_client_that_may_not_use_passwords(tmp_path):
    authd = Authd(tmp_path, oauth2=ON)
    config = authd.program.config
    github = {"type": "github", "id": "github", "name": "GitHub",
              "config": {"clientID": "id", "clientSecret": "secret", "redirectURI": authd.issuer + "/callback"}}
    for client in config["staticClients"]:
        client |= {WEB: {"allowedConnectors": ["github"]}, OTHER: {"grantTypes": ["authorization_code"]}}.get(client["id"], {})
    authd.program.write_config(config | {"connectors": [github]})
    with authd:
        refused(ask(authd), "unauthorized_client")
        refused(ask(authd, auth=(OTHER, OTHER_SECRET)), "unauthorized_client")


def test_a_person_who_is_gone_gets_no_more(tmp_path):
    with Authd(tmp_path, oauth2=ON) as authd:
        tokens = ask(authd).json()
        people = authd.program.config["staticPasswords"]
        authd.program.write_config(authd.configuration(oauth2=ON, staticPasswords=[people[0] | {"userID": "another"}]))
        authd.program.reload()
        refused(authd.token({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}, auth=BASIC), "invalid_grant")
        assert authd.userinfo(tokens["access_token"]).status_code == 401


def test_no_password_is_logged(authd):
    ask(authd, password="a very secret word")
    assert "a very secret word" not in authd.log() and PASSWORD not in authd.log()
