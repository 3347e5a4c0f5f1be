"""What tests of several files share."""
import pytest

from chromium_driver import start_chromium
from gatehouse import CA, Issuer, Upstream


@pytest.fixture
def ca(tmp_path):
    return CA(tmp_path / "pki")


@pytest.fixture
def issuer(ca):
    with Issuer(ca) as issuer:
        yield issuer


@pytest.fixture
def upstream(ca):
    with Upstream(ca) as upstream:
        yield upstream


@pytest.fixture
def chromium(tmp_path):
    driver = start_chromium(tmp_path)
    yield driver
    driver.quit()
