"""proxyd's audit events beside kube-apiserver's own for the same requests: the same id, the same verb, object and answer, the same person."""
import json
import pathlib

import harness
import pytest

from waiting import wait_lines

ALICE = "alice@example.com"


@pytest.fixture(scope="module")
def audited(cluster, tmp_path_factory):
    """A gateway that writes audit events, and a session of alice's."""
    folder = tmp_path_factory.mktemp("audited")
    clusters = [{"name": "default", "kubeconfig": cluster.env["GATEWAY_KUBECONFIG"]}, {"name": "second", "kubeconfig": cluster.env["GATEWAY_KUBECONFIG"]}]
    file = folder / "audit.log"
    with harness.Gateway(folder, {ALICE: "correct horse"}, {ALICE: ["demo-admins"]}, clusters, proxyd_more={"audit": {"file": str(file)}}) as gateway:
        gateway.http = gateway.browser()
        gateway.http.headers["Authorization"] = "Bearer " + gateway.people[ALICE].sign_in()["id_token"]
        gateway.events = file
        yield gateway


def ours(gateway, mark, n):
    """Our events of requests with the mark: they are in the file moments after the answer."""
    found = wait_lines(gateway.events, lambda event: mark in json.dumps(event), f"events of {mark}", n)
    assert len(found) == n
    return found


PODS = "/api/v1/namespaces/demo/pods"
REQUESTS = [
    ("GET", PODS, {}),
    ("GET", PODS + "/hello", {}),
    ("GET", PODS + "/nobody", {}),
    ("GET", PODS, {"fieldSelector": "metadata.name=hello"}),
    ("GET", PODS, {"watch": "1", "timeoutSeconds": "1"}),
    ("GET", "/api/v1/watch/namespaces/demo/pods", {"timeoutSeconds": "1"}),
    ("GET", PODS + "/hello/log", {"tailLines": "1"}),
    ("GET", "/api/v1/namespaces/demo", {}),
    ("GET", "/api/v1/namespaces/demo/%70ods", {}),
    ("GET", "/apis/apps/v1/namespaces/demo/deployments", {}),
    ("GET", "/api/v1/secrets", {}),
    ("POST", "/api/v1/namespaces/demo/configmaps", {"dryRun": "All"}),
    ("PATCH", "/api/v1/namespaces/demo/configmaps/none", {}),
    ("DELETE", "/api/v1/namespaces/demo/configmaps/none", {}),
    ("DELETE", "/api/v1/namespaces/demo/configmaps", {"labelSelector": "no=such"}),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {}),
    ("GET", "/version", {}),
    ("GET", "/apis", {}),
    ("HEAD", "/healthz", {}),
    ("GET", "/clusters/second" + PODS, {}),
]
BODIES = {
    "configmaps": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
    "selfsubjectaccessreviews": {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                                 "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}},
}


@pytest.mark.parametrize("method, path, query", REQUESTS)
def test_an_event_says_what_the_apiservers_own_says(cluster, audited, mark, method, path, query):
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    body = BODIES.get(path.rsplit("/", 1)[1]) if method == "POST" else {} if method == "PATCH" else None
    answer = audited.http.request(method, audited.url + path, params=query | {"mark": mark}, json=body, headers={"Content-Type": kind, "User-Agent": "kubectl/v0"},
                                  timeout=20)
    (mine,) = ours(audited, mark, 1)
    theirs = [e for e in cluster.audit_events(mark) if e["stage"] == "ResponseComplete"][0]
    assert mine["auditID"] == theirs["auditID"] == answer.headers["Audit-Id"]
    for key in ("kind", "apiVersion", "stage", "verb"):
        assert mine[key] == theirs[key], key
    assert mine["level"] == "Metadata"
    assert mine["requestURI"].removeprefix("/clusters/second") == theirs["requestURI"]
    # The apiserver takes an object's name and uid out of what was created as well; from the request alone nobody knows them.
    known = {k: v for k, v in theirs.get("objectRef", {}).items() if k not in ("uid", "resourceVersion")}
    if method == "POST":
        known.pop("name", None)
    assert mine.get("objectRef", {}) == known
    assert mine["responseStatus"]["code"] == theirs["responseStatus"]["code"] == answer.status_code
    assert mine["user"]["username"] == theirs["impersonatedUser"]["username"] == ALICE
    assert sorted(mine["user"]["groups"]) == sorted(theirs["impersonatedUser"]["groups"])
    assert mine["userAgent"] == theirs["userAgent"]
    # Nothing that a reader of theirs would not know, and of the same shape.
    assert set(mine) <= set(theirs) | {"objectRef", "annotations", "userAgent"}
    for key in set(mine) & set(theirs):
        assert type(mine[key]) is type(theirs[key]), key
    for key in ("requestReceivedTimestamp", "stageTimestamp"):
        assert len(mine[key]) == len(theirs[key]) or theirs[key].endswith("Z")
    assert mine["annotations"]["gatehouse/cluster"] == ("second" if "second" in path else "default")


def test_an_exec_is_one_event_when_it_is_over(cluster, audited, mark, tmp_path):
    token = audited.http.headers["Authorization"].split()[1]
    kubeconfig = audited.write_kubeconfig(tmp_path / "kubeconfig", {"token": token}, "demo")
    assert cluster.kubectl("exec", "hello", "--", "echo", mark, kubeconfig=kubeconfig).stdout == mark + "\n"
    (mine,) = ours(audited, mark, 1)
    assert mine["objectRef"] == {"resource": "pods", "namespace": "demo", "name": "hello", "apiVersion": "v1", "subresource": "exec"}
    assert mine["responseStatus"]["code"] == 101
    # A connection that has switched protocols is not told the apiserver's id: ours is the request's.
    assert mine["auditID"] == mine["annotations"]["gatehouse/request-id"]
    theirs = [e for e in cluster.audit_events(mark) if e["stage"] == "ResponseComplete"]
    assert [e["verb"] for e in theirs] == [mine["verb"]]


def test_every_line_of_the_file_is_one_event(audited, mark):
    assert audited.http.get(f"{audited.url}/version?{mark}", timeout=20).ok
    ours(audited, mark, 1)
    assert {json.loads(line)["kind"] for line in pathlib.Path(audited.events).read_text().splitlines()} == {"Event"}
