"""What tests of several files share."""
import pytest

from chromium_driver import start_chromium


@pytest.fixture
def chromium(tmp_path):
    driver = start_chromium(tmp_path)
    yield driver
    driver.quit()
