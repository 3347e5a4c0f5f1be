"""Who may use which cluster: proxyd decides by groups and says so at GET /clusters, and to authd, whose console shows it and makes the kubeconfig of it."""
import re
import ssl

import pytest
import requests
import yaml

from authd_client import Authd
from gatehouse import CA, Upstream
from h2_client import H2
from harness import Gateway

ANN, BOB = "ann@example.com", "bob@example.com"
GROUPS = {ANN: ["dev", "ops"], BOB: ["sales"]}
PASSWORDS = {ANN: "correct horse", BOB: "battery staple"}


def clusters(upstream, **groups):
    file = str(upstream.kubeconfig())
    return [{"name": name, "kubeconfig": file} | ({"allowedGroups": g} if g else {}) for name, g in groups.items()]


class Stage:
    def __init__(self, gateway):
        self.gateway, self.url = gateway, gateway.url
        self.tokens = {e: p.sign_in()["id_token"] for e, p in gateway.people.items()}

    def get(self, path, email=None, method="GET", headers=None, **more):
        """With the cookie of somebody's browser."""
        session = self.gateway.people[email].browser if email else self.gateway.browser()
        return session.request(method, self.url + path, headers=headers, allow_redirects=False, timeout=20, **more)

    def client_context(self):
        return ssl.create_default_context(cafile=self.gateway.ca)

    def cards(self, email, **more):
        """What the console's page shows: {name: (server, kubectl line)}."""
        page = self.get("/console/", email, **more)
        assert page.status_code == 200, page.text
        return {name: tuple(re.findall(r"<code>(.*?)</code>", card))
                for name, card in re.findall(r'<li><h3>([a-z0-9-]+)</h3><dl>(.*?)</dl></li>', page.text, re.S)}

    def contexts(self, email):
        config = yaml.safe_load(self.get("/console/kubeconfig", email).text)
        servers = {c["name"]: c["cluster"]["server"] for c in config["clusters"]}
        assert [c["name"] for c in config["contexts"]] == list(servers)
        return config["current-context"], servers


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clusters")
    with Upstream(CA(folder / "ca")) as upstream:
        all_clusters = clusters(upstream, staging=["dev", "sales"], prod=["ops"], default=[])
        with Gateway(folder / "gateway", PASSWORDS, GROUPS, all_clusters, authd_more={"console": {"clientID": "gatehouse-cli"}}) as gateway:
            yield Stage(gateway)


def listed(*names):
    return {"clusters": [{"name": n, "path": f"/clusters/{n}", "default": n == "default"} for n in names]}


def test_clusters_lists_those_that_the_caller_may_use(stage):
    for email, names in ((ANN, ("staging", "prod", "default")), (BOB, ("staging", "default"))):
        by_token = stage.get("/clusters", headers={"Authorization": f"Bearer {stage.tokens[email]}"})
        assert (by_token.status_code, by_token.json(), by_token.headers["Content-Type"]) == (200, listed(*names), "application/json")
        assert by_token.headers["Cache-Control"] == "no-store"
        assert stage.get("/clusters/", email, headers={"Accept": "text/html"}).json() == listed(*names)
        head = stage.get("/clusters", email, "HEAD")
        assert head.status_code == 200 and int(head.headers["Content-Length"]) == len(by_token.content) and not head.content
    with H2(f"127.0.0.1:{stage.gateway.port}", stage) as h2:
        answer = h2.answer(h2.request("GET", "/clusters", token=stage.tokens[BOB]))
        assert answer.status == 200 and b'"name":"staging"' in answer.body and b"prod" not in answer.body


def test_nobody_else_learns_what_there_is(stage):
    assert stage.get("/clusters").status_code == 401
    assert stage.get("/clusters", headers={"Authorization": "Bearer x"}).status_code == 401
    assert stage.get("/clusters", ANN, "POST", headers={"Origin": stage.url}).status_code == 404
    assert stage.get("/clusters/other", ANN).status_code == 404


def test_what_is_listed_is_what_one_gets(stage):
    for email in (ANN, BOB):
        may = {c["name"] for c in stage.get("/clusters", email).json()["clusters"]}
        for name in ("staging", "prod", "default"):
            assert stage.get(f"/clusters/{name}/api", email).status_code == (200 if name in may else 403), (email, name)


def test_the_console_shows_them_with_the_kubectl_line(stage):
    shown = stage.cards(ANN)
    assert list(shown) == ["default", "staging", "prod"]
    assert shown["default"] == (stage.url, "kubectl --context gatehouse get pods")
    assert shown["prod"] == (f"{stage.url}/clusters/prod", "kubectl --context gatehouse-prod get pods")
    assert list(stage.cards(BOB)) == ["default", "staging"]


def test_the_kubeconfig_has_a_context_for_each_and_no_other(stage):
    assert stage.contexts(ANN) == ("gatehouse", {"gatehouse": stage.url, "gatehouse-staging": f"{stage.url}/clusters/staging",
                                                 "gatehouse-prod": f"{stage.url}/clusters/prod"})
    assert stage.contexts(BOB) == ("gatehouse", {"gatehouse": stage.url, "gatehouse-staging": f"{stage.url}/clusters/staging"})


@pytest.mark.parametrize("name", ["X-Gatehouse-Clusters", "x-gatehouse-clusters", "X-GATEHOUSE-CLUSTERS", "X-Gatehouse_Clusters", "X-Gatehouse"])
def test_nobody_tells_the_console_what_they_may_use(stage, name):
    assert list(stage.cards(BOB, headers={name: "prod evil"})) == ["default", "staging"]
    with H2(f"127.0.0.1:{stage.gateway.port}", stage) as h2:
        cookie = "; ".join(f"{c.name}={c.value}" for c in stage.gateway.people[BOB].browser.cookies)
        answer = h2.answer(h2.request("GET", "/console/", headers=[("cookie", cookie), (name.lower(), "prod")]))
        assert answer.status == 200 and b"prod" not in answer.body and b"staging" in answer.body


@pytest.mark.parametrize("line", ["X_Gatehouse_Clusters: prod", "x.gatehouse.clusters: prod", "Connection: close, X-Gatehouse-Clusters"])
def test_spellings_of_that_header_are_refused(stage, line):
    status, _, _ = stage.gateway.raw(f"GET /console/ HTTP/1.1\r\nHost: localhost:{stage.gateway.port}\r\n{line}\r\n\r\n".encode())
    assert status == 400


def test_the_console_without_a_session_asks_to_sign_in_as_before(stage):
    for cookies in ({}, {"__Host-gatehouse": "A" * 43}):
        for path in ("/console/", "/console/kubeconfig"):
            answer = requests.get(stage.url + path, cookies=cookies, verify=str(stage.gateway.ca), allow_redirects=False, timeout=20)
            assert answer.status_code == 303 and "/console/signin" in answer.headers["Location"]
    answer = stage.get("/console/", headers={"Authorization": f"Bearer {stage.tokens[ANN]}"})
    assert answer.status_code == 303, "a bearer token is no session"


def test_who_may_use_none_is_told_so(tmp_path):
    with Upstream(CA(tmp_path / "ca")) as upstream:
        console = {"clientID": "gatehouse-cli"}
        with Gateway(tmp_path / "gateway", PASSWORDS, GROUPS, clusters(upstream, prod=["ops"]), authd_more={"console": console}) as gateway:
            stage = Stage(gateway)
            assert stage.get("/clusters", BOB).json() == {"clusters": []}
            page = stage.get("/console/", BOB)
            assert "None of the clusters here is open to you" in page.text and "kubeconfig" not in page.text
            refused = stage.get("/console/kubeconfig", BOB)
            assert refused.status_code == 403 and "No cluster is open to you" in refused.text
            # One that is not called "default" is the root's and has a context of its own name.
            assert stage.contexts(ANN) == ("gatehouse-prod", {"gatehouse-prod": f"{stage.url}/clusters/prod"})


def test_console_clusters_chooses_among_them(tmp_path):
    with Upstream(CA(tmp_path / "ca")) as upstream:
        console = {"clientID": "gatehouse-cli", "clusters": ["prod", "gone"]}
        everything = clusters(upstream, default=[], staging=[], prod=["ops"])
        with Gateway(tmp_path / "gateway", PASSWORDS, GROUPS, everything, authd_more={"console": console}) as gateway:
            stage = Stage(gateway)
            assert (list(stage.cards(ANN)), list(stage.cards(BOB))) == (["default", "prod"], ["default"])


def test_authds_own_addresses_take_nobodys_word_for_it(tmp_path):
    with Authd(tmp_path, console={"clientID": "gatehouse-cli", "clusters": ["default", "prod"]}) as authd:
        browser = authd.browser()
        browser.sign_in()
        page = browser.http.get(f"{authd.origin}/console/", headers={"X-Gatehouse-Clusters": "evil"}, timeout=20).text
        assert "gatehouse-prod" in page and "evil" not in page
