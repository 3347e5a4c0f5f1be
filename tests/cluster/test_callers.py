"""Everybody who is no person with a browser: service accounts, client certificates, static tokens; against a real kube-apiserver."""
import contextlib
import json
import pathlib
import subprocess

import harness
import pytest

STATIC = "static-token-of-jane-0123456789"


class Door:
    """A proxyd of its own before the cluster, without authd, and kubeconfigs for it."""

    def __init__(self, cluster, folder, authentication, **more):
        self.cluster, self.folder = cluster, pathlib.Path(folder)
        self.certificates = harness.Certificates(self.folder / "pki")
        cert, key = self.certificates.issue("gateway", "/CN=gateway", "DNS:localhost,IP:127.0.0.1")
        (port,) = harness.free_ports(1)
        self.url = f"https://localhost:{port}"
        self.proxyd = harness.Proxyd(
            self.folder,
            {
                "listen": [{"address": f"127.0.0.1:{port}", "tls": {"certFile": str(cert), "keyFile": str(key)}}],
                "workers": 2,
                "authentication": authentication,
                "clusters": [{"name": "default", "kubeconfig": cluster.env["GATEWAY_KUBECONFIG"]} | more],
            },
        )

    def __enter__(self):
        self.proxyd.start()
        return self

    def __exit__(self, *exc):
        self.proxyd.close()

    def kubeconfig(self, name, user):
        file = self.folder / name
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "demo"}}],
                    "clusters": [{"name": "c", "cluster": {"server": self.url, "certificate-authority": str(self.certificates.ca)}}],
                    "users": [{"name": "u", "user": user}],
                }
            )
        )
        return file

    def kubectl(self, user, *args, **more):
        return self.cluster.kubectl(*args, kubeconfig=self.kubeconfig("kubeconfig", user), **more)

    def whoami(self, user, *args):
        return json.loads(self.kubectl(user, "auth", "whoami", "-o", "json", *args).stdout)["status"]["userInfo"]

    def log(self):
        return self.proxyd.log_file.read_text()


def is_unauthorized(done):
    return done.returncode == 1 and "You must be logged in to the server" in done.stderr


@pytest.fixture(scope="module")
def reviewer(cluster):
    """The optional role, bound as its comment says."""
    cluster.kubectl("create", "clusterrolebinding", "gatehouse-reviewer", "--clusterrole=gatehouse-reviewer", "--user=gatehouse-proxy")
    yield
    cluster.kubectl("delete", "clusterrolebinding", "gatehouse-reviewer")


@pytest.fixture(scope="module")
def account(cluster):
    """A service account that may read pods in its namespace."""
    cluster.kubectl("create", "serviceaccount", "robot", "-n", "demo")
    cluster.kubectl("create", "role", "robots", "-n", "demo", "--verb=get,list", "--resource=pods")
    cluster.kubectl("create", "rolebinding", "robots", "-n", "demo", "--role=robots", "--serviceaccount=demo:robot")
    yield "robot"
    cluster.kubectl("delete", "serviceaccount/robot", "role/robots", "rolebinding/robots", "-n", "demo")


def token_of(cluster, account, *args):
    return cluster.kubectl("create", "token", account, "-n", "demo", *args).stdout.strip()


# ---- service accounts


def test_a_service_account_is_itself_with_everything_that_the_apiserver_says_of_it(cluster, tmp_path, reviewer, account):
    token = token_of(cluster, account)
    with Door(cluster, tmp_path, {"tokenReview": {"enabled": True}}) as door:
        through = door.whoami({"token": token})
        (cluster_itself,) = [
            json.loads(cluster.kubectl("auth", "whoami", "-o", "json", "--token", token, kubeconfig=no_credential(cluster, tmp_path)).stdout)["status"]["userInfo"]
        ]
        assert through["username"] == "system:serviceaccount:demo:robot"
        assert through["uid"] == cluster_itself["uid"]
        assert set(through["groups"]) == set(cluster_itself["groups"])
        assert through["extra"]["authentication.kubernetes.io/credential-id"] == cluster_itself["extra"]["authentication.kubernetes.io/credential-id"]
        assert door.kubectl({"token": token}, "get", "pods", "-o", "name").stdout.split() == ["pod/hello"]
        refused = door.kubectl({"token": token}, "get", "secrets", check=False)
        assert 'User "system:serviceaccount:demo:robot" cannot list resource "secrets"' in refused.stderr
        assert token not in door.log()


def no_credential(cluster, folder):
    file = folder / "direct.kubeconfig"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": cluster.url, "certificate-authority": cluster.ca}}],
                "users": [{"name": "u", "user": {}}],
            }
        )
    )
    return file


def test_the_audience_of_a_service_accounts_token_counts(cluster, tmp_path, reviewer, account):
    for_us, for_the_apiserver = token_of(cluster, account, "--audience", "gatehouse"), token_of(cluster, account)
    with Door(cluster, tmp_path, {"tokenReview": {"enabled": True, "audiences": ["gatehouse"]}}) as door:
        assert door.whoami({"token": for_us})["username"] == "system:serviceaccount:demo:robot"
        assert is_unauthorized(door.kubectl({"token": for_the_apiserver}, "get", "pods", check=False))
    with Door(cluster, tmp_path / "other", {"tokenReview": {"enabled": True}}) as door:
        assert is_unauthorized(door.kubectl({"token": for_us}, "get", "pods", check=False))


def test_a_token_that_nobody_issued_is_refused(cluster, tmp_path, reviewer):
    with Door(cluster, tmp_path, {"tokenReview": {"enabled": True}}) as door:
        for token in ("opaque", "a.b.c.d.e", token_like(cluster)):
            assert is_unauthorized(door.kubectl({"token": token}, "get", "pods", check=False))


def token_like(cluster):
    """A real one whose signature was changed in one place."""
    token = token_of(cluster, "default")
    at = len(token) - 40
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


def test_without_the_role_the_log_says_which_right_is_missing(cluster, tmp_path, account):
    with contextlib.suppress(AssertionError):
        cluster.kubectl("delete", "clusterrolebinding", "gatehouse-reviewer")
    try:
        with Door(cluster, tmp_path, {"tokenReview": {"enabled": True}}) as door:
            refused = door.kubectl({"token": token_of(cluster, account)}, "get", "--raw", "/api", check=False)
            assert "the gateway may not ask this cluster whose token this is" in refused.stderr
            lines = [json.loads(line) for line in door.log().splitlines()]
            (line, *_) = [li for li in lines if "lacks a right" in li["msg"]]
            assert (line["level"], line["cluster"], line["verb"], line["resource"]) == ("error", "default", "create", "tokenreviews")
            assert "gatehouse-reviewer" in line["msg"]
    finally:
        cluster.kubectl("create", "clusterrolebinding", "gatehouse-reviewer", "--clusterrole=gatehouse-reviewer", "--user=gatehouse-proxy")


# ---- certificates and static tokens


def test_a_client_certificate_is_its_subject(cluster, tmp_path):
    people = harness.Certificates(tmp_path / "people")
    cert, key = people.issue("jane", "/O=demo-admins/O=night-shift/CN=jane")
    with Door(cluster, tmp_path, {"clientCertificate": {"certificateAuthority": str(people.ca)}}) as door:
        jane = {"client-certificate": str(cert), "client-key": str(key)}
        who = door.whoami(jane)
        assert who["username"] == "jane"
        assert set(who["groups"]) == {"demo-admins", "night-shift", "system:authenticated"}
        assert who["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")
        assert door.kubectl(jane, "get", "pods", "-o", "name").stdout.split() == ["pod/hello"]
        assert is_unauthorized(door.kubectl({}, "get", "pods", "--token", "x", check=False))


def test_the_clusters_own_admin_certificate_opens_nothing_here(cluster, tmp_path):
    """Somebody configures the cluster's CA: system:masters is refused all the same."""
    with Door(cluster, tmp_path, {"clientCertificate": {"certificateAuthority": cluster.ca}}) as door:
        admin = {"client-certificate": str(cluster.folder / "pki/admin.pem"), "client-key": str(cluster.folder / "pki/admin.key")}
        assert is_unauthorized(door.kubectl(admin, "get", "nodes", check=False))


def test_a_static_token_is_whom_its_line_names(cluster, tmp_path):
    (tmp_path / "tokens.csv").write_text(f'{STATIC},jane,7,"demo-admins"\n')
    with Door(cluster, tmp_path, {"tokenFile": str(tmp_path / "tokens.csv")}) as door:
        who = door.whoami({"token": STATIC})
        assert (who["username"], who["uid"]) == ("jane", "7")
        assert set(who["groups"]) == {"demo-admins", "system:authenticated"}
        assert door.kubectl({"token": STATIC}, "get", "pods", "-o", "name").stdout.split() == ["pod/hello"]


# ---- --as


@pytest.fixture(scope="module")
def rights(cluster):
    """jane may be bob, somebody of the demo-admins and the robot; the same in the cluster itself and through the gateway."""
    cluster.kubectl("create", "serviceaccount", "stand-in", "-n", "demo")
    cluster.kubectl("create", "clusterrole", "stand-ins", "--verb=impersonate", "--resource=users,groups", "--resource-name=bob", "--resource-name=demo-admins")
    cluster.kubectl("create", "clusterrolebinding", "stand-ins", "--clusterrole=stand-ins", "--user=jane")
    cluster.kubectl("create", "role", "stand-ins", "-n", "demo", "--verb=impersonate", "--resource=serviceaccounts", "--resource-name=stand-in")
    cluster.kubectl("create", "rolebinding", "stand-ins", "-n", "demo", "--role=stand-ins", "--user=jane")
    yield
    cluster.kubectl("delete", "clusterrole/stand-ins", "clusterrolebinding/stand-ins")
    cluster.kubectl("delete", "serviceaccount/stand-in", "role/stand-ins", "rolebinding/stand-ins", "-n", "demo")


@pytest.fixture
def standing_in(cluster, tmp_path, reviewer, rights):
    (tmp_path / "tokens.csv").write_text(f'{STATIC},jane,7,"night-shift"\n')
    with Door(cluster, tmp_path, {"tokenFile": str(tmp_path / "tokens.csv")}, impersonateOthers="subjectAccessReview") as door:
        yield door


@pytest.fixture
def jane_herself(cluster, tmp_path):
    """A kubeconfig with which jane comes to the apiserver directly."""
    pki = cluster.folder / "pki"
    subprocess.run(["bash", "-c", f". {harness.ROOT}/scripts/lib.sh; make_cert {pki} cluster-ca jane /O=night-shift/CN=jane"], check=True)
    file = no_credential(cluster, tmp_path)
    settings = json.loads(file.read_text())
    settings["users"][0]["user"] = {"client-certificate": str(pki / "jane.pem"), "client-key": str(pki / "jane.key")}
    settings["contexts"][0]["context"]["namespace"] = "demo"
    file.write_text(json.dumps(settings))
    return file


JANE = {"token": STATIC}
ROBOT = "system:serviceaccount:demo:stand-in"


def test_as_somebody_with_who_it_really_is_beside(standing_in):
    who = standing_in.whoami(JANE, "--as", "bob", "--as-group", "demo-admins")
    assert who["username"] == "bob" and "uid" not in who
    assert set(who["groups"]) == {"demo-admins", "system:authenticated"}
    assert who["extra"] == {
        "gatehouse/original-user": ["jane"],
        "gatehouse/original-uid": ["7"],
        "gatehouse/original-groups": ["night-shift"],
        "gatehouse/original-how": ["token_file"],
    }
    pods = ("get", "pods", "-o", "name")
    assert standing_in.kubectl(JANE, *pods, "--as", "bob", "--as-group", "demo-admins").stdout.split() == ["pod/hello"]
    refused = standing_in.kubectl(JANE, *pods, "--as", "bob", check=False)
    assert 'User "bob" cannot list resource "pods"' in refused.stderr


def test_as_a_service_account(standing_in, cluster, jane_herself):
    through = standing_in.whoami(JANE, "--as", ROBOT)
    direct = json.loads(cluster.kubectl("auth", "whoami", "-o", "json", "--as", ROBOT, kubeconfig=jane_herself).stdout)["status"]["userInfo"]
    assert through["username"] == direct["username"] == ROBOT
    assert set(through["groups"]) == set(direct["groups"])


@pytest.mark.parametrize(
    "args",
    [
        ("--as", "carol"),
        ("--as", "system:admin"),
        ("--as", "bob", "--as-group", "system:masters"),
        ("--as", "bob", "--as-uid", "1"),
        ("--as", "bob", "--as-user-extra", "acme.com/team=red"),
        ("--as", "system:serviceaccount:kube-system:default"),
        ("--as", "system:serviceaccount:demo:default"),
        ("--as", "a<b>&\"c\\"),
    ],
)
def test_refusals_are_those_of_the_apiserver_itself(standing_in, cluster, jane_herself, args):
    request = ("get", "--raw", "/api/v1/namespaces/demo/pods", *args)
    through = standing_in.kubectl(JANE, *request, check=False)
    direct = cluster.kubectl(*request, kubeconfig=jane_herself, check=False)
    assert through.returncode == direct.returncode == 1
    assert through.stderr == direct.stderr
    assert "is forbidden: User \"jane\" cannot impersonate resource" in through.stderr


def test_what_strangers_may_do_can_be_tried(cluster, standing_in, mark):
    cluster.kubectl("create", "clusterrole", "strangers", "--verb=impersonate", "--resource=users", "--resource-name=system:anonymous")
    cluster.kubectl("create", "clusterrolebinding", "strangers", "--clusterrole=strangers", "--user=jane")
    try:
        standing_in.kubectl(JANE, "get", "--raw", f"/version?mark={mark}", "--as", "system:anonymous")
        (event, *_) = cluster.audit_events(mark)
        assert event["impersonatedUser"]["username"] == "system:anonymous"
        assert event["impersonatedUser"]["groups"] == ["system:unauthenticated"]
    finally:
        cluster.kubectl("delete", "clusterrole/strangers", "clusterrolebinding/strangers")


def test_the_audit_log_has_both(cluster, standing_in, mark):
    standing_in.kubectl(JANE, "get", "--raw", f"/api/v1/namespaces/demo/pods?mark={mark}", "--as", "bob", "--as-group", "demo-admins")
    (event, *_) = cluster.audit_events(mark)
    assert event["user"]["username"] == "gatehouse-proxy"
    assert event["impersonatedUser"]["username"] == "bob"
    assert event["impersonatedUser"]["extra"]["gatehouse/original-user"] == ["jane"]


# ---- how a caller was proven


def test_how_a_caller_was_proven_reaches_the_cluster(cluster, tmp_path):
    (tmp_path / "tokens.csv").write_text(f"{STATIC},jane,7\n")
    with Door(cluster, tmp_path, {"tokenFile": str(tmp_path / "tokens.csv")}) as door:
        assert door.whoami(JANE)["extra"] == {"gatehouse/how": ["token_file"]}


def test_a_role_that_lists_its_extras_one_by_one_is_told_which_is_missing(cluster, tmp_path):
    """A gateway whose own role allows users and groups alone."""
    cluster.kubectl("create", "serviceaccount", "narrow", "-n", "demo")
    cluster.kubectl("create", "clusterrole", "narrow", "--verb=impersonate", "--resource=users,groups,serviceaccounts")
    cluster.kubectl("create", "clusterrolebinding", "narrow", "--clusterrole=narrow", "--serviceaccount=demo:narrow")
    try:
        settings = json.loads(no_credential(cluster, tmp_path).read_text())
        settings["users"][0]["user"] = {"token": token_of(cluster, "narrow")}
        narrow = tmp_path / "narrow.kubeconfig"
        narrow.write_text(json.dumps(settings))
        (tmp_path / "tokens.csv").write_text(f"{STATIC},jane,\n")
        tokens = {"tokenFile": str(tmp_path / "tokens.csv")}
        with Door(cluster, tmp_path, tokens, kubeconfig=str(narrow)) as door:
            refused = door.kubectl(JANE, "get", "--raw", "/api", check=False)
            assert 'cannot impersonate resource "userextras/gatehouse/how"' in refused.stderr
            lines = [json.loads(line) for line in door.log().splitlines()]
            (line, *_) = [li for li in lines if "lacks a right" in li["msg"]]
            assert (line["verb"], line["resource"]) == ("impersonate", "userextras/gatehouse/how")
        with Door(cluster, tmp_path / "without", tokens | {"howExtra": False}, kubeconfig=str(narrow)) as door:
            assert door.whoami(JANE)["username"] == "jane"
    finally:
        cluster.kubectl("delete", "clusterrole/narrow", "clusterrolebinding/narrow")
        cluster.kubectl("delete", "serviceaccount/narrow", "-n", "demo")
