"""Where proxyd's lines go: files that are renamed under load, disks that are full or slow, a logger that dies; and what an audit event says."""
import json
import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest

from gatehouse import Proxyd, proxyd_config, request
from held import load
from waiting import wait_text


class FileProxyd(Proxyd):
    """Its log is read out of a file, through renames (tail -F)."""

    def start(self, wait=True):
        file = pathlib.Path(self.config["log"]["file"])
        file.touch()
        super().start(wait=False)
        self.tail = subprocess.Popen(["tail", "-F", "-n", "+1", file], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        threading.Thread(target=self._read, args=(self.tail.stdout,), daemon=True).start()
        self.wait_log(self.ready)
        return self

    def _read(self, stream):
        if stream is self.process.stderr:  # its end is no end of the log
            for raw in stream:
                self.errors.append(raw.decode())
            return
        super()._read(stream)

    errors = property(lambda self: self.__dict__.setdefault("_errors", []))

    def __exit__(self, *exc):
        try:
            super().__exit__(*exc)
        finally:
            self.tail.kill()
            self.tail.wait()


def lines_of(*files):
    return [json.loads(line) for file in files for line in pathlib.Path(file).read_text().splitlines()]


def requests_in(*files):
    return [line for line in lines_of(*files) if line["msg"] == "request"]


def test_every_process_logs_into_the_file_and_nothing_is_left_for_standard_error(tmp_path, ca, issuer, upstream):
    log = tmp_path / "proxyd.log"
    with FileProxyd(tmp_path, proxyd_config(ca, [issuer], upstream, log={"file": str(log), "level": "debug"})) as proxyd:
        assert request(proxyd.address, "GET", "/api/v1/pods", ca, token=issuer.mint())[0] == 200
        assert {p.stat().st_mode & 0o777 for p in [log]} <= {0o640, 0o644}
    programs = {line["program"] for line in lines_of(log)}
    assert {"proxyd", "proxyd-keeper", "proxyd-worker"} <= programs
    assert proxyd.errors == []
    assert requests_in(log)[0]["user"] == "jane"


def test_an_access_line_is_complete(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        path = "/apis/apps/v1/namespaces/demo/deployments/web/scale"
        status, headers, _ = request(proxyd.address, "GET", path + "?x=secret", ca, token=issuer.mint(groups=["dev", "ops"]))
        line = proxyd.wait_log("request", path=path)
    assert status == 200
    for key, value in {"method": "GET", "verb": "get", "resource": "deployments.apps/scale", "namespace": "demo", "name": "web", "status": 200, "user": "jane",
                       "groups": 2, "how": "jwt", "cluster": "default", "client": "127.0.0.1", "bytes_in": 0}.items():
        assert line[key] == value, key
    assert line["bytes_out"] > 0 and 0 <= line["upstream_ms"] <= line["ms"]
    assert line["request_id"] == headers["X-Request-Id"] == upstream.requests[0].values("X-Request-Id")[0]
    assert "secret" not in json.dumps(line)


def test_the_text_format_has_the_same_fields(tmp_path, ca, issuer, upstream):
    log = tmp_path / "proxyd.log"
    proxyd = FileProxyd(tmp_path, proxyd_config(ca, [issuer], upstream, log={"file": str(log)}))
    with proxyd:
        proxyd.write(proxyd.config | {"log": {"file": str(log), "format": "text"}})
        proxyd.send(signal.SIGHUP)
        wait_text(log, "generation gone")  # an old worker may still have taken the request, and written as it was told to
        request(proxyd.address, "GET", "/api/v1/pods", ca, token=issuer.mint())
        line = wait_text(log, r"msg=request .*")
    assert re.search(r"method=GET path=/api/v1/pods verb=list resource=pods status=200 user=jane groups=0 how=jwt cluster=default ", line)


# ---- USR1


def test_renamed_files_are_opened_again_under_load_and_no_line_is_lost(tmp_path, ca, issuer, upstream):
    log, audit = tmp_path / "proxyd.log", tmp_path / "audit.log"
    with FileProxyd(tmp_path, proxyd_config(ca, [issuer], upstream, log={"file": str(log)}, audit={"file": str(audit)})) as proxyd:
        with load(proxyd, ca, issuer.mint()) as clients:
            for n in range(1, 6):
                clients.wait_sent(50)
                log.rename(f"{log}.{n}")
                audit.rename(f"{audit}.{n}")
                proxyd.send(signal.SIGUSR1)
                for stream in ("log", "audit"):
                    proxyd.wait_log("log file opened", stream=stream, count=n)
            clients.wait_sent(50)
    assert clients.failed == []
    logs, events = [f"{log}.{n}" for n in range(1, 6)] + [log], [f"{audit}.{n}" for n in range(1, 6)] + [audit]
    ids = [line["request_id"] for line in requests_in(*logs)]
    assert len(ids) == len(set(ids)) == clients.sent
    assert sorted(e["annotations"]["gatehouse/request-id"] for e in lines_of(*events)) == sorted(ids)
    assert all(requests_in(file) for file in logs), "each file had its share"


def test_a_file_that_cannot_be_opened_again_stays_and_the_log_says_so(tmp_path, ca, issuer, upstream):
    folder = tmp_path / "logs"
    folder.mkdir()
    log, audit = tmp_path / "proxyd.log", folder / "audit.log"
    with FileProxyd(tmp_path, proxyd_config(ca, [issuer], upstream, log={"file": str(log)}, audit={"file": str(audit)})) as proxyd:
        folder.rename(tmp_path / "away")
        proxyd.send(signal.SIGUSR1)
        line = proxyd.wait_log("log file cannot be opened again, the old one stays", stream="audit")
        assert line["error"] == "No such file or directory"
        assert request(proxyd.address, "GET", "/api/v1/pods", ca, token=issuer.mint())[0] == 200
    assert len(lines_of(tmp_path / "away/audit.log")) == 1


# ---- configuration


def test_a_reload_moves_the_log_and_switches_audit_on_and_off(tmp_path, ca, issuer, upstream):
    first, second, audit = tmp_path / "first.log", tmp_path / "second.log", tmp_path / "audit.log"
    config = proxyd_config(ca, [issuer], upstream, log={"file": str(first)})
    with FileProxyd(tmp_path, config) as proxyd:
        get = lambda: request(proxyd.address, "GET", "/api/v1/pods", ca, token=issuer.mint())[0]
        assert get() == 200
        proxyd.write(config | {"log": {"file": str(second)}, "audit": {"file": str(audit)}})
        proxyd.send(signal.SIGHUP)
        wait_text(second, '"log file opened".*"stream":"audit"')
        wait_text(second, "generation gone")  # an old worker may still take a request, and writes no events
        assert get() == 200
        wait_text(audit, "ResponseComplete")
        proxyd.write(config)
        proxyd.send(signal.SIGHUP)
        proxyd.wait_log("log file opened", stream="log")
        proxyd.wait_log("generation gone", generation=2)
        assert get() == 200
    assert len(lines_of(audit)) == 1
    assert len(requests_in(first)) + len(requests_in(second)) == 3
    assert len(requests_in(first)) >= 2


@pytest.mark.parametrize("key, line", [("log", 12), ("audit", 12)])
def test_a_reload_with_a_file_that_cannot_be_opened_changes_nothing(tmp_path, ca, key, line):
    config = proxyd_config(ca)
    with Proxyd(tmp_path, config) as proxyd:
        workers = proxyd.pids("worker")
        why = proxyd.reload_fails(config | {key: {"file": str(tmp_path / "none" / "x.log")}})
        assert re.fullmatch(rf"{proxyd.file}:\d+: {key}.file: {tmp_path}/none/x.log cannot be created: No such file or directory", why)
        assert proxyd.pids("worker", 1) == workers
        assert proxyd.reload(config)["generation"] == 2


def test_check_and_start_refuse_files_that_cannot_be_written(tmp_path, ca):
    for more, why in (({"log": {"file": str(tmp_path)}}, f"log.file: expected a file, found the folder {tmp_path}"),
                      ({"audit": {"file": str(tmp_path / "a"), "level": "Request"}}, 'audit.level: expected '),
                      ({"audit": {"file": ""}}, 'audit.file: expected a file, found ""'),
                      ({"audit": {"file": str(tmp_path / "a")}, "log": {"file": str(tmp_path / "a")}}, f'audit.file: "{tmp_path}/a" is log.file too')):
        proxyd = Proxyd(tmp_path, proxyd_config(ca) | more)
        for ended in (proxyd.check(), proxyd.run(proxyd.file)):
            assert ended.returncode == 1
            assert why in ended.stderr
    # What only opening shows.
    os.mkfifo(tmp_path / "fifo")
    ended = (proxyd := Proxyd(tmp_path, proxyd_config(ca, audit={"file": str(tmp_path / "fifo")}))).run(proxyd.file)
    assert ended.returncode == 1
    assert f"audit.file: {tmp_path}/fifo cannot be opened: No such device or address" in ended.stderr


# ---- disks


def test_a_full_disk_delays_nobody_and_what_waits_is_written_when_there_is_room(tmp_path, ca, issuer, upstream):
    log, audit = tmp_path / "proxyd.log", tmp_path / "audit.log"
    audit.symlink_to("/dev/full")
    with FileProxyd(tmp_path, proxyd_config(ca, [issuer], upstream, log={"file": str(log)}, audit={"file": str(audit)})) as proxyd:
        with load(proxyd, ca, issuer.mint()) as clients:
            clients.wait_sent(400)
            assert any("a log file cannot be written" in text and "No space left on device" in text for text in proxyd.errors)
            audit.unlink()
            proxyd.send(signal.SIGUSR1)
            proxyd.wait_log("log file opened", stream="audit")
            clients.wait_sent(100)
    assert clients.failed == [] and clients.slowest_s < 5
    # The pipes held everything: not one event is lost.
    assert len(lines_of(audit)) == clients.sent == len(requests_in(log))


def test_a_disk_that_stays_full_drops_lines_counts_them_and_lets_everything_end(tmp_path, ca, issuer, upstream):
    groups = [f"group-{n}-" + "x" * 1000 for n in range(6)]  # 6 KiB an event: a pipe and a buffer of 1 MiB each hold 340 of them
    log = tmp_path / "proxyd.log"
    config = proxyd_config(ca, [issuer], upstream, workers=1, log={"file": str(log)}, audit={"file": "/dev/full"}, limits={"tokenBytes": 65536})
    with FileProxyd(tmp_path, config) as proxyd:
        audit = tmp_path / "audit.log"
        with load(proxyd, ca, issuer.mint(groups=groups)) as clients:
            clients.wait_sent(600)
            proxyd.write(config | {"audit": {"file": str(audit)}})
            mark = proxyd.mark()
            proxyd.send(signal.SIGHUP)
            proxyd.wait_log("reload: done", after=mark)
            dropped = proxyd.wait_log("lines dropped: they came faster than they could be written", stream="audit")["lines"]
        proxyd.wait_log("generation gone", generation=1)
    assert clients.failed == [] and clients.slowest_s < 5
    assert dropped > 100
    assert len(lines_of(audit)) + dropped == clients.sent


def test_a_reader_that_stands_still_delays_nobody(tmp_path, ca, issuer, upstream):
    """A pipe that nobody empties: a disk that takes for ever."""
    log, fifo = tmp_path / "proxyd.log", tmp_path / "audit.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with FileProxyd(tmp_path, proxyd_config(ca, [issuer], upstream, log={"file": str(log)}, audit={"file": str(fifo)})) as proxyd:
            with load(proxyd, ca, issuer.mint()) as clients:
                clients.wait_sent(400)
            proxyd.wait_log("request", count=clients.sent)
    finally:
        os.close(reader)
    assert clients.failed == [] and clients.slowest_s < 5


# ---- the logger


def logger_pids(proxyd):
    return [line["child_pid"] for line in proxyd.find_log("child started", child="logger")]


def test_a_logger_that_dies_is_replaced_and_no_request_notices(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        with load(proxyd, ca, issuer.mint()) as clients:
            for n in range(1, 4):
                clients.wait_sent(50)
                os.kill(logger_pids(proxyd)[-1], signal.SIGKILL)
                proxyd.wait_log("child started", child="logger", count=n + 1)
                assert proxyd.wait_log("child died", child="logger", count=n)["reason"] == "logger was ended by signal 9 (SIGKILL)"
            clients.wait_sent(50)
        assert clients.failed == []


def test_the_logger_has_no_rights_and_no_sockets_of_others(tmp_path, ca):
    with Proxyd(tmp_path, proxyd_config(ca)) as proxyd:
        pid = proxyd.wait_log("child started", child="logger")["child_pid"]
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        assert status["NoNewPrivs"] == "1" and {int(status[k], 16) for k in ("CapEff", "CapPrm", "CapBnd")} == {0}
        links = [os.readlink(fd) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        assert sum(link.startswith("socket:") for link in links) <= 1, links
        assert pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0") == b"proxyd: logger"


def test_descriptors_and_pipes_do_not_pile_up(tmp_path, ca):
    count = lambda pid: len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
    with Proxyd(tmp_path, proxyd_config(ca, audit={"file": str(tmp_path / "audit.log")})) as proxyd:
        proxyd.reload()
        proxyd.wait_log("generation gone", generation=1)
        logger, master = logger_pids(proxyd)[0], proxyd.process.pid
        before = count(master), count(logger)
        for n in range(2, 6):
            proxyd.reload()
            proxyd.send(signal.SIGUSR1)
            proxyd.wait_log("generation gone", generation=n)
        os.kill(proxyd.pids("worker")[0], signal.SIGKILL)
        proxyd.wait_log("child ready", child="worker", count=13)
        proxyd.send(signal.SIGUSR1)
        proxyd.wait_log("log file opened", count=10)
        assert (count(master), count(logger)) == before


# ---- audit events


def test_an_audit_event_is_what_readers_of_kubernetes_audit_logs_expect(tmp_path, ca, issuer, upstream):
    audit = tmp_path / "audit.log"
    upstream.answer = lambda r: (200, {"Content-Type": "application/json", "Audit-Id": "5f1c1a2e-0f60-4c0e-8b0e-1d1a4c9d7b11"}, b"{}")
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, workers=1, audit={"file": str(audit)})) as proxyd:
        assert request(proxyd.address, "PATCH", "/apis/apps/v1/namespaces/demo/deployments/web?fieldManager=k", ca, token=issuer.mint(groups=["dev"]),
                       headers={"User-Agent": "kubectl/v1.35.0"}, body=b"{}")[0] == 200
        request(proxyd.address, "GET", "/api/v1/secrets", ca, token="no.such.token")
        proxyd.stop()
    event, refused = lines_of(audit)
    assert event == event | {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete",
        "auditID": "5f1c1a2e-0f60-4c0e-8b0e-1d1a4c9d7b11",
        "requestURI": "/apis/apps/v1/namespaces/demo/deployments/web?fieldManager=k", "verb": "patch", "sourceIPs": ["127.0.0.1"], "userAgent": "kubectl/v1.35.0",
        "objectRef": {"resource": "deployments", "namespace": "demo", "name": "web", "apiGroup": "apps", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
    }
    assert event["user"]["username"] == "jane" and event["user"]["groups"] == ["dev", "system:authenticated"]
    assert event["annotations"]["gatehouse/authenticated-by"] == "jwt" and event["annotations"]["gatehouse/issuer"] == issuer.url
    assert refused["user"] == {} and refused["verb"] == "list" and refused["responseStatus"]["code"] == 401
    assert refused["responseStatus"]["status"] == "Failure" and refused["annotations"]["gatehouse/reason"]
    for e in (event, refused):
        times = [e["requestReceivedTimestamp"], e["stageTimestamp"]]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", t) for t in times) and times == sorted(times)
