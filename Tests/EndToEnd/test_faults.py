"""kill -9 between any two steps: each fault point of the daemon's sources ends it once, in the middle of a pod's life.

After a restart the same call succeeds, the life goes on to its end, and nothing is left behind.
"""
import re
import shutil
import time

import grpc
import pytest

import cri
from conftest import daemon_of
from cri import api
from world import TOP, expect_nothing_left, until

#: Points that this life does not pass: they belong to the shim, to berth-oci, or to user namespaces.
ELSEWHERE = {
    "runtime.": "in the shim's process",
    "cri.RunPodSandbox.userns": "needs a pod in a user namespace",
    "network.make-user-namespace": "needs a pod in a user namespace",
    "store.": "tried commit by commit below",
}

#: Garbage is collected at once, so that what stays is a leak.
EAGER = """[plugin.gc.sweeper]
startup_delay_seconds = 0
delay_milliseconds = 50
orphan_minutes = 0
max_percent = 100
"""


def points():
    found = set()
    for folder in ("Sources", "Plugins"):
        for path in (TOP / folder).rglob("*.swift"):
            found |= set(re.findall(r'FaultPoint\.hit\("([a-zA-Z.-]+)"\)', path.read_text()))
    return sorted(p for p in found if not any(p.startswith(e) for e in ELSEWHERE))


class Life:
    """One pod from pull to the image's removal; a step that meets a dead daemon is done again after a restart."""

    def __init__(self, daemon, world):
        self.daemon, self.world, self.deaths = daemon, world, 0
        self.client = cri.CRI(daemon)
        self.image = world.busybox

    def step(self, body):
        while True:
            try:
                return body(self.client)
            except grpc.RpcError as error:
                self.client.close()
                if error.code().name != "UNAVAILABLE":
                    raise
                self.daemon.wait_for_fault()
                self.deaths += 1
                assert self.deaths < 3, "the fault point fires once"
                self.daemon.start()
                self.client = cri.CRI(self.daemon)

    def live(self):
        name = "fault"
        config = self.client.pod_config(name)
        settings = self.client.container_config("main", self.image, ["sh", "-c", "echo started; exec sleep 1000"])
        self.step(lambda c: c.pull(self.image))
        pod = self.step(lambda c: c.run_pod(config))
        container = self.step(lambda c: c.create(pod, settings, config))
        self.start(container)
        assert self.step(lambda c: c.exec(container, "echo", "hi").stdout) == b"hi\n"
        assert [p.id for p in self.step(lambda c: c.pods())] == [pod]
        assert [x.id for x in self.step(lambda c: c.containers())] == [container]
        self.step(lambda c: c.stop(container, 0))
        self.step(lambda c: c.remove(container))
        self.step(lambda c: c.stop_pod(pod))
        self.step(lambda c: c.remove_pod(pod))
        self.step(lambda c: c.remove_image(self.image))
        self.client.close()

    def start(self, container):
        """Start, done again after a death: it may have succeeded before the answer was lost."""

        def body(client):
            if self.deaths and client.status(container).state == api.CONTAINER_RUNNING:
                return
            client.start(container)

        self.step(body)


class Veteran:
    """A daemon that has lived through one clean life, and the census after it. It serves many tests: each leaves it as
    it was, and after one that does not the next begins with a new one."""

    def __init__(self, world, binaries):
        self.daemon = daemon_of(world, binaries, EAGER)
        self.daemon.start()
        Life(self.daemon, world).live()
        blobs = self.daemon.root / "content.local/blobs/sha256"
        until("the first life's garbage is collected", lambda: not list(blobs.glob("*")), 30)
        until("what was removed is gone", self._is_still, 30)
        self.before = self.daemon.census()
        self.failures = 0

    def _is_still(self):
        first = self.daemon.census()
        time.sleep(0.3)
        return not self.daemon.census().difference(first)

    def close(self):
        self.daemon.destroy()
        shutil.rmtree(self.daemon.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def veterans():
    made = []
    yield made
    for one in made:
        one.close()


@pytest.fixture
def veteran(request, veterans, world, binaries):
    if not veterans:
        veterans.append(Veteran(world, binaries))
    failures = request.session.testsfailed
    yield veterans[0]
    if request.session.testsfailed > failures or request.node.rep_failed:
        veterans.pop().close()


@pytest.mark.parametrize("point", points())
def test_the_daemon_dies_at(veteran, world, point):
    daemon, before = veteran.daemon, veteran.before
    daemon.stop()
    daemon.start(fault=point)
    life = Life(daemon, world)
    life.live()
    if life.deaths == 0:
        # It fires in the background, after the last answer.
        daemon.wait_for_fault()
        life.deaths += 1
        daemon.start()
    assert life.deaths == 1
    expect_nothing_left(daemon, before, seconds=30)


@pytest.mark.parametrize("number", range(1, 31, 3))
@pytest.mark.parametrize("side", ["before", "after"])
def test_the_daemon_dies_at_a_commit(veteran, world, side, number):
    daemon, before = veteran.daemon, veteran.before
    daemon.stop()
    daemon.start(fault=f"store.{side}-commit:{number}", wait=False)
    life = Life(daemon, world)
    try:
        until("the socket", daemon._answers, 20)
    except AssertionError:
        daemon.wait_for_fault()
        life.deaths += 1
        daemon.start()
    life.live()
    if daemon.process.poll() is not None:
        daemon.wait_for_fault()
        daemon.start()
    expect_nothing_left(daemon, before, seconds=30)
