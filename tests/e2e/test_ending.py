"""A session that has ended stops at every worker within a second, for its cookie and for every token that carries its sid; whatever was restarted meanwhile."""
import concurrent.futures
import os
import signal
import time

import pytest
import requests

from authd_client import fields
from gatehouse import CA, Upstream
from harness import Gateway
from waiting import json_lines

ANN, BOB = "ann@example.com", "bob@example.com"
WORKERS = 3


@pytest.fixture
def gateway(tmp_path):
    ca = CA(tmp_path / "ca")
    with Upstream(ca) as upstream:
        clusters = [{"name": "default", "kubeconfig": str(upstream.kubeconfig())}]
        with Gateway(tmp_path / "g", {ANN: "correct horse", BOB: "battery staple"}, clusters=clusters,
                     proxyd_more={"workers": WORKERS, "log": {"format": "json"}}) as gateway:
            wait_log(gateway, "following news of ended sessions")
            yield gateway


def log(gateway):
    return json_lines(gateway.proxyd.log_file.read_text())


def wait_log(gateway, msg, n=1):
    gateway.proxyd.wait_lines(lambda line: line["msg"] == msg, msg, n)


def ask(gateway, token=None, cookie=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {"Cookie": cookie}
    return requests.get(gateway.url + "/api", headers=headers, verify=str(gateway.ca), timeout=20).status_code


def statuses(gateway, n=8 * WORKERS, **credential):
    """Of requests on connections of their own, at the same time: the kernel spreads them over all workers that wait."""
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return set(pool.map(lambda _: ask(gateway, **credential), range(n)))


def cookie_of(person):
    return "; ".join(f"{c.name}={c.value}" for c in person.browser.cookies)


def sign_out(person):
    page = person.browser.get(person.gateway.url + "/console/", timeout=20)
    answer = person.browser.post(person.gateway.url + "/console/signout", data=fields(page.text), headers={"Origin": person.gateway.url}, timeout=20)
    assert "You are signed out" in answer.text


def stops_within_a_second(gateway, **credential):
    """Not one request a second from now gets through, at any worker."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline and statuses(gateway, **credential) != {401}:
        pass
    assert statuses(gateway, **credential) == {401}
    assert statuses(gateway, **credential) == {401}


def two_people(gateway):
    ann, bob = gateway.people[ANN], gateway.people[BOB]
    tokens = {p: p.sign_in()["id_token"] for p in (ann, bob)}
    for p in (ann, bob):
        assert statuses(gateway, token=tokens[p]) == {200}
        assert statuses(gateway, cookie=cookie_of(p)) == {200}
    return ann, tokens[ann], bob, tokens[bob]


def test_signing_out_stops_cookie_and_tokens_and_nobody_elses(gateway):
    ann, anns, bob, bobs = two_people(gateway)
    old_cookie = cookie_of(ann)
    second = ann.sign_in()["id_token"]  # same session, another token
    assert statuses(gateway, token=second) == {200}
    sign_out(ann)
    stops_within_a_second(gateway, token=anns)
    stops_within_a_second(gateway, token=second)
    stops_within_a_second(gateway, cookie=old_cookie)
    assert statuses(gateway, token=bobs) == {200} == statuses(gateway, cookie=cookie_of(bob))
    assert statuses(gateway, token=ann.sign_in()["id_token"]) == {200}, "a new session of the same person"
    assert statuses(gateway, token=anns) == {401}


def test_the_news_go_on_after_authd_was_restarted(gateway):
    ann, anns, bob, bobs = two_people(gateway)
    gateway.authd.stop()
    wait_log(gateway, "news of ended sessions cannot be read")
    assert statuses(gateway, token=anns) == {200}, "what was issued goes on without authd"
    gateway.authd.start()
    wait_log(gateway, "following news of ended sessions", 2)
    sign_out(ann)
    stops_within_a_second(gateway, token=anns)
    assert statuses(gateway, token=bobs) == {200}


def test_authd_killed_right_after_a_sign_out_has_not_forgotten_it(gateway):
    ann, anns, bob, bobs = two_people(gateway)
    sign_out(ann)
    gateway.authd.process.kill()
    gateway.authd.process.wait()
    gateway.authd.start()
    stops_within_a_second(gateway, token=anns)
    assert statuses(gateway, token=bobs) == {200}


def keeper(gateway):
    return [line["child_pid"] for line in log(gateway) if line["msg"] == "child started" and line["child"] == "keeper"][-1]


def test_a_new_keeper_knows_what_the_last_one_knew_even_without_authd(gateway):
    ann, anns, bob, bobs = two_people(gateway)
    sign_out(ann)
    stops_within_a_second(gateway, token=anns)
    gateway.authd.stop()
    wait_log(gateway, "news of ended sessions cannot be read")
    before = keeper(gateway)
    os.kill(before, signal.SIGKILL)
    wait_log(gateway, "news of ended sessions cannot be read", 2)
    assert keeper(gateway) != before
    assert statuses(gateway, token=anns) == {401}
    assert statuses(gateway, token=bobs) == {200}
    gateway.authd.start()
    wait_log(gateway, "following news of ended sessions", 2)
    sign_out(bob)
    stops_within_a_second(gateway, token=bobs)
    assert statuses(gateway, token=anns) == {401}


def test_a_reload_and_a_restart_of_proxyd_forget_nothing(gateway):
    ann, anns, bob, bobs = two_people(gateway)
    sign_out(ann)
    stops_within_a_second(gateway, token=anns)
    gateway.proxyd.reload()
    assert statuses(gateway, token=anns) == {401} and statuses(gateway, token=bobs) == {200}
    gateway.proxyd.stop()
    gateway.proxyd.start()  # it is ready only when it has heard who has ended
    assert statuses(gateway, token=anns) == {401} and statuses(gateway, token=bobs) == {200}
    sign_out(bob)
    stops_within_a_second(gateway, token=bobs)
