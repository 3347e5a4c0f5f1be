"""The project's own checkers find what they are there to find."""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def tree(tmp_path):
    """A small tree in order, with a copy of the scripts."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for folder in ("shared", "oidc/login", "authd", "proxyd", "tests"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "shared/a.h").write_text("#ifndef A\n#define A\n#endif\n")
    (tmp_path / "oidc/b.h").write_text('#include "shared/a.h"\n')
    (tmp_path / "authd/c.c").write_text('#include "oidc/b.h"\nint\nserve(int n,\n\tint m)\n{\n\treturn n + m;\n}\nint other(void);\n')
    (tmp_path / "proxyd/d.c").write_text('#include "shared/a.h"\nstatic int relay(void)\n{\n\treturn 1;\n}\n')
    steps = "".join(f"{i}. `{{0}}` - knows something\n" for i in range(1, 10))
    (tmp_path / "authd/LIFE-OF-A-LOGIN.md").write_text(steps.format("authd/c.c:serve"))
    (tmp_path / "proxyd/LIFE-OF-A-REQUEST.md").write_text(steps.format("d.c:relay"))
    return tmp_path


def run(tree, script):
    done = subprocess.run([tree / "scripts" / script], capture_output=True, text=True)
    return done.returncode, done.stdout


def test_a_tree_in_order_passes(tree):
    assert run(tree, "check-includes")[0] == 0
    assert run(tree, "check-life")[0] == 0


@pytest.mark.parametrize(
    "file, line, words",
    [
        ("shared/x.c", '#include "oidc/b.h"', 'shared must not include "oidc/b.h"'),
        ("proxyd/x.c", '#include "authd/x.h"', "does not exist"),
        ("authd/x.c", '#include "proxyd/y.h"', 'authd must not include "proxyd/y.h"'),
        ("oidc/x.c", '#include "oidc/login/z.h"', 'oidc must not include "oidc/login/z.h"'),
        ("proxyd/x.c", "#include <lmdb.h>", "belongs to authd/store*.c alone"),
        ("authd/login.c", "# include <microhttpd.h>", "<microhttpd.h> belongs to"),
        ("authd/x.c", '#include "c.h"', "does not exist"),
    ],
)
def test_an_include_out_of_order_is_named(tree, file, line, words):
    (tree / "proxyd/y.h").write_text("")
    (tree / "oidc/login/z.h").write_text("")
    (tree / file).write_text(line + "\n")
    status, said = run(tree, "check-includes")
    assert status == 1 and words in said and f"{file}:1" in said


def test_headers_in_a_circle_are_named(tree):
    (tree / "oidc/p.h").write_text('#include "oidc/q.h"\n')
    (tree / "oidc/q.h").write_text('#include "oidc/p.h"\n')
    status, said = run(tree, "check-includes")
    assert status == 1 and "oidc/p.h -> oidc/q.h -> oidc/p.h" in said


@pytest.mark.parametrize(
    "text, words",
    [
        ("1. `authd/c.c:nosuch` - x\n", "defines no nosuch()"),
        ("1. `authd/c.c:other` - declared, not defined\n", "defines no other()"),
        ("1. `authd/nosuch.c:serve` - x\n", "no such file"),
        ("1. nothing is named here\n", "names no file:function"),
        ("1. `authd/c.c:serve` - x\n", "1 steps"),
    ],
)
def test_a_walk_that_names_what_is_not_there_is_refused(tree, text, words):
    (tree / "authd/LIFE-OF-A-LOGIN.md").write_text(text)
    status, said = run(tree, "check-life")
    assert status == 1 and words in said


def test_a_missing_walk_is_refused(tree):
    (tree / "proxyd/LIFE-OF-A-REQUEST.md").unlink()
    status, said = run(tree, "check-life")
    assert status == 1 and "proxyd/LIFE-OF-A-REQUEST.md: missing" in said


def tiers(tree, *commands):
    """Groups of tests as scripts/check runs them, and its closing line."""
    lines = "".join(f"tier t{i} 1 sh -c '{command}'\n" for i, command in enumerate(commands))
    script = f"set -euo pipefail\n. {tree}/scripts/lib.sh\n. {tree}/scripts/lib-check.sh\n{lines}close_check\n"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()


GOOD = 'echo "7 passed, 0 failed"'


@pytest.mark.parametrize(
    "commands, status, closing",
    [
        ([GOOD, 'echo "3 passed in 0.5s"'], 0, "10 passed, 0 failed"),
        ([GOOD, 'echo "1 failed, 2 passed, 1 skipped in 1.2s"; exit 1'], 1, "9 passed, 1 failed"),
        (['echo "2 passed, 1 warning, 3 errors in 1.2s"; exit 1', GOOD], 1, "9 passed, 3 failed"),
        ([GOOD, "exit 3"], 1, "7 passed, 1 failed"),
        ([GOOD, "echo no test here"], 1, "7 passed, 1 failed"),
        ([GOOD, 'echo "4 passed, 0 failed"; exit 2'], 1, "11 passed, 1 failed"),
    ],
)
def test_the_closing_line_sums_all_groups_and_no_failure_is_lost(tree, commands, status, closing):
    ended, said = tiers(tree, *commands)
    assert (ended, said[-1]) == (status, closing)
    assert sum(line.endswith("failed") for line in said) == 1  # the sum is the only line of that form


CMOCKA = """#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
static void good(void **s) { (void)s; }
static void bad(void **s) { (void)s; assert_int_equal(1, 2); }
int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(good), cmocka_unit_test(bad), cmocka_unit_test(good) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
"""


def test_unit_tests_are_counted_once_and_a_program_that_dies_counts_as_a_failure(tmp_path):
    source, program, dies = tmp_path / "t.c", tmp_path / "t", tmp_path / "dies"
    source.write_text(CMOCKA)
    subprocess.run(["cc", "-o", program, source, "-lcmocka"], check=True)
    dies.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dies.chmod(0o755)
    done = subprocess.run([ROOT / "tests/run-unit", program, dies], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.splitlines()[-1] == "2 passed, 2 failed"


def test_scripts_install_every_library_that_the_build_asks_for():
    make = (ROOT / "GNUmakefile").read_text()
    wanted = {pair.split("=")[1] for pair in re.search(r"^PACKAGES := ((?:.*\\\n)*.*)", make, re.MULTILINE).group(1).replace("\\\n", " ").split()}
    listed = subprocess.run(["bash", "-c", f'. {ROOT}/scripts/lib.sh; echo "${{PACKAGES_BUILD[@]}}"'], capture_output=True, text=True)
    assert len(wanted) > 5 and wanted <= set(listed.stdout.split())
