"""A clock that tests move: of programs that are started with its env (fast_clock.c)."""
import mmap
import os
import pathlib
import struct
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parent / "fast_clock.c"


class Clock:
    def __init__(self, folder):
        library, file = folder / "fast_clock.so", folder / "ahead"
        command = ["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, SOURCE]
        subprocess.run(command, check=True)
        file.write_bytes(bytes(8))
        with open(file, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), 8)
        self.ahead_s = 0
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"  # it wants to be loaded before everything else
        self.env = {"LD_PRELOAD": str(library), "FAST_CLOCK": str(file), "ASAN_OPTIONS": sanitizer}

    def forward(self, seconds):
        self.ahead_s += seconds
        self.memory[:] = struct.pack("=q", self.ahead_s * 1000)

    def now(self):
        return int(time.time()) + self.ahead_s


HELD_S = 60


def held_back(clock, attempt):
    """The first answer 429 that is good for a minute, which no machine is too slow for. Each wait is twice the one before; the clock goes over the shorter ones."""
    for _ in range(60):
        answer = attempt()
        if answer.status_code == 429:
            wait_s = int(answer.headers["Retry-After"])
            if wait_s >= HELD_S:
                return answer
            clock.forward(wait_s)
    raise AssertionError(f"sixty attempts, and no wait of a minute: {answer.status_code} {answer.headers}")
