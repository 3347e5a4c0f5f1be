"""proxyd's processes: what starts, what is refused, what replaces what, and what a signal does."""
import contextlib
import http.client
import json
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

from gatehouse import CA, Issuer, Proxyd, SigningKey, Upstream, connect, proxyd_config, request
from harness import BUILD, free_port


class Held:
    """An upstream behind a unix socket that keeps answers back until they are released."""

    def __init__(self, ca, path):
        self.released = threading.Event()
        self.upstream = Upstream(ca, unix=path)
        self.upstream.answer = self._answer
        self.route = {"path": "/held", "to": f"unix:{path}"}

    def _answer(self, recorded):
        if recorded.target.startswith("/held/wait"):
            self.released.wait()
        return 200, {}, recorded.target.encode()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.released.set()
        self.upstream.__exit__(*exc)


@pytest.fixture
def held(ca, tmp_path):
    with Held(ca, tmp_path / "held.sock") as held:
        yield held


class Running(threading.Thread):
    """A request on its own thread; result() is what came of it."""

    def __init__(self, address, path, ca):
        super().__init__(daemon=True)
        self.arguments, self.outcome = (address, "GET", path, ca), None
        self.start()

    def run(self):
        try:
            self.outcome = request(*self.arguments)
        except Exception as e:
            self.outcome = e

    def result(self):
        self.join(30)
        assert not self.is_alive(), "no answer"
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def get(proxyd, path, ca):
    return request(proxyd.address, "GET", path, ca)


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


# ---- the command line and --check


def test_help_names_every_section_and_version_names_openssl(tmp_path):
    proxyd = Proxyd(tmp_path, "")
    shown = proxyd.run("--help")
    assert shown.returncode == 0 and shown.stderr == ""
    for section in ("OPTIONS", "CONFIGURATION", "SIGNALS", "ENVIRONMENT", "EXIT STATUS"):
        assert section in shown.stdout
    version = proxyd.run("--version")
    assert version.returncode == 0
    assert version.stdout.startswith("proxyd 0.1.0, OpenSSL 3.")


@pytest.mark.parametrize("arguments", [[], ["--check"], ["--chekc", "x"], ["a", "b"], ["--check", "a", "b"], ["--check", "--help"]])
def test_a_wrong_command_line_shows_the_usage(tmp_path, arguments):
    shown = Proxyd(tmp_path, "").run(*arguments)
    assert shown.returncode == 2
    assert shown.stderr.startswith("usage: proxyd")
    assert shown.stdout == ""


def test_the_example_in_help_is_a_configuration(tmp_path, ca):
    text = Proxyd(tmp_path, "").run("--help").stdout
    example = text.split("CONFIGURATION\n")[1].split("\nSIGNALS")[0]
    cert, key = ca.issue("gateway")
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("0123456789abcdef,jane,1\n")
    with Upstream(ca) as upstream:
        for word, file in (
            ("certFile: FILE", f"certFile: {cert}"),
            ("keyFile: FILE", f"keyFile: {key}"),
            ("certificateAuthority: FILE", f"certificateAuthority: {ca.file}"),
            ("kubeconfig: FILE, context: NAME", f"kubeconfig: {upstream.kubeconfig()}, context: c"),
            ("issuer: URL", "issuer: https://gateway.example.com/oidc"),
            (",\n              revocationsSecretFile: FILE}", "}"),  # the example's issuer is behind a socket
            ("tokenFile: FILE", f"tokenFile: {tokens}"),
            ("file: LOG", f"file: {tmp_path}/proxyd.log"),
            ("file: AUDIT", f"file: {tmp_path}/audit.log"),
            ("https://HOST:PORT/BASE", "https://127.0.0.1:8444/base"),
            ("allowedOrigins: [https://HOST]", "allowedOrigins: [https://app.example.com]"),
            ("serverName: NAME", "serverName: app.example.com"),
            ("user: NAME", f"user: {pwd.getpwuid(os.geteuid()).pw_name}"),
        ):
            assert word in example
            example = example.replace(word, file)
        checked = Proxyd(tmp_path, example).check()
    assert (checked.stderr, checked.returncode) == ("", 0)


def test_check_says_ok_and_starts_nothing(tmp_path, ca, issuer):
    with Upstream(ca) as upstream:
        proxyd = Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream))
        checked = proxyd.check()
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, f"{proxyd.file}: ok\n", "")
    assert issuer.requests == []


LISTEN = "listen:\n- address: 127.0.0.1:0\n  tls:\n    certFile: {cert}\n    keyFile: {key}\n"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", ": listen: "),
        ("listen: [\n", ":2: "),
        (LISTEN + "workers: many\n", ":6: workers: "),
        (LISTEN + "wrokers: 1\n", ":6: wrokers: "),
        (LISTEN + "authentication:\n  anonymous: {enabled: true}\n", ":7: authentication.anonymous: is not supported"),
        (LISTEN.replace("{cert}", "{folder}/none.pem"), ":4: listen[0].tls.certFile: "),
        (LISTEN.replace("{cert}", "{expired}"), ":4: listen[0].tls.certFile: {expired} expired on "),
        (LISTEN.replace("{key}", "{other}"), ":5: listen[0].tls.keyFile: {other} does not belong to the certificate"),
        (LISTEN + "routes:\n- path: oidc\n  to: unix:/x\n", ":7: routes[0].path: "),
    ],
)
@pytest.mark.parametrize("how", ["check", "start"])
def test_a_bad_configuration_is_refused_with_file_line_and_key(tmp_path, ca, text, expected, how):
    cert, key = ca.issue("gateway")
    expired, expired_key = ca.issue("expired", days=-1)
    _, other = ca.issue("other")
    files = {"cert": cert, "key": expired_key if "{expired}" in text else key, "expired": expired, "other": other, "folder": tmp_path}
    for name, file in files.items():
        text, expected = text.replace(f"{{{name}}}", str(file)), expected.replace(f"{{{name}}}", str(file))
    proxyd = Proxyd(tmp_path, text)
    ended = proxyd.check() if how == "check" else proxyd.run(proxyd.file)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"proxyd: {proxyd.file}{expected}"), ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_missing_configuration_file_is_named(tmp_path):
    ended = Proxyd(tmp_path, "").run("--check", tmp_path / "none.yaml")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"proxyd: {tmp_path}/none.yaml: ")


@pytest.mark.parametrize("key", ["listen[0].address", "admin.address"])
def test_a_busy_port_is_named_with_file_line_and_key(tmp_path, ca, key):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = proxyd_config(ca)
        if key.startswith("listen"):
            config["listen"][0]["address"] = address
        else:
            config["admin"]["address"] = address
        proxyd = Proxyd(tmp_path, config)
        line = next(n for n, text in enumerate(proxyd.file.read_text().splitlines(), 1) if address in text)
        ended = proxyd.run(proxyd.file)
        log = tmp_path / "proxyd.log"
        proxyd.write(config | {"log": {"file": str(log)}})
        assert (ended.returncode, proxyd.run(proxyd.file).returncode) == (1, 1)
    reason = f"{proxyd.file}:{line}: {key}: cannot listen on {address}: Address already in use"
    assert f"proxyd: {reason}\n" in ended.stderr
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["level"], last["msg"], last["reason"]) == ("error", "proxyd does not start", reason), "where the log goes"


@pytest.mark.parametrize("limit, said", [(1023, 1), (1024, 0)])
def test_a_low_limit_of_open_files_is_said(tmp_path, ca, limit, said):
    limited = tmp_path / "limited"
    limited.write_text(f'#!/bin/sh\nulimit -n {limit}\nexec {BUILD}/proxyd "$@"\n')
    limited.chmod(0o755)
    with Proxyd(tmp_path, proxyd_config(ca), binary=limited) as proxyd:
        assert len(proxyd.find_log("few files may be open, so few connections too: raise the limit (LimitNOFILE, ulimit -n)", open_files=limit)) == said


def test_a_limit_of_file_sizes_is_an_error_and_no_signal(tmp_path, ca):
    proxyd = Proxyd(tmp_path, proxyd_config(ca))
    ended = subprocess.run(["prlimit", "--fsize=0", BUILD / "proxyd", proxyd.file], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr) == (1, "proxyd: no shared memory for metrics: File too large\n")


# ---- running


def test_everything_starts_and_reports(tmp_path, ca, issuer):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], workers=3)) as proxyd:
        ready = proxyd.wait_log("proxyd ready", generation=1, workers=3)
        assert not ready["addresses"].endswith(":0")
        assert len(proxyd.pids("worker")) == 3
        titles = {pathlib.Path(f"/proc/{p}/cmdline").read_bytes().rstrip(b"\0").decode() for p in proxyd.pids("worker") + proxyd.pids("keeper")}
        assert len(titles) == 4 and all(t.startswith("proxyd: ") for t in titles)
        status, headers, text = proxyd.admin("/readyz")
        assert (status, text) == (200, f"[+] issuer {issuer.url}: 1 keys\nready\n")
        assert headers["Content-Type"].startswith("text/plain")
        assert proxyd.admin("/livez")[0] == 200


def test_metrics_are_openmetrics(tmp_path, ca, issuer):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer])) as proxyd:
        status, headers, text = proxyd.admin("/metrics")
    assert status == 200
    assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert text.endswith("\n# EOF\n")
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert samples[f'gatehouse_issuer_fetches_total{{issuer="{issuer.url}",result="succeeded"}}'] == "1"
    assert samples[f'gatehouse_issuer_keys{{issuer="{issuer.url}"}}'] == "1"
    assert samples["gatehouse_config_generation"] == "1"
    assert int(samples["process_resident_memory_bytes"]) > 1 << 20


@pytest.mark.parametrize("method, path, status", [("POST", "/livez", 405), ("DELETE", "/metrics", 405), ("GET", "/", 404), ("GET", "/livez/x", 404),
                                                  ("HEAD", "/livez", 200)])
def test_the_admin_address_answers_get_and_head_of_its_pages_only(tmp_path, ca, method, path, status):
    with Proxyd(tmp_path, proxyd_config(ca)) as proxyd:
        got, headers, text = proxyd.admin(path, method)
        assert got == status
        assert status != 405 or headers["Allow"] == "GET, HEAD"
        assert method != "HEAD" or text == ""


def test_an_issuer_behind_a_socket_is_asked_in_its_own_name(tmp_path, ca):
    with Issuer(ca, unix=tmp_path / "authd.sock", url="https://gateway.example.com:8443/oidc") as issuer:
        with Proxyd(tmp_path, proxyd_config(ca, [issuer])) as proxyd:
            assert proxyd.admin("/readyz")[0] == 200
        assert [r for r in issuer.requests if r[0] != "/internal/revocations"] == [
            ("/oidc/.well-known/openid-configuration", "gateway.example.com:8443"),
            ("/oidc/keys", "gateway.example.com:8443"),
        ]


def test_it_is_not_ready_without_keys_and_becomes_so_by_itself(tmp_path, ca, issuer):
    issuer.down()
    with Proxyd(tmp_path, proxyd_config(ca, [issuer])) as proxyd:
        status, _, text = proxyd.admin("/readyz")
        assert status == 503
        assert text.startswith(f"[-] issuer {issuer.url}: no keys yet: discovery document: ")
        assert proxyd.admin("/livez")[0] == 200
        issuer.up()
        proxyd.wait_log("keys fetched", issuer=issuer.url)
        assert proxyd.admin("/readyz")[0] == 200
        assert len(proxyd.find_log("keys could not be fetched")) == 1


SIGNED_BY_NOBODY = SigningKey("none")
FAULTS = {
    "status": ("keys", (500, {}, b"{}"), "key set: answered with status 500"),
    "redirect": ("keys", (302, {"Location": "/oidc/other"}, b""), "key set: answered with status 302: redirects are not followed"),
    "empty": ("keys", (200, {}, b'{"keys": []}'), "key set: no key in it can verify a token"),
    "no json": ("keys", (200, {}, b"<html>"), "key set: not a JWK Set"),
    "large": ("keys", (200, {}, b" " * 10_000_000), "key set: too large"),
    "discovery": ("discovery", (404, {}, b""), "discovery document: answered with status 404"),
    "wrong issuer": ("discovery", (200, {}, b'{"issuer": "https://other", "jwks_uri": "https://other/keys"}'), "discovery document: "),
    "http keys": ("discovery", None, "discovery document: an endpoint is no URL, or http though the issuer is https"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_answer_of_an_issuer_leaves_the_last_good_keys(tmp_path, ca, issuer, fault):
    where, answer, reason = FAULTS[fault]
    path = {"keys": "/keys", "discovery": "/.well-known/openid-configuration"}[where]
    answer = answer or (200, {}, f'{{"issuer": "{issuer.url}", "jwks_uri": "http://127.0.0.1/keys"}}'.encode())
    with Proxyd(tmp_path, proxyd_config(ca, [issuer])) as proxyd:
        issuer.answers[path] = answer
        # A new keeper fetches at once; what it starts with are the keys that its predecessor had published.
        os.kill(proxyd.pids("keeper")[0], signal.SIGKILL)
        line = proxyd.wait_log("keys could not be fetched", issuer=issuer.url)
        assert line["reason"].startswith(reason)
        assert line["keys_kept"] == 1
        assert proxyd.admin("/readyz")[0] == 200
        del issuer.answers[path]
        proxyd.wait_log("keys fetched", issuer=issuer.url, changed=False)


def test_a_token_of_a_new_key_is_accepted_moments_later(tmp_path, ca, issuer):
    with Upstream(ca) as upstream, Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        assert request(proxyd.address, "GET", "/version", ca, token=issuer.mint())[0] == 200
        issuer.keys = [SigningKey("k2"), *issuer.keys]
        mark = proxyd.mark()
        token = issuer.mint()
        status = request(proxyd.address, "GET", "/version", ca, token=token)[0]
        assert status == 401
        proxyd.wait_log("keys fetched", after=mark, issuer=issuer.url, changed=True)
        for _ in range(1000):  # until each worker has looked at the key cache again
            if status == 200:
                break
            status = request(proxyd.address, "GET", "/version", ca, token=token)[0]
        assert status == 200
        assert request(proxyd.address, "GET", "/version", ca, token=issuer.mint(key=issuer.keys[1]))[0] == 200, "the old key is still good"


def test_forged_kids_cause_one_fetch(tmp_path, ca, issuer):
    with Upstream(ca) as upstream, Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        assert issuer.wait_requests(1, "/keys") == 1
        for n in range(200):
            token = issuer.mint(key=SIGNED_BY_NOBODY, header={"kid": f"forged-{n}"})
            assert request(proxyd.address, "GET", "/version", ca, token=token)[0] == 401
        assert issuer.wait_requests(2, "/keys") == 2
        assert request(proxyd.address, "GET", "/version", ca, token=issuer.mint())[0] == 200


# ---- children that die


def test_a_worker_that_dies_is_replaced_and_the_others_go_on(tmp_path, ca, held):
    with Proxyd(tmp_path, proxyd_config(ca, routes=[held.route])) as proxyd:
        before = proxyd.pids("worker")
        os.kill(before[1], signal.SIGKILL)
        line = proxyd.wait_log("child died", child="worker", index=1)
        assert line["reason"] == "worker 1 was ended by signal 9 (SIGKILL)" and line["restart_in_ms"] == 0
        proxyd.wait_log("child ready", child="worker", index=1, child_pid=lambda p: p != before[1])
        after = proxyd.pids("worker")
        assert after[0] == before[0] and after[1] != before[1] and all(map(alive, after))
        for _ in range(20):
            assert get(proxyd, "/held/x", ca)[0] == 200


def test_a_worker_that_keeps_dying_is_waited_for(tmp_path, ca):
    with Proxyd(tmp_path, proxyd_config(ca, workers=1)) as proxyd:
        for n in range(1, 8):
            proxyd.wait_log("child ready", child="worker", count=n)
            os.kill(proxyd.pids("worker")[0], signal.SIGKILL)
            proxyd.wait_log("child died", child="worker", count=n)
        waits = [line["restart_in_ms"] for line in proxyd.find_log("child died", child="worker")]
        assert waits[:5] == [0] * 5
        assert waits[5:] == [500, 1000]
        proxyd.wait_log("child ready", child="worker", count=8)


def test_a_keeper_that_dies_is_replaced_and_the_keys_stay(tmp_path, ca, issuer):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer])) as proxyd:
        issuer.down()
        before = proxyd.pids("keeper")[0]
        os.kill(before, signal.SIGKILL)
        proxyd.wait_log("child died", child="keeper")
        proxyd.wait_log("child ready", child="keeper", count=2)
        assert proxyd.pids("keeper")[0] != before
        assert proxyd.admin("/readyz")[::2] == (200, f"[+] issuer {issuer.url}: 1 keys\nready\n")
        assert len(proxyd.find_log("child started", child="worker")) == 2, "workers are not touched by a keeper's death"


def test_children_end_with_the_master(tmp_path, ca):
    proxyd = Proxyd(tmp_path, proxyd_config(ca)).start()
    pids = proxyd.pids("worker") + proxyd.pids("keeper")
    ends = [os.pidfd_open(p) for p in pids]
    proxyd.kill()
    for end in ends:
        wait_readable(end)
        os.close(end)


def wait_readable(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(20_000), "the process is still there"


# ---- HUP


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


# ---- ending


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_end_everything_at_once(tmp_path, ca, held, number):
    with Proxyd(tmp_path, proxyd_config(ca, routes=[held.route])) as proxyd:
        pids = proxyd.pids("worker") + proxyd.pids("keeper")
        running = Running(proxyd.address, "/held/wait", ca)
        held.upstream.wait_requests(1)
        assert proxyd.stop(number) == 0
        assert not any(map(alive, pids))
        with pytest.raises((OSError, http.client.HTTPException)):
            running.result()


def test_quit_finishes_what_runs_and_takes_nothing_new(tmp_path, ca, held):
    with Proxyd(tmp_path, proxyd_config(ca, routes=[held.route])) as proxyd:
        address = proxyd.address
        running = Running(address, "/held/wait", ca)
        held.upstream.wait_requests(1)
        proxyd.send(signal.SIGQUIT)
        proxyd.wait_log("draining", count=2)
        with pytest.raises(ConnectionError):
            connect(address, ca)
        held.released.set()
        assert running.result()[::2] == (200, b"/held/wait")
        assert proxyd.wait() == 0


def test_term_cuts_a_quit_short(tmp_path, ca, held):
    with Proxyd(tmp_path, proxyd_config(ca, routes=[held.route])) as proxyd:
        Running(proxyd.address, "/held/wait", ca)
        held.upstream.wait_requests(1)
        proxyd.send(signal.SIGQUIT)
        proxyd.wait_log("proxyd drains and stops")
        assert proxyd.stop() == 0


def test_term_during_a_reload_ends_both_generations(tmp_path, ca, issuer):
    with Issuer(ca) as slow, Proxyd(tmp_path, proxyd_config(ca, [issuer])) as proxyd:
        slow.hold = threading.Event()
        proxyd.write(proxyd_config(ca, [issuer, slow]))
        proxyd.send(signal.SIGHUP)
        new = proxyd.wait_log("child started", child="keeper", generation=2)["child_pid"]
        assert proxyd.stop() == 0
        assert not alive(new)


def test_a_worker_that_hangs_does_not_keep_the_master_from_ending(tmp_path, ca):
    with Proxyd(tmp_path, proxyd_config(ca)) as proxyd:
        hung = proxyd.pids("worker")[0]
        os.kill(hung, signal.SIGSTOP)
        assert proxyd.stop() == 0
        assert not alive(hung)


# ---- the service manager, and what processes hold


class Notified:
    """The socket that systemd would read."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(20)

    def next(self, wanted):
        """Skips what is not wanted."""
        while wanted not in (text := self.socket.recv(4096).decode()).split("\n"):
            pass
        return text


def test_the_service_manager_hears_of_it(tmp_path, ca):
    notified = Notified(tmp_path)
    proxyd = Proxyd(tmp_path, proxyd_config(ca), env={"NOTIFY_SOCKET": notified.path, "WATCHDOG_USEC": "200000"})
    with proxyd:
        notified.next("READY=1")
        notified.next("WATCHDOG=1")
        notified.next("WATCHDOG=1")
        proxyd.send(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in notified.next("RELOADING=1")
        notified.next("READY=1")
        proxyd.reload_fails("listen: []")
        notified.next("RELOADING=1")
        assert "STATUS=reload failed" in notified.next("READY=1")
        proxyd.stop()
        notified.next("STOPPING=1")


def sockets_of(pid):
    """Inodes of a process' sockets."""
    links = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(os.readlink(fd))
    return {link for link in links if link.startswith("socket:")}


def test_each_process_holds_its_own_descriptors_only(tmp_path, ca, issuer):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer])) as proxyd:
        proxyd.reload()
        proxyd.wait_log("generation gone", generation=1)
        worker, other = (sockets_of(p) for p in proxyd.pids("worker"))
        keeper = sockets_of(proxyd.pids("keeper")[0])
        master = sockets_of(proxyd.process.pid)
        assert len(worker & other) == 1, "workers share the listener"
        assert worker & other <= master
        assert not keeper & worker, "the keeper has no listener of the workers, they have none of its"
        assert len(keeper & master) == 1, "the admin address"
        before = len(list(pathlib.Path(f"/proc/{proxyd.process.pid}/fd").iterdir()))
        for _ in range(5):
            proxyd.reload()
        proxyd.wait_log("generation gone", count=6)
        assert len(list(pathlib.Path(f"/proc/{proxyd.process.pid}/fd").iterdir())) == before


def memory_has(pid, wanted):
    """Whether bytes stand anywhere in a process' writable memory."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            first, end = (int(x, 16) for x in span.split("-"))
            if not rights.startswith("rw"):
                continue
            memory.seek(first)
            with contextlib.suppress(OSError):
                if wanted in memory.read(end - first):
                    return True
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into a hardened process")
def test_the_keeper_has_no_private_key_in_its_memory(tmp_path, ca, issuer):
    with Upstream(ca) as upstream, Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        proxyd.reload()  # so that there was an older generation to inherit from as well
        keys = [(ca.folder / name).read_bytes().splitlines()[1] for name in ("gateway.key", "gateway-client.key")]
        assert all(memory_has(proxyd.process.pid, key) for key in keys), "the test looks in the right way"
        assert not any(memory_has(proxyd.pids("keeper")[0], key) for key in keys)


def test_children_have_no_privileges(tmp_path, ca):
    with Proxyd(tmp_path, proxyd_config(ca)) as proxyd:
        pids = proxyd.pids("worker") + proxyd.pids("keeper")
        assert len(pids) == 3
        for pid in pids:
            status = status_of(pid)
            assert status["NoNewPrivs"] == "1"
            for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(status[kind], 16) == 0, kind


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_children_become_the_configured_user_who_need_not_read_any_file(tmp_path, ca, issuer):
    config = proxyd_config(ca, [issuer], user="nobody")
    ca.file.chmod(0o600)
    os.chmod(config["listen"][0]["tls"]["keyFile"], 0o600)
    nobody = pwd.getpwnam("nobody")
    with Proxyd(tmp_path, config) as proxyd:
        for pid in proxyd.pids("worker") + proxyd.pids("keeper"):
            status = status_of(pid)
            assert set(status["Uid"].split()) == {str(nobody.pw_uid)}
            assert set(status["Gid"].split()) == {str(nobody.pw_gid)}
            assert status["Groups"].strip() == ""
        assert proxyd.admin("/readyz")[0] == 200
        proxyd.reload()
        with connect(proxyd.address, ca) as tls:
            assert tls.version() == "TLSv1.3"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_user_that_one_cannot_become_is_refused_at_the_start():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        program = shutil.copy(BUILD / "proxyd", folder)  # where nobody can run it
        proxyd = Proxyd(folder, proxyd_config(CA(folder), user="root"))
        for file in folder.iterdir():
            os.chown(file, pwd.getpwnam("nobody").pw_uid, -1)
        ended = subprocess.run([program, "--check", proxyd.file], capture_output=True, text=True, user="nobody", timeout=30)
    assert ended.returncode == 1
    assert ended.stderr.endswith(': user: only root can become "root"\n')
