# SPDX-License-Identifier: BSD-2-Clause
"""What an operator sets up works within the unit as shipped: keys as credentials, folders, a disk that fills up."""
import re

import pytest

from conftest import CONFIG
from observer import Observer, assert_goes_on

CLIENT = "coap-client-gnutls -B 10"
SECURE = CONFIG.replace("endpoints = (", 'endpoints = ( { uri = "coaps://127.0.0.1:5684"; },') + """
security: { psk: { identities = (
  { identity = "sensor-1"; key_file = "/run/credentials/coapd.service/coapd.sensor-1"; } ); }; };
"""


def test_keys_that_only_root_can_read(coapd):
    """A credential of the service: neither coapd's user nor its group may read the file that it comes from."""
    coapd.write("/etc/credstore/coapd.sensor-1", "a secret", "600")
    coapd.write("/etc/coapd.conf", SECURE)
    # Seen by hand before the service has it, and while it has it, by path and by name.
    coapd.run("coapd --check && coapd --explain GET /time psk:sensor-1")
    coapd.run("systemctl restart coapd && coapd --check")
    coapd.run("sed -i 's|/run/credentials/coapd.service/|credential:|' /etc/coapd.conf && coapd --check")
    assert coapd.run(f"{CLIENT} -u sensor-1 -k 'a secret' coaps://127.0.0.1/time").stdout.strip()
    assert "cannot send" in coapd.run(f"{CLIENT} -B 3 -u sensor-1 -k other coaps://127.0.0.1/time 2>&1").stdout


def test_a_credential_with_the_keys_of_more_devices_than_systemd_has_credentials_for(coapd):
    """Each takes a page of a megabyte. What it stands in for every user to read does not matter to systemd."""
    keys = "".join(f'{{ identity = "sensor-{n}"; key = "secret {n}"; }},\n' for n in range(1, 501))
    coapd.write("/etc/credstore/coapd.keys", f"security: {{ psk: {{ identities = (\n{keys}); }}; }};\n", "644")
    coapd.write("/etc/coapd.conf", SECURE.replace("security", '@include "credential:coapd.keys"\nsecurity').replace(
        "sensor-1", "another").replace("/run/credentials/coapd.service/", "credential:"))
    coapd.write("/etc/credstore/coapd.another", "a secret", "644")
    coapd.run("coapd --check && systemctl restart coapd && coapd --check")
    for name, key in ("sensor-477", "secret 477"), ("another", "a secret"):
        assert coapd.run(f"{CLIENT} -u {name} -k '{key}' coaps://127.0.0.1/time").stdout.strip()
    coapd.run("rm /etc/credstore/coapd.*")


def test_a_check_by_root_finds_what_the_service_may_not_read(coapd):
    coapd.write("/etc/coapd.key", "a secret", "600")
    coapd.write("/etc/coapd.conf", SECURE.replace("/run/credentials/coapd.service/coapd.sensor-1", "/etc/coapd.key"))
    told = coapd.run("coapd --check", check=False)
    assert told.returncode == 1 and 'key_file: "/etc/coapd.key" may not be read by the user coapd' in told.stdout
    # A group that a drop-in may add is not known to a check; that the file is for root's group says enough.
    coapd.run("chmod 640 /etc/coapd.key && ! coapd --check && chgrp adm /etc/coapd.key && coapd --check")
    coapd.run("chgrp coapd /etc/coapd.key && coapd --check && systemctl restart coapd; rm /etc/coapd.key")
    # The sandbox it does not know; the daemon says what to do then.
    coapd.write("/etc/coapd.conf", CONFIG.replace(
        "resources = (", 'resources = ( { path = "up"; kind = "files"; root = "/srv/up"; writable = true; },'))
    coapd.run("mkdir -p /srv/up")
    told = coapd.run("coapd --check", check=False)
    assert told.returncode == 1 and "root: may not be written by this user" in told.stdout, told.stdout
    coapd.run("chown coapd /srv/up && coapd --check && ! systemctl reload coapd; rm -r /srv/up")
    assert "expected ReadWritePaths= of the unit to name it" in coapd.journal()


def test_a_key_from_elsewhere_by_load_credential(coapd):
    coapd.write("/root/keys/one", "a secret", "600")
    coapd.write("/etc/systemd/system/coapd.service.d/test.conf",
                "[Service]\nLoadCredential=coapd.sensor-1:/root/keys/one\n")
    coapd.write("/etc/coapd.conf", SECURE)
    coapd.run("rm -f /etc/credstore/coapd.*; systemctl daemon-reload && systemctl restart coapd")
    assert coapd.run(f"{CLIENT} -u sensor-1 -k 'a secret' coaps://127.0.0.1/time").stdout.strip()


@pytest.fixture
def folder(coapd):
    coapd.run("mkdir -p /srv/coap && echo one >/srv/coap/a.txt && chown -R coapd /srv/coap")
    yield coapd
    coapd.run("rm -rf /srv/coap")


def test_a_folder_is_served_and_its_changes_are_told(folder):
    folder.write("/etc/coapd.conf", CONFIG.replace(
        "resources = (", 'resources = ( { path = "fw"; kind = "files"; root = "/srv/coap"; },'))
    folder.run("systemctl restart coapd")
    with Observer(folder, "coap://127.0.0.1/fw/a.txt") as observer:
        answers = observer.take(1)
        folder.run("echo two >/srv/coap/new && mv /srv/coap/new /srv/coap/a.txt")
        answers += observer.take(1)
    assert_goes_on(answers)
    assert folder.run(f"{CLIENT} coap://127.0.0.1/fw/a.txt").stdout.strip() == "two"


def test_links_below_a_folder_are_followed_where_the_config_says_so(folder):
    """Within the folder; not out of it, by an absolute path or by dots."""
    folder.run("cd /srv/coap && mkdir sub && ln -s ../a.txt sub/in && ln -s /srv/coap/a.txt abs && ln -s /etc/hostname out"
               " && ln -s ../../etc/hostname dots && ln -s /etc sub/etc")
    for follows, answers in ("true", {"sub/in": "one"}), ("false", {}):
        folder.write("/etc/coapd.conf", CONFIG.replace(
            "resources = (", 'resources = ( { path = "fw"; kind = "files"; root = "/srv/coap"; '
                             f'follow_symlinks = {follows}; }},'))
        folder.run("systemctl restart coapd")
        for path in "sub/in", "out", "dots", "sub/etc/hostname":
            got = folder.run(f"{CLIENT} coap://127.0.0.1/fw/{path} 2>&1").stdout.strip()
            assert got == answers.get(path) or (path not in answers and got.startswith("4.04")), (path, got)
        assert folder.run(f"{CLIENT} coap://127.0.0.1/fw/a.txt").stdout.strip() == "one"


def test_a_folder_is_written_to_where_the_unit_lets_it(folder):
    """ProtectSystem=strict by itself makes it read-only; coapd.conf(5) names the drop-in."""
    folder.write("/etc/coapd.conf", CONFIG.replace(
        "resources = (", 'resources = ( { path = "fw"; kind = "files"; root = "/srv/coap"; writable = true; },'))
    put = f"{CLIENT} -m put -e x coap://127.0.0.1/fw/b.txt; test -f /srv/coap/b.txt"
    assert folder.run("systemctl restart coapd", check=False).returncode != 0
    assert "resources[0].root: is read-only for this process, expected ReadWritePaths=" in folder.journal()
    folder.write("/etc/systemd/system/coapd.service.d/test.conf", "[Service]\nReadWritePaths=/srv/coap\n")
    folder.run("systemctl daemon-reload && systemctl restart coapd")
    folder.run(put)


def test_programs_run(coapd):
    """The kind exec: what a program writes, and one that takes what a client sends."""
    coapd.write("/etc/coapd.conf", CONFIG.replace("resources = (", """resources = (
        { path = "word"; kind = "exec"; command = ( "/usr/bin/sh", "-c", "id -un; cat /etc/hostname" ); },
        { path = "relay"; kind = "exec"; command = ( "/usr/bin/cat", "/var/lib/coapd/relay" ); interval = 3600;
          write_command = ( "/usr/bin/tee", "/var/lib/coapd/relay" ); },"""))
    coapd.run("systemctl restart coapd")
    coapd.wait(lambda: "coapd" in coapd.run(f"{CLIENT} coap://127.0.0.1/word").stdout.split(), 20, "its output")
    coapd.run(f"{CLIENT} -m put -e on coap://127.0.0.1/relay")
    coapd.wait(lambda: coapd.run(f"{CLIENT} coap://127.0.0.1/relay").stdout.strip() == "on", 20, "what was sent")


@pytest.fixture
def small_disk(coapd):
    """The state on a disk of its own, of 1 MiB."""
    coapd.run("systemctl stop coapd; rm -rf /var/lib/coapd/*")
    coapd.run("mount -t tmpfs -o size=1m,mode=750,uid=coapd,gid=coapd tmpfs /var/lib/coapd && systemctl start coapd")
    yield coapd
    coapd.run("systemctl stop coapd; umount /var/lib/coapd")


def test_a_full_disk_costs_changes_and_nothing_else(small_disk):
    put = f"{CLIENT} -m put -e %s coap://127.0.0.1/%s 2>&1"
    assert small_disk.run(put % ("kept", "door")).stdout.strip() == ""
    with Observer(small_disk) as observer:
        answers = observer.take(1)
        small_disk.run("dd if=/dev/zero of=/var/lib/coapd/filler bs=4k 2>/dev/null", check=False)
        small_disk.wait(lambda: re.match("5.0[03]", small_disk.run(put % ("lost", "door")).stdout), 30, "a refusal")
        answers += observer.take(2)
        assert small_disk.run(f"{CLIENT} coap://127.0.0.1/door").stdout.strip() == "kept"
        assert "No space left on device; changes of dynamic resources are refused" in small_disk.journal()
        # It is no reason to end, not even over a restart.
        small_disk.run("systemctl restart coapd")
        answers += observer.take(2)
        assert small_disk.run(f"{CLIENT} coap://127.0.0.1/door").stdout.strip() == "kept"
        small_disk.run("rm /var/lib/coapd/filler")
        small_disk.wait(lambda: small_disk.run(put % ("new", "door")).stdout.strip() == "", 30, "the recovery")
        answers += observer.take(1)
    assert_goes_on(answers)
    small_disk.run("systemctl kill -s KILL coapd")
    small_disk.wait(lambda: small_disk.show("coapd", "NRestarts") == "1"
                    and small_disk.show("coapd", "ActiveState") == "active", 20, "the restart")
    assert small_disk.run(f"{CLIENT} coap://127.0.0.1/door").stdout.strip() == "new"
