"""Every kubectl that scripts/cluster-parts has, times what people do with it. conftest.py prints the table at the end.

A cell of a verb that upgrades its connection names the ways that the gateway saw: kubectl 1.29 was the first with WebSockets for exec, attach and cp
(1.31 for port-forward), and each of those is run both ways."""
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess

import harness
import pytest

from foreign import config_map, make_config_map, run_129, say, shows

PARTS = pathlib.Path(os.environ.get("GATEHOUSE_CACHE", pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "gatehouse"))
OLDER = {}
for row in (harness.ROOT / "tests/cluster/parts/kubectls.txt").read_text().splitlines():
    if not row.startswith("#"):
        name, package, _ = row.split()
        program = PARTS / f"parts/kubectl-{name}-{package.rsplit('@', 1)[1]}/kubectl"
        if program.exists():
            OLDER[name] = program
CLIENTS = [*OLDER, "1.37"]
BOTH_WAYS = [
    {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": word, "KUBECTL_PORT_FORWARD_WEBSOCKETS": word} for word in ("true", "false")
]
ONE_TAR_RECORD = 10240 - 512 - 1024  # see test_tunnels.py


class Client:
    """One version, signed in as alice, and what the gateway has logged since it was made."""

    def __init__(self, version, alice, folder):
        self.version, self.alice, self.folder = version, alice, folder
        self.program = OLDER.get(version, alice.cluster.env["KUBECTL"])
        self.arguments = [self.program, "--kubeconfig", alice.kubeconfig, "--cache-dir", str(folder / "cache")]
        self.mark = alice.gateway.proxyd.mark()

    def run(self, *args, check=True, env=None, **more):
        def once():
            return subprocess.run([*self.arguments, *args], capture_output=True, text=True, timeout=30, env=os.environ | (env or {}), **more)

        done = run_129(once) if self.version == "1.29" else once()
        assert not check or done.returncode == 0, f"kubectl {self.version} {' '.join(args)}: {done.stderr}"
        return done

    @contextlib.contextmanager
    def running(self, *args, env=None):
        command = [*self.arguments, *args]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | (env or {})
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def ways(self, subresource):
        """ "ws", "spdy" or both: what the gateway has tunnelled for this client."""
        def ours(line):
            return line.get("path", "").endswith("/" + subresource) and line.get("status") == 101

        lines = self.alice.gateway.proxyd.wait_lines(ours, f"tunnels of {subresource}", len(BOTH_WAYS), self.mark)
        methods = {line["method"] for line in lines}
        return " ".join(word for method, word in (("GET", "ws"), ("POST", "spdy")) if method in methods)

    def object_name(self, what):
        return f"{what}-{self.version.replace('.', '-')}"


def get(client, cluster):
    assert client.run("get", "pods", "-o", "name").stdout.split() == ["pod/hello"]
    return "ok"


def apply(client, cluster):
    name = client.object_name("applied")
    assert "created" in client.run("apply", "-f", "-", input=config_map(name, "one")).stdout
    assert "configured" in client.run("apply", "-f", "-", input=config_map(name, "two")).stdout
    assert cluster.kubectl("get", "configmap", name, "-n", "demo", "-o", "jsonpath={.data.value}").stdout == "two"
    client.run("delete", "configmap", name)
    return "ok"


def apply_on_the_server(client, cluster):
    name = client.object_name("server-side")
    for value in ("one", "two"):
        assert "serverside-applied" in client.run("apply", "--server-side", "-f", "-", input=config_map(name, value)).stdout
    managers = cluster.kubectl("get", "configmap", name, "-n", "demo", "--show-managed-fields", "-o", "json").stdout
    assert json.loads(managers)["metadata"]["managedFields"][0]["operation"] == "Apply"
    client.run("delete", "configmap", name)
    return "ok"


def watch(client, cluster):
    name = client.object_name("watched")
    with client.running("get", "configmaps", "--watch-only", "-o", "name") as process:
        shows(process, name, lambda: make_config_map(cluster, name))
    return "ok"


def follow_logs(client, cluster):
    text = client.object_name("followed")
    with client.running("logs", "-f", "hello") as process:
        shows(process, text, lambda: say(cluster, text))
    return "ok"


def exec_(client, cluster):
    for env in BOTH_WAYS:
        done = client.run("exec", "-i", "hello", "--", "sh", "-c", "head -c 5; echo -err >&2", input="input", env=env)
        assert (done.stdout, done.stderr.endswith("-err\n")) == ("input", True)
        failed = client.run("exec", "hello", "--", "sh", "-c", "exit 7", check=False, env=env)
        assert failed.returncode == 1 and "exit status 7" in failed.stderr  # as kwok says it
    return client.ways("exec")


def attach(client, cluster):
    text = client.object_name("attached")
    for env in BOTH_WAYS:
        with client.running("attach", "hello", env=env) as process:
            shows(process, text, lambda: say(cluster, text))
    return client.ways("attach")


def cp(client, cluster):
    here, there, back = (client.folder / name for name in ("here", "there", "back"))
    for env in BOTH_WAYS:
        here.write_bytes(os.urandom(ONE_TAR_RECORD))
        client.run("cp", str(here), f"hello:{there}", env=env)
        client.run("cp", f"hello:{there}", str(back), env=env)
        assert here.read_bytes() == there.read_bytes() == back.read_bytes()
    return client.ways("exec")


def port_forward(client, cluster):
    with socket.create_server(("127.0.0.1", cluster.forward_port)) as server:
        for env in BOTH_WAYS:
            with client.running("port-forward", "hello", ":80", "--address", "127.0.0.1", env=env) as process:
                port = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", process.stdout.readline()).group(1)
                with socket.create_connection(("127.0.0.1", int(port)), timeout=20) as ours:
                    ours.sendall(b"ping")
                    server.settimeout(20)
                    theirs, _ = server.accept()
                    with theirs:
                        theirs.settimeout(20)
                        assert theirs.recv(4, socket.MSG_WAITALL) == b"ping"
                        theirs.sendall(b"pong")
                        assert ours.recv(4, socket.MSG_WAITALL) == b"pong"
    return client.ways("portforward")


def can_i(client, cluster):
    assert client.run("auth", "can-i", "create", "configmaps").stdout == "yes\n"
    refused = client.run("auth", "can-i", "get", "secrets", "-n", "kube-system", check=False)
    assert (refused.returncode, refused.stdout) == (1, "no\n")
    return "ok"


def discovery(client, cluster):
    names = client.run("api-resources", "-o", "name").stdout.split()
    direct = cluster.kubectl("api-resources", "-o", "name").stdout.split()
    assert set(names) == set(direct) and len(names) > 40
    return "ok"


def as_somebody_else(client, cluster):
    client.run("get", "pods")  # what the server has is known: kubectl shows no reason where it fails to ask for that
    refused = client.run("get", "pods", "--as", "mallory@example.com", check=False)
    assert refused.returncode == 1 and "impersonating others through this gateway is not allowed" in refused.stderr
    return "refused"


VERBS = {
    "get": get,
    "apply": apply,
    "apply --server-side": apply_on_the_server,
    "watch": watch,
    "logs -f": follow_logs,
    "exec": exec_,
    "attach": attach,
    "cp": cp,
    "port-forward": port_forward,
    "auth can-i": can_i,
    "api-resources": discovery,
    "--as": as_somebody_else,
}
WEBSOCKETS_SINCE = {"exec": 29, "attach": 29, "cp": 29, "port-forward": 31}


@pytest.mark.parametrize("version", CLIENTS)
@pytest.mark.parametrize("verb", VERBS)
def test_each_kubectl_does(verb, version, alice, cluster, tmp_path, matrix):
    matrix.cells[version, verb] = "FAILED"
    cell = VERBS[verb](Client(version, alice, tmp_path), cluster)
    if verb in WEBSOCKETS_SINCE:
        newer = int(version.split(".")[1]) >= WEBSOCKETS_SINCE[verb]
        assert cell == ("ws spdy" if newer else "spdy")
    matrix.cells[version, verb] = cell
