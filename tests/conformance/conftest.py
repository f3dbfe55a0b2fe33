# SPDX-License-Identifier: BSD-2-Clause
"""coapd with conf/examples/plugtest.conf, and the clients that go through the test cases with it."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "integration"))

import pytest
from daemon import free_port
from fixtures import *  # noqa: F403

EXAMPLE = TESTS.parent / "conf/examples/plugtest.conf"


@pytest.fixture
def plugtest(coapd):
    """A coapd with the example's config, on ports of its own and with state of its own."""
    daemon = coapd(start=False)
    daemon.ws_port = free_port()
    text = EXAMPLE.read_text()
    for old, new in ((":5683\"", f":{daemon.port}\""), (":8683\"", f":{daemon.ws_port}\""),
                     ("/var/lib/coapd", daemon.folder)):
        assert old in text
        text = text.replace(old, str(new))
    daemon.file.write_text(text)
    return daemon.start()


@pytest.fixture
def raw(plugtest):
    with plugtest.client() as client:
        yield client


@pytest.fixture
def ask(plugtest, peer):
    """Sends a request by the client that the test was parametrized with."""
    from peers import PEERS

    return PEERS[peer](plugtest).ask
