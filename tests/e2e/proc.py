"""What /proc says of a process."""
import pathlib


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()
