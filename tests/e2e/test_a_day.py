"""Twenty-four hours in seconds: the programs' clocks jump by an hour at a time, from outside (fast_clock.c), so that they are those that are installed. Tokens
expire under watches and shells, signing keys are rotated and withdrawn, the gateway's own credential is replaced every hour, sessions are revoked."""
import contextlib
import pathlib

import jwt
import pytest
import yaml

from clock import Clock
from gatehouse import CA, Proxyd, SigningKey, Upstream, request
from harness import CLIENT_ID, Gateway
from test_proxyd_lasting import EVENT, LOG, WATCH, Cluster, Cut, Sessions, config, shell, stream
from waiting import until, wait_file

HOUR_S = 3600


class People(Sessions):
    clock = None

    def end(self, sid):
        with self.news:
            self.ended.append({"sid": sid, "until": self.clock.now() + 24 * HOUR_S})
            self.news.notify_all()

    def token(self, good_for_s=HOUR_S - 600, **claims):
        now = self.clock.now()
        return self.mint(iat=now, exp=now + good_for_s, **claims)


class Day:
    """The gateway, and the hour that it is."""

    def __init__(self, folder, ca, people, cluster):
        self.ca, self.people, self.cluster = ca, people, cluster
        self.clock = people.clock = Clock(folder)
        self.hour, self.credential = 0, folder / "credential"
        self.credential.write_text("credential-of-hour-0")
        people.max_age_s = 600
        limits = {"watchMaxAge": "0s", "tunnelIdleTimeout": "48h"}
        made = config(ca, [people], cluster, limits, {"tokenExpired": "2h"})
        kubeconfig = pathlib.Path(made["clusters"][0]["kubeconfig"])
        text = yaml.safe_load(kubeconfig.read_text())
        text["users"][0]["user"]["tokenFile"] = str(self.credential)
        kubeconfig.write_text(yaml.safe_dump(text))
        self.proxyd = Proxyd(folder, made, env=self.clock.env)

    def pass_hour(self, keys=None):
        """An hour later everything that was due has been looked at: the issuer's keys, and the gateway's credential."""
        self.hour += 1
        if keys:
            self.people.keys = keys
        new = self.credential.with_suffix(".new")
        new.write_text(f"credential-of-hour-{self.hour}")
        new.rename(self.credential)
        path = f"{self.people.path}/keys"
        fetched = sum(1 for p, _ in self.people.requests if p == path)
        changes = len(self.proxyd.find_log("keys fetched", changed=True))
        self.clock.forward(HOUR_S)
        self.people.wait_requests(fetched + 1, path)
        if keys:
            self.proxyd.wait_log("keys fetched", changed=True, count=changes + 1)
        self.proxyd.wait_log("cluster has another token", count=self.hour)
        self.ask(self.people.token())  # what comes from master is read in the batch of events that this was in, or before

    def ask(self, token):
        return request(self.proxyd.address, "GET", "/api", self.ca, token=token)[0]


@pytest.fixture
def day(tmp_path):
    ca = CA(tmp_path / "pki")
    with People(ca, tmp_path) as people, Cluster(ca) as cluster:
        one = Day(tmp_path, ca, people, cluster)
        with one.proxyd:
            yield one
        people.end("nobody's")


def test_a_day(day):
    proxyd, ca, people = day.proxyd, day.ca, day.people
    tokens = []
    for hour in range(24):
        tokens.append(people.token())
        assert day.ask(tokens[-1]) == 200, f"hour {hour}: its token counts"
        assert day.cluster.requests[-1].values("Authorization") == [f"Bearer credential-of-hour-{hour}"]
        assert [day.ask(t) for t in tokens[-3:-1]] == [401] * len(tokens[-3:-1]), f"hour {hour}: those of the hours before do not"
        old = people.keys[0]
        if hour % 6 == 1:  # published, and known before it signs
            day.pass_hour([old, SigningKey(f"of-hour-{hour}")])
        elif hour % 6 == 2:
            people.keys.reverse()
            day.pass_hour()
        elif hour % 6 == 3:
            withdrawn = people.keys[1]
            good = people.token(8 * HOUR_S, key=withdrawn)
            assert day.ask(good) == 200
            day.pass_hour([old])
            assert day.ask(good) == 401, "its key is withdrawn, however long it was good for"
        else:
            day.pass_hour()
    credentials = {r.values("Authorization")[0] for r in day.cluster.requests}
    assert credentials == {f"Bearer credential-of-hour-{h}" for h in range(25)}
    assert len(proxyd.find_log("child started", child="worker")) == 1, "and nobody had to be replaced"
    assert ca


def test_what_runs_outlives_its_token_by_what_is_configured(day):
    proxyd, ca, people = day.proxyd, day.ca, day.people
    token, long_lived = people.token(), people.token(12 * HOUR_S)
    with contextlib.ExitStack() as stack:
        watch, log, exec_ = (stack.enter_context(c) for c in (stream(proxyd, ca, token, WATCH), stream(proxyd, ca, token, LOG), shell(proxyd, ca, token)))
        other = stack.enter_context(shell(proxyd, ca, long_lived))
        for _ in range(2):  # the token ends after the first; what it opened may go on for two more
            day.pass_hour()
            exec_.echo()
            day.cluster.more(WATCH, EVENT)
            day.cluster.more(LOG, b"a line\n")
            assert watch.chunk() == EVENT and log.chunk() == b"a line\n"
        assert day.ask(token) == 401
        day.pass_hour()
        day.pass_hour()
        assert watch.chunk() == b"", "its end is a proper one, and kubectl asks anew"
        exec_.wait_cut()
        with pytest.raises(Cut):
            log.chunk()
        for _ in range(8):
            other.echo()
            day.pass_hour()
        other.echo()
        for _ in range(3):
            day.pass_hour()
        other.wait_cut()


def test_a_session_that_was_revoked_stays_revoked_all_day(day):
    proxyd, ca, people = day.proxyd, day.ca, day.people
    mine, other = people.token(20 * HOUR_S, sid="mine"), people.token(20 * HOUR_S, sid="other")
    with shell(proxyd, ca, mine) as exec_, shell(proxyd, ca, other) as others:
        for hour in range(18):
            assert day.ask(other) == 200
            if hour == 6:
                exec_.echo()
                people.end("mine")
                exec_.wait_cut()
            assert day.ask(mine) == (200 if hour < 6 else 401)
            others.echo()
            day.pass_hour()


def test_more_than_a_day_with_authd(tmp_path):
    """One signs in once. The token is refreshed every hour, under keys that change; the cookie counts for as long as the session may last, and the refresh token until it is not used."""
    ca, clock = CA(tmp_path / "pki"), Clock(tmp_path)
    lifetimes = {
        "expiry": {"idTokens": "50m", "signingKeys": "6h", "refreshTokens": {"validIfNotUsedFor": "30h"}},
        "sessions": {"validIfNotUsedFor": "2h", "absoluteLifetime": "630m"},
    }
    with Upstream(ca) as upstream:
        clusters = [{"name": "default", "kubeconfig": str(upstream.kubeconfig())}]
        gateway = Gateway(tmp_path / "g", {"ann@example.com": "correct horse"}, clusters=clusters, authd_more=lifetimes)
        gateway.authd.env |= clock.env
        gateway.proxyd.env |= clock.env
        with gateway:
            ann = gateway.people["ann@example.com"]

            def ask(browser, token=None):
                return browser.get(gateway.url + "/version", headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=20).status_code

            def accepted(*who):
                """An hour at once leaves no time to learn a key before it signs: the keeper is told by the first token that has it, and then tells each worker."""
                until("a worker that knows the key", lambda: ask(*who) == 200)

            def refresh(token):
                data = {"grant_type": "refresh_token", "refresh_token": token, "client_id": CLIENT_ID}
                return gateway.browser().post(gateway.issuer + "/token", data=data, timeout=20)

            def looked_after(message, n):
                wait_file(gateway.authd.log_file, lambda log: log.count(message) >= n, f"{n} times {message}")

            tokens = [ann.sign_in()]
            kids = set()
            for hour in range(26):
                kids.add(jwt.get_unverified_header(tokens[-1]["id_token"])["kid"])
                accepted(gateway.browser(), tokens[-1]["id_token"])
                assert len(tokens) == 1 or ask(gateway.browser(), tokens[-2]["id_token"]) == 401
                if hour <= 10:
                    accepted(ann.browser)
                else:
                    assert ask(ann.browser) == 401, f"hour {hour}: the session is over"
                clock.forward(HOUR_S)
                rotation, hours = divmod(hour + 1, 7)
                if hours == 6:  # a key is published at the first look after six hours
                    looked_after("signing key is published", rotation + 1)
                elif hours == 0:  # and signs at the first after ten more minutes
                    looked_after("signing key is active", rotation)
                answer = refresh(tokens[-1]["refresh_token"])
                assert answer.status_code == 200, answer.text
                tokens.append(answer.json())
            assert len(kids) == 4
            clock.forward(31 * HOUR_S)
            answer = refresh(tokens[-1]["refresh_token"])
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
