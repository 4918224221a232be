"""What a scanner of others finds at a listener with "tls": testssl.sh, its whole list of known weaknesses, ciphers one
by one and clients from Android 6 on. It asks nobody but the server."""

import json
import os
import re
import shutil
import subprocess

import pytest

from harness import tls
from harness.server import FAST

LONGEST_S = 3600
HARMLESS = {"OK", "INFO", "LOW"}
# What it would have otherwise: its name, and why that is no matter.
EXCUSED = {
    "engine_problem": "of the openssl that scans: it has no GOST",
    "scanTime": "this machine may be busy",
}
# The only ones of which it may say "No connection": they end before TLS 1.2, or before its AEAD ciphers.
TOO_OLD = re.compile(r"clientsimulation-(android_[1-4]\d*|ie_(6|7|8)_\w+|java_?[67]\w*|openssl_098\w*|openssl_100\w*|"
                     r"safari_[5-8]_\w+|xp_\w+)$")


def make_certificate(place):
    """Of an authority that the scanner knows, as a public one would make it."""
    tls.issue(place, "root", authority=True)
    middle = tls.issue(place, "middle", by="root", authority=True)
    own = tls.issue(place, "server", by="middle", names="DNS:localhost,IP:127.0.0.1",
                    more=["extendedKeyUsage=serverAuth", "authorityInfoAccess=OCSP;URI:http://localhost/ocsp"])
    (place / "server.pem").write_text(own + middle)


def scan(place, port):
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    assert program, "testssl.sh is not installed (etc/packages test)"
    argv = [program, "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1", "--color", "0", "--full", "--add-ca",
            "root.pem", "--jsonfile", "found.json", f"https://localhost:{port}/"]
    # none but ours, whatever this machine's settings are
    env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    done = subprocess.run(argv, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env,
                          timeout=LONGEST_S, errors="replace")
    assert done.stdout.rstrip().splitlines()[-1].startswith(" Done "), done.stdout[-1500:]
    rows = json.loads((place / "found.json").read_text())
    return {row["id"]: (row["severity"], row["finding"]) for row in rows}


@pytest.mark.long
def test_scan(serve, place):
    make_certificate(place)
    server = serve(workers=2, config={**FAST, "server.bind": "127.0.0.1:0 tls", "tls.certificate": "server.pem",
                                      "tls.key": "server.key", "tls.hsts": "365d", "server.profile": "hardened"})
    found = scan(place, server.tcp()[1])
    bad = {name: row for name, row in found.items() if row[0] not in HARMLESS and name not in EXCUSED}
    assert not bad
    offered = {name for name in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3")
               if not found[name][1].startswith("not offered")}
    assert offered == {"TLS1_2", "TLS1_3"}
    assert found["ALPN"][1] == "http/1.1"
    ciphers = [text for name, (_, text) in found.items() if re.match(r"cipher-tls1_[0-9]_x", name)]
    assert len(ciphers) >= 6
    assert [text for text in ciphers if not re.search("AESGCM|ChaCha20", text)] == []
    assert set(found["PFS_ECDHE_curves" if "PFS_ECDHE_curves" in found else "FS_ECDHE_curves"][1].split()) == {
        "prime256v1", "secp384r1", "X25519"}
    assert not {"DH_groups", "FS_TLS12_sig_algs"} & {name for name in found if found[name][1].startswith("ffdhe")}
    clients = {name: text for name, (_, text) in found.items() if name.startswith("clientsimulation-")}
    refused = {name for name, text in clients.items() if text == "No connection"}
    assert len(clients) - len(refused) >= 25
    assert [name for name in refused if not TOO_OLD.match(name)] == []
    totals = server.status()["totals"]
    assert totals["workers_died"] == 0 and totals["tls_handshakes"] > 20 and totals["tls_failed"] > 20, totals
