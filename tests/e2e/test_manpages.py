"""Man pages say what --help says, and that names every key of the configuration."""
import subprocess

import pytest
import yaml

from harness import BUILD, ROOT, password_hash


@pytest.mark.parametrize("program,section,command", [("authd", "8", []), ("authd", "8", ["ctl"]), ("proxyd", "8", []), ("kubectl-gatehouse", "1", [])])
def test_a_man_page_holds_every_line_of_help(program, section, command):
    page = subprocess.run([ROOT / "scripts" / "manpage", BUILD / program, section, *command], capture_output=True, text=True, check=True).stdout
    help_text = subprocess.run([BUILD / program, *command, "--help"], capture_output=True, text=True, check=True).stdout
    assert page.startswith(f".TH {'-'.join([program, *command]).upper()} {section} ")
    plain = page.replace("\\-", "-").replace("\\e", "\\").replace("\\&", "")
    for line in help_text.splitlines():
        words = line.strip().rstrip(":")
        assert words in plain or words.split(" (")[0] in plain, line
    for line in page.splitlines():
        assert not line.startswith(".") or line.split(" ")[0] in (".TH", ".SH", ".nf", ".fi", ".BR"), line


def test_the_example_in_authds_help_is_one(tmp_path):
    """What stands there loads once its placeholders are filled in."""
    text = subprocess.run([BUILD / "authd", "--help"], capture_output=True, text=True, check=True).stdout
    config = yaml.safe_load(text.split("CONFIGURATION", 1)[1].split("\n", 1)[1].split("\nSIGNALS", 1)[0])
    web = config["web"]
    for key in ("https", "tlsCert", "tlsKey", "ctl", "headers"):
        del web[key]
    del config["frontend"]["dir"], config["user"], config["console"], config["revocations"]
    config["enablePasswordDB"] = True
    config["storage"]["config"] = {"path": str(tmp_path / "store")}
    config["staticPasswords"][0] |= {"hash": password_hash("x")}
    del config["staticPasswords"][0]["hashFromEnv"]
    client = config["staticClients"][0]
    del client["idEnv"], client["secretEnv"], client["claims"][0]["from"]
    client |= {"redirectURIs": ["https://app.example/cb"], "logoURL": "https://app.example/l.png", "backchannelLogoutURI": "https://app.example/b"}
    github = config["connectors"][0]["config"]
    for key in ("org", "rootCA", "baseURL", "apiURL"):
        del github[key]
    github |= {"clientID": "a", "clientSecret": "b", "preferredEmailDomain": "example.com"}
    path = tmp_path / "authd.yaml"
    path.write_text(yaml.safe_dump(config))
    done = subprocess.run([BUILD / "authd", "--check", path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
