"""authd: client_credentials (RFC 6749 section 4.4), where a client gets an access token for itself."""
import pytest

from authd_client import CLI, OTHER, OTHER_SECRET, WEB, WEB_SECRET, Authd

GRANTS = ["authorization_code", "refresh_token", "client_credentials"]
FORM = {"grant_type": "client_credentials"}


@pytest.fixture(scope="module")
def authd(tmp_path_factory):
    with Authd(tmp_path_factory.mktemp("authd"), oauth2={"grantTypes": GRANTS}) as authd:
        yield authd


def refused(answer, error, status=400):
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def token_of(authd):
    answer = authd.token(FORM, auth=(WEB, WEB_SECRET))
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


@pytest.mark.parametrize("auth,more", [((WEB, WEB_SECRET), {}), (None, {"client_id": WEB, "client_secret": WEB_SECRET})], ids=["basic", "post"])
def test_a_client_with_a_secret_gets_an_access_token_and_nothing_else(authd, auth, more):
    answer = authd.token(FORM | more, auth=auth)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    tokens = answer.json()
    assert set(tokens) == {"access_token", "token_type", "expires_in"} and tokens["token_type"] == "Bearer"
    claims = authd.verified(tokens["access_token"], authd.issuer, typ="at+jwt")
    assert claims["sub"] == claims["client_id"] == WEB and claims["exp"] - claims["iat"] == tokens["expires_in"]
    assert not set(claims) & {"sid", "grant", "scope", "email", "groups"}


@pytest.mark.parametrize("form,auth,error,status", [
    (FORM | {"client_id": CLI}, None, "unauthorized_client", 400),
    (FORM | {"client_id": "cli-with-secret", "client_secret": "known-to-many"}, None, "unauthorized_client", 400),
    (FORM | {"client_id": WEB}, None, "invalid_client", 401),
    (FORM, (WEB, "wrong"), "invalid_client", 401),
    (FORM | {"scope": "openid"}, (WEB, WEB_SECRET), "invalid_scope", 400),
    (FORM | {"scope": "anything"}, (WEB, WEB_SECRET), "invalid_scope", 400),
])
def test_who_does_not_get_one(authd, form, auth, error, status):
    refused(authd.token(form, auth=auth), error, status)


def test_it_says_nothing_about_a_person(authd):
    answer = authd.userinfo(token_of(authd))
    assert answer.status_code == 403 and 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_introspection_knows_it_while_its_client_is_there(authd, tmp_path):
    token = token_of(authd)
    for auth in ((WEB, WEB_SECRET), (OTHER, OTHER_SECRET)):  # OTHER has WEB as a peer
        found = authd.introspect(token, auth=auth).json()
        assert found["active"] is True and found["sub"] == found["client_id"] == WEB and "username" not in found
    with Authd(tmp_path, oauth2={"grantTypes": GRANTS}) as short:
        token = token_of(short)
        config = short.configuration(oauth2={"grantTypes": GRANTS})
        config["staticClients"] = [c for c in config["staticClients"] if c["id"] != WEB]
        short.program.write_config(config)
        short.program.reload()
        assert short.introspect(token, auth=(OTHER, OTHER_SECRET)).content == b'{"active":false}'


def test_revocation_says_that_it_cannot_end_it(authd):
    token = token_of(authd)
    refused(authd.revoke(token, auth=(WEB, WEB_SECRET)), "unsupported_token_type")
    assert authd.revoke(token, auth=(OTHER, OTHER_SECRET)).status_code == 200  # another client's: nothing is told


def test_discovery_lists_it_only_where_it_is_switched_on(authd, tmp_path):
    assert authd.get("/oidc/.well-known/openid-configuration").json()["grant_types_supported"] == GRANTS
    with Authd(tmp_path) as plain:
        assert plain.get("/oidc/.well-known/openid-configuration").json()["grant_types_supported"] == GRANTS[:2] + ["urn:ietf:params:oauth:grant-type:device_code"]
        refused(plain.token(FORM, auth=(WEB, WEB_SECRET)), "unsupported_grant_type")


def test_it_can_be_switched_on_without_refresh_tokens(tmp_path):
    with Authd(tmp_path, oauth2={"grantTypes": ["authorization_code", "client_credentials"]}) as authd:
        assert authd.get("/oidc/.well-known/openid-configuration").json()["grant_types_supported"] == ["authorization_code", "client_credentials"]
        token_of(authd)
