# SPDX-License-Identifier: BSD-2-Clause
"""What an AppArmor profile allows of files, and what files a program used by strace: enough of both to compare them.

The kernel here may have no AppArmor. So the real parser expands the profile's includes and says whether it is good,
and its file rules are read as apparmor.d(5) defines them.
"""
import os
import re
import subprocess


def expanded(profile):
    return subprocess.run(["apparmor_parser", "--preprocess", profile], check=True, capture_output=True,
                          text=True).stdout


def variables(text):
    values = {}
    for name, sign, rest in re.findall(r"^\s*(@\{\w+\})\s*(\+?=)\s*(.*)$", text, re.M):
        if sign == "=":
            values[name] = []
        values.setdefault(name, []).extend(word.strip('"') for word in rest.split())
    return values


def spell_out(pattern, values):
    """The pattern without variables: each becomes an alternation."""
    while found := re.search(r"@\{\w+\}", pattern):
        choices = values.get(found[0], ["[0-9]*" if "pid" in found[0] or "tid" in found[0] else "*"])
        if pattern[found.end():].startswith("/"):
            choices = [choice.rstrip("/") for choice in choices]
        pattern = pattern[:found.start()] + "{" + ",".join(choices) + "}" + pattern[found.end():]
    return pattern


def regex(pattern):
    out, depth, i = "", 0, 0
    while i < len(pattern):
        c = pattern[i]
        if pattern.startswith("**", i):
            out, i = out + ".*", i + 1
        elif c == "*":
            out += "[^/]*"
        elif c == "?":
            out += "[^/]"
        elif c == "[":
            end = pattern.index("]", i)
            out, i = out + pattern[i:end + 1], end
        elif c in "{}":
            depth += 1 if c == "{" else -1
            out += "(?:" if c == "{" else ")"
        elif c == "," and depth:
            out += "|"
        else:
            out += re.escape(c)
        i += 1
    return re.compile(re.sub("/+", "/", out) + r"\Z")


class Profile:
    """profile.allows("/etc/passwd", "r")"""

    def __init__(self, path):
        text = expanded(path)
        values = variables(text)
        self.rules = []
        for line in text.splitlines():
            rule = re.match(r'\s*(deny\s+)?(?:owner\s+)?"?((?:/|@\{)[^\s"]*)"?\s+([a-zA-Z]+),', line)
            if rule and not rule[1]:
                self.rules.append((regex(spell_out(rule[2], values)), rule[3]))

    def allows(self, path, access):
        """A folder's rule ends in a slash, which the trace does not tell."""
        have = {letter for pattern, letters in self.rules for letter in letters
                if pattern.match(path) or pattern.match(path + "/")}
        return set(access) <= have


def uses(trace):
    """(path, access) of the calls that succeeded, of a trace by `strace -y`."""
    found = set()
    for line in trace.splitlines():
        call = re.match(r'[^(]*?(\w+)\((.*)\)\s*=\s*(\d+)', line)
        if not call:
            continue
        name, rest = call[1], call[2]
        if name in ("open", "openat", "openat2", "creat"):
            path = paths_of(rest)[:1]
            writes = "O_WRONLY" in rest or "O_RDWR" in rest or name == "creat"
            reads = "O_WRONLY" not in rest and "O_PATH" not in rest
            found |= {(p, "r" * reads + "w" * writes) for p in path}
        elif name.startswith(("unlink", "rename", "mkdir", "link", "symlink")):
            found |= {(p, "w") for p in paths_of(rest)}
        elif name == "connect" and "sun_path=\"/" in rest:
            found.add((re.search(r'sun_path="([^"]*)"', rest)[1], "w"))
        elif name == "flock":
            locked = re.match(r"\d+<(/[^>]*)>", rest)
            found |= {(locked[1], "k")} if locked else set()
    return {(resolved(path), access) for path, access in found if access}


def resolved(path):
    """/proc/self is a link, and AppArmor judges where it leads to."""
    return re.sub(r"^/proc/self(?=/)", "/proc/1", os.path.normpath(path))


def paths_of(arguments):
    """Each "NAME" of a call, with the folder's descriptor that stands before it."""
    out = []
    for folder, name in re.findall(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"', arguments):
        out.append(os.path.join(folder or "/", name))
    return out
