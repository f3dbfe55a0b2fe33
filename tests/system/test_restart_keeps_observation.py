# SPDX-License-Identifier: BSD-2-Clause
"""What coapd is for: a client that observes never learns that the server was restarted."""
import pytest

from observer import Observer, assert_goes_on


@pytest.mark.parametrize("uri", ["coap://127.0.0.1/time", "coap://[::1]/time", "coap://127.0.0.1/time?secs"])
def test_restart_keeps_observation(coapd, uri):
    before = coapd.show("coapd", "MainPID")
    with Observer(coapd, uri, seconds=60) as observer:
        answers = observer.take(3)
        coapd.run("systemctl restart coapd")
        answers += observer.take(4)
    assert coapd.show("coapd", "MainPID") != before
    assert_goes_on(answers)


def test_restart_keeps_a_value(coapd):
    coapd.run("coap-client-gnutls -m put -e kept coap://127.0.0.1/door")
    coapd.run("systemctl restart coapd")
    assert coapd.run("coap-client-gnutls coap://127.0.0.1/door").stdout.strip() == "kept"
