"""`colmeia doctor` and the certificate of listeners with "tls": names and dates, the chain behind it in its file,
the key, and what cannot be read."""

import re
import subprocess

import pytest

from harness import tls
from harness.server import run_verb, write_ini
from process.test_doctor import about, examine
from process.test_tls import pair

INI = {"server.bind": "127.0.0.1:0 tls", "tls.certificate": "server.pem", "tls.key": "server.key"}


def date(place, name, which="end"):
    """When this certificate begins or ends, as openssl reads it."""
    said = subprocess.run(["openssl", "x509", "-in", f"{name}.pem", "-noout", f"-{which}date", "-dateopt", "iso_8601"],
                          cwd=place, check=True, capture_output=True, text=True).stdout
    return re.search(r"=(\d{4}-\d\d-\d\d) ", said)[1]


def of(place, what, level, env=None):
    """What is found about it, which has that level, as "what — remedy"."""
    ini = write_ini(place, INI)
    (finding,) = about(examine(place, "--config", str(ini), env=env), what)
    assert finding["level"] == level, finding
    return f"{finding['what']} — {finding['remedy']}"


@pytest.fixture
def authorities(place):
    """A root and one between it and the servers; the machine trusts nobody but who is said to."""
    root = tls.issue(place, "root", authority=True)
    middle = tls.issue(place, "middle", by="root", authority=True)
    (place / "nobody").mkdir()

    def make(*behind, trusted=None, **server):
        own = tls.issue(place, "server", **{"by": "middle", **server})
        (place / "server.pem").write_text("".join([own, *behind]))
        return {"SSL_CERT_DIR": str(place / "nobody"), "SSL_CERT_FILE": str(place / (trusted or "none.pem"))}
    return root, middle, make


def test_no_listener_needs_one(place):
    ini = write_ini(place, {**INI, "server.bind": "127.0.0.1:0", "tls.certificate": "nowhere.pem"})
    findings = examine(place, "--config", str(ini))
    assert about(findings, "certificate", "ok")[0]["what"] == "no listener has tls, so none is needed"
    assert not about(findings, "chain")


def test_good(place, authorities):
    _, middle, make = authorities
    trust = make(middle, trusted="root.pem", names="DNS:a.example,DNS:*.b.example,IP:192.0.2.1,IP:2001:db8::1")
    names = "a.example, *.b.example, 192.0.2.1, 2001:db8::1"
    assert of(place, "certificate", "ok", trust) == f"server.pem: for {names}, until {date(place, 'server')} — None"
    assert "authority that this machine trusts" in of(place, "chain", "ok", trust)


def test_many_and_odd_names(place, authorities):
    _, middle, make = authorities
    make(middle, names="email:a@b.example," + ",".join(f"DNS:{n}.example" for n in range(10)))
    assert "for 0.example, 1.example, " in of(place, "certificate", "ok")
    assert "7.example and 2 more, until" in of(place, "certificate", "ok")
    make(middle, names="")
    assert "it names no host" in of(place, "certificate", "warn")


def test_dates(place, authorities):
    _, middle, make = authorities
    make(middle, days=29)
    assert f"until {date(place, 'server')}" in of(place, "certificate", "ok"), "not yet in its last third"
    make(middle, days=31, at="-540h")
    assert f"it expires on {date(place, 'server')}, in 8 days — renew it" in of(place, "certificate", "warn")
    make(middle, days=20, at="-540h")
    assert f"it has expired on {date(place, 'server')}" in of(place, "certificate", "fail")
    make(middle, days=90, at="+2d")
    assert f"it is not valid before {date(place, 'server', 'start')}" in of(place, "certificate", "fail")


def test_one_of_the_chain_ends_first(place, authorities):
    _, _, make = authorities
    make(tls.issue(place, "middle", by="root", authority=True, days=100, at="-1716h"))
    said = of(place, "certificate", "warn")
    assert f"server.pem, that of CN=middle in its chain: it expires on {date(place, 'middle')}, in 28 days" in said


def test_chain_with_its_root(place, authorities):
    root, middle, make = authorities
    trust = make(middle, root)
    assert "it leads to CN=root, which clients must have" in of(place, "chain", "ok", trust)


def test_self_signed(place):
    tls.make_pair(place)
    assert "it has signed itself" in of(place, "chain", "warn")


def test_chain_in_the_wrong_order(place, authorities):
    root, middle, make = authorities
    trust = make(root, middle, trusted="root.pem")
    assert "server.pem: CN=root stands too early — put each" in of(place, "chain", "warn", trust)


def test_stranger_in_the_chain(place, authorities):
    _, middle, make = authorities
    stranger = tls.issue(place, "stranger", authority=True)
    trust = make(middle, stranger, trusted="root.pem")
    assert "CN=stranger has not signed the one before it" in of(place, "chain", "warn", trust)


def test_incomplete_chain(place, authorities):
    _, _, make = authorities
    trust = make(trusted="root.pem")
    assert "it ends before CN=middle, which is neither" in of(place, "chain", "warn", trust)
    trust = make(trusted="root.pem", more=["authorityInfoAccess=caIssuers;URI:http://middle.example/m.crt"])
    assert "(it is at http://middle.example/m.crt)" in of(place, "chain", "warn", trust)


def test_not_meant_for_servers(place, authorities):
    _, middle, make = authorities
    trust = make(middle, trusted="root.pem", more=["extendedKeyUsage=clientAuth"])
    assert "clients refuse it: " in of(place, "chain", "fail", trust)


@pytest.mark.parametrize("what", ["mismatch", "open", "missing", "cut-chain"])
def test_wrong_pairs(place, what):
    """What the master finds and what its child does: as a start would say it."""
    why = pair(place, what)
    findings = examine(place, "--config", str(write_ini(place, INI)))
    (finding,) = about(findings, "certificate", "fail")
    assert re.search(why, finding["what"]) and "no start and no reload takes it" in finding["remedy"]
    assert not about(findings, "chain")


def test_with_names_that_terminals_obey(place, authorities):
    """A subject is text of others."""
    _, _, make = authorities
    tls.issue(place, "od\x1bd", by="root", authority=True)
    make(by="od\x1bd")
    said = of(place, "chain", "warn")
    assert "CN=od\\1Bd" in said and "\x1b" not in run_verb(place, "doctor", "--config", "colmeia.ini").stdout
