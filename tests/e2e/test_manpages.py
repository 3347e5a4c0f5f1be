"""Man pages say what --help says."""
import subprocess

import pytest

from harness import BUILD, ROOT


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
