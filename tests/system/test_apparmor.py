# SPDX-License-Identifier: BSD-2-Clause
"""The AppArmor profile of the package: the real parser takes it, and it allows each file that coapd uses."""
import subprocess
from pathlib import Path

import pytest

import apparmor
from conftest import CONFIG

PROFILE = Path(__file__).resolve().parents[2] / "packaging/apparmor/usr.sbin.coapd"
SETUP = r"""
mkdir -p /srv/coap /etc/coapd.d /etc/ssl/private && echo a >/srv/coap/a.txt && printf secret >/etc/coapd.d/key
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
   { path = "motd"; kind = "static"; file = "/srv/coap/a.txt"; },""") + """
security: { psk: { identities = ( { identity = "one"; key_file = "/etc/coapd.d/key"; } ); };
            pki: { certificate = "/etc/ssl/certs/coapd.pem"; private_key = "/etc/ssl/private/coapd.key";
                   require_client_certificate = false; }; };
@include "/etc/coapd.d/*.conf"
"""
# As the unit starts it, but for the sandbox, which no tracer may enter. `sleep` is bash's wait for the readiness line.
USE = r"""
cd /
strace -u coapd -f -y -s 300 -o /tmp/trace -e trace=%file,flock,connect coapd -c /etc/coapd.conf 2>/tmp/log &
until grep -q 'serving' /tmp/log; do sleep 0.1; done
client="coap-client-gnutls -B 10"
$client coap://127.0.0.1/time && $client -m put -e x coap://127.0.0.1/door && $client -m delete coap://127.0.0.1/door
$client coap://127.0.0.1/fw/a.txt && $client -m put -e new coap://127.0.0.1/fw/sub/b.txt
$client -m delete coap://127.0.0.1/fw/sub/b.txt && $client coap://127.0.0.1/fw/sub
timeout 3 $client -s 2 coap://127.0.0.1/fw/a.txt
$client -u one -k secret coaps://127.0.0.1/time && $client coap+tcp://127.0.0.1/motd
kill -HUP $(pidof coapd)
until grep -q 'reloaded' /tmp/log; do sleep 0.1; done
kill $(pidof coapd)
wait
cat /tmp/log
"""


@pytest.fixture(scope="module")
def profile():
    subprocess.run(["apparmor_parser", "--skip-kernel-load", "--skip-cache", PROFILE], check=True)
    return apparmor.Profile(PROFILE)


def test_it_allows_what_coapd_uses(coapd, profile):
    coapd.run("systemctl stop coapd && rm -rf /var/lib/coapd && install -d -o coapd -g coapd /var/lib/coapd")
    coapd.write("/etc/coapd.conf", WHOLE)
    coapd.run(SETUP)
    output = coapd.run(USE).stdout
    assert "reloaded" in output and "stopped" in output, output
    used = apparmor.uses(coapd.run("cat /tmp/trace").stdout)
    assert {("/etc/coapd.d/key", "r"), ("/etc/coapd.conf", "r")} <= used
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
