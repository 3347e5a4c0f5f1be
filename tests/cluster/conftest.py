"""A real cluster (scripts/cluster) with the gateway before it, once for all tests of this folder."""
import json
import os
import pathlib
import secrets
import subprocess

import harness
import pytest
import requests

from foreign import tried_again
from waiting import wait_file

ALICE = "alice@example.com"  # in demo-admins
MALLORY = "mallory@example.com"  # signed in, in no group
PEOPLE = {ALICE: "correct horse", MALLORY: "battery staple"}


class Cluster:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.forward_port = harness.free_ports(1)[0]  # what port-forward reaches, once a test listens there
        subprocess.run(
            [harness.ROOT / "scripts/cluster", "up", folder, "--kwok", "--audit", "--while", str(os.getpid())]
            + ["--forward", str(self.forward_port)],
            check=True,
        )
        self.env = dict(line.split("=", 1) for line in (self.folder / "env").read_text().splitlines())
        self.url, self.ca = self.env["CLUSTER_URL"], self.env["CLUSTER_CA"]
        self.audit_log, self.pod_log = pathlib.Path(self.env["AUDIT_LOG"]), pathlib.Path(self.env["POD_LOG"])
        self.admin = requests.Session()
        self.admin.trust_env, self.admin.verify = False, self.ca
        self.admin.cert = (str(self.folder / "pki/admin.pem"), str(self.folder / "pki/admin.key"))
        self.gateway_itself = requests.Session()
        self.gateway_itself.trust_env, self.gateway_itself.verify = False, self.ca
        self.gateway_itself.cert = (str(self.folder / "pki/gatehouse-proxy.pem"), str(self.folder / "pki/gatehouse-proxy.key"))

    def down(self):
        subprocess.run([harness.ROOT / "scripts/cluster", "down", self.folder], check=True)

    def kubectl(self, *args, kubeconfig=None, check=True, env=None, **more):
        done = subprocess.run(
            [self.env["KUBECTL"], "--kubeconfig", kubeconfig or self.env["ADMIN_KUBECONFIG"], *args],
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"KUBECACHEDIR": str(self.folder / "kubectl-cache")} | (env or {}),
            **more,
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr}"
        return done

    def audit_events(self, mark):
        """Events of requests whose URI has the mark, once all that came before this call are written: the log is written in
        order of completion, so a request of our own, made now, closes the list."""
        end = "end-" + secrets.token_hex(8)
        assert self.admin.get(f"{self.url}/version", params={"mark": end}, timeout=10).status_code == 200
        log = wait_file(self.audit_log, lambda text: text if end in text else None, end)
        return [json.loads(line) for line in log.splitlines() if mark in line]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.kubectl("apply", "-f", str(harness.ROOT / "scripts/deploy/quickstart-demo.yaml"))
        cluster.kubectl("apply", "-f", str(harness.ROOT / "scripts/deploy/quickstart-local.yaml"))
        cluster.kubectl("wait", "-n", "demo", "--for=condition=Ready", "pod/hello", "--timeout=30s")
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def gateway(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    clusters = [{"name": "default", "kubeconfig": cluster.env["GATEWAY_KUBECONFIG"]}]
    with harness.Gateway(folder, PEOPLE, groups={ALICE: ["demo-admins", "night-shift"]}, clusters=clusters) as gateway:
        yield gateway


class Caller:
    """A signed-in person: an id_token, and kubectl with it."""

    def __init__(self, cluster, gateway, person, folder):
        self.cluster, self.gateway, self.email = cluster, gateway, person.email
        self.tokens = person.sign_in()
        self.token = self.tokens["id_token"]
        self.kubeconfig = gateway.write_kubeconfig(folder / "kubeconfig", {"token": self.token}, "demo")
        self.http = gateway.browser()
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def kubectl(self, *args, **more):
        return self.cluster.kubectl(*args, kubeconfig=self.kubeconfig, **more)

    def get(self, path, **more):
        return self.http.get(self.gateway.url + path, timeout=20, **more)


@pytest.fixture(scope="session")
def alice(cluster, gateway, tmp_path_factory):
    return Caller(cluster, gateway, gateway.people[ALICE], tmp_path_factory.mktemp("alice"))


@pytest.fixture(scope="session")
def mallory(cluster, gateway, tmp_path_factory):
    return Caller(cluster, gateway, gateway.people[MALLORY], tmp_path_factory.mktemp("mallory"))


@pytest.fixture
def mark():
    """Words that are in this test's request URIs and nowhere else."""
    return "mark-" + secrets.token_hex(8)


class Matrix:
    """What test_matrix.py has found: {(client, verb): word}."""

    cells = {}


@pytest.fixture(scope="session")
def matrix():
    return Matrix


def pytest_terminal_summary(terminalreporter):
    for line in tried_again:
        terminalreporter.write_line(f"tried again (foreign.py): {line}")
    if not Matrix.cells:
        return
    clients = list(dict.fromkeys(client for client, _ in Matrix.cells))
    verbs = list(dict.fromkeys(verb for _, verb in Matrix.cells))
    wide = max(len(verb) for verb in verbs)
    terminalreporter.write_line("\n" + "kubectl".ljust(wide) + "".join(client.rjust(9) for client in clients))
    for verb in verbs:
        terminalreporter.write_line(verb.ljust(wide) + "".join(Matrix.cells.get((client, verb), "-").rjust(9) for client in clients))
