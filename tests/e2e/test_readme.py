"""README and --help are held against the code: keys of both configurations, path by path, with their defaults; examples; log lines; metrics; links."""
import os
import re
import subprocess

import pytest
import yaml

from harness import BUILD, ROOT

PROGRAMS = {"authd": {"storage.config": "lmdb_table", "signer.config": "local_signer_table", "connectors.config": "github_table"}, "proxyd": {}}

# Where the example shows what a key may be, because its default is nothing, or depends.
SHOWN_OTHERWISE = {"authd": {"oauth2.passwordConnector"}, "proxyd": {"routes.kind"}}

ROW = re.compile(r'(ROW|BLOCK)\("([^"]+)", (\w+)(.*?)\)(?=,\s*(?:ROW|BLOCK|END)\b|\s*\)|,\s*END)', re.S)


def tables(program):
    """name of each table: its rows (key, table below it or None, default or None), read from the parser's source"""
    source = (ROOT / program / "config.c").read_text()
    found = {}
    starts = list(re.finditer(r"^(?:TABLE|ITEMS)\((\w+),|^static const struct config_table (\w+) = \{$", source, re.M))
    for start, end in zip(starts, [s.start() for s in starts[1:]] + [source.index("/* clang-format on */")]):
        rows = []
        for kind, key, second, rest in ROW.findall(source[start.end():end]):
            below = second if kind == "BLOCK" else (re.findall(r"\.table = &(\w+)", rest) or [None])[0]
            fallback = re.findall(r'\.fallback = "([^"]*)"', rest)
            rows.append((key, below, fallback[0] if fallback else None))
        found[start.group(1) or start.group(2)] = rows
    return found


def known(program):
    """path of each key: its default as the parser has it, None where there is none"""
    all_tables = tables(program)
    found = {}

    def walk(name, path):
        for key, below, fallback in all_tables[name]:
            here = f"{path}.{key}".lstrip(".")
            found[here] = fallback
            below = below or PROGRAMS[program].get(here)
            if below:
                walk(below, here)

    walk("root_table", "")
    return found


def paths(node, path=""):
    """path of each key of a YAML tree, lists passed over: its value"""
    if isinstance(node, list):
        return {k: v for item in node for k, v in paths(item, path).items()}
    if not isinstance(node, dict):
        return {}
    found = {}
    for key, value in node.items():
        here = f"{path}.{key}".lstrip(".")
        found[here] = value
        found |= paths(value, here)
    return found


def example(program):
    text = subprocess.run([BUILD / program, "--help"], capture_output=True, text=True, check=True).stdout
    return paths(yaml.safe_load(text.split("CONFIGURATION", 1)[1].split("\n", 1)[1].split("\nSIGNALS", 1)[0]))


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_shows_every_key_of_the_parsers_tables_and_no_other(program):
    source = (ROOT / program / "config.c").read_text()
    rows = len(re.findall(r'(?:ROW|BLOCK)\("', source))
    assert sum(len(t) for t in tables(program).values()) == rows > 80, "a row that this test cannot read"
    shown, there = set(example(program)), set(known(program))
    assert shown - there == set(), "shown by --help, unknown to the parser"
    assert there - shown == set(), "known to the parser, not shown by --help"


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_shows_each_default_as_it_is(program):
    shown = example(program)
    for path, fallback in known(program).items():
        if fallback is not None and path not in SHOWN_OTHERWISE[program]:
            assert shown[path] in (fallback, yaml.safe_load(fallback)), path


README = (ROOT / "README.md").read_text()


def readme_keys():
    """(what stands there, paths): each YAML block, each `a: {b: c}` and each `a.b` of README that is about a configuration"""
    for block in re.findall(r"^```yaml\n(.*?)^```", README, re.S | re.M):
        yield block, set(paths(yaml.safe_load(block)))
    for text in re.findall(r"`([a-zA-Z]\w*: [^`]+)`", README):
        tree = yaml.safe_load(text)
        if isinstance(tree, dict):
            yield text, set(paths(tree))
    for text in re.findall(r"`([a-zA-Z]+(?:(?:\[\])?\.[a-zA-Z]+)+)`", README):
        yield text, {text.replace("[]", "")}


def test_readme_names_no_key_that_nobody_knows():
    everything = [set(known(program)) for program in PROGRAMS]
    roots = {path.split(".")[0] for keys in everything for path in keys}
    # below which key a part of an example belongs that does not say it
    below = ["", "staticClients.", "authentication.", "clusters.", "listen.", "routes.", "storage."]
    refused = re.findall(r'\{ "([\w\[\].]+)", ', (ROOT / "authd" / "config_dex.c").read_text())
    last = {path.rsplit(".", 1)[-1] for keys in everything for path in keys}
    looked_at = 0
    for text, found in readme_keys():
        about_us = {path.split(".")[0] for path in found} & (roots | last if ":" in text else roots)
        if not about_us or found <= {path.replace("[]", "") for path in refused}:
            continue
        looked_at += 1
        assert any({prefix + path for path in found} <= keys for keys in everything for prefix in below), text
    assert looked_at > 40


def test_the_table_of_limits_in_readme_has_their_defaults():
    defaults = known("proxyd")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|", README.split("### Limits", 1)[1].split("\n## ", 1)[0], re.M)
    for keys, shown in rows:
        keys = re.findall(r"`(\w+)`", keys)
        shown = shown.split(", ") if len(shown.split(", ")) == len(keys) else [shown] * len(keys)
        for key, value in zip(keys, shown):
            default = defaults[f"limits.{key}"]
            assert value == default or (default == "0" and not value[0].isdigit()), key
    assert len(rows) >= 8


def test_readmes_examples_of_both_configurations_load(tmp_path, ca, upstream):
    """The files and folders that they name are made, and nothing else of them is changed."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", README, re.S | re.M)
    authd = next(b for b in blocks if b.startswith("issuer:"))
    proxyd = next(b for b in blocks if b.startswith("listen:"))
    routes = next(b for b in blocks if b.startswith("routes:"))
    client = next(b for b in blocks if b.startswith("- id: ci"))
    authd = authd.replace("staticClients:\n", "staticClients:\n" + client)
    proxyd = proxyd.replace("routes:\n", routes)
    for name in ("tls", "gateway"):
        certificate, key = ca.issue(name)
        certificate.rename(tmp_path / f"{name}.pem")
        key.rename(tmp_path / f"{name}.key")
    for name in ("gateway-ca.pem", "internal-ca.pem"):
        (tmp_path / name).write_bytes(ca.file.read_bytes())
    upstream.kubeconfig().rename(tmp_path / "default.kubeconfig")
    environment = {"GITHUB_CLIENT_ID": "a", "GITHUB_CLIENT_SECRET": "b", "CI_SECRET": "c"}
    for program, text in (("authd", authd), ("proxyd", proxyd)):
        file = tmp_path / f"{program}.yaml"
        file.write_text(re.sub(r"/(etc|run|var/lib|var/log)/gatehouse", str(tmp_path), text))
        done = subprocess.run([BUILD / program, "--check", file], capture_output=True, text=True, timeout=30, env=os.environ | environment)
        assert (done.returncode, done.stdout) == (0, f"{file}: ok\n"), done.stderr


def test_log_lines_and_metrics_that_readme_quotes_are_in_the_code():
    source = "".join(f.read_text() for folder in ("authd", "proxyd", "shared") for f in (ROOT / folder).glob("*.c"))
    section = README.split("## Operate by signals", 1)[1].split("\n## ", 1)[0]
    lines = re.findall(r"^kill .* # (.*)$", section, re.M) + re.findall(r"`((?:reload|upgrade): [^`]+|[a-z]+(?: [a-z:]+){2,})`", section)
    assert len(lines) > 12
    for line in lines:
        assert f'"{line}"' in source, line
    families = set(re.findall(r"`gatehouse_(\w+)`", README))
    assert len(families) > 10
    for family in families:
        assert re.search(rf'"gatehouse_{family}"', source), family


def test_links_of_the_documents_lead_somewhere():
    for name in ("README.md", "authd/LIFE-OF-A-LOGIN.md", "proxyd/LIFE-OF-A-REQUEST.md"):
        text = (ROOT / name).read_text()
        headings = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}
        for link in re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text):
            link = link[0] or link[1]
            assert link[1:] in headings if link.startswith("#") else (ROOT / name).parent.joinpath(link).exists(), link
