"""kubectl through the gateway, against a real kube-apiserver: what works directly works as the person who signed in."""
import gzip
import json
import os
import statistics
import subprocess
import threading
import time

import harness
import pytest

from foreign import make_config_map, say, shows


def test_whoami_shows_the_persons_name_groups_and_extras(alice):
    info = json.loads(alice.kubectl("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
    assert info["username"] == alice.email
    assert set(info["groups"]) == {"demo-admins", "night-shift", "system:authenticated"}
    extra = info["extra"]["authentication.kubernetes.io/credential-id"]
    assert len(extra) == 1 and extra[0].startswith("JTI=")


def test_objects_are_applied_read_changed_and_deleted(alice, cluster):
    def manifest(value):
        return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note"}, "data": {"text": value}})

    assert "created" in alice.kubectl("apply", "-f", "-", input=manifest("one")).stdout
    assert "configured" in alice.kubectl("apply", "-f", "-", input=manifest("two")).stdout
    assert alice.kubectl("get", "configmap", "note", "-o", "jsonpath={.data.text}").stdout == "two"
    assert cluster.kubectl("get", "configmap", "note", "-n", "demo", "-o", "jsonpath={.data.text}").stdout == "two"
    alice.kubectl("delete", "configmap", "note")
    assert "NotFound" in cluster.kubectl("get", "configmap", "note", "-n", "demo", check=False).stderr


def test_pods_and_nodes_are_listed(alice):
    assert alice.kubectl("get", "pods", "-o", "name").stdout.split() == ["pod/hello"]
    assert alice.kubectl("get", "nodes", "-o", "name").stdout.split() == ["node/kwok"]


def test_a_person_without_rights_gets_the_apiservers_own_refusal(mallory, cluster):
    through = mallory.kubectl("get", "pods", "-n", "demo", check=False)
    direct = cluster.kubectl("get", "pods", "-n", "demo", "--as", mallory.email, check=False)
    assert through.returncode == direct.returncode == 1
    assert through.stderr == direct.stderr
    assert f'User "{mallory.email}" cannot list resource "pods"' in through.stderr


def test_rights_of_one_person_are_not_lent_to_another(alice, mallory):
    path = "/api/v1/namespaces/demo/pods"
    for _ in range(5):  # both verified and remembered by the same workers, on kept connections
        assert alice.get(path).status_code == 200
        assert mallory.get(path).status_code == 403


def test_default_cluster_is_served_at_the_root_and_under_its_name(alice):
    at_root = alice.get("/version").json()
    by_name = alice.get("/clusters/default/version").json()
    assert at_root == by_name and at_root["gitVersion"].startswith("v1.35.")
    assert alice.get("/clusters/nosuch/version").status_code == 404


def watch_lines(session, url, seen, ready):
    """Reads a watch; puts the arrival time of each object under its name."""
    with session.get(url, stream=True, timeout=30) as answer:
        assert answer.status_code == 200
        ready.set()
        for line in answer.iter_lines(chunk_size=1):
            event = json.loads(line)
            name = event["object"]["metadata"]["name"]
            seen[name] = time.monotonic()
            if name == "watched-end":
                return


def test_a_watch_delivers_each_event_within_200_ms(alice, cluster):
    objects = f"{cluster.url}/api/v1/namespaces/demo/configmaps"
    version = cluster.admin.get(objects, timeout=10).json()["metadata"]["resourceVersion"]
    query = f"?watch=1&resourceVersion={version}"
    through, ready = {}, threading.Event()
    watcher = threading.Thread(
        target=watch_lines, args=(alice.http, f"{alice.gateway.url}/api/v1/namespaces/demo/configmaps{query}", through, ready)
    )
    watcher.start()
    assert ready.wait(10)
    created, names = {}, [f"watched-{i}" for i in range(10)] + ["watched-end"]
    for name in names:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        assert cluster.admin.post(objects, json=body, timeout=10).status_code == 201
        created[name] = time.monotonic()
    watcher.join(20)
    for name in names:
        cluster.admin.delete(f"{objects}/{name}", timeout=10)
    assert not watcher.is_alive() and set(names) <= set(through)
    assert statistics.median(through[n] - created[n] for n in names) < 0.2


def test_kubectl_watch_prints_an_object_while_the_watch_goes_on(alice, cluster):
    command = [cluster.env["KUBECTL"], "--kubeconfig", alice.kubeconfig, "get", "configmaps", "--watch-only", "-o", "name"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        try:
            shows(watch, "configmap/seen", lambda: make_config_map(cluster, "seen"))
            assert watch.poll() is None
        finally:
            watch.kill()


def test_logs_of_a_pod_and_what_is_added_while_they_are_followed(alice, cluster):
    assert "hello from a pod" in alice.kubectl("logs", "hello").stdout
    command = [cluster.env["KUBECTL"], "--kubeconfig", alice.kubeconfig, "logs", "-f", "hello"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follow:
        try:
            assert "hello from a pod" in follow.stdout.readline()
            say(cluster, "one line more")
            assert follow.stdout.readline() == "one line more\n"
        finally:
            follow.kill()


def test_a_large_object_comes_and_goes_unchanged(alice):
    text = os.urandom(450_000).hex()  # near etcd's limit of 1.5 MB in one request
    manifest = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"text": text}})
    alice.kubectl("create", "-f", "-", input=manifest)
    assert alice.kubectl("get", "configmap", "large", "-o", "jsonpath={.data.text}").stdout == text
    alice.kubectl("delete", "configmap", "large")


@pytest.mark.parametrize("size, words", [(7 << 18, "etcdserver: request is too large"), (5 << 20, "Request entity too large: limit is 3145728")])
def test_an_object_that_is_too_large_is_refused_in_their_own_words(alice, cluster, size, words):
    """etcd takes 1.5 MiB and the apiserver 3, which answers before it has read the body."""
    container = {"name": "c", "image": "none", "env": [{"name": "TEXT", "value": "x" * size}]}
    manifest = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "too-large"}, "spec": {"containers": [container]}})
    through = alice.kubectl("create", "--validate=false", "-f", "-", input=manifest, check=False)
    direct = cluster.kubectl("create", "--validate=false", "-n", "demo", "-f", "-", input=manifest, check=False)
    assert (through.returncode, through.stdout, through.stderr) == (direct.returncode, direct.stdout, direct.stderr)
    assert through.returncode == 1 and words in through.stderr


def test_gzip_that_the_apiserver_chose_comes_as_it_is(alice):
    """The apiserver packs answers of 128 KiB and more: the gateway neither asks for it nor undoes it."""
    path = "/openapi/v2"
    packed = alice.get(path, headers={"Accept-Encoding": "gzip"}, stream=True)
    assert packed.status_code == 200 and packed.headers["Content-Encoding"] == "gzip"
    plain = alice.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.raw.read()) == plain.content and len(plain.content) > 128 << 10


def test_the_gateways_own_credential_can_do_nothing(cluster):
    for path in ("/api/v1/pods", "/api/v1/namespaces/kube-system/secrets", "/apis/rbac.authorization.k8s.io/v1/clusterroles"):
        assert cluster.gateway_itself.get(cluster.url + path, timeout=10).status_code == 403


def test_kubectl_gatehouse_signs_in_once_for_many_kubectl_at_once(gateway, cluster, tmp_path):
    """The exec plugin, with a browser that is scripts/sign-in and counts how often it is opened."""
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho x >>{opened}\nexec {harness.ROOT}/scripts/sign-in "$1"\n')
    browser.chmod(0o755)
    alice = gateway.people["alice@example.com"]
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "interactiveMode": "IfAvailable",
        "command": str(harness.BUILD / "kubectl-gatehouse"),
        "args": ["get-token", f"--issuer={gateway.issuer}", "--client-id=gatehouse-cli", f"--certificate-authority={gateway.ca}"],
    }
    kubeconfig = gateway.write_kubeconfig(tmp_path / "kubeconfig", {"exec": plugin}, "demo")
    env = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "BROWSER": str(browser),
        "GATEHOUSE_USER": alice.email,
        "GATEHOUSE_PASSWORD": alice.password,
        "GATEHOUSE_CA": str(gateway.ca),
    }
    command = [cluster.env["KUBECTL"], "--kubeconfig", kubeconfig, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]
    many = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | env) for _ in range(20)]
    for one in many:
        out, err = one.communicate(timeout=60)
        assert (one.returncode, out) == (0, alice.email), err
    assert opened.read_text().split() == ["x"]
