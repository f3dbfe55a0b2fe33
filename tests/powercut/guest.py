# SPDX-License-Identifier: BSD-2-Clause
"""A machine whose power can be cut: QEMU without hardware help, Debian's cloud kernel, and nothing but coapd on it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

SIZE = 48 << 20  # of the disk with the state
MODULES = ("virtio_blk", "failover", "net_failover", "virtio_net")
PROGRAMS = ("/bin/sh", "/bin/mount", "/sbin/ip", "/sbin/modprobe", "/bin/sleep")

INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for module in {modules}; do modprobe $module; done
ip link set lo up
ip link set eth0 up
# Without `brd +` libcoap would take every request for a multicast one.
ip addr add 10.0.2.15/24 brd + dev eth0
mount -t ext4 /dev/vda /data || echo "no disk"
{prefix}exec /usr/sbin/coapd -c /etc/coapd.conf
"""


def run(*command, **more):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, **more).stdout


def libraries(*programs):
    found = set()
    for program in programs:
        found |= set(re.findall(r"(/\S+)\s+\(0x", run("ldd", program)))
    return found


def unpacked_kernel(cache):
    """The kernel and the folder of its modules, from its packages, which are fetched once."""
    folder = cache / "kernel"
    if not folder.is_dir():
        depends = run("apt-cache", "depends", "linux-image-cloud-amd64")
        name = re.search(r"Depends: (linux-image-\S+-cloud-amd64)", depends).group(1)
        # Debian 14 has the kernel and its modules in packages of their own.
        parts = re.findall(r"Depends: (linux-(?:base|binary|modules)-\d\S+)", run("apt-cache", "depends", name))
        shutil.rmtree(cache / "kernel.tmp", ignore_errors=True)
        for package in (name, *parts):
            run("apt-get", "download", package, cwd=cache)
            (file,) = cache.glob(f"{package}_*.deb")
            run("dpkg-deb", "-x", file, cache / "kernel.tmp")
            file.unlink()
        (cache / "kernel.tmp").rename(folder)
    (modules,) = folder.glob("**/lib/modules/*")
    (kernel,) = (file for file in folder.rglob("vmlinuz*") if file.is_file())
    return kernel, modules


def make_root(cache, binary, config, preload=None):
    """An ext4 image with coapd, what it is linked with, and a shell."""
    kernel, modules = unpacked_kernel(cache)
    root = cache / "root"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("proc", "sys", "dev", "tmp", "data", "etc", "usr/sbin", "usr/bin", "usr/lib", "usr/lib64"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    extra = [preload] if preload else []
    for file in {*PROGRAMS, *extra, *libraries(binary, *PROGRAMS, *extra)}:
        to = root / Path(file).relative_to("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to)
    shutil.copy(binary, root / "usr/sbin/coapd")
    (root / "etc/coapd.conf").write_text(config)
    (root / "init").write_text(
        INIT.format(modules=" ".join(MODULES), prefix=f"export LD_PRELOAD={preload}\n" if preload else "")
    )
    (root / "init").chmod(0o755)
    to = root / "usr/lib/modules" / modules.name
    for module in MODULES:
        for file in modules.rglob(f"{module}.ko*"):
            (to / file.relative_to(modules)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to / file.relative_to(modules))
    for name in ("modules.builtin", "modules.order"):
        shutil.copy(modules / name, to / name)
    run("depmod", "-b", root, modules.name)
    image = cache / "root.ext4"
    image.unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", "ext4", "-d", root, image, "192M")
    return kernel, image


def make_disk(folder):
    """A bytearray with an empty ext4."""
    image = folder / "data.ext4"
    run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0", image, f"{SIZE >> 20}M")
    data = bytearray(image.read_bytes())
    image.unlink()
    return data


class Guest:
    def __init__(self, kernel, root, nbd, port, console):
        self.console = console
        with open(console, "wb") as out:
            self.process = subprocess.Popen(
                [
                    "qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-display", "none", "-serial", "stdio",
                    "-no-reboot", "-nodefaults", "-kernel", str(kernel),
                    "-append", "root=/dev/nvme0n1 ro init=/init console=ttyS0 quiet panic=-1 net.ifnames=0",
                    "-drive", f"file={root},format=raw,if=none,id=root,readonly=on",
                    "-device", "nvme,drive=root,serial=root",
                    "-drive", f"file=nbd:unix:{nbd},format=raw,if=none,id=data,cache=writeback",
                    "-device", "virtio-blk-pci,drive=data",
                    "-netdev", f"user,id=net,hostfwd=udp:127.0.0.1:{port}-:5683",
                    "-device", "virtio-net-pci,netdev=net,romfile=",
                ],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    def cut_power(self):
        self.process.kill()
        self.process.wait()

    def said(self):
        return Path(self.console).read_text(errors="replace")


def extract(image, folder):
    """What a machine that boots again finds in the folder with the state: the journal replayed, the files taken out."""
    file = folder / "cut.ext4"
    with open(file, "wb") as out:
        out.write(image)
    checked = subprocess.run(["e2fsck", "-fy", str(file)], capture_output=True, text=True, check=False)
    state = folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    run("debugfs", "-R", f"rdump / {state}", file)
    shutil.rmtree(state / "lost+found", ignore_errors=True)
    for found in state.iterdir():
        os.chmod(found, 0o600)
    # 1: the journal was replayed. More: the filesystem itself was broken, which is not ours to judge.
    assert checked.returncode <= 1, checked.stdout
    return state
