"""Several servers of one cluster: who is asked, what happens when one is taken away and brought back, what is sent twice and what never."""
import collections
import contextlib
import http.client
import json
import threading
import time

import pytest

from faulty import Faulty, reset
from gatehouse import CA, Proxyd, connect, proxyd_config, request
from waiting import until

PASSED_OVER, AGAIN = "upstream server is passed over", "upstream server serves again"


@pytest.fixture
def servers(ca):
    with Faulty(ca) as a, Faulty(ca) as b, Faulty(ca) as c:
        yield [a, b, c]


def config(ca, issuer, servers, **more):
    base = proxyd_config(ca, [issuer], servers[0], workers=1, **more)
    base["clusters"][0]["servers"] = [s.server for s in servers]
    return base


class Client:
    """One connection with many requests."""

    def __init__(self, proxyd, ca, issuer):
        self.connection = http.client.HTTPConnection("localhost", timeout=30)
        self.connection.sock = connect(proxyd.address, ca)
        self.headers = {"Authorization": f"Bearer {issuer.mint()}", "Host": "localhost"}

    def send(self, method="GET", path="/version", body=None):
        self.connection.request(method, path, body=body, headers=self.headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.connection.close()


def shares(servers):
    return [len(s.requests) for s in servers]


def test_requests_are_shared_out_and_all_speak_to_the_same_name(tmp_path, ca, issuer, servers):
    with Proxyd(tmp_path, config(ca, issuer, servers)) as proxyd, Client(proxyd, ca, issuer) as client:
        for _ in range(30):
            assert client.send()[0] == 200
        assert shares(servers) == [10, 10, 10]
        assert [s.connections for s in servers] == [1, 1, 1], "each connection is kept"
        hosts = {r.values("Host")[0] for s in servers for r in s.requests}
        assert hosts == {servers[0].server}, "that of the kubeconfig's server"


def test_a_server_that_is_busy_gets_fewer(tmp_path, ca, issuer, servers):
    held = threading.Event()
    servers[0].on_request = lambda r, tls: held.wait(30) and False
    with Proxyd(tmp_path, config(ca, issuer, servers)) as proxyd, contextlib.ExitStack() as stack:
        watches = []
        for i in range(3):  # until one of them hangs at the first server
            watch = stack.enter_context(Client(proxyd, ca, issuer))
            watch.connection.request("GET", "/api/v1/pods?watch=1", headers=watch.headers)
            watches.append(watch)
        servers[0].wait_requests(1)
        proxyd.wait_log("request", count=2)  # the others have theirs behind them
        client = stack.enter_context(Client(proxyd, ca, issuer))
        before = shares(servers)
        for _ in range(10):
            assert client.send()[0] == 200
        assert shares(servers)[0] == before[0] == 1
        held.set()


def test_a_server_that_is_killed_costs_no_request_and_gets_them_again_when_it_is_back(tmp_path, ca, issuer, servers):
    with Proxyd(tmp_path, config(ca, issuer, servers)) as proxyd, Client(proxyd, ca, issuer) as client:
        for _ in range(6):
            assert client.send()[0] == 200
        servers[1].down()
        for i in range(30):
            assert client.send("POST" if i % 2 else "GET", body=b"{}" if i % 2 else None)[0] == 200
        said = proxyd.wait_log(PASSED_OVER, server=servers[1].server, upstream="default")
        assert "refused" in said["reason"].lower() and said["ms"] == 1000
        assert len(servers[1].requests) == 2
        servers[1].up()
        deadline = time.monotonic() + 30
        while len(servers[1].requests) < 4:
            assert client.send()[0] == 200 and time.monotonic() < deadline
        proxyd.wait_log(AGAIN, server=servers[1].server)
        assert len(proxyd.find_log(PASSED_OVER)) == 1, "said once, however often it was tried"


def test_where_all_are_down_the_answer_says_so_and_the_first_that_is_back_serves(tmp_path, ca, issuer, servers):
    with Proxyd(tmp_path, config(ca, issuer, servers)) as proxyd:
        token = issuer.mint()
        for s in servers:
            s.down()
        status, _, body = request(proxyd.address, "GET", "/version", ca, token=token)
        assert status == 502 and "refused" in json.loads(body)["message"].lower()
        proxyd.wait_log(PASSED_OVER, count=3)  # each has been tried
        servers[2].up()
        assert request(proxyd.address, "GET", "/version", ca, token=token)[0] == 200, "all are paused, and still one request finds it"


def test_a_read_that_is_cut_before_its_answer_is_sent_once_more_elsewhere(tmp_path, ca, issuer, servers):
    servers[0].on_request = lambda r, tls: reset(tls)
    with Proxyd(tmp_path, config(ca, issuer, servers)) as proxyd, Client(proxyd, ca, issuer) as client:
        for _ in range(9):
            assert client.send()[0] == 200
        assert len(servers[0].requests) == 1
        proxyd.wait_log(PASSED_OVER, server=servers[0].server)


def test_a_read_that_is_cut_everywhere_is_sent_twice_and_no_more(tmp_path, ca, issuer, servers):
    for s in servers:
        s.on_request = lambda r, tls: reset(tls)
    with Proxyd(tmp_path, config(ca, issuer, servers)) as proxyd:
        assert request(proxyd.address, "GET", "/version", ca, token=issuer.mint())[0] == 502
        assert sum(shares(servers)) == 2


@pytest.mark.parametrize("method, body", [("POST", b"{}"), ("DELETE", None), ("PATCH", b"{}"), ("PUT", b"{}"), ("GET", b"{}")])
def test_what_may_have_been_done_is_never_sent_again(tmp_path, ca, issuer, servers, method, body):
    for s in servers:
        s.on_request = lambda r, tls: reset(tls)
    with Proxyd(tmp_path, config(ca, issuer, servers)) as proxyd:
        for n in range(1, 4):
            status, _, text = request(proxyd.address, method, "/api/v1/pods", ca, token=issuer.mint(), body=body)
            assert status == 502 and json.loads(text)["kind"] == "Status"
            assert sum(shares(servers)) == n


def test_a_kept_connection_that_dies_under_a_write_is_not_written_twice(tmp_path, ca, issuer, servers):
    with Proxyd(tmp_path, config(ca, issuer, servers)) as proxyd, Client(proxyd, ca, issuer) as client:
        for _ in range(3):
            assert client.send()[0] == 200
        for s in servers:
            s.on_request = lambda r, tls: reset(tls)
        before = sum(shares(servers))
        assert client.send("POST", "/api/v1/pods", b"{}")[0] == 502
        assert sum(shares(servers)) == before + 1


def test_a_server_with_the_wrong_certificate_is_passed_over(tmp_path, ca, issuer, servers):
    stranger = CA(tmp_path / "stranger", "stranger")
    servers[0].use(*stranger.issue("upstream"))
    with Proxyd(tmp_path, config(ca, issuer, servers)) as proxyd, Client(proxyd, ca, issuer) as client:
        for _ in range(9):
            assert client.send("POST", body=b"{}")[0] == 200
        assert "certificate" in proxyd.wait_log(PASSED_OVER, server=servers[0].server)["reason"]
        assert shares(servers)[0] == 0


def test_a_server_that_does_not_shake_hands_delays_one_request_only(tmp_path, ca, issuer, servers):
    servers[0].on_accept = lambda plain: plain.recv(1 << 16) and threading.Event().wait(60)
    limits = {"limits": {"upstreamConnectTimeout": "300ms"}}
    with Proxyd(tmp_path, config(ca, issuer, servers, **limits)) as proxyd, Client(proxyd, ca, issuer) as client:
        for _ in range(9):
            assert client.send("POST", body=b"{}")[0] == 200
        assert "timed out" in proxyd.wait_log(PASSED_OVER, server=servers[0].server)["reason"]
        slow = [line["ms"] for line in proxyd.find_log("request") if line["ms"] >= 300]
        assert len(slow) == 1


def test_under_load_servers_come_and_go_and_no_read_is_lost(tmp_path, ca, issuer, servers):
    with Proxyd(tmp_path, config(ca, issuer, servers)) as proxyd, contextlib.ExitStack() as stack:
        over, outcome, failures = threading.Event(), collections.Counter(), []

        def visit():
            with Client(proxyd, ca, issuer) as client:
                while not over.is_set():
                    try:
                        status, body = client.send()
                        outcome[status] += 1
                        if status != 200:
                            failures.append(body)
                    except Exception as e:  # what a person would see as a lost request
                        failures.append(e)
                        return

        threads = [threading.Thread(target=visit) for _ in range(4)]
        for t in threads:
            t.start()
        stack.callback(over.set)
        for s in servers + servers[:1]:
            target = sum(shares(servers)) + 40
            s.down()
            until(f"{target} requests", lambda: sum(shares(servers)), lambda n: n >= target)
            s.up()
            seen = len(s.requests)
            s.wait_requests(seen + 1)
        over.set()
        for t in threads:
            t.join()
        assert not failures and outcome[200] > 100, (failures[:3], outcome)


def test_a_rotated_token_reaches_every_server_without_a_signal(tmp_path, ca, issuer, servers):
    token = tmp_path / "token"
    token.write_text("first-token")
    base = config(ca, issuer, servers)
    kubeconfig = servers[0].kubeconfig()
    text = kubeconfig.read_text().replace("users:\n- name: u\n  user:\n", f"users:\n- name: u\n  user:\n    tokenFile: {token}\n")
    assert "tokenFile" in text
    kubeconfig.write_text(text)
    with Proxyd(tmp_path, base) as proxyd, Client(proxyd, ca, issuer) as client:
        for _ in range(3):
            client.send()
        new = tmp_path / "token.new"
        new.write_text("second-token")
        new.rename(token)
        deadline = time.monotonic() + 30
        while client.send()[0] == 200 and max(len(s.requests) for s in servers) < 100000:
            latest = [s.requests[-1].values("Authorization") for s in servers]
            if latest == [["Bearer second-token"]] * 3:
                break
            assert time.monotonic() < deadline
        used = [[r.values("Authorization")[0] for r in s.requests] for s in servers]
        assert all(u == sorted(u) and set(u) == {"Bearer first-token", "Bearer second-token"} for u in used), "and none of them the old one again"


def test_the_authority_is_renewed_for_every_server_without_a_signal(tmp_path, ca, issuer, servers):
    """Both are trusted for a while, as it is done; then each server has a certificate of the new one."""
    newer = CA(tmp_path / "newer", "newer")
    bundle = tmp_path / "authorities.pem"
    bundle.write_bytes(ca.file.read_bytes())
    base = config(ca, issuer, servers)
    servers[0].kubeconfig(**{"certificate-authority": str(bundle)})
    with Proxyd(tmp_path, base) as proxyd:
        assert request(proxyd.address, "GET", "/version", ca, token=issuer.mint())[0] == 200
        temporary = tmp_path / "authorities.new"
        temporary.write_bytes(ca.file.read_bytes() + newer.file.read_bytes())
        temporary.rename(bundle)
        proxyd.wait_log("reload: done")
        proxyd.wait_log("generation gone")
        for i, s in enumerate(servers):
            s.use(*newer.issue(f"upstream{i}"))
        with Client(proxyd, ca, issuer) as client:
            for _ in range(6):
                assert client.send()[0] == 200
        assert not proxyd.find_log(PASSED_OVER)


@pytest.mark.parametrize("value, found", [(["10.0.0.1"], "10.0.0.1"), (["https://a:1"], "https://a:1"), (["a:1/x"], "a:1/x"), ([":1"], ":1"), (["[::1]"], "[::1]"), (["a:0"], "a:0")])
def test_what_is_no_server_is_refused(tmp_path, ca, issuer, servers, value, found):
    base = proxyd_config(ca, [issuer], servers[0])
    base["clusters"][0]["servers"] = value
    checked = Proxyd(tmp_path, base).check()
    assert checked.returncode == 1 and f'clusters[0].servers: expected HOST:PORT or [IPv6]:PORT, found "{found}"' in checked.stderr


def test_a_server_that_is_named_twice_is_refused(tmp_path, ca, issuer, servers):
    base = proxyd_config(ca, [issuer], servers[0])
    base["clusters"][0]["servers"] = ["a.example:6443", "a.example:6443"]
    checked = Proxyd(tmp_path, base).check()
    assert checked.returncode == 1 and '"a.example:6443" occurs twice' in checked.stderr
