"""authd: input that no honest client sends, at every endpoint: parameters twice, without end, with NUL, in no UTF-8, percent signs that begin nothing, another
Content-Type, a client authenticated in two ways, redirect URIs of somebody else. Each gets the standard's own error, never a 500, and the next one is served."""
import json
import re
import secrets
import urllib.parse

import pytest
import requests

from authd_client import CLI, EMAIL, PASSWORD, WEB, WEB_SECRET, WEB_URI, Authd, Basic, fields, pkce, query_of

DEVICE, EXCHANGE = "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange"
GRANTS = ["authorization_code", "refresh_token", "client_credentials", DEVICE, EXCHANGE, "password"]
FORM = "application/x-www-form-urlencoded"
CLIENT = {"client_id": WEB, "client_secret": WEB_SECRET}

# What clients call themselves: a request that would be understood, and answered with JSON.
ENDPOINTS = {
    "token-code": ("/token", {"grant_type": "authorization_code", "code": "c", "redirect_uri": WEB_URI, "code_verifier": "v" * 43}),
    "token-refresh": ("/token", {"grant_type": "refresh_token", "refresh_token": "a.b.c", "scope": "openid"}),
    "token-device": ("/token", {"grant_type": DEVICE, "device_code": "d"}),
    "token-password": ("/token", {"grant_type": "password", "username": EMAIL, "password": "x", "scope": "openid"}),
    "token-client": ("/token", {"grant_type": "client_credentials"}),
    "token-exchange": ("/token", {"grant_type": EXCHANGE, "subject_token": "a.b.c", "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}),
    "device-code": ("/device/code", {"scope": "openid"}),
    "revoke": ("/token/revoke", {"token": "t", "token_type_hint": "access_token"}),
    "introspect": ("/token/introspect", {"token": "t", "token_type_hint": "access_token"}),
}
# Pages whose forms are sent by browsers, and what their parameters are.
PAGES = {
    "login": ("/auth/local/login", ["req", "csrf", "login", "password"]), "approval": ("/approval", ["req", "csrf", "approval"]),
    "device": ("/device/auth/verify_code", ["csrf", "user_code"]), "logout": ("/logout/confirm", ["req", "csrf"]),
}
QUERIES = {
    "auth": "/auth", "auth-connector": "/auth/local", "login": "/auth/local/login", "approval": "/approval", "callback": "/callback", "device": "/device",
    "device-callback": "/device/callback", "logout": "/logout", "userinfo": "/userinfo", "discovery": "/.well-known/openid-configuration", "keys": "/keys",
}


@pytest.fixture(scope="module")
def authd(tmp_path_factory):
    authd = Authd(tmp_path_factory.mktemp("authd"), oauth2={"skipApprovalScreen": True, "grantTypes": GRANTS, "passwordConnector": "local",
                                                            "responseTypes": ["code", "id_token", "token"]})
    for client in authd.program.config["staticClients"]:
        if client["id"] == WEB:
            client["redirectURIs"].append("/device/callback")
    authd.program.write_config(authd.program.config)
    with authd:
        yield authd
        assert authd.get("/oidc/healthz").status_code == 200, "after all of it"


def post(authd, path, body, content_type=FORM, **headers):
    return requests.post(authd.issuer + path, data=body, headers=({"Content-Type": content_type} if content_type else {}) | headers, timeout=20,
                         allow_redirects=False)


def encoded(form):
    return urllib.parse.urlencode(form)


def refused(answer, errors=("invalid_request",), statuses=(400,)):
    assert answer.status_code in statuses, (answer.status_code, answer.text)
    assert answer.headers["Content-Type"] == "application/json" and answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body["error"] in errors and set(body) <= {"error", "error_description"}, body
    assert all(0x20 <= ord(c) <= 0x7E and c not in '"\\' for c in body.get("error_description", "")), body


def is_page(answer, statuses=(400,)):
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert answer.headers["Content-Type"].startswith("text/html") and "Location" not in answer.headers
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


# ---- what clients call ----


@pytest.fixture(params=ENDPOINTS)
def endpoint(request):
    return ENDPOINTS[request.param]


def test_every_parameter_twice(authd, endpoint):
    path, form = endpoint
    for name in {**CLIENT, **form}:
        body = encoded(list({**CLIENT, **form}.items()) + [(name, {**CLIENT, **form}[name])])
        refused(post(authd, path, body))


MALFORMED = {"nul": "x%00y", "utf-8": "%ff%fe", "overlong": "%c0%af", "surrogate": "%ed%a0%80", "percent": "%zz", "half": "%4", "raw": b"\xff\xfe", "raw-nul": b"a\0b"}


@pytest.mark.parametrize("bytes_", MALFORMED.values(), ids=MALFORMED)
def test_values_that_are_no_text(authd, endpoint, bytes_):
    path, form = endpoint
    raw = bytes_ if isinstance(bytes_, bytes) else bytes_.encode()
    for name in [*form, "client_id", "client_secret", "unknown"]:
        body = encoded({k: v for k, v in {**CLIENT, **form}.items() if k != name}).encode() + b"&" + name.encode() + b"=" + raw
        refused(post(authd, path, body))
    refused(post(authd, path, encoded({**CLIENT, **form}).encode() + b"&" + raw + b"=x"))


def test_values_without_end(authd, endpoint):
    path, form = endpoint
    long = "x" * 60000
    wanted = ("invalid_request", "invalid_grant", "invalid_client", "invalid_scope", "unsupported_grant_type", "invalid_target")
    for name in [*form, "client_id", "client_secret"]:
        answer = post(authd, path, encoded({**CLIENT, **form, name: long}))
        if path == "/token/revoke" and name in form or path == "/token/introspect" and name in form or path == "/device/code" and name == "unknown":
            assert answer.status_code == 200, answer.text  # RFC 7009 2.2, RFC 7662 2.2: an unknown token is no error
        else:
            refused(answer, wanted, (400, 401))
    too_long = post(authd, path, encoded({**CLIENT, **form, "unknown": "x" * 70000}))
    assert too_long.status_code == 413, too_long.text


def test_more_parameters_than_anybody_has(authd, endpoint):
    path, form = endpoint
    refused(post(authd, path, encoded(list({**CLIENT, **form}.items()) + [(f"a{i}", "b") for i in range(100)])))


TYPES = ["application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded2", "application/x-www-form-urlencodedx; charset=utf-8", "",
         "application/xml"]


@pytest.mark.parametrize("content_type", TYPES)
def test_bodies_of_another_kind(authd, endpoint, content_type):
    path, form = endpoint
    refused(post(authd, path, json.dumps({**CLIENT, **form}), content_type))
    refused(post(authd, path, encoded({**CLIENT, **form}), content_type))


def test_no_body_at_all(authd, endpoint):
    path, _ = endpoint
    refused(post(authd, path, b""), ("invalid_request", "invalid_client"), (400, 401))
    refused(post(authd, path, b"", None), ("invalid_request", "invalid_client"), (400, 401))


def basic(user=WEB, password=WEB_SECRET):
    return {"Authorization": Basic(user, password).value}


def test_a_client_is_authenticated_in_one_way(authd, endpoint):
    path, form = endpoint
    refused(post(authd, path, encoded({**CLIENT, **form}), **basic()))
    refused(post(authd, path, encoded({**form, "client_secret": WEB_SECRET}), **basic()))
    refused(post(authd, path, encoded({**form, "client_id": CLI}), **basic()))
    refused(post(authd, path, encoded({**form, "client_id": WEB, "client_assertion": "a.b.c",
                                       "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"})), ("invalid_client",), (401,))


@pytest.mark.parametrize("header", ["Basic", "Basic ", "Basic !!!", "Basic =", "Basic YQ==", "Basic Og==", "Basic " + "QUFB" * 3000, "Bearer x", "Digest username=\"web\"",
                                    "Basic d2ViOiUwMA==", "Basic d2ViOiVmZg==", "Basic d2ViOng= d2ViOng="])
def test_authorization_headers_that_are_none(authd, endpoint, header):
    path, form = endpoint
    answer = post(authd, path, encoded(form), Authorization=header)
    if answer.status_code == 431:
        return
    refused(answer, ("invalid_client",), (401,))
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_secret_in_the_query(authd, endpoint):
    path, form = endpoint
    refused(post(authd, f"{path}?{encoded(CLIENT)}", encoded(form)))
    refused(post(authd, f"{path}?%ff", encoded({**CLIENT, **form})))
    for name, value in form.items():
        refused(post(authd, f"{path}?{encoded({name: value})}", encoded({**CLIENT, **form})))


def test_other_methods(authd, endpoint):
    path, form = endpoint
    for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
        answer = requests.request(method, authd.issuer + path, data=encoded({**CLIENT, **form}), headers={"Content-Type": FORM}, timeout=20, allow_redirects=False)
        assert answer.status_code in (405, 501), (method, answer.status_code)
        assert answer.status_code != 405 or "POST" in answer.headers["Allow"]


# ---- pages ----


@pytest.fixture(params=PAGES)
def page(request):
    return PAGES[request.param]


def test_forms_that_are_none(authd, page):
    path, names = page
    good = encoded({name: "x" for name in names})
    for body, content_type in [(good, "application/json"), (good, "text/plain"), (good, "multipart/form-data; boundary=x"), (b"", None), (b"", FORM),
                               *((encoded({n: "x" for n in names if n != name}).encode() + f"&{name}=".encode() + (v if isinstance(v, bytes) else v.encode()), FORM)
                                 for name in names for v in MALFORMED.values())]:
        well_formed = body == b"" and content_type == FORM
        is_page(post(authd, path, body, content_type), (200, 400) if well_formed and path == "/logout/confirm" else (400,))  # nobody is signed in, all is done


def test_forms_with_a_field_twice_or_without_end(authd, page):
    path, names = page
    for name in names:
        is_page(post(authd, path, encoded([(n, "x") for n in names] + [(name, "y")])))
        is_page(post(authd, path, encoded({n: "x" for n in names} | {name: "x" * 60000})), (200, 400) if path == "/logout/confirm" else (400,))
    assert post(authd, path, encoded({"a": "x" * 70000})).status_code == 413


def test_a_form_of_ours_with_a_field_changed(authd):
    browser = authd.browser()
    form = fields(browser.authorize(WEB, WEB_URI).text) | {"login": EMAIL, "password": PASSWORD}
    for change in ({"req": form["req"] + "x"}, {"req": ""}, {"csrf": form["csrf"][:-1]}, {"csrf": ""}):
        is_page(browser.post("/oidc/auth/local/login", form | change))
    for change in ({"login": "x" * 60000}, {"login": ""}, {"password": ""}):
        is_page(browser.post("/oidc/auth/local/login", form | change))
    assert browser.post("/oidc/auth/local/login", form).is_redirect, "none of that ended the sign-in"


# ---- queries ----


@pytest.mark.parametrize("path", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("query", ["a=%00", "a=%ff", "a=%zz", "%c0%af=x", "a=%ed%a0%80", "req=%00", "state=%ff&code=x", "&".join(f"a{i}=b" for i in range(100))],
                         ids=["nul", "utf-8", "percent", "overlong", "surrogate", "req", "state", "many"])
def test_queries_that_are_none(authd, path, query):
    status, headers, _ = authd.over_socket("GET", f"/oidc{path}?{query}")  # requests would mend some of these
    if path in ("/.well-known/openid-configuration", "/keys"):
        assert status == 200, "they take no parameters"
    elif path == "/userinfo":
        assert status == 401
    else:
        assert status == 400 and headers["Content-Type"].startswith("text/html") and "Location" not in headers


@pytest.mark.parametrize("path", QUERIES.values(), ids=QUERIES)
def test_queries_without_end(authd, path):
    for size in (7000, 64 * 1024):
        answer = requests.get(f"{authd.issuer}{path}?req={'x' * size}", timeout=20, allow_redirects=False)
        assert answer.status_code in (200, 303, 400, 401, 414, 431), answer.status_code


# ---- the authorization endpoint ----


def authorization(**more):
    _, challenge = pkce()
    return {"client_id": WEB, "redirect_uri": WEB_URI, "response_type": "code", "scope": "openid", "state": "st", "nonce": "n", "code_challenge": challenge,
            "code_challenge_method": "S256", "prompt": "login", "max_age": "100", "display": "page", "ui_locales": "en", "login_hint": "x", "claims": "{}",
            "id_token_hint": "a.b.c", "response_mode": "query", "acr_values": "0", "connector_id": "local"} | more


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", authorization())
def test_an_authorization_parameter_twice(authd, name, method):
    pairs = list(authorization().items()) + [(name, authorization()[name])]
    browser = authd.browser()
    answer = browser.get("/oidc/auth?" + encoded(pairs)) if method == "get" else browser.post("/oidc/auth", pairs)
    if name in ("client_id", "redirect_uri"):
        is_page(answer)
    else:
        got = query_of(answer.headers["Location"])
        assert got["error"] == "invalid_request" and answer.headers["Location"].startswith(WEB_URI)
        assert got.get("state") == (None if name == "state" else "st")


@pytest.mark.parametrize("name,error", [("scope", "invalid_scope"), ("prompt", "invalid_request"), ("max_age", "invalid_request"), ("code_challenge", "invalid_request"),
                                        ("code_challenge_method", "invalid_request"), ("response_mode", "invalid_request"), ("nonce", "invalid_request"),
                                        ("login_hint", "invalid_request"), ("connector_id", "invalid_request"), ("response_type", "unsupported_response_type"),
                                        ("id_token_hint", "invalid_request"), ("state", "invalid_request")])
def test_an_authorization_parameter_without_end_or_sense(authd, name, error):
    for value in ("x" * 6000, "x" * 4000 + "\n"):
        answer = authd.browser().post("/oidc/auth", {k: v for k, v in authorization().items() if k not in ("prompt", "id_token_hint")} | {name: value})
        assert query_of(answer.headers["Location"])["error"] == error, answer.headers["Location"][:300]


FOREIGN = ["https://evil.example/cb", WEB_URI + "/", WEB_URI + "&y=2", WEB_URI.replace("https", "http"), WEB_URI.upper(), WEB_URI + "#x", WEB_URI + "%00", "//app.example/cb?x=1",
           "https://app.example@evil.example/cb?x=1", "https://app.example.evil.example/cb?x=1", "https://app.example:443/cb?x=1", "https://app.example/../cb?x=1",
           "https://app.example\\@evil.example/cb?x=1", "javascript:alert(1)", "data:text/html,x", "/device/callback", "urn:ietf:wg:oauth:2.0:oob", "", " " + WEB_URI,
           WEB_URI + "\r\nX: y", "http://127.0.0.1/callback", "x" * 10000]


@pytest.mark.parametrize("uri", FOREIGN, ids=range(len(FOREIGN)))
def test_a_foreign_redirect_uri_is_a_page_everywhere(authd, uri):
    for more in ({}, {"response_type": "id_token token"}, {"response_mode": "form_post"}, {"prompt": "none"}, {"response_type": "nonsense"}, {"request": "x"}):
        is_page(authd.browser().post("/oidc/auth", authorization(redirect_uri=uri) | more))
    answer = authd.token({"grant_type": "authorization_code", "code": secrets.token_urlsafe(32), "redirect_uri": uri or "x"}, auth=(WEB, WEB_SECRET))
    assert answer.json()["error"] == "invalid_grant"


def test_nothing_of_this_was_an_error_of_ours(authd):
    lines = authd.log().splitlines()
    assert not [line for line in lines if re.match(r"\S+ error ", line)] and not [line for line in lines if re.search(r" status=5\d\d ", line) and "status=501" not in line]
