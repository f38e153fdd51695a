import os
import pathlib
import shutil
import sys
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import cri
import images
import world as worlds


def pytest_addoption(parser):
    parser.addoption("--binaries", default=os.environ.get("BERTH_BIN"), help="the folder with berthd and its shim")


def pytest_configure(config):
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests make namespaces and mounts: run them as root", returncode=1)
    if not config.getoption("--binaries"):
        pytest.exit("name the folder with the binaries: --binaries, or BERTH_BIN", returncode=1)


@pytest.fixture(scope="session")
def binaries(request):
    return pathlib.Path(request.config.getoption("--binaries")).resolve()


@pytest.fixture(scope="session")
def world():
    made = worlds.World()
    try:
        made.start_registry()
        made.busybox = made.push("busybox", [images.busybox_layer()])
        yield made
    finally:
        made.close()


def daemon_of(world, binaries, settings="", **options):
    return worlds.Berthd(world, "d" + uuid.uuid4().hex[:6], binaries, settings, **options)


@pytest.fixture
def make_daemon(world, binaries):
    """Makes daemons that are ended with the test."""
    made = []

    def make(settings="", **options):
        made.append(daemon_of(world, binaries, settings, **options))
        return made[-1]

    yield make
    for daemon in made:
        daemon.destroy()
        shutil.rmtree(daemon.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def daemon(world, binaries):
    """One daemon for all tests of a file; each leaves it as it found it."""
    made = daemon_of(world, binaries)
    made.start()
    with cri.CRI(made) as client:
        client.warm_up(world.busybox)
    yield made
    made.destroy()


@pytest.fixture
def client(daemon, world):
    with cri.CRI(daemon) as made:
        made.pull(world.busybox)
        yield made


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    item.rep_failed = report.failed or getattr(item, "rep_failed", False)
    daemon = item.funcargs.get("daemon") if hasattr(item, "funcargs") else None
    if report.failed and daemon is not None:
        report.sections.append(("berthd's log", daemon.tail(30)))
