"""Who is calling, end to end: every credential beside an issuer's token, judged by what arrives at a recording upstream."""
import json

import pytest

from gatehouse import CA, Issuer, Proxyd, Upstream, proxyd_config, request

JANES = "janes-token-0123456789"


@pytest.fixture
def ca(tmp_path):
    return CA(tmp_path / "pki")


@pytest.fixture
def upstream(ca):
    with Upstream(ca) as upstream:
        yield upstream


def config(ca, upstream, authentication, issuers=(), **more):
    config = proxyd_config(ca, issuers, upstream, **more)
    config["authentication"] |= authentication
    return config


def identity(recorded):
    """The impersonation headers in order, without "Impersonate-"."""
    return [(n[12:], v) for n, v in recorded.headers if n.lower().startswith("impersonate")]


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
        assert identity(recorded) == [("User", "jane"), ("Group", "dev"), ("Group", "ops"), ("Group", "system:authenticated"), ("Uid", "7")]
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
        proxyd.reload()
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
