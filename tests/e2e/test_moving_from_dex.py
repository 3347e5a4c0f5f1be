"""Configurations of the shapes that dex publishes: each loads, or says line by line what to change until it does. README, "Moving from dex", promises it."""
import os
import pathlib
import subprocess

import pytest
import yaml

import harness

CONFIGS = pathlib.Path(__file__).resolve().parent / "configs"


def check(path, **environment):
    done = subprocess.run([harness.BUILD / "authd", "--check", path], capture_output=True, text=True, timeout=20, env=os.environ | environment, check=False)
    return done.returncode, (done.stdout + done.stderr).replace(str(path), "FILE").strip()


def refusal(path, message):
    code, text = check(path)
    assert code == 1 and message in text, f"wanted: {message}\nfound: {text}"


def drop(*path):
    """An edit: the key or item at a path is taken out."""
    def edit(config):
        for step in path[:-1]:
            config = config[step]
        del config[path[-1]]
    return edit


def put(value, *path):
    def edit(config):
        for step in path[:-1]:
            config = config[step]
        config[path[-1]] = value
    return edit


LMDB = put({"type": "lmdb", "config": {"path": "/var/lib/gatehouse"}}, "storage")
KNOWN = "is known to dex and not carried by authd yet"


def moved(tmp_path, name, steps):
    """Each step: what is said of the file as it stands, and the edit that follows it. In the end it loads."""
    path = tmp_path / name
    path.write_text((CONFIGS / name).read_text())
    config = yaml.safe_load(path.read_text())
    for message, edit in steps:
        refusal(path, message)
        edit(config)
        path.write_text(yaml.safe_dump(config))
    assert check(path) == (0, "FILE: ok")


def test_the_development_configuration_moves_by_what_it_is_told(tmp_path):
    moved(tmp_path, "dex-development.yaml", [
        (f"grpc: {KNOWN}: remove it (clients and people stand in this file, which a HUP reads again, or are added by authd ctl)", drop("grpc")),
        ("storage.type: expected `type: lmdb` with `config: {path: /var/lib/gatehouse}`", LMDB),
        (f'connectors[0].type: "mockCallback" {KNOWN}: remove this connector', drop("connectors")),
    ])


def test_the_distributed_configuration_moves_by_what_it_is_told(tmp_path):
    cert, key = harness.Certificates(tmp_path / "pki").issue("dex", "/CN=dex", "DNS:dex.example.com")

    def certificates(config):
        config["web"] |= {"tlsCert": str(cert), "tlsKey": str(key)}

    moved(tmp_path, "dex-distribution.yaml", [
        ("web.tlsCert: expected a readable file, found $TLS_FOLDER/tls.crt: No such file or directory", certificates),  # dex expands no variable here either
        ("storage.type: expected `type: lmdb`", LMDB),
        (f'connectors[0].type: "ldap" {KNOWN}: remove this connector', drop("connectors")),
        ("connectors: expected a connector, or enablePasswordDB: true", put(True, "enablePasswordDB")),
    ])


def test_the_github_configuration_loads_as_it_is(tmp_path):
    environment = {"STATE_FOLDER": str(tmp_path / "state"), "GITHUB_CLIENT_ID": "id", "GITHUB_CLIENT_SECRET": "secret", "KUBERNETES_CLIENT_ID": "kubernetes",
                   "KUBERNETES_CLIENT_SECRET": "secret"}
    assert check(CONFIGS / "dex-github.yaml", **environment) == (0, "FILE: ok")
    for name in environment:
        code, text = check(CONFIGS / "dex-github.yaml", **(environment | {name: ""}))
        assert code == 1, f"{name} is empty\n{text}"


def test_a_misspelt_key_is_named_with_its_line_and_the_key_that_was_meant():
    refusal(CONFIGS / "dex-misspelt.yaml", 'FILE:13: connectors[0].config.orrgs: expected a known key (the nearest is "orgs"), found an unknown one')


@pytest.mark.parametrize("kind", ["memory", "sqlite3", "postgres", "mysql", "kubernetes", "etcd"])
def test_every_other_storage_is_told_what_to_write_instead(tmp_path, kind):
    path = tmp_path / "config.yaml"
    config = yaml.safe_load((CONFIGS / "dex-misspelt.yaml").read_text())
    path.write_text(yaml.safe_dump(config | {"storage": {"type": kind, "config": {"file": "x"}}}))
    refusal(path, f'storage.type: expected `type: lmdb` with `config: {{path: /var/lib/gatehouse}}`: authd keeps its state in a folder of its own; found "{kind}"')
