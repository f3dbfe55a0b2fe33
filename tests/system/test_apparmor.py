# SPDX-License-Identifier: BSD-2-Clause
"""The AppArmor profile of the package: the real parser compiles it, and it allows each file that coapd uses.

It is not loaded: the kernels that these tests run on need not have AppArmor. What coapd uses is traced instead.
"""
import re
import subprocess
from pathlib import Path

import pytest

import apparmor
from conftest import CONFIG

PROFILE = Path(__file__).resolve().parents[2] / "packaging/apparmor/usr.sbin.coapd"
SETUP = r"""
mkdir -p /srv/coap /etc/coapd.d /etc/ssl/private && echo a >/srv/coap/a.txt && echo hello >/srv/coap/motd.txt && printf secret >/etc/coapd.d/key
openssl req -x509 -newkey ed25519 -nodes -subj /CN=coapd -keyout /etc/ssl/private/coapd.key \
        -out /etc/ssl/certs/coapd.pem 2>/dev/null
echo 'server: { log_level = "debug"; };' >/etc/coapd.d/log.conf
chown -R coapd /srv/coap /etc/coapd.d /etc/ssl/private
chmod 600 /etc/coapd.d/key /etc/ssl/private/coapd.key
mkdir -p /run/coapd && chown coapd: /run/coapd
"""
WHOLE = CONFIG.replace("endpoints = (", """endpoints = ( { uri = "coap://localhost:5693"; },
   { uri = "coaps://127.0.0.1:5684"; }, { uri = "coap+tcp://127.0.0.1:5683"; },""").replace("resources = (", """resources = (
   { path = "fw"; kind = "files"; root = "/srv/coap"; writable = true; },
   { path = "motd"; kind = "static"; file = "/srv/coap/motd.txt"; },""") + """
security: { psk: { identities = ( { identity = "one"; key_file = "/etc/coapd.d/key"; } ); };
            pki: { certificate = "/etc/ssl/certs/coapd.pem"; private_key = "/etc/ssl/private/coapd.key";
                   require_client_certificate = false; }; };
@include "/etc/coapd.d/*.conf"
"""
# As the unit starts it, but for the sandbox, which no tracer may enter. Root traces: strace as coapd's own user sees no
# paths behind descriptors.
START = r"""
cd / && rm -f /tmp/trace
strace -u coapd -f -y -s 300 -o /tmp/trace -e trace=%file,flock,connect coapd -c /etc/coapd.conf >/tmp/log 2>&1 &
until grep -q serving /tmp/log; do kill -0 $! && sleep 0.1 || exit; done
"""
STOP = r"""
kill -HUP $(pidof coapd) && until grep -q reloaded /tmp/log; do sleep 0.1; done
kill $(pidof coapd) && while pidof coapd; do sleep 0.1; done
cat /tmp/log
"""
# What clients ask for, and what they get: an answer that is not this one would have used fewer files.
USES = [
    ("coap://127.0.0.1/time", r"\w+ \d+ \d\d:\d\d:\d\d"),
    ("-m put -e x coap://127.0.0.1/door", ""),
    ("coap://127.0.0.1/door", "x"),
    ("-m delete coap://127.0.0.1/door", ""),
    ("coap://127.0.0.1/fw/a.txt", "a"),
    ("-m put -e new coap://127.0.0.1/fw/sub/b.txt", ""),
    ("coap://127.0.0.1/fw/sub/b.txt", "new"),
    ("coap://127.0.0.1/fw/sub", r".*b\.txt.*"),
    ("-m delete coap://127.0.0.1/fw/sub/b.txt", ""),
    ("-s 1 coap://127.0.0.1/fw/a.txt", r"a(\na)*"),
    ("-u one -k secret coaps://127.0.0.1/time", r"\w+ \d+ \d\d:\d\d:\d\d"),
    ("coap+tcp://127.0.0.1/motd", "hello"),
]


@pytest.fixture(scope="module")
def profile():
    subprocess.run(["apparmor_parser", "--skip-kernel-load", "--skip-cache", PROFILE], check=True)
    return apparmor.Profile(PROFILE)


def test_it_allows_what_coapd_uses(coapd, profile):
    coapd.run("systemctl stop coapd && rm -rf /var/lib/coapd && install -d -o coapd -g coapd /var/lib/coapd")
    coapd.write("/etc/coapd.conf", WHOLE)
    coapd.run(SETUP)
    # It goes on in the background, so its output must not hold the pipe of this command.
    coapd.run(f"({START}) >/dev/null 2>&1")
    for arguments, expected in USES:
        got = coapd.run(f"coap-client-gnutls -B 10 {arguments} 2>&1").stdout.strip()
        assert re.fullmatch(expected, got, re.S), (arguments, got, coapd.run("cat /tmp/log").stdout)
    output = coapd.run(STOP).stdout
    assert "reloaded" in output and "stopped" in output, output
    used = apparmor.uses(coapd.run("cat /tmp/trace").stdout)
    assert {("/etc/coapd.conf", "r"), ("/etc/coapd.d/key", "r"), ("/etc/coapd.d/log.conf", "r"), ("/etc/ssl/private/coapd.key", "r"),
            ("/srv/coap/a.txt", "r"), ("/srv/coap/sub/b.txt", "w"), ("/srv/coap/motd.txt", "r")} <= used
    assert any(path.startswith("/var/lib/coapd/") and "w" in access for path, access in used)
    # The daemon's own file is where this build puts it.
    refused = {(path, access) for path, access in used if not profile.allows(path, access)}
    assert refused == set()


def test_it_allows_no_more_than_it_needs(profile):
    for path, access in [("/etc/shadow", "r"), ("/etc/coapd.conf", "w"), ("/root/.ssh/id_rsa", "r"), ("/bin/sh", "x"),
                         ("/var/lib/dpkg/status", "r"), ("/home/me/file", "r"), ("/var/lib/other", "w")]:
        assert not profile.allows(path, access), path
    assert profile.allows("/run/credentials/coapd.service/coapd.key", "r")
    assert profile.allows("/run/coapd/control", "rw")
