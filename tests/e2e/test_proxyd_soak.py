"""Many reloads and many new programs, one after the other, under everything that clients do at once: nobody may notice, and nothing may be left behind.

GATEHOUSE_RELOADS and GATEHOUSE_UPGRADES say how many; .ci/run asks for 1000 and 20."""
import contextlib
import os
import pathlib
import signal
import threading
import time

from gatehouse import Issuer, Proxyd, Upstream, connect, proxyd_config
from h2_client import H2
from held import load
from waiting import until

RELOADS = int(os.environ.get("GATEHOUSE_RELOADS", "30"))
UPGRADES = int(os.environ.get("GATEHOUSE_UPGRADES", "3"))
WARM_UP = 10
WORKERS = 2
EVENT = b'{"type":"MODIFIED","object":{"metadata":{"name":"p"}}}\n'
GROWTH_KIB = 1024  # of a process: less than 1 KiB for each of 1000 reloads


class Cluster(Upstream):
    """Watches have an event every 100 ms, exec echoes."""

    def __init__(self, ca):
        super().__init__(ca)
        self.on_request = self._course
        self.over = threading.Event()

    def _course(self, r, tls):
        self.requests.clear()
        if r.values("Upgrade"):
            tls.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
            while data := tls.recv(4096):
                tls.sendall(data)
            return False
        if "watch=" not in r.target:
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            return True
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not self.over.wait(0.1):
            tls.sendall(b"%x\r\n%s\r\n" % (len(EVENT), EVENT))
        return False

    def __exit__(self, *exc):
        self.over.set()
        super().__exit__(*exc)


class Crowd:
    """Threads that each do one thing again and again; what goes wrong is a text in failed."""

    def __init__(self, proxyd, ca, token):
        self.address, self.ca, self.token = proxyd.address, ca, token
        self.stop, self.lock, self.failed, self.done = threading.Event(), threading.Lock(), [], {}
        self.threads, self.changed = [], threading.Condition(self.lock)

    def add(self, what, n):
        for _ in range(n):
            self.threads.append(threading.Thread(target=self._again, args=(what,)))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        for t in self.threads:
            t.join(60)
        assert not any(t.is_alive() for t in self.threads)

    def count(self, name):
        with self.changed:
            self.done[name] = self.done.get(name, 0) + 1
            self.changed.notify_all()

    def wait(self):
        """Until everything that can be done has been done, or something has failed."""
        names = ("lines in shells", "watches over HTTP/1.1", "requests over HTTP/2", "connections with watches over HTTP/2")
        with self.changed:
            assert self.changed.wait_for(lambda: self.failed or all(name in self.done for name in names), 60), self.done

    def _again(self, what):
        while not self.stop.is_set():
            try:
                what()
            except Exception as e:  # whatever it is, somebody noticed
                if self.stop.is_set():
                    return
                with self.lock:
                    self.failed.append(f"{what.__name__}: {type(e).__name__}: {e}")
            self.stop.wait(0.01)

    def _head(self, method, path, more=""):
        return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n{more}\r\n".encode()

    def watch_h1(self):
        """One watch to its end, which is a proper one."""
        with contextlib.closing(connect(self.address, self.ca)) as tls:
            tls.sendall(self._head("GET", "/api/v1/pods?watch=1"))
            stream = tls.makefile("rb")
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            while stream.readline() != b"\r\n":
                pass
            while (line := stream.readline()) != b"0\r\n":
                assert line and stream.read(int(line, 16) + 2).endswith(b"}\n\r\n"), f"cut behind {line!r}"
                if self.stop.is_set():
                    return
            assert stream.readline() == b"\r\n"
        self.count("watches over HTTP/1.1")

    def _get_h2(self, c):
        """A request, unless the connection goes; where it was too late the server has not touched it."""
        s = c.request("GET", "/api/v1/nodes", token=self.token)
        while not c.answers[s].ended and not (c.goaway and c.goaway[1] < s):
            c.receive()
            assert c.answers[s].reset is None
        if c.answers[s].ended:
            assert c.answers[s].status == 200
            self.count("requests over HTTP/2")

    def requests_h2(self):
        with H2(self.address, self.ca) as c:
            while not c.goaway and not self.stop.is_set():
                self._get_h2(c)
                self.stop.wait(0.01)

    def watches_h2(self):
        """Some watches on one connection, to their ends, and requests beside them."""
        with H2(self.address, self.ca) as c:
            watches = [c.request("GET", f"/api/v1/pods?watch=1&n={n}", token=self.token) for n in range(5)]
            while not c.goaway and not self.stop.is_set():
                self._get_h2(c)
                self.stop.wait(0.05)
            for s in watches:
                while not c.answers[s].ended and not self.stop.is_set():
                    assert not c.goaway or c.goaway[1] >= s
                    c.receive()
                    assert c.answers[s].reset is None
                assert self.stop.is_set() or (c.answers[s].status == 200 and c.answers[s].body[-2:] in (b"}\n", b""))
            assert not c.goaway or c.goaway[0] == 0
        self.count("connections with watches over HTTP/2")

    def _shell(self, echoes):
        with contextlib.closing(connect(self.address, self.ca)) as tls:
            tls.sendall(self._head("POST", "/api/v1/namespaces/a/pods/p/exec", "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"))
            stream = tls.makefile("rb")
            assert stream.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
            while stream.readline() != b"\r\n":
                pass
            for n in echoes:
                text = b"line %d\n" % n
                tls.sendall(text)
                got = stream.readline()
                assert got == text, f"cut: {got!r} behind {n} lines"
                self.count("lines in shells")
                self.stop.wait(0.1)

    def short_shell(self):
        self._shell(range(3))

    def long_shell(self):
        """From before the first reload until after the last: whatever ends it is a failure."""
        self._shell(iter(lambda n=iter(range(1 << 30)): -1 if self.stop.is_set() else next(n), -1))


def held(pid):
    """(resident KiB that are its own, descriptors) of a process."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
    return private, len(os.listdir(f"/proc/{pid}/fd"))


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_only(proxyd, n_children):
    """Until what has been replaced is gone."""
    until(f"{n_children} children", lambda: children(proxyd.process.pid), lambda found: len(found) == n_children, 60)


def settled(proxyd):
    """What everything holds when nothing else is left, and workers have served nobody yet."""
    proxyd.reload()
    wait_only(proxyd, WORKERS + 2)
    pid = proxyd.process.pid
    return held(pid), [held(p) for p in proxyd.pids("keeper")], [held(p) for p in proxyd.pids("worker")]


@contextlib.contextmanager
def everything(proxyd, ca, token):
    crowd = Crowd(proxyd, ca, token)
    crowd.add(crowd.watch_h1, 3)
    crowd.add(crowd.requests_h2, 2)
    crowd.add(crowd.watches_h2, 2)
    crowd.add(crowd.short_shell, 2)
    crowd.add(crowd.long_shell, 3)
    with load(proxyd, ca, token, clients=4) as clients, crowd:
        yield crowd, clients
        crowd.wait()
    assert clients.failed == [] and crowd.failed == [], f"{clients.sent} requests, {crowd.done}"


def test_reloads_and_new_programs_under_everything_that_clients_do(tmp_path, ca):
    with Issuer(ca) as issuer, Cluster(ca) as cluster:
        token = issuer.mint(exp=int(time.time()) + 7200)
        config = proxyd_config(ca, [issuer], cluster, workers=WORKERS, limits={"drainTimeout": "8s"}, log={"level": "info"})
        with Proxyd(tmp_path, config) as proxyd:
            first_fds = held(proxyd.process.pid)[1]
            with everything(proxyd, ca, token):
                for _ in range(WARM_UP):
                    proxyd.reload()
            before, keepers, workers = settled(proxyd)
            with everything(proxyd, ca, token) as (crowd, clients):
                for _ in range(RELOADS):
                    proxyd.reload()
                    clients.wait_sent(3)
                    proxyd.forget_log()
            print(f"{RELOADS} reloads: {clients.sent} requests over HTTP/1.1, {crowd.done}; nothing failed")
            after, keepers_after, workers_after = settled(proxyd)
            assert after[1] == before[1] and after[0] <= before[0] + GROWTH_KIB, f"master: {before} -> {after}"
            assert max(keepers_after)[1] <= max(keepers)[1] and max(k for k, _ in keepers_after) <= max(k for k, _ in keepers) + GROWTH_KIB
            assert {fds for _, fds in workers_after} == {fds for _, fds in workers}

            replaced = []
            with everything(proxyd, ca, token) as (crowd, clients):
                for _ in range(UPGRADES):
                    replaced.append(proxyd.upgrade())
                    clients.wait_sent(3)
            print(f"{UPGRADES} new programs: {clients.sent} requests over HTTP/1.1, {crowd.done}; nothing failed")
            assert [old.wait(60) for old in replaced] == [0] * UPGRADES
            (_, fds), keepers_after, workers_after = settled(proxyd)
            assert fds == first_fds
            assert {n for _, n in workers_after} == {n for _, n in workers}
            assert proxyd.process.pid not in [old.pid for old in replaced]
            proxyd.send(signal.SIGQUIT)
            assert proxyd.wait() == 0
