"""Disks that fill up, programs that hang, files that are damaged: a clear error, and everybody else goes on."""
import concurrent.futures
import contextlib
import ctypes
import os
import pathlib
import sqlite3
import time

import pytest

import cri
import images
from cri import api
from world import expect_nothing_left, run, until


@contextlib.contextmanager
def tmpfs(folder, megabytes):
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder)
    try:
        yield folder
    finally:
        run("umount", "-l", folder, check=False)
        folder.rmdir()


@contextlib.contextmanager
def hung_mount(folder):
    """A FUSE file system whose server never answers: whoever looks at it waits."""
    folder.mkdir()
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"hung", str(folder).encode(), b"fuse.hung", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount fuse")
    try:
        yield folder
    finally:
        os.close(device)  # ends every waiting call
        run("umount", "-l", folder, check=False)


@pytest.fixture(scope="module")
def big(world):
    return world.push("big", [images.busybox_layer(), images.filler_layer("var/filler", 48 << 20)])


def test_a_pull_on_a_full_disk_fails_clearly_and_the_next_one_works(make_daemon, world, big):
    with tmpfs(world.folder / "pull-disk", 40) as disk:
        daemon = make_daemon(root=disk / "root").start()
        with cri.CRI(daemon) as client:
            client.pull(world.busybox)
            error = cri.failure(client.pull, big)
            assert error.code().name == "RESOURCE_EXHAUSTED", error
            assert "no space" in error.details().lower()
            assert len(client.images()) == 1
            config = client.pod_config("after", True)
            pod = client.run_pod(config)
            container = client.create(pod, client.container_config("c", world.busybox, ["sleep", "100"]), config)
            client.start(container)
            client.remove_pod(pod)
            until("the space is free again", lambda: run("df", "--output=avail", disk).stdout.split()[1] > "20000", 30)
        daemon.destroy()


def test_a_start_on_a_full_disk_fails_clearly_and_works_once_there_is_room(make_daemon, world):
    with tmpfs(world.folder / "full-disk", 64) as disk:
        daemon = make_daemon(root=disk / "root").start()
        with cri.CRI(daemon) as client:
            before = client.warm_up(world.busybox)
            filler = disk / "filler"
            with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * 65536)
            with open(filler, "ab", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"x")
            config = client.pod_config("full", True)
            error = cri.failure(client.run_pod, config)
            assert error.code().name == "RESOURCE_EXHAUSTED", error
            assert client.runtime.Version(api.VersionRequest()).runtime_name == "berth"
            filler.unlink()
            pod = client.run_pod(config)
            container = client.create(pod, client.container_config("c", world.busybox, ["sleep", "100"]), config)
            client.start(container)
            client.remove_pod(pod)
            expect_nothing_left(daemon, before)
        daemon.destroy()


def test_a_hung_CNI_plugin_holds_up_nobody_else(make_daemon, world):
    daemon = make_daemon()
    folder = daemon.folder / "cni-bin"
    folder.mkdir()
    plugin = folder / "sleepy"
    plugin.write_text("#!/bin/sh\n[ \"$CNI_COMMAND\" = VERSION ] && { echo '{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"1.0.0\"]}'; exit; }\nexec sleep 1000\n")
    plugin.chmod(0o755)
    (daemon.cni / "10-test.conflist").write_text('{"cniVersion":"1.0.0","name":"hung","plugins":[{"type":"sleepy"}]}')
    with open(daemon.folder / "local.toml") as file:
        text = file.read()
    text = text.replace("retry_seconds = 1\n", f'retry_seconds = 1\ntimeout_seconds = 2\nbin_dirs = ["{folder}"]\n')
    (daemon.folder / "local.toml").write_text(text)
    daemon.start()
    with cri.CRI(daemon) as client, concurrent.futures.ThreadPoolExecutor(4) as pool:
        client.pull(world.busybox)
        client.remove_pod(client.run_pod(client.pod_config("first", True)))
        before = daemon.census()
        hung = [pool.submit(cri.failure, client.run_pod, client.pod_config(f"hung{n}")) for n in range(3)]
        time.sleep(0.2)
        began = time.monotonic()
        pod = client.run_pod(client.pod_config("free", True))
        client.remove_pod(pod)
        assert time.monotonic() - began < 1.5
        for error in hung:
            text = error.result().details()
            assert error.result().code().name == "DEADLINE_EXCEEDED" and "sleepy" in text, text
        # Teardown hangs as well: it goes on in the background, and the operator puts the plugin right.
        plugin.write_text("#!/bin/sh\ncat >/dev/null\nexit 0\n")
        expect_nothing_left(daemon, before, 30)


def test_a_hung_mount_holds_up_nobody_else(make_daemon, world):
    daemon = make_daemon().start()
    with cri.CRI(daemon) as client, concurrent.futures.ThreadPoolExecutor(4) as pool:
        before = client.warm_up(world.busybox)
        config = client.pod_config("mounts", True)
        pod = client.run_pod(config)
        with hung_mount(world.folder / "hung") as folder:
            settings = client.container_config("stuck", world.busybox, ["true"])
            settings.mounts.add(container_path="/data", host_path=f"{folder}/inner")

            def attempt():
                client.start(client.create(pod, settings, config))

            stuck = pool.submit(cri.failure, attempt)
            time.sleep(0.3)
            began = time.monotonic()
            other = client.pod_config("moves", True)
            second = client.run_pod(other)
            made = client.create(second, client.container_config("c", world.busybox, ["sleep", "100"]), other)
            client.start(made)
            assert client.exec(made, "echo", "hi").stdout == b"hi\n"
            client.remove_pod(second)
            assert time.monotonic() - began < 3
        stuck.result(60)
        client.remove_pod(pod)
        expect_nothing_left(daemon, before, 30)


def database(daemon):
    return daemon.databases()[0]


def test_one_corrupt_record_is_no_reason_not_to_start(make_daemon, world):
    daemon = make_daemon().start()
    with cri.CRI(daemon) as client:
        client.pull(world.busybox)
        good = client.run_pod(client.pod_config("good", True))
        bad = client.run_pod(client.pod_config("bad", True))
    daemon.kill()
    with contextlib.closing(sqlite3.connect(database(daemon))) as rows:
        hit = rows.execute("update record set data = x'00ff' where key = ?", (bad,)).rowcount
        rows.commit()
        assert hit == 1
    daemon.start()
    with cri.CRI(daemon) as client:
        assert good in {p.id for p in client.pods()}
        assert client.pod_status(good).state == api.SANDBOX_READY
        client.remove_pod(good)
    assert bad in daemon.log.read_text(), "the log names the record"


@pytest.mark.parametrize("damage", ["header", "middle", "empty", "garbage"])
def test_a_corrupt_database_is_no_reason_not_to_start(make_daemon, world, damage):
    daemon = make_daemon().start()
    with cri.CRI(daemon) as client:
        client.pull(world.busybox)
        pod = client.run_pod(client.pod_config("there", True))
    daemon.kill()
    path = database(daemon)
    for suffix in ("-wal", "-shm"):
        pathlib.Path(f"{path}{suffix}").unlink(missing_ok=True)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        if damage == "header":
            file.write(b"not a database at all")
        elif damage == "middle":
            for offset in range(4096, size, 8192):
                file.seek(offset)
                file.write(os.urandom(4096))
        elif damage == "empty":
            file.truncate(0)
        else:
            file.write(os.urandom(max(size, 4096)))
    daemon.start()
    with cri.CRI(daemon) as client:
        assert client.runtime.Version(api.VersionRequest()).runtime_name == "berth"
        client.pods()
        client.pull(world.busybox)
        config = client.pod_config("new", True)
        again = client.run_pod(config)
        container = client.create(again, client.container_config("c", world.busybox, ["sleep", "100"]), config)
        client.start(container)
        client.remove_pod(again)
    assert pod, "it may be forgotten; its processes are ended with the test"
