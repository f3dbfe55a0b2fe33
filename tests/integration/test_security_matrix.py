# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of peer, against every method, on paths that are open to it or not: before and after a reload and a
restart."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

from clients import coap_client
from daemon import free_port

METHODS = ("get", "post", "put", "delete", "fetch", "patch", "ipatch")
SECRET, SALT = "0102030405060708090a0b0c0d0e0f10", "9e7ca92223786340"


class Peer:
    """Somebody who asks. `name` is the subject that a rule would name; None: a stranger."""

    def __init__(self, name, scheme, *arguments, host="127.0.0.1"):
        self.name, self.scheme, self.arguments, self.host = name, scheme, arguments, host

    def __repr__(self):
        return f"{self.name or 'stranger'}-{self.scheme}"

    def ask(self, daemon, path, method="get", *more):
        """ "4.01", "4.03", "allowed" for every other answer, "silence" and more for none."""
        # libcoap by itself answers 4.15 to a FETCH without a content format (RFC 8132, 2.3.1).
        payload = ["-e", "x", "-t", "text/plain"] if method in ("post", "put", "fetch", "patch", "ipatch") else []
        for _ in range(5):
            result = self._run(daemon, path, method, payload, more)
            # The client's own trouble: it has bound to a port that is still in TIME_WAIT.
            if "Cannot assign requested address" not in result.stdout:
                break
        answers = re.findall(r"^v:.* c:([245]\.\d\d)(?!.*Echo)", result.stdout + result.stderr, re.M)
        code = answers[0] if answers else f"silence: {result}"
        return code if code in ("4.01", "4.03") or not answers else "allowed"

    def _run(self, daemon, path, method, payload, more):
        return coap_client("-v", "6", "-m", method, *payload, *self.arguments, *more,
                           daemon.uri(path, self.scheme, port=daemon.ports[self.scheme]), wait=5)


@pytest.fixture(scope="module")
def material(tmp_path_factory, certificates):
    """What the peers need, once."""
    folder = tmp_path_factory.mktemp("peers")
    for name in ("raw-server", "raw-client"):
        pem = subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"], check=True,
                             capture_output=True).stdout
        (folder / f"{name}.pem").write_bytes(pem)
        (folder / f"{name}.pem").chmod(0o600)
    spki = subprocess.run(["openssl", "pkey", "-in", folder / "raw-client.pem", "-pubout", "-outform", "DER"],
                          check=True, capture_output=True).stdout
    for client in ("02", "03"):
        (folder / f"oscore-{client}").write_text(
            f'master_secret,hex,"{SECRET}"\nmaster_salt,hex,"{SALT}"\nsender_id,hex,"{client}"\nrecipient_id,hex,"01"\n')
    certificates.client_named("guest")
    return {"folder": folder, "certificates": certificates, "rpk": "rpk:" + sha256(spki).hexdigest()}


def peers_of(material):
    c, folder = material["certificates"], material["folder"]
    sensor, other = ["-u", "sensor-1", "-k", "correct horse"], ["-u", "sensor-2", "-k", "battery staple"]
    oscore = {i: ["-E", f"{folder}/oscore-{i},{folder}/sequence-{i}"] for i in ("02", "03")}
    return [
        Peer(None, "coap"),
        Peer(None, "coap+tcp"),
        Peer(None, "coap+ws"),
        Peer(None, "coaps", "-C", c["ca.crt"]),
        Peer("psk:sensor-1", "coaps", *sensor),
        Peer("psk:sensor-2", "coaps", *other),
        Peer("psk:sensor-1", "coaps+tcp", *sensor),
        Peer("psk:sensor-2", "coaps+tcp", *other),
        Peer("psk:sensor-1", "coaps+ws", *sensor),
        Peer("cert:CN=ops", "coaps", *c.pki_arguments()),
        Peer("cert:CN=guest", "coaps", *c.pki_arguments("guest")),
        Peer("cert:CN=ops", "coaps+tcp", *c.pki_arguments()),
        Peer("cert:CN=guest", "coaps+tcp", *c.pki_arguments("guest")),
        Peer("cert:CN=ops", "coaps+ws", *c.pki_arguments()),
        Peer(material["rpk"], "coaps", "-n", "-M", folder / "raw-client.pem"),
        Peer("oscore:02", "coap", *oscore["02"]),
        Peer("oscore:03", "coap", *oscore["03"]),
        Peer("oscore:02", "coap+tcp", *oscore["02"]),
        Peer("net:127.0.0.2", "coap", "-a", "127.0.0.2"),
        Peer("net:127.0.0.2", "coap+tcp", "-a", "127.0.0.2"),
    ]


def groups(material, **changes):
    c = material["certificates"]
    named = ["psk:sensor-1", "cert:CN=ops", "oscore:02", "net:127.0.0.2/32", material["rpk"]]
    return {
        "resources": [{"path": path, "kind": "static", "content": path}
                      for path in ("open", "named", "known", "closed", "unruled")],
        "security": {
            "psk": {"identities": [{"identity": "sensor-1", "key": "correct horse"},
                                   {"identity": "sensor-2", "key": "battery staple"}]},
            "pki": c.pki(),
            "rpk": {"private_key": material["folder"] / "raw-server.pem"},
            "oscore": [{"sender_id": "01", "recipient_ids": ["02", "03"], "master_secret": SECRET,
                        "master_salt": SALT}],
        },
        "access": [
            {"path": "/.well-known/core", "methods": ["GET"], "allow": ["anyone"]},
            {"path": "/open/**", "methods": ["*"], "allow": ["anyone"]},
            {"path": "/named/**", "methods": ["*"], "allow": named},
            {"path": "/known/**", "methods": ["*"], "allow": ["authenticated"]},
            {"path": "/closed/**", "methods": ["*"], "allow": []},
        ],
        **changes,
    }


def start(coapd, material, **changes):
    daemon = coapd(start=False, **groups(material, **changes))
    schemes = ("coap", "coap+tcp", "coap+ws", "coaps", "coaps+tcp", "coaps+ws")
    daemon.ports = {scheme: free_port() for scheme in schemes}
    daemon.write_config(endpoints=[f"{scheme}://127.0.0.1:{port}" for scheme, port in daemon.ports.items()])
    return daemon.start()


def refusal(peer):
    return "4.01" if peer.name is None or peer.name.startswith("net:") else "4.03"


def expected(peer, path, named):
    known = refusal(peer) == "4.03"
    may = {"open": True, "named": peer.name in named, "known": known}.get(path, False)
    return "allowed" if may else refusal(peer)


NAMED = ("psk:sensor-1", "cert:CN=ops", "oscore:02", "net:127.0.0.2")


def check(daemon, peers, methods, named):
    """Peers with the same keys one after the other: those of OSCORE count in one file. The others side by side."""

    def try_all(alike):
        wrong = []
        for peer in alike:
            for path in ("open", "named", "known", "closed", "unruled"):
                for method in methods:
                    got, want = peer.ask(daemon, path, method), expected(peer, path, named)
                    if got != want:
                        wrong.append(f"{peer} {method} /{path}: {got}, not {want}")
        return wrong

    by_keys = {}
    for peer in peers:
        by_keys.setdefault(peer.arguments, []).append(peer)
    with ThreadPoolExecutor(4) as pool:
        wrong = sum(pool.map(try_all, by_keys.values()), [])
    assert not wrong, "\n".join(wrong)


def test_every_peer_method_and_path(coapd, material):
    daemon = start(coapd, material)
    check(daemon, peers_of(material), METHODS, (*NAMED, material["rpk"]))


def test_the_same_after_a_reload_and_after_a_restart(coapd, material):
    daemon = start(coapd, material)
    peers, named = peers_of(material), (*NAMED, material["rpk"])
    check(daemon, peers, ["get"], named)
    changed = groups(material)["access"]
    changed[2]["allow"] = ["psk:sensor-2", "cert:CN=guest", "oscore:03", material["rpk"]]
    daemon.write_config(access=changed)
    daemon.reload()
    now = ("psk:sensor-2", "cert:CN=guest", "oscore:03", material["rpk"])
    check(daemon, peers, METHODS, now)
    daemon.restart()
    check(daemon, peers, METHODS, now)
    daemon.write_config(access=groups(material)["access"])
    daemon.restart("kill")
    check(daemon, peers, ["get", "put"], named)


def test_observe_and_create_need_leave_of_their_own(coapd, material):
    daemon = start(coapd, material, access=[
        {"path": "/open/**", "methods": ["GET", "PUT"], "allow": ["anyone"]},
        {"path": "/open/**", "methods": ["OBSERVE", "CREATE"], "allow": ["authenticated", material["rpk"]]},
    ])
    for i, peer in enumerate(peers_of(material)):
        known = refusal(peer) == "4.03"
        assert peer.ask(daemon, "open") == "allowed", peer
        assert peer.ask(daemon, "open", "get", "-s", "1") == ("allowed" if known else "4.01"), peer
        assert peer.ask(daemon, f"open/{i}", "put") == ("allowed" if known else "4.01"), peer
        assert peer.ask(daemon, f"open/{i}", "delete") == ("4.03" if known else "4.01"), peer


def test_discovery_shows_what_one_may_get(coapd, material):
    daemon = start(coapd, material)
    for peer in peers_of(material):
        result = coap_client("-v", "0", *peer.arguments,
                             daemon.uri(".well-known/core", peer.scheme, port=daemon.ports[peer.scheme]), wait=5)
        for path in ("open", "named", "known", "closed", "unruled"):
            may = expected(peer, path, (*NAMED, material["rpk"])) == "allowed"
            assert (f"</{path}>" in result.stdout) == may, (peer, path, result)


def test_refusals_say_why(coapd, material):
    daemon = start(coapd, material)
    stranger, psk = peers_of(material)[0], peers_of(material)[4]
    for peer, path, code in ((stranger, "named", "4.01"), (psk, "closed", "4.03")):
        result = coap_client("-v", "0", *peer.arguments, daemon.uri(path, peer.scheme, port=daemon.ports[peer.scheme]))
        assert result.stderr.startswith(code) and len(result.stderr.strip()) > 10, result


def test_keys_that_do_not_open(coapd, material):
    """Wrong keys, unknown identities, certificates of others: no answer at all, not even a refusal."""
    c, folder = material["certificates"], material["folder"]
    c.self_signed("self-made")
    c.client_named("old", "activation_date = 2020-01-01 00:00:00\nexpiration_date = 2021-01-01 00:00:00\n")
    c.client_named("revoked", "serial = 4711\n")
    daemon = start(coapd, material, security={**groups(material)["security"], "pki": c.pki(
        crl=c.revocations("revoked"), require_client_certificate=True)})
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "raw-other.pem"],
                   check=True)
    (folder / "oscore-wrong").write_text((folder / "oscore-02").read_text().replace(SECRET, SECRET[::-1]))
    (folder / "oscore-nobody").write_text((folder / "oscore-02").read_text().replace('"02"', '"04"'))
    for scheme, *arguments in (
        *((s, "-u", "sensor-1", "-k", "wrong horse") for s in ("coaps", "coaps+tcp", "coaps+ws")),
        *((s, "-u", "sensor-9", "-k", "correct horse") for s in ("coaps", "coaps+tcp", "coaps+ws")),
        ("coaps", "-u", "sensor-1", "-k", "battery staple"),
        *((s, "-C", c["ca.crt"]) for s in ("coaps", "coaps+tcp")),
        *((s, *c.pki_arguments(name)) for s in ("coaps", "coaps+tcp")
          for name in ("other-client", "self-made", "old", "revoked")),
        ("coaps", "-n", "-M", folder / "raw-other.pem"),
        ("coap", "-E", folder / "oscore-wrong"),
        ("coap", "-E", folder / "oscore-nobody"),
    ):
        result = coap_client("-v", "0", *arguments, daemon.uri("open", scheme, port=daemon.ports[scheme]), wait=1)
        assert "open" not in result.stdout, (scheme, arguments, result)
    # The peer hears nothing, the operator does.
    assert daemon.stderr.count('its pre-shared key is refused: security.psk has no identity "sensor-9"') >= 3
    assert Peer("cert:CN=ops", "coaps", *c.pki_arguments()).ask(daemon, "named") == "allowed"


@pytest.mark.parametrize("kind, usage", [("ec", "keyEncipherment"), ("ec", "keyAgreement"), ("ec", "digitalSignature"),
                                         ("rsa", "keyEncipherment")])
def test_a_certificate_that_may_not_sign(coapd, material, kind, usage):
    """keyUsage without digitalSignature (RFC 5280, 4.2.1.3), of a client and then of coapd's own."""
    c, name, may = material["certificates"], f"{kind}-{usage}", usage == "digitalSignature"
    c.with_usage(name, usage, kind)
    daemon = start(coapd, material)
    # coap-client would rather show no certificate than one that may not sign.
    for scheme, version in (("coaps", "-dtls1_2"), ("coaps+tcp", "-tls1_2"), ("coaps+tcp", "-tls1_3")):
        subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{daemon.ports[scheme]}", version, "-CAfile", c["ca.crt"],
             "-cert", c[f"{name}.crt"], "-key", c[f"{name}.key"]], input=b"", capture_output=True, check=False, timeout=30)
    refused = "its certificate is refused: its keyUsage does not allow digitalSignature"
    assert daemon.stderr.count(refused) == (0 if may else 2), daemon.stderr
    # Of TLS 1.3 GnuTLS tells by itself.
    assert daemon.stderr.count("certificate does not allow digital signatures") == (0 if may else 1), daemon.stderr
    security = groups(material)["security"]
    security["pki"] = {**security["pki"], "certificate": c[f"{name}.crt"], "private_key": c[f"{name}.key"]}
    daemon.write_config(security=security)
    result = subprocess.run(daemon.command("--check"), capture_output=True, text=True, check=False)
    # RSA has a way without signatures, and there are clients that take it.
    assert result.returncode == (0 if may or kind == "rsa" else 1), result
    told = re.search(rf"coapd\.conf:\d+: security\.pki\.certificate: {c[name]}\.crt: its keyUsage does not allow digitalS",
                     result.stderr)
    assert bool(told) != may, result


def test_a_reload_takes_keys_away(coapd, material):
    """A key that is gone, one that changed, a certificate that was revoked, a raw key that no rule names any more."""
    c = material["certificates"]
    c.client_named("leaver", "serial = 815\n")
    named = groups(material)["access"]
    named[2]["allow"] += ["cert:CN=leaver"]
    daemon = start(coapd, material, access=named)
    leaver = Peer("cert:CN=leaver", "coaps", *c.pki_arguments("leaver"))
    changed = {**groups(material)["security"], "pki": c.pki(crl=c.revocations("leaver")),
               "psk": {"identities": [{"identity": "sensor-1", "key": "another horse"}]}}
    gone = [leaver, *(p for p in peers_of(material) if (p.name or "").startswith(("psk:", "rpk:")))]
    for peer in gone:
        assert peer.ask(daemon, "open") == "allowed", peer
    rules = groups(material)["access"]
    rules[2]["allow"].remove(material["rpk"])
    daemon.write_config(security=changed, access=rules)
    for again in (daemon.reload, daemon.restart):
        again()
        for peer in gone:
            assert peer.ask(daemon, "open").startswith("silence"), (again, peer)
        assert Peer("cert:CN=ops", "coaps", *c.pki_arguments()).ask(daemon, "named") == "allowed"
        assert Peer("psk:sensor-1", "coaps", "-u", "sensor-1", "-k", "another horse").ask(daemon, "named") == "allowed"
