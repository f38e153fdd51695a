"""A world of one test run: a network namespace, a registry with small images in it, and daemons on throw-away roots.

Everything that a world makes carries its name, so that what is left behind can be counted while other things run on
the machine.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import uuid

import images

TOP = pathlib.Path(__file__).resolve().parents[2]


def run(*command, check=True, **options):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def until(what, body, seconds=20, pause=0.02):
    """Waits until `body` gives something true, and returns it."""
    end = time.monotonic() + seconds
    while True:
        value = body()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for: {what}")
        time.sleep(pause)


class World:
    """A network namespace and a registry. Daemons of tests run inside it."""

    def __init__(self):
        self.name = "bt-" + uuid.uuid4().hex[:8]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name}.", dir="/tmp"))
        self.netns = self.name
        run("ip", "netns", "add", self.netns)
        self.inside("ip", "link", "set", "lo", "up")
        self.registry = None
        self.images = {}
        self._subnet = 0

    def command(self, *command):
        return ["nsenter", f"--net=/run/netns/{self.netns}", *map(str, command)]

    def inside(self, *command, **options):
        return run(*self.command(*command), **options)

    def start_registry(self):
        storage = self.folder / "registry"
        storage.mkdir()
        config = self.folder / "registry.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {storage}}}\n"
            "http: {addr: '127.0.0.1:5000'}\n"
        )
        log = open(self.folder / "registry.log", "wb")
        self.registry = subprocess.Popen(
            self.command("docker-registry", "serve", config), stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )

        def answers():
            return self.inside("curl", "-sf", "http://127.0.0.1:5000/v2/", check=False).returncode == 0

        until("docker-registry", answers)

    def push(self, name, layers, config=None):
        """Puts an image into the registry; the answer is the reference to pull."""
        layout = self.folder / f"layout-{name}"
        digest = images.write_layout(layout, layers, config)
        reference = f"127.0.0.1:5000/{name}:v1"
        self.inside("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:v1", f"docker://{reference}")
        self.images[reference] = digest
        return reference

    def network_config(self, folder, subnet=None, extra=None):
        """A CNI configuration with Debian's bridge and host-local plugins."""
        folder.mkdir(parents=True, exist_ok=True)
        self._subnet += 1
        bridge = {
            "type": "bridge",
            "bridge": f"bt{self._subnet}",
            "isGateway": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(folder.parent / "ipam"),
                "ranges": [[{"subnet": subnet or f"10.88.{self._subnet}.0/24"}]],
            },
        }
        plugins = [bridge] + (extra or [])
        (folder / "10-test.conflist").write_text(
            json.dumps({"cniVersion": "1.0.0", "name": f"net{self._subnet}", "plugins": plugins})
        )
        return folder

    def close(self):
        if self.registry:
            self.registry.terminate()
            self.registry.wait()
        run("ip", "netns", "del", self.netns, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Berthd:
    """One berthd with a root of its own; it can be killed and started again."""

    kind = "berthd"

    def __init__(self, world, name, binaries, settings="", root=None):
        self.world, self.name, self.binaries = world, name, pathlib.Path(binaries)
        self.folder = world.folder / name
        self.folder.mkdir()
        self.root = pathlib.Path(root) if root else self.folder / "root"
        self.state = self.folder / "state"
        self.socket = str(self.folder / "berth.sock")
        self.cni = world.network_config(self.folder / "cni")
        self.netns_dir = self.folder / "netns"
        self.cgroup_parent = f"/{world.name}-{name}"
        self.log = self.folder / "berthd.log"
        self.settings = settings
        self.process = None
        self.write_config()

    def write_config(self):
        local = self.folder / "local.toml"
        local.write_text(
            f'root = "{self.root}"\nstate = "{self.state}"\n'
            f'[plugin.server.grpc]\naddress = "{self.socket}"\n'
            f'[plugin.network.cni]\nconf_dir = "{self.cni}"\nnetns_dir = "{self.netns_dir}"\nretry_seconds = 1\n'
            f"{self.settings}\n"
        )
        config = self.folder / "config.toml"
        config.write_text(f'version = 1\nimports = ["{TOP}/config.toml", "{local}"]\n')
        self.config = config

    def start(self, fault=None, wait=True):
        environment = dict(os.environ, BERTH_INIT=str(self.binaries / "berth-init"))
        environment.pop("BERTH_FAULT", None)
        if fault:
            environment["BERTH_FAULT"] = fault
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            self.world.command(self.binaries / "berthd", "--config", self.config),
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment,
        )
        if wait:
            until("berthd's socket", self._answers, 20)
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"berthd ended with {self.process.returncode}:\n{self.tail()}")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.socket)
                return True
            except OSError:
                return False

    def tail(self, lines=40):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        """kill -9, as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=30):
        """SIGTERM, and waits for the ordered end."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(seconds)
        return self.process.returncode if self.process else None

    def wait_for_fault(self, seconds=15):
        """Waits until an armed fault point has ended the process."""
        self.process.wait(seconds)
        assert self.process.returncode == 86, f"berthd ended with {self.process.returncode}:\n{self.tail()}"

    def berth(self, *arguments, check=True, **options):
        return run(self.binaries / "berth", "--address", self.socket, *arguments, check=check, **options)

    def databases(self):
        return sorted(path for path in self.root.glob("*/*") if path.suffix in (".db", ".sqlite") and path.is_file())

    # What there is of this daemon on the machine.

    def census(self):
        return Census(self)

    def destroy(self):
        """Ends the daemon and whatever it left, so that one failed test does not fail the next."""
        with contextlib.suppress(Exception):
            self.stop(10)
        if self.process and self.process.poll() is None:
            self.kill()
        for _ in range(50):
            pids = [int(line.split()[0]) for line in Census.processes(self)]
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        for path in sorted(Census.mounts(self), reverse=True):
            run("umount", "-l", path, check=False)
        for path in sorted(Census.cgroups(self), key=len, reverse=True):
            with contextlib.suppress(OSError):
                os.rmdir(path)


class Census:
    """What a daemon has made on the machine: processes, mounts, namespaces, cgroups, files, rows, descriptors."""

    #: Files that grow or come by themselves and are no leak.
    own = ("/db.sqlite", "-wal", "-shm", "lock", "journal")

    def __init__(self, daemon):
        self.counts = {
            "processes": self.processes(daemon),
            "mounts": self.mounts(daemon),
            "netns": sorted(os.listdir(daemon.netns_dir)) if daemon.netns_dir.exists() else [],
            "links": self.links(daemon),
            "cgroups": self.cgroups(daemon),
            "files": self.files(daemon),
            "rows": self.rows(daemon),
        }

    @staticmethod
    def processes(daemon):
        """Everything that runs below the daemon's cgroups, or whose command line names its folder."""
        found = []
        mine = {os.getpid(), daemon.process.pid if daemon.process else 0}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) in mine:
                continue
            with contextlib.suppress(OSError):
                cgroup = pathlib.Path(f"/proc/{entry}/cgroup").read_text()
                words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                state = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0]
                inside = daemon.cgroup_parent + "/" in cgroup
                names = f"{daemon.folder}/" in words and "skopeo" not in words
                if (inside or names) and state != "Z":
                    found.append(f"{entry} {words.strip()[:100]}")
        return sorted(found)

    @staticmethod
    def mounts(daemon):
        lines = pathlib.Path("/proc/1/mountinfo").read_text().splitlines()
        paths = (line.split()[4] for line in lines)
        skip = {str(daemon.root)}
        return sorted(p for p in paths if (p.startswith(f"{daemon.folder}/") or p.startswith(f"{daemon.root}/")) and p not in skip)

    @staticmethod
    def links(daemon):
        text = daemon.world.inside("ip", "-o", "link", check=False).stdout
        return sorted(line.split(":")[1].split("@")[0].strip() for line in text.splitlines() if "veth" in line)

    @staticmethod
    def cgroups(daemon):
        found = []
        for controller in pathlib.Path("/sys/fs/cgroup").iterdir():
            base = pathlib.Path(f"{controller}{daemon.cgroup_parent}")
            if base.is_dir():
                found += [str(p) for p in base.rglob("*") if p.is_dir()]
        return sorted(found)

    @classmethod
    def files(cls, daemon):
        """Paths of the root and the state: those of the content store and of layers only down to their own folder."""
        found = []
        for base in (daemon.root, daemon.state, daemon.folder / "ipam"):
            for folder, folders, names in os.walk(base):
                depth = len(pathlib.Path(folder).relative_to(base).parts)
                if depth >= 4:
                    folders.clear()
                for name in names + folders:
                    path = os.path.join(folder, name)
                    if not path.endswith(cls.own) and "/last_reserved_ip" not in path:
                        found.append(path)
        return sorted(found)

    @staticmethod
    def rows(daemon):
        found = {}
        for path in daemon.databases():
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                names = [row[0] for row in database.execute("select name from sqlite_master where type='table'")]
                for name in names:
                    if not name.startswith("sqlite_"):
                        found[name] = database.execute(f'select count(*) from "{name}"').fetchone()[0]
        return [f"{name}: {count}" for name, count in sorted(found.items())]

    def difference(self, before):
        """What is there now and was not before, and the other way about."""
        lines = []
        for kind, now in self.counts.items():
            then = before.counts[kind]
            lines += [f"{kind}: + {item}" for item in now if item not in then]
            lines += [f"{kind}: - {item}" for item in then if item not in now]
        return lines


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def expect_nothing_left(daemon, before, seconds=15):
    """Fails with the list of what is left over; teardown that goes on in the background gets some seconds."""
    left = []

    def clean():
        left[:] = daemon.census().difference(before)
        return not left

    try:
        until("nothing left behind", clean, seconds, pause=0.2)
    except AssertionError:
        raise AssertionError("left behind:\n" + "\n".join(left[:60]) + "\n" + daemon.tail(15)) from None
