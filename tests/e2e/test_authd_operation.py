"""authd in operation: its command line, what it refuses to start with, reloads, signals, TLS."""
import concurrent.futures
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import threading

import pytest
import requests

from authd_client import CLI, EMAIL, PASSWORD, WEB_URI, Authd, fields, harness, person, query_of

AUTHD = harness.BUILD / "authd"


def run(*arguments):
    return subprocess.run([AUTHD, *arguments], capture_output=True, text=True, timeout=30)


@pytest.fixture
def stopped(tmp_path):
    authd = Authd(tmp_path)
    yield authd
    authd.program.close()


# ---- the command line ----


def test_help_version_and_wrong_usage():
    assert run("--help").returncode == 0 and "--check CONFIG" in run("--help").stdout
    assert run("--version").stdout.startswith("authd ")
    for arguments in ((), ("--nonsense",), ("a", "b"), ("--check",), ("--check", "a", "b")):
        wrong = run(*arguments)
        assert (wrong.returncode, wrong.stdout) == (2, "") and wrong.stderr.startswith("usage: authd") and wrong.stderr.count("\n") == 3


@pytest.mark.parametrize("program", ["authd", "proxyd"])
def test_help_that_could_not_be_written_is_a_failure(program):
    with open("/dev/full", "w") as full:
        for option in ("--help", "--version"):
            assert subprocess.run([harness.BUILD / program, option], stdout=full, check=False).returncode == 1


def test_check_says_ok_and_touches_nothing(stopped):
    check = stopped.program.check()
    assert check.returncode == 0 and check.stdout.endswith(": ok\n")
    assert not (stopped.folder / "store").exists() and not stopped.socket.exists()


@pytest.mark.parametrize("change,wanted", [
    ({"issuer": "no url"}, "issuer"),
    ({"isuer": "x"}, "isuer"),
    ({"enablePasswordDB": "perhaps"}, "enablePasswordDB"),
    ({"storage": {"type": "sqlite3", "config": {"file": "x"}}}, "lmdb"),
    ({"console": {"clientID": "nosuch"}}, "console.clientID"),
    ({"console": {"certificateAuthority": "/nonexistent.pem"}}, "/nonexistent.pem"),
    ({"web": {"https": "127.0.0.1:0"}}, "tlsCert"),
])
def test_a_bad_configuration_is_said_with_file_and_key_and_exit_1(stopped, change, wanted):
    stopped.program.write_config(stopped.configuration(**change))
    check = stopped.program.check()
    assert check.returncode == 1 and str(stopped.program.config_file) in check.stderr and wanted in check.stderr
    started = run(stopped.program.config_file)
    assert started.returncode == 1 and wanted in started.stderr


def test_a_missing_file_is_exit_1():
    assert run("--check", "/nonexistent.yaml").returncode == 1
    assert "/nonexistent.yaml" in run("/nonexistent.yaml").stderr


def test_a_busy_port_is_exit_1_and_named(stopped):
    with socket.create_server(("127.0.0.1", stopped.port)):
        started = run(stopped.program.config_file)
    assert started.returncode == 1 and f"127.0.0.1:{stopped.port}" in started.stderr and "in use" in started.stderr
    assert not stopped.socket.exists()


def test_a_second_authd_on_the_same_store_is_exit_1(tmp_path):
    with Authd(tmp_path / "a") as one:
        config = one.configuration(web={"unix": str(tmp_path / "b.sock")})
        two = harness.Authd(tmp_path / "b", config)
        started = run(two.config_file)
        two.close()
        assert started.returncode == 1 and "store" in started.stderr
        assert one.get("/oidc/healthz").status_code == 200


def test_a_folder_that_cannot_be_made_is_exit_1(stopped):
    (stopped.folder / "file").write_text("")
    stopped.program.write_config(stopped.configuration(storage={"type": "lmdb", "config": {"path": str(stopped.folder / "file" / "store")}}))
    started = run(stopped.program.config_file)
    assert started.returncode == 1 and str(stopped.folder / "file") in started.stderr


def test_the_ready_line_names_what_listens(tmp_path):
    with Authd(tmp_path) as authd:
        assert f'listening="unix:{authd.socket} http://127.0.0.1:{authd.port}"' in authd.log()
        assert oct(os.stat(authd.socket).st_mode & 0o777) == "0o660"


def test_port_0_finds_one(tmp_path):
    authd = Authd(tmp_path)
    authd.program.write_config(authd.configuration(web={"http": "127.0.0.1:0"}))
    with authd:
        port = int(authd.log().split("listening=http://127.0.0.1:")[1].split()[0])
        assert requests.get(f"http://127.0.0.1:{port}/oidc/healthz", timeout=20).status_code == 200


# ---- reloads ----


def test_a_reload_takes_new_clients_and_people_and_keeps_sessions(tmp_path):
    with Authd(tmp_path) as authd:
        browser = authd.browser()
        browser.sign_in()
        new = {"id": "new", "name": "New", "secret": "s", "redirectURIs": [WEB_URI]}
        assert browser.authorize("new", WEB_URI).status_code == 400
        config = authd.configuration()
        config["staticClients"].append(new)
        config["staticPasswords"].append(person("bob@example.com"))
        authd.program.write_config(config)
        authd.program.reload()
        assert "code" in query_of(browser.authorize("new", WEB_URI).headers["Location"])
        assert authd.session_token(browser)[0] == 200
        other = authd.browser()
        assert other.fill(other.get("/console/"), login="bob@example.com").url.endswith("/console/")


@pytest.mark.parametrize("change,wanted", [
    ({"issuer": 7}, "issuer"), ({"frontend": {"isuer": "x"}}, "frontend.isuer"), ({"web": {"http": "nonsense"}}, "web.http"),
    ({"storage": {"type": "lmdb", "config": {"path": "/elsewhere"}}}, "storage.config.path: a change needs a restart"),
    ({"user": "nobody"}, "user: a change needs a restart"),
])
def test_a_bad_reload_keeps_the_old_and_says_why(tmp_path, change, wanted):
    with Authd(tmp_path) as authd:
        authd.program.write_config(authd.configuration(**change))
        authd.program.reload(fails=True)
        line = [x for x in authd.log().splitlines() if "configuration not reloaded" in x][-1]
        assert str(authd.program.config_file) in line and wanted in line
        if "restart" not in wanted:
            assert f"{authd.program.config_file}:" in line and any(part.isdigit() for part in line.split(":"))
        assert authd.browser().sign_in().status_code == 200


@pytest.mark.parametrize("key, value, reason", [
    ("http", "BUSY", "Address already in use"),
    ("unix", "/nonexistent/authd.sock", "its folder is not there"),
    ("unix", "FILE", "File exists"),
    ("ctl", "FILE", "File exists"),
])
def test_an_address_that_cannot_be_had_is_named_with_its_key(stopped, tmp_path, key, value, reason):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as busy:
        value = {"BUSY": f"127.0.0.1:{busy.getsockname()[1]}", "FILE": str(precious)}.get(value, value)
        config = stopped.program.config
        stopped.program.write_config(config | {"web": config["web"] | {key: value}})
        done = run(stopped.program.config_file)
    assert done.returncode == 1 and precious.read_text() == "mine"
    assert f'{stopped.program.config_file}: web.{key}: cannot listen on {value}: {reason}"' in done.stderr.splitlines()[-1]


def test_a_store_that_no_memory_is_left_for_is_not_called_somebody_elses(tmp_path):
    with Authd(tmp_path) as authd:
        authd.program.stop()
        done = subprocess.run(["prlimit", f"--as={30 << 20}", AUTHD, authd.program.config_file], capture_output=True, text=True, timeout=30)
        if "AddressSanitizer" in done.stderr or "ThreadSanitizer" in done.stderr:
            pytest.skip("a sanitizer wants all addresses")
        assert done.returncode == 1 and "cannot read data.mdb: Cannot allocate memory" in done.stderr
        authd.program.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize("program", ["authd", "proxyd"])
def test_only_root_can_become_another_user(stopped, tmp_path, program):
    file = tmp_path / "with-user.yaml"
    if program == "authd":
        text = stopped.program.config_file.read_text()
    else:
        text = f'listen: [{{address: "127.0.0.1:0", tls: {{certFile: "{file}", keyFile: "{file}"}}}}]\n'  # any file: the user comes first
    file.write_text(text + "user: root\n")
    harness.open_to_all(tmp_path)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", harness.BUILD / program, "--check", file], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and done.stderr.endswith(': user: only root can become "root"\n'), done.stderr


def test_a_reload_that_cannot_listen_changes_nothing(tmp_path):
    with Authd(tmp_path) as authd, socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        authd.program.write_config(authd.configuration(web={"http": f"127.0.0.1:{port}"}, frontend={"issuer": "Other"}))
        authd.program.reload(fails=True)
        assert f"cannot listen on 127.0.0.1:{port}" in authd.log()
        assert "Other" not in authd.browser().get("/console/").text


def test_listeners_follow_the_configuration(tmp_path):
    with Authd(tmp_path) as authd:
        (port,) = harness.free_ports(1)
        kept = requests.Session()
        assert kept.get(f"{authd.issuer}/healthz", timeout=20).headers.get("Connection") != "close"
        authd.program.write_config(authd.configuration(web={"http": f"127.0.0.1:{port}"}))
        authd.program.reload()
        assert requests.get(f"http://127.0.0.1:{port}/oidc/healthz", timeout=20).status_code == 200
        assert kept.get(f"{authd.issuer}/healthz", timeout=20).headers["Connection"] == "close"  # the kept one was served once more
        with pytest.raises(requests.ConnectionError):
            authd.get("/oidc/healthz")
        assert not authd.socket.exists()


def test_twenty_reloads_while_requests_flow_lose_none(tmp_path):
    with Authd(tmp_path) as authd:
        browser = authd.browser()
        token = browser.tokens(scope="openid offline_access")["access_token"]
        done, answers = threading.Event(), []

        def client():
            with requests.Session() as s:
                while not done.is_set():
                    answers.append(s.get(f"{authd.issuer}/userinfo", headers={"Authorization": f"Bearer {token}"}, timeout=20).status_code)
                    answers.append(s.get(f"{authd.issuer}/keys", timeout=20).status_code)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(client) for _ in range(8)]
            try:
                for i in range(20):
                    authd.program.write_config(authd.configuration(frontend={"issuer": f"Name {i}"}))
                    authd.program.reload()
            finally:
                done.set()
            for c in clients:
                c.result()
        assert set(answers) == {200} and len(answers) > 100
        assert "Name 19" in authd.browser().get("/console/").text


# ---- signals ----


def test_term_finishes_what_is_under_way(tmp_path):
    with Authd(tmp_path) as authd:
        browser = authd.browser()
        form = fields(browser.get("/console/signin").text) | {"login": EMAIL, "password": PASSWORD}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            under_way = [pool.submit(browser.http.post, f"{authd.issuer}/auth/local/login", form, allow_redirects=False, timeout=20) for _ in range(8)]
            authd.wait_log("signed in")
            assert authd.program.stop(signal.SIGTERM) == 0
            for u in under_way:
                with contextlib.suppress(requests.ConnectionError):  # not accepted any more
                    assert u.result().status_code in (303, 400, 429)
        assert "authd stopped" in authd.log()
        assert not authd.socket.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_other_signals_that_stop(tmp_path, number):
    with Authd(tmp_path) as authd:
        assert authd.program.stop(number) == 0


def test_usr1_is_harmless_and_usr2_rotates_the_signing_key(tmp_path):
    with Authd(tmp_path) as authd:
        token = authd.browser().tokens()["id_token"]
        before = {k["kid"] for k in authd.get("/oidc/keys").json()["keys"]}
        authd.program.send_signal(signal.SIGUSR1)
        authd.program.send_signal(signal.SIGUSR2)
        authd.wait_log("signing keys rotated")
        after = {k["kid"] for k in authd.get("/oidc/keys").json()["keys"]}
        assert before < after
        authd.verified(token, CLI)
        authd.verified(authd.browser().tokens()["id_token"], CLI)  # still by the old key: caches do not have the new one yet


@pytest.mark.parametrize("number", [signal.SIGTTIN, signal.SIGTTOU])
def test_signals_for_workers_do_not_halt_it(tmp_path, number):
    with Authd(tmp_path) as authd:
        authd.program.send_signal(number)
        authd.wait_log("signal without a meaning for authd")
        assert authd.get("/oidc/keys").status_code == 200


# ---- TLS ----


def test_https_with_a_certificate_that_is_replaced_while_serving(tmp_path):
    certificates = harness.Certificates(tmp_path / "pki")
    cert, key = certificates.issue("authd", "/CN=first", "DNS:localhost,IP:127.0.0.1")
    (port,) = harness.free_ports(1)
    authd = Authd(tmp_path)
    config = authd.configuration(issuer=f"https://localhost:{port}/oidc", web={"https": f"127.0.0.1:{port}", "tlsCert": str(cert), "tlsKey": str(key)})
    authd.program.write_config(config)
    with authd:
        context = ssl.create_default_context(cafile=certificates.ca)

        def subject():
            with socket.create_connection(("127.0.0.1", port), 20) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
                assert tls.version() in ("TLSv1.2", "TLSv1.3")
                return tls.getpeercert()["subject"][0][0][1]

        assert subject() == "first"
        with requests.Session() as kept:
            kept.verify, kept.trust_env = str(certificates.ca), False
            page = kept.get(f"https://localhost:{port}/console/signin", timeout=20)
            assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
            assert {c.name: c.secure for c in kept.cookies} == {"__Host-gatehouse-login": True}
            new_cert, new_key = certificates.issue("new", "/CN=second", "DNS:localhost,IP:127.0.0.1")
            new_key.replace(key)
            new_cert.replace(cert)
            authd.program.reload()
            assert subject() == "second"
            assert kept.get(f"https://localhost:{port}/oidc/keys", timeout=20).status_code == 200
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            old = ssl.create_default_context(cafile=certificates.ca)
            old.set_ciphers("ALL:@SECLEVEL=0")
            with contextlib.suppress(ValueError):
                old.minimum_version = version
                old.maximum_version = version
            with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), 20) as plain:
                old.wrap_socket(plain, server_hostname="localhost")


def test_a_certificate_that_does_not_fit_its_key_keeps_the_old_one(tmp_path):
    certificates = harness.Certificates(tmp_path / "pki")
    cert, key = certificates.issue("authd", "/CN=first", "DNS:localhost,IP:127.0.0.1")
    other, _ = certificates.issue("other", "/CN=other", "DNS:localhost")
    (port,) = harness.free_ports(1)
    authd = Authd(tmp_path)
    web = {"https": f"127.0.0.1:{port}", "tlsCert": str(cert), "tlsKey": str(key)}
    authd.program.write_config(authd.configuration(web=web))
    with authd:
        authd.program.write_config(authd.configuration(web=web | {"tlsCert": str(other)}))
        authd.program.reload(fails=True)
        assert "configuration not reloaded" in authd.log()
        assert requests.get(f"https://localhost:{port}/oidc/healthz", verify=str(certificates.ca), timeout=20).status_code == 200


# ---- what the connection may carry ----


@pytest.mark.parametrize("head", [
    "POST /oidc/token HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET /oidc/keys HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
    "GET http://evil.example/oidc/keys HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /oidc/userinfo HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
], ids=["framing", "host", "absolute", "authorization"])
def test_ambiguous_requests_are_400_and_the_connection_ends(tmp_path, head):
    with Authd(tmp_path) as authd, socket.create_connection(("127.0.0.1", authd.port), 20) as s:
        s.sendall(head.encode())
        answer = b""
        while chunk := s.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 400 ")
