"""How tests wait. For an event where there is one: a file that is written to (inotify), a process that ends (pidfd), a time that comes. By asking again
where nobody tells: until(), the only loop that pauses. What does not come fails the test, with what was waited for and what was seen last."""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import select
import socket
import threading
import time

WAIT_S = 30
_libc = ctypes.CDLL(None, use_errno=True)
IN_MODIFY, IN_MOVED_TO, IN_CREATE = 0x2, 0x80, 0x100


def until(what, ask, fits=bool, timeout_s=WAIT_S):
    """Asks until an answer fits, and returns that one. For states that change without a word: of a cache, of another program."""
    deadline, pause_s = time.monotonic() + timeout_s, 0.005
    while not fits(answer := ask()):
        left_s = deadline - time.monotonic()
        assert left_s > 0, f"waited {timeout_s} s for {what}; at last there was {str(answer)[-3000:]}"
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, 0.1)
    return answer


def until_time(at):
    """Until the machine's clock, in seconds since 1970, shows that time."""
    while (left_s := at - time.time()) > 0:
        time.sleep(left_s)


def wait_end(pid, timeout_s=WAIT_S):
    """Until a process has ended, whoever its parent is."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            assert select.select([fd], [], [], timeout_s)[0], f"process {pid} did not end within {timeout_s} s"
        finally:
            os.close(fd)


def wait_port(port, process=None):
    """Until somebody listens on a port of this machine: for programs that do not say so. process: the Popen that is to."""
    def ask():
        assert process is None or process.poll() is None, f"{process.args} ended with {process.returncode}"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), WAIT_S).close()
            return True

    until(f"a listener on port {port}", ask)


class Seen(list):
    """A list that threads append to and a test waits for."""

    def __init__(self):
        super().__init__()
        self.changed = threading.Condition()

    def append(self, item):
        with self.changed:
            super().append(item)
            self.changed.notify_all()

    def wait(self, n, wanted=lambda item: True, timeout_s=WAIT_S):
        """Until there are n items that are wanted."""
        with self.changed:
            enough = self.changed.wait_for(lambda: sum(map(wanted, self)) >= n, timeout_s)
            assert enough, f"{sum(map(wanted, self))} came within {timeout_s} s, {n} wanted; the last of all: {self[-5:]}"


def wait_file(file, found, what, after=0, timeout_s=WAIT_S):
    """Until found(the file's text from byte `after` on) is something, which is returned. Read again whenever somebody writes in the file's folder."""
    file, deadline = pathlib.Path(file), time.monotonic() + timeout_s
    with _writes_in(file.parent) as fd:
        while True:
            text = ""
            with contextlib.suppress(FileNotFoundError), open(file, "rb") as stream:
                stream.seek(after)
                text = stream.read().decode(errors="replace")
            if result := found(text):
                return result
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"waited {timeout_s} s for {what} in {file}, which ends with\n{text[-3000:]}"
            if select.select([fd], [], [], left_s)[0]:
                os.read(fd, 1 << 16)


def wait_text(file, pattern, after=0):
    """Until a line of the file matches; returns the first one."""
    return wait_file(file, lambda text: next((line for line in text.splitlines() if re.search(pattern, line)), None), pattern, after)


def json_lines(text):
    """The whole lines of a log that are JSON objects."""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.startswith("{")]


def wait_lines(file, wanted, what, n=1, after=0, timeout_s=WAIT_S):
    """Until a log has n lines (JSON objects) for which wanted(line) is true; returns all that there are."""
    def found(text):
        lines = [line for line in json_lines(text) if wanted(line)]
        return lines if len(lines) >= n else None

    return wait_file(file, found, f"{n} lines: {what}", after, timeout_s)


@contextlib.contextmanager
def _writes_in(folder):
    """A descriptor that can be read once a file in the folder has been written to, created or put there."""
    fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if fd < 0 or _libc.inotify_add_watch(fd, os.fsencode(folder), IN_MODIFY | IN_MOVED_TO | IN_CREATE) < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(folder))
        yield fd
    finally:
        if fd >= 0:
            os.close(fd)
