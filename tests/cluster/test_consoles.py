"""Consoles behind the gateway, and clusters that are open to some groups only, with a real kube-apiserver and kubectl."""
import http.server
import json
import ssl
import threading
import urllib.error
import urllib.request

import harness
import pytest
import yaml
from conftest import ALICE, MALLORY, PEOPLE


class Dashboard(http.server.BaseHTTPRequestHandler):
    """As Kubernetes Dashboard does: it has no rights of its own and asks the API server for everything with the token that it gets."""

    def do_GET(self):
        path = self.path.removeprefix("/dashboard")
        body = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}' if path == "/whoami" else None
        url = self.server.gateway.url + ("/apis/authentication.k8s.io/v1/selfsubjectreviews" if body else path)
        headers = {"Authorization": self.headers["Authorization"], "Content-Type": "application/json"}
        context = ssl.create_default_context(cafile=self.server.gateway.ca)
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=20, context=context) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def consoles(cluster, tmp_path_factory):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dashboard)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    file = cluster.env["GATEWAY_KUBECONFIG"]
    clusters = [{"name": "default", "kubeconfig": file}, {"name": "night", "kubeconfig": file, "allowedGroups": ["night-shift"]}]
    gateway = harness.Gateway(tmp_path_factory.mktemp("consoles"), PEOPLE, {ALICE: ["demo-admins", "night-shift"]}, clusters)
    gateway.proxyd.config["routes"].append(
        {"path": "/dashboard", "to": f"http://127.0.0.1:{server.server_address[1]}", "kind": "bearer", "audience": harness.CLIENT_ID})
    gateway.proxyd.write_config(gateway.proxyd.config)
    server.gateway = gateway
    with gateway:
        gateway.tokens = {email: person.sign_in()["id_token"] for email, person in gateway.people.items()}
        yield gateway
    server.shutdown()
    server.server_close()


def test_a_dashboard_sees_what_its_person_may_see(consoles):
    for email, status in ((ALICE, 200), (MALLORY, 403)):
        browser = consoles.people[email].browser
        who = browser.get(consoles.url + "/dashboard/whoami", timeout=20).json()["status"]["userInfo"]
        assert who["username"] == email and who["extra"]["gatehouse/how"] == ["jwt"]
        answer = browser.get(consoles.url + "/dashboard/api/v1/namespaces/demo/pods", timeout=20)
        assert answer.status_code == status
        if status == 403:
            assert f'User "{email}" cannot list resource "pods"' in answer.json()["message"], "the cluster's own RBAC has decided"


def kubectl(consoles, cluster, email, folder, *arguments, **more):
    """With the kubeconfig that the console gives out; the exec plugin's place is taken by the token that it would have got."""
    config = yaml.safe_load(consoles.people[email].browser.get(consoles.url + "/console/kubeconfig", timeout=20).text)
    config["users"][0]["user"] = {"token": consoles.tokens[email]}
    file = folder / f"{email}.kubeconfig"
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    return cluster.kubectl(*arguments, kubeconfig=file, **more)


def test_kubectl_uses_each_cluster_that_is_open_to_the_person(consoles, cluster, tmp_path):
    for context in ("gatehouse", "gatehouse-night"):
        done = kubectl(consoles, cluster, ALICE, tmp_path, "--context", context, "get", "pods", "-n", "demo", "-o", "name")
        assert "pod/hello" in done.stdout
    contexts = kubectl(consoles, cluster, MALLORY, tmp_path, "config", "get-contexts", "-o", "name").stdout.split()
    assert contexts == ["gatehouse"]


def test_kubectl_says_why_a_cluster_is_closed(consoles, cluster, tmp_path):
    kubeconfig = consoles.write_kubeconfig(tmp_path / "direct", {"token": consoles.tokens[MALLORY]})
    config = json.loads(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] += "/clusters/night"
    kubeconfig.write_text(json.dumps(config))
    done = cluster.kubectl("get", "pods", kubeconfig=kubeconfig, check=False)
    assert done.returncode == 1
    # The Status is not read by kubectl where it only looks around first; the Warning beside it is shown.
    assert f'Warning: User "{MALLORY}" cannot use cluster "night": they are in none of its allowedGroups' in done.stderr
    assert "Error from server (Forbidden)" in done.stderr
    raw = cluster.kubectl("get", "--raw", "/api/v1/namespaces/demo/pods", kubeconfig=kubeconfig, check=False)
    assert "cannot use cluster" in raw.stderr
