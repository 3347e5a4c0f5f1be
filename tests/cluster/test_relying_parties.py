"""The whole of signing in, by other people's libraries: npm's openid-client, which is a certified relying party, and Python's authlib. What goes to authd and what
is checked of its answers is theirs; the person's browser is an HTTP client. Through the gateway, over TLS."""
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse

import jwt
import pytest

import harness
from harness import REDIRECT_URI, Gateway

EMAIL, PASSWORD = "ann@example.com", "correct horse battery"
RP, RP_SECRET = "relying-party", "secret: with %& in it"
BYE = REDIRECT_URI + "/bye"
GROUPS = ["dev", "ops"]
DEVICE, EXCHANGE = "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange"
SCOPE = "openid email profile groups offline_access"


@pytest.fixture
def gateway(tmp_path):
    client = {"id": RP, "name": "A relying party", "secret": RP_SECRET, "redirectURIs": [REDIRECT_URI, "/device/callback"], "postLogoutRedirectURIs": [BYE]}
    oauth2 = {"skipApprovalScreen": True, "responseTypes": ["code", "id_token", "token"],
              "grantTypes": ["authorization_code", "refresh_token", "client_credentials", DEVICE, EXCHANGE]}
    cli = {"id": harness.CLIENT_ID, "name": "kubectl", "public": True, "redirectURIs": [REDIRECT_URI]}
    with Gateway(tmp_path / "gateway", {EMAIL: PASSWORD}, {EMAIL: GROUPS}, authd_more={"oauth2": oauth2, "staticClients": [client, cli]}) as g:
        yield g


@pytest.fixture
def person(gateway):
    return gateway.people[EMAIL]


def hidden(html):
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', html))


def sign_in_for_device(gateway, person, address, code):
    page = person.browser.get(address)
    page = person.browser.post(gateway.issuer + "/device/auth/verify_code", data=hidden(page.text) | {"user_code": code})
    if 'type="password"' in page.text:
        page = person.browser.post(gateway.issuer + "/auth/local/login", data=hidden(page.text) | {"login": EMAIL, "password": PASSWORD})
    page = person.browser.post(gateway.issuer + "/approval", data=hidden(page.text) | {"approval": "approve"})
    assert "Go back to your device" in page.text


def signed_out(person, url):
    """Where the browser ends; the session is gone then."""
    return person.walk(url)


# ---- openid-client ----


class OpenIDClient:
    def __init__(self, gateway, **metadata):
        self.metadata = {"client_id": RP, "client_secret": RP_SECRET, "redirect_uris": [REDIRECT_URI], "response_types": ["code"]} | metadata
        env = os.environ | {"NODE_EXTRA_CA_CERTS": str(gateway.ca), "NODE_PATH": str(harness.part("openid-client") / "node_modules")}
        program = harness.ROOT / "tests/cluster/relying_party.js"
        self.process = subprocess.Popen([shutil.which("node"), program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.issuer = self("discover", url=gateway.issuer, metadata=self.metadata)

    def send(self, name, **parameters):
        self.process.stdin.write(json.dumps({"do": name} | parameters) + "\n")
        self.process.stdin.flush()

    def answer(self):
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer.get("ok")

    def __call__(self, name, **parameters):
        self.send(name, **parameters)
        return self.answer()

    def refused(self, name, **parameters):
        self.send(name, **parameters)
        return json.loads(self.process.stdout.readline())["error"]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()


@pytest.fixture
def openid_client(gateway):
    made = []

    def make(**metadata):
        made.append(OpenIDClient(gateway, **metadata))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_openid_client_signs_in_refreshes_and_signs_out(gateway, person, openid_client, method):
    rp = openid_client(token_endpoint_auth_method=method)
    assert rp.issuer["issuer"] == gateway.issuer
    tokens = rp("finish", url=person.walk(rp("begin", scope=SCOPE)))
    assert tokens["claims"]["email"] == EMAIL and tokens["claims"]["groups"] == GROUPS
    info = rp("userinfo", token=tokens["access_token"])
    assert info["sub"] == tokens["claims"]["sub"] and info["email"] == EMAIL

    again = rp("refresh", refresh_token=tokens["refresh_token"])
    assert again["claims"]["sub"] == tokens["claims"]["sub"] and again["refresh_token"] != tokens["refresh_token"]
    assert rp("introspect", token=again["access_token"])["active"] is True

    silent = rp("finish", url=person.walk(rp("begin", scope="openid", prompt="none", id_token_hint=tokens["id_token"])))
    assert silent["claims"]["auth_time"] == tokens["claims"]["auth_time"]

    url = rp("logout", id_token_hint=again["id_token"], post_logout_redirect_uri=BYE, state="s1")
    assert signed_out(person, url) == BYE + "?state=s1"
    assert rp.refused("refresh", refresh_token=again["refresh_token"]) == "invalid_grant"
    assert rp("introspect", token=again["access_token"]) == {"active": False}
    assert rp.refused("finish", url=person.walk(rp("begin", scope="openid", prompt="none"))) == "login_required"


@pytest.mark.parametrize("response_type", ["id_token", "id_token token", "code id_token", "code token", "code id_token token"])
@pytest.mark.parametrize("mode", ["fragment", "form_post"])
def test_openid_client_takes_what_comes_through_the_browser(gateway, person, openid_client, response_type, mode):
    rp = openid_client(response_types=[response_type])
    back = person.browser.get(rp("begin", scope="openid email", response_type=response_type, response_mode=mode), allow_redirects=False)
    if back.status_code == 303 and back.headers["Location"].startswith(("/", gateway.url)):
        page = person.browser.get(urllib.parse.urljoin(gateway.url, back.headers["Location"]))
        back = person.browser.post(gateway.issuer + "/auth/local/login", data=hidden(page.text) | {"login": EMAIL, "password": PASSWORD}, allow_redirects=False)
    if mode == "form_post":
        tokens = rp("finish", form={k: v.replace("&amp;", "&") for k, v in hidden(back.text).items()})
    else:
        # A page's script hands the fragment on, as the query of its own address.
        tokens = rp("finish", url=back.headers["Location"].replace("#", "?"))
    words = response_type.split()
    assert ("id_token" in words or "code" in words) == bool(tokens["claims"]) and tokens["claims"]["email"] == EMAIL
    assert ("access_token" in tokens) == ("token" in words or "code" in words)


def test_openid_client_waits_for_a_device(gateway, person, openid_client):
    rp = openid_client()
    device = rp("device", scope=SCOPE)
    rp.send("device_wait")
    sign_in_for_device(gateway, person, device["complete"], device["user_code"])
    tokens = rp.answer()
    assert tokens["claims"]["email"] == EMAIL and tokens["refresh_token"]


def test_openid_client_gets_tokens_for_itself_exchanges_and_gives_up(gateway, person, openid_client):
    rp = openid_client()
    assert rp("client_credentials")["token_type"] == "Bearer"
    tokens = rp("finish", url=person.walk(rp("begin", scope=SCOPE)))
    exchanged = rp("exchange", token=tokens["access_token"])
    assert rp("userinfo", token=exchanged["access_token"])["email"] == EMAIL
    rp("revoke", token=tokens["refresh_token"])
    assert rp.refused("refresh", refresh_token=tokens["refresh_token"]) == "invalid_grant"


def test_openid_client_as_a_public_client(gateway, person, openid_client):
    rp = openid_client(client_id=harness.CLIENT_ID, client_secret=None, token_endpoint_auth_method="none")
    assert rp("finish", url=person.walk(rp("begin", scope=SCOPE)))["claims"]["aud"] == harness.CLIENT_ID


# ---- authlib ----


@pytest.fixture
def authlib(monkeypatch):
    monkeypatch.syspath_prepend(str(harness.part("authlib") / "wheel"))
    yield
    for name in [n for n in sys.modules if n.split(".")[0] == "authlib"]:
        del sys.modules[name]


@pytest.fixture
def session(gateway, authlib):
    """An OAuth2Session, and what checks ID tokens."""
    from authlib.integrations.requests_client import OAuth2Session

    # Its Basic leaves out the encoding of RFC 6749 section 2.3.1, which this secret needs.
    post = {"token_endpoint_auth_method": "client_secret_post", "revocation_endpoint_auth_method": "client_secret_post"}
    made = OAuth2Session(RP, RP_SECRET, scope=SCOPE, redirect_uri=REDIRECT_URI, code_challenge_method="S256", **post)
    made.trust_env, made.verify = False, str(gateway.ca)
    made.metadata = made.get(gateway.issuer + "/.well-known/openid-configuration", withhold_token=True).json()
    yield made
    made.close()


def id_token_claims(session, id_token, **more):
    from authlib.jose import JsonWebKey, JsonWebToken
    from authlib.oidc.core import CodeIDToken

    keys = JsonWebKey.import_key_set(session.get(session.metadata["jwks_uri"], withhold_token=True).json())
    options = {"iss": {"essential": True, "value": session.metadata["issuer"]}, "aud": {"essential": True, "value": RP}}
    claims = JsonWebToken(["RS256"]).decode(id_token, keys, claims_cls=CodeIDToken, claims_options=options, claims_params={"client_id": RP} | more)
    claims.validate()
    return claims


def test_authlib_signs_in_refreshes_and_signs_out(gateway, person, session):
    verifier = "v" * 48
    url, state = session.create_authorization_url(session.metadata["authorization_endpoint"], code_verifier=verifier, nonce="n-1")
    back = person.walk(url)
    tokens = session.fetch_token(session.metadata["token_endpoint"], authorization_response=back, code_verifier=verifier, state=state)
    claims = id_token_claims(session, tokens["id_token"], nonce="n-1", access_token=tokens["access_token"])
    assert claims["email"] == EMAIL and claims["groups"] == GROUPS
    assert session.get(session.metadata["userinfo_endpoint"]).json()["sub"] == claims["sub"]

    again = session.refresh_token(session.metadata["token_endpoint"], refresh_token=tokens["refresh_token"])
    assert id_token_claims(session, again["id_token"])["sub"] == claims["sub"]
    found = session.introspect_token(session.metadata["introspection_endpoint"], token=again["access_token"])
    assert found.json()["active"] is True

    query = urllib.parse.urlencode({"id_token_hint": again["id_token"], "post_logout_redirect_uri": BYE, "state": "s1"})
    assert signed_out(person, f"{session.metadata['end_session_endpoint']}?{query}") == BYE + "?state=s1"
    assert session.introspect_token(session.metadata["introspection_endpoint"], token=again["access_token"]).json() == {"active": False}


def test_authlib_revokes_what_it_got(gateway, person, session):
    verifier = "v" * 48
    url, state = session.create_authorization_url(session.metadata["authorization_endpoint"], code_verifier=verifier)
    tokens = session.fetch_token(session.metadata["token_endpoint"], authorization_response=person.walk(url), code_verifier=verifier, state=state)
    assert session.revoke_token(session.metadata["revocation_endpoint"], token=tokens["refresh_token"]).status_code == 200
    assert session.get(session.metadata["userinfo_endpoint"]).status_code == 401


def test_authlib_signs_in_on_a_device(gateway, person, session):
    device = session.post(session.metadata["device_authorization_endpoint"], data={"client_id": RP, "client_secret": RP_SECRET, "scope": SCOPE},
                          withhold_token=True).json()
    sign_in_for_device(gateway, person, device["verification_uri"], device["user_code"])
    tokens = session.fetch_token(session.metadata["token_endpoint"], grant_type=DEVICE, device_code=device["device_code"])
    assert id_token_claims(session, tokens["id_token"])["email"] == EMAIL


def test_authlib_gets_a_token_for_itself(gateway, session):
    session.scope = None
    tokens = session.fetch_token(session.metadata["token_endpoint"], grant_type="client_credentials")
    assert jwt.decode(tokens["access_token"], options={"verify_signature": False})["sub"] == RP
