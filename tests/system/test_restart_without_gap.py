# SPDX-License-Identifier: BSD-2-Clause
"""No request goes unanswered over `systemctl restart`: systemd keeps the sockets, the kernel queues for them."""
import json
import os

import pytest

# For a measurement: COAPD_RESTARTS=100 COAPD_RATE=5000.
RESTARTS = int(os.environ.get("COAPD_RESTARTS", "4"))
RATE = int(os.environ.get("COAPD_RATE", "3000"))

# Requests at a steady rate, none sent twice, from several ports to several endpoints; then what had no answer.
LOAD = r"""
import json, select, socket, sys, time

rate, seconds, uris = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
answered, errors, sockets = set(), {}, []
for host in uris:
    for _ in range(2):
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
        s.connect((host, 5683))
        s.setblocking(False)
        sockets.append(s)

def receive(wait):
    for s in select.select(sockets, [], [], wait)[0]:
        try:
            while True:
                answer = s.recv(100)
                if answer[1] == 0x45:
                    answered.add(int.from_bytes(answer[4:8]))
                else:
                    errors[answer[1]] = errors.get(answer[1], 0) + 1
        except BlockingIOError:
            pass
        except OSError as e:
            errors[str(e)] = errors.get(str(e), 0) + 1

sent, start = 0, time.monotonic()
while time.monotonic() < start + seconds:
    while sent < (time.monotonic() - start) * rate:
        request = bytes([0x54, 1]) + (sent & 0xffff).to_bytes(2) + sent.to_bytes(4) + b"\xb4time"
        try:
            sockets[sent % len(sockets)].send(request)
        except OSError as e:
            errors[str(e)] = errors.get(str(e), 0) + 1
        sent += 1
    receive(0.001)
last = time.monotonic() + 3
while len(answered) < sent and time.monotonic() < last:
    receive(0.1)
print(json.dumps({"sent": sent, "answered": len(answered), "errors": errors}))
"""

# One connection after the other, each with a request, over both families: who was not let in, and who was answered.
CONNECT = r"""
import json, socket, sys, time

told = {"answered": 0, "ended early": 0, "errors": {}}

def ask(host):
    with socket.create_connection((host, 5683), timeout=20) as s:
        s.sendall(b"\x00\xe1" + b"\x50\x01\xb4time")
        data = b""
        while more := s.recv(1000):
            data += more
            if b"\x45" in data:  # 2.05; there is no such byte in a CSM of ours
                return True
    return False

end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for host in "127.0.0.1", "::1":
        try:
            told["answered" if ask(host) else "ended early"] += 1
        except ConnectionResetError:
            told["ended early"] += 1
        except OSError as e:
            told["errors"][str(e)] = told["errors"].get(str(e), 0) + 1
print(json.dumps(told))
"""

CONFIG = """
endpoints = (
  {{ uri = "coap://{four}:5683"; }},
  {{ uri = "coap://{six}:5683"; }},
  {{ uri = "coap+tcp://{six}:5683"; }}{more}
);
resources = ( {{ path = "time"; kind = "time"; }} );
"""


def restart_under_load(machine, restarts, rate, seconds):
    machine.write("/tmp/load.py", LOAD)
    return restart_meanwhile(machine, restarts, ["/tmp/load.py", rate, seconds, "127.0.0.1", "::1"], seconds)


def restart_meanwhile(machine, restarts, script, seconds):
    load = machine.popen(["python3", *script])
    for _ in range(restarts):
        machine.run("sleep 0.6; systemctl restart coapd")
    output = load.communicate(timeout=seconds + 60)[0]
    print(output, machine.journal("coapd", "-n", "20"))
    return json.loads(output)


@pytest.mark.parametrize("four, six", [("127.0.0.1", "[::1]"), ("0.0.0.0", "[::]")])
def test_no_request_is_lost(coapd, four, six):
    # The load's own bursts are as long as a restart: the default buffer of the kernel holds 256 datagrams.
    coapd.run("sysctl -qw net.core.rmem_max=8388608")
    coapd.write("/etc/coapd.conf", CONFIG.format(four=four, six=six, more=""))
    coapd.run("systemctl restart coapd")
    pid = coapd.show("coapd", "MainPID")
    result = restart_under_load(coapd, RESTARTS, RATE, seconds=5 * RESTARTS / 4)
    assert coapd.show("coapd", "MainPID") != pid
    assert result["answered"] == result["sent"] > 10000
    assert result["errors"] == {}
    assert coapd.show("coapd", "NFileDescriptorStore") == "3"


def connect_meanwhile(machine, restarts, seconds):
    machine.write("/tmp/connect.py", CONNECT)
    return restart_meanwhile(machine, restarts, ["/tmp/connect.py", seconds], seconds)


def test_no_connection_is_refused(coapd):
    """Those that a restart finds accepted end with the process, and their clients connect again; none is turned away."""
    coapd.write("/etc/coapd.conf", CONFIG.format(four="127.0.0.1", six="[::1]",
                                                 more=', { uri = "coap+tcp://127.0.0.1:5683"; }'))
    coapd.run("systemctl restart coapd")
    result = connect_meanwhile(coapd, restarts=2, seconds=3)
    assert result["errors"] == {} and result["answered"] > 10
    assert result["ended early"] <= 4
    coapd.write("/etc/systemd/system/coapd.service.d/test.conf", "[Service]\nFileDescriptorStoreMax=0\n")
    coapd.run("systemctl daemon-reload; systemctl restart coapd")
    assert "refused" in str(connect_meanwhile(coapd, restarts=2, seconds=3)["errors"]), "the test can fail"


def test_the_store_is_what_does_it(coapd):
    """The same without the store loses requests: the test above can fail."""
    coapd.write("/etc/systemd/system/coapd.service.d/test.conf", "[Service]\nFileDescriptorStoreMax=0\n")
    coapd.run("systemctl daemon-reload; systemctl restart coapd")
    result = restart_under_load(coapd, restarts=2, rate=RATE, seconds=3)
    assert result["answered"] < result["sent"]


def test_a_changed_address_is_let_go(coapd):
    coapd.write("/etc/coapd.conf", CONFIG.format(four="127.0.0.1", six="[::1]", more=""))
    coapd.run("systemctl restart coapd")
    assert coapd.show("coapd", "NFileDescriptorStore") == "3"
    coapd.write("/etc/coapd.conf", 'endpoints = ( { uri = "coap://[::]:5683"; } );')
    coapd.run("systemctl restart coapd")
    assert coapd.show("coapd", "NFileDescriptorStore") == "1"
    assert "127.0.0.1:5683" not in coapd.run("ss -Hlun || cat /proc/net/udp").stdout


@pytest.fixture
def socket_unit(coapd):
    """The example that is shipped, as coapd(8) says to use it: it listens, and coapd has not been started."""
    coapd.run("systemctl stop coapd; systemctl clean --what=fdstore coapd")
    coapd.run("cp $(find /usr -path '*/examples/coapd.socket') /etc/systemd/system/")
    yield coapd
    coapd.run("systemctl stop coapd.socket coapd; rm -r /etc/systemd/system/coapd.socket*; systemctl daemon-reload")


def descriptors(machine):
    """The sockets that PID 1 and coapd both hold, by their numbers."""
    pid = machine.show("coapd", "MainPID")
    sockets = [set(machine.run(f"readlink /proc/{p}/fd/* | grep socket").stdout.split()) for p in (1, pid)]
    return sockets[0] & sockets[1]


def test_sockets_of_a_socket_unit_are_taken(socket_unit):
    """Dual-stack ones, which have no names of ours, for UDP and TCP; the first request is what starts the service."""
    socket_unit.write("/etc/coapd.conf", """
        endpoints = ( { uri = "coap://[::]:5683"; }, { uri = "coap+tcp://[::]:5683"; } );
        resources = ( { path = "time"; kind = "time"; } );""")
    socket_unit.run("systemctl daemon-reload; systemctl start coapd.socket")
    assert socket_unit.show("coapd", "ActiveState") == "inactive"
    for uri in "coap://127.0.0.1", "coap://[::1]", "coap+tcp://127.0.0.1", "coap+tcp://[::1]":
        assert socket_unit.run(f"coap-client-gnutls -B 10 {uri}/time").stdout.strip(), uri
    assert len(descriptors(socket_unit)) >= 2
    # Both are the unit's, so there is nothing to be kept beside it.
    assert socket_unit.show("coapd", "NFileDescriptorStore") == "0"
    result = restart_under_load(socket_unit, restarts=2, rate=300, seconds=3)
    assert result["errors"] == {} and result["answered"] == result["sent"]


def test_sockets_that_fit_nothing_are_left_alone(socket_unit):
    """One of the three endpoints comes from the unit; what the unit has for TCP on IPv4 is nobody's."""
    socket_unit.write("/etc/systemd/system/coapd.socket.d/test.conf",
                      "[Socket]\nListenDatagram=\nListenStream=\nListenDatagram=127.0.0.1:5683\n"
                      "ListenStream=127.0.0.1:5683\n")
    socket_unit.write("/etc/coapd.conf", CONFIG.format(four="127.0.0.1", six="[::1]", more=""))
    socket_unit.run("systemctl daemon-reload; systemctl start coapd.socket")
    assert socket_unit.run("coap-client-gnutls -B 10 coap://127.0.0.1/time").stdout.strip()
    assert restart_under_load(socket_unit, restarts=2, rate=300, seconds=3)["errors"] == {}
