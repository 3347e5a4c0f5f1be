"""Tokens that nobody knows but the cluster, which is asked about them (TokenReview)."""
import base64
import json
import threading
import time

import pytest

from callers import JSON, config, identity, is_401, proven
from gatehouse import Issuer, Proxyd, SigningKey, Upstream, request, write_answer
from waiting import until

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


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
