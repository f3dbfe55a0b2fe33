# SPDX-License-Identifier: BSD-2-Clause
"""One booted machine with the build installed by `cmake --install`, and a clean coapd in it for each test."""
import os
import shutil
import subprocess

import pytest

from machine import Machine

CONFIG = """
endpoints = ( { uri = "coap://127.0.0.1:5683"; }, { uri = "coap://[::1]:5683"; } );
resources = ( { path = "time"; kind = "time"; title = "Clock"; } );
dynamic: { enable = true; prefix = ( "" ); };
access = ( { path = "/**"; methods = ( "*" ); allow = ( "anyone" ); } );
persist: {
  dynamic_resources = "/var/lib/coapd/dynamic-resources";
  observers = "/var/lib/coapd/observers";
  observe_counters = "/var/lib/coapd/observe-counters";
};
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A folder with what `cmake --install` puts on a machine."""
    stage = tmp_path_factory.mktemp("stage")
    subprocess.run(["cmake", "--install", os.environ["COAPD_BUILD"]], env=dict(os.environ, DESTDIR=str(stage)),
                   check=True, stdout=subprocess.DEVNULL)
    yield stage
    shutil.rmtree(stage, ignore_errors=True)


@pytest.fixture(scope="session")
def machine(installed):
    if not os.environ.get("COAPD_ROOT"):
        pytest.fail("COAPD_ROOT names no Debian root to boot: run by ./dev test system")
    with Machine(layers=[installed]) as booted:
        booted.run("systemd-sysusers && systemctl daemon-reload")
        yield booted


@pytest.fixture
def coapd(machine):
    """The machine with coapd running on CONFIG, its state empty."""
    stop(machine)
    machine.write("/etc/coapd.conf", CONFIG)
    machine.run("(journalctl --rotate --vacuum-time=1s; systemctl reset-failed coapd) >/dev/null 2>&1; systemctl start coapd")
    yield machine
    stop(machine)


def stop(machine):
    machine.run("systemctl stop coapd; systemctl clean --what=state,runtime,fdstore coapd", check=False)
    machine.run("rm -rf /etc/systemd/system/coapd.service.d; systemctl daemon-reload")
