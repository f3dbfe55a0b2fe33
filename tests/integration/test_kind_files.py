# SPDX-License-Identifier: BSD-2-Clause
"""A folder served: what is read and written, what cannot be reached, what observers are told."""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import threading

import coap
import pytest
from clients import CoapClient, aiocoap_request, coap_client
from coap_stream import StreamClient
from daemon import SANITIZED

FORBIDDEN_PATHS = [
    ["..", "secret"], ["sub", "..", "..", "secret"], [".", "a.txt"], ["../secret"], ["sub/../../secret"], ["/etc/passwd"],
    ["sub", "", "b.json"], [".hidden"], ["sub", ".hidden"], ["link-out"], ["folder-out", "secret"], ["link-in"],
    ["folder-in", "b.json"], ["a.txt", ""], ["a.txt", "x"], [b"a.txt\0"], [b"a.txt\0.json"], ["a.txt\0"], ["%2e%2e", "secret"],
    ["x" * 255], ["fifo"], ["socket"], ["..%2fsecret"], ["sub/b.json"], ["A.TXT"],
]


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("alpha")
    (root / "sub/b.json").write_text("{}")
    (root / ".hidden").write_text("x")
    (root / "sub/.hidden").write_text("x")
    (tmp_path / "secret").write_text("secret")
    (root / "link-out").symlink_to("../secret")
    (root / "folder-out").symlink_to("..")
    (root / "link-in").symlink_to("a.txt")
    (root / "folder-in").symlink_to("sub")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    return root


def fw(root, **more):
    return [{"path": "fw", "kind": "files", "root": root, **more}]


def below(*segments):
    return ["fw", *segments]


def test_get(coapd, tree):
    daemon = coapd(resources=fw(tree))
    (tree / "ü ber%41.cbor").write_bytes(b"\xf6")
    with daemon.client() as client:
        text = client.get("fw/a.txt")
        assert (text.text, text.payload, text.content_format) == ("2.05", b"alpha", coap.TEXT)
        assert client.get("fw/sub/b.json").content_format == coap.JSON
        odd = client.get(["fw", "ü ber%41.cbor"])
        assert (odd.payload, odd.content_format) == (b"\xf6", coap.CBOR)
        assert client.get("fw/a.txt", extra=[(coap.ETAG, text.etag)]).text == "2.03"
        assert client.get("fw/a.txt", accept=coap.JSON).text == "4.06"
        assert client.get("fw/nothing").text == "4.04"
        assert client.post("fw/a.txt", b"x").text == "4.05"


@pytest.mark.parametrize("path", FORBIDDEN_PATHS, ids=repr)
def test_no_way_out(coapd, tree, path):
    daemon = coapd(resources=fw(tree, writable=True))
    before = sorted(os.walk(tree.parent))
    with daemon.client() as client:
        assert client.get(below(*path)).text == "4.04"
        assert client.observe(below(*path)).first.text == "4.04"
        if path not in (["x" * 255], ["A.TXT"], ["link-out"], ["link-in"], ["%2e%2e", "secret"], ["..%2fsecret"]):
            assert client.put(below(*path), b"owned").text in ("4.04", "4.03")
            assert client.delete(below(*path)).text in ("2.02", "4.03", "4.04")
        assert [entry[:2] for entry in sorted(os.walk(tree.parent))] == [entry[:2] for entry in before]
    assert (tree.parent / "secret").read_text() == "secret"
    assert (tree / "a.txt").read_text() == "alpha"
    assert (tree / "sub/b.json").read_text() == "{}"


def test_symlinks_are_followed_within(coapd, tree):
    daemon = coapd(resources=fw(tree, follow_symlinks=True))
    with daemon.client() as client:
        assert client.get("fw/link-in").payload == b"alpha"
        assert client.get("fw/folder-in/b.json").payload == b"{}"
        assert client.get("fw/link-out").text == "4.04"
        assert client.get("fw/folder-out/secret").text == "4.04"


def test_format_by_attribute(coapd, tree):
    try:
        os.setxattr(tree / "a.txt", "user.mime_type", b"application/cbor")
    except OSError:
        pytest.skip("no extended attributes here")
    daemon = coapd(resources=fw(tree, writable=True))
    with daemon.client() as client:
        assert client.get("fw/a.txt").content_format == coap.CBOR
        assert client.put("fw/new", b"[]", content_format=coap.JSON).text == "2.01"
        assert client.get("fw/new").content_format == coap.JSON
        assert client.put("fw/new", b"[]").text == "2.04"
        assert client.get("fw/new").content_format == coap.OCTETS


def test_listing(coapd, tree):
    daemon = coapd(resources=fw(tree))
    (tree / "c d.bin").write_bytes(b"123")
    with daemon.client() as client:
        top = client.get("fw")
        assert top.content_format == coap.LINK_FORMAT
        assert top.payload.decode() == "</fw/a.txt>;ct=0;sz=5,</fw/c%20d.bin>;ct=42;sz=3,</fw/sub>;ct=40"
        assert client.get("fw/sub").payload == b"</fw/sub/b.json>;ct=50;sz=2"
        (tree / "d").touch()
        assert b"</fw/d>" in client.get("fw").payload


def test_a_folder_has_one_name(coapd, tree):
    """A slash at the end would be another one, which a rule of access for the first is not for."""
    daemon = coapd(resources=fw(tree), access=[{"path": "/fw", "methods": ["*"], "allow": []},
                                               {"path": "/fw/**", "methods": ["*"], "allow": ["anyone"]}])
    with daemon.client() as client:
        assert client.get("fw").text == "4.01"
        assert client.get("fw/a.txt").text == "2.05"
        assert client.get(["fw", ""]).text == client.get(["fw", "sub", ""]).text == "4.04"
        assert client.observe(["fw", ""]).first.text == "4.04"


def test_listing_of_a_thousand(coapd, tmp_path):
    for i in range(1000):
        (tmp_path / f"{i:04}.txt").write_text(str(i))
    daemon = coapd(resources=fw(tmp_path, listing=True))
    with daemon.client() as client:
        links = client.get_blocks("fw", 512).payload.decode().split(",")
        names = [link.split(">")[0] for link in links if ".txt" in link]
        assert names == [f"</fw/{i:04}.txt" for i in range(1000)]


def test_listing_that_changes_in_mid_transfer(coapd, tmp_path):
    """Who fetches it gets what it began with: sizes that change would let nobody come to the end."""
    for i in range(40):
        (tmp_path / f"{i}").write_text("")
    daemon = coapd(resources=fw(tmp_path, writable=True))
    with daemon.client() as client, daemon.client() as writer:
        first = client.get("fw", block2=coap.Block.of_size(0, False, 64))
        assert writer.put("fw/0", b"longer").text == "2.04"
        listing = client.rest(first, coap.GET, "fw").payload
        assert listing.count(b"</fw/") == 41 and b"</fw/0>;ct=42;sz=0," in listing
        assert b"</fw/0>;ct=42;sz=6," in client.get_blocks("fw", 64).payload


def test_folders_listed_for_two(coapd, tmp_path):
    """One does not make the other's be read anew for each request: that would take all of the time there is."""
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(5000):
            (tmp_path / name / f"file{i}").touch()
    daemon = coapd(resources=fw(tmp_path))
    with daemon.client() as client:
        spent = [daemon.cpu_time().ran]
        for times in (1, 50):
            for _ in range(times):
                assert client.get("fw/a").text == client.get("fw/b").text == "2.05"
            spent.append(daemon.cpu_time().ran)
        assert spent[2] - spent[1] < 10 * (spent[1] - spent[0])


def test_a_fifo_is_not_opened(coapd, tree):
    """Who waits at its other end would go on, and be ended by SIGPIPE when it writes."""
    IN_OPEN = 0x20
    libc = ctypes.CDLL(None)
    opened = libc.inotify_init1(os.O_NONBLOCK)
    libc.inotify_add_watch(opened, os.fsencode(tree / "fifo"), IN_OPEN)
    libc.inotify_add_watch(opened, os.fsencode(tree / "a.txt"), IN_OPEN)
    try:
        with coapd(resources=fw(tree)).client() as client:
            assert client.get("fw/fifo").text == "4.04"
            with pytest.raises(BlockingIOError):
                os.read(opened, 4096)
            assert client.get("fw/a.txt").text == "2.05"
            assert os.read(opened, 4096)
    finally:
        os.close(opened)


def test_no_listing(coapd, tree):
    daemon = coapd(resources=fw(tree, listing=False))
    with daemon.client() as client:
        assert client.get("fw").text == "4.04"
        assert client.get("fw/sub").text == "4.04"
        assert client.get("fw/sub/b.json").text == "2.05"


# --- writing ---


def test_read_only(coapd, tree):
    daemon = coapd(resources=fw(tree))
    with daemon.client() as client:
        assert client.put("fw/a.txt", b"x").text == "4.05"
        assert client.put("fw/new", b"x").text == "4.05"
        assert client.delete("fw/a.txt").text == "4.05"
    assert (tree / "a.txt").read_text() == "alpha"


def test_write(coapd, tree):
    daemon = coapd(resources=fw(tree, writable=True))
    (tree / "a.txt").chmod(0o666)  # more than the umask leaves
    with daemon.client() as client:
        made = client.put("fw/deep/er/new.bin", b"\0\1")
        assert made.text == "2.01"
        assert (tree / "deep/er/new.bin").read_bytes() == b"\0\1"
        assert client.get("fw/deep/er/new.bin").etag == made.etag
        changed = client.put("fw/a.txt", b"beta", content_format=coap.TEXT)
        assert changed.text == "2.04" and (tree / "a.txt").read_text() == "beta"
        assert (tree / "a.txt").stat().st_mode & 0o777 == 0o666
        assert client.put("fw/a.txt", b"", extra=[(coap.IF_MATCH, changed.etag)]).text == "2.04"
        assert client.put("fw/a.txt", b"x", extra=[(coap.IF_MATCH, changed.etag)]).text == "4.12"
        assert client.put("fw/a.txt", b"x", extra=[(coap.IF_NONE_MATCH, b"")]).text == "4.12"
        assert (tree / "a.txt").read_bytes() == b""
        assert client.put("fw/sub", b"x").text == "4.05"
        assert client.put("fw", b"x").text == "4.05"
        assert client.put("fw/b.txt/x", b"x").text == "2.01"
        assert client.put("fw/a.txt/x", b"x").text == "4.04"
    assert not [name for _, _, names in os.walk(tree) for name in names if name.startswith(".coapd")]


def test_conditions_where_nothing_is(coapd, tree):
    """RFC 7252, 5.10.8.1: the empty If-Match asks for something to be there, whatever it is."""
    daemon = coapd(resources=fw(tree, writable=True))
    with daemon.client() as client:
        for etag in (b"", b"other"):
            assert client.put("fw/new.txt", b"x", extra=[(coap.IF_MATCH, etag)]).text == "4.12"
            assert client.delete("fw/new.txt", extra=[(coap.IF_MATCH, etag)]).text == "4.12"
        assert not (tree / "new.txt").exists()
        assert client.put("fw/a.txt", b"x", extra=[(coap.IF_MATCH, b"")]).text == "2.04"
        assert client.delete("fw/a.txt", extra=[(coap.IF_MATCH, b"")]).text == "2.02"


def test_delete(coapd, tree):
    daemon = coapd(resources=fw(tree, writable=True))
    with daemon.client() as client:
        assert client.delete("fw/sub").text == "4.09"
        (tree / "sub/.hidden").unlink()
        assert client.delete("fw/sub/b.json").text == "2.02"
        assert client.delete("fw/sub/b.json").text == "2.02"
        assert client.delete("fw/sub").text == "2.02"
        assert not (tree / "sub").exists()
        assert client.delete("fw").text == "4.05"
        assert client.get("fw/sub/b.json").text == "4.04"


def test_write_in_blocks_up_to_the_limit(coapd, tree):
    body = bytes(i * 31 % 251 for i in range(100_000))
    daemon = coapd(resources=fw(tree, writable=True, max_size=100_000))
    with daemon.client() as client:
        assert client.put_blocks("fw/image", body, 1024).text == "2.01"
        assert (tree / "image").read_bytes() == body
        refused = client.put_blocks("fw/image", body + b"x", 1024)
        assert (refused.text, refused.uint(coap.SIZE1)) == ("4.13", 100_000)
        assert client.put_blocks("fw/image", body + b"x", 1024, size1=True).text == "4.13"
        assert (tree / "image").read_bytes() == body


def test_disk_full(coapd, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small disk")
    root = tmp_path / "small"
    root.mkdir()
    daemon = coapd(start=False, resources=fw(root, writable=True))
    daemon.prefix = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=64k none {root} && exec "$@"', "sh"]
    daemon.start()
    with daemon.client() as client:
        assert client.put_blocks("fw/image", b"x" * 20_000, 1024).text == "2.01"
        refused = client.put_blocks("fw/image", b"y" * 60_000, 1024)
        assert refused.text == "5.03" and refused.max_age > 0
        assert client.get_blocks("fw/image", 1024).payload == b"x" * 20_000
        # Nor are the folders there that it would have been in.
        assert client.put_blocks("fw/new/er/image", b"y" * 60_000, 1024).text == "5.03"
        assert client.get("fw").payload == b"</fw/image>;ct=42;sz=20000"
        assert client.put("fw/image", b"small").text == "2.04"


def test_a_leftover_is_cleared_away(coapd, tree):
    (tree / ".coapd.new").write_text("of a crash")
    daemon = coapd(resources=fw(tree, writable=True))
    with daemon.client() as client:
        assert client.put("fw/a.txt", b"beta").text == "2.04"
    assert not (tree / ".coapd.new").exists()


# --- large files ---


@pytest.mark.parametrize("size", [16, 64, 256, 1024])
def test_large_file_flat_memory(coapd, tmp_path, size):
    """20 clients at once; the daemon never has the file in memory. A transfer has 2^20 blocks at most."""
    blocks = 3000
    image = os.urandom(50 * 1024 * 1024)
    (tmp_path / "image.bin").write_bytes(image)
    daemon = coapd(resources=fw(tmp_path))
    before, descriptors = daemon.rss(), daemon.descriptors()
    failures = []

    def download(first):
        with daemon.client() as client:
            for num in range(first, first + blocks // 20):
                got = client.get("fw/image.bin", block2=coap.Block.of_size(num, False, size))
                if got.payload != image[num * size : (num + 1) * size]:
                    failures.append(num)

    threads = [threading.Thread(target=download, args=(i * (2**20 // 40 if size < 64 else 1000),)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    if not SANITIZED:  # which keeps what was freed
        assert daemon.rss() - before < 8 * 1024 * 1024
    assert daemon.descriptors() < descriptors + 40


def test_change_in_mid_transfer_is_seen(coapd, tree):
    (tree / "image").write_bytes(b"1" * 5000)
    daemon = coapd(resources=fw(tree))
    with daemon.client() as client:
        first = client.get("fw/image")
        with open(tree / "image", "r+b") as image:  # in place, of the same size
            image.write(b"2" * 5000)
        second = client.get("fw/image", block2=coap.Block.of_size(1, False, 1024))
        assert second.payload == b"2" * 1024
        assert second.etag != first.etag
        (tree / "image").write_bytes(b"3")
        assert client.get("fw/image", block2=coap.Block.of_size(2, False, 1024)).text == "4.00"


# --- observe ---


def replace(path, content):
    new = path.parent / (path.name + ".tmp")
    new.write_text(content)
    new.rename(path)


def test_observe(coapd, tree):
    daemon = coapd(resources=fw(tree, writable=True))
    with daemon.client() as client, daemon.client() as other:
        watch = client.observe("fw/a.txt")
        assert (watch.first.payload, watch.first.observe is not None) == (b"alpha", True)
        (tree / "a.txt").write_text("in place")
        assert watch.fresh().payload == b"in place"
        replace(tree / "a.txt", "renamed")
        assert watch.fresh().payload == b"renamed"
        assert other.put("fw/a.txt", b"by PUT").text == "2.04"
        assert watch.fresh().payload == b"by PUT"
        (tree / "a.txt").unlink()
        (tree / "a.txt").write_text("anew")
        assert watch.fresh().payload == b"anew"
        with open(tree / "a.txt", "a") as still_open:
            still_open.write(" and more")
            still_open.flush()
            assert watch.fresh().payload == b"anew and more"
        assert other.delete("fw/a.txt").text == "2.02"
        assert watch.next().text == "4.04"
        assert watch.client.nothing(0.5, lambda m: m.token == watch.token)


def test_observe_tells_of_changes_only(coapd, tree):
    daemon = coapd(resources=fw(tree))
    with daemon.client() as client:
        watch = client.observe("fw/a.txt")
        (tree / "z.txt").write_text("another")
        (tree / "a.txt").read_text()
        os.close(os.open(tree / "a.txt", os.O_WRONLY))
        assert client.nothing(0.6, lambda m: m.token == watch.token)


def test_observe_folders(coapd, tree):
    daemon = coapd(resources=fw(tree))
    with daemon.client() as client, daemon.client() as second:
        top, sub = client.observe("fw"), second.observe("fw/sub")
        assert top.first.observe is not None and sub.first.observe is not None
        (tree / "sub/c.txt").write_text("c")
        assert b"c.txt" in sub.fresh().payload
        (tree / "new.txt").write_text("n")
        assert b"new.txt" in top.fresh().payload


def test_observe_through_a_folder_that_is_replaced(coapd, tree):
    daemon = coapd(resources=fw(tree))
    with daemon.client() as client:
        watch = client.observe("fw/sub/b.json")
        (tree / "next").mkdir()
        (tree / "next/b.json").write_text("[1]")
        (tree / "sub").rename(tree / "old")
        (tree / "next").rename(tree / "sub")
        assert watch.fresh().payload == b"[1]"
        (tree / "sub/b.json").write_text("[2]")
        assert watch.fresh().payload == b"[2]"
        (tree / "sub").rename(tree / "gone")
        assert watch.next().text == "4.04"


def point(link, target):
    """As programs do that put a new version in place: at once."""
    new = link.with_name(".new-link")
    new.symlink_to(target)
    new.rename(link)


def test_observe_through_links(coapd, tmp_path):
    """What is observed is behind links: to the file, to its folder, and from one to another."""
    root = tmp_path / "root"
    for version in ("v1", "v2"):
        (root / "versions" / version).mkdir(parents=True)
        (root / "versions" / version / "f").write_text(version)
    (root / "sub").mkdir()
    point(root / "..data", "versions/v1")
    point(root / "file", "..data/f")
    point(root / "sub/folder", "../..data")
    (root / "late").write_text("x")
    daemon = coapd(resources=fw(root, follow_symlinks=True))
    with daemon.client() as one, daemon.client() as two, daemon.client() as three:
        watches = [one.observe("fw/file"), two.observe("fw/sub/folder/f"), three.observe("fw/late")]
        assert [watch.first.payload for watch in watches] == [b"v1", b"v1", b"x"]
        point(root / "late", "sub/folder/f")
        assert watches[2].fresh().payload == b"v1"

        def each_hears_of(body):
            for watch in watches:
                while watch.fresh().payload != body:
                    pass

        for change in (1, 2):
            (root / "versions/v1/f").write_text(f"changed {change}")
            each_hears_of(b"changed %d" % change)
        point(root / "..data", "versions/v2")
        each_hears_of(b"v2")
        (root / "versions/v2/f").write_text("last")
        each_hears_of(b"last")
        # Those who are there still go on when others leave.
        watches.pop(0).cancel()
        for body in ("more", "and more"):
            (root / "versions/v2/f").write_text(body)
            each_hears_of(body.encode())
        (root / "..data").unlink()
        assert [watch.next().text for watch in watches] == ["4.04", "4.04"]


def test_observe_many(coapd, tmp_path):
    for i in range(200):
        (tmp_path / f"{i}.txt").write_text(str(i))
    daemon = coapd(resources=fw(tmp_path, listing=False))
    descriptors = daemon.descriptors()
    with daemon.client() as client:
        watches = [client.observe(f"fw/{i}.txt") for i in range(200)]
        assert all(w.first.observe is not None for w in watches)
        assert daemon.descriptors() < descriptors + 20
        (tmp_path / "77.txt").write_text("new")
        assert watches[77].fresh().payload == b"new"


def test_observe_over_reload(coapd, tree):
    daemon = coapd(resources=fw(tree))
    with daemon.client() as client:
        watch = client.observe("fw/a.txt")
        daemon.write_config(resources=fw(tree, listing=False))
        daemon.reload()
        (tree / "a.txt").write_text("after")
        while watch.fresh().payload != b"after":
            pass
        daemon.write_config(resources=[])
        daemon.reload()
        assert watch.next().text == "4.04"
        assert client.get("fw/a.txt").text == "4.04"


def test_not_observable(coapd, tree):
    daemon = coapd(resources=fw(tree, observable=False))
    with daemon.client() as client:
        assert client.observe("fw/a.txt").first.observe is None
        assert client.observe("fw").first.observe is None


def test_a_file_that_is_written_all_the_time_keeps_its_observers(coapd, tree):
    """It changes while it is read, each time that its observers are told of a change before."""
    daemon = coapd(resources=fw(tree))
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            n = n % 300 + 1
            (tree / "a.txt").write_text("x" * n)

    writer = threading.Thread(target=write)
    with daemon.client() as client:
        watch = client.observe("fw/a.txt")
        writer.start()
        try:
            for _ in range(15):
                note = watch.fresh()
                assert note.text == "2.05" and set(note.payload) <= {ord("x")}, note
        finally:
            stop.set()
            writer.join()
        (tree / "a.txt").write_text("the last")
        while watch.fresh().payload != b"the last":
            pass


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_observers_over_a_restart(coapd, tree, how):
    daemon = coapd(resources=fw(tree))
    with daemon.client() as client:
        watch = client.observe("fw/a.txt")
        daemon.restart(how)
        (tree / "a.txt").write_text("after")
        while watch.fresh().payload != b"after":
            pass


def test_access_rules_hold_below(coapd, tree):
    daemon = coapd(
        resources=fw(tree, writable=True),
        access=[
            {"path": "/fw/**", "methods": ["GET", "OBSERVE"], "allow": ["anyone"]},
            {"path": "/fw/sub/**", "methods": ["GET"], "allow": ["net:127.0.0.0/8"]},
            {"path": "/**", "methods": ["GET"], "allow": ["anyone"]},
        ],
    )
    with daemon.client() as client:
        assert client.get("fw/a.txt").text == "2.05"
        assert client.observe("fw/a.txt").first.observe is not None
        assert client.put("fw/a.txt", b"x").text in ("4.01", "4.03")
        assert (tree / "a.txt").read_text() == "alpha"


def test_races_with_renames(coapd, tree):
    """While a folder turns into a link out of the root and back, nothing outside is ever given away."""
    daemon = coapd(resources=fw(tree, follow_symlinks=True))
    (tree.parent / "b.json").write_text("secret")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            os.rename(tree / "sub", tree / "real")
            os.symlink("..", tree / "sub")
            os.unlink(tree / "sub")
            os.rename(tree / "real", tree / "sub")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        with daemon.client() as client:
            seen = {client.get("fw/sub/b.json").payload for _ in range(3000)}
    finally:
        stop.set()
        thread.join()
    assert b"secret" not in seen and b"{}" in seen


def test_what_clients_made_below_makes_way(coapd, tree):
    """The folder is the operator's: nobody can have put something else in front of a file beforehand."""
    daemon = coapd(resources=[])
    with daemon.client() as client:
        for path in ("fw/a.txt", "fw/x/y", "fwx"):
            assert client.put(path, b"client's").text == "2.01"
        watch = client.observe("fw/a.txt")
        daemon.write_config(resources=fw(tree))
        assert "resource fw: configured now, 2 that clients created below it rest" in daemon.reload()
        assert watch.next().text == "4.04"
        for _ in range(2):
            assert client.get("fw/a.txt").payload == b"alpha"
            assert client.get("fw/x/y").text == "4.04"
            assert client.get("fwx").payload == b"client's"
            daemon.restart()
        daemon.write_config(resources=[])
        daemon.reload()
        assert client.get("fw/a.txt").payload == client.get("fw/x/y").payload == b"client's"


def test_check(coapd, tree):
    for root, complaint in ((tree / "nowhere", "does not exist"), (tree / "a.txt", "is not a folder")):
        daemon = coapd(start=False, resources=fw(root))
        result = subprocess.run(daemon.command("--check"), capture_output=True, text=True, timeout=20, check=False)
        assert result.returncode == 1 and complaint in result.stdout + result.stderr


def test_other_clients(coapd, tree):
    (tree / "image.bin").write_bytes(bytes(range(256)) * 100)
    daemon = coapd(resources=fw(tree))
    assert aiocoap_request(daemon.uri("fw/image.bin")).payload == (tree / "image.bin").read_bytes()
    out = tree.parent / "got"
    assert coap_client("-o", out, daemon.uri("fw/image.bin")).returncode == 0
    assert out.read_bytes() == (tree / "image.bin").read_bytes()
    with CoapClient(daemon.uri("fw/a.txt")) as client:
        assert client.line() == "alpha"
        replace(tree / "a.txt", "beta")
        assert client.line() == "beta"


def test_observe_over_tcp(coapd, tree):
    daemon = coapd(endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"], resources=fw(tree))
    with CoapClient(daemon.uri("fw/a.txt", scheme="coap+tcp")) as client:
        assert client.line() == "alpha"
        replace(tree / "a.txt", "beta")
        assert client.line() == "beta"


def test_large_blocks_over_tcp(coapd, tree):
    """RFC 8323, 6: BERT, with as much in a message as both ends take."""
    body = os.urandom(200_000)
    (tree / "large").write_bytes(body)
    daemon = coapd(endpoints=["coap+tcp://127.0.0.1:{port}"], resources=fw(tree))
    with StreamClient(daemon.port) as client:
        got = b""
        while len(got) < len(body):
            answer = client.get("fw/large", block2=coap.Block(len(got) // 1024, False, 7))
            block = answer.block(coap.BLOCK2)
            assert (answer.text, block.szx, block.more) == ("2.05", 7, len(got) + len(answer.payload) < len(body))
            got += answer.payload
        assert got == body


def test_observe_with_non_and_long_tokens(coapd, tree):
    """The first registration is put off until there is something to observe; however it comes, it is kept."""
    daemon = coapd(resources=fw(tree))
    with daemon.client() as client:
        watches = [
            client.observe("fw/a.txt", type=coap.NON),
            client.observe("fw/sub/b.json", token=b"l" * 200),
            client.observe("fw/sub", query=["x=1"], token=b""),
        ]
        daemon.restart("kill")
        (tree / "a.txt").write_text("after")
        (tree / "sub/b.json").write_text("[1]")
        for watch, wanted in zip(watches, (b"after", b"[1]", b"sz=3")):
            while wanted not in watch.fresh().payload:
                pass


@pytest.fixture
def lease():
    """Takes a file as Samba does: who else opens it has to wait, up to 45 s, until it is given back."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    held = []

    def take(path):
        held.append(os.open(path, os.O_RDWR))
        fcntl.fcntl(held[0], fcntl.F_SETLEASE, fcntl.F_WRLCK)
        return held[0]

    yield take
    for fd in held:
        os.close(fd)
    signal.signal(signal.SIGIO, before)


def test_a_file_that_another_program_holds_keeps_nobody_waiting(coapd, tree, lease):
    daemon = coapd(resources=fw(tree))
    with daemon.client() as client, daemon.client() as other:
        observation = client.observe("fw/a.txt")
        assert observation.first.payload == b"alpha"
        fd = lease(tree / "a.txt")
        os.write(fd, b"omega")
        # Who asks is told so; and the watch looks again.
        held = other.get("fw/a.txt", timeout=5)
        assert (held.text, held.max_age) == ("5.03", 2)
        assert other.get("fw/sub/b.json", timeout=5).text == "2.05"
        assert client.nothing(1, lambda m: m.token == observation.token)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        assert observation.next(10).payload == b"omega"
        assert other.get("fw/a.txt").payload == b"omega"
