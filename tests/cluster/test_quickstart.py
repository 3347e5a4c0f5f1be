"""scripts/quickstart as a newcomer runs it, in a state folder of its own."""
import os
import pathlib
import signal
import ssl
import stat
import subprocess
import urllib.request

import harness
import pytest
import requests

QUICKSTART = harness.ROOT / "scripts/quickstart"


class Quickstart:
    def __init__(self, state):
        self.state = pathlib.Path(state)

    def run(self, *args, check=True, **env):
        done = subprocess.run(
            [QUICKSTART, *args],
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
            env={k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")} | {"GATEHOUSE_STATE": str(self.state)} | env,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def env(self):
        lines = (self.state / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    def pids(self):
        folders = (self.state / "run", self.state / "cluster/run")
        return {f.stem: int(f.read_text().split()[0]) for folder in folders for f in folder.glob("*.pid")}


@pytest.fixture
def quickstart(tmp_path):
    quickstart = Quickstart(tmp_path / "state")
    yield quickstart
    quickstart.run("--down", check=False)


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def kubectl(cluster, kubeconfig, *args, **more):
    return cluster.kubectl(*args, kubeconfig=kubeconfig, **more)


def test_quickstart_sets_up_what_it_promises_and_runs_again_without_a_change(quickstart, cluster):
    said = quickstart.run().stdout
    env = quickstart.env()
    assert stat.S_IMODE((quickstart.state / "env").stat().st_mode) == 0o600
    assert env["GATEHOUSE_USER"] in said and env["GATEHOUSE_PASSWORD"] in said and f"{env['GATEHOUSE_URL']}/console/" in said
    assert env["GATEHOUSE_ISSUER"] == env["GATEHOUSE_URL"] + "/oidc"
    sourced = subprocess.run(["sh", "-c", f". {quickstart.state}/env && echo $GATEHOUSE_CLIENT_ID"], capture_output=True, text=True)
    assert sourced.stdout == "gatehouse-cli\n"

    me = kubectl(cluster, env["GATEHOUSE_KUBECONFIG"], "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert me.stdout == env["GATEHOUSE_USER"]
    assert "hello" in kubectl(cluster, env["GATEHOUSE_KUBECONFIG"], "get", "pods").stdout
    assert "hello from a pod" in kubectl(cluster, env["GATEHOUSE_KUBECONFIG"], "logs", "hello").stdout
    refused = kubectl(cluster, env["GATEHOUSE_KUBECONFIG"], "get", "secrets", "-n", "kube-system", check=False)
    assert "Forbidden" in refused.stderr
    kubectl(cluster, env["ADMIN_KUBECONFIG"], "get", "secrets", "-n", "kube-system")

    before = quickstart.pids()
    quickstart.run()
    assert quickstart.env() == env and quickstart.pids() == before

    os.kill(before["proxyd"], signal.SIGKILL)
    quickstart.run()
    after = quickstart.pids()
    assert quickstart.env() == env
    assert after.pop("proxyd") != before.pop("proxyd") and after == before

    quickstart.run("--down")
    assert quickstart.pids() == {} and not any(alive(pid) for pid in before.values())


def test_quickstart_before_an_own_cluster_uses_a_service_account_that_can_only_impersonate(quickstart, cluster):
    quickstart.run("--kubeconfig", cluster.env["ADMIN_KUBECONFIG"], "--context", "default")
    env = quickstart.env()
    me = kubectl(cluster, env["GATEHOUSE_KUBECONFIG"], "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert me.stdout == env["GATEHOUSE_USER"]
    itself = kubectl(cluster, str(quickstart.state / "own-gateway.kubeconfig"), "get", "pods", "-A", check=False)
    assert "system:serviceaccount:gatehouse:gatehouse-proxy" in itself.stderr and "forbidden" in itself.stderr
    down = quickstart.run("--down").stderr
    assert "delete namespace/gatehouse" in down


def test_quickstart_without_a_cluster_shows_sign_in_and_console_alone(quickstart):
    quickstart.run("--no-cluster")
    env = quickstart.env()
    assert "GATEHOUSE_KUBECONFIG" not in env and set(quickstart.pids()) == {"authd", "proxyd"}
    trust = ssl.create_default_context(cafile=env["GATEHOUSE_CA"])
    discovery = f"{env['GATEHOUSE_ISSUER']}/.well-known/openid-configuration"
    with urllib.request.urlopen(discovery, context=trust, timeout=10) as answer:
        assert answer.status == 200
    console = subprocess.run([harness.ROOT / "scripts/sign-in", f"{env['GATEHOUSE_URL']}/console/"], env=os.environ | env, capture_output=True, text=True, check=True)
    assert env["GATEHOUSE_USER"] in console.stdout and "kubeconfig" not in console.stdout, "a kubeconfig of no cluster"


@pytest.mark.parametrize(
    "args, words",
    [
        (["--frobnicate"], "no such option"),
        (["--kubeconfig", "/nonexistent"], "cannot read"),
        (["--context", "x"], "goes with --kubeconfig"),
        (["--kubeconfig", str(harness.ROOT / "GNUmakefile")], "not a kubeconfig"),
    ],
)
def test_quickstart_says_what_is_wrong_with_its_options(quickstart, args, words):
    done = quickstart.run(*args, check=False)
    assert done.returncode == 1 and words in done.stderr


def test_quickstart_with_github_offers_both_ways_to_sign_in(quickstart):
    said = quickstart.run("--no-cluster", GITHUB_CLIENT_ID="id-at-github", GITHUB_CLIENT_SECRET="secret-at-github").stdout
    env = quickstart.env()
    assert f"{env['GATEHOUSE_ISSUER']}/callback" in said
    page = requests.get(env["GATEHOUSE_URL"] + "/console/", verify=env["GATEHOUSE_CA"], headers={"Accept": "text/html"}, timeout=10).text
    assert "GitHub" in page and "/auth/local" in page
    for file in quickstart.state.rglob("*"):
        assert not file.is_file() or b"secret-at-github" not in file.read_bytes(), file


def test_quickstart_refuses_half_of_the_github_settings(quickstart):
    done = quickstart.run("--no-cluster", check=False, GITHUB_CLIENT_ID="x")
    assert done.returncode == 1 and "GITHUB_CLIENT_SECRET" in done.stderr
