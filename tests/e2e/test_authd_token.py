"""authd's token endpoint and userinfo: every single thing that can be wrong, refresh tokens, races."""
import concurrent.futures
import json
import signal
import urllib.parse

import jwt
import pytest
import requests

from authd_client import CLI, CLI_URI, EMAIL, OTHER, OTHER_SECRET, WEB, WEB_SECRET, WEB_URI, Authd, pkce, query_of


def refused(answer, error, status=400):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["error"] == error
    return answer


# ---- codes ----


def test_the_answer_is_not_stored_anywhere(authd, browser):
    answer = authd.redeem(*browser.code())
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Pragma"] == "no-cache"


def test_each_single_mismatch_is_invalid_grant_and_says_no_more(authd, browser):
    code, verifier = browser.code()
    texts = {
        refused(authd.redeem("never-issued", verifier), "invalid_grant").text,
        refused(authd.redeem(code, verifier, uri=CLI_URI + "/"), "invalid_grant").text,
        refused(authd.redeem(code, pkce()[0]), "invalid_grant").text,
        refused(authd.redeem(code, ""), "invalid_grant").text,
        refused(authd.token({"grant_type": "authorization_code", "code": code, "redirect_uri": CLI_URI, "code_verifier": verifier},
                            auth=(WEB, WEB_SECRET)), "invalid_grant").text,
    }
    assert len(texts) == 1
    assert authd.redeem(code, verifier).status_code == 200  # none of that used it up


def test_a_verifier_without_a_challenge_is_invalid_grant(authd, browser):
    answer = browser.authorize(WEB, WEB_URI)
    form = {"grant_type": "authorization_code", "code": query_of(answer.headers["Location"])["code"], "redirect_uri": WEB_URI}
    refused(authd.token(form | {"code_verifier": pkce()[0]}, auth=(WEB, WEB_SECRET)), "invalid_grant")
    assert authd.token(form, auth=(WEB, WEB_SECRET)).status_code == 200


def test_a_code_used_again_is_refused_and_ends_what_it_gave(authd, browser):
    code, verifier = browser.code(scope="openid offline_access")
    tokens = authd.redeem(code, verifier).json()
    assert authd.userinfo(tokens["access_token"]).status_code == 200
    refused(authd.redeem(code, verifier), "invalid_grant")
    assert authd.userinfo(tokens["access_token"]).status_code == 401
    refused(authd.refresh(tokens["refresh_token"]), "invalid_grant")


def test_of_a_hundred_concurrent_redemptions_exactly_one_succeeds(authd, browser):
    code, verifier = browser.code(scope="openid offline_access")
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: authd.redeem(code, verifier), range(100)))
    assert sorted(a.status_code for a in answers) == [200] + [400] * 99
    (good,) = [a for a in answers if a.status_code == 200]
    assert {a.json()["error"] for a in answers if a is not good} == {"invalid_grant"}
    refused(authd.refresh(good.json()["refresh_token"]), "invalid_grant")


# ---- the client ----


@pytest.mark.parametrize("auth,more,error,status", [
    (None, {}, "invalid_client", 401),
    (None, {"client_id": "nosuch"}, "invalid_client", 401),
    (None, {"client_id": WEB}, "invalid_client", 401),
    (None, {"client_id": WEB, "client_secret": "wrong"}, "invalid_client", 401),
    (None, {"client_id": CLI, "client_secret": "a public client has none"}, "invalid_client", 401),
    ((WEB, "wrong"), {}, "invalid_client", 401),
    ((WEB, ""), {}, "invalid_client", 401),
    ((OTHER, WEB_SECRET), {}, "invalid_client", 401),
    ((WEB, WEB_SECRET), {"client_secret": WEB_SECRET}, "invalid_request", 400),
    ((WEB, WEB_SECRET), {"client_id": OTHER}, "invalid_request", 400),
])
def test_client_authentication(authd, auth, more, error, status):
    answer = refused(authd.token({"grant_type": "authorization_code", "code": "x", "redirect_uri": WEB_URI} | more, auth=auth), error, status)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401 and auth is not None)


def test_a_public_client_that_has_a_secret_must_present_it(authd):
    """As in dex, whose documentation has such clients."""
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": "cli-with-secret"}
    refused(authd.token(form), "invalid_client", 401)
    refused(authd.token(form | {"client_secret": "other"}), "invalid_client", 401)
    refused(authd.token(form | {"client_secret": "known-to-many"}), "invalid_grant")


def test_secret_by_basic_and_by_post_are_both_accepted(authd, browser):
    for basic in (True, False):
        answer = browser.authorize(WEB, WEB_URI)
        form = {"grant_type": "authorization_code", "code": query_of(answer.headers["Location"])["code"], "redirect_uri": WEB_URI}
        more = {} if basic else {"client_id": WEB, "client_secret": WEB_SECRET}
        assert authd.token(form | more, auth=(WEB, WEB_SECRET) if basic else None).status_code == 200


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic " + "YQ==", "Bearer abc", "Basic YTpi YTpi"])
def test_a_malformed_authorization_header(authd, header):
    answer = requests.post(f"{authd.issuer}/token", data={"grant_type": "authorization_code", "code": "x"}, headers={"Authorization": header}, timeout=20)
    refused(answer, "invalid_client", 401)


# ---- the request ----


@pytest.mark.parametrize("form,error", [
    ({}, "invalid_request"),
    ({"grant_type": "authorization_code", "client_id": CLI}, "invalid_request"),
    ({"grant_type": "refresh_token", "client_id": CLI}, "invalid_request"),
    ({"grant_type": "password", "client_id": CLI, "username": EMAIL, "password": "x"}, "unsupported_grant_type"),
    ({"grant_type": "client_credentials", "client_id": CLI}, "unsupported_grant_type"),
    ({"grant_type": "urn:x", "client_id": CLI}, "unsupported_grant_type"),
    ([("grant_type", "refresh_token"), ("client_id", CLI), ("refresh_token", "a"), ("refresh_token", "b")], "invalid_request"),
])
def test_malformed_requests(authd, form, error):
    refused(authd.token(form), error)


@pytest.mark.parametrize("body,content_type", [
    (json.dumps({"grant_type": "refresh_token"}), "application/json"),
    ("grant_type=refresh_token", "text/plain"),
    ("grant_type=%zz", "application/x-www-form-urlencoded"),
    ("grant_type=%00", "application/x-www-form-urlencoded"),
    ("grant_type=%ff", "application/x-www-form-urlencoded"),
    (f"grant_type=refresh_token&client_id={CLI}&a=" + "b" * 60000, "application/x-www-form-urlencoded"),
    ("&".join(f"a{i}=b" for i in range(200)), "application/x-www-form-urlencoded"),
], ids=["json", "text", "percent", "nul", "utf-8", "long", "many"])
def test_bodies_that_are_no_form_are_invalid_request(authd, body, content_type):
    answer = requests.post(f"{authd.issuer}/token", data=body, headers={"Content-Type": content_type}, timeout=20)
    refused(answer, "invalid_request")


def test_parameters_in_the_query_are_refused(authd, browser):
    code, verifier = browser.code()
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CLI_URI, "client_id": CLI, "code_verifier": verifier}
    answer = requests.post(f"{authd.issuer}/token?" + urllib.parse.urlencode({"code": form.pop("code")}), data=form, timeout=20)
    refused(answer, "invalid_request")


# ---- refresh tokens ----


def test_a_refreshed_id_token_says_the_same_and_is_newer(authd, browser):
    tokens = browser.tokens(scope="openid email groups offline_access", nonce="n")
    again = authd.refresh(tokens["refresh_token"]).json()
    before, after = (authd.verified(t["id_token"], CLI) for t in (tokens, again))
    for name in ("iss", "sub", "aud", "auth_time", "sid", "email", "groups", "nonce"):
        assert before[name] == after[name]
    assert after["iat"] >= before["iat"] and after["jti"] != before["jti"]
    assert again["refresh_token"] != tokens["refresh_token"]
    assert authd.userinfo(again["access_token"]).json()["groups"] == ["developers", "ops"]


def test_fifty_parallel_refreshes_of_one_token_give_one_successor(authd, browser):
    token = browser.tokens(scope="openid offline_access")["refresh_token"]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: authd.refresh(token), range(50)))
    assert {a.status_code for a in answers} == {200}
    (successor,) = {a.json()["refresh_token"] for a in answers}
    assert authd.refresh(successor).status_code == 200


def test_replay_ends_the_family(tmp_path):
    with Authd(tmp_path, expiry={"refreshTokens": {"reuseInterval": "0s"}}) as authd:
        first = authd.browser().tokens(scope="openid offline_access")
        second = authd.refresh(first["refresh_token"]).json()
        refused(authd.refresh(first["refresh_token"]), "invalid_grant")
        refused(authd.refresh(second["refresh_token"]), "invalid_grant")
        assert authd.userinfo(second["access_token"]).status_code == 401
        assert "its family is ended" in authd.log()


def test_logins_of_one_person_at_one_client_live_side_by_side(authd):
    one, two = (authd.browser().tokens(scope="openid offline_access")["refresh_token"] for _ in range(2))
    assert authd.refresh(one).status_code == 200
    assert authd.refresh(two).status_code == 200


def test_a_refresh_token_is_for_its_own_client(authd, browser):
    token = browser.tokens(scope="openid offline_access")["refresh_token"]
    refused(authd.token({"grant_type": "refresh_token", "refresh_token": token}, auth=(OTHER, OTHER_SECRET)), "invalid_grant")
    assert authd.refresh(token).status_code == 200


def test_a_refresh_may_ask_for_less_but_not_for_more(authd, browser):
    token = browser.tokens(scope="openid email offline_access")["refresh_token"]
    refused(authd.refresh(token, scope="openid groups"), "invalid_scope")
    less = authd.refresh(token, scope="openid")
    assert "email" not in authd.verified(less.json()["id_token"], CLI)
    assert "email" in authd.verified(authd.refresh(less.json()["refresh_token"]).json()["id_token"], CLI)


@pytest.mark.parametrize("token", ["x", "a.b.c", "a" * 30000, ".", "é"], ids=["short", "parts", "long", "dot", "utf-8"])
def test_refresh_tokens_that_were_never_issued(authd, token):
    refused(authd.refresh(token), "invalid_grant")


def test_without_rotation_the_token_stays(tmp_path):
    with Authd(tmp_path, expiry={"refreshTokens": {"disableRotation": True}}) as authd:
        token = authd.browser().tokens(scope="openid offline_access")["refresh_token"]
        assert {authd.refresh(token).json()["refresh_token"] for _ in range(3)} == {token}


def test_a_person_who_is_gone_from_the_configuration_gets_no_more_tokens(tmp_path):
    with Authd(tmp_path) as authd:
        tokens = authd.browser().tokens(scope="openid groups offline_access")
        people = authd.program.config["staticPasswords"]
        authd.program.write_config(authd.configuration(staticPasswords=[people[0] | {"groups": ["new"]}]))
        authd.program.reload()
        again = authd.refresh(tokens["refresh_token"]).json()
        assert authd.verified(again["id_token"], CLI)["groups"] == ["new"]
        assert authd.userinfo(again["access_token"]).json()["groups"] == ["new"]
        authd.program.write_config(authd.configuration(staticPasswords=[people[0] | {"userID": "somebody-else"}]))
        authd.program.reload()
        refused(authd.refresh(again["refresh_token"]), "invalid_grant")
        assert authd.userinfo(again["access_token"]).status_code == 401


# ---- userinfo ----


def test_userinfo_by_get_by_post_and_in_the_body(authd, browser):
    tokens = browser.tokens(scope="openid email profile groups")
    wanted = {"sub": authd.verified(tokens["id_token"], CLI)["sub"], "email": EMAIL, "email_verified": True, "groups": ["developers", "ops"], "name": "jane",
              "preferred_username": "jane"}
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    url = f"{authd.issuer}/userinfo"
    answers = [
        requests.get(url, headers=bearer, timeout=20),
        requests.get(url, headers={"Authorization": f"bearer {tokens['access_token']}"}, timeout=20),
        requests.post(url, headers=bearer, timeout=20),
        requests.post(url, data={"access_token": tokens["access_token"]}, timeout=20),
    ]
    for answer in answers:
        assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
        assert answer.json() == wanted
        assert answer.headers["Cache-Control"] == "no-store"


def test_userinfo_gives_what_the_scope_allows(authd, browser):
    assert set(authd.userinfo(browser.tokens(scope="openid")["access_token"]).json()) == {"sub"}


def test_userinfo_without_a_token_says_only_that_one_is_needed(authd):
    answer = authd.get("/oidc/userinfo")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer") and "error" not in answer.headers["WWW-Authenticate"]


def test_userinfo_refuses_every_other_token(authd, browser):
    tokens = browser.tokens(scope="openid offline_access")
    access = tokens["access_token"]
    head, payload, signature = access.split(".")
    bad = [tokens["id_token"], tokens["refresh_token"], "x", "..", access + "x", f"{head}.{payload}.", access[:-4], f"{head}.{payload}.{signature}.",
           jwt.encode(jwt.decode(access, options={"verify_signature": False}), None, "none", headers={"typ": "at+jwt"}), "a" * 9000]
    for token in bad:
        answer = authd.userinfo(token)
        assert answer.status_code == 401, token
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_token_sent_in_two_ways_is_refused(authd, browser):
    access = browser.tokens()["access_token"]
    answer = requests.post(f"{authd.issuer}/userinfo", data={"access_token": access}, headers={"Authorization": f"Bearer {access}"}, timeout=20)
    assert answer.status_code == 400 and 'error="invalid_request"' in answer.headers["WWW-Authenticate"]


# ---- through a restart ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_codes_refresh_tokens_sessions_and_keys_survive_a_restart(tmp_path, number):
    with Authd(tmp_path) as authd:
        browser = authd.browser()
        tokens = browser.tokens(scope="openid email offline_access")
        code, verifier = browser.code()
        keys = authd.get("/oidc/keys").json()
        _, session = authd.session_token(browser)
        authd.program.stop(number)
        authd.program.start()
        assert authd.get("/oidc/keys").json() == keys
        assert authd.session_token(browser) == (200, session)
        assert authd.userinfo(tokens["access_token"]).json()["email"] == EMAIL
        assert authd.refresh(tokens["refresh_token"]).status_code == 200
        assert authd.redeem(code, verifier).status_code == 200
        refused(authd.redeem(code, verifier), "invalid_grant")
