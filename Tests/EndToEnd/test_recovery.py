"""kill -9 of the daemon, and what there is afterwards."""
import concurrent.futures
import os
import signal
import time

import grpc
import pytest

import cri
from cri import api, log_lines
from world import expect_nothing_left, until

COUNTER = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.005; done"


def numbers(path):
    return [int(line[3].split()[1]) for line in log_lines(path)]


def test_pods_logs_and_exits_survive_a_kill(make_daemon, world):
    daemon = make_daemon().start()
    with cri.CRI(daemon) as client:
        before = client.warm_up(world.busybox)
        pods, containers = [], []
        for number in range(5):
            config = client.pod_config(f"p{number}", host_network=number % 2 == 0)
            pods.append(client.run_pod(config))
            for name, script in (("log", COUNTER), ("ends", "sleep 1; exit 9")):
                made = client.create(pods[-1], client.container_config(name, world.busybox, ["sh", "-c", script]), config)
                client.start(made)
                containers.append(made)
        running = {c: client.status(c) for c in containers}
        ips = {p: client.pod_status(p).network.ip for p in pods}
    time.sleep(0.3)
    daemon.kill()
    time.sleep(1.5)  # the second container of each pod ends now, while nobody watches
    ended = time.time_ns()
    daemon.start()
    with cri.CRI(daemon) as client:
        assert {p.id for p in client.pods()} == set(pods), "the first list is whole"
        assert {c.id for c in client.containers()} == set(containers)
        for pod in pods:
            status = client.pod_status(pod)
            assert status.state == api.SANDBOX_READY and status.network.ip == ips[pod]
        for number, container in enumerate(containers):
            status = client.status(container)
            assert status.started_at == running[container].started_at
            if number % 2 == 0:
                assert status.state == api.CONTAINER_RUNNING
                assert client.exec(container, "echo", "still here").stdout == b"still here\n"
            else:
                assert (status.state, status.exit_code, status.reason) == (api.CONTAINER_EXITED, 9, "Error")
                assert status.started_at + 900_000_000 <= status.finished_at <= ended, "the true time of the exit"
        for number in range(0, len(containers), 2):
            client.stop(containers[number], 0)
        for number in range(5):
            seen = numbers(daemon.folder / f"logs/p{number}/log.log")
            assert seen == list(range(len(seen))) and len(seen) > 100, "no line is lost"
        for pod in pods:
            client.stop_pod(pod)
            client.remove_pod(pod)
        expect_nothing_left(daemon, before)


def test_a_list_during_recovery_is_never_short(make_daemon, world):
    daemon = make_daemon().start()
    with cri.CRI(daemon) as client:
        before = client.warm_up(world.busybox)
        configs = [client.pod_config(f"many{n}", True) for n in range(30)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            pods = set(pool.map(client.run_pod, configs))
    for _ in range(3):
        daemon.kill()
        daemon.start()
        with cri.CRI(daemon) as client:
            client.runtime.Version(api.VersionRequest())
            lists = [{p.id for p in client.pods()} for _ in range(5)]
            assert all(found == pods for found in lists)
            assert all(p.state == api.SANDBOX_READY for p in client.pods())
    with cri.CRI(daemon) as client:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(client.remove_pod, pods))
        expect_nothing_left(daemon, before)


def test_an_ordered_stop_leaves_the_pods_running(make_daemon, world):
    daemon = make_daemon().start()
    with cri.CRI(daemon) as client:
        before = client.warm_up(world.busybox)
        config = client.pod_config("stays")
        pod = client.run_pod(config)
        container = client.create(pod, client.container_config("log", world.busybox, ["sh", "-c", COUNTER]), config)
        client.start(container)
    assert daemon.stop() == 0
    time.sleep(0.3)
    daemon.start()
    with cri.CRI(daemon) as client:
        assert client.status(container).state == api.CONTAINER_RUNNING
        client.stop(container, 0)
        seen = numbers(daemon.folder / "logs/stays/log.log")
        assert seen == list(range(len(seen))) and len(seen) > 30
        client.remove_pod(pod)
        expect_nothing_left(daemon, before)


def test_a_pod_whose_shim_died_is_not_ready_and_can_be_removed(make_daemon, world):
    daemon = make_daemon().start()
    with cri.CRI(daemon) as client:
        before = client.warm_up(world.busybox)
        config = client.pod_config("orphan")
        pod = client.run_pod(config)
        container = client.create(pod, client.container_config("main", world.busybox, ["sleep", "1000"]), config)
        client.start(container)
        pids = list(daemon.state.glob(f"**/{pod}/shim.pid"))
        assert len(pids) == 1


        os.kill(int(pids[0].read_text()), signal.SIGKILL)
        until("NotReady", lambda: client.pod_status(pod).state == api.SANDBOX_NOTREADY)
        until("the exit", lambda: client.status(container).state == api.CONTAINER_EXITED)
        client.stop_pod(pod)
        client.remove_pod(pod)
        again = client.run_pod(config)
        client.remove_pod(again)
        expect_nothing_left(daemon, before)


@pytest.mark.parametrize("milliseconds", [1, 5, 15, 40, 100])
def test_a_client_that_gives_up_and_retries_converges_on_one_pod(make_daemon, world, milliseconds):
    daemon = make_daemon().start()
    with cri.CRI(daemon) as client:
        before = client.warm_up(world.busybox)
        config = client.pod_config("patience")
        for _ in range(3):
            try:
                client.run_pod(config, timeout=milliseconds / 1000)
            except grpc.RpcError as error:
                assert error.code().name == "DEADLINE_EXCEEDED"
        pod = client.run_pod(config)
        assert [p.id for p in client.pods()] == [pod]
        settings = client.container_config("main", world.busybox, ["sleep", "1000"])
        request = api.CreateContainerRequest(pod_sandbox_id=pod, config=settings, sandbox_config=config)
        for _ in range(3):
            try:
                client.runtime.CreateContainer(request, timeout=milliseconds / 1000)
            except grpc.RpcError as error:
                assert error.code().name == "DEADLINE_EXCEEDED"
        container = client.create(pod, settings, config)
        assert [c.id for c in client.containers()] == [container]
        client.remove_pod(pod)
        expect_nothing_left(daemon, before)


def test_many_callers_of_one_call_get_one_pod(make_daemon, world):
    daemon = make_daemon().start()
    with cri.CRI(daemon) as client:
        before = client.warm_up(world.busybox)
        config = client.pod_config("one")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            pods = set(pool.map(lambda _: client.run_pod(config), range(16)))
        assert len(pods) == 1
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: client.remove_pod(next(iter(pods))), range(16)))
        expect_nothing_left(daemon, before)
