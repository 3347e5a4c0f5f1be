"""storage.config.keyFile: what authd keeps secret is sealed under a key of the operator's."""
import base64
import os
import subprocess

import pytest

from authd_client import Authd, harness


def key_file(folder, *keys, name="store.key", mode=0o600):
    path = folder / name
    path.write_text("".join(base64.b64encode(k * 32).decode() + "\n" for k in keys))
    path.chmod(mode)
    return path


def sealed(authd, path):
    """Its configuration with a key file, None: without."""
    config = {"path": str(authd.folder / "store")} | ({"keyFile": str(path)} if path else {})
    authd.program.write_config(authd.configuration(storage={"type": "lmdb", "config": config}))
    return authd


def stored(authd):
    return (authd.folder / "store" / "data.mdb").read_bytes()


def refused(authd):
    """What a start is refused with."""
    done = subprocess.run([harness.BUILD / "authd", authd.program.config_file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    return done.stderr


def test_nothing_secret_is_readable_in_the_file_and_everything_lives_on(tmp_path):
    with sealed(Authd(tmp_path), key_file(tmp_path, b"a")) as authd:
        browser = authd.browser()
        tokens = browser.tokens(scope="openid offline_access")
        status, answer = authd.session_token(browser)
        assert status == 200
        authd.ctl("users", "add", "max@example.com", given="a password\n")
        for secret in (b"PRIVATE KEY", answer["id_token"].encode(), b"$2b$10$"):
            assert secret not in stored(authd)
        assert len(authd.ctl_json("stats")["store"]["sealed_by"]) == 16
        authd.program.stop()
        authd.program.start()
        assert authd.session_token(browser)[0] == 200
        assert authd.refresh(tokens["refresh_token"]).status_code == 200
        assert authd.userinfo(tokens["access_token"]).status_code == 200
        other = authd.browser()
        assert other.fill(other.get("/console/"), login="max@example.com", password="a password").url.endswith("/console/")


def test_a_key_file_is_added_changed_and_never_lost(tmp_path):
    with sealed(Authd(tmp_path), None) as authd:
        browser = authd.browser()
        tokens = browser.tokens(scope="openid offline_access")
        kids = {k["kid"] for k in authd.get("/oidc/keys").json()["keys"]}
        assert b"PRIVATE KEY" in stored(authd)
        authd.program.stop()

        def goes_on():
            authd.program.start()
            assert b"PRIVATE KEY" not in stored(authd)
            assert {k["kid"] for k in authd.get("/oidc/keys").json()["keys"]} == kids
            assert authd.session_token(browser)[0] == 200
            assert authd.userinfo(tokens["access_token"]).status_code == 200
            authd.program.stop()

        sealed(authd, key_file(tmp_path, b"a"))
        goes_on()
        sealed(authd, None)
        why = refused(authd)
        assert "sealed under key" in why and "storage.config.keyFile" in why and "choose another folder" in why
        sealed(authd, key_file(tmp_path, b"b"))
        assert "put that key into the file (behind a new one" in refused(authd)
        sealed(authd, key_file(tmp_path, b"b", b"a"))
        goes_on()
        sealed(authd, key_file(tmp_path, b"b"))
        goes_on()
        sealed(authd, key_file(tmp_path, b"a"))
        assert "sealed under key" in refused(authd)
        sealed(authd, key_file(tmp_path, b"b"))
        authd.program.start()


@pytest.mark.parametrize("content,mode,wanted", [
    (None, 0o600, "No such file or directory"),
    (b"", 0o600, "openssl rand -base64 32"),
    (b"x" * 31, 0o600, "openssl rand -base64 32"),
    (b"x" * 33, 0o600, "openssl rand -base64 32"),
    (b"x" * 5000, 0o600, "no key file"),
    (base64.b64encode(b"x" * 31), 0o600, "openssl rand -base64 32"),
    (b"\n".join([base64.b64encode(b"x" * 32)] * 5), 0o600, "at most 4 keys"),
    (b"x" * 32, 0o604, "everybody on this machine may read or change"),
    (b"x" * 32, 0o602, "everybody on this machine may read or change"),
])
def test_a_key_file_that_is_none_is_said(tmp_path, content, mode, wanted):
    path = tmp_path / "store.key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    authd = sealed(Authd(tmp_path), path)
    check = authd.program.check()
    assert check.returncode == 1 and "storage.config.keyFile" in check.stderr and wanted in check.stderr and str(path) in check.stderr
    assert content is None or len(content) < 10 or content.decode() not in check.stderr
    authd.program.close()


def test_raw_bytes_and_a_group_that_may_read_are_fine(tmp_path):
    path = tmp_path / "store.key"
    path.write_bytes(os.urandom(32))
    path.chmod(0o640)
    with sealed(Authd(tmp_path), path) as authd:
        assert authd.browser().sign_in().status_code == 200


def test_another_key_needs_a_restart(tmp_path):
    with sealed(Authd(tmp_path), key_file(tmp_path, b"a")) as authd:
        for change in (key_file(tmp_path, b"b", name="other.key"), None):
            sealed(authd, change)
            authd.program.reload(fails=True)
            assert "storage.config.keyFile: a change needs a restart" in authd.log().splitlines()[-1]
        # The same key with an earlier one behind it is no change.
        sealed(authd, key_file(tmp_path, b"a", b"z"))
        authd.program.reload()
        assert "configuration reloaded" in authd.log().splitlines()[-1]


def test_a_sealed_store_is_backed_up_and_restored_sealed(tmp_path):
    with sealed(Authd(tmp_path), key_file(tmp_path, b"a")) as authd:
        browser = authd.browser()
        browser.sign_in()
        authd.ctl("backup", tmp_path / "b.mdb")
        assert b"PRIVATE KEY" not in (tmp_path / "b.mdb").read_bytes()
        authd.program.stop()
        authd.ctl("restore", tmp_path / "b.mdb")
        authd.program.start()
        assert authd.session_token(browser)[0] == 200
