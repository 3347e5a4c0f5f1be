"""proxyd's command line and --check: what is refused before anything starts, and in which words."""
import json
import os
import pwd
import socket
import subprocess

import pytest

from gatehouse import Proxyd, Upstream, proxyd_config
from harness import BUILD


def test_help_names_every_section_and_version_names_openssl(tmp_path):
    proxyd = Proxyd(tmp_path, "")
    shown = proxyd.run("--help")
    assert shown.returncode == 0 and shown.stderr == ""
    for section in ("OPTIONS", "CONFIGURATION", "SIGNALS", "ENVIRONMENT", "EXIT STATUS"):
        assert section in shown.stdout
    version = proxyd.run("--version")
    assert version.returncode == 0
    assert version.stdout.startswith("proxyd 0.1.0, OpenSSL 3.")


@pytest.mark.parametrize("arguments", [[], ["--check"], ["--chekc", "x"], ["a", "b"], ["--check", "a", "b"], ["--check", "--help"]])
def test_a_wrong_command_line_shows_the_usage(tmp_path, arguments):
    shown = Proxyd(tmp_path, "").run(*arguments)
    assert shown.returncode == 2
    assert shown.stderr.startswith("usage: proxyd")
    assert shown.stdout == ""


def test_the_example_in_help_is_a_configuration(tmp_path, ca):
    text = Proxyd(tmp_path, "").run("--help").stdout
    example = text.split("CONFIGURATION\n")[1].split("\nSIGNALS")[0]
    cert, key = ca.issue("gateway")
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("0123456789abcdef,jane,1\n")
    with Upstream(ca) as upstream:
        for word, file in (
            ("certFile: FILE", f"certFile: {cert}"),
            ("keyFile: FILE", f"keyFile: {key}"),
            ("certificateAuthority: FILE", f"certificateAuthority: {ca.file}"),
            ("kubeconfig: FILE, context: NAME", f"kubeconfig: {upstream.kubeconfig()}, context: c"),
            ("issuer: URL", "issuer: https://gateway.example.com/oidc"),
            (",\n              revocationsSecretFile: FILE}", "}"),  # the example's issuer is behind a socket
            ("tokenFile: FILE", f"tokenFile: {tokens}"),
            ("file: LOG", f"file: {tmp_path}/proxyd.log"),
            ("file: AUDIT", f"file: {tmp_path}/audit.log"),
            ("https://HOST:PORT/BASE", "https://127.0.0.1:8444/base"),
            ("allowedOrigins: [https://HOST]", "allowedOrigins: [https://app.example.com]"),
            ("serverName: NAME", "serverName: app.example.com"),
            ("user: NAME", f"user: {pwd.getpwuid(os.geteuid()).pw_name}"),
        ):
            assert word in example
            example = example.replace(word, file)
        checked = Proxyd(tmp_path, example).check()
    assert (checked.stderr, checked.returncode) == ("", 0)


def test_check_says_ok_and_starts_nothing(tmp_path, ca, issuer):
    with Upstream(ca) as upstream:
        proxyd = Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream))
        checked = proxyd.check()
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, f"{proxyd.file}: ok\n", "")
    assert issuer.requests == []


LISTEN = "listen:\n- address: 127.0.0.1:0\n  tls:\n    certFile: {cert}\n    keyFile: {key}\n"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", ": listen: "),
        ("listen: [\n", ":2: "),
        (LISTEN + "workers: many\n", ":6: workers: "),
        (LISTEN + "wrokers: 1\n", ":6: wrokers: "),
        (LISTEN + "authentication:\n  anonymous: {enabled: true}\n", ":7: authentication.anonymous: is not supported"),
        (LISTEN.replace("{cert}", "{folder}/none.pem"), ":4: listen[0].tls.certFile: "),
        (LISTEN.replace("{cert}", "{expired}"), ":4: listen[0].tls.certFile: {expired} expired on "),
        (LISTEN.replace("{key}", "{other}"), ":5: listen[0].tls.keyFile: {other} does not belong to the certificate"),
        (LISTEN + "routes:\n- path: oidc\n  to: unix:/x\n", ":7: routes[0].path: "),
    ],
)
@pytest.mark.parametrize("how", ["check", "start"])
def test_a_bad_configuration_is_refused_with_file_line_and_key(tmp_path, ca, text, expected, how):
    cert, key = ca.issue("gateway")
    expired, expired_key = ca.issue("expired", days=-1)
    _, other = ca.issue("other")
    files = {"cert": cert, "key": expired_key if "{expired}" in text else key, "expired": expired, "other": other, "folder": tmp_path}
    for name, file in files.items():
        text, expected = text.replace(f"{{{name}}}", str(file)), expected.replace(f"{{{name}}}", str(file))
    proxyd = Proxyd(tmp_path, text)
    ended = proxyd.check() if how == "check" else proxyd.run(proxyd.file)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"proxyd: {proxyd.file}{expected}"), ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_missing_configuration_file_is_named(tmp_path):
    ended = Proxyd(tmp_path, "").run("--check", tmp_path / "none.yaml")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"proxyd: {tmp_path}/none.yaml: ")


@pytest.mark.parametrize("key", ["listen[0].address", "admin.address"])
def test_a_busy_port_is_named_with_file_line_and_key(tmp_path, ca, key):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = proxyd_config(ca)
        if key.startswith("listen"):
            config["listen"][0]["address"] = address
        else:
            config["admin"]["address"] = address
        proxyd = Proxyd(tmp_path, config)
        line = next(n for n, text in enumerate(proxyd.file.read_text().splitlines(), 1) if address in text)
        ended = proxyd.run(proxyd.file)
        log = tmp_path / "proxyd.log"
        proxyd.write(config | {"log": {"file": str(log)}})
        assert (ended.returncode, proxyd.run(proxyd.file).returncode) == (1, 1)
    reason = f"{proxyd.file}:{line}: {key}: cannot listen on {address}: Address already in use"
    assert f"proxyd: {reason}\n" in ended.stderr
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["level"], last["msg"], last["reason"]) == ("error", "proxyd does not start", reason), "where the log goes"


@pytest.mark.parametrize("limit, said", [(1023, 1), (1024, 0)])
def test_a_low_limit_of_open_files_is_said(tmp_path, ca, limit, said):
    limited = tmp_path / "limited"
    limited.write_text(f'#!/bin/sh\nulimit -n {limit}\nexec {BUILD}/proxyd "$@"\n')
    limited.chmod(0o755)
    with Proxyd(tmp_path, proxyd_config(ca), binary=limited) as proxyd:
        assert len(proxyd.find_log("few files may be open, so few connections too: raise the limit (LimitNOFILE, ulimit -n)", open_files=limit)) == said


def test_a_limit_of_file_sizes_is_an_error_and_no_signal(tmp_path, ca):
    proxyd = Proxyd(tmp_path, proxyd_config(ca))
    ended = subprocess.run(["prlimit", "--fsize=0", BUILD / "proxyd", proxyd.file], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr) == (1, "proxyd: no shared memory for metrics: File too large\n")
