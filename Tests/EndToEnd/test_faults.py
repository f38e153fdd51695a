"""kill -9 between any two steps: each fault point of the daemon's sources ends it once, in the middle of a pod's life.

After a restart the same call succeeds, the life goes on to its end, and nothing is left behind.
"""
import pathlib
import re

import grpc
import pytest

import cri
from cri import api
from world import TOP, expect_nothing_left, until

#: Points that this life does not pass: they belong to the shim, to berth-oci, or to user namespaces.
ELSEWHERE = {
    "runtime.": "in the shim's process",
    "cri.RunPodSandbox.userns": "needs a pod in a user namespace",
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


@pytest.fixture
def fresh(make_daemon):
    """A daemon that has lived through one clean life, and the census after it."""

    def make(world):
        daemon = make_daemon(EAGER)
        daemon.start()
        Life(daemon, world).live()
        return daemon

    return make


@pytest.mark.parametrize("point", points())
def test_the_daemon_dies_at(fresh, world, point):
    daemon = fresh(world)
    before = daemon.census()
    daemon.stop()
    daemon.start(fault=point)
    life = Life(daemon, world)
    life.live()
    if life.deaths == 0 and daemon.process.poll() is not None:
        # It fired in the background, after the last answer.
        daemon.wait_for_fault()
        life.deaths += 1
        daemon.start()
    assert life.deaths == 1, f"'{point}' was never reached"
    expect_nothing_left(daemon, before, seconds=30)


@pytest.mark.parametrize("number", range(1, 31, 3))
@pytest.mark.parametrize("side", ["before", "after"])
def test_the_daemon_dies_at_a_commit(fresh, world, side, number):
    daemon = fresh(world)
    before = daemon.census()
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
