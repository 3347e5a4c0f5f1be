"""Credentials beside an issuer's tokens, and what arrives of them upstream."""
import json

from gatehouse import proxyd_config

JANES = "janes-token-0123456789"
JSON = {"Content-Type": "application/json"}


def config(ca, upstream, authentication, issuers=(), **more):
    config = proxyd_config(ca, issuers, upstream, **more)
    config["authentication"] |= authentication
    return config


def identity(recorded):
    """The impersonation headers in order, without "Impersonate-"."""
    return [(n[12:], v) for n, v in recorded.headers if n.lower().startswith("impersonate")]


def proven(how):
    return ("Extra-gatehouse%2Fhow", how)


def is_401(answer):
    status, headers, body = answer
    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert json.loads(body) == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "Unauthorized",
                                "reason": "Unauthorized", "code": 401}
    return True
