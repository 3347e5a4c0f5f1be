"""What tests of several files share."""
import pytest

from authd_client import Authd
from callers import JANES
from chromium_driver import start_chromium
from gatehouse import CA, Issuer, Upstream
from held import Held


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


@pytest.fixture
def held(ca, tmp_path):
    with Held(ca, tmp_path / "held.sock") as held:
        yield held


@pytest.fixture
def tokens(tmp_path):
    file = tmp_path / "tokens.csv"
    file.write_text(f'{JANES},jane,7,"dev,ops"\n')
    return file


@pytest.fixture(scope="module")
def authd(tmp_path_factory):
    with Authd(tmp_path_factory.mktemp("authd")) as authd:
        yield authd


@pytest.fixture(scope="module")
def browser(authd):
    browser = authd.browser()
    browser.sign_in()
    return browser
