# SPDX-License-Identifier: BSD-2-Clause
"""Compiles our own two programs, apart from the daemon's build, so that a packager never meets them."""
import fcntl
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
TOP = HERE.parent.parent
OUT = TOP / "build" / "bench"

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Wshadow", "-Wmissing-prototypes",
         "-Wstrict-prototypes", "-Wformat=2", "-Wvla", "-Wpointer-arith", "-Wwrite-strings", "-Wcast-align"]


def compile_programs():
    """Only what has changed; two at a time do not get into each other's way. Returns the folder."""
    OUT.mkdir(parents=True, exist_ok=True)
    headers = [*HERE.glob("*.h"), TOP / "daemon/base/util.h", Path(__file__)]
    with open(OUT / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, sources, libraries in (("load", sorted(HERE.glob("load*.c")), ["-lgnutls"]),
                                         ("echo", sorted(HERE.glob("echo*.c")), ["-lgnutls"])):
            target = OUT / name
            newest = max(file.stat().st_mtime for file in [*sources, *headers])
            if not target.exists() or target.stat().st_mtime < newest:
                subprocess.run([os.environ.get("CC", "cc"), *FLAGS, f"-I{TOP / 'daemon'}", f"-I{HERE}", "-o", target,
                                *sources, *libraries], check=True)
    return OUT
