"""An apiserver for what nginx cannot play: takes bodies whole, switches to a tunnel that swallows or pours, and watches that say one thing and go on.

    upstream.py PORT FOLDER     mTLS with the files of parts.Pki; one thread for each connection until it watches"""
import resource
import socket
import ssl
import sys
import threading

EVENT = b'{"type":"BOOKMARK"}\n'
CHUNK = bytes(65536)
watchers = []


def read_head(tls):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = tls.recv(1)
        if not byte:
            return None
        head += byte
    return head.decode("latin-1")


def field(head, name):
    for line in head.split("\r\n")[1:]:
        if line.lower().startswith(name + ":"):
            return line.split(":", 1)[1].strip()
    return None


def swallow(tls, n):
    room = bytearray(1 << 20)
    while n:
        got = tls.recv_into(room, min(n, len(room)))
        if not got:
            return False
        n -= got
    return True


def tunnel(tls, head):
    """The client's first eight bytes say how many it will send, the next eight how many it wants."""
    tls.sendall(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {field(head, 'upgrade')}\r\n\r\n".encode())
    wanted = b""
    while len(wanted) < 16:
        wanted += tls.recv(16 - len(wanted))
    up, down = int.from_bytes(wanted[:8], "big"), int.from_bytes(wanted[8:], "big")
    swallow(tls, up)
    while down > 0:
        tls.sendall(CHUNK[:down])
        down -= min(down, len(CHUNK))
    tls.sendall(b"!")
    tls.recv(1)


def serve(tls):
    while (head := read_head(tls)) is not None:
        if field(head, "upgrade"):
            tunnel(tls, head)
            return
        length = int(field(head, "content-length") or 0)
        if not swallow(tls, length):
            return
        if "watch=" in head.split(" ", 2)[1]:
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(EVENT), EVENT))
            watchers.append(tls)
            return
        size = int(field(head, "x-answer-bytes") or 2)
        tls.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size))


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def serve_streams(tls):
    """HTTP/2, for watches alone; 100 at a time, as kube-apiserver. 0x88: HPACK's static ":status: 200"."""
    stream = tls.makefile("rb")
    stream.read(24)
    tls.sendall(frame(4, 0, 0, b"\0\3\0\0\0\x64") + frame(4, 1, 0))
    while len(head := stream.read(9)) == 9:
        payload = stream.read(int.from_bytes(head[:3], "big"))
        if head[3] == 1:
            number = int.from_bytes(head[5:], "big")
            tls.sendall(frame(1, 4, number, b"\x88") + frame(0, 0, number, EVENT))
        elif head[3] == 6 and head[4] == 0:
            tls.sendall(frame(6, 1, 0, payload))


def connection(plain, context):
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = context.wrap_socket(plain, server_side=True)
        (serve_streams if tls.selected_alpn_protocol() == "h2" else serve)(tls)
    except OSError:
        pass


def main():
    port, folder = int(sys.argv[1]), sys.argv[2]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    threading.stack_size(256 * 1024)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
    context.load_verify_locations(folder + "/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2", "http/1.1"])
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=connection, args=(plain, context), daemon=True).start()


if __name__ == "__main__":
    main()
