"""Whose address counts: that of the connection, or what a trusted proxy says, with X-Forwarded-For or in the PROXY protocol, as HAProxy itself writes it."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess

import pytest

from gatehouse import Proxyd, connect, proxyd_config, request
from harness import free_port
from test_proxyd_metrics import scrape
from waiting import wait_port

FORWARDED = {"X-Forwarded-For": "198.51.100.9, 203.0.113.5"}


def client_seen_by(upstream):
    values = upstream.requests[-1].values("X-Forwarded-For")
    assert len(values) == 1
    return values[0]


def test_without_trusted_proxies_the_header_is_replaced(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token=issuer.mint(), headers=FORWARDED)[0] == 200
        assert client_seen_by(upstream) == "127.0.0.1" and proxyd.wait_log("request")["client"] == "127.0.0.1"


@pytest.mark.parametrize("trusted, expected", [
    (["192.0.2.0/24"], "127.0.0.1"),
    (["127.0.0.1/32"], "203.0.113.5"),
    (["127.0.0.0/8", "203.0.113.0/24"], "198.51.100.9"),
    (["::/0", "fd00::/8"], "127.0.0.1")])
def test_the_header_is_taken_from_trusted_proxies_only(tmp_path, ca, issuer, upstream, trusted, expected):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, trustedProxies=trusted)) as proxyd:
        assert request(proxyd.address, "GET", "/api", ca, token=issuer.mint(), headers=FORWARDED)[0] == 200
        assert client_seen_by(upstream) == expected and proxyd.wait_log("request")["client"] == expected


def test_limits_count_for_the_address_behind_the_proxy(tmp_path, ca, issuer, upstream):
    config = proxyd_config(ca, [issuer], upstream, workers=1, trustedProxies=["127.0.0.0/8"], limits={"requestRatePerAddress": 1})
    with Proxyd(tmp_path, config) as proxyd:
        token = issuer.mint()
        answers = (request(proxyd.address, "GET", "/api", ca, token=token, headers={"X-Forwarded-For": "203.0.113.5"})[0] for _ in range(40))
        assert next(status for status in answers if status != 200) == 429
        assert request(proxyd.address, "GET", "/api", ca, token=token, headers={"X-Forwarded-For": "203.0.113.6"})[0] == 200


@contextlib.contextmanager
def haproxy(folder, target, option):
    """HAProxy in tcp mode in front of target; its address."""
    program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert program, "haproxy is needed: ./scripts/check installs it"
    port = free_port()
    file = folder / "haproxy.cfg"
    file.write_text(f"""defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  source 127.0.0.2
  server s {target} {option}
""")
    process = subprocess.Popen([program, "-db", "-q", "-f", file], stdin=subprocess.DEVNULL)
    try:
        wait_port(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn", "send-proxy check", "send-proxy-v2 check"])
def test_haproxys_header_says_who_is_calling(tmp_path, ca, issuer, upstream, option):
    config = proxyd_config(ca, [issuer], upstream, workers=1, trustedProxies=["127.0.0.2/32"])
    config["listen"][0]["proxyProtocol"] = True
    with Proxyd(tmp_path, config) as proxyd, haproxy(tmp_path, proxyd.address, option) as front:
        token = issuer.mint()
        for _ in range(3):
            assert request(front, "GET", "/api", ca, token=token, headers=FORWARDED)[0] == 200
            assert client_seen_by(upstream) == "127.0.0.1"
        # Large bodies: what comes right behind the header is TLS and nothing of it is lost.
        assert request(front, "POST", "/api/v1/x", ca, token=token, body=b"x" * 300000)[0] == 200
        assert upstream.requests[-1].body == b"x" * 300000
        proxyd.wait_log("request", count=4)
        assert {line["client"] for line in proxyd.find_log("request")} == {"127.0.0.1"}


def test_where_the_header_is_due_nobody_gets_in_without_it(tmp_path, ca, issuer, upstream):
    config = proxyd_config(ca, [issuer], upstream, workers=1, trustedProxies=["127.0.0.2/32"])
    config["listen"][0]["proxyProtocol"] = True
    with Proxyd(tmp_path, config) as proxyd:
        with pytest.raises(OSError):
            connect(proxyd.address, ca)  # not trusted, and no header
        line = proxyd.wait_log("connection refused where listen.proxyProtocol is set")
        assert line["peer"] == "127.0.0.1" and "trustedProxies" in line["reason"]
        host, port = proxyd.address.rsplit(":", 1)
        for header in (b"PROXY TCP4 203.0.113.5 192.0.2.1 4711 443\r\n", b"PROXY TCP4 203.0.113.5\r\n"):
            with socket.create_connection((host, int(port)), source_address=("127.0.0.2", 0)) as plain:
                plain.sendall(header)
                if header.count(b" ") == 2:
                    with contextlib.suppress(ConnectionResetError):
                        assert plain.recv(1) == b""
                    continue
                with ca.client_context().wrap_socket(plain, server_hostname="localhost") as tls:
                    tls.sendall(f"GET /api HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {issuer.mint()}\r\n\r\n".encode())
                    assert tls.recv(12) == b"HTTP/1.1 200" and client_seen_by(upstream) == "203.0.113.5"
        assert scrape(proxyd).sum("gatehouse_connections_refused_total", reason="proxyHeader") == 2


@pytest.mark.parametrize("change, key, expected", [
    ({"trustedProxies": ["10.0.0.0/33"]}, "trustedProxies[0]", '10.0.0.0/8'),
    ({"trustedProxies": ["10.0.0.0/8", "gateway.example.com"]}, "trustedProxies[1]", "found \"gateway.example.com\""),
    ({"trustedProxy": ["10.0.0.0/8"]}, "trustedProxy", "trustedProxies"),
    ({"listen": True}, "listen[0].proxyProtocol", "needs trustedProxies")])
def test_a_bad_block_of_addresses_is_named(tmp_path, ca, issuer, upstream, change, key, expected):
    config = proxyd_config(ca, [issuer], upstream)
    if change.pop("listen", None):
        config["listen"][0]["proxyProtocol"] = True
    result = Proxyd(tmp_path, config | change).check()
    assert result.returncode == 1 and f"{key}: " in result.stderr and expected in result.stderr, result.stderr
