"""Other programs than kubectl: client-go's informers, tunnels, dynamic client and leader election (tests/cluster/parts/client-go), Python's kubernetes
client, and curl, each signed in as alice. What they say they saw is compared with what the apiserver has and the gateway logged."""
import json
import os
import subprocess
import sys

import harness
import openmetrics
import pytest
import requests

from conftest import ALICE


@pytest.fixture(scope="session")
def client_go_program():
    return harness.part("client-go") / "client-go"


@pytest.fixture
def client_go(client_go_program, alice):
    def run(*arguments, **env):
        done = subprocess.run(
            [client_go_program, alice.kubeconfig, *arguments], capture_output=True, text=True, timeout=150, env=os.environ | env
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


class Log:
    """What the gateway has logged since now."""

    def __init__(self, gateway):
        self.proxyd, self.mark = gateway.proxyd, gateway.proxyd.mark()

    def wait(self, n, wanted):
        """n requests' lines that are wanted: they are written once a request, or both sides of a tunnel, have ended."""
        lines = self.proxyd.wait_lines(lambda line: line["msg"] == "request" and wanted(line), "requests", n, self.mark)
        assert len(lines) == n
        return lines

    def tunnels(self, n):
        lines = self.wait(n, lambda line: line["path"].endswith("/exec"))
        return {(line["method"], line["status"], line["user"]) for line in lines}


def upstream_connections(gateway):
    """How many requests to the cluster were given each kind of connection so far."""
    text = requests.get(f"http://127.0.0.1:{gateway.admin_port}/metrics", timeout=10).text
    metrics = openmetrics.parse(text)
    return {kind: metrics.sum("gatehouse_upstream_connections_total", cluster="default", kind=kind) for kind in ("opened", "reused", "shared")}


def test_client_go_has_500_informers_on_one_connection(client_go, gateway):
    """Each sees its own object created, updated and deleted, and nothing else; the library asks for signs of life every second of silence. Behind the gateway the watches
    share connections, for kube-apiserver allows 100 on each."""
    log, before = Log(gateway), upstream_connections(gateway)
    saw = client_go("informers", "demo", "500", HTTP2_READ_IDLE_TIMEOUT_SECONDS="1", HTTP2_PING_TIMEOUT_SECONDS="1")
    assert saw["created"] == saw["updated to two"] == saw["deleted"] == 500
    assert saw["connections"] == 1 and list(saw["protocols"]) == ["HTTP/2.0"]
    assert saw["watches"] == 500  # none was begun twice
    after = upstream_connections(gateway)
    assert after["shared"] - before["shared"] == 500
    assert 5 <= after["opened"] - before["opened"] < 100, "theirs, and those of the short requests"
    for verb, status in (("create", 201), ("update", 200), ("delete", 200)):
        lines = log.wait(500, lambda line: line.get("verb") == verb and line["path"].startswith("/api/v1/namespaces/demo/configmaps"))
        assert {(line["status"], line["user"]) for line in lines} == {(status, ALICE)}


@pytest.mark.parametrize("way", ["websocket", "spdy"])
def test_client_go_executes_in_a_pod(client_go, gateway, way):
    log = Log(gateway)
    saw = client_go("exec", "demo", "hello", way)
    assert saw["bytes"] == 4 << 20 and saw["terminal"] == "resized" and "exit status 7" in saw["failure"]
    assert log.tunnels(3) == {("POST" if way == "spdy" else "GET", 101, ALICE)}


@pytest.mark.parametrize("way", ["websocket", "spdy"])
def test_client_go_forwards_ports(client_go, cluster, way):
    assert client_go("port-forward", "demo", "hello", way, str(cluster.forward_port))["forwarded"] == 32


def test_client_go_works_with_objects_that_it_has_no_types_for(client_go):
    saw = client_go("objects", "demo")
    assert saw["resources"] > 15 and (saw["pages"], saw["listed"]) == (3, 5)
    assert saw["missing"] and saw["forbidden"]
    assert f'User "{ALICE}" cannot get resource "configmaps"' in saw["refusal"]
    assert list(saw["protocols"]) == ["HTTP/2.0"]


def test_client_go_elects_leaders(client_go):
    saw = client_go("leaders", "demo")
    assert saw["order"] == ["one leads", "one stopped", "other leads"] and saw["holder"] == "other" and saw["changes"] == 1


# ---- Python's client


@pytest.fixture(scope="session")
def python_kubernetes():
    folder = str(harness.part("python-kubernetes") / "wheel")
    sys.path.insert(0, folder)
    try:
        import kubernetes
        import kubernetes.dynamic
        import kubernetes.stream

        assert kubernetes.__file__.startswith(folder)
        yield kubernetes
    finally:
        sys.path.remove(folder)


@pytest.fixture
def python_client(python_kubernetes, alice):
    with python_kubernetes.config.new_client_from_config(str(alice.kubeconfig)) as client:
        yield client


def test_python_lists_watches_and_changes(python_kubernetes, python_client):
    core = python_kubernetes.client.CoreV1Api(python_client)
    meta = {"name": "python", "labels": {"by": "python"}}
    core.create_namespaced_config_map("demo", {"metadata": meta, "data": {"value": "one"}})
    listed = core.list_namespaced_config_map("demo", label_selector="by=python")
    assert [o.metadata.name for o in listed.items] == ["python"]
    watch, seen = python_kubernetes.watch.Watch(), []
    steps = [
        lambda: core.patch_namespaced_config_map("python", "demo", {"data": {"value": "patched"}}),
        lambda: core.replace_namespaced_config_map("python", "demo", {"metadata": meta, "data": {"value": "replaced"}}),
        lambda: core.delete_namespaced_config_map("python", "demo"),
        watch.stop,
    ]
    steps.pop(0)()
    more = {"label_selector": "by=python", "resource_version": listed.metadata.resource_version, "_request_timeout": 30}
    for event in watch.stream(core.list_namespaced_config_map, "demo", **more):
        seen.append((event["type"], event["object"].data["value"]))
        steps.pop(0)()
    assert seen == [("MODIFIED", "patched"), ("MODIFIED", "replaced"), ("DELETED", "replaced")] and not steps


def test_python_applies_on_the_server_by_its_dynamic_client(python_kubernetes, python_client):
    maps = python_kubernetes.dynamic.DynamicClient(python_client).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "python-applied"}, "data": {"value": "x"}}
    applied = maps.server_side_apply(namespace="demo", name="python-applied", body=body, field_manager="tests")
    assert applied.metadata.managedFields[0].manager == "tests"
    maps.delete(name="python-applied", namespace="demo")
    with pytest.raises(python_kubernetes.client.exceptions.ApiException) as gone:
        maps.get(name="python-applied", namespace="demo")
    assert gone.value.status == 404 and json.loads(gone.value.body)["reason"] == "NotFound"


def test_python_executes_in_a_pod(python_kubernetes, alice, gateway):
    log = Log(gateway)
    with python_kubernetes.config.new_client_from_config(str(alice.kubeconfig)) as client:  # stream() changes its client while it works
        core = python_kubernetes.client.CoreV1Api(client)
        command = ["sh", "-c", "head -c 5; echo; seq 1 100000; echo to-stderr >&2"]
        run = python_kubernetes.stream.stream(
            core.connect_get_namespaced_pod_exec, "hello", "demo", command=command, stdin=True, stdout=True, stderr=True, _preload_content=False
        )
        run.write_stdin("hello")
        run.run_forever(timeout=30)
        assert run.read_stdout() == "hello\n" + "".join(f"{i}\n" for i in range(1, 100001))
        assert run.read_stderr() == "to-stderr\n" and run.returncode == 0
        run.sock.shutdown()  # close() leaves it open once the server has said its last word
    assert log.tunnels(1) == {("GET", 101, ALICE)}


# ---- curl


@pytest.fixture(params=["2", "1.1"])
def curl(request, alice, gateway):
    def run(method, path, *arguments, body=None):
        command = ["curl", "-sS", "--max-time", "30", f"--http{request.param}", "--cacert", str(gateway.ca), "-X", method]
        command += ["-H", f"Authorization: Bearer {alice.token}", "-w", "\n%{http_version} %{http_code}", *arguments]
        command += ["--data-binary", "@-"] if body is not None else []
        text = None if body is None else json.dumps(body)
        done = subprocess.run([*command, gateway.url + path], input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        answer, _, last = done.stdout.rpartition("\n")
        version, status = last.split()
        assert version == request.param
        return int(status), answer

    return run


def test_curl_has_every_verb(curl, cluster):
    path = "/api/v1/namespaces/demo/configmaps"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "curl"}, "data": {"value": "posted"}}
    as_json = ("-H", "Content-Type: application/json")

    def value():
        return cluster.kubectl("get", "configmap", "curl", "-n", "demo", "-o", "jsonpath={.data.value}").stdout

    assert curl("POST", path, *as_json, body=body)[0] == 201 and value() == "posted"
    status, answer = curl("GET", path + "/curl")
    assert status == 200 and json.loads(answer)["data"] == {"value": "posted"}
    status, answer = curl("HEAD", path + "/curl", "--head")
    assert status == 405 and "audit-id: " in answer.lower()  # the apiserver's own word
    assert curl("PUT", path + "/curl", *as_json, body=body | {"data": {"value": "put"}})[0] == 200 and value() == "put"
    patches = {
        "application/merge-patch+json": {"data": {"value": "merged"}},
        "application/strategic-merge-patch+json": {"data": {"value": "strategic"}},
        "application/json-patch+json": [{"op": "replace", "path": "/data/value", "value": "json"}],
    }
    for kind, patch in patches.items():
        assert curl("PATCH", path + "/curl", "-H", f"Content-Type: {kind}", body=patch)[0] == 200
    assert value() == "json"
    applied = body | {"data": {"value": "applied"}}
    apply = ("-H", "Content-Type: application/apply-patch+yaml")
    assert curl("PATCH", path + "/curl?fieldManager=curl", *apply, body=applied)[0] == 409
    assert curl("PATCH", path + "/curl?fieldManager=curl&force=true", *apply, body=applied)[0] == 200 and value() == "applied"
    status, answer = curl("GET", path + "?watch=1&timeoutSeconds=1&fieldSelector=metadata.name=curl")
    assert status == 200 and json.loads(answer.splitlines()[0])["object"]["data"] == {"value": "applied"}
    status, answer = curl("GET", path + "?limit=1", "--compressed", "-H", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io")
    assert status == 200 and json.loads(answer)["kind"] == "Table"
    assert curl("DELETE", path + "/curl")[0] == 200
    assert curl("GET", path + "/curl")[0] == 404
    assert curl("OPTIONS", path)[0] == 403
    status, answer = curl("GET", "/api/v1/namespaces/kube-system/secrets")
    assert status == 403 and f'User \\"{ALICE}\\" cannot list resource' in answer
