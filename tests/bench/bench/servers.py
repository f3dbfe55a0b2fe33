# SPDX-License-Identifier: BSD-2-Clause
"""The servers that are compared: how each is started on a free port, known to be ready, and stopped.

Each is started anew for every measurement, pinned to a core of its own, with its state in a folder of its own.
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

LARGE = 1500  # bytes: an answer in two blocks
PR_SET_PDEATHSIG = 1
READY_WITHIN = 120  # seconds; a restore of many rows takes its time
STOP_WITHIN = 30
PSK_IDENTITY, PSK_KEY = "bench", "0123456789abcdef"
OSCORE = {"secret": "0102030405060708090a0b0c0d0e0f10", "salt": "9e7ca92223786340", "client": "01", "server": "02"}


class ServerError(Exception):
    pass


def free_ports(wanted):
    """A block of adjacent ports, free for UDP and TCP, below the ephemeral ones so that no client takes them."""
    for base in range(17000 + os.getpid() % 500 * 20, 32000, 20):
        try:
            for port in range(base, base + wanted):
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise ServerError("no free ports")


def be_alone(core):
    """For a new child: this core only, and the end when we end, so that no server outlives a killed run."""
    os.sched_setaffinity(0, {core})
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """A process with CoAP on `port`. A `with` block is its life; its folder goes with it unless `keep_state`."""

    name = "?"
    time_query = "?"

    def __init__(self, core, state=None):
        self.core = core
        self.port = free_ports(4)
        self.state = Path(state or tempfile.mkdtemp(prefix="coapd-bench-"))
        self.own_state = state is None
        self.process = None
        self.seconds_to_ready = None
        self.log = self.state / f"{self.name}.log"

    # What a kind of server says about itself.

    def command(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def wait_ready(self):
        ping = bytes((0x40, 0, 0x12, 0x34))
        deadline = time.monotonic() + READY_WITHIN
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", self.port))
            client.settimeout(0.005)
            while time.monotonic() < deadline:
                self.check_alive()
                try:
                    client.send(ping)
                    if client.recv(64)[:1] == b"\x70":
                        return
                except ConnectionRefusedError:
                    time.sleep(0.002)
                except TimeoutError:
                    pass
        raise ServerError(f"{self.name} did not answer within {READY_WITHIN} s")

    def prepare(self):
        """Resources that the scenarios need, made after the start."""

    # The life of the process.

    def check_alive(self):
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace").splitlines()[-5:]
            raise ServerError(f"{self.name} ended with {self.process.returncode}: " + " | ".join(tail))

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        began = time.monotonic()
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                self.command(), env=self.environment(), cwd=self.state, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=lambda: be_alone(self.core))
        self.wait_ready()
        self.seconds_to_ready = time.monotonic() - began

    def stop(self, how=signal.SIGTERM):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __exit__(self, *_):
        # Observers are not told good-bye: with 50,000 of them that would be a benchmark of its own.
        self.stop(signal.SIGKILL)
        if self.own_state:
            shutil.rmtree(self.state, ignore_errors=True)

    @property
    def pid(self):
        return self.process.pid

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def bytes_written(self):
        """To files: datagrams do not count as such (proc_pid_io(5), wchar)."""
        io = Path(f"/proc/{self.pid}/io").read_text(encoding="ascii")
        return int(io.partition("wchar:")[2].split()[0])

    def uri(self, path, scheme="coap"):
        offset = {"coap": 0, "coap+tcp": 0, "coaps": 1, "coap+ws": 2}[scheme]
        return f"{scheme}://127.0.0.1:{self.port + offset}/{path}"

    def ticking_uri(self):
        """The clock as a number of seconds."""
        return self.uri(f"time?{self.time_query}")


class CoapServer(Server):
    """libcoap's own, as Debian packages it: its GnuTLS build."""

    name = "coap-server"
    time_query = "ticks"
    large = "example_data"

    def __init__(self, core, state=None, confirmable=False, secure=False, oscore=False, **_):
        super().__init__(core, state)
        self.confirmable, self.secure, self.oscore = confirmable, secure, oscore

    def command(self):
        command = ["coap-server-gnutls", "-A", "127.0.0.1", "-p", str(self.port), "-d", "200000"]
        if not self.confirmable:
            command += ["-N"]
        if self.secure:
            command += ["-h", "bench", "-k", PSK_KEY, "-w", str(self.port + 2)]
        if self.oscore:
            path = self.state / "oscore.conf"
            path.write_text(f'master_secret,hex,"{OSCORE["secret"]}"\nmaster_salt,hex,"{OSCORE["salt"]}"\n'
                            f'sender_id,hex,"{OSCORE["server"]}"\nrecipient_id,hex,"{OSCORE["client"]}"\n')
            command += ["-E", str(path)]
        return command


class Coapd(Server):
    """The daemon of this tree. Its start counts until READY=1, as the service manager would see it."""

    name = "coapd"
    time_query = "secs"
    large = "large"
    binary = None  # set by run

    def __init__(self, core, state=None, confirmable=False, secure=False, oscore=False, persist=None, sync="interval",
                 access=0, server="", resources="", extra="", **_):
        super().__init__(core, state)
        self.confirmable, self.secure, self.oscore = confirmable, secure, oscore
        self.persist, self.sync, self.access = persist, sync, access
        self.server, self.resources, self.extra = server, resources, extra
        self.notify = None

    def config(self):
        uris = [self.uri("", "coap")[:-1]]
        if self.secure:
            uris += [self.uri("", scheme)[:-1] for scheme in ("coaps", "coap+tcp", "coap+ws")]
        endpoints = ", ".join(f'{{ uri = "{uri}"; }}' for uri in uris)
        confirmable = " confirmable = true;" if self.confirmable else ""
        text = [f"""server: {{ log_level = "warning"; {self.server} }};
endpoints = ( {endpoints} );
resources = (
  {{ path = "time"; kind = "time";{confirmable} }},
  {{ path = "hello"; kind = "static"; content = "hello, world"; }},
  {{ path = "{self.large}"; kind = "static"; content = "{"x" * LARGE}"; }}{self.resources}
);
dynamic: {{ enable = true; max_resources = 200000; }};
"""]
        if self.persist:
            text.append(f"""persist: {{
  engine = "{self.persist}"; sync = "{self.sync}";
  dynamic_resources = "{self.state}/dynamic-resources";
  observers = "{self.state}/observers";
  observe_counters = "{self.state}/observe-counters";
}};
""")
        security = []
        if self.secure:
            security.append(f'psk = {{ hint = "coapd"; identities = ( {{ identity = "{PSK_IDENTITY}"; '
                            f'key = "{PSK_KEY}"; }} ); }};')
        if self.oscore:
            security.append(f'oscore = ( {{ sender_id = "{OSCORE["server"]}"; recipient_ids = ( "{OSCORE["client"]}" );'
                            f' master_secret = "{OSCORE["secret"]}"; master_salt = "{OSCORE["salt"]}"; }} );')
        if security:
            text.append("security: { " + " ".join(security) + " };\n")
        if self.access is not None:  # else nobody may create
            rules = "".join(f'{{ path = "/none{i}/**"; methods = ( "PUT" ); allow = ( "net:10.0.0.0/8" ); }}, '
                            for i in range(self.access))
            text.append(f'access = ( {rules}{{ path = "/**"; methods = ( "GET", "PUT", "POST", "DELETE", '
                        '"OBSERVE", "CREATE" ); allow = ( "anyone" ); } );\n')
        return "".join(text) + self.extra

    def command(self):
        path = self.state / "coapd.conf"
        path.write_text(self.config())
        return [str(self.binary), "-c", str(path)]

    def environment(self):
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = self.state / "notify"
        address.unlink(missing_ok=True)
        self.notify.bind(str(address))
        return dict(os.environ, NOTIFY_SOCKET=str(address))

    def wait_ready(self):
        deadline = time.monotonic() + READY_WITHIN
        self.notify.settimeout(0.2)
        while time.monotonic() < deadline:
            try:
                if b"READY=1" in self.notify.recv(4096).split(b"\n"):
                    # What it says later would fill the socket, and coapd would wait for somebody to read it.
                    self.notify.close()
                    self.notify = None
                    return
            except TimeoutError:
                self.check_alive()
        raise ServerError(f"coapd was not ready within {READY_WITHIN} s")

    def __exit__(self, *_):
        super().__exit__()
        if self.notify:
            self.notify.close()


class Echo(Server):
    """The floor: see echo.c. `how` is what it does: nothing is one datagram at a time."""

    name = "echo"
    time_query = ""
    binary = None  # set by run

    def __init__(self, core, state=None, how=None, **_):
        super().__init__(core, state)
        self.how = how

    def command(self):
        how = {None: [], "batch": ["--batch"], "tcp": ["--tcp"], "ws": ["--ws"], "dtls": ["--dtls", PSK_KEY]}[self.how]
        return [str(self.binary), str(self.port + {"dtls": 1, "ws": 2}.get(self.how, 0)), *how]

    def wait_ready(self):
        for _ in range(500):
            self.check_alive()
            if self.log.read_text(encoding="ascii", errors="replace").startswith("ready"):
                return
            time.sleep(0.01)
        raise ServerError("the echo does not start")
