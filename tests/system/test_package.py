# SPDX-License-Identifier: BSD-2-Clause
"""The Debian package in a machine of its own: install, upgrade, remove, purge; and that it builds reproducibly."""
import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from conftest import CONFIG
from machine import Machine
from observer import Observer, assert_goes_on

SOURCE = Path(__file__).resolve().parents[2]
NEXT = "99.0"


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """{name: .deb} of this build, of the same build done again elsewhere, and of a later version."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("this", "again", "next")}
    # The unit tests have been run already, and once is enough.
    running = [subprocess.Popen([SOURCE / "packaging/build", folders[name]],
                                env=dict(os.environ, DEB_BUILD_OPTIONS="nocheck", COAPD_SKIP_LINTIAN=skip))
               for name, skip in (("this", ""), ("again", "yes"))]
    assert [build.wait() for build in running] == [0, 0]
    builds = {name: next(folders[name].glob("coapd_*.deb")) for name in ("this", "again")}
    # A later version is the same with another number, and another sample: one more build would show nothing more.
    tree = folders["next"] / "tree"
    subprocess.run(["dpkg-deb", "-R", builds["this"], tree], check=True)
    with (tree / "etc/coapd.conf").open("a") as sample:
        sample.write("// Something new.\n")
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version:.*", f"Version: {NEXT}", control.read_text(), flags=re.M))
    builds["next"] = folders["next"] / f"coapd_{NEXT}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, builds["next"]], check=True, stdout=subprocess.DEVNULL)
    return builds


@pytest.fixture(scope="module")
def bare(packages):
    """A machine without coapd, where the packages can be read."""
    with Machine(binds={deb.parent for deb in packages.values()}) as booted:
        yield booted


@pytest.fixture
def packaged(bare, packages):
    """The machine with the package freshly installed, and gone without a trace afterwards."""
    install(bare, packages["this"])
    yield bare
    bare.run("apt-get -qy purge coapd")


def install(machine, deb, **options):
    return machine.run(f"apt-get -qy install {deb}", timeout=240, **options)


def test_two_builds_are_the_same_bytes(packages):
    one, two = (hashlib.sha256(packages[name].read_bytes()).hexdigest() for name in ("this", "again"))
    assert one == two


def test_install_starts_the_service(packaged):
    assert packaged.show("coapd", "ActiveState") == "active"
    assert packaged.show("coapd", "UnitFileState") == "enabled"
    packaged.run("coapd --check -c /etc/coapd.conf && test -d /etc/coapd.d && id coapd")


@pytest.mark.parametrize("name", ["serves", "survives-restart", "controls"])
def test_dep_8(packaged, name):
    """As autopkgtest runs it, which is not installed for this; CONTRIBUTING.md has the command."""
    script = (SOURCE / "packaging/debian/tests" / name).read_text()
    packaged.write(f"/tmp/autopkgtest-{name}", script, "755")
    packaged.run(f"mkdir -p /tmp/{name} && AUTOPKGTEST_TMP=/tmp/{name} /tmp/autopkgtest-{name}", timeout=240)


def test_upgrade_keeps_the_config_and_the_observers(packaged, packages):
    """The new version has another sample: dpkg asks what to do, and keeps the operator's own if there is no other answer."""
    packaged.write("/etc/coapd.conf", CONFIG)
    packaged.run("systemctl restart coapd")
    with Observer(packaged) as observer:
        answers = observer.take(3)
        before = packaged.show("coapd", "MainPID")
        install(packaged, packages["next"], input="\n")
        assert packaged.show("coapd", "MainPID") != before
        answers += observer.take(3)
    assert_goes_on(answers)
    assert packaged.run("cat /etc/coapd.conf").stdout == CONFIG
    assert "Something new." in packaged.run("cat /etc/coapd.conf.dpkg-dist").stdout
    assert NEXT in packaged.run("dpkg-query -W coapd").stdout


def test_remove_stops_it_and_keeps_what_is_the_operators(packaged):
    packaged.write("/etc/coapd.conf", CONFIG)
    packaged.run("systemctl restart coapd && coap-client-gnutls -m put -e kept coap://127.0.0.1/door")
    packaged.run("apt-get -qy remove coapd")
    assert packaged.run("pgrep -x coapd", check=False).stdout == ""
    packaged.run("test -f /etc/coapd.conf && ls /var/lib/coapd/* && ! test -e /usr/sbin/coapd")


def test_purge_leaves_nothing(bare, packages):
    listing = "find / -xdev -not -path '/tmp/*' -not -path '/var/lib/dpkg/*' -not -path '/var/log/*' " \
              "-not -path '/var/cache/*' -name '*coapd*' | sort"
    before = bare.run(listing).stdout
    assert "/var/lib/coapd" not in before, "an earlier purge left it"
    install(bare, packages["this"])
    bare.write("/etc/coapd.conf", CONFIG)
    bare.run("systemctl restart coapd && coap-client-gnutls -m put -e kept coap://127.0.0.1/door")
    assert "/var/lib/coapd" in bare.run(listing).stdout
    bare.run("apt-get -qy purge coapd")
    assert bare.run(listing).stdout == before
