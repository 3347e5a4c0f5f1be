"""Who is calling, end to end: every credential beside an issuer's token, judged by what arrives at a recording upstream."""
import base64
import http.client
import json
import ssl
import threading
import time

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from gatehouse import CA, Issuer, Proxyd, SigningKey, Upstream, connect, proxyd_config, request, write_answer
from waiting import until

JANES = "janes-token-0123456789"


def config(ca, upstream, authentication, issuers=(), **more):
    config = proxyd_config(ca, issuers, upstream, **more)
    config["authentication"] |= authentication
    return config


def identity(recorded):
    """The impersonation headers in order, without "Impersonate-"."""
    return [(n[12:], v) for n, v in recorded.headers if n.lower().startswith("impersonate")]


def proven(how):
    return ("Extra-gatehouse%2Fhow", how)


def is_401(answer):
    status, headers, body = answer
    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert json.loads(body) == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "Unauthorized",
                                "reason": "Unauthorized", "code": 401}
    return True


# ---- static token file


@pytest.fixture
def tokens(tmp_path):
    file = tmp_path / "tokens.csv"
    file.write_text(f'{JANES},jane,7,"dev,ops"\n')
    return file


def test_a_token_of_the_file_is_whom_its_line_names(tmp_path, ca, upstream, tokens):
    with Proxyd(tmp_path, config(ca, upstream, {"tokenFile": str(tokens)})) as proxyd:
        for _ in range(3):
            assert request(proxyd.address, "GET", "/api", ca, token=JANES)[0] == 200
        for wrong in (JANES[:-1], JANES + "0", JANES.upper(), "x"):
            assert is_401(request(proxyd.address, "GET", "/api", ca, token=wrong))
        proxyd.wait_log("request", user="jane", how="token_file", status=200)
        assert JANES not in proxyd.log_text(10_000)
    assert len(upstream.requests) == 3
    for recorded in upstream.requests:
        assert identity(recorded) == [("User", "jane"), ("Group", "dev"), ("Group", "ops"), ("Group", "system:authenticated"), ("Uid", "7"),
                                      proven("token_file")]
        assert not recorded.values("Authorization")


def test_a_token_file_stands_beside_an_issuer_and_each_has_its_own_tokens(tmp_path, ca, upstream, tokens):
    with Issuer(ca) as issuer, Proxyd(tmp_path, config(ca, upstream, {"tokenFile": str(tokens)}, [issuer])) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token=issuer.mint("joe"))[0] == 200
        assert request(proxyd.address, "GET", "/api", ca, token=JANES)[0] == 200
        assert is_401(request(proxyd.address, "GET", "/api", ca, token=issuer.mint("joe", aud="other")))
    assert [r.values("Impersonate-User") for r in upstream.requests] == [["joe"], ["jane"]]


def test_hup_reads_the_token_file_again_and_a_bad_one_changes_nothing(tmp_path, ca, upstream, tokens):
    with Proxyd(tmp_path, config(ca, upstream, {"tokenFile": str(tokens)})) as proxyd:
        tokens.write_text("joes-token-0123456789,joe,8\n")
        assert request(proxyd.address, "GET", "/api", ca, token=JANES)[0] == 200, "not before the signal"
        proxyd.reload(alone=True)
        assert is_401(request(proxyd.address, "GET", "/api", ca, token=JANES))
        assert request(proxyd.address, "GET", "/api", ca, token="joes-token-0123456789")[0] == 200
        tokens.write_text("joes-token-0123456789,joe,8\nmallory\n")
        reason = proxyd.reload_fails()
        assert reason.endswith(f': authentication.tokenFile: {tokens}:2: expected token,user,uid or token,user,uid,"group1,group2", found 1 column')
        assert request(proxyd.address, "GET", "/api", ca, token="joes-token-0123456789")[0] == 200


@pytest.mark.parametrize(
    "text, expected",
    [
        (f"{JANES},jane,7\n{JANES},joe,8\n", ":2: the token of line 1 again"),
        (f'{JANES},jane,7,"dev,system:masters"\n', ":1: group system:masters is above RBAC"),
        ("short,jane,7\n", ":1: token: expected at least 16 characters, found 5"),
        (f"{JANES},jane\n", ":1: expected token,user,uid"),
        (f"{JANES},jane,7,dev,ops\n", ":1: expected token,user,uid"),
    ],
)
def test_check_names_the_line_of_the_token_file(tmp_path, ca, upstream, tokens, text, expected):
    tokens.write_text(text)
    proxyd = Proxyd(tmp_path, config(ca, upstream, {"tokenFile": str(tokens)}))
    checked = proxyd.check()
    assert checked.returncode == 1
    assert f": authentication.tokenFile: {tokens}{expected}" in checked.stderr
    assert JANES not in checked.stderr


# ---- certificates of clients


@pytest.fixture
def people(tmp_path):
    """The authority of people's certificates, another one than the gateway's."""
    return CA(tmp_path / "people", "people")


def certificates(people):
    return {"clientCertificate": {"certificateAuthority": str(people.file)}}


def show(people, name, cn=None, **more):
    cert, key = people.issue(name, cn, **({"usages": [Usage.CLIENT_AUTH]} | more))
    return {"cert": cert, "key": key}


def ask_on(tls, path="/api"):
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = http.client.HTTPResponse(tls)
    answer.begin()
    return answer.status, answer.headers, answer.read()


def test_a_certificate_is_whom_its_subject_names(tmp_path, ca, upstream, people):
    with Proxyd(tmp_path, config(ca, upstream, certificates(people))) as proxyd:
        jane = show(people, "jane", organizations=["dev", "ops"])
        with connect(proxyd.address, ca, **jane) as tls:
            assert [ask_on(tls)[0] for _ in range(3)] == [200] * 3
        proxyd.wait_log("request", user="jane", how="client_certificate", status=200)
    for recorded in upstream.requests:
        headers = identity(recorded)
        assert headers[:4] == [("User", "jane"), ("Group", "dev"), ("Group", "ops"), ("Group", "system:authenticated")]
        assert headers[4][0] == "Extra-authentication.kubernetes.io%2Fcredential-id"
        assert headers[4][1].startswith("X509SHA256=")
        assert headers[5:] == [proven("client_certificate")]


def test_nobody_needs_a_certificate(tmp_path, ca, upstream, people, tokens):
    with Proxyd(tmp_path, config(ca, upstream, certificates(people) | {"tokenFile": str(tokens)})) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token=JANES)[0] == 200
        assert is_401(request(proxyd.address, "GET", "/api", ca))


def test_a_token_beside_a_certificate_is_refused(tmp_path, ca, upstream, people, tokens):
    with Proxyd(tmp_path, config(ca, upstream, certificates(people) | {"tokenFile": str(tokens)})) as proxyd:
        assert is_401(request(proxyd.address, "GET", "/api", ca, token=JANES, **show(people, "jane")))
        proxyd.wait_log("request", status=401, reason="a token and a client certificate: it is not clear who is meant")
    assert not upstream.requests


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    "how, reason",
    [
        ("expired", "certificate has expired"),
        ("other ca", "unable to get local issuer certificate"),
        ("no usage", "unsuitable certificate purpose"),
        ("server's", "unsuitable certificate purpose"),
    ],
)
def test_a_certificate_that_does_not_verify_ends_the_handshake(tmp_path, ca, upstream, people, how, reason, version):
    cert, key = {
        "expired": lambda: people.issue("jane", days=-1, usages=[Usage.CLIENT_AUTH]),
        "other ca": lambda: CA(tmp_path / "others", "others").issue("jane", usages=[Usage.CLIENT_AUTH]),
        "no usage": lambda: people.issue("jane"),
        "server's": lambda: people.issue("jane", usages=[Usage.SERVER_AUTH]),
    }[how]()
    with Proxyd(tmp_path, config(ca, upstream, certificates(people))) as proxyd:
        context = ca.client_context(cert=cert, key=key)
        context.maximum_version = version
        host, port = proxyd.address.rsplit(":", 1)
        with pytest.raises(ssl.SSLError, match="alert"):
            connection = http.client.HTTPSConnection("localhost", int(port), context=context, timeout=30)
            connection.request("GET", "/api")
            connection.getresponse()
        line = proxyd.wait_log("client certificate refused")
        assert line["reason"] == reason and line["client"] == host
    assert not upstream.requests


@pytest.mark.parametrize("cn, organizations, reason", [
    ("system:admin", [], 'the certificate\'s CN begins with "system:"'),
    ("jane", ["system:masters"], 'an O of the certificate begins with "system:"'),
])
def test_names_of_kubernetes_own_are_refused_from_certificates(tmp_path, ca, upstream, people, cn, organizations, reason):
    with Proxyd(tmp_path, config(ca, upstream, certificates(people))) as proxyd:
        assert is_401(request(proxyd.address, "GET", "/api", ca, **show(people, "admin", cn, organizations=organizations)))
        proxyd.wait_log("request", status=401, reason=reason)
    assert not upstream.requests


def test_a_certificate_that_ends_during_a_connection_ends_there(tmp_path, ca, upstream, people):
    with Proxyd(tmp_path, config(ca, upstream, certificates(people))) as proxyd:
        with connect(proxyd.address, ca, **show(people, "jane", days=3 / 86400)) as tls:
            assert ask_on(tls)[0] == 200
            assert is_401(until("the certificate's end", lambda: ask_on(tls), lambda answer: answer[0] != 200))
        proxyd.wait_log("request", status=401, reason="the client certificate, or one of its chain, has expired")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_connection_is_the_same_person_until_other_authorities_are_trusted(tmp_path, ca, upstream, people, version):
    with Proxyd(tmp_path, config(ca, upstream, certificates(people), workers=2)) as proxyd:
        context = ca.client_context(**show(people, "jane"))
        context.maximum_version = version
        session = None

        def visit(context):
            nonlocal session
            host, port = proxyd.address.rsplit(":", 1)
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            connection.connect()
            connection.sock = context.wrap_socket(connection.sock, server_hostname="localhost", session=session)
            connection.request("GET", "/api", headers={"Host": "localhost"})
            status = connection.getresponse().status
            session, reused = connection.sock.session, connection.sock.session_reused
            connection.close()
            return status, reused

        assert visit(context) == (200, False)
        assert [visit(context) for _ in range(4)] == [(200, True)] * 4
        assert {r.values("Impersonate-User")[0] for r in upstream.requests} == {"jane"}
        other = CA(tmp_path / "others", "others")
        proxyd.reload(config(ca, upstream, certificates(other), workers=2), alone=True)
        seen = len(upstream.requests)
        with pytest.raises(ssl.SSLError, match="alert"):
            visit(context)
        assert len(upstream.requests) == seen


# ---- tokens that the cluster is asked about

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
JSON = {"Content-Type": "application/json"}


class Reviewer:
    """An upstream that knows tokens. known: token -> user. audiences: of every token. answer, if set, replaces what a review answers."""

    def __init__(self, upstream):
        self.upstream, self.known, self.audiences, self.answer = upstream, {}, ["https://kubernetes.default.svc"], None
        upstream.answer = self._answer

    def account(self, token, namespace="ci", name="deployer", **more):
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        self.known[token] = {"username": f"system:serviceaccount:{namespace}:{name}", "uid": "u-1", "groups": groups} | more

    def asked(self):
        return [json.loads(r.body)["spec"] for r in self.upstream.requests if r.target.endswith(REVIEWS)]

    def forwarded(self):
        return [r for r in self.upstream.requests if not r.target.endswith(REVIEWS)]

    def _answer(self, recorded):
        if not recorded.target.endswith(REVIEWS):
            return 200, JSON, b"{}"
        if self.answer:
            return self.answer
        spec = json.loads(recorded.body)["spec"]
        user = self.known.get(spec["token"])
        both = [a for a in spec.get("audiences", self.audiences) if a in self.audiences]
        status = {"authenticated": True, "user": user, "audiences": both} if user and both else {"error": "[invalid bearer token]"}
        review = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": spec, "status": status}
        return 201, JSON, json.dumps(review).encode()


@pytest.fixture
def reviewer(upstream):
    return Reviewer(upstream)


def reviews(**more):
    return {"tokenReview": {"enabled": True} | more}


def is_503(answer):
    status, headers, body = answer
    assert (status, headers["Retry-After"], json.loads(body)["reason"]) == (503, "1", "ServiceUnavailable")
    return True


def account_token(**claims):
    """As an apiserver issues it; signed with a key that nobody here knows."""
    now = int(time.time())
    claims = {"iss": "https://kubernetes.default.svc", "aud": ["https://kubernetes.default.svc"], "sub": "system:serviceaccount:ci:deployer",
              "iat": now, "exp": now + 3600} | claims
    return SigningKey("apiserver").sign(claims)


def test_a_service_account_is_itself(tmp_path, ca, upstream, reviewer):
    token = account_token()
    reviewer.account(token, extra={"authentication.kubernetes.io/credential-id": ["JTI=1"], "authentication.kubernetes.io/pod-name": ["p"]})
    with Issuer(ca) as issuer, Proxyd(tmp_path, config(ca, upstream, reviews(), [issuer], workers=1)) as proxyd:
        for _ in range(3):
            assert request(proxyd.address, "GET", "/api", ca, token=token)[0] == 200
        assert request(proxyd.address, "GET", "/api", ca, token=issuer.mint("jane"))[0] == 200
        proxyd.wait_log("request", user="system:serviceaccount:ci:deployer", how="token_review", status=200)
        assert token not in proxyd.log_text(10_000)
        assert issuer.wait_requests(2) == 2, "a foreign token costs the issuer nothing"
    assert reviewer.asked() == [{"token": token}]
    question = next(r for r in upstream.requests if r.target == REVIEWS)
    assert question.method == "POST" and not identity(question) and not question.values("Authorization")
    assert question.peer, "with the gateway's own certificate"
    account, _, _, person = reviewer.forwarded()
    assert identity(account) == [
        ("User", "system:serviceaccount:ci:deployer"),
        ("Group", "system:serviceaccounts"),
        ("Group", "system:serviceaccounts:ci"),
        ("Group", "system:authenticated"),
        ("Uid", "u-1"),
        ("Extra-authentication.kubernetes.io%2Fcredential-id", "JTI=1"),
        ("Extra-authentication.kubernetes.io%2Fpod-name", "p"),
        proven("token_review"),
    ]
    assert person.values("Impersonate-User") == ["jane"]


def test_a_yes_counts_for_seconds_only(tmp_path, ca, upstream, reviewer):
    reviewer.account("opaque-token")
    with Proxyd(tmp_path, config(ca, upstream, reviews(), workers=1)) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token="opaque-token")[0] == 200
        start = time.monotonic()
        reviewer.known.clear()
        answer = until("the yes's end", lambda: request(proxyd.address, "GET", "/api", ca, token="opaque-token"), lambda answer: answer[0] != 200)
        assert is_401(answer)
        assert 8 < time.monotonic() - start < 15
        assert len(reviewer.asked()) == 2


def test_a_no_is_remembered_briefly_and_the_next_question_may_be_a_yes(tmp_path, ca, upstream, reviewer):
    with Proxyd(tmp_path, config(ca, upstream, reviews(), workers=1)) as proxyd:
        for _ in range(5):
            assert is_401(request(proxyd.address, "GET", "/api", ca, token="opaque-token"))
        assert len(reviewer.asked()) == 1
        reviewer.account("opaque-token")
        start = time.monotonic()
        until("the no's end", lambda: request(proxyd.address, "GET", "/api", ca, token="opaque-token")[0] != 401)
        assert 2 < time.monotonic() - start < 10
        assert len(reviewer.asked()) == 2
    assert [r.target for r in reviewer.forwarded()] == ["/api"]


def test_audiences_are_sent_and_checked(tmp_path, ca, upstream, reviewer):
    reviewer.account("opaque-token")
    reviewer.audiences = ["vault", "gatehouse"]
    with Proxyd(tmp_path, config(ca, upstream, reviews(audiences=["gatehouse", "other"]), workers=1)) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token="opaque-token")[0] == 200
        assert reviewer.asked()[0]["audiences"] == ["gatehouse", "other"]
        # A server that says yes and does not say for whom, or for somebody else.
        for audiences in (None, [], ["vault"]):
            token = f"opaque-{audiences}"
            status = {"authenticated": True, "user": {"username": "jane"}} | ({"audiences": audiences} if audiences is not None else {})
            review = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status}
            reviewer.answer = 201, JSON, json.dumps(review).encode()
            token = "opaque-" + base64.urlsafe_b64encode(repr(audiences).encode()).decode()
            assert is_401(request(proxyd.address, "GET", "/api", ca, token=token))
            proxyd.wait_log("request", status=401, reason="the token is for none of the audiences")
    assert len(reviewer.forwarded()) == 1


@pytest.mark.parametrize("how", ["500", "html", "empty", "5 MB", "5 MB chunked", "no kind", "true as text", "redirect", "garbage"])
def test_what_is_no_answer_lets_nobody_in_and_calls_nobody_a_liar(tmp_path, ca, upstream, reviewer, how):
    yes = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": {"authenticated": True, "user": {"username": "jane"}}}
    yes_text = json.dumps(yes).encode()
    answers = {
        "500": (500, JSON, yes_text),
        "html": (200, {"Content-Type": "text/html"}, b"<html>yes</html>"),
        "empty": (201, JSON, b""),
        "5 MB": (201, JSON, json.dumps(yes | {"metadata": {"a": "x" * 5_000_000}}).encode()),
        "no kind": (201, JSON, json.dumps({"status": yes["status"]}).encode()),
        "true as text": (201, JSON, yes_text.replace(b"true", b'"true"')),
        "redirect": (307, {"Location": "/api"}, yes_text),
    }
    if how == "5 MB chunked":

        def chunks(recorded, tls):
            tls.sendall(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(50):
                tls.sendall(b"186a0\r\n" + b" " * 100_000 + b"\r\n")
            return False

        upstream.on_request = chunks
    elif how == "garbage":
        upstream.on_request = lambda recorded, tls: tls.sendall(b"\0" * 1000)
    else:
        reviewer.answer = answers[how]
    with Proxyd(tmp_path, config(ca, upstream, reviews(), workers=1)) as proxyd:
        for _ in range(2):
            assert is_503(request(proxyd.address, "GET", "/api", ca, token="opaque-token"))
        assert proxyd.wait_log("a cluster did not answer a review", cluster="default", kind="TokenReview")["reason"]
        upstream.on_request = reviewer.answer = None
        reviewer.account("opaque-token")
        assert request(proxyd.address, "GET", "/api", ca, token="opaque-token")[0] == 200, "nothing was held against the token"
    assert len(reviewer.forwarded()) == 1


def test_a_cluster_that_does_not_answer_is_waited_for_five_seconds(tmp_path, ca, upstream, reviewer):
    released = threading.Event()
    upstream.on_request = lambda recorded, tls: released.wait(30) and False
    try:
        with Proxyd(tmp_path, config(ca, upstream, reviews(), workers=1)) as proxyd:
            start = time.monotonic()
            assert is_503(request(proxyd.address, "GET", "/api", ca, token="opaque-token"))
            assert 4.5 < time.monotonic() - start < 8
            proxyd.wait_log("a cluster did not answer a review", reason="no answer in time")
    finally:
        released.set()


@pytest.mark.parametrize("status, message, reason", [
    (403, "the gateway's role in this cluster lacks a right (bind gatehouse-reviewer)", "the gateway may not ask the cluster for a review"),
    (401, "the cluster does not accept the gateway's own credential", "the cluster does not accept the gateway's own credential"),
])
def test_a_role_that_lacks_the_right_to_ask_is_said_in_the_log(tmp_path, ca, upstream, reviewer, status, message, reason):
    reviewer.answer = status, JSON, b"{}"
    with Proxyd(tmp_path, config(ca, upstream, reviews(), workers=1)) as proxyd:
        got, headers, _ = request(proxyd.address, "GET", "/api", ca, token="opaque-token")
        assert got == 502 and not headers["Retry-After"], "trying again does not help"
        proxyd.wait_log(message, level="error", cluster="default", verb="create", resource="tokenreviews")
        proxyd.wait_log("request", status=502, reason=reason)


def test_each_cluster_is_asked_for_itself(tmp_path, ca, upstream, reviewer):
    reviewer.account("opaque-token", "ci", "one")
    with Upstream(ca) as second:
        other = Reviewer(second)
        other.account("opaque-token", "kube-system", "two")
        settings = config(ca, upstream, reviews(), workers=1)
        settings["clusters"].append({"name": "second", "kubeconfig": str(second.kubeconfig("second.kubeconfig"))})
        with Proxyd(tmp_path, settings) as proxyd:
            for _ in range(2):
                assert request(proxyd.address, "GET", "/api", ca, token="opaque-token")[0] == 200
                assert request(proxyd.address, "GET", "/clusters/second/api", ca, token="opaque-token")[0] == 200
            assert is_401(request(proxyd.address, "GET", "/clusters/nowhere/api", ca, token="opaque-token"))
        assert len(reviewer.asked()) == len(other.asked()) == 1
        assert {r.values("Impersonate-User")[0] for r in reviewer.forwarded()} == {"system:serviceaccount:ci:one"}
        assert {r.values("Impersonate-User")[0] for r in other.forwarded()} == {"system:serviceaccount:kube-system:two"}


def test_tokens_of_an_issuer_and_of_the_cluster_never_stand_in_for_each_other(tmp_path, ca, upstream, reviewer):
    with Issuer(ca) as issuer, Proxyd(tmp_path, config(ca, upstream, reviews(), [issuer], workers=1)) as proxyd:
        # The cluster would say yes to each of them, and is never asked.
        stranger, now = SigningKey(issuer.keys[0].kid), int(time.time())
        claims = {"iss": issuer.url, "aud": "test", "sub": "jane", "exp": now + 100}
        for token in (
            issuer.mint("jane", exp=now - 100),
            issuer.mint("jane", aud="other"),
            issuer.mint("system:serviceaccount:ci:deployer"),
            stranger.sign(claims),
            ".".join([base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("="), stranger.sign(claims).split(".")[1], ""]),
        ):
            reviewer.account(token)
            assert is_401(request(proxyd.address, "GET", "/api", ca, token=token))
        assert reviewer.asked() == []
        # And the issuer's keys prove nothing about the cluster's tokens.
        forged = issuer.keys[0].sign({"iss": "https://kubernetes.default.svc", "aud": "test", "sub": "jane", "exp": now + 100})
        assert is_401(request(proxyd.address, "GET", "/api", ca, token=forged))
        assert reviewer.asked() == [{"token": forged}]
    assert reviewer.forwarded() == []


def test_a_caller_above_rbac_does_not_come_through(tmp_path, ca, upstream, reviewer):
    reviewer.account("opaque-token", groups=["system:masters"])
    with Proxyd(tmp_path, config(ca, upstream, reviews())) as proxyd:
        assert is_401(request(proxyd.address, "GET", "/api", ca, token="opaque-token"))
        proxyd.wait_log("request", status=401, reason=lambda r: "system:masters" in r)
    assert reviewer.forwarded() == []


def test_empty_and_oversized_tokens_are_never_sent(tmp_path, ca, upstream, reviewer):
    with Proxyd(tmp_path, config(ca, upstream, reviews(), limits={"tokenBytes": 1000})) as proxyd:
        for value in ("Bearer ", "Bearer", "Bearer  ", "Bearer " + "a" * 1001, "Basic YTpi"):
            assert is_401(request(proxyd.address, "GET", "/api", ca, headers={"Authorization": value}))
        assert is_401(request(proxyd.address, "GET", "/api", ca, token=account_token(exp=int(time.time()) - 60)))
    assert upstream.requests == []


def test_many_requests_with_one_new_token_are_one_question(tmp_path, ca, upstream, reviewer):
    reviewer.account("opaque-token")
    released, asked = threading.Event(), threading.Event()

    def hold(recorded, tls):
        if recorded.target == REVIEWS:
            asked.set()
            released.wait(30)
        write_answer(tls, *reviewer._answer(recorded))
        return True

    upstream.on_request = hold
    with Proxyd(tmp_path, config(ca, upstream, reviews(), workers=1)) as proxyd:
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(request(proxyd.address, "GET", "/api", ca, token="opaque-token")[0]))
                   for _ in range(20)]
        for thread in threads:
            thread.start()
        assert asked.wait(30)
        released.set()
        for thread in threads:
            thread.join(30)
    assert statuses == [200] * 20
    assert len(reviewer.asked()) == 1


# ---- --as

ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class Judge:
    """An upstream that says who may impersonate whom. allowed: (caller, resource[/subresource], [namespace/]name)."""

    def __init__(self, upstream):
        self.upstream, self.allowed, self.answer = upstream, set(), None
        upstream.answer = self._answer

    def asked(self):
        return [json.loads(r.body)["spec"] for r in self.upstream.requests if r.target == ACCESS]

    def forwarded(self):
        return [r for r in self.upstream.requests if r.target != ACCESS]

    def _answer(self, recorded):
        if recorded.target != ACCESS:
            return 200, JSON, b"{}"
        if self.answer:
            return self.answer
        spec = json.loads(recorded.body)["spec"]
        a = spec["resourceAttributes"]
        resource = "/".join(filter(None, [a["resource"], a.get("subresource")]))
        name = "/".join(filter(None, [a.get("namespace"), a["name"]]))
        assert a["verb"] == "impersonate"
        status = {"allowed": (spec["user"], resource, name) in self.allowed}
        return 201, JSON, json.dumps({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": status}).encode()


@pytest.fixture
def judge(upstream):
    return Judge(upstream)


def allowing_as(ca, upstream, tokens, **more):
    settings = config(ca, upstream, {"tokenFile": str(tokens)}, workers=1, **more)
    settings["clusters"][0]["impersonateOthers"] = "subjectAccessReview"
    return settings


ORIGINAL = [
    ("Extra-gatehouse%2Foriginal-user", "jane"),
    ("Extra-gatehouse%2Foriginal-uid", "7"),
    ("Extra-gatehouse%2Foriginal-groups", "dev"),
    ("Extra-gatehouse%2Foriginal-groups", "ops"),
    ("Extra-gatehouse%2Foriginal-how", "token_file"),
]


def test_as_somebody_else_where_the_cluster_allows_it(tmp_path, ca, upstream, judge, tokens):
    judge.allowed = {("jane", "users", "bob"), ("jane", "groups", "qa"), ("jane", "uids", "42"), ("jane", "userextras/acme.com/team", "red")}
    as_bob = {"Impersonate-User": "bob", "Impersonate-Group": "qa", "Impersonate-Uid": "42", "Impersonate-Extra-Acme.com%2fTeam": "red"}
    with Proxyd(tmp_path, allowing_as(ca, upstream, tokens)) as proxyd:
        for _ in range(3):
            assert request(proxyd.address, "GET", "/api", ca, token=JANES, headers=as_bob)[0] == 200
        line = proxyd.wait_log("request", **{"as": "bob"})
        assert (line["user"], line["how"]) == ("jane", "token_file")
        assert request(proxyd.address, "GET", "/api", ca, token=JANES)[0] == 200
    assert [(q["resourceAttributes"]["resource"], q["resourceAttributes"]["name"]) for q in judge.asked()] == [
        ("users", "bob"), ("groups", "qa"), ("uids", "42"), ("userextras", "red")], "each once"
    for question in judge.asked():
        assert (question["user"], question["uid"], question["groups"]) == ("jane", "7", ["dev", "ops", "system:authenticated"])
    assert all(not identity(r) and r.peer for r in upstream.requests if r.target == ACCESS), "asked by the gateway itself"
    for recorded in judge.forwarded()[:3]:
        assert identity(recorded) == [("User", "bob"), ("Group", "qa"), ("Group", "system:authenticated"), ("Uid", "42"),
                                      ("Extra-acme.com%2Fteam", "red"), *ORIGINAL]
    assert identity(judge.forwarded()[3])[0] == ("User", "jane"), "and nothing of it stays"


def test_as_a_service_account_is_a_right_of_its_own(tmp_path, ca, upstream, judge, tokens):
    robot = "system:serviceaccount:ci:robot"
    judge.allowed = {("jane", "users", robot), ("jane", "users", "bob")}
    with Proxyd(tmp_path, allowing_as(ca, upstream, tokens)) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token=JANES, headers={"Impersonate-User": robot})[0] == 403
    with Proxyd(tmp_path, allowing_as(ca, upstream, tokens)) as proxyd:
        judge.allowed = {("jane", "serviceaccounts", "ci/robot")}
        assert request(proxyd.address, "GET", "/api", ca, token=JANES, headers={"Impersonate-User": robot})[0] == 200
    assert identity(judge.forwarded()[0]) == [("User", robot), ("Group", "system:serviceaccounts"), ("Group", "system:serviceaccounts:ci"),
                                              ("Group", "system:authenticated"), *ORIGINAL]


@pytest.mark.parametrize("missing", ["users bob", "groups qa", "uids 42", "userextras/team red"])
def test_everything_that_is_asked_for_has_to_be_allowed(tmp_path, ca, upstream, judge, tokens, missing):
    wanted = {("jane", "users", "bob"), ("jane", "groups", "qa"), ("jane", "uids", "42"), ("jane", "userextras/team", "red")}
    judge.allowed = {a for a in wanted if f"{a[1]} {a[2]}" != missing}
    as_bob = {"Impersonate-User": "bob", "Impersonate-Group": "qa", "Impersonate-Uid": "42", "Impersonate-Extra-team": "red"}
    with Proxyd(tmp_path, allowing_as(ca, upstream, tokens)) as proxyd:
        status, _, body = request(proxyd.address, "GET", "/api", ca, token=JANES, headers=as_bob)
        resource, name = missing.split()
        answer = json.loads(body)
        assert (status, answer["kind"], answer["reason"], answer["code"]) == (403, "Status", "Forbidden", 403)
        assert f'"{name}" is forbidden: User "jane" cannot impersonate resource "{resource}" in API group ' in answer["message"]
        proxyd.wait_log("request", status=403, user="jane", reason="not allowed to impersonate", **{"as": "bob"})
    assert judge.forwarded() == []


@pytest.mark.parametrize("headers, status", [
    ({"Impersonate-Group": "qa"}, 400),
    ({"Impersonate-User": ""}, 400),
    ({"Impersonate-User": "bob", "Impersonate_Group": "system:masters"}, 400),
    ({"Impersonate-User": "bob", "Impersonate-Role": "admin"}, 400),
    ({"Impersonate-User": "bob", "Impersonate-Extra-gatehouse%2Foriginal-user": "root"}, 400),
    ({"Impersonate-User": "bob", "Connection": "Impersonate-User"}, 400),
])
def test_what_asks_for_somebody_in_an_unclear_way_is_refused_unasked(tmp_path, ca, upstream, judge, tokens, headers, status):
    with Proxyd(tmp_path, allowing_as(ca, upstream, tokens)) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token=JANES, headers=headers)[0] == status
    assert upstream.requests == []


def test_by_default_nobody_is_anybody_else(tmp_path, ca, upstream, judge, tokens):
    judge.allowed = {("jane", "users", "bob")}
    with Proxyd(tmp_path, config(ca, upstream, {"tokenFile": str(tokens)})) as proxyd:
        status, _, body = request(proxyd.address, "GET", "/api", ca, token=JANES, headers={"Impersonate-User": "bob"})
        assert status == 403 and json.loads(body)["message"] == "impersonating others through this gateway is not allowed"
    assert upstream.requests == []


@pytest.mark.parametrize("answer, status", [
    ((500, JSON, b"{}"), 503),
    ((201, JSON, b"yes"), 503),
    ((201, JSON, b'{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":"true"}}'), 503),
    ((403, JSON, b"{}"), 502),
    ((401, JSON, b"{}"), 502),
])
def test_what_is_no_answer_allows_nothing(tmp_path, ca, upstream, judge, tokens, answer, status):
    judge.answer = answer
    with Proxyd(tmp_path, allowing_as(ca, upstream, tokens)) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token=JANES, headers={"Impersonate-User": "bob"})[0] == status
    assert judge.forwarded() == []


def test_a_right_that_is_taken_away_ends_within_seconds(tmp_path, ca, upstream, judge, tokens):
    judge.allowed = {("jane", "users", "bob")}
    with Proxyd(tmp_path, allowing_as(ca, upstream, tokens)) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token=JANES, headers={"Impersonate-User": "bob"})[0] == 200
        judge.allowed.clear()
        start = time.monotonic()
        until("the right's end", lambda: request(proxyd.address, "GET", "/api", ca, token=JANES, headers={"Impersonate-User": "bob"})[0] != 200)
        assert time.monotonic() - start < 15
        assert len(judge.asked()) == 2


# ---- how a caller was proven, and what the gateway's role has to allow for it


@pytest.mark.parametrize("wanted", [True, False])
def test_how_a_caller_was_proven_is_said_upstream_unless_it_is_not_wanted(tmp_path, ca, upstream, tokens, wanted):
    with Issuer(ca) as issuer, Proxyd(tmp_path, config(ca, upstream, {"tokenFile": str(tokens), "howExtra": wanted}, [issuer])) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token=issuer.mint("joe"))[0] == 200
        assert request(proxyd.address, "GET", "/api", ca, token=JANES)[0] == 200
        proxyd.wait_log("request", user="joe", how="jwt")
        proxyd.wait_log("request", user="jane", how="token_file")
    assert [r.values("Impersonate-Extra-gatehouse%2Fhow") for r in upstream.requests] == ([["jwt"], ["token_file"]] if wanted else [[], []])


def test_a_right_that_the_gateways_role_lacks_is_said_in_the_log_once_in_a_while(tmp_path, ca, upstream, tokens):
    message = ('userextras.authentication.k8s.io "token_file" is forbidden: User "gatehouse-proxy" cannot impersonate resource "userextras/gatehouse/how" '
               'in API group "authentication.k8s.io" at the cluster scope')
    body = json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "Forbidden", "code": 403}).encode()
    upstream.answer = lambda recorded: (403, JSON, body)
    with Proxyd(tmp_path, config(ca, upstream, {"tokenFile": str(tokens)}, workers=1)) as proxyd:
        said = "the gateway's role in this cluster lacks a right (see gatehouse-proxy in impersonator.yaml)"
        # What a pod says is its own business.
        assert request(proxyd.address, "GET", "/api/v1/namespaces/x/pods/y/proxy/", ca, token=JANES)[::2] == (403, body)
        proxyd.wait_log("request", status=403)
        assert not proxyd.find_log(said)
        for _ in range(3):
            assert request(proxyd.address, "GET", "/api", ca, token=JANES)[::2] == (403, body), "passed on as it is"
        line = proxyd.wait_log(said, level="error", cluster="default", verb="impersonate", resource="userextras/gatehouse/how")
        assert line["request_id"]
        proxyd.wait_log("request", status=403, count=4)
        assert len(proxyd.find_log(said)) == 1
