"""What the benchmark runs: keys and certificates, an nginx that answers as apiserver, and each proxy with its config."""
import base64
import datetime
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import free_port  # noqa: E402
from waiting import wait_port  # noqa: E402

ANSWER_BYTES = 1024
# What proxyd chooses; the others would take what a client names first, AES-256, and pay more for every byte.
CIPHER, CIPHER_12 = "TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"
SBIN = os.environ["PATH"] + ":/usr/sbin:/sbin"


def tool(name):
    found = shutil.which(name, path=SBIN)
    if not found:
        raise SystemExit(f"bench: {name} is not installed")
    return found


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Pki:
    """A CA, a P-256 server certificate for 127.0.0.1 and a client certificate, in files of a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.ca_key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self._certificate("bench CA", self.ca_key, self.ca_key, None, True, None)
        self._write("ca.pem", self.ca.public_bytes(serialization.Encoding.PEM))
        for name, usage in (("server", ExtendedKeyUsageOID.SERVER_AUTH), ("client", ExtendedKeyUsageOID.CLIENT_AUTH)):
            key = ec.generate_private_key(ec.SECP256R1())
            cert = self._certificate(name, key, self.ca_key, self.ca.subject, False, usage)
            self._write(name + ".pem", cert.public_bytes(serialization.Encoding.PEM))
            self._write(name + ".key", pem(key))
            self._write(name + ".both.pem", cert.public_bytes(serialization.Encoding.PEM) + pem(key))

    def _write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
            f.write(data)

    def __getitem__(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def _certificate(name, key, ca_key, issuer, is_ca, usage):
        import ipaddress
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.utcnow()
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key())
             .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
             .not_valid_after(now + datetime.timedelta(days=2))
             .add_extension(x509.BasicConstraints(is_ca, None), True))
        if usage:
            b = b.add_extension(x509.ExtendedKeyUsage([usage]), False)
            b = b.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        return b.sign(ca_key, hashes.SHA256())


class Issuer:
    """Discovery and JWKS over HTTPS for proxyd's keeper, and tokens of both algorithms."""

    def __init__(self, pki):
        self.keys = {"RS256": rsa.generate_private_key(65537, 2048), "ES256": ec.generate_private_key(ec.SECP256R1())}
        jwks = []
        for alg, key in self.keys.items():
            jwk = json.loads(jwt.get_algorithm_by_name(alg).to_jwk(key.public_key()))
            jwks.append({**jwk, "kid": alg, "use": "sig", "alg": alg})
            with open(pki[alg + ".pub"], "wb") as f:
                f.write(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def do_GET(self):
                if self.path == "/keys":
                    body = {"keys": jwks}
                else:
                    body = {"issuer": outer.url, "jwks_uri": outer.url + "/keys", "authorization_endpoint": outer.url + "/auth",
                            "token_endpoint": outer.url + "/token", "response_types_supported": ["code"],
                            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256", "ES256"]}
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki["server.pem"], pki["server.key"])
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, alg, **more):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "bench", "sub": "CgVhbGljZRIFbG9jYWw", "exp": now + 86400, "iat": now, "email": "alice@example.com",
                  "email_verified": True, "name": "Alice Example", "groups": ["acme:dev", "acme:ops", "acme:on-call"], "at_hash": "x" * 22, "sid": "s" * 22} | more
        return jwt.encode(claims, self.keys[alg], algorithm=alg, headers={"kid": alg})


class Program:
    """A running proxy or server: its process tree's CPU time and memory can be read."""

    def __init__(self, name, argv, port, cpu, log, ready=None):
        self.name, self.port = name, port
        self.log = open(log, "wb")
        self.process = subprocess.Popen(["taskset", "-c", str(cpu)] + argv, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        try:
            wait_port(port, self.process)
        except AssertionError:
            raise SystemExit(f"bench: {name} did not start: {open(log, errors='replace').read()[-2000:]}") from None

    def pids(self):
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    todo += [int(c) for c in open(f"/proc/{pid}/task/{task}/children").read().split()]
            except OSError:
                pass
        return found

    def cpu_s_by_pid(self):
        """Of all threads, in nanoseconds as the scheduler counts them."""
        total = {}
        for pid in self.pids():
            try:
                total[pid] = sum(int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0]) for task in os.listdir(f"/proc/{pid}/task")) / 1e9
            except OSError:
                pass
        return total

    def cpu_s(self):
        return sum(self.cpu_s_by_pid().values())

    def resident_kib(self):
        """Largest resident set of one process of the tree: a worker's."""
        largest = 0
        for pid in self.pids():
            try:
                largest = max([largest] + [int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS")])
            except OSError:
                pass
        return largest

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


NGINX_HEAD = """daemon off; master_process on; worker_processes 1; pid {dir}/{name}.pid; error_log {dir}/{name}.err crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_body_temp_path {dir}/{name}.body; proxy_temp_path {dir}/{name}.proxy;
fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; ssl_protocols TLSv1.2 TLSv1.3;
"""


def start_upstream(pki, cpu):
    """nginx as apiserver: mTLS, 1 KiB of JSON per answer."""
    port = free_port()
    body = '{"kind":"PodList","pad":"' + "x" * (ANSWER_BYTES - 27) + '"}'
    for name, size in (("64k", 65536), ("1m", 1 << 20)):
        write(pki[name], "x" * size)
    conf = ("user root;\n" if os.geteuid() == 0 else "") + NGINX_HEAD.format(dir=pki.folder, name="upstream") + f"""
server {{ listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {pki['server.pem']}; ssl_certificate_key {pki['server.key']};
ssl_client_certificate {pki['ca.pem']}; ssl_verify_client on; default_type application/json; location = /api/64k {{ alias {pki['64k']}; }} location = /api/1m {{ alias {pki['1m']}; }} location / {{ return 200 '{body}'; }} }} }}
"""
    return Program("upstream", [tool("nginx"), "-p", pki.folder, "-c", write(pki["upstream.conf"], conf)], port, cpu, pki["upstream.log"])


def start_nginx(pki, upstream, cpu):
    port = free_port()
    conf = NGINX_HEAD.format(dir=pki.folder, name="nginx") + f"""
map $http_upgrade $connection_word {{ default upgrade; "" ""; }}
upstream api {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} ssl http2 backlog=4096; ssl_certificate {pki['server.pem']}; ssl_certificate_key {pki['server.key']}; ssl_session_cache shared:s:10m;
ssl_ciphers {CIPHER_12}; ssl_conf_command Ciphersuites {CIPHER}; proxy_ssl_ciphers {CIPHER_12}; proxy_ssl_conf_command Ciphersuites {CIPHER};
location / {{ proxy_pass https://api; proxy_http_version 1.1; proxy_set_header Connection $connection_word; proxy_set_header Upgrade $http_upgrade;
client_max_body_size 0; proxy_request_buffering off; proxy_ssl_certificate {pki['client.pem']};
proxy_ssl_certificate_key {pki['client.key']}; proxy_ssl_trusted_certificate {pki['ca.pem']}; proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_session_reuse on; }} }} }}
"""
    return Program("nginx", [tool("nginx"), "-p", pki.folder, "-c", write(pki["nginx.conf"], conf)], port, cpu, pki["nginx.log"])


def start_haproxy(pki, upstream, cpu, alg):
    """alg None: no authentication. Else the token's signature, iss, aud and exp are checked and the user and groups impersonated."""
    port = free_port()
    rules = "" if alg is None else f"""
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str {alg} }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.aud') -m str bench }}
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,"{pki[alg + '.pub']}") -m int 1 }}
  http-request del-header impersonate -m beg
  http-request del-header authorization
  http-request set-header Impersonate-User %[var(txn.bearer),jwt_payload_query('$.email')]
  http-request add-header Impersonate-Group %[var(txn.bearer),jwt_payload_query('$.groups[0]')]
  http-request add-header Impersonate-Group %[var(txn.bearer),jwt_payload_query('$.groups[1]')]
  http-request add-header Impersonate-Group %[var(txn.bearer),jwt_payload_query('$.groups[2]')]
  http-request add-header Impersonate-Group system:authenticated
"""
    name = "haproxy" + (alg or "")
    conf = f"""global
  nbthread 1
  maxconn 4096
  tune.ssl.default-dh-param 2048
  ssl-default-bind-ciphers {CIPHER_12}
  ssl-default-bind-ciphersuites {CIPHER}
  ssl-default-server-ciphers {CIPHER_12}
  ssl-default-server-ciphersuites {CIPHER}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 600s
frontend f
  bind 127.0.0.1:{port} ssl crt {pki['server.both.pem']} alpn h2,http/1.1{rules}
  default_backend b
backend b
  http-reuse always
  server s 127.0.0.1:{upstream} ssl verify required ca-file {pki['ca.pem']} crt {pki['client.both.pem']} sni str(localhost) pool-max-conn 512
"""
    return Program(name, [tool("haproxy"), "-db", "-q", "-f", write(pki[name + ".cfg"], conf)], port, cpu, pki[name + ".log"])


def start_proxyd(pki, upstream, issuer, cpu, workers=1, http2="watches"):
    port = free_port()
    write(pki["kubeconfig"], f"""apiVersion: v1
kind: Config
current-context: bench
clusters: [{{name: bench, cluster: {{server: "https://127.0.0.1:{upstream}", tls-server-name: localhost, certificate-authority: "{pki['ca.pem']}"}}}}]
users: [{{name: bench, user: {{client-certificate: "{pki['client.pem']}", client-key: "{pki['client.key']}"}}}}]
contexts: [{{name: bench, context: {{cluster: bench, user: bench}}}}]
""")
    conf = write(pki["proxyd.yaml"], f"""listen: [{{address: "127.0.0.1:{port}", tls: {{certFile: "{pki['server.pem']}", keyFile: "{pki['server.key']}"}}}}]
workers: {workers}
authentication:
  jwt:
    - issuer: {{url: "{issuer.url}", audiences: [bench], certificateAuthority: "{pki['ca.pem']}"}}
      claimMappings: {{username: {{claim: email, prefix: ""}}, groups: {{claim: groups, prefix: ""}}}}
clusters: [{{name: default, kubeconfig: "{pki['kubeconfig']}", http2: {http2}}}]
""")
    return Program("proxyd", [os.path.abspath("build/proxyd"), conf], port, cpu, pki["proxyd.log"])
