"""What each process may still ask of the kernel: as /proc says, and as a captured process finds out."""
import ctypes
import errno
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess

import pytest
import yaml

from gatehouse import Authd, Issuer, Proxyd, Upstream, proxyd_config, request
from harness import BUILD
from inject import CALLS, Captured, Ended
from proc import status_of


def filters_of(pid):
    return int(status_of(pid)["Seccomp_filters"])


LACKING = "sandbox: less than there could be"


def kernel_has():
    """(whether it filters system calls, the version of Landlock), as it answers us: a filter that is none is EFAULT."""
    libc = ctypes.CDLL(None, use_errno=True)
    seccomp = libc.prctl(22, 2, None) < 0 and ctypes.get_errno() == errno.EFAULT  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    return seccomp, max(0, libc.syscall(444, None, 0, 1))  # landlock_create_ruleset, the same number everywhere


def skip_if_off(program):
    """What the program says at its start is what there is; the version of Landlock. A kernel without filters and a build with a sanitizer leave nothing to try."""
    (found,) = program.find_log("sandbox") or program.find_log(LACKING)
    if found.get("reason") == "this build has a sanitizer":
        pytest.skip(found["reason"])
    assert (found["seccomp"], found["landlock"]) == kernel_has()
    if not found["seccomp"]:
        pytest.skip(found["reason"])
    return found["landlock"]


def authd_config(folder, **web):
    return {
        "issuer": "http://127.0.0.1:5556/oidc",
        "storage": {"type": "lmdb", "config": {"path": str(folder / "store")}},
        "web": {"unix": str(folder / "authd.sock")} | web,
        "enablePasswordDB": True,
        "logger": {"level": "info", "format": "json"},
    }


def running(proxyd):
    """Every process of a proxyd."""
    children = pathlib.Path(f"/proc/{proxyd.process.pid}/task/{proxyd.process.pid}/children").read_text()
    return [proxyd.process.pid] + [int(pid) for pid in children.split()]


def test_every_process_is_confined(tmp_path, ca):
    with Issuer(ca) as issuer, Upstream(ca) as upstream, Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        skip_if_off(proxyd)
        pids = running(proxyd)
        assert set(proxyd.pids("worker") + proxyd.pids("keeper")) < set(pids) and len(pids) >= 5, "with the master and the logger"
        masters = filters_of(pids[0])
        for pid in pids:
            status = status_of(pid)
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status["Name"]
            if pid != proxyd.process.pid:
                assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
                assert filters_of(pid) == masters + 1, "master's and its own"
        # After the changes that make new processes, too.
        proxyd.reload()
        os.kill(proxyd.pids("worker")[0], signal.SIGKILL)
        proxyd.wait_log("child ready", child="worker", index=0, generation=2, count=2)
        assert all(filters_of(pid) == masters + 1 for pid in proxyd.pids("worker"))
        assert request(proxyd.address, "GET", "/version", ca, token=issuer.mint())[0] == 200


def test_authd_is_confined(tmp_path):
    with Authd(tmp_path, authd_config(tmp_path)) as authd:
        skip_if_off(authd)
        for task in pathlib.Path(f"/proc/{authd.process.pid}/task").iterdir():
            text = (task / "status").read_text()
            assert "NoNewPrivs:\t1\n" in text and "Seccomp:\t2\n" in text and "CapEff:\t0000000000000000\n" in text


def test_what_a_captured_worker_tries_is_denied(tmp_path, ca):
    with Issuer(ca) as issuer, Upstream(ca) as upstream, socket.create_server(("127.0.0.1", 0)) as elsewhere:
        with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, workers=1)) as proxyd:
            landlock = skip_if_off(proxyd)
            pid = proxyd.pids("worker")[0]
            key_cache = next(line for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines() if "/memfd:" in line)
            assert " r--s " in key_cache
            start, end = (int(n, 16) for n in key_cache.split(" ")[0].split("-"))

            def address(port):
                return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton("127.0.0.1"))

            with Captured(proxyd, pid) as worker:
                assert worker.call("openat", -100, b"/etc/passwd", os.O_RDONLY) == -errno.EPERM
                assert worker.call("openat", -100, bytes(proxyd.file), os.O_RDONLY) == -errno.EPERM
                assert worker.call("fork") == -errno.EPERM
                assert worker.call("kill", proxyd.process.pid, 0) == -errno.EPERM
                assert worker.call("socket", socket.AF_PACKET, socket.SOCK_RAW, 0) == -errno.ENOSYS
                assert worker.call("socket", socket.AF_INET, socket.SOCK_DGRAM, 0) == -errno.ENOSYS
                assert worker.call("mprotect", start, end - start, 3) == -errno.EACCES, "the key cache is not to be written"
                assert worker.call("mprotect", worker.saved.rsp & ~4095, 4096, 7) == -errno.EPERM, "no code on the stack"
                fd = worker.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
                assert fd > 0
                if landlock >= 4:
                    assert worker.call("connect", fd, address(elsewhere.getsockname()[1]), 16) == -errno.EACCES
                assert worker.call("bind", fd, address(0), 16) == -errno.EPERM
                assert worker.call("connect", fd, address(upstream.address[1]), 16) == 0
            said = "sandbox: a system call was refused; said once for each"
            for call in ("openat", "kill", "socket", "mprotect", "bind"):
                proxyd.wait_log(said, call=call, number=CALLS[call])
            refused = proxyd.find_log(said)
            assert len(refused) == len({line["call"] for line in refused}) and {(line["program"], line["pid"]) for line in refused} == {("proxyd-worker", pid)}
            # It has only been told no: it serves on.
            assert request(proxyd.address, "GET", "/version", ca, token=issuer.mint())[0] == 200
            assert proxyd.pids("worker") == [pid]


@pytest.mark.parametrize("call, arguments", [("execve", (b"/bin/sh", 0, 0)), ("ptrace", (16, 1, 0, 0))])
@pytest.mark.parametrize("kind", ["worker", "keeper"])
def test_a_captured_process_that_executes_or_traces_is_ended_and_replaced(tmp_path, ca, kind, call, arguments):
    with Issuer(ca) as issuer, Proxyd(tmp_path, proxyd_config(ca, [issuer], workers=1)) as proxyd:
        skip_if_off(proxyd)
        pid = proxyd.pids(kind)[0]
        with pytest.raises(Ended) as ended:
            with Captured(proxyd, pid) as captured:
                captured.call(call, *arguments)
        assert ended.value.number == signal.SIGSYS
        said = proxyd.wait_log("sandbox: this process made a system call that only foreign code in it would make, and is ended")
        assert (said["call"], said["number"], said["program"], said["pid"]) == (call, CALLS[call], f"proxyd-{kind}", pid)
        assert "SIGSYS" in proxyd.wait_log("child died", child=kind)["reason"]
        proxyd.wait_log("child ready", child=kind, child_pid=lambda p: p != pid)


def test_what_is_refused_cannot_be_kept_out_of_the_log(tmp_path, ca):
    """Whoever takes the handler away, or blocks its signal, is ended."""
    with Issuer(ca) as issuer, Proxyd(tmp_path, proxyd_config(ca, [issuer], workers=1)) as proxyd:
        skip_if_off(proxyd)
        with pytest.raises(Ended) as ended:
            with Captured(proxyd, proxyd.pids("worker")[0]) as worker:
                worker.call("rt_sigaction", signal.SIGSYS, 0, 0, 8)
        assert ended.value.number == signal.SIGSYS
        proxyd.wait_log("child ready", child="worker", count=2)
        with pytest.raises(Ended) as ended:
            with Captured(proxyd, proxyd.pids("worker")[0]) as worker:
                assert worker.call("rt_sigprocmask", signal.SIG_BLOCK, struct.pack("=Q", 1 << (signal.SIGSYS - 1)), 0, 8) == 0
                worker.call("openat", -100, b"/etc/passwd", os.O_RDONLY)
        assert ended.value.number == signal.SIGSYS
        proxyd.wait_log("child ready", child="worker", count=3)


def test_a_captured_keeper_reads_no_secret(tmp_path, ca):
    with Issuer(ca) as issuer, Proxyd(tmp_path, proxyd_config(ca, [issuer])) as proxyd:
        landlock = skip_if_off(proxyd)
        key = ca.folder / "gateway.key"
        with Captured(proxyd, proxyd.pids("keeper")[0]) as keeper:
            if landlock:
                assert keeper.call("openat", -100, bytes(key), os.O_RDONLY) == -errno.EACCES
                assert keeper.call("openat", -100, bytes(proxyd.file), os.O_RDONLY) == -errno.EACCES
            assert keeper.call("openat", -100, b"/tmp/gatehouse-never", os.O_WRONLY | os.O_CREAT, 0o600) == -errno.EPERM
            assert keeper.call("fork") == -errno.EPERM
        assert proxyd.admin("/readyz")[0] == 200


def test_a_captured_authd_reads_and_writes_its_own_alone(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "secret").write_text("x")
    folder = tmp_path / "authd"
    folder.mkdir()
    with Authd(folder, authd_config(folder)) as authd:
        if skip_if_off(authd) < 3:
            pytest.skip("needs Landlock")
        with Captured(authd, authd.process.pid) as captured:
            assert captured.call("openat", -100, bytes(other / "secret"), os.O_RDONLY) == -errno.EACCES
            assert captured.call("openat", -100, bytes(other / "new"), os.O_WRONLY | os.O_CREAT, 0o600) == -errno.EACCES
            assert captured.call("fork") == -errno.EPERM
            assert captured.call("openat", -100, bytes(authd.file), os.O_RDONLY) > 0
        assert authd.process.poll() is None


def kernel_without(call):
    """To be run in a child before it executes: this call does not exist for it."""
    filter_ = [(0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, 0x00050000 | errno.ENOSYS), (0x06, 0, 0, 0x7FFF0000)]
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *i) for i in filter_))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(filter_), ctypes.addressof(instructions)))
    libc = ctypes.CDLL(None)

    def lose_it():
        assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0

    lose_it.kept = (instructions, program)
    return lose_it


@pytest.mark.parametrize("call, missing", [(444, "landlock is not available"), (317, "seccomp is not available")])
@pytest.mark.parametrize("program", ["authd", "proxyd"])
def test_where_the_sandbox_is_required_nothing_starts_on_a_kernel_without_it(tmp_path, ca, program, call, missing):
    with Issuer(ca) as issuer:
        config = authd_config(tmp_path) if program == "authd" else proxyd_config(ca, [issuer])
        file = tmp_path / "config.yaml"
        for wanted in ("available", "required"):
            file.write_text(yaml.safe_dump(config | {"sandbox": wanted}))
            command = [BUILD / program, "--check", file]
            here = subprocess.run(command, capture_output=True, text=True)
            if "has a sanitizer" in here.stderr:
                pytest.skip("a build with a sanitizer")
            there = subprocess.run(command, capture_output=True, text=True, preexec_fn=kernel_without(call))
            assert here.returncode == 0, here.stderr
            assert there.returncode == (wanted == "required"), there.stderr
            if wanted == "required":
                assert f'sandbox: expected "available" on this machine: {missing}' in there.stderr


def test_a_folder_that_authd_did_not_know_at_its_start_needs_a_restart_and_it_says_so(tmp_path, ca):
    cert, key = ca.issue("authd")
    folder, later = tmp_path / "authd", tmp_path / "later"
    folder.mkdir()
    later.mkdir()
    for name in (cert, key):
        shutil.copy(name, folder)
        shutil.copy(name, later)

    def config(where):
        return authd_config(folder, https="127.0.0.1:0", tlsCert=str(where / cert.name), tlsKey=str(where / key.name))

    with Authd(folder, config(folder)) as authd:
        if not skip_if_off(authd):
            pytest.skip("needs Landlock")
        authd.write(config(later))
        mark = authd.mark()
        authd.send(signal.SIGHUP)
        reason = authd.wait_log("configuration not reloaded: the old one stays in force", after=mark)["reason"]
        assert "Permission denied" in reason and reason.endswith("closed to authd until it is restarted)")
        authd.write(config(folder))
        authd.send(signal.SIGHUP)
        authd.wait_log("configuration reloaded", after=mark)


def test_a_keeper_whose_hosts_file_was_replaced_starts_anew(tmp_path, ca):
    """In a mount namespace of its own, so that this machine's file stays what it is."""
    build = tmp_path / "build"
    build.mkdir()
    (build / "proxyd").write_text(f'#!/bin/sh\nexec unshare --mount --propagation private {BUILD}/proxyd "$@"\n')
    (build / "proxyd").chmod(0o755)
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("needs mount namespaces")
    hosts = tmp_path / "hosts"
    shutil.copy("/etc/hosts", hosts)
    with Issuer(ca) as issuer:
        issuer.down()
        with Proxyd(tmp_path, proxyd_config(ca, [issuer]), binary=build / "proxyd") as proxyd:
            namespace = pathlib.Path(f"/proc/{proxyd.process.pid}/ns/mnt").readlink()
            assert namespace != pathlib.Path("/proc/self/ns/mnt").readlink(), "or this machine's own file would be covered"
            if not skip_if_off(proxyd):
                pytest.skip("needs Landlock")
            proxyd.wait_log("keys could not be fetched")
            subprocess.run(["nsenter", "-t", str(proxyd.process.pid), "-m", "mount", "--bind", str(hosts), "/etc/hosts"], check=True)
            ended = proxyd.wait_log("keeper ends")
            assert ended["reason"].startswith("a file of the name service was replaced")
            proxyd.wait_log("child ready", child="keeper", count=2)
            issuer.up()
            proxyd.wait_log("keys fetched", issuer=issuer.url)
