"""kubectl-gatehouse as kubectl runs it, against the real authd and proxyd; the person's browser is an HTTP client that fills the form."""
import base64
import contextlib
import concurrent.futures
import json
import os
import re
import signal
import stat
import subprocess
import urllib.request

import pytest

import harness
from harness import BUILD, CLIENT_ID, Gateway

PROGRAM = BUILD / "kubectl-gatehouse"
PEOPLE = {"ann@example.com": "correct horse"}


@pytest.fixture
def gateway(tmp_path):
    with Gateway(tmp_path / "gateway", PEOPLE, {"ann@example.com": ["dev", "ops"]}) as g:
        yield g


@pytest.fixture
def environment(tmp_path):
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def command(gateway, verb, *more):
    return [PROGRAM, verb, "--issuer", gateway.issuer, "--client-id", CLIENT_ID, "--certificate-authority", str(gateway.ca), *more]


def start(argv, environment):
    def heed_interrupts():  # a shell's job in the background is started without
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(argv, text=True, env=environment, preexec_fn=heed_interrupts, **pipes)


def address_of(process):
    """The sign-in address that it prints."""
    for line in process.stderr:
        if found := re.match(r"\s+(https://\S+)", line):
            return found.group(1)
    raise AssertionError(f"no address; exit {process.wait()}")


def run(argv, environment):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=60)


def browse(gateway, process, url=None):
    """The whole of what the person does; the program ends by itself then."""
    url = url or address_of(process)
    redirect = re.search(r"redirect_uri=http%3A%2F%2F127\.0\.0\.1%3A(\d+)%2Fcallback", url)
    assert redirect, url
    person = harness.Person(gateway, "ann@example.com", PEOPLE["ann@example.com"])
    saved, harness.REDIRECT_URI = harness.REDIRECT_URI, f"http://127.0.0.1:{redirect.group(1)}/callback"
    try:
        back = person.walk(url)
    finally:
        harness.REDIRECT_URI = saved
    with urllib.request.urlopen(back, timeout=10) as page:
        assert "You are signed in" in page.read().decode()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return out


def test_get_token_signs_in_once_and_answers_from_the_cache_afterwards(gateway, environment):
    argv = command(gateway, "get-token", "--no-browser")
    credential = json.loads(browse(gateway, start(argv, environment)))
    assert credential["kind"] == "ExecCredential" and credential["apiVersion"] == "client.authentication.k8s.io/v1"
    again = run(argv, environment)
    assert again.returncode == 0 and json.loads(again.stdout) == credential
    answer = gateway.browser().get(gateway.url + "/api", headers={"Authorization": "Bearer " + credential["status"]["token"]})
    assert answer.status_code == 404, "no cluster is configured here, but the caller is known"
    for folder, _, files in os.walk(environment["XDG_CACHE_HOME"]):
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600, name


def test_kubectl_s_own_ca_serves_for_an_issuer_on_the_same_host(gateway, environment):
    ca = base64.b64encode(gateway.ca.read_bytes()).decode()
    info = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "spec": {"interactive": False, "cluster": {"server": gateway.url, "certificate-authority-data": ca}}}
    argv = [PROGRAM, "get-token", "--issuer", gateway.issuer, "--client-id", CLIENT_ID, "--no-browser"]
    assert json.loads(browse(gateway, start(argv, environment | {"KUBERNETES_EXEC_INFO": json.dumps(info)})))["status"]["token"]
    without = run(argv, environment | {"XDG_CACHE_HOME": environment["HOME"] + "/other"})
    assert without.returncode == 1 and gateway.issuer in without.stderr, "unknown to the system's CAs"


def test_twenty_at_once_make_one_sign_in(gateway, environment):
    argv = command(gateway, "get-token", "--no-browser")
    first = start(argv, environment)
    url = address_of(first)  # it holds the lock now
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        others = [pool.submit(run, argv, environment) for _ in range(19)]
        credential = browse(gateway, first, url)
        answers = [o.result() for o in others]
    assert {a.stdout for a in answers} == {credential}
    assert all(a.returncode == 0 and "Open this address" not in a.stderr for a in answers)


def test_an_expired_token_is_refreshed_without_the_person(tmp_path, environment):
    with Gateway(tmp_path / "short", PEOPLE, authd_more={"expiry": {"idTokens": "12s"}}) as gateway:
        argv = command(gateway, "get-token", "--no-browser")
        first = json.loads(browse(gateway, start(argv, environment)))
        entry = next(p for p in (tmp_path / "cache" / "gatehouse").iterdir() if p.suffix == ".json")
        stored = json.loads(entry.read_text())
        entry.write_text(json.dumps(stored | {"expires_at": 1}))
        second = run(argv, environment)
        assert second.returncode == 0, second.stderr
        assert json.loads(second.stdout)["status"]["token"] != first["status"]["token"]
        assert "Open this address" not in second.stderr
        # The replaced refresh token is the one that counts now.
        assert json.loads(entry.read_text())["refresh_token"] != stored["refresh_token"]


def code_of(process):
    """The code that it prints, and the address to type it at."""
    address = None
    for line in process.stderr:
        if found := re.match(r"\s+(https://\S+/device)$", line):
            address = found.group(1)
        if found := re.match(r"\s+([A-Z]{4}-[A-Z]{4})$", line):
            return found.group(1), address
    raise AssertionError(f"no code; exit {process.wait()}")


def decide_at(gateway, address, code, word):
    """What the person does in a browser on another machine."""
    person = harness.Person(gateway, "ann@example.com", PEOPLE["ann@example.com"])
    page = person.browser.get(address)
    page = person.browser.post(page.url + "/auth/verify_code", data=hidden(page.text) | {"user_code": code})
    if 'type="password"' in page.text:
        page = person.browser.post(gateway.issuer + "/auth/local/login", data=hidden(page.text) | {"login": person.email, "password": person.password})
    assert code in page.text, "shown once more, to be compared"
    return person.browser.post(gateway.issuer + "/approval", data=hidden(page.text) | {"approval": word})


def hidden(html):
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', html))


def test_with_device_the_browser_is_on_another_machine(gateway, environment):
    process = start(command(gateway, "login", "--device"), environment)
    assert "Go back to your device" in decide_at(gateway, *reversed(code_of(process)), "approve").text
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "ann@example.com" in out and "dev, ops" in out
    stored = run(command(gateway, "get-token"), environment)
    assert stored.returncode == 0 and json.loads(stored.stdout)["status"]["token"], "kubectl needs no browser afterwards"


def test_an_issuer_without_a_device_flow_and_a_client_that_may_not_use_it_are_named(tmp_path, environment):
    with Gateway(tmp_path / "none", PEOPLE, authd_more={"oauth2": {"grantTypes": ["authorization_code", "refresh_token"]}}) as gateway:
        ended = run(command(gateway, "login", "--device"), environment)
        assert ended.returncode == 1 and f"{gateway.issuer} has no device flow" in ended.stderr
    client = {"id": CLIENT_ID, "name": "kubectl", "public": True, "redirectURIs": ["http://127.0.0.1/callback"]}
    with Gateway(tmp_path / "other", PEOPLE, authd_more={"staticClients": [client]}) as gateway:
        ended = run(command(gateway, "login", "--device"), environment)
        assert ended.returncode == 1 and "unauthorized_client" in ended.stderr


def test_a_terminal_is_shown_a_qr_code_and_a_pipe_is_not(gateway, environment):
    ours, theirs = os.openpty()
    process = subprocess.Popen(command(gateway, "login", "--device", "--timeout", "1s"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    assert process.wait(30) == 1 and process.stdout.read() == b""
    lines = [line for line in shown.decode().splitlines() if "\033[30;107m" in line]
    assert len(lines) >= 15 and any("█" in line for line in lines)
    assert "\033" not in run(command(gateway, "login", "--device", "--timeout", "1s"), environment).stderr


def test_a_device_hears_when_the_person_refuses_and_when_nobody_comes(gateway, environment):
    refused = start(command(gateway, "login", "--device"), environment)
    alone = start(command(gateway, "login", "--device", "--timeout", "2s"), environment)
    decide_at(gateway, *reversed(code_of(refused)), "deny")
    assert "nobody signed in within 2 seconds" in alone.communicate(timeout=30)[1] and alone.returncode == 1
    assert "access_denied" in refused.communicate(timeout=30)[1] and refused.returncode == 1


def test_whoami_and_logout(gateway, environment):
    assert run([PROGRAM, "whoami"], environment).returncode == 1
    shown = browse(gateway, start(command(gateway, "login", "--no-browser"), environment))
    assert "ann@example.com" in shown and "dev, ops" in shown
    assert run([PROGRAM, "whoami"], environment).stdout == shown
    assert run([PROGRAM, "logout"], environment).returncode == 0
    assert run([PROGRAM, "whoami"], environment).returncode == 1


def test_the_wait_for_the_person_is_bounded_and_can_be_interrupted(gateway, environment):
    ended = run(command(gateway, "get-token", "--no-browser", "--timeout", "1s"), environment)
    assert ended.returncode == 1 and "nobody signed in within 1 seconds" in ended.stderr
    process = start(command(gateway, "get-token", "--no-browser"), environment)
    address_of(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) != 0


@pytest.mark.parametrize("arguments,said", [
    (["get-token"], "--issuer and --client-id are required"),
    (["get-token", "--issuer", "gateway", "--client-id", "x"], "expected an absolute URL"),
    (["get-token", "--issuer", "http://gateway.example/oidc", "--client-id", "x"], "must not travel in the open"),
    (["get-token", "--issuer", "https://127.0.0.1:1/oidc", "--client-id", "x"], "https://127.0.0.1:1/oidc/.well-known/openid-configuration"),
    (["get-token", "--timeout", "forever"], "--timeout: expected a duration"),
    (["get-token", "--listen-port", "99999"], "--listen-port: expected 0 to 65535"),
    (["get-token", "--no-such"], "Try: kubectl-gatehouse --help"),
    (["dance"], 'no command "dance"'),
    (["whoami", "extra"], 'unexpected argument "extra"'),
])
def test_wrong_arguments_say_what_was_expected(environment, arguments, said):
    ended = run([PROGRAM, *arguments], environment)
    assert ended.returncode in (1, 2) and said in ended.stderr and not ended.stdout


def test_help_names_every_command(environment):
    ended = run([PROGRAM, "--help"], environment)
    assert ended.returncode == 0
    for word in ("login", "get-token", "whoami", "logout", "--issuer", "--client-id"):
        assert word in ended.stdout
