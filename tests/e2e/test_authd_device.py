"""authd: devices without a browser (RFC 8628): the client's two requests, the person's pages, and everything that can be wrong with either."""
import re
import threading

import pytest
import requests

from authd_client import CLI, EMAIL, WEB, WEB_SECRET, Authd, Basic, fields, pkce
from clock import Clock, held_back

TV, BOX, BOX_SECRET = "tv", "box", "box-secret"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def clients():
    return [
        {"id": TV, "name": "Television <1>", "public": True, "redirectURIs": ["/device/callback"]},
        {"id": BOX, "name": "Box", "secret": BOX_SECRET, "redirectURIs": ["/device/callback", "https://box.example/cb"]},
        {"id": "bare", "name": "Bare", "public": True},
        {"id": "only-code", "name": "Only code", "public": True, "redirectURIs": ["/device/callback"], "grantTypes": ["authorization_code"]},
        {"id": "listed", "name": "Listed", "public": True, "redirectURIs": ["http://127.0.0.1/cb"], "grantTypes": [GRANT, "refresh_token"]},
    ]


def started(folder, **more):
    authd = Authd(folder)
    config = authd.configuration(**more)
    config["staticClients"] += clients()
    authd.program.write_config(config)
    return authd


@pytest.fixture(scope="module")
def authd(tmp_path_factory):
    with started(tmp_path_factory.mktemp("authd")) as authd:
        yield authd


def start(authd, client=TV, auth=None, status=200, **more):
    form = ({"scope": "openid"} if auth else {"client_id": client}) | more
    answer = requests.post(f"{authd.issuer}/device/code", data=form, auth=auth and Basic(*auth), timeout=20)
    assert answer.status_code == status, answer.text
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Content-Type"] == "application/json"
    return answer.json()


def poll(authd, device, client=TV, **more):
    code = device["device_code"] if isinstance(device, dict) else device
    return authd.token({"grant_type": GRANT, "device_code": code, "client_id": client} | more)


def error(answer):
    assert answer.status_code in (400, 401), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json()["error"]


def type_code(browser, code):
    page = browser.get("/oidc/device")
    assert page.status_code == 200 and "Type the code" in page.text
    return browser.post("/oidc/device/auth/verify_code", fields(page.text) | {"user_code": code})


def decide(browser, page, word="approve"):
    assert page.status_code == 200 and 'name="approval"' in page.text, page.text
    return browser.post("/oidc/approval", fields(page.text) | {"approval": word})


def sign_in_for(authd, device, word="approve"):
    browser = authd.browser()
    page = browser.fill(type_code(browser, device["user_code"]))
    done = decide(browser, page, word)
    assert done.status_code == 200
    return browser, done


# ---- the whole way ----


def test_a_device_waits_until_somebody_signs_in_for_it(authd):
    device = start(authd, scope="openid email groups offline_access")
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", device["user_code"])
    assert device["verification_uri"] == authd.issuer + "/device" and device["verification_uri_complete"].endswith("/device?user_code=" + device["user_code"])
    assert (device["expires_in"], device["interval"]) == (300, 5) and len(device["device_code"]) >= 43
    assert error(poll(authd, device)) == "authorization_pending"

    browser = authd.browser()
    page = browser.get(device["verification_uri_complete"])
    assert f'value="{device["user_code"]}"' in page.text, "typed already, to be compared and confirmed"
    page = browser.fill(browser.post("/oidc/device/auth/verify_code", fields(page.text) | {"user_code": device["user_code"]}))
    assert "Television &lt;1&gt;" in page.text and device["user_code"] in page.text, "whose code it is, and that it is this one"
    assert "Go back to your device" in decide(browser, page).text

    tokens = poll(authd, device).json()
    claims = authd.verified(tokens["id_token"], TV)
    assert claims["email"] == EMAIL and claims["groups"] == ["developers", "ops"] and "nonce" not in claims
    assert authd.userinfo(tokens["access_token"]).json()["sub"] == claims["sub"]
    assert authd.refresh(tokens["refresh_token"], client=TV).status_code == 200


def test_a_device_code_is_good_once_and_used_again_it_ends_what_it_gave(authd):
    device = start(authd, scope="openid offline_access")
    sign_in_for(authd, device)
    tokens = poll(authd, device).json()
    assert error(poll(authd, device)) == "invalid_grant"
    assert authd.userinfo(tokens["access_token"]).status_code == 401
    assert error(authd.refresh(tokens["refresh_token"], client=TV)) == "invalid_grant"


def test_of_many_polls_at_once_exactly_one_gets_tokens(authd):
    device = start(authd)
    sign_in_for(authd, device)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(poll(authd, device))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status_code for a in answers) == [200] + [400] * 19


def test_who_refuses_is_heard_by_the_device(authd):
    device = start(authd)
    browser, done = sign_in_for(authd, device, "deny")
    assert "Refused" in done.text
    assert error(poll(authd, device)) == "access_denied"
    assert "There is no device with this code" in type_code(browser, device["user_code"]).text


def test_a_session_needs_no_password_again_but_a_decision(authd):
    browser, _ = sign_in_for(authd, start(authd))
    device = start(authd)
    page = type_code(browser, device["user_code"])
    assert 'type="password"' not in page.text and 'name="approval"' in page.text, "asked, although skipApprovalScreen is on"
    decide(browser, page)
    assert poll(authd, device).status_code == 200


def test_no_scope_asked_for_is_openid(authd):
    device = start(authd)
    sign_in_for(authd, device)
    tokens = poll(authd, device).json()
    assert tokens["scope"] == "openid" and "refresh_token" not in tokens


def test_a_confidential_client_authenticates_both_times(authd):
    assert start(authd, client=BOX, status=401)["error"] == "invalid_client"
    device = start(authd, auth=(BOX, BOX_SECRET))
    sign_in_for(authd, device)
    assert error(poll(authd, device, client=BOX)) == "invalid_client"
    assert authd.token({"grant_type": GRANT, "device_code": device["device_code"]}, auth=(BOX, BOX_SECRET)).status_code == 200


def test_signing_out_ends_what_the_device_got(authd):
    device = start(authd, scope="openid offline_access")
    browser, _ = sign_in_for(authd, device)
    tokens = poll(authd, device).json()
    page = browser.get("/console/")
    browser.post("/console/signout", fields(page.text))
    assert authd.userinfo(tokens["access_token"]).status_code == 401
    assert error(authd.refresh(tokens["refresh_token"], client=TV)) == "invalid_grant"


def test_a_challenge_wants_its_verifier(authd):
    verifier, challenge = pkce()
    device = start(authd, code_challenge=challenge, code_challenge_method="S256")
    sign_in_for(authd, device)
    assert error(poll(authd, device)) == "invalid_grant"
    assert error(poll(authd, device, code_verifier=pkce()[0])) == "invalid_grant"
    assert poll(authd, device, code_verifier=verifier).status_code == 200
    assert start(authd, status=400, code_challenge="short", code_challenge_method="S256")["error"] == "invalid_request"


# ---- polling ----


def test_who_asks_too_early_has_to_slow_down(authd):
    device = start(authd)
    assert error(poll(authd, device)) == "authorization_pending"
    assert error(poll(authd, device)) == "slow_down"
    sign_in_for(authd, device)
    assert poll(authd, device).status_code == 200, "once the person has decided there is nothing to wait for"


def test_device_codes_that_were_never_given_and_other_clients_ones(authd):
    assert error(poll(authd, "never-given")) == "invalid_grant"
    device = start(authd)
    assert error(poll(authd, device, client="bare")) == "invalid_grant"
    sign_in_for(authd, device)
    assert error(poll(authd, device, client="bare")) == "invalid_grant"
    assert poll(authd, device).status_code == 200, "the other client's question changed nothing"


def test_the_two_kinds_of_code_are_not_exchanged_for_each_other(authd):
    device = start(authd)
    sign_in_for(authd, device)
    answer = authd.token({"grant_type": "authorization_code", "code": device["device_code"], "redirect_uri": "/device/callback", "client_id": TV})
    assert error(answer) == "invalid_grant"
    assert poll(authd, device).status_code == 200
    code, verifier = authd.browser().code()
    assert error(authd.token({"grant_type": GRANT, "device_code": code, "client_id": CLI, "code_verifier": verifier})) in ("invalid_grant", "unauthorized_client")
    assert authd.redeem(code, verifier).status_code == 200


# ---- who may ----


@pytest.mark.parametrize("client,auth,wanted", [("bare", None, 200), ("listed", None, 200), ("only-code", None, 400), (CLI, None, 400), (None, (WEB, WEB_SECRET), 400)])
def test_which_clients_may_use_it(authd, client, auth, wanted):
    answer = start(authd, client=client, auth=auth, status=wanted)
    assert wanted == 200 or answer["error"] == "unauthorized_client"


def test_the_mark_of_the_device_flow_is_no_place_to_be_sent_to(authd):
    answer = authd.browser().authorize(TV, "/device/callback")
    assert answer.status_code == 400 and "not registered" in answer.text


@pytest.mark.parametrize("form,wanted", [
    ({"scope": "openid nonsense"}, "invalid_scope"), ({"scope": "email"}, "invalid_scope"), ({"scope": "openid audience:server:client_id:web"}, "invalid_scope"),
])
def test_scopes_are_checked_at_once(authd, form, wanted):
    assert start(authd, status=400, **form)["error"] == wanted


def test_it_can_be_switched_off(tmp_path):
    with started(tmp_path, oauth2={"grantTypes": ["authorization_code", "refresh_token"]}) as authd:
        assert start(authd, status=400)["error"] == "unsupported_grant_type"
        assert error(poll(authd, "x")) == "unsupported_grant_type"
        found = authd.get("/oidc/.well-known/openid-configuration").json()
        assert "device_authorization_endpoint" not in found and GRANT not in found["grant_types_supported"]


def test_discovery_names_it(authd):
    found = authd.get("/oidc/.well-known/openid-configuration").json()
    assert found["device_authorization_endpoint"] == authd.issuer + "/device/code" and GRANT in found["grant_types_supported"]


# ---- the page ----


@pytest.mark.parametrize("typed", ["", "AAAA-AAAA", "BCDF", "BCDF-GHJK-L", "BCDF\x00GHJK", "é", "B" * 60000])
def test_what_can_be_no_code_is_said_to_be_none(authd, typed):
    answer = type_code(authd.browser(), typed)
    assert answer.status_code == 400, answer.text
    assert "text/html" in answer.headers["Content-Type"]


def test_small_letters_blanks_and_no_hyphen_do_not_matter(authd):
    device = start(authd)
    browser = authd.browser()
    page = type_code(browser, " " + device["user_code"].replace("-", " ").lower() + " ")
    assert 'type="password"' in page.text


def test_the_form_is_this_browser_s_own(authd):
    device = start(authd)
    answer = authd.browser().post("/oidc/device/auth/verify_code", {"user_code": device["user_code"]})
    assert answer.status_code == 400 and "no longer open" in answer.text
    browser = authd.browser()
    token = fields(browser.get("/oidc/device").text)["csrf"]
    answer = browser.post("/oidc/device/auth/verify_code", {"user_code": device["user_code"], "csrf": token}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 400
    answer = authd.browser().post("/oidc/device/auth/verify_code", {"user_code": device["user_code"], "csrf": token})
    assert answer.status_code == 400


def test_guessing_is_slowed_down_and_does_not_hold_up_other_addresses(tmp_path):
    clock, authd = Clock(tmp_path), started(tmp_path)
    authd.program.env |= clock.env
    with authd:
        browser = authd.browser()
        token = fields(browser.get("/oidc/device").text)

        def guess():
            browser.http.close()  # a clock that jumps ends connections that wait
            return browser.post("/oidc/device/auth/verify_code", token | {"user_code": "BCDF-GHJK"})

        assert [guess().status_code for _ in range(5)] == [400] * 5
        assert "Too many attempts" in held_back(clock, guess).text
        device = start(authd)
        held = browser.post("/oidc/device/auth/verify_code", token | {"user_code": device["user_code"]})
        assert held.status_code == 429, "the right one too"
        cookie = "; ".join(f"{c.name}={c.value}" for c in browser.http.cookies)
        status, _, body = authd.over_socket("POST", "/oidc/device/auth/verify_code", {"Cookie": cookie, "X-Forwarded-For": "203.0.113.7",
                                            "Content-Type": "application/x-www-form-urlencoded"}, f"csrf={token['csrf']}&user_code={device['user_code']}")
        assert status == 303, body


def test_a_decision_after_the_end_of_the_wait_leads_nowhere(authd):
    device = start(authd)
    browser = authd.browser()
    page = browser.fill(type_code(browser, device["user_code"]))
    sign_in_for(authd, device)  # somebody else was faster
    assert "no longer open" in browser.post("/oidc/approval", fields(page.text) | {"approval": "approve"}).text


def test_the_callback_of_dex_is_a_page(authd):
    assert "Go back to your device" in authd.get("/oidc/device/callback").text
    assert "Refused" in authd.get("/oidc/device/callback?error=access_denied").text
    assert authd.get("/oidc/device/callback?error=temporarily_unavailable").status_code == 503
    assert authd.get("/oidc/device/callback?error=%00").status_code == 400
