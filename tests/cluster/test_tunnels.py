"""exec, cp, attach, port-forward and logs -f with kubectl's own two ways of upgrading a connection: WebSocket and SPDY/3.1."""
import contextlib
import hashlib
import os
import pty
import re
import secrets
import socket
import subprocess
import threading
import time

import harness
import pytest

from foreign import run_directly, say, shows

SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
WEBSOCKET = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "true"}
MEGABYTE = 1 << 20
# kwok never ends a command's input, and tar reads whole records of 10 KiB: an archive of header, 50 MB and trailer has to fill its last one.
COPY_BYTES = 5120 * 10240 - 512 - 1024


class Way:
    """alice's kubectl with one of the two; at the end: the gateway's access lines prove which one it was."""

    def __init__(self, alice, name):
        self.alice, self.name, self.env = alice, name, SPDY if name == "spdy" else WEBSOCKET
        self.method = "POST" if name == "spdy" else "GET"
        self.mark = alice.gateway.proxyd.mark()

    def kubectl(self, *args, **more):
        return self.alice.kubectl(*args, env=self.env, **more)

    def popen(self, *args, **more):
        command = [self.alice.cluster.env["KUBECTL"], "--kubeconfig", self.alice.kubeconfig, *args]
        return subprocess.Popen(command, env=os.environ | self.env, **more)

    def lines(self, subresource, n=1):
        """The access lines of tunnels to a pod's subresource, once there are n: they are written when both sides have ended."""
        def ours(line):
            return line.get("path", "").endswith("/" + subresource) and line.get("status") == 101

        return self.alice.gateway.proxyd.wait_lines(ours, f"tunnels of {subresource}", n, self.mark)

    def check(self, subresource, n=1):
        lines = self.lines(subresource, n)
        assert {(e["method"], e["user"]) for e in lines} == {(self.method, self.alice.email)}
        return lines


@pytest.fixture(params=["websocket", "spdy"])
def way(request, alice):
    return Way(alice, request.param)


def test_exec_passes_input_output_errors_and_how_it_ended_as_without_the_gateway(way, cluster):
    """kwok reports a command that fails as an error (kubectl ends with 1 and says which code it was), and never tells a command of its
    input's end: so head knows how much to read."""
    command = ["exec", "-i", "hello", "-n", "demo", "--", "sh", "-c"]
    for script, code in (("head -c 8; echo to-stderr >&2", 0), ("head -c 8; exit 7", 1)):
        through = way.kubectl(*command, script, input="to-stdin", check=False)
        direct = run_directly(lambda: cluster.kubectl(*command, script, input="to-stdin", check=False, env=way.env))
        assert (through.returncode, through.stdout, through.stderr) == (direct.returncode, direct.stdout, direct.stderr)
        assert (through.returncode, through.stdout) == (code, "to-stdin")
        assert ("exit status 7" if code else "to-stderr") in through.stderr
    line = way.check("exec", 2)[0]
    assert line["bytes_in"] > len("to-stdin") and line["bytes_out"] > len("to-stdinto-stderr")


def test_exec_moves_much_each_way(way):
    text = secrets.token_hex(4 * MEGABYTE)
    done = way.kubectl("exec", "-i", "hello", "--", "sh", "-c", f"head -c {len(text)} | sha256sum; seq 1 1000000", input=text)
    digest, _, rest = done.stdout.partition("\n")
    assert digest.split()[0] == hashlib.sha256(text.encode()).hexdigest()
    assert rest == "".join(f"{i}\n" for i in range(1, 1000001))


def test_exec_with_a_terminal_is_interactive(way):
    """kubectl on a terminal of its own, typing what the prompt asks for."""
    ours, theirs = pty.openpty()
    with way.popen("exec", "-it", "hello", "--", "sh", stdin=theirs, stdout=theirs, stderr=theirs) as shell:
        os.close(theirs)
        seen = b""

        def until(pattern):
            nonlocal seen
            while not re.search(pattern, seen):
                with contextlib.suppress(OSError):  # EIO: the terminal's last user has gone
                    seen += os.read(ours, 4096) or b""
                    continue
                raise AssertionError(f"no {pattern} in {seen}")
            seen = b""

        os.write(ours, b"test -t 0 && echo is-a-$((40 + 2))-terminal\n")
        until(rb"is-a-42-terminal")
        os.write(ours, b"echo round-$((1 + 1))\n")
        until(rb"round-2")
        os.write(ours, b"exit\n")  # alone: kwok may lose what a terminal's last process said before it ended
        assert shell.wait(20) == 0
    os.close(ours)
    way.check("exec")


def test_a_kubectl_that_is_killed_ends_its_tunnel(way):
    with way.popen("exec", "-i", "hello", "--", "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        for text in ("first\n", "second\n"):
            run.stdin.write(text)
            run.stdin.flush()
            assert run.stdout.readline() == text
        run.kill()
    way.check("exec")


def test_cp_moves_50_megabytes_each_way_unchanged(way, tmp_path):
    there, here, back = tmp_path / "there", tmp_path / "here", tmp_path / "back"
    here.write_bytes(os.urandom(COPY_BYTES))
    there.mkdir()
    way.kubectl("cp", str(here), f"hello:{there}/copy")
    way.kubectl("cp", f"hello:{there}/copy", str(back))
    digests = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (here, there / "copy", back)}
    assert len(digests) == 1
    lines = way.check("exec", 2)
    assert max(e["bytes_in"] for e in lines) > COPY_BYTES and max(e["bytes_out"] for e in lines) > COPY_BYTES


def test_attach_shows_what_a_pod_says(way, cluster):
    with way.popen("attach", "hello", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as attached:
        try:
            shows(attached, "said-while-attached", lambda: say(cluster, "said-while-attached"))
        finally:
            attached.kill()
    way.check("attach")


class Echo:
    """A server for port-forward's other end: answers with what it was sent, after the sender's end or as it comes."""

    def __init__(self, port):
        self.server = socket.create_server(("127.0.0.1", port), backlog=128)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        with connection, contextlib.suppress(OSError):
            while some := connection.recv(1 << 16):
                connection.sendall(some)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


@pytest.fixture
def forwarded(way, cluster):
    """The local port of a running kubectl port-forward to an echo server."""
    with Echo(cluster.forward_port), way.popen(
        "port-forward", "hello", ":80", "--address", "127.0.0.1", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as forward:
        try:
            line = forward.stdout.readline()
            found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line)
            assert found, line + forward.stderr.read()
            yield int(found.group(1))
        finally:
            forward.kill()
    way.check("portforward")


def echoed(port, data):
    """Sends data and reads it back at the same time; True if it came back unchanged."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        digest, n = hashlib.sha256(), 0
        while n < len(data) and (some := connection.recv(1 << 18)):
            digest.update(some)
            n += len(some)
        sender.join()
    return n == len(data) and digest.digest() == hashlib.sha256(data).digest()


def test_port_forward_carries_64_connections_at_once(forwarded):
    results = []
    data = [os.urandom(200_000) for _ in range(64)]
    threads = [threading.Thread(target=lambda d=d: results.append(echoed(forwarded, d))) for d in data]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [True] * 64


def test_port_forward_carries_100_megabytes(forwarded):
    assert echoed(forwarded, os.urandom(100 * MEGABYTE))


def test_a_person_without_rights_gets_the_apiservers_refusal_not_a_tunnel(mallory, cluster):
    for env in (WEBSOCKET, SPDY):
        through = mallory.kubectl("exec", "-n", "demo", "hello", "--", "true", check=False, env=env)
        direct = cluster.kubectl("exec", "-n", "demo", "hello", "--as", mallory.email, "--", "true", check=False, env=env)
        assert through.returncode == direct.returncode == 1
        assert through.stderr == direct.stderr and "cannot" in through.stderr


def test_a_tunnel_outlives_a_reload_until_its_own_deadline(cluster, gateway, alice, tmp_path_factory):
    """HUP under a running exec: the old worker keeps it, until limits.tunnelDrainTimeout."""
    folder = tmp_path_factory.mktemp("drain")
    clusters = [{"name": "default", "kubeconfig": cluster.env["GATEWAY_KUBECONFIG"]}]
    more = {"limits": {"drainTimeout": "500ms", "tunnelDrainTimeout": "3s"}, "authentication": gateway.proxyd.config["authentication"]}
    with harness.Gateway(folder, {}, clusters=clusters, proxyd_more=more) as other:
        kubeconfig = other.write_kubeconfig(folder / "kubeconfig", {"token": alice.token}, "demo")
        command = [cluster.env["KUBECTL"], "--kubeconfig", kubeconfig, "exec", "-i", "hello", "--", "cat"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
            def says(text):
                run.stdin.write(text)
                run.stdin.flush()
                return run.stdout.readline()

            assert says("before\n") == "before\n"
            other.proxyd.reload()
            reloaded = time.monotonic()
            assert says("after\n") == "after\n"
            assert run.stdout.readline() == ""  # cut
            assert 2.5 < time.monotonic() - reloaded < 10
            run.stdin.close()
            assert run.wait(20) != 0
        line = next(line for line in other.proxyd.log_file.read_text().splitlines() if '/exec"' in line)
        assert '"status":101' in line and '"reason":"the gateway stopped"' in line
