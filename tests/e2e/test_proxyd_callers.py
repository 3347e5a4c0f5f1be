"""Who is calling, end to end: every credential beside an issuer's token, judged by what arrives at a recording upstream."""
import http.client
import json
import ssl

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from callers import JANES, JSON, config, identity, is_401, proven
from gatehouse import CA, Issuer, Proxyd, connect, request
from waiting import until


# ---- static token file


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
