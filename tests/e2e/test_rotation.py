"""Signing keys change while people work: nobody is refused."""
import signal
import threading

import jwt

from gatehouse import Issuer, Proxyd, SigningKey, Upstream, proxyd_config, request
from harness import Gateway
from waiting import Seen, until

ANN = "ann@example.com"


def test_keys_that_are_published_before_they_sign_refuse_nobody(tmp_path, ca):
    """Ten rotations, the way authd does them: publish, let the caches learn, sign, and later withdraw the old key."""
    with Issuer(ca) as issuer, Upstream(ca) as upstream, Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream)) as proxyd:
        stop, answers, token = threading.Event(), Seen(), [issuer.mint()]

        def client():
            while not stop.is_set():
                answers.append(request(proxyd.address, "GET", "/version", ca, token=token[0])[0])

        clients = [threading.Thread(target=client) for _ in range(4)]
        for c in clients:
            c.start()
        try:
            for n in range(10):
                old = issuer.keys[0]
                issuer.keys = [old, SigningKey(f"next-{n}")]
                mark = proxyd.mark()
                proxyd.send(signal.SIGHUP)  # a new keeper fetches at once: the caches' lifetime, in a moment
                proxyd.wait_log("keys fetched", after=mark, issuer=issuer.url, changed=True)
                proxyd.wait_log("generation gone", after=mark)  # an old worker's cache ends with it and learns nothing more
                issuer.keys.reverse()
                token[0] = issuer.mint()
                answers.wait(len(answers) + 20)
                issuer.keys = issuer.keys[:1]
        finally:
            stop.set()
            for c in clients:
                c.join(30)
        assert len(answers) > 200 and set(answers) == {200}


def test_authd_publishes_the_next_key_long_before_it_signs_and_keeps_it_through_a_restart(tmp_path):
    with Gateway(tmp_path / "g", {ANN: "correct horse"}) as gateway:
        browser = gateway.browser()

        def kids():
            return [k["kid"] for k in browser.get(gateway.issuer + "/keys").json()["keys"]]

        def signer():
            return jwt.get_unverified_header(gateway.people[ANN].sign_in()["id_token"])["kid"]

        first = kids()
        assert len(first) == 1 and signer() == first[0]
        gateway.authd.send_signal(signal.SIGUSR2)
        published = until("another key", kids, lambda found: len(found) > 1)
        assert first[0] in published and len(published) == 2
        assert signer() == first[0], "the new key is published, and does not sign yet"
        gateway.authd.stop()
        gateway.authd.start()
        assert sorted(kids()) == sorted(published) and signer() == first[0]
