"""The `berth` command against a daemon: what an operator types, what comes back, and what is left afterwards."""
import hashlib
import json
import signal
import subprocess
import time

import pytest

from world import expect_nothing_left, until


@pytest.fixture
def berth(daemon, world):
    # The first run makes folders that stay.
    daemon.berth("run", "--rm", world.busybox, "true")
    before = daemon.census()
    yield daemon.berth
    expect_nothing_left(daemon, before)


def spawn(daemon, *arguments):
    return subprocess.Popen(
        [daemon.binaries / "berth", "--address", daemon.socket, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def containers(berth):
    return json.loads(berth("-o", "json", "ps", "-a").stdout).get("containers", [])


def test_run_passes_on_output_and_status(berth, world):
    result = berth("run", "--rm", world.busybox, "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (7, "out\n", "err\n")
    assert containers(berth) == []


def test_run_pulls_what_is_missing(make_daemon, world):
    daemon = make_daemon().start()
    result = daemon.berth("run", "--rm", world.busybox, "echo", "hello")
    assert result.stdout == "hello\n"
    assert "resolving" in result.stderr and ": done" in result.stderr


def test_no_line_of_a_long_output_is_lost(berth, world):
    result = berth("run", "--rm", world.busybox, "seq", "1", "50000")
    wanted = "".join(f"{n}\n" for n in range(1, 50001))
    assert hashlib.sha256(result.stdout.encode()).digest() == hashlib.sha256(wanted.encode()).digest()


def test_options_of_run_reach_the_container(berth, world, daemon):
    volume = daemon.folder / "volume"
    volume.mkdir(exist_ok=True)
    (volume / "file").write_text("from the host\n")
    (volume / "file").chmod(0o666)
    script = "cat /data/file; pwd; id -u; hostname; echo $A; touch /x; (: >> /data/file); true"
    result = berth(
        "run", "--rm", "-v", f"{volume}:/data:ro", "-e", "A=b", "--memory", "64m", "--cpus", "0.5", "-w", "/tmp",
        "-u", "1000:1000", "--read-only", "--hostname", "myhost", world.busybox, "sh", "-c", script,
    )
    assert result.stdout.splitlines()[:5] == ["from the host", "/tmp", "1000", "myhost", "b"]
    assert result.stderr.count("Read-only file system") == 2
    volume.joinpath("file").unlink()
    volume.rmdir()


def test_host_network_and_entrypoint(berth, world):
    assert "127.0.0.1" in berth("run", "--rm", "--network", "host", world.busybox, "ip", "addr", "show", "lo").stdout
    assert berth("run", "--rm", "--entrypoint", "/bin/echo", world.busybox, "a", "b").stdout == "a b\n"


def test_a_detached_container_lives_is_looked_at_and_goes(berth, world):
    script = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.05; done"
    identity = berth("run", "-d", "--name", "web", world.busybox, "sh", "-c", script).stdout.strip()
    assert len(identity) == 64
    (one,) = containers(berth)
    assert (one["id"], one["name"], one["state"]) == (identity, "web", "running")
    until("a line", lambda: berth("logs", "web").stdout.startswith("line 0\n"))
    assert len(berth("logs", "--tail", "2", "web").stdout.splitlines()) <= 2
    result = berth("exec", "-e", "X=y", "-w", "/etc", "web", "sh", "-c", "echo $X $(pwd); echo err >&2; exit 5", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (5, "y /etc\n", "err\n")
    assert json.loads(berth("inspect", "web").stdout)["id"] == identity
    refused = berth("run", "--name", "web", world.busybox, "true", check=False)
    assert refused.returncode == 125 and "the name 'web' is taken" in refused.stderr
    refused = berth("rm", "web", check=False)
    assert refused.returncode == 1 and "it is running" in refused.stderr
    berth("stop", "-t", "1", "web")
    (one,) = containers(berth)
    assert one["state"] == "exited" and one["exit_code"] == 137
    assert berth("logs", "--tail", "1", "web").stdout.startswith("line ")
    berth("rm", "web")
    assert containers(berth) == []


def test_logs_follow_to_the_end(berth, world, daemon):
    berth("run", "-d", "--name", "f", world.busybox, "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done; exit 4")
    followed = spawn(daemon, "logs", "-f", "f")
    out, err = followed.communicate(timeout=20)
    assert (followed.returncode, out, err) == (0, "1\n2\n3\n", "")
    berth("rm", "-f", "f")


def test_removed_by_itself(berth, world):
    berth("run", "-d", "--rm", "--name", "gone", world.busybox, "sh", "-c", "sleep 0.2")
    until("the container has gone", lambda: containers(berth) == [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_container_and_its_status_is_passed_on(berth, world, daemon, number):
    script = "trap 'echo stopping; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    process = spawn(daemon, "run", "--rm", world.busybox, "sh", "-c", script)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (9, "stopping\n", "")


def test_a_second_signal_kills(berth, world, daemon):
    process = spawn(daemon, "run", "--rm", world.busybox, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=8)
    assert process.returncode == 137


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (["run", "IMAGE", "nothing-there"], 127, "ENOENT"),
        (["run", "IMAGE", "/etc/passwd"], 126, "EACCES"),
        (["run", "127.0.0.1:5000/missing:v1"], 125, "404"),
        (["run", "-it", "IMAGE"], 64, "-it is not supported"),
        (["exec", "nothing", "ls"], 1, "container 'nothing' not found"),
        (["logs", "nothing"], 1, "container 'nothing' not found"),
        (["rmi", "nothing"], 1, "not found"),
        (["gc", "explain", "nothing"], 1, "nothing in namespace 'default' has this key"),
        (["--address", "/nowhere", "ps"], 1, "no daemon answers at '/nowhere'"),
    ],
)
def test_errors_say_what_and_why_with_a_status(berth, world, arguments, status, words):
    result = berth(*[world.busybox if a == "IMAGE" else a for a in arguments], check=False)
    assert result.returncode == status, result.stderr
    assert words in result.stderr and result.stdout == ""


def test_tables_and_json_say_the_same(berth, world):
    for command in (["images"], ["plugins"], ["ops"], ["version"], ["ps", "-a"], ["gc", "--dry-run"]):
        assert berth(*command).stdout
        json.loads(berth("-o", "json", *command).stdout)
    plugins = json.loads(berth("-o", "json", "plugins").stdout)["plugins"]
    assert {p["state"] for p in plugins} == {"running"}
