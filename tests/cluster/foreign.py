"""What programs that are not ours do now and then, and how these tests live with it. Nothing else in this folder is tried twice.

kubectl 1.29 reads from a WebSocket before it has made its streams. What comes very soon it throws away, in these words: "Unknown stream id 1, discarding
message". A command of this version alone, with these words alone, is run again (run_129). A gateway that mixed up streams or lost their first bytes
would fail with every other version, of which none is tried twice.

kwok, which plays the kubelet, ends a command's stream now and then on a busy machine before it has said anything. The run without the gateway, to which
the one through it is compared, is repeated then (run_directly); the one through the gateway never is.

kubectl does not tell when it has begun to watch, to attach or to follow a log, and what happens before is not shown: it happens again until it is (shows)."""
import json
import re
import threading
import time

from waiting import Seen, until

TRIES = 5
DISCARDED = re.compile(r"Unknown stream id \d+, discarding message")
tried_again = []  # a line each, for the end of the run


def run_129(run):
    """run: executes kubectl 1.29 and returns the CompletedProcess."""
    for _ in range(TRIES):
        done = run()
        if not DISCARDED.search(done.stderr):
            break
        tried_again.append(f"kubectl 1.29: {DISCARDED.search(done.stderr)[0]}")
    return done


def run_directly(run):
    """run: executes a command that prints something, without the gateway."""
    for _ in range(TRIES):
        done = run()
        if done.stdout:
            break
        tried_again.append(f"kwok: no output, exit status {done.returncode}, {done.stderr!r}")
    return done


def shows(process, text, provoke):
    """Until a running program, whose standard output is ours, has printed the text. provoke: makes it happen once."""
    lines = Seen()

    def read():
        for line in process.stdout:
            lines.append(line)

    threading.Thread(target=read, daemon=True).start()
    until(f"{text!r} from {process.args}", lambda: any(text in line for line in list(lines)) or provoke())


def config_map(name, value):
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}})


def make_config_map(cluster, name):
    """It comes and goes: an event for whoever watches."""
    url = f"{cluster.url}/api/v1/namespaces/demo/configmaps"
    assert cluster.admin.post(url, data=config_map(name, "x"), headers={"Content-Type": "application/json"}, timeout=10).ok
    assert cluster.admin.delete(f"{url}/{name}", timeout=10).ok


def say(cluster, text):
    """In the log of the pod."""
    with open(cluster.pod_log, "a", encoding="utf-8") as log:
        log.write(time.strftime("%Y-%m-%dT%H:%M:%S.5Z", time.gmtime()) + f" stdout F {text}\n")
