"""`authd ctl` as an administrator types it: sessions, clients, users, keys, backup and restore, and who may not."""
import concurrent.futures
import json
import os
import pty
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from authd_client import CLI, EMAIL, PASSWORD, Authd, harness

AUTHD = harness.BUILD / "authd"
root_only = pytest.mark.skipif(os.getuid() != 0, reason="needs to become somebody else")


def run(*arguments, **more):
    return subprocess.run([AUTHD, "ctl", *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **more)


@pytest.fixture
def authd(tmp_path):
    with Authd(tmp_path) as running:
        yield running


# ---- the command line ----


def test_help_and_wrong_usage(tmp_path):
    everything = run("--help")
    assert everything.returncode == 0 and "backup FILE" in everything.stdout and "Exit status" in everything.stdout
    some = run("users", "--help")
    assert some.returncode == 0 and "users passwd" in some.stdout and "backup FILE" not in some.stdout
    for wrong in ([], ["nosuch"], ["users"], ["users", "nosuch"], ["users", "list", "more"], ["users", "add"], ["users", "list", "--nosuch"],
                  ["stats", "--output", "xml"], ["stats", "--output"], ["keys", "list", "--user", "x"], ["sessions", "end"],
                  ["sessions", "end", "a", "--all"], ["sessions", "end", "--all=yes"], ["sessions", "end", "a", "--connector", "x"], ["-x"],
                  ["sessions", "list", "--kind", "odd"], ["clients", "add", "x"], ["clients", "add", "x", "--name", "X"], ["clients", "add", "--name", "X", "--public"],
                  ["clients", "set", "x"], ["clients", "set", "--public"], ["clients", "show"], ["keys", "rotate", "--alg"], ["users", "add", "a@b", "--cost", "9"]):
        done = run("--config", "/nonexistent.yaml", *wrong)
        assert done.returncode == 2 and done.stderr, (wrong, done)


def test_every_option_that_help_names_is_one():
    text = run("--help").stdout
    commands = re.findall(r"^  (\w+(?: [a-z]+)?)((?: .*)?(?:\n        (?:[\[|].*))*)\n        ", text.split("Only root", 1)[1], re.MULTILINE)
    assert len(commands) >= 14
    for name, arguments in commands:
        for option in re.findall(r"--([a-z-]+)", arguments):
            done = run("--config", "/nonexistent.yaml", *name.split(), f"--{option}=x")
            assert "has no option" not in done.stderr, (name, option, done.stderr)


def test_what_readme_types_works(authd, tmp_path):
    section = (harness.ROOT / "README.md").read_text().split("\n## Administer", 1)[1].split("\n## ", 1)[0]
    lines = [line.split(" #")[0].split() for line in section.splitlines() if line.startswith("authd ctl ")]
    assert {line[2] for line in lines} == {"sessions", "users", "clients", "keys", "stats", "backup", "restore"}
    authd.browser().sign_in()
    given = {"users": "a password\n"}
    for line in lines:
        if line[2] == "restore":
            authd.program.stop()
        arguments = [str(tmp_path / word.rsplit("/", 1)[1]) if word.startswith("/") else word for word in line[2:]]
        authd.ctl(*arguments, given=given.get(line[2]))
    authd.program.start()
    assert [u["email"] for u in authd.ctl_json("users", "list")] == [EMAIL, "max@example.com"]
    assert authd.ctl_json("sessions", "list") == []


def test_an_authd_that_is_not_there_is_exit_3(tmp_path):
    stopped = Authd(tmp_path)
    done = stopped.ctl("stats", status=3)
    assert "store/ctl.sock: there is no such socket: is authd running" in done.stderr
    assert "cannot be read" in run("--config", "/nonexistent.yaml", "stats").stderr or run("--config", "/nonexistent.yaml", "stats").returncode == 1
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    done = run("--socket", tmp_path / "dead.sock", "stats")
    assert done.returncode == 3 and "does not answer" in done.stderr
    stopped.program.close()


def test_the_configuration_is_used_though_its_secrets_are_not_at_hand(tmp_path):
    """An administrator's shell has not the environment of the service."""
    authd = Authd(tmp_path)
    config = authd.configuration()
    config["staticClients"][1] |= {"secret": "", "secretEnv": "GH_CTL_SECRET"}
    config["storage"]["config"]["path"] = "$GH_CTL_FOLDER/store"
    authd.program.env = {"GH_CTL_SECRET": "x", "GH_CTL_FOLDER": str(tmp_path)}
    authd.program.write_config(config)
    with authd:
        done = authd.ctl("stats", status=1)
        assert "GH_CTL_FOLDER" in done.stderr and "--socket" in done.stderr
        authd.ctl("stats", env=os.environ | {"GH_CTL_FOLDER": str(tmp_path)})
        authd.ctl("stats", "--socket", tmp_path / "store" / "ctl.sock")


def test_web_ctl_names_another_socket_and_a_reload_moves_it(tmp_path):
    authd = Authd(tmp_path)
    web = authd.configuration()["web"]
    authd.program.write_config(authd.configuration(web=web | {"ctl": str(tmp_path / "one.sock")}))
    with authd:
        assert f"for_operators=unix:{tmp_path}/one.sock" in authd.log()
        authd.ctl("stats")
        authd.program.write_config(authd.configuration(web=web | {"ctl": str(tmp_path / "two.sock")}))
        authd.program.reload()
        authd.ctl("stats")
        assert not (tmp_path / "one.sock").exists()
    assert not (tmp_path / "two.sock").exists()


# ---- who may ask ----


def ask_as_nobody(path):
    """What somebody else gets from the socket: the answer's first line, or the error's name."""
    script = """
import os, socket, sys
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
try:
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
    s.sendall(b"GET /internal/ctl/users HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n")
    answer = b""
    while chunk := s.recv(65536):
        answer += chunk
    print(answer.decode())
except OSError as e:
    print(type(e).__name__)
"""
    return subprocess.run(["/usr/bin/python3", "-c", script, path], capture_output=True, text=True, timeout=60, check=True).stdout


@root_only
def test_somebody_else_is_refused_by_the_socket_and_where_that_was_opened_by_authd(authd, tmp_path):
    path = tmp_path / "store" / "ctl.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    harness.open_to_all(tmp_path)
    (tmp_path / "store").chmod(0o755)
    assert "PermissionError" in ask_as_nobody(path)
    path.chmod(0o666)
    answer = ask_as_nobody(path)
    assert answer.startswith("HTTP/1.1 403 ") and EMAIL not in answer and "only root and the user that authd runs as" in answer
    assert 'msg="control request refused" uid=65534' in authd.log()
    done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", AUTHD, "ctl", "--socket", path, "users", "list"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "only root and the user that authd runs as" in done.stderr
    authd.ctl("users", "list")


def test_the_gateways_socket_and_the_public_address_know_nothing_of_it(authd):
    for path in ("/internal/ctl/users", "/oidc/internal/ctl/users", "/internal/ctl/stats"):
        assert authd.over_socket("GET", path)[0] == 404
        assert authd.get(path).status_code == 404


# ---- users ----


def test_an_id_may_begin_with_a_dash(authd):
    """Random ids are base64url."""
    for dashes in ("-", "--"):
        user_id = dashes + "tBr8kRuwxpLuDorzNd07"
        authd.ctl("users", "add", f"dash{len(dashes)}@example.com", f"--user-id={user_id}", given="first password\n")
        authd.ctl("users", "passwd", *(["--"] if dashes == "--" else []), user_id, given="second password\n")
        authd.ctl("users", "remove", *(["--"] if dashes == "--" else []), user_id)
    assert "there is no option -t" in authd.ctl("users", "passwd", "-t", given="x\n", status=2).stderr


def test_a_user_is_added_signs_in_gets_another_password_and_is_removed(authd):
    added = authd.ctl_json("users", "add", "max@example.com", "--username", "max", "--name", "Max M", "--group", "ops", "--group", "a,b",
                           given="first password\n")
    user_id = added["user_id"]
    browser = authd.browser()
    page = browser.fill(browser.get("/console/"), login="max", password="first password")
    assert page.url.endswith("/console/") and "Max M" in page.text and "a,b" in page.text
    tokens = browser.tokens(scope="openid email groups offline_access")
    claims = authd.verified(tokens["id_token"], CLI)
    assert claims["email"] == "max@example.com" and claims["groups"] == ["ops", "a,b"] and claims["email_verified"]
    (row,) = [u for u in authd.ctl_json("users", "list") if u["source"] == "stored"]
    assert row["user_id"] == user_id and row["username"] == "max" and row["groups"] == ["ops", "a,b"]
    assert not {"hash", "password"} & set(row)

    authd.ctl("users", "passwd", "MAX@example.com", given="second password\n")
    again = authd.browser()
    assert again.fill(again.get("/console/"), login="max", password="first password").status_code == 401
    assert again.fill(again.get("/console/"), login="max", password="second password").url.endswith("/console/")
    assert authd.session_token(browser)[0] == 200  # a new password leaves sessions alone, unless told
    authd.ctl("users", "passwd", user_id, "--end-sessions", given="third password\n")
    assert authd.session_token(browser)[0] == 401 and authd.refresh(tokens["refresh_token"]).status_code == 400

    last = authd.browser()
    last.fill(last.get("/console/"), login="max", password="third password")
    assert authd.session_token(last)[0] == 200
    done = authd.ctl("users", "remove", "max")
    assert "removed: max" in done.stdout and "ended: 1 browser sessions" in done.stdout
    assert authd.session_token(last)[0] == 401
    assert last.fill(last.get("/console/"), login="max", password="third password").status_code == 401
    assert "nobody stored has" in authd.ctl("users", "remove", "max", status=1).stderr


def test_users_survive_a_restart_and_configured_ones_win(authd):
    authd.ctl("users", "add", "max@example.com", given="a password\n")
    done = authd.ctl("users", "add", EMAIL.upper(), given="a password\n", status=1)
    assert "somebody has the address" in done.stderr
    assert "staticPasswords" in authd.ctl("users", "remove", EMAIL, status=1).stderr
    authd.program.stop()
    authd.program.start()
    browser = authd.browser()
    assert browser.fill(browser.get("/console/"), login="max@example.com", password="a password").url.endswith("/console/")
    # From now on the configuration has that address: its password counts, and the list says so.
    config = authd.configuration()
    config["staticPasswords"].append(config["staticPasswords"][0] | {"email": "max@example.com", "username": "m", "userID": "other"})
    authd.program.write_config(config)
    authd.program.reload()
    other = authd.browser()
    assert other.fill(other.get("/console/"), login="max@example.com", password="a password").status_code == 401
    assert other.fill(other.get("/console/"), login="max@example.com", password=PASSWORD).url.endswith("/console/")
    assert [u["shadowed"] for u in authd.ctl_json("users", "list") if u["source"] == "stored"] == [True]


def test_a_hash_instead_of_a_password_and_without_passwords_nobody(authd):
    authd.ctl("users", "add", "h@example.com", "--hash-stdin", "--user-id", "from-dex", given=harness.password_hash("brought along") + "\n")
    browser = authd.browser()
    assert browser.fill(browser.get("/console/"), login="h@example.com", password="brought along").url.endswith("/console/")
    assert "too easy" in authd.ctl("users", "add", "i@example.com", "--hash-stdin", given=harness.password_hash("x").replace("$10$", "$05$"), status=2).stderr
    for bad in ("", "\n", "x" * 73 + "\n"):
        assert "password: expected" in authd.ctl("users", "add", "j@example.com", given=bad, status=2).stderr


def test_a_password_is_asked_for_twice_and_not_shown(authd):
    def at_terminal(*lines):
        """Exit status and everything that the terminal showed."""
        ours, theirs = pty.openpty()
        command = [AUTHD, "ctl", "--config", authd.program.config_file, "users", "add", "tty@example.com"]
        child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                 preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
        os.close(theirs)
        shown, sent = b"", 0
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the last one has left the terminal
                break
            if sent < len(lines) and shown.count(b": ") > sent:
                os.write(ours, lines[sent])
                sent += 1
        os.close(ours)
        return child.wait(60), shown.decode()

    status, shown = at_terminal(b"typed passwordX\x7f\r", b"other\r")
    assert status == 1 and "not the same" in shown and "typed" not in shown
    status, shown = at_terminal(b"abc\x03")
    assert status == 1 and "given up" in shown
    status, shown = at_terminal(b"junk\x15typed passwordX\x7f\r", b"typed password\r")
    assert status == 0 and "typed" not in shown and "added: tty@example.com" in shown
    browser = authd.browser()
    assert browser.fill(browser.get("/console/"), login="tty@example.com", password="typed password").url.endswith("/console/")


# ---- sessions ----


def test_sessions_are_listed_and_ended_by_id_and_by_person(authd):
    browsers = [authd.browser() for _ in range(3)]
    for b in browsers:
        b.sign_in()
    tokens = browsers[0].tokens(scope="openid offline_access")
    sessions = authd.ctl_json("sessions", "list")
    assert sorted(s["kind"] for s in sessions) == ["browser"] * 3 + ["offline"]
    sid = authd.verified(tokens["id_token"], CLI)["sid"]
    (offline,) = [s for s in sessions if s["kind"] == "offline"]
    (its_browser,) = [s for s in sessions if s["kind"] == "browser" and s["sid"] == sid]
    assert offline["sid"] == sid and offline["client"] == CLI and its_browser["address"] == "127.0.0.1" and "python" in its_browser["user_agent"]
    table = authd.ctl("sessions", "list", "--user", EMAIL).stdout.splitlines()
    assert table[0].split()[:3] == ["SID", "KIND", "USER"] and len(table) == 5 and EMAIL in table[1]
    assert authd.ctl("sessions", "list", "--user", "nobody").stdout == "none\n"
    assert authd.ctl_json("sessions", "list", "--connector", "github") == []

    assert "ended: 1 browser sessions" in authd.ctl("sessions", "end", sid).stdout
    assert [authd.session_token(b)[0] for b in browsers] == [401, 200, 200]
    assert sid in authd.over_socket("GET", "/internal/revocations")[2].decode()
    assert authd.refresh(tokens["refresh_token"]).status_code == 400
    assert "nobody is signed in" in authd.ctl("sessions", "end", sid, status=1).stderr
    assert authd.ctl_json("sessions", "end", "--user", EMAIL)["ended"] == {"browser": 2, "offline": 0}
    assert [authd.session_token(b)[0] for b in browsers] == [401, 401, 401]
    assert f"session ended by an administrator\" sid={sid}" in authd.log()


def test_refresh_tokens_that_outlive_their_browser_are_ended_too(authd):
    browser = authd.browser()
    tokens = browser.tokens(scope="openid offline_access")
    sid = authd.verified(tokens["id_token"], CLI)["sid"]
    browser.http.cookies.clear()
    assert authd.ctl_json("sessions", "end", "--client", CLI)["ended"] == {"browser": 0, "offline": 1}
    assert authd.refresh(tokens["refresh_token"]).status_code == 400
    assert [s["sid"] for s in authd.ctl_json("sessions", "list")] == [sid]
    authd.ctl("sessions", "end", "--all")
    assert authd.ctl_json("sessions", "list") == []


# ---- answers ----


class Answering:
    """Somebody at a socket who gives one answer to each request."""

    def __init__(self, path, body, status="200 OK"):
        self.body, self.status = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode(), status
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                s = self.listener.accept()[0]
            except OSError:
                return
            with s:
                while b"\r\n\r\n" not in s.recv(65536):
                    pass
                s.sendall(f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n\r\n".encode() + self.body)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def test_nothing_that_is_answered_reaches_the_terminal_as_a_command(tmp_path):
    user = {"email": "a\x1b]0;owned\x07b", "username": "\u009b31mred", "user_id": "x" * 100, "groups": ["caf\u00e9", "\r\n"], "shadowed": True}
    with Answering(tmp_path / "s", {"items": [user]}):
        table = run("--socket", tmp_path / "s", "users", "list").stdout
        listed = json.loads(run("--socket", tmp_path / "s", "--output", "json", "users", "list").stdout)
    assert listed == [user]
    assert not set(table) & set("\x1b\x07\u009b\r") and len(table.splitlines()) == 2
    assert "a?]0;owned?b" in table and "?31mred" in table and "caf\u00e9,??" in table and "x" * 60 + "\u2026" in table and "yes" in table


@pytest.mark.parametrize("body,status,wanted", [
    (b"<html>", "200 OK", "makes no sense"),
    (b"[]", "200 OK", "makes no sense"),
    (b"", "200 OK", "makes no sense"),
    ({"error": "no such luck"}, "409 Conflict", "no such luck"),
    (b"<html>", "403 Forbidden", "answered 403"),
    ({"error": 7}, "500 Oops", "answered 500"),
])
def test_odd_answers_are_failures_that_say_so(tmp_path, body, status, wanted):
    with Answering(tmp_path / "s", body, status):
        done = run("--socket", tmp_path / "s", "stats")
    assert done.returncode == 1 and wanted in done.stderr and not done.stdout


# ---- keys, numbers ----


def test_keys_are_listed_and_rotated(authd):
    (active,) = authd.ctl_json("keys", "list")
    assert active["state"] == "active" and active["alg"] == "RS256"
    after = authd.ctl_json("keys", "rotate")
    assert sorted(k["state"] for k in after) == ["active", "next"]
    assert {k["kid"] for k in after} == {k["kid"] for k in authd.get("/oidc/keys").json()["keys"]}
    assert "PRIVATE" not in authd.ctl("keys", "list").stdout


def test_stats(authd):
    authd.browser().sign_in()
    stats = authd.ctl_json("stats")
    assert stats["issuer"] == authd.issuer and stats["store"]["records"]["session"] == 1 and stats["store"]["healthy"] is True
    assert re.search(r"^store\.records\.session +1$", authd.ctl("stats").stdout, re.MULTILINE)


def test_output_that_cannot_be_written_is_a_failure(authd):
    with open("/dev/full", "w") as full:
        done = subprocess.run([AUTHD, "ctl", "--config", authd.program.config_file, "stats"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "cannot write" in done.stderr


# ---- backup, restore ----


def signed_in(authd):
    browser = authd.browser()
    return browser, browser.tokens(scope="openid offline_access")


def test_a_backup_under_writes_restores_to_what_was_acknowledged_before_it(authd, tmp_path):
    before = [signed_in(authd) for _ in range(3)]
    kids = {k["kid"] for k in authd.get("/oidc/keys").json()["keys"]}
    done = threading.Event()

    def writing():
        n = 0
        while not done.is_set():
            signed_in(authd)
            n += 1
        return n

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(writing) for _ in range(2)]
        try:
            for i in range(5):
                report = authd.ctl_json("backup", tmp_path / f"{i}.mdb")
                assert report["records"]["session"] >= 3 and report["records"]["key"] == 1
        finally:
            done.set()
        assert all(w.result() for w in writers)
    assert stat.S_IMODE((tmp_path / "4.mdb").stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.glob("*.mdb*")) == [f"{i}.mdb" for i in range(5)]
    assert "another authd has it open" in authd.ctl("restore", tmp_path / "0.mdb", status=1).stderr.replace("an authd", "another authd")
    late = signed_in(authd)
    authd.program.stop()
    restored = authd.ctl_json("restore", tmp_path / "0.mdb")
    assert (tmp_path / "store" / restored["kept"]).stat().st_size > 0
    authd.program.start()
    assert {k["kid"] for k in authd.get("/oidc/keys").json()["keys"]} == kids
    for browser, tokens in before:
        assert authd.session_token(browser)[0] == 200
        assert authd.refresh(tokens["refresh_token"]).status_code == 200
        assert authd.userinfo(tokens["access_token"]).status_code == 200
    assert authd.session_token(late[0])[0] == 401
    assert signed_in(authd)


def test_readers_of_the_news_notice_that_a_backup_was_restored(authd, tmp_path):
    def news():
        return json.loads(authd.over_socket("GET", "/internal/revocations")[2])

    browsers = [authd.browser() for _ in range(2)]
    for b in browsers:
        b.sign_in()
    sids = [s["sid"] for s in authd.ctl_json("sessions", "list")]
    authd.ctl("sessions", "end", sids[0])
    authd.ctl("backup", tmp_path / "b.mdb")
    before = news()
    authd.ctl("sessions", "end", sids[1])
    authd.program.stop()
    authd.ctl("restore", tmp_path / "b.mdb")
    authd.program.start()
    after = news()
    assert after["epoch"] != before["epoch"] and [n["sid"] for n in after["revoked"]] == [sids[0]]
    authd.ctl("sessions", "end", sids[1])
    assert sorted(n["sid"] for n in news()["revoked"]) == sorted(sids) and news()["sequence"] == before["sequence"] + 1


def test_kill_9_at_any_moment_of_a_backup_leaves_a_whole_file_or_none(authd, tmp_path):
    for _ in range(3):
        signed_in(authd)
    folder = tmp_path / "backups"
    folder.mkdir()
    target = folder / "b.mdb"
    random.seed(7)
    command = [AUTHD, "ctl", "--config", authd.program.config_file, "backup", target]
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    whole_s = time.monotonic() - started
    target.unlink()
    for _ in range(40):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(random.uniform(0, whole_s))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
        if target.exists():
            store = tmp_path / "trial"
            shutil.rmtree(store, ignore_errors=True)
            store.mkdir()
            assert run("restore", "--store", store, target).returncode == 0
            target.unlink()
    authd.ctl("backup", target)
    assert signed_in(authd)  # a reader that was killed keeps nobody from writing


def test_what_is_no_backup_is_refused_and_changes_nothing(authd, tmp_path):
    browser, _ = signed_in(authd)
    good = tmp_path / "good.mdb"
    authd.ctl("backup", good)
    authd.program.stop()
    bad = {"empty": b"", "text": b"not a database\n" * 1000, "cut": good.read_bytes()[:-1], "half": good.read_bytes()[: good.stat().st_size // 2]}
    before = (tmp_path / "store" / "data.mdb").read_bytes()
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        done = authd.ctl("restore", tmp_path / name, status=1)
        assert str(tmp_path / name) in done.stderr and "another backup" in done.stderr
    assert "nosuch" in authd.ctl("restore", tmp_path / "nosuch", status=1).stderr
    assert "no such folder" in run("restore", "--store", tmp_path / "nosuch", good).stderr
    assert (tmp_path / "store" / "data.mdb").read_bytes() == before
    authd.program.start()
    assert authd.session_token(browser)[0] == 200


def test_a_backup_goes_to_standard_output_and_not_to_a_place_that_cannot_take_it(authd, tmp_path):
    signed_in(authd)
    command = [AUTHD, "ctl", "--config", authd.program.config_file, "backup"]
    (tmp_path / "piped.mdb").write_bytes(subprocess.run([*command, "-"], check=True, capture_output=True, timeout=60).stdout)
    store = tmp_path / "other"
    store.mkdir()
    assert json.loads(run("--output", "json", "restore", "--store", store, tmp_path / "piped.mdb").stdout)["records"]["session"] == 1
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*command, "-"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "make room" in done.stderr
    assert "No such file" in authd.ctl("backup", "/nonexistent/b.mdb", status=1).stderr
    assert "it is a folder" in authd.ctl("backup", tmp_path, status=1).stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "there is no database" in run("backup", "--store", empty, tmp_path / "x.mdb").stderr
    assert not (tmp_path / "x.mdb").exists()


@root_only
def test_root_backs_up_and_restores_for_an_authd_that_runs_as_somebody_else(tmp_path):
    authd = Authd(tmp_path)
    harness.open_to_all(tmp_path)
    (tmp_path / "store").mkdir()
    os.chown(tmp_path / "store", 65534, 65534)
    tmp_path.chmod(0o777)
    os.chmod(authd.program.notify_path, 0o777)
    authd.program.write_config(authd.configuration(user="nobody"))
    with authd:
        browser, _ = signed_in(authd)
        authd.ctl("users", "add", "max@example.com", given="a password\n")
        authd.ctl("backup", tmp_path / "b.mdb")
        assert (tmp_path / "b.mdb").stat().st_uid == 0
        authd.program.stop()
        authd.ctl("restore", tmp_path / "b.mdb")
        assert {p.stat().st_uid for p in (tmp_path / "store").iterdir()} == {65534}
        authd.program.start()
        assert authd.session_token(browser)[0] == 200
