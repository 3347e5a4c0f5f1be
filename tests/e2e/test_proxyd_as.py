"""--as: who may be somebody else is asked of the cluster (SubjectAccessReview), for everything that the request names."""
import json
import time

import pytest

from callers import JANES, JSON, config, identity
from gatehouse import Proxyd, request
from waiting import until

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
    ({"Impersonate-User": "bob", "Impersonate-Extra-gatehouse%2Fissuer": "https://issuer.example"}, 400),
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
