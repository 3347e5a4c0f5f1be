"""h2spec (built once by scripts/cluster-parts) against the gateway: answers of its own, and answers that come from behind it."""
import re
import subprocess

import harness
import pytest


@pytest.fixture(scope="session")
def h2spec():
    return harness.part("h2spec") / "h2spec"


@pytest.mark.parametrize("path", ["/", "/oidc/.well-known/openid-configuration"], ids=["own", "relayed"])
def test_h2spec_finds_nothing(gateway, h2spec, path):
    command = [h2spec, "--tls", "--insecure", "--strict", "--host", "localhost", "--port", str(gateway.port), "--path", path]
    judged = subprocess.run(command, capture_output=True, text=True, timeout=240)
    total, passed, skipped, failed = map(int, re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", judged.stdout).groups())
    assert (passed, skipped, failed) == (total, 0, 0), judged.stdout[judged.stdout.find("Failures") :]
    assert total >= 146
