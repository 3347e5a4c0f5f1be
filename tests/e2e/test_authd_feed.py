"""authd's news of ended sessions, as proxyd's keeper reads them."""
import contextlib
import json
import select
import shutil
import time
import urllib.parse

import pytest

from authd_client import CLI, CLI_URI, Authd, fields

LIFETIME_S = 24 * 3600


@pytest.fixture
def authd(tmp_path):
    with Authd(tmp_path) as authd:
        yield authd


def news(authd, last=None):
    """The next answer after `last`."""
    return asking(authd, last)()


def asking(authd, last=None):
    """The question for it, which authd has read; called, it waits for the answer."""
    query = "?" + urllib.parse.urlencode({"epoch": last["epoch"], "after": last["sequence"]}) if last else ""
    connection = authd.asking(f"/internal/revocations{query}")

    def answer():
        with contextlib.closing(connection):
            answer = connection.getresponse()
            body = answer.read()
        assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store", (answer.status, body)
        return json.loads(body)

    answer.socket = connection.sock
    return answer


def signed_in(authd):
    """A browser and the sid of its session."""
    browser = authd.browser()
    browser.sign_in()
    claims = authd.verified(browser.tokens()["id_token"], CLI)
    return browser, claims["sid"]


def sign_out(browser):
    page = browser.get("/console/")
    answer = browser.post("/console/signout", fields(page.text))
    assert "You are signed out" in answer.text


def test_a_fresh_reader_gets_the_whole_live_set_at_once(authd):
    first = news(authd)
    assert first["revoked"] == [] and first["sequence"] == 0 and first["epoch"]
    sids = []
    for _ in range(3):
        browser, sid = signed_in(authd)
        sign_out(browser)
        sids.append(sid)
    answer = news(authd)
    assert [r["sid"] for r in answer["revoked"]] == sids and answer["epoch"] == first["epoch"]
    for r in answer["revoked"]:
        assert 0 < r["until"] - time.time() - LIFETIME_S < 120  # until the last token of the session has expired
    assert [r["sid"] for r in news(authd, answer | {"sequence": answer["sequence"] - 1})["revoked"]] == sids[2:]


def test_a_reader_that_knows_all_is_held_until_there_is_news(authd):
    (ended, sid), (living, _) = signed_in(authd), signed_in(authd)
    waiting = [asking(authd, news(authd)) for _ in range(3)]
    assert living.get("/console/").status_code == 200
    assert not select.select([w.socket for w in waiting], [], [], 0)[0]
    sign_out(ended)
    began = time.monotonic()
    assert [[r["sid"] for r in w()["revoked"]] for w in waiting] == [[sid]] * 3
    assert time.monotonic() - began < 1


def test_the_list_survives_a_restart_and_who_waited_is_answered(authd):
    last = news(authd)
    browser, sid = signed_in(authd)
    sign_out(browser)
    waiting = asking(authd, news(authd, last))
    authd.over_socket("GET", "/oidc/healthz")
    began = time.monotonic()
    authd.program.stop()
    assert time.monotonic() - began < 10, "the stop waited for who waits for news"
    assert waiting()["revoked"] == []
    authd.program.start()
    again = news(authd, last)
    assert [r["sid"] for r in again["revoked"]] == [sid] and again["epoch"] == last["epoch"]
    other, other_sid = signed_in(authd)
    sign_out(other)
    assert [r["sid"] for r in news(authd, again)["revoked"]] == [other_sid], "numbers go on after a restart"


def test_a_store_that_was_made_anew_is_noticed(authd):
    browser, _ = signed_in(authd)
    sign_out(browser)
    last = news(authd)
    authd.program.stop()
    shutil.rmtree(authd.folder / "store")
    authd.program.start()
    answer = news(authd, last)  # at once, though `after` is past all numbers
    assert answer["epoch"] != last["epoch"] and answer["revoked"] == [] and answer["sequence"] == 0


def test_a_number_that_is_none_counts_as_zero(authd):
    browser, sid = signed_in(authd)
    sign_out(browser)
    for bad in ("x", "-1", "99999999999999999999", "1e3", ""):
        status, _, body = authd.over_socket("GET", f"/internal/revocations?epoch={news(authd)['epoch']}&after={bad}")
        assert status == 200 and [r["sid"] for r in json.loads(body)["revoked"]] == [sid]
    assert authd.over_socket("GET", "/internal/revocations?epoch=%00")[0] == 400


def test_wait_0_is_answered_at_once(authd):
    last = news(authd)
    began = time.monotonic()
    status, _, body = authd.over_socket("GET", f"/internal/revocations?epoch={last['epoch']}&after={last['sequence']}&wait=0")
    assert status == 200 and json.loads(body) == last and time.monotonic() - began < 5


def test_only_the_socket_has_the_news(authd):
    assert authd.get("/internal/revocations").status_code == 404
    assert authd.get("/oidc/internal/revocations").status_code == 404


def test_what_a_session_was_granted_ends_with_it(authd):
    browser, sid = signed_in(authd)
    with_refresh, without = browser.tokens(scope="openid offline_access"), browser.tokens()
    code, verifier = browser.code()
    other, _ = signed_in(authd)
    others = other.tokens(scope="openid offline_access")
    sign_out(browser)
    assert authd.userinfo(with_refresh["access_token"]).status_code == 401
    assert authd.userinfo(without["access_token"]).status_code == 401
    assert authd.refresh(with_refresh["refresh_token"]).json()["error"] == "invalid_grant"
    assert authd.redeem(code, verifier, CLI_URI).json()["error"] == "invalid_grant", "a code of a session that has ended"
    assert authd.userinfo(others["access_token"]).status_code == 200
    assert authd.refresh(others["refresh_token"]).status_code == 200
