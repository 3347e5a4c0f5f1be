"""What must hold over many: logins that nobody finishes, and kill -9 in the middle of flows."""
import concurrent.futures
import contextlib
import http.client
import random
import threading
import time
import urllib.parse

import pytest
import requests

import openmetrics
from authd_client import CLI, CLI_URI, Authd, fields, harness, person, pkce, query_of

# ---- logins that nobody finishes ----

AUTH_REQUESTS_MAX = 10000  # of authd/app.h


def scrape(authd):
    return openmetrics.parse(requests.get(authd.telemetry + "/metrics", timeout=30).text)


def abandon(authd, n, threads=4):
    """n sign-ins, each by a browser of its own that is never seen again."""
    def run(count):
        connection = http.client.HTTPConnection("127.0.0.1", authd.port, timeout=30)
        with contextlib.closing(connection):
            for _ in range(count):
                query = urllib.parse.urlencode({"client_id": CLI, "redirect_uri": CLI_URI, "response_type": "code", "scope": "openid offline_access",
                                                "state": "s" * 200, "nonce": "n" * 100, "code_challenge": pkce()[1], "code_challenge_method": "S256"})
                connection.request("GET", "/oidc/auth?" + query)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 303, answer.status

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(run, n // threads) for _ in range(threads)]:
            done.result()


def test_10000_abandoned_logins_cost_bounded_memory_and_storage_and_nobody_who_is_signed_in(tmp_path):
    (port,) = harness.free_ports(1)
    authd = Authd(tmp_path, telemetry={"http": f"127.0.0.1:{port}"}, logger={"level": "warn"}, oauth2={"skipApprovalScreen": False})
    authd.telemetry = f"http://127.0.0.1:{port}"
    with authd:
        signed_in, approving, early = authd.browser(), authd.browser(), authd.browser()
        signed_in.sign_in()
        verifier, challenge = pkce()
        asked = {"code_challenge": challenge, "code_challenge_method": "S256", "state": "st", "scope": "openid offline_access"}
        approval = approving.fill(approving.authorize(**asked))
        assert "Allow" in approval.text
        early_page = early.authorize(**asked)
        abandon(authd, AUTH_REQUESTS_MAX + 2000)
        first = scrape(authd)
        assert first.get_one("gatehouse_store_records", kind="auth_request") == AUTH_REQUESTS_MAX
        abandon(authd, AUTH_REQUESTS_MAX // 2)
        second = scrape(authd)
        # Half as many again cost little more: pages of the old ones are used again. The rest is what B-trees of random keys, libmicrohttpd and malloc leave unused.
        assert second.get_one("gatehouse_store_records", kind="auth_request") == AUTH_REQUESTS_MAX
        assert second.get_one("gatehouse_store_used_bytes") < first.get_one("gatehouse_store_used_bytes") + (4 << 20)
        assert second.get_one("gatehouse_store_used_bytes") < 24 << 20
        assert second.get_one("process_resident_memory_bytes") < min(first.get_one("process_resident_memory_bytes") + (16 << 20), 64 << 20)
        # Who is signed in stays so, who is about to agree may, and who comes now gets in. The oldest that was not finished has gone.
        assert authd.session_token(signed_in)[0] == 200
        form = {"approval": "approve"} | dict(fields(approval.text))
        code = query_of(approving.post("/oidc/approval", form).headers["Location"])["code"]
        tokens = authd.redeem(code, verifier)
        assert tokens.status_code == 200
        assert early.fill(early_page).status_code == 400
        late = authd.browser()
        late.sign_in()
        assert authd.refresh(tokens.json()["refresh_token"]).status_code == 200




# ---- kill -9 ----

FLOWS, WORKERS, PEOPLE = 1000, 8, 8


class Killer:
    """Ends authd by SIGKILL at random moments and starts it again, until there is nothing more to do."""

    def __init__(self, authd, seed):
        self.authd, self.random, self.kills, self.stop = authd, random.Random(seed), 0, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.up = threading.Event()
        self.up.set()
        self.failed = None

    def run(self):
        try:
            while not self.stop.wait(self.random.uniform(0.02, 0.4)):
                self.kill()
        except BaseException as e:  # noqa: B036 - it has to reach the test
            self.failed = e
        finally:
            self.up.set()

    def kill(self):
        self.up.clear()
        self.authd.program.process.kill()
        self.authd.program.process.wait()
        self.kills += 1
        self.authd.program.start()
        self.up.set()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        self.thread.join(60)
        if self.failed:
            raise self.failed


class Flow:
    """What was acknowledged about one sign-in. refresh: the newest token that an answer has brought;
    used: an answer has said something about the code."""

    def __init__(self):
        self.code = self.verifier = self.refresh = self.access = None
        self.redeemed, self.used = 0, False
        self.revoked = self.revoke_unsure = False


class Worker:
    def __init__(self, authd, killer, index):
        self.authd, self.killer, self.random = authd, killer, random.Random(index)
        self.email = f"p{index % PEOPLE}@example.com"
        self.browser, self.flows, self.ended, self.left, self.cut, self.first_of_session = None, [], [], [], 0, 0

    def attempt(self, call):
        """The answer; None when it was cut off, so that nobody knows what became of it."""
        try:
            answer = call()
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            self.cut += 1
            self.killer.up.wait(30)
            return None
        assert answer.status_code < 500, f"{answer.status_code} {answer.text[:300]}"
        return answer

    def insist(self, call):
        """For what may be repeated."""
        deadline = time.monotonic() + 30
        while (answer := self.attempt(call)) is None:
            assert time.monotonic() < deadline, "authd does not come back"
        return answer

    def sign_in(self):
        """A new browser; the one before, if there was one, is signed out now and then."""
        old = self.browser
        sign_out = old and self.random.random() < 0.3
        if sign_out:
            page = self.insist(lambda: old.get("/console/"))
            token = fields(page.text)
            done = self.attempt(lambda: old.http.post(self.authd.origin + "/console/signout", data=token, headers={"Origin": self.authd.origin},
                                                      allow_redirects=False, timeout=20))
            assert done is None or done.status_code == 303, done.text
            if done is not None:
                self.ended.append(self.cookie)
            for flow in self.flows[self.first_of_session:]:  # what was granted under a session ends with it
                flow.revoked |= done is not None
                flow.revoke_unsure |= done is None
        self.first_of_session = len(self.flows)
        while True:
            browser = self.authd.browser()
            answer = self.attempt(lambda: browser.fill(browser.get("/console/signin?to=/console/"), login=self.email))
            if answer is not None and answer.status_code == 200:
                break
        if old and not sign_out:
            self.left.append(old)
        self.browser, self.cookie = browser, "; ".join(f"{c.name}={c.value}" for c in browser.http.cookies)

    def code(self, flow):
        flow.verifier, challenge = pkce()
        answer = self.insist(lambda: self.browser.authorize(scope="openid offline_access", code_challenge=challenge, code_challenge_method="S256"))
        assert answer.is_redirect, f"an acknowledged session was lost: {answer.status_code} {answer.text[:200]}"
        flow.code = query_of(answer.headers["Location"])["code"]

    def redeem(self, flow):
        """Until an answer arrives; a redemption that was cut off may have counted, and then the code is used."""
        answer = self.insist(lambda: self.authd.redeem(flow.code, flow.verifier))
        flow.used = True
        if answer.status_code == 200:
            flow.redeemed += 1
            flow.refresh, flow.access = answer.json()["refresh_token"], answer.json()["access_token"]
        else:
            assert answer.json()["error"] == "invalid_grant", answer.text

    def race(self, flow):
        """Two at once: whatever is cut off, at most one may hear yes. What became of the grant is not followed."""
        answers = []
        other = threading.Thread(target=lambda: answers.append(self.attempt(lambda: self.authd.redeem(flow.code, flow.verifier))))
        other.start()
        answers.append(self.attempt(lambda: self.authd.redeem(flow.code, flow.verifier)))
        other.join(60)
        assert len(answers) == 2 and sum(a is not None and a.status_code == 200 for a in answers) <= 1, "a code was redeemed twice"
        flow.used = any(a is not None for a in answers)

    def rotate(self, flow):
        """A cut one is repeated with the same token: inside reuseInterval it has one successor, which must be given."""
        answer = self.insist(lambda: self.authd.refresh(flow.refresh))
        assert answer.status_code == 200, f"an acknowledged refresh token was lost: {answer.text}"
        flow.refresh, flow.access = answer.json()["refresh_token"], answer.json()["access_token"]

    def revoke(self, flow):
        answer = self.attempt(lambda: self.authd.revoke(flow.refresh))
        flow.revoke_unsure = answer is None
        flow.revoked = answer is not None
        assert answer is None or answer.status_code == 200, answer.text

    def run(self, n):
        self.sign_in()
        for i in range(n):
            flow = Flow()
            self.code(flow)
            if self.random.random() < 0.1:
                self.race(flow)
            else:
                self.redeem(flow)
            if flow.redeemed:
                for _ in range(self.random.randrange(3)):
                    self.rotate(flow)
                if self.random.random() < 0.3:
                    self.revoke(flow)
            self.flows.append(flow)
            if i % 40 == 39:
                self.sign_in()


def check_at_the_end(authd, worker):
    for cookie in worker.ended:
        status, _, body = authd.over_socket("POST", "/internal/session", {"Cookie": cookie})
        assert status == 401, f"an ended session lives: {body}"
    for browser in [worker.browser, *worker.left]:
        assert authd.session_token(browser)[0] == 200, "an acknowledged session was lost"
    for flow in worker.flows:
        if flow.redeemed and (flow.revoked or not flow.revoke_unsure):
            answer = authd.refresh(flow.refresh)
            assert (answer.status_code == 200) == (not flow.revoked), (flow.__dict__, answer.text)
        if flow.redeemed and flow.revoked:
            assert authd.userinfo(flow.access).status_code == 401, "an access token of a revoked grant lives"
        if flow.used:
            assert authd.redeem(flow.code, flow.verifier).status_code == 400, "a code was redeemed twice"


@pytest.mark.parametrize("key_file", [False, True], ids=["plain", "sealed"])
def test_kill_9_at_random_points_of_1000_flows_breaks_no_promise(tmp_path, key_file):
    expiry = {"refreshTokens": {"reuseInterval": "10m"}}
    people = [person(f"p{i}@example.com") for i in range(PEOPLE)]
    storage = {"type": "lmdb", "config": {"path": str(tmp_path / "store")}}
    if key_file:
        (tmp_path / "store.key").write_bytes(bytes(range(32)))
        (tmp_path / "store.key").chmod(0o600)
        storage["config"]["keyFile"] = str(tmp_path / "store.key")
    flows = FLOWS // 4 if key_file else FLOWS  # the same code but for what is in a record
    with Authd(tmp_path, expiry=expiry, staticPasswords=people, storage=storage, logger={"level": "warn"}) as authd:
        with Killer(authd, 20260806) as killer, concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            workers = [Worker(authd, killer, i) for i in range(WORKERS)]
            for done in [pool.submit(w.run, flows // WORKERS) for w in workers]:
                done.result()
        killer.kill()
        assert killer.kills > 4 and sum(w.cut for w in workers) > killer.kills // 2, (killer.kills, [w.cut for w in workers])
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for done in [pool.submit(check_at_the_end, authd, w) for w in workers]:
                done.result()
        assert sum(len(w.flows) for w in workers) == flows // WORKERS * WORKERS
        print(f"{killer.kills} kills, {sum(w.cut for w in workers)} requests cut, "
              f"{sum(f.redeemed for w in workers for f in w.flows)} redeemed, {sum(f.revoked for w in workers for f in w.flows)} revoked, "
              f"{sum(len(w.ended) for w in workers)} sessions ended")
