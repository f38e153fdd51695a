"""The benchmark's world: a network namespace, a registry, and both daemons with folders of their own."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import processes

REGISTRY = "127.0.0.1:5000"


class Daemon:
    """A daemon under measurement: how it starts, and what is its own."""

    def __init__(self, name, folder, world):
        self.name = name
        self.folder = pathlib.Path(folder)
        (self.folder / "logs").mkdir(parents=True)
        self.socket = self.folder / "daemon.sock"
        self.world = world
        self.process = None
        self.log = self.folder / "daemon.log"

    def start(self):
        environment = {"PATH": f"{self.world.binaries}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        environment["BERTH_INIT"] = f"{self.world.binaries}/berth-init"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.world.inside(self.command()), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        return self.process

    @property
    def pid(self):
        return self.process.pid

    def stop(self, number=signal.SIGTERM):
        if not self.process or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def shims(self):
        return [pid for pid in processes.belonging([str(self.folder)])
                if "shim" in os.path.basename(processes.command(pid)[0])]

    def log_tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])


class Berth(Daemon):
    def command(self):
        local = self.folder / "local.toml"
        local.write_text(f"""
root = "{self.folder}/root"
state = "{self.folder}/state"
[log]
level = "warning"
[plugin.server.grpc]
address = "{self.socket}"
[plugin.shims.local]
grpc_address = "{self.socket}"
[plugin.network.cni]
conf_dir = "{self.world.folder}/cni"
bin_dirs = ["/usr/lib/cni"]
netns_dir = "{self.folder}/netns"
""")
        config = self.folder / "config.toml"
        config.write_text(f'version = 1\nimports = ["{self.world.repository}/config.toml", "{local}"]\n')
        return [str(self.world.binaries / "berthd"), "--config", str(config)]


class Containerd(Daemon):
    def command(self):
        config = self.folder / "config.toml"
        config.write_text(f"""
version = 2
root = "{self.folder}/root"
state = "{self.folder}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[debug]
  level = "warn"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{REGISTRY}/pause:v1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "{self.world.folder}/cni"
    bin_dir = "/usr/lib/cni"
""")
        return ["/usr/bin/containerd", "--config", str(config)]


class World:
    def __init__(self, binaries, repository):
        self.binaries = pathlib.Path(binaries).resolve()
        self.repository = repository
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-budget-"))
        self.netns = self.folder.name
        self.cgroup_parent = f"/{self.netns}"
        self.daemons = []
        self.registry = None

    def inside(self, command):
        return ["nsenter", f"--net=/run/netns/{self.netns}", "--"] + command

    def start(self):
        subprocess.run(["ip", "netns", "add", self.netns], check=True)
        subprocess.run(self.inside(["ip", "link", "set", "lo", "up"]), check=True)
        (self.folder / "cni").mkdir()
        plugins = [{"type": "bridge", "bridge": "budget0", "isGateway": True, "ipMasq": False, "ipam": {
            "type": "host-local", "dataDir": str(self.folder / "ipam"), "ranges": [[{"subnet": "10.124.0.0/16"}]]}}]
        (self.folder / "cni/10-budget.conflist").write_text(
            json.dumps({"cniVersion": "1.0.0", "name": "budget", "plugins": plugins}))
        config = self.folder / "registry.yml"
        config.write_text(f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem:\n    rootdirectory: "
                          f"{self.folder}/registry\nhttp:\n  addr: {REGISTRY}\n")
        self.registry = subprocess.Popen(
            self.inside(["docker-registry", "serve", str(config)]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        probe = self.inside(["/bin/busybox", "wget", "-q", "-O", "/dev/null", f"http://{REGISTRY}/v2/"])
        for _ in range(200):
            if subprocess.run(probe, capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError("docker-registry does not answer")

    def add(self, kind, name):
        daemon = kind(name, self.folder / name, self)
        self.daemons.append(daemon)
        return daemon

    def close(self):
        for daemon in self.daemons:
            daemon.stop()
        left = [pid for pid in processes.belonging([str(self.folder)]) if pid != os.getpid()]
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.registry:
            self.registry.kill()
            self.registry.wait()
        self.kill_cgroup()
        for line in reversed(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
            if str(self.folder) in line.split()[4]:
                subprocess.run(["umount", "-l", line.split()[4]], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", self.netns], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)
        return len(left)

    def kill_cgroup(self):
        """Ends what is still in the pods' cgroups and removes them, in every hierarchy."""
        tops = [path for path in pathlib.Path("/sys/fs/cgroup").glob("*" + self.cgroup_parent) if path.is_dir()]
        for top in tops:
            for tasks in top.rglob("cgroup.procs"):
                for pid in tasks.read_text().split():
                    try:
                        os.kill(int(pid), signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        time.sleep(0.2 if tops else 0)
        for top in tops:
            for folder in sorted([path for path in top.rglob("*") if path.is_dir()], reverse=True) + [top]:
                try:
                    folder.rmdir()
                except OSError:
                    pass
