# SPDX-License-Identifier: BSD-2-Clause
"""Programs of the kind `exec` in the sandbox of the unit as shipped, and what a drop-in opens for them."""
import re
from pathlib import Path

from conftest import CONFIG

SHELL = """#!/bin/bash
set -eu -o pipefail
scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
{ date +%s; id -un; } | sort | tee "$scratch" | wc -l
"""

# Threads, subprocesses, sockets, a library with C code of its own, and ctypes, which wants memory to execute.
PYTHON = """#!/usr/bin/python3
import concurrent.futures, ctypes, json, socket, sqlite3, ssl, subprocess, tempfile
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    squares = list(pool.map(lambda n: n * n, range(4)))
uname = subprocess.run("uname -s | tr a-z A-Z", shell=True, capture_output=True, text=True, check=True).stdout.strip()
socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
with tempfile.TemporaryFile() as file:
    file.write(b"x")
print(json.dumps({"squares": squares, "uname": uname, "strlen": ctypes.CDLL(None).strlen(b"four")}), end="")
"""

PROGRAMS = {
    "shell": SHELL,
    "python": PYTHON,
    "load": "#!/bin/sh\nexec cut -d ' ' -f 1 /proc/loadavg\n",
    "secret": "#!/bin/sh\nexec cat /srv/for-the-group\n",
    "rights": "#!/bin/sh\nexec grep -E '^(CapEff|NoNewPrivs)' /proc/self/status\n",
    "writer": "#!/bin/sh\ntouch /usr/x /etc/x /var/x; ls /home >&2; touch /tmp/x /var/lib/coapd/x && echo wrote\n",
}


def configure(coapd):
    resources = ['{ path = "time"; kind = "time"; }']
    for name, text in PROGRAMS.items():
        coapd.write(f"/usr/local/lib/coapd/{name}", text, "755")
        resources.append(f'{{ path = "{name}"; kind = "exec"; interval = 1; command = "/usr/local/lib/coapd/{name}"; }}')
    resources.append('{ path = "relay"; kind = "exec"; interval = 3600; write_command = ( "/usr/bin/tee", '
                     '"/var/lib/coapd/relay" ); command = ( "/usr/bin/cat", "/var/lib/coapd/relay" ); }')
    coapd.write("/etc/coapd.conf", re.sub(r"(?m)^resources = .*", f"resources = ( {', '.join(resources)} );", CONFIG))


def read(coapd, path, wanted=lambda text: True):
    """What it gives once it gives anything."""
    answers = []

    def answered():
        answers.append(coapd.run(f"coap-client-gnutls -B 5 coap://127.0.0.1/{path}", check=False).stdout.strip())
        return answers[-1] and "not been read yet" not in answers[-1] and wanted(answers[-1])

    coapd.wait(answered, 40, f"an answer of {path}")
    return answers[-1]


def test_scripts_run_in_the_sandbox(coapd):
    configure(coapd)
    coapd.run("systemctl restart coapd")
    assert read(coapd, "shell") == "2"
    assert read(coapd, "python") == '{"squares": [0, 1, 4, 9], "uname": "LINUX", "strlen": 4}'
    assert re.fullmatch(r"CapEff:\s+0+\nNoNewPrivs:\s+1", read(coapd, "rights"))
    assert read(coapd, "writer") == "wrote"
    assert coapd.run("ls /usr/x /etc/x /var/x /tmp/x", check=False).stdout.count("cannot access") == 4
    assert coapd.run("coap-client-gnutls -B 20 -m post -e on coap://127.0.0.1/relay").stdout.strip() == "on"
    assert read(coapd, "relay") == "on"
    # What it may not do it says itself.
    assert read(coapd, "load").startswith("5.03")
    assert "/proc/loadavg: No such file or directory" in coapd.journal("coapd", "COAPD_RESOURCE=load")
    assert read(coapd, "secret").startswith("5.03")


def test_the_drop_ins_of_the_example(coapd):
    """As conf/examples/exec.conf has them, but for the device and the group."""
    text = (Path(__file__).parents[2] / "conf/examples/exec.conf").read_text()
    drop_ins = re.findall(r"^//   (\[Service\]|\w+=.*)$", text, re.M)
    assert len(drop_ins) == 6
    drop_in = "\n".join(drop_ins).replace("/dev/i2c-1", "/dev/full").replace("=i2c", "=sensors")
    configure(coapd)
    coapd.run("groupadd -f -r sensors; echo 23 >/srv/for-the-group; chgrp sensors /srv/for-the-group; "
              "chmod 640 /srv/for-the-group")
    coapd.write("/etc/systemd/system/coapd.service.d/test.conf", drop_in + "\n")
    coapd.run("systemctl daemon-reload && systemctl restart coapd")
    assert re.fullmatch(r"\d+\.\d\d", read(coapd, "load"))
    assert read(coapd, "secret") == "23"


def test_nothing_is_left_when_it_stops(coapd):
    coapd.write("/usr/local/lib/coapd/stays", "#!/bin/sh\nsetsid sleep 4242 &\ntrap '' TERM\nsleep 4242\n", "755")
    coapd.write("/etc/coapd.conf", CONFIG.replace('kind = "time";', 'kind = "exec"; '
                                                  'command = "/usr/local/lib/coapd/stays";'))
    coapd.run("systemctl restart coapd")
    coapd.wait(lambda: coapd.run("pgrep -cx sleep", check=False).stdout.strip() == "2", 20, "the program")
    coapd.run("systemctl stop coapd")
    assert coapd.run("pgrep -cx sleep", check=False).stdout.strip() == "0"
