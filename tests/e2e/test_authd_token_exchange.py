"""authd: token exchange (RFC 8693): its own ID and access tokens for others of the client that they are meant for, and GitHub's access tokens."""

import pytest

from authd_client import CLI, EMAIL, OTHER, OTHER_SECRET, WEB, WEB_SECRET, WEB_URI, Authd, fields, query_of
from github_standin import Account, GitHub
from harness import Certificates
from waiting import until_time

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS, ID = "urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:id_token"
ON = {"skipApprovalScreen": True, "grantTypes": ["authorization_code", "refresh_token", GRANT, "client_credentials"]}
BASIC, OTHER_BASIC = (WEB, WEB_SECRET), (OTHER, OTHER_SECRET)  # OTHER has WEB as a peer


@pytest.fixture(scope="module")
def authd(tmp_path_factory):
    with Authd(tmp_path_factory.mktemp("authd"), oauth2=ON) as authd:
        yield authd


def web_tokens(authd, scope="openid email groups offline_access", browser=None):
    browser = browser or authd.browser()
    answer = browser.authorize(WEB, WEB_URI, scope)
    if not answer.is_redirect:
        answer = browser.fill(answer)
    form = {"grant_type": "authorization_code", "code": query_of(answer.headers["Location"])["code"], "redirect_uri": WEB_URI}
    return authd.token(form, auth=BASIC).json()


def exchange(authd, token, kind=ACCESS, auth=BASIC, **more):
    form = {"grant_type": GRANT, "subject_token": token, "subject_token_type": kind} | more
    return authd.token({k: v for k, v in form.items() if v is not None}, auth=auth)


def given(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json()


def refused(answer, error="invalid_request", status=400):
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.headers["Cache-Control"] == "no-store"


# ---- our own tokens ----


@pytest.mark.parametrize("kind,name", [(ACCESS, "access_token"), (ID, "id_token")])
def test_a_token_gives_an_access_token_of_the_same_person_and_session(authd, kind, name):
    tokens = web_tokens(authd)
    answer = given(exchange(authd, tokens[name], kind))
    assert set(answer) == {"access_token", "issued_token_type", "token_type", "expires_in", "scope"}
    assert (answer["issued_token_type"], answer["token_type"], answer["scope"]) == (ACCESS, "Bearer", "openid email groups")
    before = authd.verified(tokens["id_token"], WEB)
    claims = authd.verified(answer["access_token"], authd.issuer, typ="at+jwt")
    assert (claims["sub"], claims["sid"], claims["client_id"]) == (before["sub"], before["sid"], WEB)
    assert authd.userinfo(answer["access_token"]).json()["email"] == EMAIL
    assert authd.introspect(answer["access_token"]).json()["active"] is True


def test_an_id_token_for_another_audience_and_less_scope(authd):
    tokens = web_tokens(authd)
    answer = given(exchange(authd, tokens["access_token"], requested_token_type=ID, audience=OTHER, scope="openid email"))
    assert (answer["issued_token_type"], answer["token_type"], answer["scope"]) == (ID, "N_A", "openid email")
    claims = authd.verified(answer["access_token"], OTHER)
    assert set(claims["aud"]) == {WEB, OTHER} and claims["azp"] == WEB and claims["email"] == EMAIL and "groups" not in claims


def test_a_client_that_has_the_other_as_its_peer_may_exchange_the_other_s_tokens(authd):
    tokens = web_tokens(authd)
    claims = authd.verified(given(exchange(authd, tokens["access_token"], auth=OTHER_BASIC))["access_token"], authd.issuer, typ="at+jwt")
    assert claims["client_id"] == OTHER
    refused(exchange(authd, tokens["id_token"], ID, auth=OTHER_BASIC))  # not among its audiences
    both = web_tokens(authd, f"openid audience:server:client_id:{OTHER}")
    given(exchange(authd, both["id_token"], ID, auth=OTHER_BASIC))


def test_nobody_else_s_token_is_taken(authd):
    mine = authd.browser().tokens(scope="openid email")
    for token, kind in ((mine["access_token"], ACCESS), (mine["id_token"], ID)):
        refused(exchange(authd, token, kind))


def test_nothing_lives_longer_than_what_it_was_given_for(authd):
    tokens = web_tokens(authd)
    end = authd.verified(tokens["access_token"], authd.issuer, typ="at+jwt")["exp"]
    until_time(end - 24 * 3600 + 1)  # a lifetime that began now would end later
    answer = given(exchange(authd, tokens["access_token"]))
    assert authd.verified(answer["access_token"], authd.issuer, typ="at+jwt")["exp"] == end


def test_signing_out_ends_what_was_exchanged_and_every_exchange(authd):
    browser = authd.browser()
    browser.sign_in()
    tokens = web_tokens(authd, browser=browser)
    answer = given(exchange(authd, tokens["id_token"], ID))
    browser.post("/console/signout", fields(browser.get("/console/").text))
    assert authd.userinfo(answer["access_token"]).status_code == 401
    refused(exchange(authd, tokens["id_token"], ID))
    refused(exchange(authd, tokens["access_token"]))


def test_what_was_revoked_is_not_exchanged(authd):
    tokens = web_tokens(authd)
    assert authd.revoke(tokens["refresh_token"], auth=BASIC).status_code == 200
    refused(exchange(authd, tokens["access_token"]))


@pytest.mark.parametrize("scope", ["openid email groups profile", "openid offline_access", "email", "openid nonsense"])
def test_more_scope_than_the_subject_has_is_refused(authd, scope):
    tokens = web_tokens(authd)
    refused(exchange(authd, tokens["access_token"], scope=scope), "invalid_scope")
    refused(exchange(authd, tokens["id_token"], ID, scope=scope), "invalid_scope")


@pytest.mark.parametrize("more", [{"audience": CLI}, {"audience": "nobody"}, {"audience": "other openid"}, {"resource": "https://api.example"}])
def test_targets_that_the_client_may_not_ask_for(authd, more):
    refused(exchange(authd, web_tokens(authd)["access_token"], **more), "invalid_target")


@pytest.mark.parametrize("more", [
    {"subject_token": None}, {"subject_token": ""}, {"subject_token": "x"}, {"subject_token": "a.b.c"}, {"subject_token": "x" * 60000}, {"subject_token_type": None},
    {"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
    {"actor_token": "x"}, {"connector_id": "github"}, {"connector_id": "local"}, {"subject_token_type": ID},
], ids=lambda more: "-".join(more) + str(len(next(iter(more.values())) or "")))
def test_requests_that_are_not_right(authd, more):
    refused(exchange(authd, web_tokens(authd)["access_token"], **more))


def test_who_asks_is_authenticated(authd):
    refused(exchange(authd, "x", auth=(WEB, "wrong")), "invalid_client", 401)


def test_refresh_tokens_and_clients_own_tokens_prove_nobody(authd):
    tokens = web_tokens(authd)
    refused(exchange(authd, tokens["refresh_token"]))
    own = authd.token({"grant_type": "client_credentials"}, auth=BASIC).json()["access_token"]
    refused(exchange(authd, own))


def test_it_is_off_unless_it_is_listed(tmp_path):
    with Authd(tmp_path) as authd:
        assert GRANT not in authd.get("/oidc/.well-known/openid-configuration").json()["grant_types_supported"]
        refused(exchange(authd, web_tokens(authd)["access_token"]), "unsupported_grant_type")


# ---- GitHub's ----


@pytest.fixture
def github(tmp_path):
    certificates = Certificates(tmp_path / "github")
    with GitHub(*certificates.issue("github", "/CN=github", "IP:127.0.0.1,DNS:localhost")) as g:
        g.ca = str(certificates.ca)
        g.add(Account(583231, "octocat", "Mona", orgs=["acme"], teams=[("acme", "Ops", "ops"), ("acme", "Dev", "dev")]))
        g.tokens["gho_ours"] = g.tokens["gho_others"] = g.next_user
        g.others_tokens.add("gho_others")
        yield g


def with_github(folder, github, **connector):
    authd = Authd(folder, oauth2=ON)
    config = {"clientID": github.client_id, "clientSecret": github.client_secret, "redirectURI": authd.issuer + "/callback", "rootCA": github.ca,
              "baseURL": github.url, "apiURL": github.url, "orgs": [{"name": "acme"}]}
    authd.program.write_config(authd.program.config | {"connectors": [{"type": "github", "id": "github", "name": "GitHub", "config": config} | connector]})
    return authd


def test_an_access_token_of_github_gives_a_token_of_ours(tmp_path, github):
    with with_github(tmp_path / "authd", github) as authd:
        answer = given(exchange(authd, "gho_ours", connector_id="github", scope="openid email groups", requested_token_type=ID))
        claims = authd.verified(answer["access_token"], WEB)
        assert claims["email"] == "octocat@example.com" and claims["groups"] == ["acme:Ops", "acme:Dev"]
        access = given(exchange(authd, "gho_ours", connector_id="github"))["access_token"]
        assert authd.userinfo(access).json()["sub"] == claims["sub"]
        assert "gho_ours" not in authd.log()
    assert github.calls[0] == ("POST", f"/applications/{github.client_id}/token"), "which application it was given to is the first question"


def test_a_github_token_that_another_application_was_given_is_worth_nothing(tmp_path, github):
    with with_github(tmp_path / "authd", github) as authd:
        for token in ("gho_others", "gho_unknown", 'x"}'):
            refused(exchange(authd, token, connector_id="github"))
        refused(exchange(authd, "gho_ours", ID, connector_id="github"))
    assert {path for _, path in github.calls} == {f"/applications/{github.client_id}/token"}


def test_who_may_not_sign_in_with_github_gets_no_token_either(tmp_path, github):
    github.next_user.orgs = ["elsewhere"]
    with with_github(tmp_path / "authd", github) as authd:
        refused(exchange(authd, "gho_ours", connector_id="github"))


def test_a_connector_that_does_not_allow_it_is_not_asked(tmp_path, github):
    with with_github(tmp_path / "authd", github, grantTypes=["authorization_code"]) as authd:
        refused(exchange(authd, "gho_ours", connector_id="github"))
    assert not github.calls


@pytest.mark.parametrize("fault", [(503, {}, ""), (200, {}, "no json"), (401, {}, {"message": "Requires authentication"}),
                                   (200, {}, {"app": {"client_id": "another"}})], ids=["down", "nonsense", "our-secret", "another-app"])
def test_when_github_cannot_tell(tmp_path, github, fault):
    github.fail[f"/applications/{github.client_id}/token"] = [fault, fault]
    with with_github(tmp_path / "authd", github) as authd:
        answer = exchange(authd, "gho_ours", connector_id="github")
        another = isinstance(fault[2], dict) and "app" in fault[2]
        refused(answer, *(("invalid_request", 400) if another else ("temporarily_unavailable", 503)))
