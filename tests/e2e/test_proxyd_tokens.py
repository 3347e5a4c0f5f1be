"""Tokens as they must not be, at the door of the whole proxyd, over HTTP/1.1 and HTTP/2: every one is refused in the same words, without a question to
anybody. One test for each kind of fault; each begins with a good token that is taken, from which the bad ones are made."""
import base64
import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from gatehouse import CA, Issuer, Proxyd, SigningKey, Upstream, connect, proxyd_config, request
from h2_client import H2

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value):
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


class LongKey(SigningKey):
    """On P-384, published as such."""

    def __init__(self):
        self.kid, self.alg, self.private = "long", "ES384", ec.generate_private_key(ec.SECP384R1())

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        x, y = (b64(v.to_bytes(48, "big")) for v in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-384", "x": x, "y": y, "use": "sig", "alg": "ES384", "kid": self.kid}


class Mint:
    """Tokens of the issuer, and whatever else can be made with its keys."""

    def __init__(self, issuer):
        self.issuer = issuer
        self.rs, self.es, self.long = issuer.keys

    def claims(self, **more):
        now = int(time.time())
        claims = {"iss": self.issuer.url, "aud": "test", "sub": "jane", "iat": now, "exp": now + 3600, "groups": ["dev"]} | more
        return {k: v for k, v in claims.items() if v is not ...}

    def rsa(self, header, payload=None, hash_=None, pad=None):
        """header and payload: objects, or bytes as they are. Signed by the RSA key."""
        text = b64(compact(header)) + "." + b64(compact(self.claims() if payload is None else payload))
        return text + "." + b64(self.rs.private.sign(text.encode(), pad or padding.PKCS1v15(), hash_ or hashes.SHA256()))

    def rs256(self, payload):
        return self.rsa({"alg": "RS256", "kid": "rs"}, payload)

    def with_claims(self, **more):
        return self.rs256(self.claims(**more))

    def with_raw_claim(self, name, text):
        """A claim as this JSON text, right or not."""
        rest = compact(self.claims(**{name: ...}))
        return self.rs256(b'{"%s":%s,' % (name.encode(), text) + rest[1:])

    def ecdsa_parts(self):
        """(signing input, r, s) of a good ES256 token."""
        text = b64(compact({"alg": "ES256", "kid": "es"})) + "." + b64(compact(self.claims()))
        return text, *utils.decode_dss_signature(self.es.private.sign(text.encode(), ec.ECDSA(hashes.SHA256())))

    def good(self):
        text, r, s = self.ecdsa_parts()
        return [self.rs256(self.claims()), f"{text}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"]


def with_alg(m):
    for alg in ("none", "None", "nOnE", "NONE", "rs256", "", 256, None, ["RS256"], True):
        token = m.rsa({"alg": alg, "kid": "rs"})
        yield token
        yield token[: token.rindex(".") + 1]
    yield m.rsa({"kid": "rs"})


def with_hmac(m):
    public = m.rs.private.public_key()
    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    spki, pkcs1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
    modulus = public.public_numbers().n.to_bytes(256, "big")
    secrets = [public.public_bytes(e, f) for e in (pem, der) for f in (spki, pkcs1)]
    secrets += [secrets[0].rstrip(), modulus, b64(modulus).encode(), compact(m.rs.jwk()), b"", b"\0"]
    for secret in secrets:
        for alg, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
            text = b64(compact({"alg": alg, "kid": "rs"})) + "." + b64(compact(m.claims()))
            yield text + "." + b64(hmac.new(secret, text.encode(), digest).digest())


def with_another_alg_of_the_key(m):
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    yield m.rsa({"alg": "RS512", "kid": "rs"}, hash_=hashes.SHA512())
    yield m.rsa({"alg": "PS256", "kid": "rs"}, pad=pss)
    yield m.rsa({"alg": "RS256", "kid": "rs"}, pad=pss)
    yield m.rsa({"alg": "RS256", "kid": "rs"}, hash_=hashes.SHA512())
    for kid in ("es", "long"):
        text = b64(compact({"alg": "ES256", "kid": kid})) + "." + b64(compact(m.claims()))
        r, s = utils.decode_dss_signature(m.long.private.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        yield f"{text}.{b64(r.to_bytes(48, 'big') + s.to_bytes(48, 'big'))}"
    yield m.rsa({"alg": "RS256", "kid": "es"})


def with_kid(m):
    for kid in ("../../dev/null", "/dev/null", "r\0s", "RS", "rs ", " rs", "k" * 129, "k" * 700, "k" * 4096, 7, None, ["rs"], ""):
        yield m.rsa({"alg": "RS256", "kid": kid})
    yield m.rsa(b'{"alg":"RS256","kid":"rs","kid":"rs"}')
    yield m.rsa({"alg": "RS256"})


def with_extensions(m):
    evil = rsa.generate_private_key(65537, 2048)
    own = SigningKey("evil")
    own.private, own.alg = evil, "RS256"
    for more in ({"jwk": own.jwk()}, {"jku": "https://127.0.0.1/keys"}, {"x5u": "https://127.0.0.1/c"}, {"x5c": ["MIIB"]}, {"crit": ["exp"]},
                 {"crit": []}, {"b64": False}, {"b64": True},
                 {"b64": False, "crit": ["b64"]}):
        header = {"alg": "RS256", "kid": "rs"} | more
        yield m.rsa(header)
        text = b64(compact(header)) + "." + b64(compact(m.claims()))
        yield text + "." + b64(evil.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))
    head, payload, signature = m.good()[0].split(".")
    yield ".".join([head, b64(b"key"), b64(b"iv"), payload, signature])
    yield compact({"protected": head, "payload": payload, "signature": signature}).decode()
    yield compact({"payload": payload, "signatures": [{"protected": head, "signature": signature}]}).decode()


def with_duplicates(m):
    for header in (b'{"alg":"RS256","alg":"RS256","kid":"rs"}', b'{"alg":"none","kid":"rs","alg":"RS256"}',
                   b'{"alg":"RS256","kid":"rs","\\u0061lg":"RS256"}', b'{"alg":"RS256","kid":"rs","x":1,"x":1}'):
        yield m.rsa(header)
    whole = compact(m.claims())
    for more in (b'"sub":"root"', b'"\\u0073ub":"root"', b'"exp":9999999999', b'"groups":["system:masters"]', b'"x":{"a":1,"a":2}'):
        yield m.rs256(whole[:-1] + b"," + more + b"}")


def with_lenient_base64(m):
    parts = m.good()[0].split(".")
    for i, part in enumerate(parts):
        spoiled = [part + "=", part + "==", part[:5] + "+" + part[6:], part[:5] + "/" + part[6:], part[:5] + " " + part[5:],
                   part + "A" * (1 + (4 - len(part)) % 4), part[:-1] + "\t" + part[-1]]
        if len(part) % 4:  # the last character's unused bits
            alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            spoiled.append(part[:-1] + alphabet[alphabet.index(part[-1]) + 1])
        for one in spoiled:
            text = ".".join([*parts[:i], one, *parts[i + 1 : 2]])
            yield text if i == 2 else text + "." + b64(m.rs.private.sign(text.encode(), padding.PKCS1v15(),
                                                                         hashes.SHA256()))  # the signature is no reason


def with_other_parts(m):
    head, payload, signature = m.good()[0].split(".")
    yield from (f"{head}.{payload}", f"{head}.{payload}.", f"{head}.{payload}.{signature}.", f"{head}.{payload}.{signature}.x",
                f".{payload}.{signature}", f"{head}..{signature}", "..", ".", "x", f"{head}. {payload}.{signature}",
                f"{head}.{payload}.{signature} x", f"x {head}.{payload}.{signature}", f'"{head}.{payload}.{signature}"')


def with_ecdsa(m):
    text, r, s = m.ecdsa_parts()

    def raw(r, s, n=32):
        return f"{text}.{b64(r.to_bytes(n, 'big') + s.to_bytes(n, 'big'))}"

    for bad in (0, ORDER, ORDER + 1, 2**256 - 1):
        yield from (raw(bad, s), raw(r, bad), raw(bad, bad))
    yield f"{text}.{b64(utils.encode_dss_signature(r, s))}"
    whole = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    yield from (f"{text}.{b64(bad)}" for bad in (whole[:-1], whole[1:], whole + b"\0", b"\0" + whole, b"\0\0" + whole, whole * 2, b"x"))
    yield from (raw(r, s, 33), f"{text}.{'A' * 21830}")


def with_rsa(m):
    head, payload, signature = m.good()[0].split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for bad in (raw[:-1], raw[1:], raw + b"\0", b"\0" + raw, bytes(256), b"\xff" * 256, bytes(255) + b"\x01", b"", raw[:128]):
        yield f"{head}.{payload}.{b64(bad)}"


def with_times(m):
    soon = str(int(time.time()) + 3600).encode()
    for name in ("exp", "nbf", "iat"):
        for text in (b'"' + soon + b'"', b"null", soon + b".0", b"1E10", b"1e400", b"-1", b"9007199254740993", b"9223372036854775808",
                     b"99999999999999999999999", b"253402300800", b"[" + soon + b"]",
                     b"true", b"0x65", b"0" + soon, b"+1"):
            yield m.with_raw_claim(name, text)
    yield from (m.with_claims(exp=...), m.with_claims(exp=0), m.with_claims(exp=int(time.time()) - 3600), m.with_claims(nbf=int(time.time()) + 3600),
                m.with_claims(iat=int(time.time()) + 3600), m.with_claims(nbf=253402300799), m.with_claims(nbf=9223372036854775807))


def with_audiences(m):
    for aud in ("other", "Test", "test ", "", [], ["other"], [["test"]], {"test": 1}, None, 7, ["test", 7], ["test"] + ["x"] * 1200,
                ["x"] * 10000 + ["test"], ..., "test\0", "test,other"):
        yield m.with_claims(aud=aud)
    yield from (m.with_claims(azp="evil"), m.with_claims(aud=["test", "evil"], azp="evil"), m.with_claims(azp=""), m.with_claims(azp=None),
                m.with_claims(azp=["test"]))
    url = m.issuer.url
    for iss in (url + "/", url.upper(), url.replace("https", "http"), url + "#", url + "?", " " + url, url[:-1], "", None, [url], ..., url + "\0"):
        yield m.with_claims(iss=iss)


def with_names(m):
    for text in (b'"a\\u0000b"', b'"\\ud800"', b'"\\udfff"', b'"a\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xff"', b'"a\nb"',
                 b'"a\\r\\nImpersonate-Group: system:masters"', b'"a\\nb"', b'"a\\rb"', b'"a\\tb"', b'" a"', b'"a "',
                 b'"\\u007f"', b'"\\u0085"', b'" system:masters\\t"', b'""', b"7", b"null", b"{}"):
        yield m.with_raw_claim("sub", text)
        yield m.with_raw_claim("groups", b'["dev",%s]' % text)
    yield m.with_claims(sub=...)


def with_kubernetes_names(m):
    yield from (m.with_claims(sub=name) for name in ("system:admin", "system:", "system:serviceaccount:kube-system:default",
                                                     "system:kube-controller-manager"))
    yield from (m.with_claims(groups=groups) for groups in (["system:masters"], ["dev", "system:masters"], "system:masters", ["system:authenticated"],
                                                            [f"g{i}" for i in range(254)], ["dev", ""], [""]))


def with_payloads(m):
    whole = compact(m.claims())
    deep = b"[" * 17 + b"]" * 17
    yield from (m.rs256(text) for text in (b"\xef\xbb\xbf" + whole, whole + b"x", whole + whole, whole + b"\0", b"[" + whole + b"]", b'"x"', b"null",
                                           b"", b"{}", whole[:-1], whole[:-1] + b',"x":' + deep + b"}", b"\xff\xfe" + whole,
                                           whole.replace(b'"', b"'"), b"/**/" + whole, whole[:-1] + b",}"))
    yield from (m.rsa(header) for header in (b'\xef\xbb\xbf{"alg":"RS256","kid":"rs"}', b'{"alg":"RS256","kid":"rs"}x',
                                             b'[{"alg":"RS256","kid":"rs"}]', b"null", b"", b'{"alg":"RS256","kid":"rs","x":' + deep + b"}"))


def with_length(m):
    yield m.with_claims(padding="x" * 8192)
    yield m.with_claims(padding="x" * 30000)
    yield "x" * 8193
    yield "a." * 4097


def of_another_kind(m):
    for typ in ("at+jwt", "AT+JWT", "application/at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt"):
        yield m.rsa({"alg": "RS256", "kid": "rs", "typ": typ})


def with_nothing(m):
    yield from ("", " ", ".", "null", "undefined", "Bearer", f"Bearer {m.good()[0]}")


FAULTS = [with_alg, with_hmac, with_another_alg_of_the_key, with_kid, with_extensions, with_duplicates, with_lenient_base64, with_other_parts,
          with_ecdsa, with_rsa, with_times, with_audiences, with_names, with_kubernetes_names, with_payloads, with_length, of_another_kind,
          with_nothing]


class Door:
    """The running proxyd, and what stands behind it."""

    def __init__(self, proxyd, ca, issuer, upstream):
        self.proxyd, self.ca, self.issuer, self.upstream = proxyd, ca, issuer, upstream
        self.mint = Mint(issuer)


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    ca = CA(folder / "pki")
    with Issuer(ca, keys=[SigningKey("rs", "RS256"), SigningKey("es"), LongKey()]) as issuer, Upstream(ca) as upstream:
        config = proxyd_config(ca, [issuer], upstream, workers=1, limits={"refusalRatePerAddress": 0})
        with Proxyd(folder, config) as proxyd:
            yield Door(proxyd, ca, issuer, upstream)


def comparable(headers):
    return sorted((name.lower(), value) for name, value in headers if name.lower() not in (":status", "date", "x-request-id"))


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def ask(request, door):
    """Asks with an Authorization header: (status, headers, body)."""
    if request.param == "HTTP/1.1":
        def one(authorization):
            status, headers, body = call(door, authorization)
            return status, comparable(headers.items()), body

        yield one
        return
    with H2(door.proxyd.address, door.ca) as client:
        def one(authorization):
            answer = client.answer(client.request("GET", "/api", headers=[("authorization", authorization)]))
            return answer.status, comparable(answer.headers.items()), answer.body

        yield one


def call(door, authorization):
    return request(door.proxyd.address, "GET", "/api", door.ca, headers={"Authorization": authorization})


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_token_is_refused(door, ask, fault):
    for token in door.mint.good():
        assert ask(f"Bearer {token}")[0] == 200
    refusal = ask("Bearer x.y.z")
    assert refusal[0] == 401 and json.loads(refusal[2])["reason"] == "Unauthorized"
    upstream, keys = len(door.upstream.requests), len(door.issuer.requests)
    n = 0
    for token in fault(door.mint):
        # What is around a value is no part of it (RFC 9110 section 5.5); HTTP/2 has no such blanks (RFC 9113 section 8.2.1).
        assert ask(f"Bearer {token}".strip()) == refusal, token
        n += 1
    assert n >= 4 and len(door.upstream.requests) == upstream
    # A kid that nobody knows may be a new key's: asked for once in a while.
    assert len(door.issuer.requests) - keys <= (2 if fault is with_kid else 0)


def test_what_is_right_at_the_edge_is_taken(door, ask):
    m = door.mint
    scheme = [f"{word} {m.good()[0]}" for word in ("Bearer", "bearer", "BEARER", "bEaReR")]
    tokens = [m.with_claims(exp=253402300799), m.with_claims(nbf=0, iat=0), m.with_claims(aud=["x", "test"]), m.with_claims(azp="test"),
              m.with_claims(groups=[f"g{i}" for i in range(253)]), m.with_claims(sub="s" * 200), m.with_claims(sub="systems"),
              m.with_claims(sub="Jürgen"), m.rsa({"alg": "RS256", "kid": "rs", "typ": "JWT"}), m.rsa({"alg": "RS256", "kid": "rs", "x5t": "abc"}),
              m.with_claims(padding="x" * 5000)]
    for authorization in [*scheme, *(f"Bearer {token}" for token in tokens)]:
        assert ask(authorization)[0] == 200, authorization
    assert door.upstream.requests[-1].values("Authorization") == []


def test_two_credentials_are_none(door):
    """Whichever comes first, in one header or in two."""
    good, other = door.mint.good()
    before = len(door.upstream.requests)
    for lines in ([good, other], [good, good], [good, "x.y.z"]):
        with connect(door.proxyd.address, door.ca) as tls:
            head = "".join(f"Authorization: Bearer {token}\r\n" for token in lines)
            tls.sendall(f"GET /api HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
            assert tls.recv(4096).startswith(b"HTTP/1.1 400 ")
        with H2(door.proxyd.address, door.ca) as client:
            answer = client.answer(client.request("GET", "/api", headers=[("authorization", f"Bearer {token}") for token in lines]))
            assert answer.status == 400
        assert call(door, ", ".join(f"Bearer {token}" for token in lines))[0] == 401
    assert len(door.upstream.requests) == before
