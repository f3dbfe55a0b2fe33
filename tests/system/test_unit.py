# SPDX-License-Identifier: BSD-2-Clause
"""The unit as shipped: its sandbox, reload, what happens when the daemon dies, hangs, or cannot start."""
import re

from conftest import CONFIG
from observer import Observer, assert_goes_on


def test_exposure(coapd):
    text = coapd.run("systemd-analyze security --no-pager coapd", check=False).stdout
    score = float(re.search(r"exposure level for coapd.service: ([\d.]+)", text)[1])
    assert score <= 1.0, text
    coapd.run("systemd-analyze verify --man=no coapd.service")


def test_runs_as_its_user_in_its_state_directory(coapd):
    pid = coapd.show("coapd", "MainPID")
    assert coapd.run(f"ps -o user= -p {pid}").stdout.strip() == "coapd"
    assert re.search(r"^CapEff:\s*0+$", coapd.run(f"cat /proc/{pid}/status").stdout, re.M)
    coapd.run("coap-client-gnutls -m put -e kept coap://127.0.0.1/door")
    coapd.run("systemctl stop coapd")
    assert set(coapd.run("stat -c %U /var/lib/coapd/*").stdout.split()) == {"coapd"}
    assert coapd.journal("coapd", "-p", "warning", "-o", "cat", "_SYSTEMD_UNIT=init.scope") == ""


def test_reload_keeps_the_process_and_the_observers(coapd):
    before = coapd.show("coapd", "MainPID")
    with Observer(coapd) as observer:
        answers = observer.take(2)
        coapd.write("/etc/coapd.conf", CONFIG + 'server: { log_level = "debug"; };\n')
        coapd.run("systemctl reload coapd")
        answers += observer.take(3)
    assert_goes_on(answers)
    assert coapd.show("coapd", "MainPID") == before


def test_a_bad_edit_fails_the_reload_and_nothing_else(coapd):
    before = coapd.show("coapd", "MainPID")
    lines = CONFIG.count("\n")
    with Observer(coapd) as observer:
        answers = observer.take(2)
        coapd.write("/etc/coapd.conf", CONFIG + 'server: { log_levle = "debug"; };\n')
        assert coapd.run("systemctl reload coapd", check=False).returncode != 0
        answers += observer.take(3)
    assert_goes_on(answers)
    assert coapd.show("coapd", "MainPID") == before
    assert coapd.show("coapd", "ActiveState") == "active"
    assert f"/etc/coapd.conf:{lines + 1}: server.log_levle" in coapd.journal()
    # And the next good edit is taken.
    coapd.write("/etc/coapd.conf", CONFIG)
    coapd.run("systemctl reload coapd")


def test_a_bad_config_does_not_start(coapd):
    coapd.write("/etc/coapd.conf", CONFIG + "endpoint = 1;\n")
    assert coapd.run("systemctl restart coapd", check=False).returncode != 0
    assert f"/etc/coapd.conf:{CONFIG.count(chr(10)) + 1}: endpoint" in coapd.journal()
    # It is tried again by itself once the operator has seen to it.
    coapd.write("/etc/coapd.conf", CONFIG)
    coapd.wait(lambda: coapd.show("coapd", "ActiveState") == "active", 30, "the start after the correction")


def test_observers_survive_a_kill(coapd):
    with Observer(coapd) as observer:
        answers = observer.take(3)
        coapd.run("systemctl kill -s KILL coapd")
        answers += observer.take(3)
    assert_goes_on(answers)
    assert coapd.show("coapd", "NRestarts") == "1"


def test_the_watchdog_ends_a_stuck_loop(coapd):
    coapd.write("/etc/systemd/system/coapd.service.d/test.conf",
                "[Service]\nWatchdogSec=2\nTimeoutAbortSec=2\n")
    coapd.run("systemctl daemon-reload && systemctl restart coapd")
    before = coapd.show("coapd", "MainPID")
    with Observer(coapd) as observer:
        answers = observer.take(3)
        coapd.run(f"kill -STOP {before}")
        answers += observer.take(3, 30)
    assert_goes_on(answers)
    assert coapd.show("coapd", "MainPID") != before
    assert "Watchdog timeout" in coapd.journal()


def test_a_healthy_loop_is_left_alone_by_the_watchdog(coapd):
    """Idle, so that only the watchdog's own timer wakes it."""
    coapd.write("/etc/systemd/system/coapd.service.d/test.conf", "[Service]\nWatchdogSec=500ms\n")
    coapd.run("systemctl daemon-reload && systemctl restart coapd && sleep 3")
    assert coapd.show("coapd", "NRestarts") == "0"


def test_crash_loop_backs_off_and_never_gives_up(coapd):
    coapd.write("/etc/systemd/system/coapd.service.d/test.conf",
                "[Service]\nExecStart=\nExecStart=/bin/false\n")
    coapd.run("systemctl daemon-reload; systemctl restart coapd", check=False)
    coapd.wait(lambda: int(coapd.show("coapd", "NRestarts")) >= 6, 30, "six restarts")
    text = coapd.run("journalctl -o short-monotonic --no-pager -u coapd").stdout
    times = [float(time) for time in re.findall(r"^\[\s*([\d.]+)\].*Main process exited", text, re.M)][-6:]
    gaps = [after - before for before, after in zip(times, times[1:])]
    # Each wait is nearly twice the one before; the processes' own time, on a busy machine, is in the first ones.
    assert gaps[-1] > 1 and gaps[-1] > 2 * gaps[0], gaps
    assert coapd.show("coapd", "ActiveState") == "activating"


def test_multicast_works_in_the_sandbox(coapd):
    coapd.run("ip link set lo multicast on; ip route replace 224.0.0.0/4 dev lo")
    coapd.write("/etc/coapd.conf", CONFIG.replace(
        "endpoints = (", 'endpoints = ( { uri = "coap://0.0.0.0:5693"; multicast = ( "224.0.1.187%lo" ); },'))
    coapd.run("systemctl restart coapd")
    assert "224.0.1.187" in coapd.run("ip maddr show dev lo").stdout
    # It may take its leisure, of up to five seconds.
    answer = coapd.run("coap-client-gnutls -N -B 8 coap://224.0.1.187:5693/.well-known/core").stdout
    assert "</time>" in answer
