"""One function a line of the budgets (docs: architecture, "Budgets"). Each yields rows."""
import asyncio
import concurrent.futures
import json
import pathlib
import statistics
import subprocess
import time

import grpc

import images
import processes
import world as worlds

BUSYBOX = f"{worlds.REGISTRY}/busybox:v1"
IDLE = 1.0


def milliseconds(values):
    return statistics.median(values) * 1000


def worst(values):
    """The 99th percentile; of fewer than a hundred values the largest."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))] * 1000


def row(line, ours, theirs, unit, target, at_least=None, at_most=None, digits=2, note=""):
    """A row; `at_least` is a bound on theirs/ours, `at_most` one on ours/theirs."""
    ratio = theirs / ours if ours else float("inf")
    met = None
    if at_least is not None:
        met = ratio >= at_least
    elif at_most is not None:
        met = ours <= theirs * at_most
    return {"line": line, "berth": round(ours, digits), "containerd": round(theirs, digits), "unit": unit,
            "ratio": round(ratio, 2), "target": target, "met": met, "note": note}


class Bench:
    """Both daemons, their clients and the image that pods run."""

    def __init__(self, world, messages, stubs, quick):
        self.world = world
        self.quick = quick
        self.rounds = 8 if quick else 30
        self.idle_rounds = 3 if quick else 10
        self.pods = 20 if quick else 100
        import cri
        layout = images.Layout(world.folder / "oci")
        layout.image("busybox:v1", [images.runnable(world.folder)], "gzip", ["/pause"])
        layout.image("pause:v1", [images.layer_of([("pause", (world.folder / "pause").read_bytes())])], "gzip", ["/pause"])
        for tag in ["busybox:v1", "pause:v1"]:
            images.push(layout, tag, worlds.REGISTRY, world.inside([]))
        self.daemons = [world.add(worlds.Berth, "berth"), world.add(worlds.Containerd, "containerd")]
        self.clients = []
        for daemon in self.daemons:
            process = daemon.start()
            client = cri.CRI(daemon, messages, stubs, world.cgroup_parent)
            client.first_answer(process)
            client.pull(BUSYBOX)
            if daemon.name == "containerd":
                client.pull(f"{worlds.REGISTRY}/pause:v1")
            self.clients.append(client)
        self.pb = messages

    def clean(self):
        for client in self.clients:
            try:
                client.remove_everything()
            except grpc.RpcError:
                pass

    def in_turns(self, rounds, body, idle=0, warm=2):
        """Runs `body(client)` for each client in turns; the results by client, without the first ones."""
        results = [[] for _ in self.clients]
        for number in range(rounds + warm):
            for index, client in enumerate(self.clients):
                if idle:
                    time.sleep(idle)
                value = body(client)
                if number >= warm:
                    results[index].append(value)
        return results

    def fill(self):
        """So many host-network pods with a container each, in both; returns them by client."""
        made = [[] for _ in self.clients]
        for _ in range(self.pods):
            for index, client in enumerate(self.clients):
                made[index].append(client.start_pod(BUSYBOX, ["/workload"])[:2])
        return made

    def empty(self, made):
        for client, pods in zip(self.clients, made):
            for pod, container in pods:
                client.end_pod(pod, container)


def pod_start(bench):
    """Pod start: three calls, host network and CNI, back to back and after an idle second; and the pod's end."""
    plugins = plugin_seconds(bench.world)
    ends = None
    for host_network, what in [(True, "host network"), (False, "CNI")]:
        for idle, rounds, when in [(0, bench.rounds, "back to back"), (IDLE, bench.idle_rounds, "after an idle second")]:
            def cycle(client):
                pod, container, spent = client.start_pod(BUSYBOX, ["/pause"], host_network)
                return spent, client.end_pod(pod, container)
            ours, theirs = bench.in_turns(rounds, cycle, idle)
            starts = [[start for start, _ in one] for one in (ours, theirs)]
            name = f"pod start, {what}, {when}"
            yield row(name, milliseconds(starts[0]), milliseconds(starts[1]), "ms", "at least 8 times faster", 8,
                      note="run + create + start: " + " : ".join(parts_of(client, rounds) for client in bench.clients))
            yield row(f"{name}, p99", worst(starts[0]), worst(starts[1]), "ms", "at least 8 times faster", 8)
            if not host_network:
                less = [max(milliseconds(one) - plugins * 1000, 0.01) for one in starts]
                yield row(f"{name}, without the plugins' own time", less[0], less[1], "ms", "at least 8 times faster", 8,
                          note=f"plugins alone: {plugins * 1000:.1f} ms")
            if host_network and ends is None:
                ends = [[end for _, end in one] for one in (ours, theirs)]
    yield row("stop and removal of a pod that exits on SIGTERM", milliseconds(ends[0]), milliseconds(ends[1]), "ms",
              "at least 6 times faster", 6)
    yield {"line": "pod start with a 5 ms fsync", "why_not": "needs a block device with delayed flushes (dm-delay), which "
           "this script does not make"}


def parts_of(client, rounds):
    """Medians of the three calls of the last pods, in milliseconds."""
    return " + ".join(f"{milliseconds(part):.0f}" for part in zip(*client.parts[-rounds:]))


def plugin_seconds(world):
    """What bridge with host-local takes alone: ADD in a fresh network namespace."""
    text = json.loads((world.folder / "cni/10-budget.conflist").read_text())
    config = json.dumps({**text["plugins"][0], "name": text["name"], "cniVersion": text["cniVersion"]}).encode()
    times = []
    for number in range(8):
        name = f"{world.netns}-{number}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        environment = {"CNI_CONTAINERID": name, "CNI_NETNS": f"/run/netns/{name}", "CNI_IFNAME": "eth0",
                       "CNI_PATH": "/usr/lib/cni", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        for verb in ["ADD", "DEL"]:
            began = time.perf_counter()
            subprocess.run(world.inside(["/usr/lib/cni/bridge"]), input=config, env={**environment, "CNI_COMMAND": verb},
                           check=True, stdout=subprocess.DEVNULL)
            if verb == "ADD":
                times.append(time.perf_counter() - began)
        subprocess.run(["ip", "netns", "del", name], check=True)
    return statistics.median(times)


def at_once(bench):
    """Ten pods at once, start to removal: pods a second."""
    def cycle(client):
        began = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            def one(_):
                pod, container, _ = client.start_pod(BUSYBOX, ["/pause"])
                client.end_pod(pod, container)
            list(pool.map(one, range(10)))
        return 10 / (time.perf_counter() - began)
    ours, theirs = bench.in_turns(3 if bench.quick else 6, cycle, warm=1)
    rate = [statistics.median(one) for one in (ours, theirs)]
    yield {"line": "10 at once, whole cycle", "berth": round(rate[0], 1), "containerd": round(rate[1], 1), "unit": "pods/s",
           "ratio": round(rate[0] / rate[1], 2), "target": "at least 8 times", "met": rate[0] >= 8 * rate[1]}


def exec_sync(bench):
    """ExecSync of true in a running container."""
    held = {client: client.start_pod(BUSYBOX, ["/pause"])[:2] for client in bench.clients}
    for idle, rounds, when in [(0, bench.rounds * 2, "back to back"), (IDLE, bench.idle_rounds, "after an idle second")]:
        ours, theirs = bench.in_turns(rounds, lambda client: client.exec_true(held[client][1]), idle)
        yield row(f"ExecSync of true, {when}", milliseconds(ours), milliseconds(theirs), "ms", "at least 6 times faster", 6)
    for client, (pod, container) in held.items():
        client.end_pod(pod, container)


def oci_run(bench):
    """berth-oci run beside runc and crun, by the script that measures commands; and the kernel's floor."""
    script = pathlib.Path(__file__).parents[1] / "runtime-latency/measure.py"
    rounds = "10" if bench.quick else "30"
    for idle in ["0", "1"]:
        count = rounds if idle == "0" else str(bench.idle_rounds)
        result = subprocess.run(
            ["python3", str(script), str(bench.world.binaries / "berth-oci"), "--json", "--rounds", count, "--idle", idle],
            capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(result.stderr[-400:])
        when = "back to back" if idle == "0" else "after an idle second"
        for text in result.stdout.splitlines():
            measured = json.loads(text)
            if measured["what"] != "run":
                continue
            for peer, least in [("runc", 6), ("crun", 2)]:
                if peer in measured["median_ms"]:
                    yield row(f"berth-oci run true, {when}, beside {peer}", measured["median_ms"]["berth-oci"],
                              measured["median_ms"][peer], "ms", f"at least {least} times faster", least,
                              note=f"the third column is {peer}")


def memory(bench):
    """What pods add, what the daemon holds, its CPU when idle, recovery: all with the same many pods."""
    before = [processes.resident(daemon.pid) for daemon in bench.daemons]
    yield row("daemon resident, idle", before[0], before[1], "MiB", "at most 20 MiB", note=ceiling(before[0], 20))
    made = bench.fill()
    time.sleep(2)
    after = [processes.resident(daemon.pid) for daemon in bench.daemons]
    added, shims = [], []
    for index, daemon in enumerate(bench.daemons):
        pids = [pid for pid in daemon.shims()]
        shims.append(statistics.median(processes.private(pid) for pid in pids) if pids else 0)
        pauses = sandbox_processes(pids)
        total = sum(processes.proportional(pid) for pid in pids + pauses)
        added.append((total + after[index] - before[index]) / bench.pods)
    yield row(f"memory a pod adds, of {bench.pods} pods", added[0], added[1], "MiB", "at most 1/5", at_most=1 / 5,
              note="shim and pause (PSS) and the daemon's growth")
    yield row("a shim's private memory", shims[0], shims[1], "MiB", "at most 1 MiB", note=ceiling(shims[0], 1))
    yield row(f"daemon resident, {bench.pods} pods", after[0], after[1], "MiB", "at most 30 MiB", note=ceiling(after[0], 30))
    yield from idle_cpu(bench)
    yield from rpc_cpu(bench)
    yield from recovery(bench)
    bench.empty(made)


def ceiling(value, limit):
    return "met" if value <= limit else f"MISSED: {value:.1f} is more than {limit}"


def sandbox_processes(shims):
    """The children of shims that are no workload: pause containers and reapers."""
    return [pid for shim in shims for pid in processes.descendants(shim) if "workload" not in processes.command(pid)[0]]


def idle_cpu(bench):
    """The daemon's CPU while nobody asks anything."""
    span = 10 if bench.quick else 30
    before = [processes.own_cpu(daemon.pid) for daemon in bench.daemons]
    time.sleep(span)
    share = [(processes.own_cpu(daemon.pid) - start) / span * 100 for daemon, start in zip(bench.daemons, before)]
    yield row(f"daemon CPU with {bench.pods} idle pods", share[0], share[1], "% of 1", "at most 1/20", at_most=1 / 20, digits=4)


def rpc_cpu(bench):
    """The daemon's CPU a unary call at 64 calls in flight."""
    pb = bench.pb
    calls = 2000 if bench.quick else 8000
    requests = [("Version", "/runtime.v1.RuntimeService/Version", pb.VersionRequest(), 1 / 2, calls),
                (f"ListContainers of {bench.pods}", "/runtime.v1.RuntimeService/ListContainers",
                 pb.ListContainersRequest(), 1 / 8, calls // 2)]
    for name, path, request, bound, count in requests:
        spent = []
        for daemon in bench.daemons:
            asyncio.run(flood(daemon.socket, path, request.SerializeToString(), count // 4))
            before = processes.own_cpu(daemon.pid)
            asyncio.run(flood(daemon.socket, path, request.SerializeToString(), count))
            spent.append((processes.own_cpu(daemon.pid) - before) / count * 1e6)
        words = {1 / 2: "at most 1/2", 1 / 8: "at most 1/8"}[bound]
        yield row(f"CPU a unary RPC at 64 in flight, {name}", spent[0], spent[1], "µs", words, at_most=bound, digits=1)


async def flood(path, method, payload, count):
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        call = channel.unary_unary(method)
        left = count

        async def worker():
            nonlocal left
            while left > 0:
                left -= 1
                await call(payload)
        await asyncio.gather(*[worker() for _ in range(64)])


def recovery(bench):
    """kill -9 of the daemon with many pods, and a start: until all of them are listed as they were."""
    spent = []
    for daemon, client in zip(bench.daemons, bench.clients):
        times = []
        for _ in range(2 if bench.quick else 5):
            daemon.stop(9)
            began = time.perf_counter()
            process = daemon.start()
            client.first_answer(process)
            client.wait_for_pods(bench.pods)
            times.append(time.perf_counter() - began)
        spent.append(times)
    yield row(f"daemon start to all of {bench.pods} pods recovered", milliseconds(spent[0]), milliseconds(spent[1]), "ms",
              "at most 100 ms", digits=1, note=ceiling(milliseconds(spent[0]), 100))


def start(bench):
    """Daemon start to the first answer, without pods."""
    spent = [[] for _ in bench.daemons]
    for _ in range(4 if bench.quick else 10):
        for index, (daemon, client) in enumerate(zip(bench.daemons, bench.clients)):
            daemon.stop()
            began = time.perf_counter()
            client.first_answer(daemon.start())
            spent[index].append(time.perf_counter() - began)
    yield row("daemon start to first answer, empty", milliseconds(spent[0]), milliseconds(spent[1]), "ms", "at most 20 ms",
              digits=1, note=ceiling(milliseconds(spent[0]), 20))


def growth(bench):
    """The daemon's memory after many calls of a kind."""
    execs, cycles, pulls = (300, 20, 3) if bench.quick else (10_000, 200, 10)
    for client, daemon in zip(bench.clients, bench.daemons):
        daemon.stop()
        client.first_answer(daemon.start())
        pod, container, _ = client.start_pod(BUSYBOX, ["/pause"])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: client.exec_true(container), range(execs if daemon.name == "berth" else execs // 10)))
        client.end_pod(pod, container)
        for _ in range(pulls):
            client.pull(BUSYBOX)
    after = [processes.resident(daemon.pid) for daemon in bench.daemons]
    yield row(f"daemon resident, after {pulls} pulls and {execs} execs", after[0], after[1], "MiB", "at most 35 MiB",
              note=ceiling(after[0], 35) + f"; containerd after {execs // 10} execs")
    for _ in range(cycles):
        client = bench.clients[0]
        client.end_pod(*client.start_pod(BUSYBOX, ["/pause"])[:2])
    grown = processes.resident(bench.daemons[0].pid) - after[0]
    yield {"line": f"daemon growth over {cycles} pod cycles", "berth": round(grown, 2), "containerd": "-", "unit": "MiB",
           "ratio": "-", "target": "none over 10 000", "met": None, "note": "fewer cycles than the budget names"}


def pull(bench):
    """PullImage to usable: gzip and zstd, one layer and twenty. Each round has content of its own."""
    size, rounds = (24, 2) if bench.quick else (160, 3)
    for count in [1, 20]:
        for compression, faster, less in [("gzip", 2, 1 / 2), ("zstd", 1.6, 0.65)]:
            what = f"{compression}, {count} layer{'s' * (count > 1)}"
            walls, costs, note = [[], []], [[], []], ""
            for number in range(rounds):
                layout = images.Layout(bench.world.folder / f"oci-{compression}-{count}-{number}")
                tag = f"large{count}-{compression}-{number}:v1"
                tars = [images.layer_of(images.payload(f"{tag}/{layer}", max(1, size // count))) for layer in range(count)]
                packed = layout.image(tag, tars, compression, ["/pause"])
                images.push(layout, tag, worlds.REGISTRY, bench.world.inside([]))
                images.remove(layout.folder)
                note = f"{size} MiB, {packed / 2**20:.0f} packed"
                for index in ([0, 1] if number % 2 == 0 else [1, 0]):
                    wall, cost = pull_once(bench.daemons[index], bench.clients[index], f"{worlds.REGISTRY}/{tag}")
                    walls[index].append(wall)
                    costs[index].append(cost)
            yield row(f"pull and unpack to usable, {what}, wall", statistics.median(walls[0]), statistics.median(walls[1]),
                      "s", f"at least {faster} times faster", faster, note=note)
            words = {1 / 2: "at most 1/2", 0.65: "at most 0.65"}[less]
            yield row(f"pull and unpack to usable, {what}, CPU", statistics.median(costs[0]), statistics.median(costs[1]),
                      "s", words, at_most=less, note=note)


def pull_once(daemon, client, image):
    """Seconds until PullImage answers, and of CPU by the daemon and its children until then."""
    before = processes.tree_cpu(daemon.pid)
    began = time.perf_counter()
    client.pull(image)
    return time.perf_counter() - began, max(processes.tree_cpu(daemon.pid) - before, 0.01)


ALL = {"start": start, "pod-start": pod_start, "exec": exec_sync, "at-once": at_once, "oci-run": oci_run, "pull": pull,
       "memory": memory, "growth": growth}
