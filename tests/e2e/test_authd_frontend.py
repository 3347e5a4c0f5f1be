"""frontend: the issuer's name, logo, theme, and a folder of the operator's own files."""
import re

import pytest
import requests

from authd_client import Authd

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
