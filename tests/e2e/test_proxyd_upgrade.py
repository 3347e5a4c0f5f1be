"""USR2: another program takes over while clients send requests, or does not and nothing has happened. Listening sockets that a service manager opens."""
import os
import re
import select
import shutil
import signal
import socket
import subprocess

import pytest
import yaml

from gatehouse import REAPED, Adopted, Proxyd, adopt_orphans, proxyd_config, request
from harness import BUILD, free_port
from held import half_a_request, load, reloading


def get(proxyd, ca, issuer):
    return request(proxyd.address, "GET", "/api", ca, token=issuer.mint())[0]


def installed(tmp_path):
    """A program of its own, to be replaced: the path leads through a symbolic link."""
    (tmp_path / "v1").symlink_to(BUILD / "proxyd")
    link = tmp_path / "proxyd"
    link.symlink_to("v1")
    return link


def install(link, text=None, target=None):
    """Another file in its place, as a package would: a script, or a link."""
    new = link.with_suffix(".new")
    if text is None:
        new.symlink_to(target)
    else:
        new.write_text(text)
        new.chmod(0o755)
    new.rename(link)


# ---- a program that takes over


def test_another_program_takes_over_under_load_and_nobody_notices(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        with load(proxyd, ca, issuer.mint()) as clients:
            for _ in range(3):
                clients.wait_sent(30)
                old = proxyd.upgrade()
                clients.wait_sent(30)
                assert old.wait(30) == 0
        assert clients.failed == []
        reasons = [line["reason"] for line in proxyd.find_log("upgrade: this program serves")]
        assert reasons == ["it has answered a request"] * 3
        assert proxyd.current()["generation"] == 4  # numbers go on, so that a log of both is readable


def test_the_program_is_looked_up_where_it_was_started_from(tmp_path, ca, issuer, upstream):
    link = installed(tmp_path)
    version = tmp_path / "v2"
    shutil.copy(BUILD / "proxyd", version)
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream), binary=link) as proxyd:
        (tmp_path / "v1").unlink()  # what runs is not there any more
        install(link, target=version)
        with load(proxyd, ca, issuer.mint(), clients=2):
            old = proxyd.upgrade()
        old.wait(30)
        assert os.readlink(f"/proc/{proxyd.process.pid}/exe") == str(version)


def test_the_new_program_reads_the_configuration_as_it_is_now(tmp_path, ca, issuer, upstream):
    config = proxyd_config(ca, [issuer], upstream, workers=1)
    with Proxyd(tmp_path, config) as proxyd:
        second = f"127.0.0.1:{free_port()}"
        proxyd.write(config | {"workers": 2, "listen": config["listen"] + [config["listen"][0] | {"address": second}]})
        first = proxyd.address
        with load(proxyd, ca, issuer.mint(), clients=2):
            proxyd.upgrade().wait(30)
        assert proxyd.current()["workers"] == 2
        assert proxyd.addresses == [first, second]
        assert request(second, "GET", "/api", ca, token=issuer.mint())[0] == 200


def test_keys_and_tickets_are_handed_over(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        context = ca.client_context()
        host, port = proxyd.address.rsplit(":", 1)

        def handshake(session=None):
            with context.wrap_socket(socket.create_connection((host, int(port)), 10), server_hostname="localhost", session=session) as tls:
                tls.sendall(b"GET /api HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer " + issuer.mint().encode() + b"\r\n\r\n")
                answer = b""
                while part := tls.recv(4096):
                    answer += part
                return answer.split(b" ", 2)[1], tls.session, tls.session_reused

        status, session, _ = handshake()
        assert status == b"200"
        issuer.down()  # nobody could fetch keys now
        with load(proxyd, ca, issuer.mint(), clients=2):
            proxyd.upgrade().wait(30)
        status, _, reused = handshake(session)
        assert (status, reused) == (b"200", True)


def test_a_request_that_runs_is_finished_by_the_old_program(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd, half_a_request(proxyd, ca, issuer.mint()) as slow:
        with load(proxyd, ca, issuer.mint(), clients=2):
            old = proxyd.upgrade()
        assert old.poll() is None
        slow.sendall(b"cd")
        answer = slow.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in answer
        slow.close()
        assert old.wait(30) == 0
        assert get(proxyd, ca, issuer) == 200


def test_without_a_request_a_trial_of_ten_seconds_is_enough(tmp_path, ca):
    with Proxyd(tmp_path, proxyd_config(ca)) as proxyd:
        old = proxyd.upgrade()
        assert proxyd.find_log("upgrade: this program serves")[0]["reason"] == "nothing went wrong"
        assert old.wait(30) == 0


def test_a_reload_and_workers_that_are_asked_for_meanwhile_come_after_it(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, workers=1)) as proxyd:
        adopt_orphans()
        proxyd.send(signal.SIGUSR2)
        proxyd.wait_log("upgrade: started")
        proxyd.send(signal.SIGHUP)
        proxyd.wait_log("reload: queued until the running one is done")
        with load(proxyd, ca, issuer.mint(), clients=2):
            new = proxyd.wait_log("upgrade: this program serves")["pid"]
        proxyd.wait_log("reload: done", pid=new)  # it may have read its configuration before
        assert proxyd.process.wait(30) == 0
        proxyd.process = Adopted(new)


def test_a_second_one_is_refused_while_one_runs_and_one_waits_for_a_reload(tmp_path, ca, issuer):
    with reloading(tmp_path, ca, issuer) as (proxyd, go_on):
        proxyd.send(signal.SIGUSR2)
        proxyd.wait_log("upgrade: queued until the running reload is done")
        go_on()
        proxyd.wait_log("reload: done")
        proxyd.wait_log("upgrade: started")
        proxyd.send(signal.SIGUSR2)
        proxyd.wait_log("upgrade: one runs already")


# ---- one that does not


BROKEN = {
    "not there": (None, r"/proxyd cannot be run: No such file or directory$"),
    "no program": ("\x00", r"cannot be run: Exec format error$"),
    "ends": ("#!/bin/sh\nexit 7\n", r"^the new program ended with status 7$"),
    "crashes": ("#!/bin/sh\nkill -SEGV $$\n", r"^the new program was ended by signal 11 \(SIGSEGV\)$"),
    "hangs": ("#!/bin/sh\nexec tail -f /dev/null\n", r"^the new program did not become ready in time$"),
    "talks nonsense": ("#!/bin/sh\necho nonsense >&$PROXYD_PREDECESSOR\nexec tail -f /dev/null\n", r"^the new program talks nonsense$"),
    "another program": ("#!/bin/sh\nexec cat /dev/null\n", r"^the new program ended with status 0$"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_program_that_does_not_run_changes_nothing(tmp_path, ca, issuer, upstream, name):
    text, why = BROKEN[name]
    link = installed(tmp_path)
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, limits={"upgradeTimeout": "1s"}), binary=link) as proxyd:
        with load(proxyd, ca, issuer.mint(), clients=4) as clients:
            if text is None:
                link.unlink()
            else:
                install(link, text)
            assert re.search(why, proxyd.upgrade_fails())
            clients.wait_sent(20)
            # And once it is repaired, it works.
            link.unlink(missing_ok=True)
            link.symlink_to(BUILD / "proxyd")
            proxyd.upgrade().wait(30)
            clients.wait_sent(20)
        assert clients.failed == []


def test_a_configuration_that_is_wrong_by_now_changes_nothing_and_the_log_says_its_line(tmp_path, ca, issuer, upstream):
    config = proxyd_config(ca, [issuer], upstream)
    with Proxyd(tmp_path, config) as proxyd:
        with load(proxyd, ca, issuer.mint(), clients=4) as clients:
            proxyd.write(config | {"workers": "many"})
            assert re.search(r"proxyd.yaml:\d+: workers: ", proxyd.upgrade_fails())
            proxyd.write(config | {"log": {"file": "/nonexistent/x.log"}})
            assert "log.file: /nonexistent/x.log cannot be created" in proxyd.upgrade_fails()
            clients.wait_sent(20)
        assert clients.failed == []


def test_an_address_of_somebody_else_changes_nothing(tmp_path, ca, issuer, upstream):
    config = proxyd_config(ca, [issuer], upstream)
    with Proxyd(tmp_path, config) as proxyd, socket.create_server(("127.0.0.1", 0)) as other:
        with load(proxyd, ca, issuer.mint(), clients=4) as clients:
            taken = "127.0.0.1:%d" % other.getsockname()[1]
            proxyd.write(config | {"listen": config["listen"] + [config["listen"][0] | {"address": taken}]})
            assert proxyd.upgrade_fails().endswith(f"cannot listen on {taken}: Address already in use")
            clients.wait_sent(20)
        assert clients.failed == []


def test_another_try_waits_for_the_end_of_one_that_failed(tmp_path, ca, issuer, upstream):
    link = installed(tmp_path)
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream), binary=link) as proxyd:
        install(link, "#!/bin/sh\necho nonsense >&$PROXYD_PREDECESSOR\ntrap '' TERM\nexec tail -f /dev/null\n")
        proxyd.send(signal.SIGUSR2)
        failed = proxyd.wait_log("upgrade: started")["child_pid"]
        proxyd.wait_log("upgrade: failed, this program stays")
        link.unlink()
        link.symlink_to(BUILD / "proxyd")
        with load(proxyd, ca, issuer.mint(), clients=2):
            proxyd.upgrade().wait(30)
        assert not os.path.exists(f"/proc/{failed}")


@pytest.mark.parametrize("child", ["worker", "keeper"])
def test_a_process_of_it_that_dies_on_trial_gives_everything_back(tmp_path, ca, child):
    with Proxyd(tmp_path, proxyd_config(ca)) as proxyd:
        proxyd.send(signal.SIGUSR2)
        proxyd.wait_log("upgrade: the new program accepts connections")
        new = proxyd.wait_log("child started", child=child, generation=2)["child_pid"]
        os.kill(new, signal.SIGKILL)
        assert "was ended by signal 9 (SIGKILL)" in proxyd.wait_log("upgrade: failed, this program stays")["reason"]
        # Those who left connections to the others take them again.
        assert request(proxyd.address, "GET", "/api", ca)[0] == 401


def test_one_that_is_killed_on_trial_gives_everything_back(tmp_path, ca):
    with Proxyd(tmp_path, proxyd_config(ca)) as proxyd:
        proxyd.send(signal.SIGUSR2)
        new = proxyd.wait_log("upgrade: the new program accepts connections")["child_pid"]
        os.kill(new, signal.SIGKILL)
        assert proxyd.wait_log("upgrade: failed, this program stays")["reason"] == "the new program was ended by signal 9 (SIGKILL)"
        assert request(proxyd.address, "GET", "/api", ca)[0] == 401


def test_an_end_meanwhile_ends_both(tmp_path, ca):
    adopt_orphans()
    with Proxyd(tmp_path, proxyd_config(ca)) as proxyd:
        proxyd.send(signal.SIGUSR2)
        new = Adopted(proxyd.wait_log("upgrade: the new program accepts connections")["child_pid"])
        proxyd.send(signal.SIGTERM)
        assert proxyd.wait() == 0
        assert select.select([new.fd], [], [], 30)[0]  # either of us has reaped it


def test_one_whose_predecessor_is_killed_goes_on_alone(tmp_path, ca):
    adopt_orphans()
    with Proxyd(tmp_path, proxyd_config(ca)) as proxyd:
        proxyd.send(signal.SIGUSR2)
        new = proxyd.wait_log("upgrade: the new program accepts connections")["child_pid"]
        proxyd.process.kill()
        proxyd.process.wait()
        assert proxyd.wait_log("upgrade: this program serves", pid=new)["reason"] == "its predecessor is gone"
        proxyd.process = Adopted(new)
        assert request(proxyd.address, "GET", "/api", ca)[0] == 401


def test_the_end_of_the_new_program_ends_the_old_one_too(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd, half_a_request(proxyd, ca, issuer.mint()):
        with load(proxyd, ca, issuer.mint(), clients=2):
            old = proxyd.upgrade()
        assert old.poll() is None
        proxyd.send(signal.SIGTERM)
        assert proxyd.wait() in (0, REAPED)
        assert old.wait(30) == 0


# ---- the service manager


class Manager:
    """NOTIFY_SOCKET's other end."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(30)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def wait(self, wanted):
        """(process id, message) of the first message with that line."""
        while True:
            text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
            if any(re.fullmatch(wanted, line) for line in text.decode().splitlines()):
                return int.from_bytes(ancillary[0][2][:4], "little"), text.decode()


def test_the_service_manager_follows(tmp_path, ca, issuer, upstream):
    manager = Manager(tmp_path)
    env = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"}
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream), env=env) as proxyd:
        first = proxyd.process.pid
        assert manager.wait("READY=1")[0] == first
        assert manager.wait("WATCHDOG=1")[0] == first
        proxyd.send(signal.SIGHUP)
        sender, text = manager.wait("RELOADING=1")
        assert sender == first and re.search(r"^MONOTONIC_USEC=\d+$", text, re.M)
        manager.wait("READY=1")
        with load(proxyd, ca, issuer.mint(), clients=2):
            proxyd.upgrade()
        sender, text = manager.wait("MAINPID=.*")
        assert sender == first  # only the main process is listened to
        assert text.splitlines() == [f"MAINPID={proxyd.process.pid}", "READY=1", "STATUS=serving", "WATCHDOG=1"]
        for _ in range(3):
            assert manager.wait("WATCHDOG=1")[0] == proxyd.process.pid
        proxyd.stop()
        assert manager.wait("STOPPING=1")[0] == proxyd.process.pid


def test_the_pid_file_names_who_serves(tmp_path, ca, issuer, upstream):
    file = tmp_path / "proxyd.pid"
    config = proxyd_config(ca, [issuer], upstream, pidFile=str(file))
    with Proxyd(tmp_path, config) as proxyd:
        assert file.read_text() == f"{proxyd.process.pid}\n"
        with load(proxyd, ca, issuer.mint(), clients=2):
            old = proxyd.upgrade()
        old.wait(30)
        assert file.read_text() == f"{proxyd.process.pid}\n"
        proxyd.reload(config | {"pidFile": str(tmp_path / "other.pid")})
        assert (tmp_path / "other.pid").read_text() == f"{proxyd.process.pid}\n" and not file.exists()
        assert "pidFile: /nonexistent/x.pid cannot be created: No such file or directory" in proxyd.reload_fails(config | {"pidFile": "/nonexistent/x.pid"})
        too_long = str(tmp_path / ("p" * 255))  # for the name that it has until it is whole
        assert proxyd.reload(config | {"pidFile": too_long})
        assert proxyd.find_log("pid file not written")[-1]["file"] == too_long
        proxyd.reload(config)
        assert file.exists()
    assert not file.exists()


# ---- socket activation


def activate(tmp_path, config, sockets, names=None, wrong_pid=False):
    """proxyd, started as a service manager does it, with sockets at 3, 4, …"""
    file = tmp_path / "activated.yaml"
    file.write_text(yaml.safe_dump(config))
    script = 'export LISTEN_PID=%s LISTEN_FDS=%d; %s exec "$0" "$1"' % (
        "1" if wrong_pid else "$$", len(sockets), f"export LISTEN_FDNAMES={names};" if names else "")

    def arrange():
        for i, s in enumerate(sockets):
            os.dup2(s.fileno(), 100 + i)
        for i in range(len(sockets)):
            os.dup2(100 + i, 3 + i)

    return subprocess.Popen(["sh", "-c", script, BUILD / "proxyd", file], stderr=subprocess.PIPE, text=True, preexec_fn=arrange,
                            pass_fds=range(3, 3 + len(sockets)))


def wait_line(process, text):
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"it ended without {text!r}")


def test_sockets_that_a_service_manager_opened_are_used(tmp_path, ca):
    config = proxyd_config(ca)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as admin, socket.create_server(("127.0.0.1", 0)) as extra:
        address, admin_address, _ = ("127.0.0.1:%d" % s.getsockname()[1] for s in (one, admin, extra))
        config["listen"][0]["address"], config["admin"] = address, {"address": admin_address}
        early = socket.create_connection(one.getsockname())  # waits in the queue, before there is a process
        process = activate(tmp_path, config, [extra, admin, one], names="extra:admin:https")
        try:
            assert f'"address":"127.0.0.1:{extra.getsockname()[1]}"' in wait_line(process, "a socket that was passed on is closed")
            wait_line(process, "proxyd ready")
            tls = ca.client_context().wrap_socket(early, server_hostname="localhost")
            tls.sendall(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert tls.recv(4096).startswith(b"HTTP/1.1 401 ")
            tls.close()
            with socket.create_connection(admin.getsockname()) as plain:
                plain.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert plain.recv(4096).startswith(b"HTTP/1.1 200 ")
        finally:
            process.terminate()
            assert process.wait(30) == 0


def test_sockets_meant_for_another_process_are_not_touched(tmp_path, ca):
    config = proxyd_config(ca)
    with socket.create_server(("127.0.0.1", 0)) as one:
        config["listen"][0]["address"] = "127.0.0.1:%d" % one.getsockname()[1]
        process = activate(tmp_path, config, [one], wrong_pid=True)
        assert "Address already in use" in process.communicate(timeout=30)[1]
        assert process.returncode == 1


def test_what_cannot_be_served_is_refused_by_name(tmp_path, ca):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_server(("127.0.0.1", 0)) as one:
        udp.bind(("127.0.0.1", 0))
        process = activate(tmp_path, proxyd_config(ca), [one, udp], names="https:dns")
        assert process.communicate(timeout=30)[1] == 'proxyd: the socket "dns" that was passed on (descriptor 4) cannot be used: it is no stream socket\n'
        assert process.returncode == 1
        with open("/dev/null") as null:
            process = activate(tmp_path, proxyd_config(ca), [null], names="null")
            assert 'the socket "null" that was passed on (descriptor 3) cannot be used: ' in process.communicate(timeout=30)[1]


def test_a_number_of_sockets_that_is_none_is_refused(tmp_path, ca):
    proxyd = Proxyd(tmp_path, proxyd_config(ca))
    script = 'export LISTEN_PID=$$ LISTEN_FDS=many; exec "$0" "$1"'
    done = subprocess.run(["sh", "-c", script, BUILD / "proxyd", proxyd.file], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (1, "proxyd: LISTEN_FDS is no number from 0 to 65\n")
