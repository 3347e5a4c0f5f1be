"""authd: tokens signed by RS256 and by ES256 from one issuer: by the signer's algorithm, and by what a client asks for (idTokenSignedResponseAlg)."""
import base64
import hashlib
import json
import signal
import subprocess

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from authd_client import CLI, OTHER, OTHER_SECRET, WEB, WEB_SECRET, WEB_URI, Authd, harness, query_of
from harness import Gateway
from test_authd_backchannel import Receiver
from test_authd_key_file import key_file

BASIC, OTHER_BASIC = (WEB, WEB_SECRET), (OTHER, OTHER_SECRET)
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TYPE, ACCESS_TYPE = "urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:access_token"
SCOPE = "openid email groups offline_access"
ANN = "ann@example.com"


def configuration(authd, algs, own=None, **more):
    """algs: {client: its algorithm}; own: the signer's."""
    config = authd.configuration(**({"signer": {"type": "local", "config": {"algorithm": own}}} if own else {}) | more)
    for client in config["staticClients"]:
        if client["id"] in algs:
            client["idTokenSignedResponseAlg"] = algs[client["id"]]
    return config


def configured(folder, algs, own=None, **more):
    authd = Authd(folder)
    authd.program.write_config(configuration(authd, algs, own, **more))
    return authd


def alg_of(token):
    return jwt.get_unverified_header(token)["alg"]


def keys(authd):
    """"ES256 active" and so on, sorted."""
    return sorted(f"{k['alg']} {k['state']}" for k in authd.ctl_json("keys", "list"))


def offered(authd):
    return authd.get("/oidc/.well-known/openid-configuration").json()["id_token_signing_alg_values_supported"]


def web_tokens(authd, browser=None, scope=SCOPE, **more):
    browser = browser or authd.browser()
    answer = browser.authorize(WEB, WEB_URI, scope, **more)
    if not answer.is_redirect:
        answer = browser.fill(answer)
    form = {"grant_type": "authorization_code", "code": query_of(answer.headers["Location"])["code"], "redirect_uri": WEB_URI}
    answer = authd.token(form, auth=BASIC)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def receiver():
    r = Receiver()
    yield r
    r.close()


@pytest.fixture(scope="module")
def authd(tmp_path_factory, receiver):
    oauth2 = {"skipApprovalScreen": True, "grantTypes": ["authorization_code", "refresh_token", EXCHANGE, "client_credentials"],
              "responseTypes": ["code", "id_token", "token"]}
    authd = Authd(tmp_path_factory.mktemp("authd"))
    config = configuration(authd, {WEB: "ES256", OTHER: "RS256"}, oauth2=oauth2)
    config["staticClients"][1]["backchannelLogoutURI"] = receiver.uri
    authd.program.write_config(config)
    with authd:
        yield authd


# ---- what is signed how ----


def test_all_that_a_client_is_given_is_signed_by_its_algorithm(authd):
    browser = authd.browser()
    tokens = web_tokens(authd, browser)
    claims = authd.verified(tokens["id_token"], WEB, alg="ES256")
    assert claims["at_hash"] == base64.urlsafe_b64encode(hashlib.sha256(tokens["access_token"].encode()).digest()[:16]).rstrip(b"=").decode()
    authd.verified(tokens["access_token"], authd.issuer, typ="at+jwt", alg="ES256")
    refreshed = authd.token({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}, auth=BASIC).json()
    authd.verified(refreshed["id_token"], WEB, alg="ES256")
    own = authd.token({"grant_type": "client_credentials"}, auth=BASIC).json()["access_token"]
    authd.verified(own, authd.issuer, typ="at+jwt", alg="ES256")
    # What proxyd gets for a console of this client; and the session's own, which is the issuer's.
    status, answer = authd.session_token(browser, f"?audience={WEB}")
    assert status == 200
    authd.verified(answer["id_tokens"][WEB], WEB, alg="ES256")
    authd.verified(answer["id_token"], authd.issuer)
    # Others go by theirs, or by the signer's.
    authd.verified(browser.tokens()["id_token"], CLI)
    own = authd.token({"grant_type": "client_credentials"}, auth=OTHER_BASIC).json()["access_token"]
    authd.verified(own, authd.issuer, typ="at+jwt")


def test_front_channel_tokens_too_with_their_hashes(authd):
    browser = authd.browser()
    browser.sign_in()
    answer = browser.authorize(WEB, WEB_URI, "openid", response_type="code id_token token", nonce="n")
    given = query_of("#" + answer.headers["Location"].split("#")[1])
    claims = authd.verified(given["id_token"], WEB, alg="ES256")
    for name, value in (("at_hash", given["access_token"]), ("c_hash", given["code"])):
        assert claims[name] == base64.urlsafe_b64encode(hashlib.sha256(value.encode()).digest()[:16]).rstrip(b"=").decode()
    assert alg_of(given["access_token"]) == "ES256"


def test_every_endpoint_reads_tokens_of_every_ring(authd):
    tokens = web_tokens(authd)
    assert authd.userinfo(tokens["access_token"]).json()["email"] == "jane@example.com"
    assert authd.introspect(tokens["access_token"], auth=BASIC).json()["active"] is True
    for name, kind in (("id_token", ID_TYPE), ("access_token", ACCESS_TYPE)):
        form = {"grant_type": EXCHANGE, "subject_token": tokens[name], "subject_token_type": kind, "requested_token_type": ID_TYPE, "audience": OTHER}
        answer = authd.token(form, auth=BASIC).json()
        assert "access_token" in answer, answer
        assert alg_of(answer["access_token"]) == "ES256", "of the client that asks, whoever it is meant for"
        # and by OTHER, whose tokens are of the other ring
        form = {"grant_type": EXCHANGE, "subject_token": answer["access_token"], "subject_token_type": ID_TYPE, "requested_token_type": ID_TYPE}
        assert alg_of(authd.token(form, auth=OTHER_BASIC).json()["access_token"]) == "RS256"
    assert authd.revoke(tokens["access_token"], auth=BASIC).status_code == 200
    assert authd.userinfo(tokens["access_token"]).status_code == 401


def test_hints_and_sign_out_and_the_logout_token(authd, receiver):
    browser = authd.browser()
    browser.sign_in()
    tokens = web_tokens(authd, browser)
    silent = browser.authorize(WEB, WEB_URI, prompt="none", id_token_hint=tokens["id_token"])
    assert "code" in query_of(silent.headers["Location"])
    n = len(receiver.requests)
    browser.get("/oidc/logout?id_token_hint=" + tokens["id_token"])
    assert authd.session_token(browser)[0] != 200
    claims = authd.verified(receiver.token(n), WEB, typ="logout+jwt", alg="ES256")
    assert claims["sid"] == jwt.decode(tokens["id_token"], options={"verify_signature": False})["sid"]


def test_a_token_under_the_other_algorithm_s_name_is_nobody_s(authd):
    """RFC 8725 section 3.1: the algorithm is the key's, whatever the header says."""
    token = web_tokens(authd)["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    kids = {k["alg"]: k["kid"] for k in authd.get("/oidc/keys").json()["keys"]}
    assert set(kids) == {"RS256", "ES256"}
    mine = ec.generate_private_key(ec.SECP256R1())
    for kid in kids.values():
        forged = jwt.encode(claims, mine, "ES256", headers={"kid": kid, "typ": "at+jwt"})
        assert authd.userinfo(forged).status_code == 401
        assert authd.introspect(forged, auth=BASIC).json() == {"active": False}
    def part(data):
        return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()
    _, body, signature = token.split(".")
    for header in ({"alg": "RS256", "kid": kids["RS256"]}, {"alg": "RS256", "kid": kids["ES256"]}, {"alg": "ES256", "kid": kids["RS256"]}, {"alg": "none", "kid": kids["ES256"]},
                   {"alg": "HS256", "kid": kids["ES256"]}):
        assert authd.userinfo(".".join((part(header | {"typ": "at+jwt"}), body, signature))).status_code == 401, header
    assert authd.userinfo(token).status_code == 200


# ---- what is offered ----


def test_discovery_and_jwks_say_what_is_in_use(authd, tmp_path):
    assert offered(authd) == ["RS256", "ES256"]
    published = authd.get("/oidc/keys").json()["keys"]
    assert sorted((k["alg"], k["kty"]) for k in published) == [("ES256", "EC"), ("RS256", "RSA")]
    assert len({k["kid"] for k in published}) == 2 and not any({"d", "p", "q"} & set(k) for k in published)
    with Authd(tmp_path) as plain:
        assert offered(plain) == ["RS256"] and keys(plain) == ["RS256 active"]


def test_rs256_is_offered_also_where_the_signer_is_es256(tmp_path):
    """OpenID Connect Discovery section 3: it MUST be among them. Any client gets it that asks."""
    with configured(tmp_path, {}, own="ES256") as authd:
        assert offered(authd) == ["RS256", "ES256"] and keys(authd) == ["ES256 active"]
        authd.verified(web_tokens(authd)["id_token"], WEB, alg="ES256")
        authd.program.write_config(configuration(authd, {WEB: "RS256"}, own="ES256"))
        authd.program.reload()
        authd.verified(web_tokens(authd)["id_token"], WEB)
        authd.verified(authd.browser().tokens()["id_token"], CLI, alg="ES256")


# ---- coming and going ----


def test_the_first_client_brings_a_ring_and_the_last_one_takes_it_away(tmp_path):
    with Authd(tmp_path) as authd:
        before = web_tokens(authd)
        assert alg_of(before["id_token"]) == "RS256"
        authd.program.write_config(configuration(authd, {WEB: "ES256"}))
        authd.program.reload()
        assert keys(authd) == ["ES256 active", "RS256 active"], "there before the first client can ask"
        assert offered(authd) == ["RS256", "ES256"]
        tokens = web_tokens(authd)
        authd.verified(tokens["id_token"], WEB, alg="ES256")
        authd.verified(authd.browser().tokens()["id_token"], CLI)
        assert authd.userinfo(before["access_token"]).status_code == 200

        authd.program.stop()
        authd.program.start()
        assert keys(authd) == ["ES256 active", "RS256 active"] and authd.userinfo(tokens["access_token"]).status_code == 200

        authd.program.write_config(authd.configuration())
        authd.program.reload()
        authd.wait_log("signing key is retired")
        assert keys(authd) == ["ES256 retired", "RS256 active"]
        authd.verified(web_tokens(authd)["id_token"], WEB)
        authd.verified(tokens["id_token"], WEB, alg="ES256")  # published until what it signed has expired
        assert authd.userinfo(tokens["access_token"]).status_code == 200


def test_rotation_of_one_algorithm_or_of_all(tmp_path):
    with configured(tmp_path, {WEB: "ES256"}) as authd:
        listed = authd.ctl_json("keys", "rotate", "--alg", "ES256")
        assert sorted(f"{k['alg']} {k['state']}" for k in listed) == ["ES256 active", "ES256 next", "RS256 active"]
        assert keys(authd) == ["ES256 active", "ES256 next", "RS256 active"]
        assert "ES256" in authd.ctl("keys", "list").stdout
        authd.ctl("keys", "rotate")
        assert keys(authd) == ["ES256 active", "ES256 next", "RS256 active", "RS256 next"]
        assert len(authd.get("/oidc/keys").json()["keys"]) == 4
        for unknown in ("PS256", "none", "es256"):
            assert f'no key signs by "{unknown}"' in authd.ctl("keys", "rotate", "--alg", unknown, status=1).stderr


def test_usr2_rotates_all_and_an_algorithm_that_is_not_in_use_cannot_be(tmp_path):
    with configured(tmp_path / "both", {WEB: "ES256"}) as authd:
        authd.program.send_signal(signal.SIGUSR2)
        authd.wait_log("signing keys rotated")
        assert keys(authd) == ["ES256 active", "ES256 next", "RS256 active", "RS256 next"]
    with Authd(tmp_path / "one") as authd:
        assert "neither signer.config.algorithm nor a client asks for it" in authd.ctl("keys", "rotate", "--alg", "ES256", status=1).stderr
        assert keys(authd) == ["RS256 active"]


def test_a_sealed_store_keeps_both_rings_and_a_backup_has_them(tmp_path):
    storage = {"type": "lmdb", "config": {"path": str(tmp_path / "store"), "keyFile": str(key_file(tmp_path, b"a"))}}
    with configured(tmp_path, {WEB: "ES256"}, storage=storage) as authd:
        tokens = web_tokens(authd)
        assert b"PRIVATE KEY" not in (tmp_path / "store" / "data.mdb").read_bytes()
        authd.ctl("backup", tmp_path / "b.mdb")
        before = keys(authd)
        authd.program.stop()
        authd.ctl("restore", tmp_path / "b.mdb")
        authd.program.start()
        assert keys(authd) == before == ["ES256 active", "RS256 active"]
        assert authd.userinfo(tokens["access_token"]).status_code == 200
        authd.verified(tokens["id_token"], WEB, alg="ES256")


@pytest.mark.parametrize("value", ["none", "HS256", "PS256", "es256", "RS256 "])
def test_another_algorithm_is_refused_with_its_line(tmp_path, value):
    authd = configured(tmp_path, {WEB: value})
    done = subprocess.run([harness.BUILD / "authd", "--check", authd.program.config_file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f'staticClients[1].idTokenSignedResponseAlg: expected RS256 or ES256, found "{value}"' in done.stderr
    authd.program.close()


# ---- at the gateway ----


def test_proxyd_takes_tokens_of_both_algorithms_from_one_issuer_at_once(tmp_path):
    clients = [{"id": alg.lower(), "name": alg, "secret": "secret-of-" + alg, "redirectURIs": ["https://app.example/cb"], "idTokenSignedResponseAlg": alg}
               for alg in ("RS256", "ES256")]
    more = {"staticClients": clients, "oauth2": {"passwordConnector": "local", "grantTypes": ["authorization_code", "password"]}, "console": {}}
    with Gateway(tmp_path, {ANN: "correct horse"}, authd_more=more) as gateway:
        config = gateway.proxyd.config
        config["authentication"]["jwt"][0]["issuer"]["audiences"] = ["rs256", "es256"]
        gateway.proxyd.write_config(config)
        gateway.proxyd.reload()
        browser = gateway.browser()

        def token(client):
            form = {"grant_type": "password", "username": ANN, "password": "correct horse", "scope": "openid email", "client_id": client["id"],
                    "client_secret": client["secret"]}
            answer = browser.post(gateway.issuer + "/token", data=form, timeout=20)
            assert answer.status_code == 200, answer.text
            return answer.json()["id_token"]

        def status(bearer):
            return browser.get(gateway.url + "/clusters", headers={"Authorization": "Bearer " + bearer, "Accept": "application/json"}, timeout=20).status_code

        tokens = [token(c) for c in clients]
        assert [alg_of(t) for t in tokens] == ["RS256", "ES256"]
        for _ in range(3):
            assert [status(t) for t in tokens] == [200, 200]
        # The signature of one does not carry the claims of the other.
        heads, bodies, signatures = zip(*(t.split(".") for t in tokens))
        assert status(".".join((heads[0], bodies[1], signatures[0]))) == 401
        assert status(".".join((heads[1], bodies[0], signatures[1]))) == 401
        assert status(".".join((heads[0], bodies[0], signatures[1]))) == 401
