"""A console of one's own behind the gateway, in a real Chromium: sent to sign in and back, told who is there, with a WebSocket that ends with the session;
and the README's section on it, followed as written."""
import base64
import hashlib
import http.server
import json
import re
import ssl
import struct
import subprocess
import threading
import urllib.parse
import urllib.request

import pytest
import requests
import yaml
from selenium.webdriver.common.by import By

import harness
from gatehouse import CA, Upstream
from harness import Gateway
from test_browser import EMAIL, PASSWORD, complaints, picture, sign_in, stale, wait
from waiting import wait_port

BOB = "bob@example.com"
PAGE = """<!DOCTYPE html><html><head><title>Reports</title><link rel="icon" href="data:,"></head><body>
<p id="who">{who}</p><p id="groups">{groups}</p><p id="said"></p><p id="state">opening</p><button id="write">write</button><p id="written"></p>
<script>
const ws = new WebSocket(location.origin.replace("https", "wss") + "{base}ws", ["reports"]);
const put = (id, text) => document.getElementById(id).textContent = text;
ws.onopen = () => {{ put("state", "open"); ws.send("hello"); }};
ws.onmessage = e => put("said", e.data);
ws.onclose = () => put("state", "closed");
document.getElementById("write").onclick = async () => put("written", await (await fetch("{base}write", {{method: "POST", body: "x"}})).text());
</script></body></html>"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Believes X-Remote-*, as its connection's other end has shown the gateway's certificate; or asks the cluster who a token's person is."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def who(self):
        if token := self.headers.get("Authorization"):
            return self.server.ask_cluster(token)
        return self.headers["X-Remote-User"], self.headers.get_all("X-Remote-Group") or []

    def answer(self, body, content_type="text/html; charset=utf-8"):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        user, groups = self.who()
        if self.headers.get("Upgrade") == "websocket":
            self.talk(user)
        else:
            base = self.path.rsplit("/", 1)[0] + "/"
            self.answer(PAGE.format(who=user, groups=", ".join(groups), base=base).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(f"{self.who()[0]} wrote {body.decode()}".encode(), "text/plain")

    def talk(self, user):
        """RFC 6455, as much as two short text messages need."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.send_header("Sec-WebSocket-Protocol", "reports")
        self.end_headers()
        self.close_connection = True
        while head := self.rfile.read(2):
            size = head[1] & 127
            assert size < 126 and head[1] & 128
            mask, data = self.rfile.read(4), self.rfile.read(size)
            if head[0] & 15 != 1:
                return
            text = bytes(b ^ mask[i % 4] for i, b in enumerate(data)).decode()
            reply = f"{text}, {user}".encode()
            self.wfile.write(struct.pack("!BB", 0x81, len(reply)) + reply)


class Console:
    """A small web application in this process. tls: (server context) or None."""

    def __init__(self, context=None, ask_cluster=None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads, self.server.ask_cluster = True, ask_cluster
        self.server.handle_error = lambda *args: None
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


def routes_of(gateway):
    return [{"path": p, "to": f"unix:{gateway.socket}"} for p in ("/oidc", "/console")]


@pytest.fixture
def reports(tmp_path):
    """The gateway with a console at /reports that trusts its front proxy."""
    ca = CA(tmp_path / "ca")
    cert, key = ca.issue("gateway-client", "gateway")
    with Console(ca.server_context(*ca.issue("console"), clients=ca)) as console:
        gateway = Gateway(tmp_path / "gateway", {EMAIL: PASSWORD, BOB: "battery staple"}, {EMAIL: ["dev", "finance"]})
        tls = {"certificateAuthority": str(ca.file), "certFile": str(cert), "keyFile": str(key)}
        route = {"path": "/reports", "to": f"https://127.0.0.1:{console.port}", "kind": "frontProxy", "tls": tls, "allowedGroups": ["finance"]}
        gateway.proxyd.write_config(gateway.proxyd.config | {"routes": routes_of(gateway) + [route]})
        with gateway:
            gateway.console_port, gateway.outer_ca = console.port, ca
            yield gateway


def text(driver, name):
    return driver.find_element(By.ID, name).text


def test_a_console_behind_the_gateway(reports, chromium):
    chromium.get(reports.url + "/reports/today?x=1#part")
    sign_in(chromium)
    wait(chromium, lambda d: d.current_url.startswith(reports.url + "/reports/today?x=1"))
    assert text(chromium, "who") == EMAIL and text(chromium, "groups") == "dev, finance, system:authenticated"
    wait(chromium, lambda d: text(d, "said") == f"hello, {EMAIL}")
    chromium.find_element(By.ID, "write").click()
    wait(chromium, lambda d: text(d, "written") == f"{EMAIL} wrote x")
    assert text(chromium, "state") == "open" and not complaints(chromium)
    picture(chromium, "own-console")

    first = chromium.current_window_handle
    chromium.switch_to.new_window("tab")
    chromium.get(reports.url + "/console/")
    page = chromium.find_element(By.TAG_NAME, "html")
    chromium.find_element(By.CSS_SELECTOR, "form[action*=signout] button").click()
    wait(chromium, lambda d: stale(page))
    chromium.switch_to.window(first)
    wait(chromium, lambda d: text(d, "state") == "closed")
    chromium.find_element(By.ID, "write").click()
    wait(chromium, lambda d: "Unauthorized" in text(d, "written"))
    chromium.refresh()
    wait(chromium, lambda d: d.find_elements(By.CSS_SELECTOR, "input[type=password]"))


def test_who_is_in_none_of_the_groups_gets_a_page_that_says_so(reports):
    person = reports.people[BOB]
    person.sign_in()
    page = person.browser.get(reports.url + "/reports/", headers={"Accept": "text/html"}, timeout=20)
    assert page.status_code == 403 and page.headers["Content-Type"].startswith("text/html")
    assert f"User &quot;{BOB}&quot; cannot use route &quot;/reports&quot;" in page.text or f"User &#34;{BOB}&#34;" in page.text


def test_pages_of_others_reach_nothing_with_the_visitors_cookie(reports, chromium):
    """Another site, and another port of the same one, which SameSite takes for the same."""
    chromium.get(reports.url + "/reports/")
    sign_in(chromium)
    wait(chromium, lambda d: text(d, "state") == "open")
    evil = (f"<!DOCTYPE html><title>e</title><link rel=icon href='data:,'><p id=ws></p><p id=post></p><script>"
            f"const ws = new WebSocket('{reports.url.replace('https', 'wss')}/reports/ws', ['reports']);"
            "ws.onopen = () => document.getElementById('ws').textContent = 'open'; ws.onerror = () => document.getElementById('ws').textContent = 'refused';"
            f"fetch('{reports.url}/reports/write', {{method: 'POST', body: 'x', credentials: 'include', mode: 'no-cors'}})"
            ".then(() => document.getElementById('post').textContent = 'sent');</script>").encode()

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(evil)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    cert, key = reports.outer_ca.issue("evil")
    server.socket = reports.outer_ca.server_context(cert, key).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        for host in ("127.0.0.1", "localhost"):
            chromium.get(f"https://{host}:{server.server_address[1]}/")
            wait(chromium, lambda d: text(d, "ws") == "refused" and text(d, "post") == "sent")
    finally:
        server.shutdown()
        server.server_close()
    reports.proxyd.stop()  # the log is whole
    lines = [json.loads(line) for line in reports.proxyd.log_file.read_text().splitlines() if line.startswith("{")]
    assert sorted(line["status"] for line in lines if line.get("path") == "/reports/ws") == [101, 401, 401]
    assert [line["status"] for line in lines if line.get("path") == "/reports/write"] == [401, 401]


def test_a_dashboard_asks_the_cluster_with_the_token_that_it_gets(tmp_path, chromium):
    """As Kubernetes Dashboard does: whatever it shows, it has asked the API server for, as the person."""
    ca = CA(tmp_path / "ca")
    with Upstream(ca) as cluster:
        def review(recorded):
            user = {"username": recorded.values("Impersonate-User")[0], "groups": recorded.values("Impersonate-Group")}
            return 201, {"Content-Type": "application/json"}, json.dumps({"kind": "SelfSubjectReview", "status": {"userInfo": user}}).encode()

        cluster.answer = review
        gateway = Gateway(tmp_path / "gateway", {EMAIL: PASSWORD}, {EMAIL: ["dev"]}, clusters=[{"name": "default", "kubeconfig": str(cluster.kubeconfig())}])

        def ask_cluster(authorization):
            context = ssl.create_default_context(cafile=gateway.ca)
            ask = urllib.request.Request(f"{gateway.url}/apis/authentication.k8s.io/v1/selfsubjectreviews", data=b"{}",
                                         headers={"Authorization": authorization, "Content-Type": "application/json"})
            user = json.load(urllib.request.urlopen(ask, timeout=20, context=context))["status"]["userInfo"]
            return user["username"], user["groups"]

        with Console(ask_cluster=ask_cluster) as console:
            route = {"path": "/dashboard", "to": f"http://127.0.0.1:{console.port}", "kind": "bearer", "audience": harness.CLIENT_ID}
            gateway.proxyd.write_config(gateway.proxyd.config | {"routes": routes_of(gateway) + [route]})
            with gateway:
                chromium.get(gateway.url + "/dashboard/")
                sign_in(chromium)
                wait(chromium, lambda d: d.find_elements(By.ID, "said") and text(d, "said") == f"hello, {EMAIL}")
                assert text(chromium, "groups") == "dev, system:authenticated"


def test_a_pods_page_runs_no_script_as_the_visitor(tmp_path, chromium):
    ca = CA(tmp_path / "ca")
    with Upstream(ca) as cluster:
        page = b"<!DOCTYPE html><title>pod</title><link rel=icon href='data:,'><p id=p>shown</p><script>document.title = 'script ran in ' + origin</script>"
        cluster.answer = lambda r: (200, {"Content-Type": "text/html"}, page)
        with Gateway(tmp_path / "gateway", {EMAIL: PASSWORD}, clusters=[{"name": "default", "kubeconfig": str(cluster.kubeconfig())}]) as gateway:
            chromium.get(gateway.url + "/api/v1/namespaces/a/pods/b/proxy/")
            sign_in(chromium)
            wait(chromium, lambda d: d.find_elements(By.ID, "p"))
            assert chromium.title == "pod" and text(chromium, "p") == "shown"


# ---- the README's section


def section():
    readme = (harness.ROOT / "README.md").read_text()
    return readme.split("## Put your own console behind it\n")[1].split("\n## ")[0]


def test_the_readmes_smallest_one_works_as_written(tmp_path, chromium):
    (commands,) = re.findall(r"```sh\n(.*?)```", section(), re.S)
    (port,) = harness.free_ports(1)
    state = tmp_path / "build/quickstart"
    with Gateway(state, {EMAIL: PASSWORD}) as gateway:
        (state / "run").mkdir()
        (state / "run/proxyd.pid").write_text(f"{gateway.proxyd.process.pid} 1\n")
        gateway.proxyd._forget_states()
        assert " 3000 " in commands and ":3000" in commands
        script = commands.replace("3000", str(port)) + "\necho $!\n"
        with open(tmp_path / "out", "w+") as out:
            done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, stdout=out, stderr=subprocess.DEVNULL, timeout=20)
            out.seek(0)
            server = int(out.read().split()[-1])
        try:
            assert done.returncode == 0
            gateway.proxyd.wait_state("READY=1")
            wait_port(port)
            chromium.get(gateway.url + "/app/")
            sign_in(chromium)
            wait(chromium, lambda d: d.current_url == gateway.url + "/app/" and "You are signed in" in d.page_source)
        finally:
            subprocess.run(["kill", str(server)], check=False)


def test_the_readmes_routes_are_accepted_and_do_what_their_table_says(tmp_path):
    text_of = re.findall(r"```yaml\n(.*?)```", section(), re.S)[0]
    ca = CA(tmp_path / "ca")
    cert, key = ca.issue("gateway-client", "gateway", days=30)
    with Upstream(ca) as tls, Upstream(ca, plain=True) as plain:
        for name, real in (("http://127.0.0.1:3000", f"http://127.0.0.1:{plain.address[1]}"), ("https://dashboard.internal:8443", f"https://127.0.0.1:{tls.address[1]}"),
                           ("https://reports.internal:8443", f"https://127.0.0.1:{tls.address[1]}"), ("/etc/gatehouse/internal-ca.pem", str(ca.file)),
                           ("/etc/gatehouse/gateway.pem", str(cert)), ("/etc/gatehouse/gateway.key", str(key))):
            assert name in text_of
            text_of = text_of.replace(name, real)
        gateway = Gateway(tmp_path / "gateway", {EMAIL: PASSWORD, BOB: "battery staple"}, {EMAIL: ["finance"]})
        routes = yaml.safe_load(text_of)["routes"]
        routes[1]["tls"] |= {"certFile": str(cert), "keyFile": str(key)}  # the stand-in wants a certificate of everybody
        gateway.proxyd.write_config(gateway.proxyd.config | {"routes": routes_of(gateway) + routes})
        with gateway:
            ann, bob = (gateway.people[e] for e in (EMAIL, BOB))
            for person in (ann, bob):
                person.sign_in()
            assert [ann.browser.get(gateway.url + p, timeout=20).status_code for p in ("/app", "/dashboard", "/reports")] == [200] * 3
            assert [bob.browser.get(gateway.url + p, timeout=20).status_code for p in ("/app", "/dashboard", "/reports")] == [200, 200, 403]
            anybody = requests.get(gateway.url + "/app", verify=str(gateway.ca), timeout=20)
            assert anybody.status_code == 401
        assert [r.values("X-Remote-User") for r in tls.requests] == [[], [EMAIL], []]
        assert [len(r.values("Authorization")) for r in tls.requests] == [1, 0, 1]
        assert urllib.parse.urlsplit(plain.requests[0].target).path == "/app"
