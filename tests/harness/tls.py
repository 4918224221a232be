"""tls.py: certificates for tests, and clients that speak TLS: Wire (wire.py) behind Python's ssl."""

import os
import socket
import ssl
import subprocess

from harness import clock
from harness.wire import PATIENCE_S, Wire


def make_pair(place, name="server", days=30, cn="localhost"):
    """NAME.pem and NAME.key in *place*, a self-signed certificate and its key; days below 0: it has expired."""
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={cn}", "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "30"]
    subprocess.run(argv, cwd=place, check=True, capture_output=True)
    if days != 30:
        subprocess.run(["openssl", "x509", "-in", f"{name}.pem", "-signkey", f"{name}.key", "-days", str(days), "-out",
                        f"{name}.pem"], cwd=place, check=True, capture_output=True)
    os.chmod(place / f"{name}.key", 0o600)
    return place / f"{name}.pem"


def issue(place, name, by=None, authority=False, days=90, names="DNS:localhost", more=(), at=None):
    """NAME.pem and NAME.key, signed by another's (or itself); *more*: extensions; *at*: when, for libfaketime."""
    extensions = [f"basicConstraints=critical,CA:{'TRUE' if authority else 'FALSE'}",
                  *([f"subjectAltName={names}"] if names else []), *more]
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", str(days)]
    argv += ["-CA", f"{by}.pem", "-CAkey", f"{by}.key"] if by else []
    for extension in extensions:
        argv += ["-addext", extension]
    env = dict(os.environ, **({"LD_PRELOAD": clock.library(), "FAKETIME": at} if at else {}))
    subprocess.run(argv, cwd=place, check=True, capture_output=True, env=env)
    os.chmod(place / f"{name}.key", 0o600)
    return (place / f"{name}.pem").read_text()


def config(place, bind="127.0.0.1:0 tls", **pair):
    """What a server needs in its configuration to speak TLS, with a pair made for it."""
    make_pair(place, **pair)
    return {"server.bind": bind, "tls.certificate": "server.pem", "tls.key": "server.key"}


def context(place, name="server", alpn=("http/1.1",), low=None, high=None, ciphers=None):
    made = ssl.create_default_context(cafile=str(place / f"{name}.pem"))
    made.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF     # an end without close_notify is an error
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if low:
        made.minimum_version = low
    if high:
        made.maximum_version = high
    if ciphers:
        made.set_ciphers(ciphers)
    return made


class SecureWire(Wire):
    """A Wire over TLS. *first*: bytes that are sent in the clear before; *session*: to be resumed."""

    def __init__(self, address, context, session=None, first=b""):
        super().__init__(address)
        if first:
            self.socket.sendall(first)
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost", session=session,
                                          suppress_ragged_eofs=False)

    def session(self):
        """The present session, once a ticket has come: with TLS 1.3 that is behind the handshake."""
        return self.socket.session

    def was_resumed(self):
        return self.socket.session_reused

    def ends_well(self):
        """The server has said that it ends (close_notify), and nothing else."""
        try:
            return self.socket.recv(1) == b""
        except ssl.SSLEOFError:
            return False


def s_client(server, *words, text=b""):
    """What `openssl s_client` says, standard output and error together."""
    host, port = server.tcp()
    done = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", *words], input=text,
                          capture_output=True, timeout=PATIENCE_S)
    return (done.stdout + done.stderr).decode(errors="replace")


class Typed:
    """`openssl s_client` at a terminal: what is typed, and what it says, standard output and error together."""

    def __init__(self, server, *words):
        host, port = server.tcp()
        self.process = subprocess.Popen(["openssl", "s_client", "-connect", f"{host}:{port}", *words],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def type(self, text):
        """False: it has ended."""
        try:
            self.process.stdin.write(text)
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def await_line(self, wanted):
        """False: it has ended without."""
        return any(wanted in line for line in self.process.stdout)


def raw(server):
    """A plain connection to where TLS is spoken."""
    made = socket.create_connection(server.tcp(), timeout=PATIENCE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
