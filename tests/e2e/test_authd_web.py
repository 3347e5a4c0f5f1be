"""dex's keys below web and logger: headers of answers, who stands behind a proxy, TLS versions, what scripts may send, fields that are not logged."""
import json
import socket
import ssl

import pytest
import requests

from authd_client import EMAIL, Authd, harness
from clock import Clock, held_back

PAGE = "/oidc/auth/local/login?req=x"


def web(authd, **more):
    return authd.configuration()["web"] | more


def start(folder, web=None, **more):
    authd = Authd(folder)
    authd.program.write_config(authd.configuration(web=authd.configuration()["web"] | (web or {}), **more))
    return authd


def test_configured_headers_take_the_place_of_our_own_on_every_answer(tmp_path):
    headers = {"Content-Security-Policy": "default-src 'self'", "X-Frame-Options": "SAMEORIGIN", "X-XSS-Protection": "1; mode=block",
               "Strict-Transport-Security": "max-age=60", "X-Content-Type-Options": ""}
    with start(tmp_path, {"headers": headers}) as authd:
        for path in ("/console/signin?to=/console/", "/oidc/auth", "/oidc/keys", "/nosuch", "/oidc/healthz"):
            answer = authd.get(path)
            for name, value in headers.items():
                assert not value or answer.headers[name] == value, (path, name)
                assert len(answer.raw.headers.getlist(name)) == 1 or not value, (path, name)
        assert authd.browser().sign_in().headers["X-Content-Type-Options"] == "nosniff"
        status, got, _ = authd.over_socket("GET", "/oidc/keys")
        assert status == 200 and got["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize("trusted,sent,wanted", [
    (["127.0.0.0/8"], [("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"),
    (["127.0.0.0/8"], [("X-Forwarded-For", "198.51.100.1, 203.0.113.9")], "203.0.113.9"),
    (["127.0.0.0/8", "10.0.0.0/8"], [("X-Forwarded-For", "198.51.100.1, 203.0.113.9, 10.1.2.3,10.9.9.9")], "203.0.113.9"),
    (["127.0.0.0/8", "10.0.0.0/8"], [("X-Forwarded-For", "10.1.2.3")], "127.0.0.1"),
    (["127.0.0.0/8"], [("x-forwarded-for", "198.51.100.1"), ("X-Forwarded-For", "2001:db8::7")], "2001:db8::7"),
    (["127.0.0.0/8", "10.0.0.0/8"], [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "10.0.0.1")], "198.51.100.1"),
    (["127.0.0.0/8"], [("X-Forwarded-For", "203.0.113.9, nonsense")], "127.0.0.1"),
    (["127.0.0.0/8", "10.0.0.0/8"], [("X-Forwarded-For", "203.0.113.9, nonsense, 10.0.0.1")], "127.0.0.1"),
    (["127.0.0.0/8"], [("X-Forwarded-For", "")], "127.0.0.1"),
    (["127.0.0.0/8"], [("X-Real-IP", "203.0.113.9")], "127.0.0.1"),
    (["10.0.0.0/8"], [("X-Forwarded-For", "203.0.113.9")], "127.0.0.1"),
    ([], [("X-Forwarded-For", "203.0.113.9")], "127.0.0.1"),
])
def test_the_client_behind_trusted_proxies_is_the_last_that_is_none_of_them(tmp_path, trusted, sent, wanted):
    with start(tmp_path, {"clientRemoteIP": {"header": "X-Forwarded-For", "trustedProxies": trusted}}) as authd:
        with socket.create_connection(("127.0.0.1", authd.port), 20) as s:
            s.sendall(b"GET /oidc/keys HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in sent) + b"\r\n")
            while s.recv(4096):
                pass
        authd.wait_log("path=/oidc/keys")
        (line,) = [x for x in authd.log().splitlines() if "path=/oidc/keys" in x]
        assert f" address={wanted} " in line, line
        assert ("web.clientRemoteIP.header is not looked at" in authd.log()) == (not trusted)


def test_attempts_are_limited_by_the_address_behind_the_proxy(tmp_path):
    clock, authd = Clock(tmp_path), start(tmp_path, {"clientRemoteIP": {"header": "X-Forwarded-For", "trustedProxies": ["127.0.0.1/32"]}})
    authd.program.env |= clock.env
    with authd:
        def attempt(address, login):
            browser = authd.browser()
            browser.http.headers["X-Forwarded-For"] = address
            return browser.fill(browser.get("/console/signin?to=/console/"), login=login, password="wrong")

        held_back(clock, lambda: attempt("203.0.113.9", "nobody@example.com"))
        assert attempt("203.0.113.9", "nobody@example.com").status_code == 429
        assert attempt("198.51.100.1", "nobody@example.com").status_code == 401


def test_scripts_may_send_the_headers_that_are_listed(tmp_path):
    with start(tmp_path, {"allowedHeaders": ["X-Requested-With", "traceparent"]}) as authd:
        ask = {"Origin": "https://spa.example", "Access-Control-Request-Method": "POST"}
        allowed = requests.options(f"{authd.issuer}/token", headers=ask, timeout=20).headers["Access-Control-Allow-Headers"]
        assert allowed == "Authorization, Content-Type, X-Requested-With, traceparent"
        assert "Access-Control-Allow-Headers" not in requests.options(f"{authd.issuer}/token", headers=ask | {"Origin": "https://x"}, timeout=20).headers


@pytest.mark.parametrize("limits,version", [({}, "TLSv1.3"), ({"tlsMaxVersion": "1.2"}, "TLSv1.2"), ({"tlsMinVersion": "1.3"}, "TLSv1.3"),
                                           ({"tlsMinVersion": "1.2", "tlsMaxVersion": "1.3"}, "TLSv1.3")])
def test_tls_versions_are_what_is_configured(tmp_path, limits, version):
    certificates = harness.Certificates(tmp_path / "pki")
    cert, key = certificates.issue("authd", "/CN=authd", "DNS:localhost,IP:127.0.0.1")
    (port,) = harness.free_ports(1)

    def connect(**versions):
        context = ssl.create_default_context(cafile=certificates.ca)
        for name, value in versions.items():
            setattr(context, name, value)
        with socket.create_connection(("127.0.0.1", port), 20) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(b"GET /oidc/keys HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert tls.recv(12) == b"HTTP/1.1 200"
            return tls.version()

    with start(tmp_path, {"https": f"127.0.0.1:{port}", "tlsCert": str(cert), "tlsKey": str(key)} | limits) as authd:
        assert connect() == version
        if limits.get("tlsMaxVersion") == "1.2":
            with pytest.raises(OSError):
                connect(minimum_version=ssl.TLSVersion.TLSv1_3)
            config = authd.configuration(web=authd.program.config["web"] | {"tlsMaxVersion": "1.3"})
            authd.program.write_config(config)
            authd.program.reload()
            assert connect() == "TLSv1.3"
        if limits.get("tlsMinVersion") == "1.3":
            with pytest.raises(OSError):
                connect(maximum_version=ssl.TLSVersion.TLSv1_2)
        elif not limits:
            assert connect(maximum_version=ssl.TLSVersion.TLSv1_2) == "TLSv1.2"


def test_excluded_fields_stand_in_no_line_and_a_reload_changes_which(tmp_path):
    with start(tmp_path, logger={"format": "json", "excludeFields": ["email", "user_id", "client_remote_addr"]}) as authd:
        authd.browser().sign_in()
        lines = [json.loads(x) for x in authd.log().splitlines()]
        assert any(x["msg"] == "signed in" and x["connector"] == "local" for x in lines)
        assert not any({"user_id", "email", "address", "client_remote_addr"} & x.keys() for x in lines)
        assert EMAIL not in authd.log() and "127.0.0.1" not in "".join(x for x in authd.log().splitlines() if "listening" not in x)
        authd.program.write_config(authd.configuration(logger={"format": "json"}))
        authd.program.reload()
        authd.browser().sign_in()
        assert any(json.loads(x).get("address") == "127.0.0.1" for x in authd.log().splitlines())
