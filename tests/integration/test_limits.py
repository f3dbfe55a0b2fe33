# SPDX-License-Identifier: BSD-2-Clause
"""The limits: what one client may use up, and that others do not notice. Requests that come twice."""

import coap


def test_requests_per_second(coapd):
    daemon = coapd(limits={"requests_per_second": 20})
    with coap.Client(daemon.port) as greedy, coap.Client(daemon.port, source="127.0.0.2") as modest:
        answers = [greedy.get("time") for _ in range(100)]
        texts = [a.text for a in answers]
        assert texts[:20] == ["2.05"] * 20
        assert "4.29" in texts
        refused = answers[texts.index("4.29")]
        assert refused.max_age == 1
        assert modest.get("time").text == "2.05"


def test_no_limit_by_default(coapd):
    daemon = coapd()
    with coap.Client(daemon.port) as client:
        assert {client.get("time").text for _ in range(500)} == {"2.05"}


def register(client):
    return client.request(coap.GET, "time", observe=0, token=b"one")


def test_observations(coapd):
    daemon = coapd(limits={"observations": 3})
    clients = [coap.Client(daemon.port) for _ in range(4)]
    texts = [register(c).text for c in clients]
    assert texts == ["2.05", "2.05", "2.05", "5.03"]
    # One that leaves makes room.
    clients[0].request(coap.GET, "time", observe=1, token=b"one")
    assert register(clients[3]).text == "2.05"
    for c in clients:
        c.close()


def test_a_request_that_comes_twice_runs_once(coapd):
    daemon = coapd(dynamic={"enable": True})
    with coap.Client(daemon.port) as client:
        create = coap.Message(coap.PUT, type=coap.CON, mid=77, token=b"once", options=coap.request_options("twice"), payload=b"1")
        client.send(create)
        first = client.receive()
        assert first.text == "2.01"
        client.request(coap.PUT, "twice", payload=b"2")
        client.send(create)
        again = client.receive()
        assert (again.text, again.mid, again.token) == ("2.01", 77, b"once")
        assert again.options == first.options
        assert client.get("twice").payload == b"2", "the old value did not come back"
