"""A database that is damaged, newer, or full: the daemon says so, keeps what it can, and starts."""
import contextlib
import json
import sqlite3

import pytest

from world import run, until


def database(daemon):
    return daemon.root / "database.sqlite" / "berth.db"


def plugin(daemon, name):
    plugins = json.loads(daemon.berth("-o", "json", "plugins").stdout)["plugins"]
    return next(p for p in plugins if p["id"] == name)


@contextlib.contextmanager
def opened(daemon):
    with contextlib.closing(sqlite3.connect(database(daemon))) as connection:
        yield connection
        connection.commit()


def images(daemon):
    return {i["name"] for i in json.loads(daemon.berth("-o", "json", "images").stdout).get("images", [])}


def test_one_record_that_cannot_be_read_costs_itself_only(make_daemon, world):
    daemon = make_daemon().start()
    daemon.berth("pull", world.busybox)
    daemon.berth("run", "-d", "--name", "c", world.busybox, "sleep", "1000")
    daemon.stop()
    with opened(daemon) as rows:
        rows.execute("update record set data = '{' where kind = 'image' and key = ?", (world.busybox,))
    daemon.start()
    state = plugin(daemon, "metadata.sqlite")
    assert state["state"] == "degraded" and world.busybox in state["reason"]
    assert daemon.berth("exec", "c", "echo", "alive").stdout == "alive\n"
    daemon.berth("pull", world.busybox)
    assert world.busybox in images(daemon)
    daemon.berth("rm", "-f", "c")


def test_a_file_that_is_no_database_is_set_aside(make_daemon, world):
    daemon = make_daemon().start()
    daemon.berth("pull", world.busybox)
    daemon.stop()
    database(daemon).write_bytes(b"not a database" * 1000)
    daemon.start()
    assert plugin(daemon, "database.sqlite")["state"] == "degraded"
    assert list(database(daemon).parent.glob("berth.db.corrupt-*"))
    assert daemon.berth("run", "--rm", world.busybox, "echo", "again").stdout == "again\n"
    until("told that nothing is collected by itself", lambda: plugin(daemon, "gc.sweeper")["state"] == "degraded", 15)
    daemon.berth("gc")
    daemon.stop()
    daemon.start()
    assert plugin(daemon, "database.sqlite")["state"] == "running"


def test_a_damaged_page_takes_no_running_container(make_daemon, world):
    daemon = make_daemon().start()
    daemon.berth("pull", world.busybox)
    for number in range(6):
        daemon.berth("run", "-d", "--name", f"c{number}", world.busybox, "sleep", "1000")
    daemon.stop()
    with opened(daemon) as rows:
        rows.execute("pragma wal_checkpoint(truncate)")
        (page,) = rows.execute("select max(pageno) from dbstat where name = 'record' and pagetype = 'leaf'").fetchone() or (0,)
        (size,) = rows.execute("pragma page_size").fetchone()
    with open(database(daemon), "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    daemon.start()
    assert plugin(daemon, "database.sqlite")["state"] == "degraded"
    left = json.loads(daemon.berth("-o", "json", "ps").stdout).get("containers", [])
    assert left, "rows of the other pages were saved"
    for one in left:
        assert daemon.berth("exec", one["id"], "echo", "alive").stdout == "alive\n"
    # Files of containers whose rows were lost are still there: nothing is swept by itself.
    assert len(list((daemon.root / "snapshotter.overlay" / "snapshots").iterdir())) >= 7


def test_a_database_of_a_newer_version_is_refused_by_name(make_daemon, world):
    daemon = make_daemon().start()
    daemon.stop()
    with opened(daemon) as rows:
        rows.execute("insert into migration values ('metadata.sqlite', '99 from the future')")
    daemon.start(wait=False)
    assert daemon.process.wait(20) != 0
    assert "'99 from the future' of 'metadata.sqlite'" in daemon.tail() and "newer version" in daemon.tail()


def test_a_full_disk_is_told_and_survived(make_daemon, world):
    folder = world.folder / "small-disk"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder)
    try:
        daemon = make_daemon(root=folder / "root").start()
        daemon.berth("run", "-d", "--name", "c", world.busybox, "sleep", "1000")
        filler = folder / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while file.write(b"x" * 65536):
                pass
        refusals = [daemon.berth("run", "-d", world.busybox, "sleep", "1", check=False) for _ in range(3)]
        assert all(r.returncode == 125 for r in refusals)
        assert any("full" in r.stderr or "No space" in r.stderr or "ENOSPC" in r.stderr for r in refusals), refusals
        assert daemon.berth("exec", "c", "echo", "alive").stdout == "alive\n"
        filler.unlink()
        assert daemon.berth("run", "--rm", world.busybox, "echo", "room").stdout == "room\n"
        daemon.berth("rm", "-f", "c")
        daemon.destroy()
    finally:
        run("umount", "-l", folder, check=False)
