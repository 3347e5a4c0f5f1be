"""The console in a real Chromium: sign in, see who one is, download a kubeconfig, sign out; and back to the deep link one came for."""
import contextlib
import os
import re
import urllib.parse

import pytest
import yaml
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from chromium_driver import start_chromium
from harness import CLIENT_ID, Gateway

EMAIL, PASSWORD = "ann@example.com", "correct horse battery"


@pytest.fixture
def gateway(tmp_path):
    with Gateway(tmp_path / "gateway", {EMAIL: PASSWORD}, {EMAIL: ["dev", "on <call>"]}) as g:
        yield g


def wait(driver, condition):
    return WebDriverWait(driver, 20, poll_frequency=0.05).until(condition)


def sign_in(driver, password=PASSWORD):
    fields = wait(driver, lambda d: d.find_elements(By.CSS_SELECTOR, "input[type=password]"))
    user = driver.find_element(By.CSS_SELECTOR, "form input[type=text], form input[type=email]")
    user.clear()
    user.send_keys(EMAIL)
    fields[0].send_keys(password)
    page = driver.find_element(By.TAG_NAME, "html")
    driver.find_element(By.CSS_SELECTOR, "form button").click()
    wait(driver, lambda d: stale(page))


def stale(element):
    try:
        element.is_enabled()
        return False
    except StaleElementReferenceException:
        return True
    except WebDriverException as e:
        # chromedriver's words when the page changes while it looks
        if "does not belong to the document" in (e.msg or ""):
            return True
        raise


def picture(driver, name):
    """A screenshot for people, where GATEHOUSE_PICTURES names a folder."""
    if folder := os.environ.get("GATEHOUSE_PICTURES"):
        os.makedirs(folder, exist_ok=True)
        driver.save_screenshot(os.path.join(folder, name + ".png"))


def complaints(driver):
    """What Chromium's console holds against the page: refused styles, mixed content, blocked forms."""
    return [e["message"] for e in driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING") and "favicon" not in e["message"]]


def test_sign_in_console_kubeconfig_sign_out(gateway, chromium, tmp_path):
    chromium.get(gateway.url + "/")
    wait(chromium, lambda d: d.find_elements(By.CSS_SELECTOR, "input[type=password]"))
    picture(chromium, "sign-in")
    assert not complaints(chromium)
    sign_in(chromium, "wrong")
    assert "/console/" not in chromium.current_url.split("?")[0]
    picture(chromium, "wrong-password")
    chromium.get_log("browser")  # a 401 page is noted there
    sign_in(chromium)
    wait(chromium, lambda d: d.current_url == gateway.url + "/console/")
    picture(chromium, "console")
    text = chromium.find_element(By.TAG_NAME, "body").text
    assert EMAIL in text and "dev" in text and "on <call>" in text
    assert not complaints(chromium)

    cookie = next(c for c in chromium.get_cookies() if c["name"].startswith("__Host-") and c["httpOnly"])
    assert cookie["secure"] and cookie["sameSite"] == "Lax" and cookie["path"] == "/"

    link = chromium.find_element(By.CSS_SELECTOR, "a[href*=kubeconfig]")
    link.click()
    file = wait(chromium, lambda d: next((p for p in (tmp_path / "downloads").glob("*kubeconfig*") if p.suffix != ".crdownload"), None)
                if (tmp_path / "downloads").exists() else None)
    config = yaml.safe_load(file.read_text())
    assert config["clusters"][0]["cluster"]["server"] == gateway.url
    assert config["users"][0]["user"]["exec"]["command"] == "kubectl-gatehouse"
    assert not re.search(r"eyJ|PRIVATE KEY|" + re.escape(cookie["value"]), file.read_text()), "a kubeconfig without a secret"

    page = chromium.find_element(By.TAG_NAME, "html")
    chromium.find_element(By.CSS_SELECTOR, "form[action*=signout] button").click()
    wait(chromium, lambda d: stale(page))
    chromium.get(gateway.url + "/console/")
    wait(chromium, lambda d: d.find_elements(By.CSS_SELECTOR, "input[type=password]"))
    answer = gateway.browser().get(gateway.url + "/console/", cookies={cookie["name"]: cookie["value"]}, allow_redirects=False)
    assert answer.status_code in (302, 303), "the old cookie is worth nothing"


@pytest.mark.parametrize("remember", [True, False])
def test_a_browser_that_was_closed_is_still_signed_in_only_where_one_said_so(gateway, tmp_path, remember):
    first = start_chromium(tmp_path)
    try:
        first.get(gateway.url + "/console/")
        box = wait(first, lambda d: d.find_elements(By.CSS_SELECTOR, "input[name=remember]"))[0]
        assert box.is_selected()
        if not remember:
            first.find_element(By.CSS_SELECTOR, "label.check").click()
            assert not box.is_selected()
        picture(first, f"sign-in-remember-{remember}")
        sign_in(first)
        wait(first, lambda d: d.current_url == gateway.url + "/console/")
    finally:
        with contextlib.suppress(WebDriverException):  # the browser may be gone before its answer
            first.execute_cdp_cmd("Browser.close", {})
        first.quit()
    second = start_chromium(tmp_path)
    try:
        second.get(gateway.url + "/console/")
        wait(second, lambda d: d.find_elements(By.TAG_NAME, "h1"))
        assert bool(second.find_elements(By.CSS_SELECTOR, "input[type=password]")) != remember
        assert ("Hello" in second.page_source) == remember
    finally:
        second.quit()


def emulate(driver, width, height, dark):
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def test_ones_sessions_are_listed_and_another_is_ended(gateway, chromium):
    chromium.get(gateway.url + "/console/")
    sign_in(chromium)
    wait(chromium, lambda d: d.current_url == gateway.url + "/console/")
    elsewhere = gateway.people[EMAIL]
    for agent in ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",):
        elsewhere.browser.headers["User-Agent"] = agent
        elsewhere.sign_in()
    chromium.find_element(By.CSS_SELECTOR, "a[href='/console/sessions']").click()
    wait(chromium, lambda d: len(d.find_elements(By.CSS_SELECTOR, "ul.cards > li")) == 2)
    here, there = (card.text for card in chromium.find_elements(By.CSS_SELECTOR, "ul.cards > li"))
    assert "Chrome on Linux" in here and "This browser" in here
    assert "Safari on iPhone" in there and "This browser" not in there and "Signed in to" in there
    for name, width, dark in (("phone", 375, False), ("phone-dark", 375, True), ("wide", 1000, False), ("wide-dark", 1000, True)):
        emulate(chromium, width, 900, dark)
        assert chromium.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), f"nothing sticks out at {width}"
        picture(chromium, f"sessions-{name}")
    assert not complaints(chromium)
    page = chromium.find_element(By.TAG_NAME, "html")
    chromium.find_elements(By.CSS_SELECTOR, "ul.cards > li form button")[1].click()
    wait(chromium, lambda d: stale(page))
    wait(chromium, lambda d: len(d.find_elements(By.CSS_SELECTOR, "ul.cards > li")) == 1)
    assert chromium.current_url == gateway.url + "/console/sessions"
    assert elsewhere.browser.get(gateway.url + "/console/", allow_redirects=False).status_code == 303, "over there it has ended"


def test_what_one_has_allowed_is_listed_and_taken_back(tmp_path, chromium):
    with Gateway(tmp_path / "asking", {EMAIL: PASSWORD}, authd_more={"oauth2": {"skipApprovalScreen": False}}) as gateway:
        gateway.people[EMAIL].sign_in()
        chromium.get(gateway.url + "/console/")
        sign_in(chromium)
        wait(chromium, lambda d: d.current_url == gateway.url + "/console/")
        chromium.find_element(By.CSS_SELECTOR, "a[href='/console/applications']").click()
        wait(chromium, lambda d: len(d.find_elements(By.CSS_SELECTOR, "ul.cards > li")) == 1)
        for name, width, dark in (("phone", 375, False), ("wide-dark", 1000, True)):
            emulate(chromium, width, 900, dark)
            assert chromium.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), f"nothing sticks out at {width}"
            picture(chromium, f"applications-{name}")
        assert "kubectl" in chromium.find_element(By.CSS_SELECTOR, "ul.cards > li").text
        page = chromium.find_element(By.TAG_NAME, "html")
        chromium.find_element(By.CSS_SELECTOR, "ul.cards > li form button").click()
        wait(chromium, lambda d: stale(page))
        wait(chromium, lambda d: "None yet" in d.page_source)
        assert not complaints(chromium)


def test_a_deep_link_is_where_one_arrives_after_signing_in(gateway, chromium):
    chromium.get(gateway.url + "/api/v1/namespaces?limit=5")
    sign_in(chromium)
    wait(chromium, lambda d: d.current_url == gateway.url + "/api/v1/namespaces?limit=5")
    assert "cluster" in chromium.page_source.lower(), "no cluster is configured here: the gateway says so"


def press(driver, selector):
    page = driver.find_element(By.TAG_NAME, "html")
    driver.find_element(By.CSS_SELECTOR, selector).click()
    wait(driver, lambda d: stale(page))


def test_a_device_is_signed_in_by_typing_its_code(gateway, chromium):
    http = gateway.browser()
    device = http.post(gateway.issuer + "/device/code", data={"client_id": CLIENT_ID, "scope": "openid email"}).json()
    chromium.get(device["verification_uri"])
    field = wait(chromium, lambda d: d.find_element(By.NAME, "user_code"))
    assert field == chromium.switch_to.active_element, "the cursor is where the code goes"
    field.send_keys("aaaa-aaaa")
    press(chromium, "form button")
    assert "eight letters" in chromium.find_element(By.ID, "problem").text
    picture(chromium, "device-code")
    chromium.get_log("browser")  # a 400 page is noted there
    field = chromium.find_element(By.NAME, "user_code")
    field.clear()
    field.send_keys(device["user_code"].lower())
    press(chromium, "form button")
    sign_in(chromium)
    text = chromium.find_element(By.TAG_NAME, "body").text
    assert device["user_code"] in text and EMAIL in text
    picture(chromium, "device-approval")
    press(chromium, "button[value=approve]")
    assert "Go back to your device" in chromium.find_element(By.TAG_NAME, "body").text
    assert chromium.current_url == gateway.issuer + "/device/callback"
    assert not complaints(chromium)
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device["device_code"], "client_id": CLIENT_ID}
    assert http.post(gateway.issuer + "/token", data=grant).json()["id_token"]


def test_a_device_s_whole_address_still_asks_before_anything_happens(gateway, chromium):
    http = gateway.browser()
    device = http.post(gateway.issuer + "/device/code", data={"client_id": CLIENT_ID}).json()
    chromium.get(device["verification_uri_complete"])
    field = wait(chromium, lambda d: d.find_element(By.NAME, "user_code"))
    assert field.get_attribute("value") == device["user_code"]
    press(chromium, "form button")
    sign_in(chromium)
    press(chromium, "button[value=deny]")
    assert "Refused" in chromium.find_element(By.TAG_NAME, "body").text
    assert not complaints(chromium)


@pytest.mark.parametrize("to", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\r\nX: y"])
def test_nobody_is_sent_elsewhere_after_signing_in(gateway, to):
    person = gateway.people[EMAIL]
    page = person.walk(gateway.url + "/console/signin?to=" + urllib.parse.quote(to, safe=""))
    assert urllib.parse.urlsplit(page.url).netloc == urllib.parse.urlsplit(gateway.url).netloc
    assert page.url.startswith(gateway.url + "/")
