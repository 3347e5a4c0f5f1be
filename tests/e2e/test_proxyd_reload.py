"""HUP: another generation serves, or the old one goes on and nothing has happened; nobody who is connected notices."""
import http.client
import os
import signal
import socket
import threading

import pytest

from gatehouse import Issuer, Proxyd, connect, proxyd_config, request
from harness import free_port
from held import Running, get
from proc import alive


def test_a_bad_configuration_changes_nothing_and_is_reported_with_its_line(tmp_path, ca, issuer, held):
    config = proxyd_config(ca, [issuer], routes=[held.route])
    with Proxyd(tmp_path, config) as proxyd:
        before = proxyd.pids("worker") + proxyd.pids("keeper")
        reason = proxyd.reload_fails(config | {"workers": "many"})
        line = next(n for n, text in enumerate(proxyd.file.read_text().splitlines(), 1) if text.startswith("workers"))
        assert reason.startswith(f"{proxyd.file}:{line}: workers: expected")
        assert proxyd.current()["generation"] == 1
        assert all(map(alive, before))
        assert get(proxyd, "/held/x", ca)[0] == 200
        # And a good one is taken afterwards.
        assert proxyd.reload(config)["generation"] == 2


def test_a_new_certificate_is_served_and_the_old_processes_leave(tmp_path, ca, issuer, held):
    config = proxyd_config(ca, [issuer], routes=[held.route])

    def serial(proxyd):
        with connect(proxyd.address, ca) as tls:
            return tls.getpeercert()["serialNumber"]

    with Proxyd(tmp_path, config) as proxyd:
        first, address, old = serial(proxyd), proxyd.address, proxyd.pids("worker") + proxyd.pids("keeper")
        ca.issue("gateway")
        assert proxyd.reload()["generation"] == 2
        assert proxyd.address == address
        proxyd.wait_log("generation gone", generation=1)
        assert not any(map(alive, old))
        assert serial(proxyd) != first
        assert get(proxyd, "/held/x", ca)[0] == 200


def test_the_keys_go_along_to_the_next_generation(tmp_path, ca, issuer):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer])) as proxyd:
        issuer.down()
        proxyd.reload()
        proxyd.wait_log("generation gone", generation=1)
        assert proxyd.admin("/readyz")[0] == 200


def test_an_issuer_that_is_no_longer_configured_is_forgotten(tmp_path, ca, issuer):
    with Issuer(ca) as second:
        with Proxyd(tmp_path, proxyd_config(ca, [issuer, second])) as proxyd:
            assert second.url in proxyd.admin("/readyz")[2]
            proxyd.reload(proxyd_config(ca, [issuer]))
            proxyd.wait_log("generation gone", generation=1)
            assert proxyd.admin("/readyz")[::2] == (200, f"[+] issuer {issuer.url}: 1 keys\nready\n")


def test_addresses_come_and_go_and_those_that_stay_keep_their_socket(tmp_path, ca, held):
    config = proxyd_config(ca, routes=[held.route])
    kept = config["listen"][0]
    other = kept | {"address": f"127.0.0.1:{free_port()}"}
    with Proxyd(tmp_path, config) as proxyd:
        first = proxyd.address
        proxyd.reload(config | {"listen": [other, kept]})
        assert proxyd.addresses == [other["address"], first]
        for address in proxyd.addresses:
            assert request(address, "GET", "/held/x", ca)[0] == 200
        proxyd.reload(config)
        proxyd.wait_log("generation gone", generation=2)
        assert proxyd.addresses == [first]
        with pytest.raises(ConnectionRefusedError):
            connect(other["address"], ca)
        assert get(proxyd, "/held/x", ca)[0] == 200


def test_a_busy_new_address_fails_the_reload(tmp_path, ca, held):
    config = proxyd_config(ca, routes=[held.route])
    with socket.create_server(("127.0.0.1", 0)) as taken, Proxyd(tmp_path, config) as proxyd:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        reason = proxyd.reload_fails(config | {"listen": config["listen"] + [config["listen"][0] | {"address": address}]})
        assert reason.endswith(f"listen[1].address: cannot listen on {address}: Address already in use")
        assert get(proxyd, "/held/x", ca)[0] == 200


def test_no_connection_is_lost_through_many_reloads(tmp_path, ca, held):
    config = proxyd_config(ca, routes=[held.route])
    failures, done, stop = [], [], threading.Event()

    def client():
        while not stop.is_set():
            try:
                status, _, body = request(address, "GET", "/held/x", ca)
                assert (status, body) == (200, b"/held/x")
                done.append(1)
            except Exception as e:
                failures.append(e)

    with Proxyd(tmp_path, config) as proxyd:
        address = proxyd.address
        clients = [threading.Thread(target=client, daemon=True) for _ in range(4)]
        for c in clients:
            c.start()
        for n in range(2, 22):
            assert proxyd.reload()["generation"] == n
        stop.set()
        for c in clients:
            c.join(30)
        proxyd.wait_log("generation gone", generation=20)
    assert failures == []
    assert len(done) > 20


def test_hups_in_a_row_end_with_the_last_configuration(tmp_path, ca):
    config = proxyd_config(ca, workers=1)
    with Proxyd(tmp_path, config) as proxyd:
        for workers in (2, 3, 4, 3):
            proxyd.write(config | {"workers": workers})
            proxyd.send(signal.SIGHUP)
        proxyd.wait_log("reload: done", workers=3)
        status = proxyd.admin("/metrics")[0]
        assert status == 200
        assert proxyd.current()["workers"] == 3
        assert proxyd.current()["generation"] <= 5


def test_a_candidate_that_dies_is_given_up_and_the_old_generation_serves(tmp_path, ca, issuer, held):
    config = proxyd_config(ca, [issuer], routes=[held.route])
    with Issuer(ca) as slow, Proxyd(tmp_path, config) as proxyd:
        slow.hold = threading.Event()  # its keeper waits for an answer that does not come
        before = proxyd.pids("worker")
        proxyd.write(proxyd_config(ca, [issuer, slow], routes=[held.route]))
        proxyd.send(signal.SIGHUP)
        started = proxyd.wait_log("child started", child="keeper", generation=2)
        slow.wait_requests(1)
        os.kill(started["child_pid"], signal.SIGKILL)
        failed = proxyd.wait_log("reload: failed, the configuration in use stays")
        assert failed["reason"] == "keeper was ended by signal 9 (SIGKILL)"
        proxyd.wait_log("generation gone", generation=2)
        assert all(map(alive, before))
        assert get(proxyd, "/held/x", ca)[0] == 200
        proxyd.write(config)
        assert proxyd.reload()["generation"] == 3


def test_a_new_issuer_that_does_not_answer_delays_a_reload_by_seconds_only(tmp_path, ca, issuer):
    with Issuer(ca) as slow, Proxyd(tmp_path, proxyd_config(ca, [issuer])) as proxyd:
        slow.hold = threading.Event()
        assert proxyd.reload(proxyd_config(ca, [issuer, slow]))["generation"] == 2
        assert proxyd.find_log("issuer has no keys yet: its tokens are refused", issuer=slow.url)
        proxyd.wait_log("generation gone", generation=1)
        assert proxyd.admin("/readyz")[0] == 503


def test_a_request_that_runs_is_finished_by_the_old_worker(tmp_path, ca, held):
    with Proxyd(tmp_path, proxyd_config(ca, routes=[held.route])) as proxyd:
        running = Running(proxyd.address, "/held/wait", ca)
        held.upstream.wait_requests(1)
        proxyd.reload()
        assert get(proxyd, "/held/x", ca)[0] == 200
        held.released.set()
        assert running.result()[::2] == (200, b"/held/wait")
        proxyd.wait_log("generation gone", generation=1)


def test_the_drain_has_an_end(tmp_path, ca, held):
    config = proxyd_config(ca, routes=[held.route], limits={"drainTimeout": "100ms"})
    with Proxyd(tmp_path, config) as proxyd:
        running = Running(proxyd.address, "/held/wait", ca)
        held.upstream.wait_requests(1)
        proxyd.reload()
        proxyd.wait_log("generation gone", generation=1)
        with pytest.raises((OSError, http.client.HTTPException)):
            running.result()


def test_an_old_worker_that_hangs_is_killed_after_the_drain(tmp_path, ca):
    with Proxyd(tmp_path, proxyd_config(ca, limits={"drainTimeout": "0s"})) as proxyd:
        hung = proxyd.pids("worker")[0]
        os.kill(hung, signal.SIGSTOP)
        proxyd.reload()
        proxyd.wait_log("children did not end in time and are killed", generation=1)
        proxyd.wait_log("generation gone", generation=1)
        assert not alive(hung)


def test_the_admin_address_answers_through_reloads(tmp_path, ca):
    stop, failures, answers = threading.Event(), [], []
    with Proxyd(tmp_path, proxyd_config(ca)) as proxyd:
        admin = proxyd.current()["admin"]

        def scrape():
            while not stop.is_set():
                try:
                    connection = http.client.HTTPConnection(admin, timeout=20)
                    connection.request("GET", "/metrics")
                    answers.append(connection.getresponse().status)
                    connection.close()
                except Exception as e:
                    failures.append(e)

        scraper = threading.Thread(target=scrape, daemon=True)
        scraper.start()
        for _ in range(10):
            proxyd.reload()
        proxyd.wait_log("generation gone", count=10)
        stop.set()
        scraper.join(30)
    assert failures == []
    assert answers and set(answers) == {200}
