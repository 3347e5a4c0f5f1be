"""The gateway's own token for a cluster, in a file that kubelets replace long before it expires (kubeconfig's tokenFile)."""
import os
import signal

import pytest
import yaml

from gatehouse import Issuer, Proxyd, Upstream, proxyd_config, request


class Mounted:
    """A file as the kubelet projects it: token -> ..data/token, ..data -> a folder that is another after each rotation."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        folder.mkdir()
        self.file = folder / "token"
        self.file.symlink_to("..data/token")

    def rotate(self, token):
        self.n += 1
        version = self.folder / f"..{self.n}"
        version.mkdir()
        (version / "token").write_text(token)
        new = self.folder / "..new"
        new.symlink_to(version.name)
        new.rename(self.folder / "..data")


@pytest.fixture
def mounted(tmp_path):
    mounted = Mounted(tmp_path / "mounted")
    mounted.rotate("first")
    return mounted


def with_token_file(kubeconfig, file):
    text = yaml.safe_load(kubeconfig.read_text())
    text["users"][0]["user"]["tokenFile"] = str(file)
    kubeconfig.write_text(yaml.safe_dump(text))


def test_a_rotated_token_is_sent_by_running_workers_and_by_later_ones(tmp_path, ca, mounted):
    with Issuer(ca) as issuer, Upstream(ca) as upstream:
        config = proxyd_config(ca, [issuer], upstream, workers=1)
        with_token_file(ca.folder / "upstream.kubeconfig", mounted.file)

        def sent(proxyd):
            assert request(proxyd.address, "GET", "/version", ca, token=issuer.mint())[0] == 200
            return upstream.requests[-1].values("Authorization")

        with Proxyd(tmp_path, config) as proxyd:
            worker = proxyd.pids("worker")[0]
            assert sent(proxyd) == ["Bearer first"]
            mounted.rotate("second")
            proxyd.wait_log("cluster has another token", cluster="default")
            # Messages are read before the next batch of connections, or after it: the first request may still go with the old one.
            assert sent(proxyd) in (["Bearer first"], ["Bearer second"])
            assert sent(proxyd) == ["Bearer second"]
            assert proxyd.pids("worker") == [worker]
            # One that starts later begins with the newest.
            os.kill(worker, signal.SIGKILL)
            proxyd.wait_log("child ready", child="worker", count=2)
            assert sent(proxyd) == ["Bearer second"]
            # What is no token is said and changes nothing.
            mounted.rotate("")
            line = proxyd.wait_log("token file not read: its last token stays", cluster="default")
            assert line["reason"] == "it holds no token" and line["file"] == str(mounted.file)
            assert sent(proxyd) == ["Bearer second"]


def test_a_token_that_is_never_there_stops_the_start(tmp_path, ca, mounted):
    with Issuer(ca) as issuer, Upstream(ca) as upstream:
        config = proxyd_config(ca, [issuer], upstream)
        with_token_file(ca.folder / "upstream.kubeconfig", tmp_path / "none")
        checked = Proxyd(tmp_path, config).check()
    assert checked.returncode == 1
    assert f"cannot read {tmp_path}/none: No such file or directory" in checked.stderr
