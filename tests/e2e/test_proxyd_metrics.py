"""What /metrics says of the workers, in a live scrape: requests, connections, handshakes, credentials, upstreams, reloads; and that scripts/deploy's dashboard
asks for nothing that is not there."""
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import ssl

import pytest

from gatehouse import Proxyd, connect, proxyd_config, request
from waiting import until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z]+=\"(?:[^\"\\\n]|\\.)*\",?)*)\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)")


class Scrape:
    """/metrics, read strictly: each family is announced before its samples, stands in one piece, and a counter's samples end in _total."""

    def __init__(self, text):
        assert text.endswith("# EOF\n")
        self.samples, self.families, family = {}, {}, None
        for line in text.splitlines()[:-1]:
            if line.startswith("# TYPE "):
                family, kind = line[7:].split(" ")
                assert family not in self.families, line
                self.families[family] = kind
                continue
            if line.startswith("# "):
                assert line.split(" ")[2] == family, line
                continue
            name, labels, value = SAMPLE.fullmatch(line).groups()
            suffixes = {"counter": ["_total"], "info": ["_info"], "histogram": ["_bucket", "_count", "_sum"], "gauge": [""]}[self.families[family]]
            assert name in [family + s for s in suffixes], line
            key = name, frozenset(re.findall(r"([a-z]+)=\"((?:[^\"\\]|\\.)*)\"", labels or ""))
            assert key not in self.samples, line
            self.samples[key] = float(value)

    def sum(self, name, **labels):
        wanted = set(labels.items())
        return sum(v for (n, found), v in self.samples.items() if n == name and wanted <= found)


def scrape(proxyd, requests_open=0):
    """What is counted once so many requests are being served: an answer may arrive a moment before it is counted."""
    def ask():
        status, _, text = proxyd.admin("/metrics")
        assert status == 200
        return Scrape(text)

    return until(f"{requests_open} requests open", ask, lambda found: found.sum("gatehouse_requests_open") == requests_open)


def test_requests_are_counted_by_cluster_verb_code_and_worker(tmp_path, ca, issuer, upstream):
    upstream.answer = lambda r: (404 if "missing" in r.target else 201 if r.method == "POST" else 200, {"Content-Type": "application/json"}, b"{}")
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        token = issuer.mint()
        for _ in range(6):
            assert request(proxyd.address, "GET", "/api/v1/pods", ca, token=token)[0] == 200
        request(proxyd.address, "GET", "/api/v1/namespaces/a/pods/missing", ca, token=token)
        request(proxyd.address, "POST", "/api/v1/namespaces/a/pods", ca, token=token, body=b"{}")
        request(proxyd.address, "GET", "/clusters/default/version", ca, token=token)
        request(proxyd.address, "GET", "/api/v1/pods", ca, token="no.such.token")
        request(proxyd.address, "GET", "/clusters/none/api", ca, token=token)
        s = scrape(proxyd)
    assert s.sum("gatehouse_requests_total", cluster="default", verb="list", code="200") == 6
    assert s.sum("gatehouse_requests_total", cluster="default", verb="get", code="404") == 1
    assert s.sum("gatehouse_requests_total", cluster="default", verb="create", code="201") == 1
    assert s.sum("gatehouse_requests_total", cluster="default", verb="get", code="200") == 1
    assert s.sum("gatehouse_requests_total", cluster="default", verb="list", code="401") == 1
    assert s.sum("gatehouse_requests_total", cluster="", code="401") + s.sum("gatehouse_requests_total", cluster="", code="404") == 1
    assert s.sum("gatehouse_requests_total") == 11
    assert sum(s.sum("gatehouse_requests_total", worker=w) for w in "01") == 11
    assert s.sum("gatehouse_request_duration_seconds_count", cluster="default") == 10
    assert s.sum("gatehouse_upstream_first_byte_seconds_bucket", le="+Inf") == 9
    assert s.sum("gatehouse_requests_open") == 0 and s.sum("gatehouse_workers") == 2
    assert s.sum("gatehouse_body_bytes_total", direction="in") == 2 and s.sum("gatehouse_body_bytes_total", direction="out") == 18


def test_what_lasts_is_open_while_it_lasts_and_in_no_latency(tmp_path, ca, issuer, upstream):
    def watch(recorded, tls):
        tls.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n")
        return True

    upstream.on_request = watch
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, workers=1)) as proxyd:
        client = connect(proxyd.address, ca)
        client.sendall(f"GET /api/v1/pods?watch=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {issuer.mint()}\r\n\r\n".encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        s = scrape(proxyd, requests_open=1)
        assert (s.sum("gatehouse_requests_open"), s.sum("gatehouse_connections_open"), s.sum("gatehouse_upstream_connections_open", cluster="default")) == (1, 1, 1)
        client.close()
        proxyd.wait_log("request")
        s = scrape(proxyd)
        assert (s.sum("gatehouse_requests_open"), s.sum("gatehouse_upstream_connections_open", cluster="default")) == (0, 0)
        assert s.sum("gatehouse_requests_total", verb="watch", code="200") == 1 and s.sum("gatehouse_request_duration_seconds_count") == 0


def test_credentials_handshakes_and_upstream_connections_are_counted(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, workers=1)) as proxyd:
        context, token, session = ca.client_context(), issuer.mint(), None
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # its session is there as soon as the handshake is over
        for _ in range(3):
            plain = socket.create_connection(proxyd.address.rsplit(":", 1))
            client = context.wrap_socket(plain, server_hostname="localhost", session=session)
            session = client.session
            client.sendall(f"GET /api HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            while client.recv(4096):
                pass
            client.close()
        with socket.create_connection(proxyd.address.rsplit(":", 1)) as plain:
            plain.sendall(b"this is no handshake\r\n\r\n")
            while plain.recv(4096):
                pass
        s = scrape(proxyd)
    assert {k: s.sum("gatehouse_tls_handshakes_total", kind=k) for k in ("full", "resumed", "failed")} == {"full": 1, "resumed": 2, "failed": 1}
    assert s.sum("gatehouse_connections_accepted_total") == 4 and s.sum("gatehouse_connections_spoken_total", protocol="http/1.1") == 3
    assert {k: s.sum("gatehouse_credential_lookups_total", result=k) for k in ("miss", "hit")} == {"miss": 1, "hit": 2}
    assert s.sum("gatehouse_signatures_checked_total") == 1 and s.sum("gatehouse_credentials_known") == 1
    assert {k: s.sum("gatehouse_upstream_connections_total", cluster="default", kind=k) for k in ("opened", "reused")} == {"opened": 1, "reused": 2}


def test_connections_are_spread_over_the_workers(tmp_path, ca, issuer, upstream):
    """The kernel wakes the first who waits: without turns one of four would have nearly all of what is kept open, and one core all the work."""
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, workers=4)) as proxyd:
        token, held = issuer.mint(), []
        for _ in range(40):
            held.append(connect(proxyd.address, ca))
            held[-1].sendall(f"GET /api HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            assert held[-1].recv(4096).startswith(b"HTTP/1.1 200")
        s = scrape(proxyd)
        for client in held:
            client.close()
    counts = [s.sum("gatehouse_connections_open", worker=str(w)) for w in range(4)]
    assert sum(counts) == 40 and min(counts) >= 5, counts


def wait_workers(proxyd, n):
    return until(f"{n} workers", lambda: scrape(proxyd, requests_open=n - 2), lambda s: s.sum("gatehouse_workers") == n)


def followed_log(proxyd, ca, issuer):
    client = connect(proxyd.address, ca)
    client.sendall(f"GET /api/v1/namespaces/a/pods/b/log?follow=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {issuer.mint()}\r\n\r\n".encode())
    assert client.recv(4096).startswith(b"HTTP/1.1 200")
    return client


def test_counters_go_on_in_a_program_that_takes_over(tmp_path, ca, issuer, upstream):
    """USR2: both programs count in the same memory; nothing goes back, and what the old one still has is seen in the new one's answer."""
    def serve(recorded, tls):
        goes_on = "follow" in recorded.target
        tls.sendall(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n" if goes_on else b"Content-Length: 2\r\n\r\n{}"))
        return goes_on

    upstream.on_request = serve
    config = proxyd_config(ca, [issuer], upstream)
    config["limits"] = config.get("limits", {}) | {"drainTimeout": "60s", "tunnelDrainTimeout": "60s"}
    with Proxyd(tmp_path, config) as proxyd:
        for _ in range(4):
            assert request(proxyd.address, "GET", "/api", ca, token=issuer.mint())[0] == 200
        client = followed_log(proxyd, ca, issuer)
        before = scrape(proxyd, requests_open=1)
        with concurrent.futures.ThreadPoolExecutor() as other:
            upgrade = other.submit(proxyd.upgrade)
            sent = 0
            while not upgrade.done():  # some of them by the old one
                assert request(proxyd.address, "GET", "/api", ca, token=issuer.mint())[0] == 200
                sent += 1
            old = upgrade.result()
        s = scrape(proxyd, requests_open=1)
        since = "gatehouse_counters_since_seconds"
        assert s.sum(since) == before.sum(since) > 0
        assert s.sum("gatehouse_requests_total", verb="get", code="200") == before.sum("gatehouse_requests_total", verb="get", code="200") + sent
        assert all(s.sum(name, **dict(labels)) >= value for (name, labels), value in before.samples.items() if name.startswith("gatehouse_") and name.endswith("_total")
                   and "issuer" not in dict(labels))
        wait_workers(proxyd, 3)  # the one that has the log, and the new program's two
        old.kill()  # its last worker goes with it, and what that was doing is not done any more
        old.wait(30)
        proxyd.wait_log("upgrade: the old program is gone")
        assert wait_workers(proxyd, 2).sum("gatehouse_connections_open") == 0
        client.close()


def test_failures_of_an_upstream_are_counted_by_what_they_were(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, workers=1)) as proxyd:
        token = issuer.mint()
        for answer in (b"HTTP/9.9 what\r\n\r\n", b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"):
            upstream.on_request = lambda recorded, tls: tls.sendall(answer)
            assert request(proxyd.address, "GET", "/api", ca, token=token)[0] == 502
        upstream.__exit__()
        assert request(proxyd.address, "GET", "/api", ca, token=token)[0] == 502
        s = scrape(proxyd)
    found = {k: s.sum("gatehouse_upstream_failures_total", cluster="default", reason=k) for k in ("broken", "unauthorized", "refused", "tls", "timeout")}
    assert found == {"broken": 1, "unauthorized": 1, "refused": 1, "tls": 0, "timeout": 0}


def test_no_counter_goes_back_through_reloads_and_deaths(tmp_path, ca, issuer, upstream):
    config = proxyd_config(ca, [issuer], upstream)
    with Proxyd(tmp_path, config) as proxyd:
        token = issuer.mint()
        for n in range(1, 4):
            for _ in range(5):
                request(proxyd.address, "GET", "/api/v1/pods", ca, token=token)
            assert scrape(proxyd).sum("gatehouse_requests_total", verb="list", code="200") == 5 * n
            proxyd.reload()
        assert proxyd.reload_fails("listen: []\n")
        proxyd.write(config)
        for index, pid in enumerate(proxyd.pids("worker")):
            mark = proxyd.mark()
            os.kill(pid, signal.SIGKILL)
            proxyd.wait_log("child ready", after=mark, child="worker", index=index)
        s = scrape(proxyd)
        assert s.sum("gatehouse_requests_total", verb="list", code="200") == 15
        assert s.sum("gatehouse_reloads_total", result="done") == 3 and s.sum("gatehouse_reloads_total", result="failed") == 1
        assert s.sum("gatehouse_deaths_total", process="worker") == 2 and s.sum("gatehouse_deaths_total", process="keeper") == 0


def test_a_worker_maps_its_own_slot_and_the_keeper_may_only_read(tmp_path, ca, issuer, upstream):
    if os.geteuid() != 0:
        pytest.skip("only root may look at the maps of processes that are not dumpable")
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        def maps(pid):
            return [line.split() for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines() if "gatehouse-metrics" in line]

        workers = [maps(pid) for pid in proxyd.pids("worker")]
        (keeper,) = maps(proxyd.pids("keeper")[0])
        assert [len(w) for w in workers] == [1, 1] and workers[0][0][2] != workers[1][0][2]
        assert all(w[0][1] == "rw-s" and int(w[0][2], 16) > 0 for w in workers) and keeper[1] == "r--s"
        for pid in proxyd.pids("worker") + proxyd.pids("keeper"):
            assert not any("gatehouse-metrics" in os.readlink(fd) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir())


def test_the_dashboard_asks_only_for_what_is_there(tmp_path, ca, issuer, upstream):
    dashboard = json.loads((ROOT / "scripts/deploy/grafana-dashboard.json").read_text())
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        request(proxyd.address, "GET", "/api/v1/pods", ca, token=issuer.mint())
        s = scrape(proxyd)
    labels = {}
    for name, found in s.samples:
        labels.setdefault(name, set()).update(k for k, _ in found)
    panels = [p for p in dashboard["panels"] if p["type"] != "row"]
    queries = [t["expr"] for p in panels for t in p["targets"]] + [v["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    assert len(queries) > 15 and len({p["id"] for p in dashboard["panels"]}) == len(dashboard["panels"])
    for query in queries:
        names = re.findall(r"\b(?:gatehouse|process)_[a-z_]+", query)
        assert names, query
        for name in names:
            assert name in labels, f"{name} is not in a scrape"
            # Prometheus adds instance and job to whatever it scrapes.
            known = labels[name] | {"instance", "job"}
            for used in re.findall(re.escape(name) + r"\{([^}]*)\}", query):
                assert {part.split("=")[0].strip("!~ ") for part in used.split(",")} <= known, query
        for group in re.findall(r"by \(([a-z, ]+)\)", query):
            assert {g.strip() for g in group.split(",")} <= set().union(*(labels[n] for n in names)) | {"instance", "job"}, query
