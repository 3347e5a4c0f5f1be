"""Operating proxyd by signals while clients send requests: not one of them may notice."""
import re
import signal
import subprocess
import types

import pytest

from gatehouse import Adopted, Proxyd, adopt_orphans, connect, proxyd_config, request
from harness import ROOT, free_port
from waiting import wait_text
from held import load, reloading
from load import Load


# ---- TTIN and TTOU


def test_workers_come_and_go_under_load_and_nobody_notices(tmp_path, ca, issuer, upstream):
    with Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, workers=1, limits={"drainTimeout": "20s"})) as proxyd:
        with load(proxyd, ca, issuer.mint()) as clients:
            for round_ in range(1, 4):
                for n in range(1, 4):
                    proxyd.send(signal.SIGTTIN)
                    proxyd.wait_log("one worker more", workers=1 + n, count=round_)
                clients.wait_sent(50)
                for n in range(1, 4):
                    proxyd.send(signal.SIGTTOU)
                    proxyd.wait_log("one worker less", workers=4 - n, count=round_)
                proxyd.wait_log("worker gone", count=3 * round_)  # long before its time was over: its connections were answered to their ends
                clients.wait_sent(50)
    assert clients.failed == []


def test_the_last_worker_stays_and_a_reload_takes_the_configured_number_again(tmp_path, ca):
    with Proxyd(tmp_path, proxyd_config(ca, workers=2)) as proxyd:
        proxyd.send(signal.SIGTTOU)
        proxyd.wait_log("worker gone", index=1)
        proxyd.send(signal.SIGTTOU)
        proxyd.wait_log("no worker less: there is only one")
        assert proxyd.reload()["workers"] == 2


def test_a_worker_that_leaves_has_until_the_drain_is_over(tmp_path, ca):
    with Proxyd(tmp_path, proxyd_config(ca, workers=2, limits={"drainTimeout": "200ms"})) as proxyd:
        idle = [connect(proxyd.address, ca) for _ in range(8)]  # some of them are with the one that leaves
        proxyd.send(signal.SIGTTOU)
        proxyd.wait_log("worker gone", index=1)
        for tls in idle:
            tls.close()


def test_a_change_of_workers_waits_for_a_reload_that_runs(tmp_path, ca, issuer):
    with reloading(tmp_path, ca, issuer) as (proxyd, go_on):
        proxyd.send(signal.SIGTTIN)
        proxyd.wait_log("workers: queued until the running reload is done")
        go_on()
        assert proxyd.wait_log("reload: done")["workers"] == 1
        assert proxyd.wait_log("one worker more")["workers"] == 2


# ---- README


def test_the_commands_of_the_readme_do_what_it_says(tmp_path, ca, issuer, upstream):
    section = re.search(r"^## Operate by signals\n(.*?)^## ", (ROOT / "README.md").read_text(), re.S | re.M).group(1)
    commands = re.search(r"^```sh\n(.*?)^```", section, re.S | re.M).group(1).splitlines()
    assert len(commands) == 7
    pid, log = tmp_path / "proxyd.pid", tmp_path / "proxyd.log"
    adopt_orphans()
    proxyd = Proxyd(tmp_path, proxyd_config(ca, [issuer], upstream, pidFile=str(pid), log={"file": str(log)}, limits={"drainTimeout": "5s"}))
    proxyd.start(wait=False)
    wait_text(log, "proxyd ready")
    port = int(re.search(r'"proxyd ready".*?"addresses":"127.0.0.1:(\d+)"', log.read_text()).group(1))
    with Load(types.SimpleNamespace(port=port, ca=ca.file), "/api/v1/pods", {"Authorization": "Bearer " + issuer.mint()}, clients=4) as clients:
        for command in commands:
            command, _, said = command.partition("#")
            if "QUIT" in command:
                clients.stop.set()
                new = Adopted(int(pid.read_text()))
            real = command.replace("/run/proxyd.pid", str(pid)).replace("/var/log/gatehouse", str(tmp_path))
            subprocess.run(["sh", "-c", real], check=True)
            if said:
                wait_text(log, f'"msg":"{said.strip()}"')
    assert clients.failed == []
    assert proxyd.wait() == new.wait(30) == 0


def test_the_log_says_what_the_readme_says_it_says():
    section = re.search(r"^## Operate by signals\n(.*?)^## ", (ROOT / "README.md").read_text(), re.S | re.M).group(1)
    source = "".join(f.read_text() for f in (ROOT / "proxyd").glob("*.c"))
    lines = [text for text in re.findall(r"`([a-z][^`]*)`", section) if re.match(r"(upgrade|reload): |log file |no worker |tunnels go on|file changed", text)]
    assert len(lines) >= 10
    assert [text for text in lines if f'"{text}"' not in source] == []


# ---- addresses


def test_an_address_becomes_narrower_and_wider_under_load(tmp_path, ca, issuer, upstream):
    port = free_port()
    config = proxyd_config(ca, [issuer], upstream, workers=2)
    cert = config["listen"][0]["tls"]
    addresses = [f"0.0.0.0:{port}", f"127.0.0.1:{port}", f":{port}", f"127.0.0.1:{port}", f"0.0.0.0:{port}"]
    with Proxyd(tmp_path, config | {"listen": [{"address": addresses[0], "tls": cert}]}) as proxyd:
        with load(proxyd, ca, issuer.mint()) as clients:
            for address in addresses[1:] * 2:
                clients.wait_sent(30)
                proxyd.reload(proxyd.config | {"listen": [{"address": address, "tls": cert}]})
            clients.wait_sent(30)
    assert clients.failed == []


def test_an_address_that_is_removed_is_refused_and_one_that_is_added_answers(tmp_path, ca, issuer, upstream):
    config = proxyd_config(ca, [issuer], upstream)
    cert = config["listen"][0]["tls"]
    first, second = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with Proxyd(tmp_path, config | {"listen": [{"address": first, "tls": cert}]}) as proxyd:
        get = lambda address: request(address, "GET", "/api", ca, token=issuer.mint())[0]
        assert get(first) == 200
        proxyd.reload(proxyd.config | {"listen": [{"address": a, "tls": cert} for a in (first, second)]})
        assert get(first) == get(second) == 200
        proxyd.reload(proxyd.config | {"listen": [{"address": second, "tls": cert}]})
        proxyd.wait_log("generation gone", generation=2)
        assert get(second) == 200
        with pytest.raises(ConnectionError):
            get(first)


def test_an_address_of_somebody_else_keeps_the_configuration_in_use(tmp_path, ca, issuer, upstream):
    config = proxyd_config(ca, [issuer], upstream)
    cert = config["listen"][0]["tls"]
    with Proxyd(tmp_path, config) as proxyd, Proxyd(tmp_path / "pki", proxyd_config(ca)) as other:
        with load(proxyd, ca, issuer.mint()) as clients:
            why = proxyd.reload_fails(config | {"listen": [{"address": other.address, "tls": cert}]})
            assert why.endswith(f"listen[0].address: cannot listen on {other.address}: Address already in use")
            clients.wait_sent(30)
    assert clients.failed == []
