# SPDX-License-Identifier: BSD-2-Clause
"""Each kind of resource over each transport, and what goes on over a restart, within the unit as shipped and one drop-in.

What the sandbox keeps from the service is said with the setting of the unit that does it.
"""
import re
import shlex
import sys
from pathlib import Path

import pytest

from observer import Observer, assert_goes_on

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/integration"))

from certificates import PSK_IDENTITY, PSK_KEY, Certificates  # noqa: E402

SECRET = 'master_secret,hex,"0102030405060708090a0b0c0d0e0f10"\nmaster_salt,hex,"9e7ca92223786340"\n'
PSK = ["-u", PSK_IDENTITY, "-k", PSK_KEY]
PKI = ["-c", "/etc/coapd/client.crt", "-j", "/etc/coapd/client.key", "-C", "/etc/coapd/ca.crt"]
OSCORE = ["-E", "/tmp/client.oscore,/tmp/client.sequence"]
# Beside coapd: another server, for the proxies.
FAR = "coap-server-gnutls -p 6683 -k gateway-key"

CONFIG = """
server: { control = "/run/coapd/control"; };
endpoints = ( { uri = "coap://127.0.0.1:5683"; }, { uri = "coap://[::1]:5683"; }, { uri = "coaps://127.0.0.1:5684"; },
  { uri = "coap+tcp://127.0.0.1:5683"; }, { uri = "coaps+tcp://127.0.0.1:5684"; },
  { uri = "coap+ws://127.0.0.1:8683"; }, { uri = "coaps+ws://127.0.0.1:8684"; } );
security: {
  psk: { identities = ( { identity = "sensor-1"; key_file = "/etc/coapd/sensor-1.key"; } ); };
  pki: { certificate = "/etc/coapd/server.crt"; private_key = "/etc/coapd/server.key"; ca = "/etc/coapd/ca.crt"; };
  oscore = ( { sender_id = "01"; recipient_ids = ( "02" ); master_secret_file = "/etc/coapd/oscore.secret";
               master_salt = "9e7ca92223786340"; } ); };
resources = ( { path = "time"; kind = "time"; }, { path = "motd"; kind = "static"; file = "/etc/coapd/motd"; },
  { path = "fw"; kind = "files"; root = "/srv/coap/fw"; },
  { path = "up"; kind = "files"; root = "/srv/coap/up"; writable = true; },
  { path = "status"; kind = "status"; },
  { path = "count"; kind = "exec"; command = ( "/bin/sh", "-c", "echo x >>count; wc -l <count" );
    directory = "/var/lib/coapd"; interval = 1; },
  { path = "asked"; kind = "exec"; command = "/usr/bin/id"; on_demand = true; interval = 1; },
  { path = "relay"; kind = "exec"; command = ( "/usr/bin/cat", "/var/lib/coapd/relay" ); interval = 3600;
    write_command = ( "/usr/bin/tee", "/var/lib/coapd/relay" ); },
  { path = "far"; kind = "proxy"; target = "coap://127.0.0.1:6683"; },
  { path = "far-tcp"; kind = "proxy"; target = "coap+tcp://localhost:6683"; },
  { path = "far-dtls"; kind = "proxy"; target = "coaps://127.0.0.1:6684"; identity = "x"; key = "gateway-key"; },
  { path = "forward"; kind = "proxy"; targets = ( "coap://127.0.0.1:6683" ); },
  { path = "rd"; kind = "rd"; simple_registration = true; } );
dynamic: { enable = true; prefix = ( "" ); };
access = ( { path = "/**"; methods = ( "*" ); allow = ( "anyone" ); } );
persist: { dynamic_resources = "/var/lib/coapd/dynamic-resources"; observers = "/var/lib/coapd/observers";
           observe_counters = "/var/lib/coapd/observe-counters"; };
"""
DROP_IN = "[Service]\nReadWritePaths=/srv/coap/up\n"
# coapd drops the state's folder when it is stopped by the fixture; what is here stays for the next test.
SETUP = """
mkdir -p /srv/coap/fw /srv/coap/up && echo one >/srv/coap/fw/a && chown coapd: /srv/coap/up && echo hello >/etc/coapd/motd
printf 0102030405060708090a0b0c0d0e0f10 >/etc/coapd/oscore.secret && printf '%s' "$0" >/etc/coapd/sensor-1.key
chgrp coapd /etc/coapd.conf /etc/coapd/*.key /etc/coapd/oscore.secret
chmod 640 /etc/coapd.conf /etc/coapd/*.key /etc/coapd/oscore.secret
"""

TRANSPORTS = {
    "udp": ("coap://127.0.0.1", []), "udp6": ("coap://[::1]", []), "oscore": ("coap://127.0.0.1", OSCORE),
    "dtls-psk": ("coaps://127.0.0.1", PSK), "dtls-certificate": ("coaps://127.0.0.1", PKI),
    "tcp": ("coap+tcp://127.0.0.1", []), "oscore-tcp": ("coap+tcp://127.0.0.1", OSCORE),
    "tls-psk": ("coaps+tcp://127.0.0.1", PSK), "tls-certificate": ("coaps+tcp://127.0.0.1", PKI),
    "ws": ("coap+ws://127.0.0.1:8683", []), "wss-psk": ("coaps+ws://127.0.0.1:8684", PSK),
    "wss-certificate": ("coaps+ws://127.0.0.1:8684", PKI),
}
CLOCK = r"\w+ \d+ \d\d:\d\d:\d\d"
READS = {
    "time": CLOCK, "motd": "hello", "fw": r"</fw/a>.*", "fw/a": "one", "status": r"version .*\nuptime .*",
    "count": r"\d+", "asked": r"uid=\d+\(coapd\).*", "far/time": CLOCK, "far-tcp/time": CLOCK, "far-dtls/time": CLOCK,
    "rd/lookup/ep": "", ".well-known/core": r"</time>;.*</rd/lookup/ep>.*",
}


def client(uri, *options, seconds=10):
    return ["coap-client-gnutls", "-B", str(seconds), *options, uri]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates")).folder


@pytest.fixture
def whole(coapd, keys):
    """coapd with CONFIG, a server that the proxies ask, and the clients' keys."""
    for file in ("ca.crt", "server.crt", "server.key", "client.crt", "client.key"):
        coapd.write(f"/etc/coapd/{file}", (keys / file).read_text())
    coapd.write("/tmp/client.oscore", SECRET + 'sender_id,hex,"02"\nrecipient_id,hex,"01"\n')
    coapd.write("/etc/systemd/system/coapd.service.d/test.conf", DROP_IN)
    far = coapd.popen(FAR.split())
    coapd.wait(lambda: coapd.run("ss -Hltn 'sport = :6683'").stdout, 20, "the far server")
    use(coapd, CONFIG)
    yield coapd
    far.terminate()
    coapd.run("pkill -x coap-server-gnu; rm -rf /srv/coap /etc/coapd /tmp/client.*", check=False)
    far.wait()


def use(coapd, config):
    coapd.write("/etc/coapd.conf", config)
    coapd.run(["sh", "-ec", SETUP, PSK_KEY])
    coapd.run("systemctl daemon-reload; systemctl restart coapd")


def run_all(machine, commands):
    """Their outputs, in one go: to enter the machine takes longer than to ask."""
    script = "".join(f"{shlex.join(command)} 2>&1; printf '\\0'\n" for command in commands)
    return [output.strip() for output in machine.run("sh", input=script).stdout.split("\0")[:-1]]


def test_each_kind_over_each_transport(whole):
    asked = [(name, path, expected) for name in TRANSPORTS for path, expected in READS.items()]
    got = run_all(whole, [client(f"{TRANSPORTS[name][0]}/{path}", *TRANSPORTS[name][1]) for name, path, _ in asked])
    wrong = [(name, path, text) for (name, path, expected), text in zip(asked, got)
             if not re.fullmatch(expected, text, re.S)]
    assert len(got) == len(asked) and not wrong, (wrong, whole.journal("coapd", "-n", "30"))
    # Each transport writes as well, and reads what it wrote.
    asked = []
    for name, (base, options) in TRANSPORTS.items():
        for path in ("up/sub/file", "door", "relay"):
            asked += [client(f"{base}/{path}", "-m", "put", "-e", name, *options), client(f"{base}/{path}", *options)]
    got = run_all(whole, asked)
    assert got[1::2] == [name for name in TRANSPORTS for _ in range(3)], got
    assert whole.run("cat /srv/coap/up/sub/file").stdout == "wss-certificate"
    # Nothing of it was worth a warning, but that there was nothing in the relay before its first write.
    assert [line for line in whole.journal("coapd", "-p", "warning").splitlines() if "resource relay:" not in line] == []


def test_what_is_observed_and_registered(whole):
    whole.wait(lambda: whole.run(client("coap://127.0.0.1/count")).stdout.strip().isdigit(), 20, "the first run of a program")
    with Observer(whole, "coap://127.0.0.1/fw/a") as file, Observer(whole, "coap://127.0.0.1/count") as count, \
            Observer(whole, "coap://127.0.0.1/far/time") as far:
        answers = file.take(1), count.take(3), far.take(2)
        whole.run("echo two >/srv/coap/fw/new && mv /srv/coap/fw/new /srv/coap/fw/a")
        assert_goes_on(answers[0] + file.take(1))
        assert_goes_on(answers[1])
        assert_goes_on(answers[2])
    base = "coap://127.0.0.1"
    got = run_all(whole, [
        client(f"{base}/rd?ep=node1&base=coap://node1.example", "-m", "post", "-t", "40", "-e", '</temp>;rt="temperature-c"'),
        client(f"{base}/rd/lookup/res?rt=temperature-c"),
        client("coap://127.0.0.1:6683/time", "-P", base),
        client(f"{base}/up/sub/file", "-m", "delete"),
    ])
    assert "<coap://node1.example/temp>" in got[1] and re.fullmatch(CLOCK, got[2])
    # Simple registration: coapd asks the one that asked it, which is the far server's address.
    whole.run(client(f"{base}/.well-known/rd?ep=far", "-m", "post", "-p", "6683"))
    whole.wait(lambda: 'ep="far"' in whole.run(client(f"{base}/rd/lookup/ep")).stdout, 20, "the links of the far server")


@pytest.mark.parametrize("engine, more", [
    ("sqlite", 'sync = "always";'), ("sqlite", 'sync = "interval";'), ("libcoap", "")])
def test_a_restart_with_each_store(whole, engine, more):
    """Who observes over UDP, with or without OSCORE, hears nothing of it; over a connection it is over and can begin anew."""
    use(whole, CONFIG.replace("persist: {", f'persist: {{ engine = "{engine}"; {more}'))
    whole.run(client("coap://127.0.0.1/kept", "-m", "put", "-e", "value"))
    with Observer(whole) as plain, Observer(whole, "coap://127.0.0.1/time", *OSCORE) as secure:
        answers = [plain.take(2), secure.take(2)]
        others = [Observer(whole, f"{base}/time", *options) for base, options in
                  (TRANSPORTS[name] for name in ("dtls-psk", "tcp", "tls-psk", "ws", "wss-psk"))]
        for other in others:
            other.take(1)
        assert len(whole.run("coapctl observers").stdout.splitlines()) == 8
        whole.run("systemctl restart coapd")
        assert_goes_on(answers[0] + plain.take(2))
        secure.take(2)
        for other in others:
            other.close()
    got = run_all(whole, [client("coap://127.0.0.1/kept"),
                          *(client(f"{base}/motd", *options) for base, options in TRANSPORTS.values())])
    assert got == ["value"] + ["hello"] * len(TRANSPORTS)


def test_the_backup_of_the_readme(whole):
    """Word for word, while it runs."""
    text = (SOURCE / "README.md").read_text()
    commands = re.search(r"(?m)^\*\*Back up\*\*.*?\n\n((?:    .*\n)+)", text)[1]
    backup, restore = re.fullmatch(r"(.*done\n)(.*)", re.sub("(?m)^ {4}", "", commands), re.S).groups()
    whole.run([*client("coap://127.0.0.1/kept", "-m", "put"), "-e", "old"])
    whole.run(f"set -e; {backup}")
    whole.run([*client("coap://127.0.0.1/kept", "-m", "put"), "-e", "new"])
    whole.run(f"set -e; {restore}\nrm -r /backup")
    assert whole.run(client("coap://127.0.0.1/kept")).stdout.strip() == "old"
    # Both are written to again, by the service's own user.
    whole.run([*client("coap://127.0.0.1/kept", "-m", "put"), "-e", "newer"])
    assert whole.run(client("coap://127.0.0.1/kept")).stdout.strip() == "newer"
    assert whole.show("coapd", "NRestarts") == "0"


HIDDEN = {
    'kind = "static"; file = "/home/ada/motd"': "ProtectHome=",
    'kind = "files"; root = "/root/fw"': "ProtectHome=",
    'kind = "files"; root = "/tmp/fw"': "PrivateTmp=",
    'kind = "exec"; command = "/home/ada/prog"': "ProtectHome=",
    'kind = "exec"; command = "/usr/bin/id"; directory = "/home/ada"': "ProtectHome=",
    'kind = "static"; file = "/proc/loadavg"': "ProcSubset=",
}


def test_what_the_sandbox_hides_is_said(coapd):
    """A check by root finds nothing wrong with it; the running daemon says what is, and goes on with what it has."""
    resources = "".join(f', {{ path = "x{n}"; {fields}; }}' for n, fields in enumerate(HIDDEN))
    coapd.run("mkdir -p /home/ada /root/fw /tmp/fw && chmod 755 /root")
    coapd.run("cp /usr/bin/id /home/ada/prog && echo x >/home/ada/motd")
    coapd.write("/etc/coapd.conf", coapd.run("cat /etc/coapd.conf").stdout
                .replace(' } );\ndynamic', f' }}{resources} );\ndynamic'))
    coapd.run("coapd --check")
    assert coapd.run("systemctl reload coapd", check=False).returncode != 0
    told = re.findall(r"(?m)^/etc/coapd.conf:\d+: (.*)$", coapd.journal())
    for n, setting in enumerate(HIDDEN.values(), 1):
        assert any(line.startswith(f"resources[{n}].") and f"{setting} of the unit (systemctl edit coapd)" in line
                   for line in told), (n, told)
    coapd.run("rm -r /home/ada /root/fw /tmp/fw")


def test_a_store_that_is_gone_at_each_stop(coapd):
    coapd.run("sed -i 's|/var/lib/coapd/observers|/tmp/observers|' /etc/coapd.conf && systemctl restart coapd")
    assert re.search(r"/tmp/observers: it is gone when coapd stops; .* PrivateTmp= of the unit", coapd.journal())
    assert coapd.journal().count("it is gone when coapd stops") == 1


def test_a_store_where_the_unit_lets_nobody_write(coapd):
    """It is no reason not to serve, as with any disk that is read-only, but it is said what to do."""
    coapd.run("mkdir -p /data/state && chown coapd: /data/state")
    coapd.run("sed -i 's|/var/lib/coapd/|/data/state/|' /etc/coapd.conf && coapd --check && systemctl restart coapd")
    assert coapd.journal().count("its folder takes a line in ReadWritePaths= of the unit (systemctl edit coapd)") == 3
    put = client("coap://127.0.0.1/kept", "-m", "put", "-e", "value")
    assert re.match(r"5\.0[03]", coapd.run([*put]).stdout + coapd.run(["sh", "-c", shlex.join(put) + " 2>&1"]).stdout)
    coapd.write("/etc/systemd/system/coapd.service.d/test.conf", "[Service]\nReadWritePaths=/data/state\n")
    coapd.run("systemctl daemon-reload; systemctl restart coapd")
    coapd.run([*put])
    coapd.run("systemctl restart coapd")
    assert coapd.run(client("coap://127.0.0.1/kept")).stdout.strip() == "value"
    coapd.run("systemctl stop coapd; rm -r /data")


TOKEN = """
as="setpriv --reuid=coapd --regid=coapd --groups=coapd,softhsm"
rm -rf /var/lib/softhsm/tokens/*
$as softhsm2-util --init-token --free --label coapd --pin 1234 --so-pin 4321
for what in "--load-privkey /etc/coapd/server.key" "--load-certificate /etc/coapd/server.crt"; do
        $as p11tool --login --set-pin 1234 --write $what --label server pkcs11:token=coapd
done
"""


def test_a_token_of_pkcs11(whole):
    """With the drop-in that coapd.conf(5) names, and not without."""
    manual = (SOURCE / "packaging/man/coapd.conf.5").read_text()
    settings = sorted(set(re.findall(r"(?:SupplementaryGroups|ReadWritePaths)=\S*softhsm", manual)))
    assert len(settings) == 2
    whole.run(["sh", "-ec", TOKEN])
    config = CONFIG.replace('"/etc/coapd/server.crt"', '"pkcs11:token=coapd;object=server;type=cert"').replace(
        '"/etc/coapd/server.key"', '"pkcs11:token=coapd;object=server;type=private?pin-value=1234"')
    with pytest.raises(AssertionError):
        use(whole, config)
    whole.write("/etc/systemd/system/coapd.service.d/test.conf", "\n".join([DROP_IN, *settings]) + "\n")
    use(whole, config)
    for name in "dtls-certificate", "wss-certificate":
        base, options = TRANSPORTS[name]
        assert whole.run(client(f"{base}/motd", *options)).stdout.strip() == "hello"
    whole.run("systemctl reload coapd; systemctl stop coapd; rm -rf /var/lib/softhsm/tokens/*")
