"""Operations while people work: reloads, crashes and restarts under load, with a real kube-apiserver behind."""
import os
import pathlib
import signal
import time

import harness
import pytest

from load import Load
from waiting import wait_end

ALICE = "alice@example.com"
PODS = "/api/v1/namespaces/demo/pods"
CLIENTS = 50


@pytest.fixture
def gateway(cluster, tmp_path):
    """A gateway of its own for each test: these break things."""
    clusters = [{"name": "default", "kubeconfig": cluster.env["GATEWAY_KUBECONFIG"]}]
    with harness.Gateway(tmp_path / "g", {ALICE: "correct horse"}, {ALICE: ["demo-admins"]}, clusters) as gateway:
        yield gateway


@pytest.fixture
def bearer(gateway):
    return {"Authorization": "Bearer " + gateway.people[ALICE].sign_in()["id_token"]}


def role(pid):
    """What a child of proxyd calls itself: "worker", "keeper"."""
    title = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return next((word for word in ("worker", "keeper") if word in title), title)


def children(gateway, wanted):
    found = []
    for pid in gateway.proxyd.children():
        try:
            if role(pid) == wanted:
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


def kill(gateway, wanted, pid):
    """Until another one has been started in its place."""
    mark = gateway.proxyd.mark()
    os.kill(pid, signal.SIGKILL)
    gateway.proxyd.wait_lines(lambda line: line["msg"] == "child started" and line["child"] == wanted, f"another {wanted}", after=mark)
    wait_end(pid)


def test_100_reloads_under_load_fail_no_request(gateway, bearer):
    with Load(gateway, PODS, bearer, CLIENTS) as load:
        for _ in range(100):
            gateway.proxyd.reload()
        load.wait_sent(CLIENTS)
    assert load.failed == [] and load.sent > 100 * CLIENTS // 10


def test_a_configuration_with_a_mistake_changes_nothing_under_load(gateway, bearer):
    good = gateway.proxyd.config
    workers = sorted(children(gateway, "worker"))
    with Load(gateway, PODS, bearer, 10) as load:
        gateway.proxyd.write_config(good | {"wrokers": 3})
        mark = gateway.proxyd.mark()
        gateway.proxyd.send_signal(signal.SIGHUP)
        gateway.proxyd.wait_log("wrokers", after=mark)
        load.wait_sent(100)
        assert sorted(children(gateway, "worker")) == workers
        gateway.proxyd.write_config(good)
        gateway.proxyd.reload()
        load.wait_sent(100)
    assert load.failed == []


def test_each_worker_killed_under_load_is_replaced_and_costs_only_its_own_requests(gateway, bearer):
    workers = children(gateway, "worker")
    assert len(workers) == 2
    with Load(gateway, PODS, bearer, CLIENTS) as load:
        for pid in workers:
            failed = load.count()[1]
            kill(gateway, "worker", pid)
            load.wait_sent(4 * CLIENTS)
            # one request at most per connection, and those of the other worker go on
            assert load.count()[1] - failed <= CLIENTS
        failed = load.count()[1]
        load.wait_sent(4 * CLIENTS)
        assert load.count()[1] == failed
    assert gateway.proxyd.process.poll() is None


def test_the_keeper_killed_under_load_is_replaced_and_costs_nothing(gateway, bearer):
    (keeper,) = children(gateway, "keeper")
    with Load(gateway, PODS, bearer, CLIENTS) as load:
        kill(gateway, "keeper", keeper)
        load.wait_sent(4 * CLIENTS)
    assert load.failed == []


def test_tokens_and_sessions_work_on_while_authd_is_dead_and_after_it_returns(gateway, bearer):
    person = gateway.people[ALICE]
    tokens = person.sign_in()
    assert person.walk(gateway.url + "/console/").status_code == 200
    assert person.browser.get(gateway.url + PODS, timeout=10).status_code == 200  # with the session's cookie
    keys = person.browser.get(gateway.issuer + "/keys", timeout=10).json()

    with Load(gateway, PODS, bearer, CLIENTS) as load:
        gateway.authd.stop(signal.SIGKILL)
        load.wait_sent(4 * CLIENTS)
        for _ in range(10):
            assert person.browser.get(gateway.url + PODS, timeout=10).status_code == 200
        assert person.browser.get(gateway.issuer + "/keys", timeout=10).status_code in (502, 503)
        gateway.authd.start()
        load.wait_sent(4 * CLIENTS)
    assert load.failed == []

    assert person.browser.get(gateway.issuer + "/keys", timeout=10).json() == keys
    assert person.browser.get(gateway.url + PODS, timeout=10).status_code == 200
    refreshed = person.browser.post(
        gateway.issuer + "/token",
        data={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": harness.CLIENT_ID},
        timeout=10,
    )
    assert refreshed.status_code == 200, refreshed.text
    again = {"Authorization": "Bearer " + refreshed.json()["id_token"]}
    assert gateway.browser().get(gateway.url + PODS, headers=again, timeout=10).status_code == 200


def test_quit_ends_a_running_watch_behind_an_event_and_before_the_deadline(cluster, tmp_path):
    clusters = [{"name": "default", "kubeconfig": cluster.env["GATEWAY_KUBECONFIG"]}]
    more = {"limits": {"drainTimeout": "2s"}}
    with harness.Gateway(tmp_path / "g", {ALICE: "correct horse"}, {ALICE: ["demo-admins"]}, clusters, proxyd_more=more) as gateway:
        http = gateway.browser()
        http.headers["Authorization"] = "Bearer " + gateway.people[ALICE].sign_in()["id_token"]
        with http.get(gateway.url + PODS + "?watch=1", stream=True, timeout=20) as watch:
            lines = watch.iter_lines(chunk_size=1)
            assert b"hello" in next(lines)
            asked = time.monotonic()
            gateway.proxyd.send_signal(signal.SIGQUIT)
            assert gateway.proxyd.process.wait(15) == 0
            assert time.monotonic() - asked < 10
            assert all(line.startswith(b"{") for line in lines)  # and its answer is complete, or this would be an error
