"""Pods from pull to removal, driven by a client that is neither ours nor Swift. Nothing may be left behind."""
import concurrent.futures
import os
import pathlib
import time

import pytest

import cri
from cri import api, code, log_lines
from world import descriptors, expect_nothing_left, until


@pytest.fixture
def clean(daemon, client):
    """The test must leave the machine as it was."""
    before = daemon.census()
    yield
    for pod in client.pods():  # of a test that failed half-way
        client.remove_pod(pod.id)
    expect_nothing_left(daemon, before)


def whole_life(client, daemon, image, name, host_network):
    config = client.pod_config(name, host_network)
    pod = client.run_pod(config)
    container = client.create(pod, client.container_config("main", image, ["sh", "-c", "echo hello from $(hostname); echo oops >&2; exec sleep 1000"]), config)
    client.start(container)
    assert client.exec(container, "echo", "hi").stdout == b"hi\n"
    log = daemon.folder / "logs" / name / "main.log"
    lines = until("two log lines", lambda: log.exists() and len(log_lines(log)) == 2 and log_lines(log))
    assert {(stream, tag) for _, stream, tag, _ in lines} == {("stdout", "F"), ("stderr", "F")}
    client.stop(container, 0)
    client.remove(container)
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_version_and_status(client):
    version = client.runtime.Version(api.VersionRequest(version="v1"))
    assert (version.runtime_name, version.runtime_api_version) == ("berth", "v1")
    status = client.runtime.Status(api.StatusRequest(verbose=True))
    assert {c.type: c.status for c in status.status.conditions} == {"RuntimeReady": True, "NetworkReady": True}


@pytest.mark.parametrize("host_network", [True, False], ids=["host", "cni"])
def test_a_pod_lives_and_goes(daemon, client, world, clean, host_network):
    name = f"life-{host_network}".lower()
    config = client.pod_config(name, host_network)
    pod = client.run_pod(config)
    assert client.run_pod(config) == pod, "the same call again finds the same pod"
    status = client.pod_status(pod)
    assert status.state == api.SANDBOX_READY and status.metadata.name == name
    assert dict(status.labels) == {"app": name} and dict(status.annotations) == {"note": "end to end"}
    assert bool(status.network.ip) != host_network
    assert [p.id for p in client.pods(label_selector={"app": name})] == [pod]

    settings = client.container_config("main", world.busybox, ["sh", "-c", "echo $GREETING; exec sleep 1000"])
    settings.envs.add(key="GREETING", value=b"hello")
    container = client.create(pod, settings, config)
    assert client.status(container).state == api.CONTAINER_CREATED
    client.start(container)
    running = client.status(container)
    assert running.state == api.CONTAINER_RUNNING and running.started_at > running.created_at > 0
    log = daemon.folder / "logs" / name / "main.log"
    assert running.log_path == str(log)
    assert until("a log line", lambda: log_lines(log))[0][1:] == ("stdout", "F", "hello")

    answer = client.exec(container, "sh", "-c", "hostname; echo err >&2; exit 3")
    assert (answer.stderr, answer.exit_code) == (b"err\n", 3)
    if not host_network:
        assert answer.stdout.decode().strip() == name
        address = client.exec(container, "ip", "-o", "addr", "show", "eth0").stdout.decode()
        assert status.network.ip in address

    client.stop(container, 1)
    stopped = client.status(container)
    assert (stopped.state, stopped.exit_code) == (api.CONTAINER_EXITED, 137)
    assert stopped.finished_at >= running.started_at
    assert log_lines(log), "the log stays until the container is removed"
    client.stop(container, 1)
    client.remove(container)
    client.remove(container)
    assert code(client.status, container) == "NOT_FOUND"
    client.stop_pod(pod)
    client.stop_pod(pod)
    assert client.pod_status(pod).state == api.SANDBOX_NOTREADY
    client.remove_pod(pod)
    client.remove_pod(pod)
    assert code(client.pod_status, pod) == "NOT_FOUND"


def test_exit_codes_and_reasons(daemon, client, world, clean):
    config = client.pod_config("exits", True)
    pod = client.run_pod(config)
    for name, command, expected in [
        ("zero", ["true"], (0, "Completed")),
        ("seven", ["sh", "-c", "exit 7"], (7, "Error")),
        ("killed", ["sh", "-c", "sleep 100 & kill -9 $!; wait $!"], (137, "Error")),
    ]:
        container = client.create(pod, client.container_config(name, world.busybox, command), config)
        client.start(container)
        until(name, lambda: client.status(container).state == api.CONTAINER_EXITED)
        status = client.status(container)
        assert (status.exit_code, status.reason) == expected
        assert status.finished_at >= status.started_at > 0
    missing = client.create(pod, client.container_config("missing", world.busybox, ["/no/such/program"]), config)
    error = cri.failure(client.start, missing)
    assert "/no/such/program" in error.details()
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_a_container_that_eats_its_memory_is_OOMKilled(daemon, client, world, clean):
    config = client.pod_config("oom", True)
    pod = client.run_pod(config)
    settings = client.container_config("eater", world.busybox, ["sh", "-c", "a=x; while :; do a=$a$a; done"])
    settings.linux.resources.memory_limit_in_bytes = 24 << 20
    container = client.create(pod, settings, config)
    client.start(container)
    until("the end", lambda: client.status(container).state == api.CONTAINER_EXITED, 60)
    status = client.status(container)
    assert (status.exit_code, status.reason) == (137, "OOMKilled")
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_stop_signals(daemon, client, world, clean):
    config = client.pod_config("signals", True)
    pod = client.run_pod(config)
    script = "trap 'echo got term; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    container = client.create(pod, client.container_config("term", world.busybox, ["sh", "-c", script]), config)
    client.start(container)
    log = daemon.folder / "logs/signals/term.log"
    until("the trap", lambda: log.exists() and log_lines(log))
    began = time.monotonic()
    client.stop(container, 10)
    assert time.monotonic() - began < 5
    assert client.status(container).exit_code == 5
    assert [line[3] for line in log_lines(log)] == ["ready", "got term"]
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_exec_limits(daemon, client, world, clean):
    config = client.pod_config("execs", True)
    pod = client.run_pod(config)
    container = client.create(pod, client.container_config("main", world.busybox, ["sleep", "1000"]), config)
    assert code(client.exec, container, "true") == "FAILED_PRECONDITION"
    client.start(container)
    began = time.monotonic()
    assert code(client.exec, container, "sh", "-c", "sleep 1000 & sleep 1000", timeout=1) == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < 6
    until("the descendants' end", lambda: client.exec(container, "ps").stdout.count(b"sleep 1000") == 1)
    big = client.exec(container, "sh", "-c", "yes 0123456789abcde | head -c 40000000")
    assert big.exit_code in (0, 141) and len(big.stdout) + len(big.stderr) <= 16 << 20
    assert "no-such-program" in cri.failure(client.exec, container, "no-such-program").details()
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_reopened_logs_lose_nothing(daemon, client, world, clean):
    config = client.pod_config("rotate", True)
    pod = client.run_pod(config)
    script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; sleep 1000"
    container = client.create(pod, client.container_config("main", world.busybox, ["sh", "-c", script]), config)
    client.start(container)
    log = daemon.folder / "logs/rotate/main.log"
    parts = []
    for number in range(3):
        until("lines", lambda: log.exists() and log.stat().st_size > 0)
        parts.append(log.with_suffix(f".{number}"))
        log.rename(parts[-1])
        request = api.ReopenContainerLogRequest(container_id=container)
        client.runtime.ReopenContainerLog(request, timeout=10)
        assert log.exists()
        if b"line 2999" in b"".join(part.read_bytes() for part in parts):
            break
    parts.append(log)

    def texts():
        return [line[3] for part in parts for line in log_lines(part)]

    until("the last line", lambda: len(texts()) >= 3000)
    assert texts() == [f"line {n}" for n in range(3000)]
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_resources_are_applied_and_updated(daemon, client, world, clean):
    config = client.pod_config("resources", True)
    pod = client.run_pod(config)
    settings = client.container_config("main", world.busybox, ["sleep", "1000"])
    settings.linux.resources.CopyFrom(
        api.LinuxContainerResources(cpu_period=100000, cpu_quota=50000, cpu_shares=512, memory_limit_in_bytes=64 << 20, oom_score_adj=500)
    )
    container = client.create(pod, settings, config)
    client.start(container)
    base = f"{daemon.cgroup_parent}/{pod}/{container}"

    def value(controller, name):
        found = list(pathlib.Path("/sys/fs/cgroup").glob(f"{controller}{daemon.cgroup_parent}/**/{container}/{name}"))
        assert found, f"no {name} of {base}"
        return int(found[0].read_text())

    assert value("memory", "memory.limit_in_bytes") == 64 << 20
    assert value("cpu", "cpu.cfs_quota_us") == 50000 and value("cpu", "cpu.shares") == 512
    request = api.UpdateContainerResourcesRequest(
        container_id=container, linux=api.LinuxContainerResources(cpu_quota=20000, memory_limit_in_bytes=96 << 20)
    )
    client.runtime.UpdateContainerResources(request, timeout=10)
    assert value("memory", "memory.limit_in_bytes") == 96 << 20
    assert value("cpu", "cpu.cfs_quota_us") == 20000
    assert client.exec(container, "cat", "/proc/1/oom_score_adj").stdout == b"500\n"
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_users_mounts_and_files(daemon, client, world, clean):
    config = client.pod_config("files", dns_config=api.DNSConfig(servers=["10.0.0.10"], searches=["svc.local"], options=["ndots:5"]))
    pod = client.run_pod(config)
    volume = daemon.folder / "volume"
    volume.mkdir()
    (volume / "seen").write_text("by the container")
    settings = client.container_config("main", world.busybox, ["sleep", "1000"], working_dir="/home")
    settings.mounts.add(container_path="/data", host_path=str(volume))
    settings.mounts.add(container_path="/fixed", host_path=str(volume), readonly=True)
    settings.linux.security_context.run_as_username = "user"
    settings.linux.security_context.supplemental_groups.append(3000)
    container = client.create(pod, settings, config)
    client.start(container)

    def out(*command):
        return client.exec(container, *command).stdout.decode().strip()

    assert out("id") == "uid=1000(user) gid=1000(user) groups=1000(user),2000(extra),3000"
    assert out("pwd") == "/home"
    assert out("cat", "/data/seen") == "by the container"
    assert client.exec(container, "touch", "/fixed/new").exit_code == 1
    assert sorted(out("cat", "/etc/resolv.conf").splitlines()) == ["nameserver 10.0.0.10", "options ndots:5", "search svc.local"]
    assert "files" in out("cat", "/etc/hosts") and out("cat", "/etc/hostname") == "files"
    assert "tmpfs" in out("grep", "/dev/shm", "/proc/mounts")
    client.stop_pod(pod)
    client.remove_pod(pod)
    for path in volume.iterdir():
        path.unlink()
    volume.rmdir()


def test_the_default_profile_confines(daemon, client, world, clean):
    config = client.pod_config("confined", True)
    pod = client.run_pod(config)
    settings = client.container_config("main", world.busybox, ["sleep", "1000"])
    settings.linux.security_context.seccomp.profile_type = api.SecurityProfile.RuntimeDefault
    settings.linux.security_context.masked_paths.append("/proc/keys")
    settings.linux.security_context.readonly_paths.append("/proc/sys")
    container = client.create(pod, settings, config)
    client.start(container)
    status = client.exec(container, "cat", "/proc/self/status").stdout.decode()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Seccomp"] == "2" and fields["CapAmb"] == fields["CapInh"] == "0" * 16
    assert fields["CapEff"] == "00000000a80425fb"
    assert client.exec(container, "sh", "-c", "cat /proc/keys | wc -c").stdout == b"0\n"
    assert client.exec(container, "sh", "-c", ": >> /proc/sys/kernel/core_pattern").exit_code != 0
    assert client.exec(container, "mount", "-t", "tmpfs", "x", "/tmp").exit_code != 0
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_the_same_name_with_another_configuration_is_refused(daemon, client, world, clean):
    config = client.pod_config("twice", True)
    pod = client.run_pod(config)
    other = client.pod_config("twice", True, labels={"other": "1"})
    error = cri.failure(client.run_pod, other)
    assert error.code().name == "ALREADY_EXISTS" and pod in error.details()
    settings = client.container_config("main", world.busybox, ["sleep", "1000"])
    container = client.create(pod, settings, config)
    assert client.create(pod, settings, config) == container
    settings.args.append("more")
    error = cri.failure(client.create, pod, settings, config)
    assert error.code().name == "ALREADY_EXISTS" and container in error.details()
    client.remove_pod(pod)


def test_bad_requests(daemon, client, world, clean):
    assert code(client.pull, "127.0.0.1:5000/no-such-image:v1") == "NOT_FOUND"
    assert code(client.pull, "NOT/A/REFERENCE:::") == "INVALID_ARGUMENT"
    assert code(client.status, "no-such-container") == "NOT_FOUND"
    assert code(client.start, "no-such-container") == "NOT_FOUND"
    client.stop("no-such-container")
    client.remove("no-such-container")
    client.stop_pod("no-such-pod")
    client.remove_pod("no-such-pod")
    config = client.pod_config("bad", True)
    pod = client.run_pod(config)
    assert code(client.create, pod, client.container_config("c", "127.0.0.1:5000/absent:v1", ["true"]), config) == "NOT_FOUND"
    assert code(client.create, "no-such-pod", client.container_config("c", world.busybox, ["true"]), config) == "NOT_FOUND"
    for number, change in enumerate([
        dict(log_path="../../escape.log"),
        dict(working_dir="relative"),
    ]):
        settings = client.container_config(f"bad{number}", world.busybox, ["true"], **change)
        assert code(client.create, pod, settings, config) == "INVALID_ARGUMENT"
    evil = client.pod_config("sysctl", True)
    evil.linux.sysctls["kernel.core_pattern"] = "|/bin/sh"
    assert code(client.run_pod, evil) == "INVALID_ARGUMENT"
    client.remove_pod(pod)


def test_100_pods_in_sequence(daemon, client, world, clean):
    whole_life(client, daemon, world.busybox, "warm-up", False)
    opened = descriptors(daemon.pid)
    for number in range(100):
        whole_life(client, daemon, world.busybox, f"seq{number}", host_network=number % 2 == 0)
    assert descriptors(daemon.pid) <= opened + 3


def test_20_pods_at_once(daemon, client, world, clean):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        jobs = [
            pool.submit(whole_life, client, daemon, world.busybox, f"par{number}", number % 2 == 0) for number in range(20)
        ]
        for job in jobs:
            job.result()
    assert client.pods() == [] and client.containers() == []


def test_images(daemon, client, world):
    identity = client.pull(world.busybox)
    image = [i for i in client.images() if world.busybox in i.repo_tags][0]
    assert image.id == identity and image.size > 0
    assert image.repo_digests == [f"127.0.0.1:5000/busybox@{world.images[world.busybox]}"]
    for name in (world.busybox, identity, identity.removeprefix("sha256:")[:12], image.repo_digests[0]):
        request = api.ImageStatusRequest(image=api.ImageSpec(image=name))
        assert client.image.ImageStatus(request).image.id == identity, name
    usage = client.image.ImageFsInfo(api.ImageFsInfoRequest()).image_filesystems[0]
    assert usage.used_bytes.value > 0 and os.path.isdir(usage.fs_id.mountpoint)
    client.remove_image(world.busybox)
    client.remove_image(world.busybox)
    assert not [i for i in client.images() if i.id == identity]
    missing = api.ImageStatusRequest(image=api.ImageSpec(image=world.busybox))
    assert not client.image.ImageStatus(missing).HasField("image")


def test_calls_that_are_not_there_say_so(client):
    for method, request in [
        ("PortForward", api.PortForwardRequest(pod_sandbox_id="x", port=[80])),
        ("CheckpointContainer", api.CheckpointContainerRequest(container_id="x", location="/tmp/x")),
    ]:
        error = cri.failure(getattr(client.runtime, method), request)
        assert error.code().name == "UNIMPLEMENTED" and method in error.details()
