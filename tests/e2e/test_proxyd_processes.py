"""proxyd's processes: what starts, what replaces what, how it ends, and what each holds."""
import contextlib
import http.client
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
from harness import BUILD
from held import Running, get
from proc import alive, status_of


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
