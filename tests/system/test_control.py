# SPDX-License-Identifier: BSD-2-Clause
"""coapctl under the unit as shipped, and `systemctl reload`, which goes through it."""
import json

import pytest

from conftest import CONFIG
from observer import Observer, assert_goes_on
from test_sandbox import SECURE

CONTROL = 'server: { control = "/run/coapd/control"; };\n'


@pytest.fixture
def controlled(coapd):
    coapd.write("/etc/coapd.conf", CONTROL + CONFIG)
    coapd.run("systemctl restart coapd")
    return coapd


CONNECT = """
import errno, socket
print(errno.errorcode.get(socket.socket(socket.AF_UNIX).connect_ex("/run/coapd/control"), "connected"))
"""


def test_root_and_the_group_may_ask_and_nobody_else(controlled):
    """By the kernel's own check, whatever coapctl says; PrivateUsers= changes nothing in whose the file is."""
    assert controlled.run("stat -c '%U:%G %a' /run/coapd /run/coapd/control").stdout.split("\n")[:2] == [
        "coapd:coapd 750", "coapd:coapd 660"]
    assert "5683" in controlled.run("coapctl endpoints").stdout
    as_other = "setpriv --reuid=nobody --regid=nogroup"
    assert "coapd 0" in controlled.run(f"{as_other} --groups=coapd coapctl status").stdout
    for groups, outcome in ("--groups=coapd", "connected"), ("--clear-groups", "EACCES"):
        assert controlled.run(f"{as_other} {groups} python3 -", input=CONNECT).stdout.strip() == outcome
    # Nor may one who gets into the folder.
    controlled.run("chmod 755 /run/coapd")
    assert controlled.run(f"{as_other} --clear-groups python3 -", input=CONNECT).stdout.strip() == "EACCES"
    refused = controlled.run(f"{as_other} --clear-groups coapctl status", check=False)
    assert refused.returncode == 1 and "for root and the group coapd" in refused.stdout


def test_it_shows_what_goes_on(controlled):
    with Observer(controlled) as observer:
        observer.take(1)
        controlled.run("coap-client-gnutls -m put -e kept coap://127.0.0.1/door")
        status = json.loads(controlled.run("coapctl --json status").stdout)
        assert (status["observers"], status["resources_dynamic"]) == (1, 1)
        assert str(status["pid"]) == controlled.show("coapd", "MainPID")
        assert "/time" in controlled.run("coapctl observers").stdout
        controlled.wait(lambda: "1 observers, 1 configured and 1 dynamic" in controlled.show("coapd", "StatusText"))
        dump = controlled.run("coapctl dump").stdout
    controlled.run("systemctl stop coapd && systemctl clean --what=state coapd && systemctl start coapd")
    assert "1 of 1" in controlled.run("coapctl import", input=dump).stdout
    assert controlled.run("coap-client-gnutls coap://127.0.0.1/door").stdout.strip() == "kept"


def test_reload_goes_through_it(controlled):
    before = controlled.show("coapd", "MainPID")
    with Observer(controlled) as observer:
        answers = observer.take(1)
        controlled.write("/etc/coapd.conf", CONTROL + CONFIG.replace("resources = (",
                         'resources = ( { path = "new"; kind = "static"; content = "here"; },'))
        controlled.run("systemctl reload coapd")
        # It is done when the command is.
        assert controlled.run("coap-client-gnutls coap://127.0.0.1/new").stdout.strip() == "here"
        controlled.write("/etc/coapd.conf", CONTROL + CONFIG + "nosuch = 1;\n")
        assert controlled.run("systemctl reload coapd", check=False).returncode != 0
        assert f"/etc/coapd.conf:{(CONTROL + CONFIG).count(chr(10)) + 1}: nosuch" in controlled.journal()
        answers += observer.take(2)
    assert_goes_on(answers)
    assert controlled.show("coapd", "MainPID") == before
    assert controlled.show("coapd", "ActiveState") == "active"


def test_reload_with_keys_that_only_the_daemon_sees(controlled):
    """A credential is there for the daemon and not for ExecReload=, so a check in there would refuse what is good."""
    controlled.write("/etc/credstore/coapd.sensor-1", "a secret", "600")
    controlled.write("/etc/coapd.conf", CONTROL + SECURE)
    controlled.run("systemctl restart coapd && systemctl reload coapd")
    get = "coap-client-gnutls -B 10 -u sensor-1 -k 'a secret' coaps://127.0.0.1/time"
    assert controlled.run(get).stdout.strip()
    controlled.run("rm /etc/credstore/coapd.sensor-1")


def test_messages_have_fields_and_an_explanation(controlled):
    controlled.write("/etc/coapd.conf", CONTROL + CONFIG.replace('"*"', '"GET"'))
    controlled.run("systemctl reload coapd; coap-client-gnutls -m put -e x coap://127.0.0.1/door")
    entry = json.loads(controlled.run("journalctl -u coapd -o json --no-pager | grep '\"denied with'").stdout)
    assert entry["COAPD_RESOURCE"] == "door" and entry["COAPD_CODE"] == "401" and entry["PRIORITY"] == "6"
    assert entry["COAPD_IDENTITY"] == "anyone" and entry["COAPD_PEER"].startswith("127.0.0.1:")
    controlled.run("journalctl --update-catalog")
    told = controlled.run(f"journalctl -x --no-pager MESSAGE_ID={entry['MESSAGE_ID']}").stdout
    assert "anyone at 127.0.0.1" in told and "names the rule" in told
