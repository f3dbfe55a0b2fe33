# SPDX-License-Identifier: BSD-2-Clause
"""A booted Debian with systemd as PID 1, thrown away afterwards, driven from outside.

systemd-nspawn boots an overlay over the untouched root that $COAPD_ROOT names, in a network of its own; commands
enter through nsenter. Machines may run side by side. Nothing here knows about coapd but `install()`.
"""
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

# Runs in a private mount namespace: sets up cgroup v2 if the host has v1, lays the overlay, boots.
BOOT = r"""
set -eu
if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
        umount -R /sys/fs/cgroup
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
group=/sys/fs/cgroup/coapd-test-$$
mkdir "$group"
echo $$ >"$group/cgroup.procs"
echo "$group" >"$SCRATCH/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$SCRATCH/mnt"
mkdir "$SCRATCH/mnt/upper" "$SCRATCH/mnt/work" "$SCRATCH/mnt/root"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$SCRATCH/mnt/upper,workdir=$SCRATCH/mnt/work" "$SCRATCH/mnt/root"
exec systemd-nspawn --quiet --register=no --keep-unit --private-network --resolv-conf=off --link-journal=no \
        --settings=no --machine="$NAME" $BINDS -D "$SCRATCH/mnt/root" --boot
"""

# What a minimal server does not need, and what would only make the boot slower.
MASKED = """apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer
    systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service systemd-resolved.service
    systemd-logind.service systemd-timesyncd.service systemd-pcrphase.service console-getty.service
    getty.target systemd-hwdb-update.service systemd-firstboot.service""".split()

COUNTER = itertools.count()


class Machine:
    """machine.run("systemctl is-active coapd"); use as a context manager."""

    def __init__(self, layers=(), binds=()):
        """layers: folders laid over the root; binds: host folders that are there, too, read-only, at their path."""
        self.scratch = Path(tempfile.mkdtemp(prefix="coapd-machine-"))
        self.scratch.chmod(0o755)
        self.layers = [str(layer) for layer in layers]
        self.binds = [str(bind) for bind in binds]
        self.console = self.scratch / "console"
        self.nspawn = self.init = None

    def __enter__(self):
        try:
            self._boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _boot(self):
        root = os.environ["COAPD_ROOT"]
        ours = self.scratch / "layer"
        units = ours / "etc/systemd/system"
        units.mkdir(parents=True)
        for unit in MASKED:
            (units / unit).symlink_to("/dev/null")
        (self.scratch / "mnt").mkdir()
        environment = dict(
            os.environ,
            SCRATCH=str(self.scratch),
            NAME=f"coapd-test-{os.getpid()}-{next(COUNTER)}",
            LOWER=":".join([str(ours), *self.layers, root]),
            BINDS=" ".join(f"--bind-ro={bind}" for bind in self.binds),
        )
        with open(self.console, "wb") as console:
            self.nspawn = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", BOOT],
                env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(self._find_init, 30, "the machine's PID 1", self._console_text)
        wait_for(lambda: self.run("systemctl is-system-running", check=False).stdout.strip()
                 in ("running", "degraded"), 60, "the end of the boot", self._console_text)

    def _find_init(self):
        if self.nspawn.poll() is not None:
            raise RuntimeError(f"systemd-nspawn ended:\n{self._console_text()}")
        for pid in children(self.nspawn.pid):
            if re.search(r"^NSpid:.*\s1$", Path(f"/proc/{pid}/status").read_text(), re.M):
                self.init = pid
                return True
        return False

    def _console_text(self):
        return self.console.read_text(errors="replace")[-4000:]

    def command(self, command):
        """The argument list that runs a command (a string for sh, or a list) in the machine."""
        if isinstance(command, str):
            command = ["sh", "-c", command]
        return ["nsenter", "--target", str(self.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                "--root", "--wdns=/root", "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
                "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *map(str, command)]

    def run(self, command, check=True, timeout=60, input=None):
        done = subprocess.run(self.command(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=timeout, input=input,
                              stdin=subprocess.DEVNULL if input is None else None)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout}")
        return done

    def popen(self, command, **options):
        """Its own session: end it with `kill_group()`, since nsenter does not pass signals on."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT,
                   "text": True, "errors": "replace", **options}
        return subprocess.Popen(self.command(command), start_new_session=True, **options)

    def write(self, path, text, mode="644"):
        quoted = shlex.quote(str(path))
        self.run(f"mkdir -p $(dirname {quoted}) && cat >{quoted} && chmod {mode} {quoted}", input=text)

    def journal(self, unit="coapd", *options):
        """This boot's messages of a unit, its ExecStartPre and systemd's own about it included."""
        return self.run(["journalctl", "--no-pager", "-o", "cat", "-u", unit, *options]).stdout

    def show(self, unit, name):
        return self.run(["systemctl", "show", "--value", "-p", name, unit]).stdout.strip()

    def wait(self, condition, seconds=20, what=""):
        wait_for(condition, seconds, what or "the condition", lambda: self.journal("coapd", "-n", "60"))

    def close(self):
        if self.init:
            kill(self.init)
        if self.nspawn:
            try:
                self.nspawn.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.nspawn.pid, signal.SIGKILL)
                self.nspawn.wait()
        remove_cgroup(self.scratch)
        shutil.rmtree(self.scratch, ignore_errors=True)


def remove_cgroup(scratch):
    """On a host with cgroup v1 the v2 tree is mounted nowhere now: mount it once more to clean up."""
    try:
        group = (scratch / "cgroup").read_text().strip()
    except OSError:
        return
    subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                    '[ -d "$0" ] || { umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; }; '
                    'find "$0" -depth -type d -exec rmdir {} +', group],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_group(process, number=signal.SIGKILL):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass
    process.wait()


def wait_for(condition, seconds, what, explain=lambda: ""):
    """There is no event to wait for in another machine's systemd: ask 20 times a second, with an end."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}\n{explain()}")
        time.sleep(0.05)
