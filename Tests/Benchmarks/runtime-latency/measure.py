#!/usr/bin/env python3
"""Times `run`, and `exec` in a running container, of `true` with berth-oci and its twins, in turns on one machine.

usage: measure.py BERTH_OCI [--rounds N] [--idle SECONDS] [--json]

Prints medians in milliseconds and each twin's ratio to ours. Needs root, busybox-static, and runc or crun.
"""
import argparse
import ctypes
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

CLONE_NEWNS = 0x20000


def private_mounts():
    """crun of Debian 12 stumbles over a hybrid host's unified tree: it goes, in a mount namespace of our own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["umount", "/sys/fs/cgroup/unified"], stderr=subprocess.DEVNULL, check=False)


def make_bundle(base):
    bundle = base / "bundle"
    (bundle / "rootfs/bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", bundle / "rootfs/bin/busybox")
    for name in ["true", "sleep"]:
        (bundle / "rootfs/bin" / name).symlink_to("busybox")
    return bundle


def write_spec(bundle, berth, args):
    path = bundle / "config.json"
    path.unlink(missing_ok=True)
    subprocess.run([berth, "spec", "--bundle", bundle], check=True)
    spec = json.loads(path.read_text())
    spec["ociVersion"] = "1.0.2"
    spec["process"]["terminal"] = False
    spec["process"]["args"] = args
    spec["mounts"] = [m for m in spec["mounts"] if m["type"] != "cgroup"]
    path.write_text(json.dumps(spec))


def clock(command, cwd):
    start = time.perf_counter()
    result = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True)
    spent = (time.perf_counter() - start) * 1000
    if result.returncode != 0:
        raise SystemExit(f"{command}: {result.stderr.decode()}")
    return spent


def rounds(runtimes, count, idle, command_of, cwd):
    times = {name: [] for name in runtimes}
    for round_number in range(count + 3):
        for name, runtime in runtimes.items():
            if idle:
                time.sleep(idle)
            spent = clock(command_of(runtime, f"bench-{name}-{round_number}"), cwd)
            if round_number >= 3:
                times[name].append(spent)
    return times


def report(what, times, as_json):
    ours = statistics.median(times["berth-oci"])
    row = {name: round(statistics.median(values), 2) for name, values in times.items()}
    ratios = {name: round(value / ours, 2) for name, value in row.items() if name != "berth-oci"}
    best = {name: round(min(values), 2) for name, values in times.items()}
    if as_json:
        print(json.dumps({"what": what, "median_ms": row, "min_ms": best, "ratio": ratios}))
    else:
        print(f"{what:>6}: median ms {row}  min {best}  slower than ours by {ratios}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("berth", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--idle", type=float, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    private_mounts()
    berth = options.berth.resolve()
    with tempfile.TemporaryDirectory(prefix="berth-latency-") as folder:
        base = pathlib.Path(folder)
        bundle = make_bundle(base)
        runtimes = {"berth-oci": [berth, "--root", base / "state"]}
        for name in ["runc", "crun"]:
            if path := shutil.which(name):
                runtimes[name] = [path, "--root", base / f"state-{name}"]
        write_spec(bundle, berth, ["true"])
        run = rounds(runtimes, options.rounds, options.idle, lambda r, i: r + ["run", i], bundle)
        report("run", run, options.json)
        write_spec(bundle, berth, ["sleep", "1000"])
        for name, runtime in runtimes.items():
            subprocess.run(
                runtime + ["run", "-d", f"held-{name}"], cwd=bundle, check=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            held = {str(r[0]): name for name, r in runtimes.items()}
            executed = rounds(
                runtimes, options.rounds, options.idle,
                lambda r, i: r + ["exec", "held-" + held[str(r[0])], "true"], bundle)
            report("exec", executed, options.json)
        finally:
            for name, runtime in runtimes.items():
                subprocess.run(runtime + ["delete", "-f", f"held-{name}"], check=False)


if __name__ == "__main__":
    os.umask(0o022)
    main()
