"""telemetry.http: metrics that a scraper can read and that count what happened, health as dex reports it."""
import concurrent.futures
import json
import os
import subprocess
import time

import pytest
import requests

import openmetrics
from authd_client import CLI, EMAIL, PASSWORD, WEB, WEB_SECRET, Authd, harness, pkce
from github_standin import Account, GitHub
from harness import Certificates, Gateway
from test_github import sign_in as sign_in_with_github
from test_github import start

TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def with_telemetry(folder, **more):
    (port,) = harness.free_ports(1)
    authd = Authd(folder, telemetry={"http": f"127.0.0.1:{port}"}, **more)
    authd.telemetry = f"http://127.0.0.1:{port}"
    return authd


def scrape(url):
    answer = requests.get(url + "/metrics", timeout=20)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == TYPE and answer.headers["Cache-Control"] == "no-store"
    return openmetrics.parse(answer.content.decode())


@pytest.fixture
def authd(tmp_path):
    with with_telemetry(tmp_path) as running:
        yield running


def test_the_parser_refuses_what_is_wrong():
    head = "# TYPE a counter\n# HELP a Text.\n"
    assert openmetrics.parse(head + 'a_total{x="1\\n\\"\\\\"} 1\n# EOF\n') == {("a_total", frozenset({("x", '1\n"\\')})): 1}
    for wrong in ("", "a_total 1\n# EOF\n", head + "a_total 1\n", head + "a 1\n# EOF\n", head + "a_total 1\na_total 2\n# EOF\n",
                  head + 'a_total{x="1",x="2"} 1\n# EOF\n', head + 'a_total{x=1} 1\n# EOF\n', head + "a_total -1\n# EOF\n", head + "a_total one\n# EOF\n",
                  "# TYPE a counter\na_total 1\n# EOF\n", head + "# TYPE b gauge\n# HELP b B.\na_total 1\n# EOF\n",
                  "# TYPE a gauge\n# UNIT a seconds\n# HELP a A.\na 1\n# EOF\n",
                  '# TYPE h histogram\n# HELP h H.\nh_bucket{le="1.0"} 2\nh_bucket{le="+Inf"} 1\nh_count 1\nh_sum 1\n# EOF\n',
                  '# TYPE h histogram\n# HELP h H.\nh_bucket{le="1.0"} 2\nh_count 2\nh_sum 1\n# EOF\n'):
        with pytest.raises(AssertionError):
            openmetrics.parse(wrong)


def test_without_the_key_nothing_listens_and_the_public_doors_have_no_metrics(authd, tmp_path):
    for path in ("/metrics", "/oidc/metrics", "/healthz", "/healthz/live", "/oidc/healthz/ready"):
        assert authd.get(path).status_code == 404, path
        assert authd.over_socket("GET", path)[0] == 404, path
    assert authd.get("/oidc/healthz").text == "Health check passed\n"
    for path in ("/", "/oidc/.well-known/openid-configuration", "/oidc/token", "/internal/session", "/internal/ctl/stats", "/metrics/"):
        assert requests.get(authd.telemetry + path, timeout=20).status_code == 404, path
    assert requests.post(authd.telemetry + "/metrics", timeout=20).status_code == 405
    (tmp_path / "other").mkdir()
    with Authd(tmp_path / "other") as other:
        assert "for_operators" in other.log() and "http://" not in other.log().split("for_operators", 1)[1].split("issuer", 1)[0]


def test_sign_ins_tokens_and_sessions_are_counted(authd):
    before = scrape(authd.telemetry)
    assert before.get_one("gatehouse_build_info") == 1 and before.get_one("gatehouse_signing_keys", alg="RS256", state="active") == 1
    assert 1 << 20 < before.get_one("process_resident_memory_bytes") < 1 << 28 and abs(before.get_one("process_start_time_seconds") - time.time()) < 60
    assert before.get_one("gatehouse_logins_total") == 0 and before.get_one("gatehouse_store_records", kind="session") == 0
    browser = authd.browser()
    tokens = browser.tokens(scope="openid offline_access")
    assert authd.refresh(tokens["refresh_token"]).status_code == 200
    assert (wrong := authd.browser()).fill(wrong.authorize(code_challenge=pkce()[1], code_challenge_method="S256"), password="wrong").status_code == 401
    assert authd.session_token(browser)[0] == 200
    after = scrape(authd.telemetry)
    assert after.get_one("gatehouse_logins_total", connector="local", result="succeeded") == 1
    assert after.get_one("gatehouse_logins_total", connector="local", result="wrong_password") == 1
    assert after.get_one("gatehouse_tokens_issued_total", grant="authorization_code") == 1
    assert after.get_one("gatehouse_tokens_issued_total", grant="refresh_token") == 1
    assert after.get_one("gatehouse_tokens_issued_total", grant="session") == 1
    assert after.get_one("gatehouse_store_records", kind="session") == 1 and after.get_one("gatehouse_store_records", kind="refresh") == 1
    assert after.get_one("gatehouse_http_requests_total", route="/token", method="POST", code="200") == 2
    assert after.get_one("gatehouse_http_requests_total", route="/auth/local/login", method="POST", code="401") == 1
    assert after.get_one("gatehouse_http_request_duration_seconds_count", route="/token") == 2
    assert after.get_one("gatehouse_store_writes_total") > before.get_one("gatehouse_store_writes_total")
    assert after.get_one("gatehouse_store_used_bytes") >= before.get_one("gatehouse_store_used_bytes") > 0
    assert after.get_one("gatehouse_store_commit_duration_seconds_count") >= after.get_one("gatehouse_store_commits_total", result="succeeded") > 0
    tokens = browser.tokens()  # by the session: nobody was asked
    assert scrape(authd.telemetry).get_one("gatehouse_logins_total", connector="local", result="session") == 1
    assert PASSWORD not in requests.get(authd.telemetry + "/metrics", timeout=20).text and EMAIL not in authd.log()


def test_what_was_refused_before_it_was_understood_is_counted_too(authd):
    authd.get("/nosuch")
    authd.get("/oidc/token")
    requests.post(f"{authd.issuer}/token", data="x" * 70000, timeout=20)
    requests.request("BREW", f"{authd.issuer}/keys", timeout=20)
    seen = scrape(authd.telemetry)
    assert seen.get_one("gatehouse_http_requests_total", route="none", method="GET", code="404") == 1
    assert seen.get_one("gatehouse_http_requests_total", route="/token", method="GET", code="405") == 1
    assert seen.get_one("gatehouse_http_requests_total", route="none", method="POST", code="413") == 1
    assert seen.get_one("gatehouse_http_requests_total", route="/keys", method="other", code="405") == 1


def test_scrapes_under_load_stay_whole_and_lose_nothing(authd):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(authd.get, "/oidc/keys") for _ in range(200)]
        scrapes = [pool.submit(scrape, authd.telemetry) for _ in range(20)]
        assert all(a.result().status_code == 200 for a in asked)
        counts = [s.result().get_one("gatehouse_http_requests_total", route="/keys", method="GET", code="200") for s in scrapes]
    assert sorted(counts)[-1] <= 200 == scrape(authd.telemetry).get_one("gatehouse_http_requests_total", route="/keys", method="GET", code="200")
    assert scrape(authd.telemetry).get_one("gatehouse_http_requests_total", route="/keys", method="GET", code="200") == 200


def test_health_is_reported_as_dex_does(authd):
    live = requests.get(authd.telemetry + "/healthz/live", timeout=20)
    assert (live.status_code, live.text) == (200, "ok")
    for path in ("/healthz", "/healthz/ready"):
        answer = requests.get(authd.telemetry + path, timeout=20)
        assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
        storage = answer.json()["storage"]
        assert storage.keys() == {"timestamp", "duration", "contiguousFailures", "timeOfFirstFailure"}
        assert storage["contiguousFailures"] == 0 and storage["timeOfFirstFailure"] is None
        assert requests.get(authd.telemetry + path + "?type=short", timeout=20).json() == {"storage": "PASS"}
    assert requests.head(authd.telemetry + "/healthz", timeout=20).status_code == 200


@pytest.mark.skipif(os.getuid() != 0, reason="needs a disk of its own")
def test_a_full_disk_is_not_ready_but_alive(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        with with_telemetry(tmp_path, storage={"type": "lmdb", "config": {"path": str(disk)}}) as authd:
            (disk / "fill").write_bytes(b"x" * os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize)
            deadline = time.monotonic() + 20
            while authd.browser().authorize(code_challenge=pkce()[1], code_challenge_method="S256").status_code < 500:  # until a write needs a page that is not there
                assert time.monotonic() < deadline
            for n in (1, 2):
                answer = requests.get(authd.telemetry + "/healthz/ready", timeout=20)
                storage = answer.json()["storage"]
                assert answer.status_code == 503 and storage["error"]["message"] and storage["contiguousFailures"] == n and storage["timeOfFirstFailure"]
            assert requests.get(authd.telemetry + "/healthz?type=short", timeout=20).json() == {"storage": "FAIL"}
            assert requests.get(authd.telemetry + "/healthz/live", timeout=20).text == "ok"
            seen = scrape(authd.telemetry)
            assert seen.get_one("gatehouse_store_healthy") == 0 and seen.get_one("gatehouse_store_commits_total", result="failed") > 0
            (disk / "fill").unlink()
            authd.browser().sign_in()
            answer = requests.get(authd.telemetry + "/healthz", timeout=20)
            assert answer.status_code == 200 and answer.json()["storage"]["contiguousFailures"] == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def test_reloads_are_counted_and_move_the_address(authd):
    (port,) = harness.free_ports(1)
    authd.program.write_config(authd.configuration(telemetry={"http": f"127.0.0.1:{port}"}))
    authd.program.reload()
    with pytest.raises(requests.ConnectionError):
        requests.get(authd.telemetry + "/metrics", timeout=20)
    authd.telemetry = f"http://127.0.0.1:{port}"
    assert scrape(authd.telemetry).get_one("gatehouse_config_reloads_total", result="succeeded") == 1
    authd.program.write_config(authd.configuration(telemetry={"http": "nonsense"}))
    authd.program.reload(fails=True)
    seen = scrape(authd.telemetry)
    assert seen.get_one("gatehouse_config_reloads_total", result="failed") == 1


def test_upstream_calls_and_their_errors_are_counted_by_connector(tmp_path):
    certificates = Certificates(tmp_path / "github")
    cert, key = certificates.issue("github", "/CN=github", "IP:127.0.0.1,DNS:localhost")
    (port,) = harness.free_ports(1)
    with GitHub(cert, key) as github:
        github.ca = str(certificates.ca)
        github.add(Account(7, "octocat"))
        gateway = start(tmp_path, github)
        gateway.authd.write_config(gateway.authd.config | {"telemetry": {"http": f"127.0.0.1:{port}"}})
        with gateway:
            assert isinstance(gateway, Gateway) and sign_in_with_github(gateway)[0]
            github.fail["/user"] = [(500, {}, "{}"), (502, {}, "{}")]
            assert sign_in_with_github(gateway)[0] is None
            github.deny = True
            assert sign_in_with_github(gateway)[0] is None
            seen = scrape(f"http://127.0.0.1:{port}")
    assert seen.get_one("gatehouse_logins_total", connector="github", result="succeeded") == 1
    assert seen.get_one("gatehouse_logins_total", connector="github", result="unavailable") == 1
    assert seen.get_one("gatehouse_logins_total", connector="github", result="denied") == 1
    assert seen.get_one("gatehouse_upstream_calls_total", connector="github", call="user", result="answered") == 1
    assert seen.get_one("gatehouse_upstream_calls_total", connector="github", call="user", result="server_error") == 2
    assert seen.get_one("gatehouse_upstream_calls_total", connector="github", call="access_token", result="answered") == 2
    assert seen.get_one("gatehouse_upstream_call_duration_seconds_count", connector="github") == seen.sum("gatehouse_upstream_calls_total")


def test_client_credentials_are_a_grant_of_their_own(tmp_path):
    with with_telemetry(tmp_path, oauth2={"skipApprovalScreen": True, "grantTypes": ["authorization_code", "client_credentials"]}) as authd:
        assert authd.token({"grant_type": "client_credentials"}, (WEB, WEB_SECRET)).status_code == 200
        assert authd.token({"grant_type": "client_credentials", "client_id": CLI}).status_code >= 400
        assert scrape(authd.telemetry).get_one("gatehouse_tokens_issued_total", grant="client_credentials") == 1


@pytest.mark.parametrize("telemetry,wanted", [
    ({"http": "nonsense"}, "telemetry.http: expected an address"),
    ({"http": "unix:/run/x"}, "telemetry.http: expected host:port, found"),
    ({"http": "SAME"}, "is an address of web too"),
    ({"http": "127.0.0.1:0", "enableProfiling": True}, "telemetry.enableProfiling: profiles of Go programs are not for authd"),
    ({"htp": "127.0.0.1:0"}, "the nearest is \"http\""),
])
def test_what_cannot_be_is_said(tmp_path, telemetry, wanted):
    authd = Authd(tmp_path)
    if telemetry.get("http") == "SAME":
        telemetry = {"http": f"127.0.0.1:{authd.port}"}
    authd.program.write_config(json.loads(json.dumps(authd.configuration(telemetry=telemetry))))
    check = authd.program.check()
    assert check.returncode == 1 and wanted in check.stderr, check.stderr
    authd.program.close()
