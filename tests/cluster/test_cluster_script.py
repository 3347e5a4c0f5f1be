"""scripts/cluster: what it starts it finds again, and stops, and nothing else."""
import pathlib
import subprocess

import harness
from waiting import wait_end

CLUSTER = harness.ROOT / "scripts/cluster"


def pids(folder):
    return {f.stem: int(f.read_text().split()[0]) for f in (folder / "run").glob("*.pid")}


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_up_again_changes_nothing_and_what_it_started_ends_with_the_process_it_was_started_for(tmp_path):
    folder = tmp_path / "c"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner:
        try:
            subprocess.run([CLUSTER, "up", folder, "--while", str(owner.pid)], check=True, capture_output=True)
            first, kubeconfig = pids(folder), (folder / "admin.kubeconfig").read_text()
            assert {"etcd", "kube-apiserver", "watchdog"} == set(first) and all(map(alive, first.values()))
            subprocess.run([CLUSTER, "up", folder], check=True, capture_output=True)
            assert pids(folder) == first and (folder / "admin.kubeconfig").read_text() == kubeconfig
        finally:
            owner.stdin.close()
    for pid in first.values():
        wait_end(pid)


def test_a_pid_file_of_a_process_that_is_not_ours_stops_nobody(tmp_path):
    folder = tmp_path / "c"
    (folder / "run").mkdir(parents=True)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stranger:
        (folder / "run/etcd.pid").write_text(f"{stranger.pid} 1\n")  # same number, started at another time
        subprocess.run([CLUSTER, "down", folder], check=True, capture_output=True)
        assert stranger.poll() is None
        stranger.stdin.close()
    assert not (folder / "run/etcd.pid").exists()


def test_options_that_make_no_sense_are_named(tmp_path):
    for args, words in ((["up"], "which folder"), (["up", tmp_path, "--frob"], "no such option"), (["fly", tmp_path], "usage")):
        done = subprocess.run([CLUSTER, *args], capture_output=True, text=True)
        assert done.returncode == 1 and words in done.stderr
