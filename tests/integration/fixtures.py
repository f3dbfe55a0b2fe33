# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures: a coapd of one's own, and certificates. See daemon.py, coap.py and clients.py for what they give.

    def test_it(coapd):
        daemon = coapd(resources=[{"path": "motd", "kind": "static", "content": "hello"}])
        with daemon.client() as client:
            assert client.get("motd").payload == b"hello"

Keyword arguments are groups of the config. Every test ends with a clean stop of its daemons; a crash, a sanitizer's
report or an exit code other than 0 fails it.
"""

import os

import pytest

from certificates import Certificates
from daemon import BINARY, Coapd
from network import Network


def pytest_configure(config):
    if not BINARY:
        raise pytest.UsageError("COAPD_BIN names no binary to test: run by ./dev test integration")


@pytest.fixture
def coapd(tmp_path, request):
    """coapd(**groups) starts a coapd; coapd(start=False, **groups) only writes its config."""
    daemons = []

    def make(start=True, environment=None, prefix=(), **groups):
        folder = tmp_path / f"coapd-{len(daemons)}"
        folder.mkdir()
        daemon = Coapd(folder, groups)
        daemon.environment.update(environment or {})
        daemon.prefix = list(prefix)
        daemons.append(daemon)
        if start:
            daemon.start()
        return daemon

    request.node.coapd_daemons = daemons
    yield make
    troubles = []
    for daemon in daemons:
        try:
            daemon.end()
        except AssertionError as trouble:
            troubles.append(str(trouble))
    if troubles:
        pytest.fail("\n".join(troubles), pytrace=False)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def network():
    """A network namespace; needs root."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a network namespace")
    network = Network()
    yield network
    network.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure comes with what the daemons wrote."""
    report = yield
    if report.failed and call.when == "call":
        for daemon in getattr(item, "coapd_daemons", ()):
            text = daemon.log + (f"--- run {daemon.runs}, still there\n{daemon.stderr}" if daemon.running else "")
            report.sections.append((f"coapd {daemon.folder.name}", text[-8000:]))
            report.sections.append(("its config", daemon.file.read_text()[:3000]))
    return report
