"""`authd ctl clients` as an administrator types it: what an entry of staticClients can say, stored while authd runs."""
import json
import os
import re

import jwt
import pytest

from authd_client import CLI, CLI_URI, EMAIL, WEB, WEB_URI, Authd, pkce
from test_authd_key_file import key_file

ENTRY = """\
# as in staticClients
id: ci
secretEnv: CI_SECRET
name: CI
redirectURIs: ["https://ci.example.com/callback"]
grantTypes: [authorization_code, refresh_token, client_credentials]
expiry: {idTokens: 10m, refreshTokens: {absoluteLifetime: 12h, validIfNotUsedFor: 1h}}
groups: ["acme:platform", "acme:ci-*"]
idTokenSignedResponseAlg: ES256
subject: plain
claims: [{name: tenant, value: acme}, {name: login, from: preferred_username}]
"""
SECRET = "a secret of the environment's"
ENV = os.environ | {"CI_SECRET": SECRET}


@pytest.fixture
def authd(tmp_path):
    grants = ["authorization_code", "refresh_token", "password", "client_credentials"]
    with Authd(tmp_path, oauth2={"skipApprovalScreen": True, "grantTypes": grants, "passwordConnector": "local"}) as running:
        yield running


def own_token(authd, client, secret):
    return authd.token({"grant_type": "client_credentials"}, auth=(client, secret))


def header(answer):
    assert answer.status_code == 200, answer.text
    return jwt.get_unverified_header(answer.json()["access_token"])


# ---- from options ----


def test_a_client_is_added_signs_people_in_and_is_removed(authd):
    added = authd.ctl_json("clients", "add", "grafana", "--name", "Grafana", "--redirect-uri", "https://grafana.example/cb",
                           "--redirect-uri", "https://other.example/cb")
    secret = added["secret"]
    assert len(secret) == 43
    browser = authd.browser()
    code, verifier = browser.code("grafana", "https://other.example/cb", "openid offline_access")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "https://other.example/cb", "code_verifier": verifier}
    assert authd.token(form, auth=("grafana", secret + "x")).status_code == 401
    assert authd.token(form | {"client_id": "grafana"}).status_code == 401
    tokens = authd.token(form, auth=("grafana", secret)).json()
    authd.verified(tokens["id_token"], "grafana")
    assert browser.authorize("grafana", "https://evil.example/cb").status_code == 400
    stored = authd.program.folder / "store" / "data.mdb"
    assert secret.encode() not in stored.read_bytes()

    sessions = authd.ctl_json("sessions", "list", "--client", "grafana")
    assert [(s["kind"], s["client"], s["email"]) for s in sessions] == [("offline", "grafana", EMAIL)]
    authd.program.stop()
    authd.program.start()
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refreshed = authd.token(refresh, auth=("grafana", secret))
    assert refreshed.status_code == 200
    assert "1 refresh tokens" in authd.ctl("clients", "remove", "grafana").stdout
    refresh["refresh_token"] = refreshed.json()["refresh_token"]
    assert authd.token(refresh, auth=("grafana", secret)).status_code == 401
    assert browser.authorize("grafana", "https://other.example/cb").status_code == 400
    # Another of that id gets nothing of the old one's.
    added = authd.ctl_json("clients", "add", "grafana", "--name", "Grafana", "--redirect-uri", "https://grafana.example/cb")
    assert authd.token(refresh, auth=("grafana", secret)).status_code == 401
    assert authd.token(refresh, auth=("grafana", added["secret"])).status_code == 400


def test_a_sign_in_that_is_under_way_ends_with_its_client(authd):
    authd.ctl("clients", "add", "app", "--name", "App", "--public", "--redirect-uri", CLI_URI)
    browser = authd.browser()
    page = browser.authorize("app", CLI_URI, code_challenge=pkce()[1], code_challenge_method="S256")
    authd.ctl("clients", "remove", "app")
    answer = browser.fill(page)
    assert answer.status_code == 400 and "no longer open" in answer.text
    again = browser.get("/oidc/auth/local/login?req=" + re.search(r'name="req" value="([^"]+)"', page.text)[1])
    assert again.status_code == 400


def test_clients_that_are_configured_or_wrong_are_refused(authd):
    assert "already" in authd.ctl("clients", "add", CLI, "--name", "x", "--public", status=1).stderr
    assert "staticClients" in authd.ctl("clients", "remove", CLI, status=1).stderr
    assert "authd ctl: redirectURIs[0]: expected a URI that leads to" in authd.ctl("clients", "add", "a", "--name", "x", "--redirect-uri", "javascript:x", status=1).stderr
    assert "at least 16" in authd.ctl("clients", "add", "a", "--name", "x", "--redirect-uri", WEB_URI, "--secret-stdin", given="short\n", status=2).stderr
    done = authd.ctl("clients", "add", "a", "--name", "x", "--redirect-uri", WEB_URI, "--secret-stdin", given="a secret of 16 bytes or more\n")
    assert "secret" not in done.stdout  # who brought it has it
    assert {c["id"]: c["source"] for c in authd.ctl_json("clients", "list")}["a"] == "stored"


def test_a_stored_client_may_be_held_to_its_connectors(authd):
    done = authd.ctl("clients", "add", "x", "--name", "X", "--public", "--redirect-uri", CLI_URI, "--connector", "nosuch", status=1)
    assert 'authd ctl: allowedConnectors[0]: expected the id of a connector or "local", found "nosuch"' in done.stderr
    authd.ctl("clients", "add", "x", "--name", "X", "--public", "--redirect-uri", CLI_URI, "--connector", "local")
    assert authd.browser().code("x")


def test_options_set_what_is_set_most_and_change_it_while_authd_runs(authd):
    added = authd.ctl_json("clients", "add", "svc", "--name", "Service", "--grant-type", "client_credentials", "--alg", "ES256", "--id-tokens", "2m")
    answer = own_token(authd, "svc", added["secret"])
    assert header(answer)["alg"] == "ES256" and answer.json()["expires_in"] == 120
    assert authd.ctl("clients", "set", "svc", "--alg", "RS256", "--id-tokens", "3m").stdout == "changed: svc\n"
    answer = own_token(authd, "svc", added["secret"])
    assert header(answer)["alg"] == "RS256" and answer.json()["expires_in"] == 180
    authd.ctl("clients", "set", "svc", "--id-tokens=", "--group", "a:*", "--group", "b", "--redirect-uri", "https://a/cb")
    shown = authd.ctl_json("clients", "show", "svc")
    assert shown == {"id": "svc", "name": "Service", "redirectURIs": ["https://a/cb"], "grantTypes": ["client_credentials"], "groups": ["a:*", "b"],
                     "idTokenSignedResponseAlg": "RS256"}
    assert own_token(authd, "svc", added["secret"]).json()["expires_in"] == 24 * 3600
    authd.ctl("clients", "set", "svc", "--group=", "--alg=", "--grant-type", "refresh_token")
    assert authd.ctl_json("clients", "show", "svc") == {"id": "svc", "name": "Service", "redirectURIs": ["https://a/cb"], "grantTypes": ["refresh_token"]}
    assert own_token(authd, "svc", added["secret"]).json()["error"] == "unauthorized_client"
    lines = authd.ctl("clients", "show", "svc").stdout
    assert re.search(r"^grantTypes +refresh_token$", lines, re.MULTILINE) and re.search(r"^source +stored$", lines, re.MULTILINE)
    assert 'msg="client changed" client=svc' in authd.log()


def test_a_secret_is_changed_at_once(authd):
    first = authd.ctl_json("clients", "add", "svc", "--name", "Service", "--grant-type", "client_credentials")["secret"]
    second = authd.ctl_json("clients", "set", "svc", "--new-secret")["secret"]
    assert [own_token(authd, "svc", s).status_code for s in (first, second)] == [401, 200]
    done = authd.ctl("clients", "set", "svc", "--secret-stdin", given="brought along, long enough\n")
    assert done.stdout == "changed: svc\n"
    assert [own_token(authd, "svc", s).status_code for s in (second, "brought along, long enough")] == [401, 200]
    assert "another one is given" in authd.ctl("clients", "set", "svc", "--new-secret", "--secret-stdin", given="brought along, long enough\n", status=2).stderr
    assert "at least 16" in authd.ctl("clients", "set", "svc", "--secret-stdin", given="short\n", status=2).stderr


@pytest.mark.parametrize("arguments,why", [
    (["--alg", "none"], 'idTokenSignedResponseAlg: expected RS256 or ES256, found "none"'),
    (["--alg", "HS256"], 'idTokenSignedResponseAlg: expected RS256 or ES256, found "HS256"'),
    (["--grant-type", "refresh_tokens"], "grantTypes[0]: expected authorization_code, refresh_token, "),
    (["--subject", "mail"], 'subject: expected encoded or plain, found "mail"'),
    (["--id-tokens", "soon"], "expiry.idTokens: expected a duration"),
    (["--id-tokens", "8000h"], "expiry.idTokens: expected at most 48 times the period"),
    (["--trusted-peer", "a", "--trusted-peer", "b", "--connector", "x"], 'allowedConnectors[0]: expected the id of a connector or "local", found "x"'),
    (["--backchannel-logout-uri", "http://app.example/x"], "backchannelLogoutURI: expected an https URL"),
    (["--post-logout-redirect-uri", "x"], "postLogoutRedirectURIs[0]: expected an absolute URI"),
    (["--logo-url", "x"], "logoURL: expected an http or https URL"),
    (["--redirect-uri", "https://a/#x"], "redirectURIs[0]: expected an absolute URI of visible ASCII characters without a fragment"),
    (["--name", " x"], "name: expected a text of 1 to"),
    (["--name="], "name: expected a value for this required key"),
])
def test_a_wrong_value_is_refused_by_its_key_and_nothing_changes(authd, arguments, why):
    authd.ctl("clients", "add", "svc", "--name", "Service", "--public")
    before = authd.ctl_json("clients", "list")
    done = authd.ctl("clients", "set", "svc", *arguments, status=1)
    assert done.stderr.startswith("authd ctl: " + why), done.stderr
    assert authd.ctl_json("clients", "list") == before


def test_what_stands_in_the_configuration_or_nowhere_cannot_be_changed(authd):
    assert "stands in the configuration: change it in staticClients" in authd.ctl("clients", "set", WEB, "--name", "x", status=1).stderr
    assert 'there is no stored client "nosuch"' in authd.ctl("clients", "set", "nosuch", "--name", "x", status=1).stderr
    assert 'there is no client "nosuch"' in authd.ctl("clients", "show", "nosuch", status=1).stderr
    shown = authd.ctl_json("clients", "show", WEB)
    assert shown == {"id": WEB, "name": "Web & App", "redirectURIs": [WEB_URI]}, "as it is configured, without its secret"
    assert "choose another id" in authd.ctl("clients", "add", CLI, "--name", "x", "--public", status=1).stderr


# ---- from a file ----


def test_an_entry_of_static_clients_is_stored_as_it_is_and_comes_back(authd, tmp_path):
    file = tmp_path / "ci.yaml"
    file.write_text(ENTRY)
    assert authd.ctl("clients", "add", "--from-file", file, env=ENV).stdout == "added: ci\n"
    assert SECRET.encode() not in (tmp_path / "store" / "data.mdb").read_bytes()
    answer = own_token(authd, "ci", SECRET)
    assert header(answer)["alg"] == "ES256" and answer.json()["expires_in"] == 600
    shown = authd.ctl_json("clients", "show", "ci")
    assert shown["claims"] == [{"name": "tenant", "value": "acme"}, {"name": "login", "from": "preferred_username"}]
    assert shown["expiry"] == {"idTokens": "10m", "refreshTokens": {"absoluteLifetime": "12h", "validIfNotUsedFor": "1h"}}
    (listed,) = [c for c in authd.ctl_json("clients", "list") if c["id"] == "ci"]
    assert listed["client"] == shown and listed["source"] == "stored" and "secret" not in json.dumps(shown)
    assert re.search(r"^claims +tenant=acme,login=preferred_username$", authd.ctl("clients", "show", "ci").stdout, re.MULTILINE)

    # What is shown is what a file may say.
    again = tmp_path / "ci.json"
    again.write_text(json.dumps(shown | {"name": "C I", "idTokenSignedResponseAlg": "RS256"}, indent=1))
    assert authd.ctl("clients", "set", "ci", "--from-file", again).stdout == "changed: ci\n"
    assert authd.ctl_json("clients", "show", "ci") == shown | {"name": "C I", "idTokenSignedResponseAlg": "RS256"}
    assert header(own_token(authd, "ci", SECRET))["alg"] == "RS256", "its secret stays"
    # A file says all: what it does not name is not set any more; its secret is another one.
    again.write_text(json.dumps({"name": "CI", "secret": "of the file, from now on"}))
    authd.ctl("clients", "set", "ci", "--from-file", again)
    assert authd.ctl_json("clients", "show", "ci") == {"id": "ci", "name": "CI"}
    assert [own_token(authd, "ci", s).status_code for s in (SECRET, "of the file, from now on")] == [401, 200]


def test_an_entry_comes_from_standard_input_and_gets_a_secret_where_it_has_none(authd):
    added = json.loads(authd.ctl("--output", "json", "clients", "add", "svc", "--from-file", "-", given="name: S\ngrantTypes: [client_credentials]\n").stdout)
    assert added["id"] == "svc" and own_token(authd, "svc", added["secret"]).status_code == 200
    assert authd.ctl("clients", "add", "--from-file", "-", given="{id: pub, name: P, public: true}").stdout == "added: pub\n"


@pytest.mark.parametrize("text,why", [
    ("id: ci\nname: CI\npublic: true\nredirectURI: [x]\n", ':4: redirectURI: expected a known key (the nearest is "redirectURIs")'),
    ("id: ci\nname: CI\npublic: true\n\nredirectURIs:\n- https://a/\n- x\n", ":7: redirectURIs[1]: expected an absolute URI"),
    ("id: ci\npublic: true\n", ":1: name: expected a value for this required key"),
    ("id: ci\nname: CI\nsecretEnv: NOT_SET_ANYWHERE\n", ":3: secretEnv: expected the name of an environment variable that is set and not empty"),
    ("id: ci\nname: CI\nsecret: long enough to be one\nsecretEnv: CI_SECRET\n", ":4: secretEnv: expected either this key or secret beside it"),
    ("id: ci\nname: CI\npublic: true\nallowedConnectors:\n- githbu\n", ':5: allowedConnectors[0]: expected the id of a connector or "local", found "githbu"'),
    ("id: ci\nname: CI\npublic: true\nidTokenSignedResponseAlg: none\n", ':4: idTokenSignedResponseAlg: expected RS256 or ES256, found "none"'),
    ("id: ci\nname: CI\npublic: true\nexpiry:\n  idTokens: 8000h\n", ":5: expiry.idTokens: expected at most 48 times"),
    ("id: ci\nname: CI\npublic: true\nmfaChain: [x]\n", ":4: mfaChain: is known to dex and not carried by authd yet"),
    ("- {id: ci, name: CI}\n", ":1: expected the keys of one client, as an entry of staticClients has them"),
    ("id: ci\nname: {\n", ": expected YAML"),
    ("id: ci\nname: CI\nsecret: short\n", ": secret: expected at least 16 characters"),
    ("", ": expected the keys of one client"),
])
def test_a_wrong_file_is_refused_with_its_line_and_key(authd, tmp_path, text, why):
    file = tmp_path / "ci.yaml"
    file.write_text(text)
    for command in ("add", "set"):
        done = authd.ctl("clients", *((command, "--from-file", file) if text else (command, "ci", "--from-file", file)), env=ENV, status=2 if "short" in text else 1)
        assert done.stderr.startswith("authd ctl: ") and (command == "set" or why in done.stderr), done.stderr
        assert "long enough to be one" not in done.stderr and SECRET not in done.stderr
    assert not any(c["source"] == "stored" for c in authd.ctl_json("clients", "list"))


def test_files_that_cannot_be_and_options_that_do_not_go_with_one(authd, tmp_path):
    assert "nosuch: No such file" in authd.ctl("clients", "add", "a", "--from-file", tmp_path / "nosuch", status=1).stderr
    assert "cannot read" in authd.ctl("clients", "add", "a", "--from-file", tmp_path, status=1).stderr
    (tmp_path / "big.yaml").write_text("name: n\npublic: true\ngroups: [" + "a, " * 60000 + "b]\n")
    assert authd.ctl("clients", "add", "a", "--from-file", tmp_path / "big.yaml", status=1).stderr
    (tmp_path / "long.yaml").write_text("name: n\npublic: true\ngroups: [" + ", ".join(f"group-{i:05}" + "x" * 80 for i in range(900)) + "]\n")
    assert "more than a client's settings can be" in authd.ctl("clients", "add", "a", "--from-file", tmp_path / "long.yaml", status=1).stderr
    assert "more than a client's settings can be" in authd.ctl("clients", "add", "a", "--from-file", "-", given="#" * (2 << 20), status=1).stderr
    file = tmp_path / "ci.yaml"
    file.write_text("id: ci\nname: CI\npublic: true\n")
    for extra in (["--name", "x"], ["--public"], ["--alg", "ES256"], ["--id-tokens", "1h"]):
        assert f"{extra[0]} does not go with it" in authd.ctl("clients", "add", "--from-file", file, *extra, status=2).stderr
    assert 'expected "other", found "ci"' in authd.ctl("clients", "add", "other", "--from-file", file, status=2).stderr
    file.write_text("name: CI\npublic: true\n")
    assert "expected the client's id, here or in the file" in authd.ctl("clients", "add", "--from-file", file, status=2).stderr
    assert "does not go with --secret-stdin" in authd.ctl("clients", "add", "a", "--from-file", "-", "--secret-stdin", given="x\n", status=2).stderr
    file.write_text("name: CI\nsecret: long enough to be one\n")
    assert "either in the file or by --secret-stdin" in authd.ctl("clients", "add", "a", "--from-file", file, "--secret-stdin", given="x\n", status=2).stderr
    assert not any(c["source"] == "stored" for c in authd.ctl_json("clients", "list"))


# ---- what the rest of authd makes of it ----


def tokens_of(authd, client, scope="openid", browser=None):
    answer = authd.redeem(*(browser or authd.browser()).code(client, scope=scope), client=client)
    assert answer.status_code == 200, answer.text
    return answer.json()


def keys(authd):
    return sorted(f"{k['alg']} {k['state']}" for k in authd.ctl_json("keys", "list"))


def test_a_stored_clients_algorithm_comes_and_goes_with_it(authd):
    offered = "id_token_signing_alg_values_supported"
    assert keys(authd) == ["RS256 active"]
    authd.ctl("clients", "add", "es", "--name", "ES", "--public", "--redirect-uri", CLI_URI, "--alg", "ES256")
    assert keys(authd) == ["ES256 active", "RS256 active"] and authd.get("/oidc/.well-known/openid-configuration").json()[offered] == ["RS256", "ES256"]
    tokens = tokens_of(authd, "es")
    authd.verified(tokens["id_token"], "es", alg="ES256")
    # A reload and a restart know it as well.
    authd.program.reload()
    authd.program.stop()
    authd.program.start()
    assert keys(authd) == ["ES256 active", "RS256 active"]
    authd.verified(tokens_of(authd, "es")["id_token"], "es", alg="ES256")
    authd.ctl("clients", "remove", "es")
    authd.wait_log("nobody asks for its algorithm any more")
    assert keys(authd) == ["ES256 retired", "RS256 active"]
    assert authd.userinfo(tokens["access_token"]).status_code == 401, "its grant ended with it"


def test_a_change_counts_for_sign_ins_that_are_under_way_and_for_the_next_refresh(authd):
    authd.ctl("clients", "add", "app", "--name", "App", "--public", "--redirect-uri", CLI_URI)
    tokens = tokens_of(authd, "app", "openid groups offline_access")
    assert authd.verified(tokens["id_token"], "app")["groups"] == ["developers", "ops"]
    page = authd.browser()
    verifier, challenge = pkce()
    form = page.authorize("app", CLI_URI, "openid groups", code_challenge=challenge, code_challenge_method="S256", state="st")
    authd.ctl("clients", "set", "app", "--group", "dev*", "--alg", "ES256", "--subject", "plain")
    refreshed = authd.refresh(tokens["refresh_token"], client="app").json()
    claims = authd.verified(refreshed["id_token"], "app", alg="ES256")
    assert claims["groups"] == ["developers"] and claims["sub"] == "local:id-jane"
    answer = page.fill(form)
    code = re.search(r"code=([^&]+)", answer.headers["Location"])[1]
    claims = authd.verified(authd.redeem(code, verifier, client="app").json()["id_token"], "app", alg="ES256")
    assert claims["groups"] == ["developers"]


def test_keys_that_could_not_stay_published_for_a_stored_clients_tokens_are_refused(authd):
    authd.ctl("clients", "add", "long", "--name", "Long", "--public", "--id-tokens", "200h")
    before = authd.program.config
    authd.program.write_config(before | {"expiry": {"idTokens": "1h", "signingKeys": "1h"}})
    authd.program.reload(fails=True)
    assert "expiry.signingKeys: tokens of a stored client live 720000 s, which may be 48 times this period" in authd.log()
    authd.ctl("clients", "set", "long", "--id-tokens", "2h")
    authd.program.reload()
    assert "expected at most 48 times" in authd.ctl("clients", "set", "long", "--id-tokens", "200h", status=1).stderr


def test_backup_restore_and_a_sealed_store_carry_the_settings(tmp_path):
    storage = {"type": "lmdb", "config": {"path": str(tmp_path / "store"), "keyFile": str(key_file(tmp_path, b"a"))}}
    with Authd(tmp_path, storage=storage, oauth2={"grantTypes": ["authorization_code", "client_credentials"]}) as authd:
        authd.ctl("clients", "add", "--from-file", "-", given=ENTRY, env=ENV)
        shown = authd.ctl_json("clients", "show", "ci")
        authd.ctl("backup", tmp_path / "b.mdb")
        authd.ctl("clients", "set", "ci", "--name", "Other", "--alg", "RS256", "--new-secret")
        assert authd.ctl_json("clients", "show", "ci") != shown
        authd.program.stop()
        authd.ctl("restore", tmp_path / "b.mdb")
        authd.program.start()
        assert authd.ctl_json("clients", "show", "ci") == shown
        assert header(own_token(authd, "ci", SECRET))["alg"] == "ES256"
