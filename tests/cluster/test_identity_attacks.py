"""Clients that try to choose who they are. The judge is the apiserver's own audit log: whatever reached it, reached it as
gatehouse-proxy speaking for the person whose token was sent, or did not reach it at all."""
import json

import pytest

GATEWAY_USER = "gatehouse-proxy"


def send(gateway, mark, *lines, token=None, path="/api/v1/namespaces/demo/pods"):
    head = [f"GET {path}?mark={mark} HTTP/1.1", f"Host: localhost:{gateway.port}"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    return gateway.raw("\r\n".join([*head, *lines, "", ""]).encode("latin-1"))


def assert_status_object(answer, code):
    status, headers, body = answer
    assert status == code, body
    assert headers["content-type"].startswith("application/json")
    assert headers["x-content-type-options"] == "nosniff"
    said = json.loads(body)
    assert (said["kind"], said["apiVersion"], said["status"], said["code"]) == ("Status", "v1", "Failure", code)
    return said


@pytest.mark.parametrize(
    "header",
    [
        "Impersonate-User: root",
        "impersonate-user: root",
        "IMPERSONATE-USER: system:admin",
        "Impersonate_User: root",
        "impersonate.user: root",
        "impersonate_group: system:masters",
        "Impersonate-Group: system:masters",
        "Impersonate-Uid: 0",
        "Impersonate-Extra-Scopes: all",
        "Impersonate-Extra-authentication.kubernetes.io%2fcredential-id: JTI=x",
        "Impersonate-Anything-At-All: x",
        "Impersonate-User:",
        "Impersonate-User: \t",
    ],
)
def test_any_impersonate_header_is_refused_and_never_arrives(alice, gateway, cluster, mark, header):
    said = assert_status_object(send(gateway, mark, header, token=alice.token), 403)
    assert said["reason"] == "Forbidden"
    assert cluster.audit_events(mark) == []


@pytest.mark.parametrize(
    "header",
    [
        "Connection: Impersonate-User",
        "Connection: close, impersonate-group",
        "Connection: Authorization",
        "Connection: keep-alive, Host",
        "Connection: X-Forwarded-For",
        "Connection: Impersonate-Extra-Scopes",
    ],
)
def test_a_connection_header_that_names_an_identity_header_is_refused(alice, gateway, cluster, mark, header):
    status, _, _ = send(gateway, mark, header, token=alice.token)
    assert status in (400, 403)
    assert cluster.audit_events(mark) == []


@pytest.mark.parametrize(
    "header",
    [
        "X-Remote-User: system:admin",
        "X-Remote-Group: system:masters",
        "X-Remote-Extra-Scopes: all",
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-User: root",
        "Forwarded: for=10.0.0.1",
        "X-Real-IP: 10.0.0.1",
    ],
)
def test_front_proxy_headers_are_dropped_and_the_caller_stays_who_they_are(alice, gateway, cluster, mark, header):
    status, _, body = send(gateway, mark, header, token=alice.token)
    assert status == 200, body
    (event,) = cluster.audit_events(mark)
    assert event["user"]["username"] == GATEWAY_USER
    assert event["impersonatedUser"]["username"] == alice.email
    assert sorted(event["impersonatedUser"]["groups"]) == ["demo-admins", "night-shift", "system:authenticated"]
    assert "10.0.0.1" not in event["sourceIPs"]


def test_every_group_arrives_as_its_own_value(mallory, gateway, cluster, mark):
    send(gateway, mark, token=mallory.token)
    (event,) = cluster.audit_events(mark)
    assert event["impersonatedUser"]["username"] == mallory.email
    assert event["impersonatedUser"]["groups"] == ["system:authenticated"]
    assert event["responseStatus"]["code"] == 403


def test_kubectl_as_is_refused_with_the_reason(alice):
    refused = alice.kubectl("get", "--raw", "/api/v1/namespaces/demo/pods", "--as", "root", "--as-group", "system:masters", check=False)
    assert refused.returncode == 1 and "Forbidden" in refused.stderr and "mpersonat" in refused.stderr
    refused = alice.kubectl("get", "pods", "--as", "root", check=False)
    assert refused.returncode == 1 and "Forbidden" in refused.stderr


def flipped(token):
    """The token with one bit of its signature changed."""
    head, _, signature = token.rpartition(".")
    middle = len(signature) // 2
    return f"{head}.{signature[:middle]}{'A' if signature[middle] != 'A' else 'B'}{signature[middle + 1:]}"


def test_without_a_valid_credential_all_answers_look_alike_and_nothing_arrives(alice, gateway, cluster, mark):
    tokens = [None, "x", "a.b.c", flipped(alice.token), alice.token + ".", alice.token[:-1], alice.token * 20, alice.tokens["access_token"]]
    bodies = set()
    for token in tokens:
        answer = send(gateway, mark, token=token)
        said = assert_status_object(answer, 401)
        assert said["reason"] == "Unauthorized"
        assert not answer[1].get("www-authenticate", "").lower().startswith("basic")
        bodies.add(said["message"])
    assert len(bodies) == 1
    assert cluster.audit_events(mark) == []


def test_two_authorization_headers_are_refused(alice, mallory, gateway, cluster, mark):
    status, _, _ = send(gateway, mark, f"Authorization: Bearer {mallory.token}", token=alice.token)
    assert status in (400, 401)
    assert cluster.audit_events(mark) == []


def test_basic_credentials_are_no_credentials(gateway, cluster, mark):
    assert_status_object(send(gateway, mark, "Authorization: Basic cm9vdDpyb290"), 401)
    assert cluster.audit_events(mark) == []


def test_credentials_do_not_reach_the_apiserver(alice, gateway, cluster, mark):
    """A SelfSubjectReview says how the apiserver saw the request: its extras name the gateway's certificate nowhere."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = alice.http.post(f"{gateway.url}/apis/authentication.k8s.io/v1/selfsubjectreviews?mark={mark}", json=review, timeout=10)
    assert answer.status_code == 201
    info = answer.json()["status"]["userInfo"]
    assert info["username"] == alice.email and GATEWAY_USER not in json.dumps(info) and "X509" not in json.dumps(info)
    (event,) = cluster.audit_events(mark)
    assert alice.token not in json.dumps(event)


def test_a_pipelined_second_request_has_its_own_identity(alice, mallory, gateway, cluster, mark):
    def request(token, more=""):
        return (
            f"GET /api/v1/namespaces/demo/pods?mark={mark}{more} HTTP/1.1\r\nHost: localhost:{gateway.port}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()

    status, _, _ = gateway.raw(request(alice.token, "-a") + request(mallory.token, "-m") + request(alice.token, "-z"))
    assert status == 200
    # All three are written by the time the last is: events come in order of completion.
    by_uri = {e["requestURI"]: e["impersonatedUser"]["username"] for e in cluster.audit_events(mark)}
    for uri, name in by_uri.items():
        assert name == (mallory.email if uri.endswith("-m") else alice.email)
    assert any(uri.endswith("-a") for uri in by_uri)
