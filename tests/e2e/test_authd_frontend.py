"""frontend: the issuer's name, logo, theme, and a folder of the operator's own files."""
import html
import re

import pytest
import requests

from authd_client import CLI, EMAIL, PASSWORD, Authd, pkce, query_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32


def folder(tmp_path):
    """As dex lays it out."""
    root = tmp_path / "web"
    for path, content in {"static/main.css": b"body{}", "static/img/logo.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
                          "themes/light/styles.css": b"h1{color:blue}", "themes/light/logo.png": PNG, "themes/light/favicon.png": PNG,
                          "themes/acme/styles.css": b"h1{color:red}", "themes/acme/logo.png": PNG + b"acme", "secret": b"secret"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def page_of(authd):
    return authd.browser().get("/console/signin?to=/console/")


def logo_of(page):
    return re.search(r'<div class="brand"><img (?:class="logo" )?alt="" src="([^"]*)">', page.text).group(1)


def test_the_issuers_name_is_on_every_page(tmp_path):
    with Authd(tmp_path, frontend={"issuer": "Acme <b>& Co</b>"}) as authd:
        for page in (page_of(authd), authd.get("/nosuch")):
            assert "Acme &lt;b&gt;&amp; Co&lt;/b&gt;" in page.text and "<b>& Co" not in page.text


@pytest.mark.parametrize("theme,scheme,css", [(None, "light dark", None), ("light", "light", "light"), ("dark", "dark", "dark"), ("coreos", "light dark", None)])
def test_the_theme_is_the_browsers_or_what_is_said(tmp_path, theme, scheme, css):
    with Authd(tmp_path, frontend={"theme": theme} if theme else {}) as authd:
        page = page_of(authd).text
        assert f'<meta name="color-scheme" content="{scheme}">' in page
        assert (f'<html lang="en" class="{css}">' if css else '<html lang="en">') in page
        assert "/theme/" not in page


def test_a_logo_from_elsewhere_is_allowed_by_the_policy_and_nothing_else_is(tmp_path):
    with Authd(tmp_path, frontend={"logoURL": "https://cdn.example:8443/logo.png?a=1&b=2"}) as authd:
        page = page_of(authd)
        assert logo_of(page) == "https://cdn.example:8443/logo.png?a=1&amp;b=2"
        assert "img-src 'self' https://cdn.example:8443;" in page.headers["Content-Security-Policy"]
        assert "font-src" not in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("theme,logo,wanted,more", [
    (None, None, "/oidc/theme/logo.png", b""),
    ("light", "theme/logo.png", "/oidc/theme/logo.png", b""),
    ("acme", None, "/oidc/theme/logo.png", b"acme"),
    ("acme", "/static/img/logo.svg", "/oidc/static/img/logo.svg", None),
])
def test_a_folder_of_ones_own_brings_style_logo_and_files(tmp_path, theme, logo, wanted, more):
    frontend = {"dir": str(folder(tmp_path)), "theme": theme, "logoURL": logo}
    with Authd(tmp_path, frontend={k: v for k, v in frontend.items() if v}) as authd:
        page = page_of(authd)
        assert logo_of(page) == wanted
        logo_file = authd.get(wanted)
        assert logo_file.status_code == 200 and (more is None or logo_file.content == PNG + more)
        style = authd.get("/oidc/theme/styles.css")
        assert style.headers["Content-Type"].startswith("text/css") and (b"red" in style.content) == (theme == "acme")
        assert page.text.index("/oidc/theme/styles.css") > page.text.index("/oidc/static/"), "behind ours, which it changes"
        assert ("/oidc/theme/favicon.png" in page.text) == (theme != "acme")
        main = authd.get("/oidc/static/main.css")
        assert main.content == b"body{}" and main.headers["Cache-Control"] == "public, max-age=300" and main.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in authd.get("/oidc/static/img/logo.svg").headers["Content-Security-Policy"]
        for path in ("/oidc/static/../secret", "/oidc/static/%2e%2e/secret", "/oidc/theme/../../secret", "/oidc/secret", "/oidc/static/", "/oidc/static/img",
                     "/oidc/static/nosuch", "/oidc/theme/../acme/logo.png"):
            with authd.browser().http as http:
                prepared = requests.Request("GET", authd.origin).prepare()
                prepared.url = authd.origin + path
                assert http.send(prepared, timeout=20).status_code == 404, path


def test_a_reload_reads_the_folder_anew(tmp_path):
    root = folder(tmp_path)
    with Authd(tmp_path, frontend={"dir": str(root)}) as authd:
        (root / "static/main.css").write_bytes(b"new{}")
        assert authd.get("/oidc/static/main.css").content == b"body{}"
        authd.program.reload()
        assert authd.get("/oidc/static/main.css").content == b"new{}"
        (root / "static/large").write_bytes(b"x" * (2 << 20) + b"x")
        authd.program.reload(fails=True)
        assert "frontend.dir: cannot use" in authd.log() and "it is larger than 2 MiB" in authd.log()
        assert authd.get("/oidc/static/main.css").content == b"new{}"


@pytest.mark.parametrize("frontend,wanted", [
    ({"theme": "acme"}, "frontend.theme: expected light, dark, or the name of a folder in frontend.dir's themes"),
    ({"theme": "../../etc"}, "frontend.theme: expected light, dark"),
    ({"dir": "WEB", "theme": "nosuch"}, "frontend.theme: expected light, dark"),
    ({"dir": "/nosuch"}, "frontend.dir: cannot use /nosuch: No such file or directory"),
    ({"logoURL": "static/nosuch.png"}, "frontend.logoURL: expected an http or https URL, or the address of a file in frontend.dir"),
    ({"logoURL": "javascript://x"}, "frontend.logoURL: expected an http or https URL"),
    ({"dir": "WEB", "logoURL": "../secret"}, "frontend.logoURL: expected an http or https URL"),
    ({"extra": ["a"]}, "frontend.extra: expected names with texts"),
    ({"extra": {"a": {"b": "c"}}}, "frontend.extra.a: expected a text"),
    ({"issuer": " x"}, "frontend.issuer: expected a text"),
])
def test_what_cannot_be_is_said(tmp_path, frontend, wanted):
    root = folder(tmp_path)
    authd = Authd(tmp_path, frontend={k: str(root) if v == "WEB" else v for k, v in frontend.items()})
    check = authd.program.check()
    assert check.returncode == 1 and wanted in check.stderr, check.stderr
    authd.program.close()


# ---- templates ----

TEMPLATES = {
    "header.html": '<!DOCTYPE html><html><head><title>{{ issuer }}</title><link href="{{ url .ReqPath "theme/styles.css" }}" rel="stylesheet"></head>'
                   '<body><img src="{{ url .ReqPath logo }}"><i>{{ extra "motto" }}</i>',
    "footer.html": "</body></html>",
    "login.html": '{{ template "header.html" . }}{{ range $c := .Connectors }}<a class="{{ $c.Type }}" href="{{ $c.URL }}">{{ $c.Name }}</a>{{ end }}',
    "password.html": '{{ template "header.html" . }}<form method="post" action="{{ .PostURL }}">{{ .UsernamePrompt }}<input name="login" value="{{ .Username }}">'
                     '<input name="password" type="password">{{ if .Invalid }}<b>Invalid {{ .UsernamePrompt | lower }}</b>{{ end }}'
                     '{{ if .ShowRememberMe }}<input type="checkbox" name="remember_me" {{ if .RememberMeChecked }}checked{{ end }}/>{{ end }}</form>'
                     '{{ if .BackLink }}<a href="{{ .BackLink }}">back</a>{{ end }}{{ template "footer.html" . }}',
    "approval.html": '{{ template "header.html" . }}<p>{{ .Client }}</p>{{ range $s := .Scopes }}<li>{{ $s }}</li>{{ end }}'
                     '<form method="post"><input type="hidden" name="req" value="{{ .AuthReqID }}"/><input type="hidden" name="approval" value="approve"></form>',
    "error.html": '{{ template "header.html" . }}<h2>{{ .ErrType }}</h2><p>{{ .ErrMsg }}</p>',
    "oob.html": '{{ template "header.html" . }}<input value="{{ .Code }}"/>',
    "device.html": '{{ template "header.html" . }}<form method="post" action="{{ .PostURL }}"><input name="user_code" value="{{.UserCode}}"></form>{{ if .Invalid }}no such{{ end }}',
    "webauthn_verify.html": "<script>var mode = {{ .Mode }};</script>",
}


def with_templates(tmp_path, **more):
    root = folder(tmp_path)
    (root / "templates").mkdir()
    for name, text in (TEMPLATES | more).items():
        if text is not None:
            (root / "templates" / name).write_text(text)
    return root


def start_with(tmp_path, root, **more):
    return Authd(tmp_path, frontend={"dir": str(root), "issuer": "Acme & Co", "extra": {"motto": "be <kind>"}}, **more)


def action_of(page):
    return html.unescape(re.search(r'<form method="post" action="([^"]*)">', page.text).group(1))


def test_a_sign_in_goes_through_an_operators_own_pages(tmp_path):
    root = with_templates(tmp_path)
    with start_with(tmp_path, root, oauth2={"skipApprovalScreen": False, "alwaysShowLoginScreen": True}) as authd:
        browser = authd.browser()
        verifier, challenge = pkce()
        choice = browser.authorize(scope="openid email offline_access", code_challenge=challenge, code_challenge_method="S256", state="st")
        assert "<title>Acme &amp; Co</title>" in choice.text and "<i>be &lt;kind&gt;</i>" in choice.text and "/oidc/theme/logo.png" in choice.text
        assert "script-src 'self'" in choice.headers["Content-Security-Policy"] and "'unsafe" not in choice.headers["Content-Security-Policy"]
        (link,) = re.findall(r'<a class="local" href="([^"]*)">a password</a>', choice.text)
        page = browser.get(html.unescape(link))
        assert "Email or user name" in page.text and "checked/>" in page.text and "Invalid" not in page.text
        wrong = browser.post(action_of(page), {"login": '"><script>alert(1)</script>', "password": "wrong"})
        assert wrong.status_code == 401 and "Invalid email or user name" in wrong.text
        assert 'value="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"' in wrong.text and "<script" not in wrong.text
        # Not remembered: the box was not ticked.
        approval = browser.post(action_of(wrong), {"login": EMAIL, "password": PASSWORD})
        assert "<p>kubectl</p>" in approval.text and "<li>See your mail address</li>" in approval.text
        assert not [c for c in browser.http.cookies if c.name == "gatehouse" and c.expires]
        req = re.search(r'name="req" value="([^"]*)"', approval.text).group(1)
        answer = browser.post(approval.url, {"req": req, "approval": "approve"})
        assert authd.redeem(query_of(answer.headers["Location"])["code"], verifier).status_code == 200
        error = authd.get("/oidc/auth?client_id=nosuch")
        assert error.status_code == 400 and "<h2>This request cannot be served</h2>" in error.text and "Request " in error.text
        assert "a template failed" not in authd.log()


def test_refusing_on_an_own_page_is_access_denied(tmp_path):
    root = with_templates(tmp_path)
    with start_with(tmp_path, root, oauth2={"skipApprovalScreen": False}) as authd:
        browser = authd.browser()
        page = browser.authorize(code_challenge=pkce()[1], code_challenge_method="S256", state="st")
        approval = browser.post(action_of(page), {"login": EMAIL, "password": PASSWORD, "remember_me": "on"})
        assert [c for c in browser.http.cookies if c.name == "gatehouse" and c.expires]
        req = re.search(r'name="req" value="([^"]*)"', approval.text).group(1)
        answer = browser.post(approval.url, {"req": req, "approval": "rejected"})
        assert query_of(answer.headers["Location"])["error"] == "access_denied"


def test_an_own_page_is_as_safe_against_forged_posts_as_ours(tmp_path):
    root = with_templates(tmp_path)
    with start_with(tmp_path, root, oauth2={"skipApprovalScreen": False}) as authd:
        browser, other = authd.browser(), authd.browser()
        page = browser.authorize(code_challenge=pkce()[1], code_challenge_method="S256", state="st")
        theirs = action_of(other.authorize(code_challenge=pkce()[1], code_challenge_method="S256", state="st"))
        good, form = action_of(page), {"login": EMAIL, "password": PASSWORD}
        for action in (re.sub("&csrf=.*", "", good), re.sub("csrf=.*", "csrf=x", good), re.sub("csrf=.*", re.search("csrf=.*", theirs).group(), good), theirs):
            assert browser.post(action, form).status_code == 400, action
        assert browser.post(good, form | {"csrf": "x"}).status_code == 400, "what the form says counts"
        approval = browser.post(good, form)
        assert "<p>kubectl</p>" in approval.text
        req = re.search(r'name="req" value="([^"]*)"', approval.text).group(1)
        assert browser.post(re.sub("&csrf=.*", "", approval.url), {"req": req, "approval": "approve"}).status_code == 400


def test_a_device_is_confirmed_through_own_pages_but_its_code_is_always_shown(tmp_path):
    root = with_templates(tmp_path)
    with start_with(tmp_path, root, oauth2={"skipApprovalScreen": True}, staticClients=[{"id": CLI, "name": "kubectl", "public": True, "redirectURIs": ["/device/callback"]}],
                    console=None) as authd:
        begun = requests.post(f"{authd.issuer}/device/code", data={"client_id": CLI, "scope": "openid"}, timeout=20).json()
        browser = authd.browser()
        page = browser.get("/oidc/device")
        assert browser.post(action_of(page), {"user_code": "BBBB-BBBB"}).status_code == 400
        page = browser.get("/oidc/device")
        password = browser.post(action_of(page), {"user_code": begun["user_code"]})
        approval = browser.post(action_of(password), {"login": EMAIL, "password": PASSWORD})
        assert begun["user_code"] in approval.text and "Refuse if you did not start this yourself" in approval.text


def test_pages_without_a_template_are_ours(tmp_path):
    root = with_templates(tmp_path, **{"password.html": None, "error.html": None})
    with start_with(tmp_path, root) as authd:
        page = page_of(authd)
        assert 'name="csrf"' in page.text and "Acme &amp; Co" in page.text
        assert "There is no such page" in authd.get("/nosuch").text


@pytest.mark.parametrize("name,text,wanted", [
    ("password.html", "a\n<script>x = {{ .PostURL }}</script>", "templates/password.html:2: a value cannot stand in <script>"),
    ("password.html", "{{ if .Invalid }}", "templates/password.html:1: a block that began at line 1 does not end"),
    ("login.html", '{{ range .Connectors }}\n{{ .Nosuch }}{{ end }}', "templates/login.html:2: there is no .Nosuch here"),
    ("error.html", '{{ template "nosuch.html" . }}', 'templates/error.html:1: there is no template "nosuch.html"'),
    ("header.html", '{{ env "HOME" }}', 'templates/header.html:1: the function "env" is not carried'),
    ("approval.html", "<a href={{ .Client }}>", "templates/approval.html:1: a value stands in an attribute without quotes"),
])
def test_a_template_that_cannot_be_used_is_said_with_its_line_and_a_reload_keeps_the_old(tmp_path, name, text, wanted):
    root = with_templates(tmp_path)
    with start_with(tmp_path, root) as authd:
        (root / "templates" / name).write_text(text)
        check = authd.program.check()
        assert check.returncode == 1 and wanted in check.stderr, check.stderr
        authd.program.reload(fails=True)
        assert "Email or user name" in page_of(authd).text
