"""Garbage collection through the daemon, and kill -9 in the middle of it."""
import json

import pytest

from world import until

#: Collects when it is told to, and takes bytes without a row at once.
SETTINGS = "[plugin.gc.sweeper]\nautomatic = false\norphan_minutes = 0\n"


def gc(daemon, *arguments, check=True):
    return json.loads(daemon.berth("-o", "json", "gc", *arguments, check=check).stdout)


def blobs(daemon):
    return list((daemon.root / "content.local" / "blobs" / "sha256").iterdir())


def snapshots(daemon):
    return list((daemon.root / "snapshotter.overlay" / "snapshots").iterdir())


def test_what_is_used_stays_and_what_is_not_goes(make_daemon, world):
    daemon = make_daemon(SETTINGS).start()
    daemon.berth("pull", world.busybox)
    assert gc(daemon).get("removed", []) == []
    daemon.berth("run", "-d", "--name", "c", world.busybox, "sleep", "1000")
    daemon.berth("rmi", world.busybox)
    plan = gc(daemon, "--dry-run")
    assert {item["kind"] for item in plan["removed"]} == {"content"}, "the container keeps the layer"
    done = gc(daemon)
    assert done["bytes"] == plan["bytes"] and blobs(daemon) == []
    assert daemon.berth("exec", "c", "echo", "alive").stdout == "alive\n"
    key = json.loads(daemon.berth("inspect", "c").stdout)["id"]
    chain = json.loads(daemon.berth("-o", "json", "gc", "explain", key).stdout)["chain"]
    assert chain[0]["why"] == "root: a container"
    daemon.berth("rm", "-f", "c")
    gc(daemon)
    assert snapshots(daemon) == []


@pytest.mark.parametrize(
    "fault", ["gc.after-rows", "gc.after-snapshot", "gc.after-bytes", "store.before-commit:5", "store.after-commit:5"]
)
def test_a_kill_in_the_middle_is_completed_after_the_next_start(make_daemon, world, fault):
    daemon = make_daemon(SETTINGS).start()
    daemon.berth("pull", world.busybox)
    daemon.stop()
    daemon.start(fault=fault)
    daemon.berth("rmi", world.busybox, check=False)
    lost = daemon.berth("gc", check=False)
    daemon.wait_for_fault()
    assert lost.returncode == 1 and "the daemon went away" in lost.stderr
    daemon.start()
    daemon.berth("rmi", world.busybox, check=False)
    gc(daemon)
    assert gc(daemon) == {}
    assert blobs(daemon) == [] and snapshots(daemon) == []
    daemon.berth("pull", world.busybox)
    assert daemon.berth("run", "--rm", world.busybox, "echo", "again").stdout == "again\n"


def test_it_collects_by_itself_after_a_removal(make_daemon, world):
    daemon = make_daemon("[plugin.gc.sweeper]\nstartup_delay_seconds = 0\ndelay_milliseconds = 50\n").start()
    daemon.berth("pull", world.busybox)
    assert blobs(daemon)
    daemon.berth("rmi", world.busybox)
    until("the blobs have gone", lambda: not blobs(daemon) and not snapshots(daemon))
