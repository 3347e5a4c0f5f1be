"""The console's page of one's own sessions: what it shows, and what it ends."""
import re

import pytest

from authd_client import CLI, EMAIL, WEB, WEB_SECRET, WEB_URI, Authd, fields, person, query_of

BOB = "bob@example.com"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
PATH = "/console/sessions"


@pytest.fixture
def authd(tmp_path):
    with Authd(tmp_path, staticPasswords=[person(), person(BOB)]) as authd:
        yield authd


def signed_in(authd, agent=FIREFOX, login=EMAIL):
    browser = authd.browser()
    browser.http.headers["User-Agent"] = agent
    answer = browser.fill(browser.get("/console/signin?to=/console/"), login=login)
    assert "Hello" in answer.text
    return browser


def cards(browser):
    """What each card of the page says, and the fields of its form."""
    page = browser.get(PATH)
    assert page.status_code == 200 and page.headers["Cache-Control"] == "no-store", page.text
    found = re.findall(r'<li(?: class="here")?><h3>.*?</form></li>', page.text, re.S)
    return [(re.sub(r"<[^>]*>", " ", card), fields(card)) for card in found]


def lives(browser):
    return "Hello" in browser.get("/console/").text


def end(browser, **form):
    return browser.post(PATH + "/end", form)


def test_the_page_shows_each_browser_this_one_first_and_what_it_signed_in_to(authd):
    first, second = signed_in(authd), signed_in(authd, IPHONE)
    stranger = signed_in(authd, "curl/8.5.0", BOB)
    first.tokens()
    code = query_of(first.authorize(WEB, WEB_URI, "openid").headers["Location"])["code"]
    assert authd.token({"grant_type": "authorization_code", "code": code, "redirect_uri": WEB_URI}, auth=(WEB, WEB_SECRET)).status_code == 200
    (here, _), (there, _) = cards(first)
    assert "Firefox on Linux" in here and "This browser" in here and "127.0.0.1" in here and "kubectl, Web &amp; App" in here
    assert "Safari on iPhone" in there and "This browser" not in there and "Signed in to" not in there
    (here, _), (there, _) = cards(second)
    assert "Safari on iPhone" in here and "This browser" in here and "kubectl" in there
    ((only, _),) = cards(stranger)
    assert "curl/8.5.0" in only
    assert PATH in first.get("/console/").text, "the console leads there"


def test_one_that_is_ended_is_over_for_its_cookie_and_its_tokens_and_no_other_is(authd):
    here, there, third = signed_in(authd), signed_in(authd, IPHONE), signed_in(authd, "curl/8.5.0")
    tokens = there.tokens(scope="openid offline_access")
    form = next(form for text, form in cards(here) if "iPhone" in text)
    answer = end(here, **form)
    assert answer.status_code == 200 and "iPhone" not in answer.text and len(cards(here)) == 2
    assert not lives(there) and lives(here) and lives(third)
    assert authd.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert authd.userinfo(tokens["access_token"]).status_code == 401
    assert authd.session_token(there)[0] == 401
    assert len(end(here, **form).text.split("<h3>")) == 3, "ended twice is ended"


def test_all_others_end_and_this_one_stays(authd):
    here = signed_in(authd)
    others = [signed_in(authd, f"agent/{i}") for i in range(4)]
    stranger = signed_in(authd, login=BOB)
    page = here.get(PATH)
    answer = end(here, csrf=fields(page.text)["csrf"], others="1")
    assert answer.status_code == 200 and len(cards(here)) == 1 and "everywhere else" not in answer.text
    assert lives(here) and lives(stranger) and not any(lives(o) for o in others)


def test_hundreds_of_others_end_and_a_page_stays_a_page(authd):
    """More than one store write takes, and more than the page shows. Sign-ins by one authorization each are slow (bcrypt): single sign-on makes no session,
    so each is a password."""
    here = signed_in(authd)
    others = [signed_in(authd, f"agent/{i}") for i in range(105)]
    page = here.get(PATH)
    assert page.text.count("<h3>") == 50 and "And 56 more" in page.text and len(page.content) < 100_000
    assert cards(here)[0][0].count("This browser") == 1
    end(here, csrf=fields(page.text)["csrf"], others="1")
    assert len(cards(here)) == 1 and not any(lives(o) for o in others[::10])


def test_ending_this_very_one_signs_out_here(authd):
    browser = signed_in(authd)
    ((_, form),) = cards(browser)
    assert "You are signed out" in end(browser, **form).text
    assert not lives(browser) and not browser.http.cookies.get("gatehouse")


def test_nobody_ends_what_is_not_theirs_and_no_other_site_asks(authd):
    jane, bob = signed_in(authd), signed_in(authd, login=BOB)
    ((_, janes),), ((_, bobs),) = cards(jane), cards(bob)
    end(bob, csrf=bobs["csrf"], sid=janes["sid"])
    assert lives(jane), "another's session"
    for form in ({}, {"sid": janes["sid"]}, janes | {"csrf": bobs["csrf"]}, janes | {"others": "1"}, {"csrf": janes["csrf"]},
                 {"csrf": janes["csrf"], "others": "2"}):
        assert end(jane, **form).status_code == 400, form
    foreign = jane.http.post(authd.origin + PATH + "/end", data=janes, headers={"Origin": "https://evil.example"}, allow_redirects=False)
    assert foreign.status_code == 400 and lives(jane)
    assert jane.http.get(authd.origin + PATH + "/end", params=janes, allow_redirects=False).status_code == 405 and lives(jane)
    assert jane.http.post(authd.origin + PATH + "/end", data="x=%", headers={"Content-Type": "application/x-www-form-urlencoded"}).status_code == 400


def test_what_a_browser_calls_itself_is_shown_and_not_run(authd):
    browser = signed_in(authd, "<script>alert(1)</script>/1")
    page = browser.get(PATH).text
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;/1" in page


def test_who_is_not_signed_in_signs_in_first(authd):
    browser = authd.browser()
    page = browser.get(PATH)
    assert 'type="password"' in page.text
    assert "Your sessions" in browser.fill(page).text
    nobody = authd.browser()
    answer = nobody.http.post(authd.origin + PATH + "/end", data={"others": "1"}, allow_redirects=False)
    assert answer.status_code == 303 and "/console/signin" in answer.headers["Location"]


def test_signing_in_again_is_the_same_session_and_as_somebody_else_ends_it(authd):
    browser = signed_in(authd)
    tokens = browser.tokens(scope="openid offline_access")
    sid = authd.verified(tokens["id_token"], CLI)["sid"]
    assert query_of(browser.fill(browser.authorize(WEB, WEB_URI, prompt="login")).headers["Location"])["code"]
    ((text, form),) = cards(browser)
    assert form["sid"] == sid and "kubectl" in text
    assert query_of(browser.fill(browser.authorize(WEB, WEB_URI, prompt="login"), login=BOB).headers["Location"])["code"]
    assert authd.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant", "nobody could end it any more"
    ((_, form),) = cards(browser)
    assert form["sid"] != sid


def test_sessions_are_listed_after_a_restart(authd):
    browser = signed_in(authd)
    signed_in(authd, IPHONE)
    authd.program.stop()
    authd.program.start()
    assert [re.search(r"Firefox|Safari", text).group() for text, _ in cards(browser)] == ["Firefox", "Safari"]
