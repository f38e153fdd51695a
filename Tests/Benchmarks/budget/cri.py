"""A CRI client generated at run time from the repository's own .proto files."""
import importlib
import pathlib
import socket
import sys
import tempfile
import time

import grpc
from grpc_tools import protoc

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def load_messages():
    """The generated modules of cri_runtime_v1.proto: messages and stubs."""
    folder = tempfile.mkdtemp(prefix="berth-budget-proto-")
    protos = REPOSITORY / "Sources/BerthAPI/Protos"
    arguments = ["protoc", f"-I{protos}", f"--python_out={folder}", f"--grpc_python_out={folder}", "cri_runtime_v1.proto"]
    if protoc.main(arguments) != 0:
        raise SystemExit("the .proto files cannot be compiled")
    sys.path.insert(0, folder)
    return importlib.import_module("cri_runtime_v1_pb2"), importlib.import_module("cri_runtime_v1_pb2_grpc"), folder


class CRI:
    """One daemon's RuntimeService and ImageService, and the pods that were made through it."""

    def __init__(self, daemon, messages, stubs, cgroup_parent):
        self.daemon = daemon
        self.pb = messages
        self.stubs = stubs
        self.cgroup_parent = cgroup_parent
        self.count = 0
        # Seconds of the three calls of each pod start.
        self.parts = []
        self.channel = None
        self.connect()

    def connect(self):
        if self.channel:
            self.channel.close()
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 20),
                   ("grpc.min_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50)]
        self.channel = grpc.insecure_channel(f"unix:{self.daemon.socket}", options=options)
        self.runtime = self.stubs.RuntimeServiceStub(self.channel)
        self.images = self.stubs.ImageServiceStub(self.channel)

    def pull(self, image, timeout=300):
        return self.images.PullImage(self.pb.PullImageRequest(image=self.pb.ImageSpec(image=image)), timeout=timeout)

    def remove_image(self, image):
        self.images.RemoveImage(self.pb.RemoveImageRequest(image=self.pb.ImageSpec(image=image)), timeout=120)

    def sandbox_config(self, host_network):
        self.count += 1
        name = f"{self.daemon.name}-{self.count}"
        config = self.pb.PodSandboxConfig(
            metadata=self.pb.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="budget"),
            log_directory=f"{self.daemon.folder}/logs/{name}")
        if not host_network:
            config.hostname = name
        config.linux.cgroup_parent = self.cgroup_parent
        mode = self.pb.NODE if host_network else self.pb.POD
        config.linux.security_context.namespace_options.network = mode
        config.linux.security_context.namespace_options.pid = self.pb.CONTAINER
        return config

    def start_pod(self, image, command, host_network=True):
        """RunPodSandbox + CreateContainer + StartContainer; the pod, the container, and the seconds it took."""
        sandbox = self.sandbox_config(host_network)
        container = self.pb.ContainerConfig(
            metadata=self.pb.ContainerMetadata(name="main"), image=self.pb.ImageSpec(image=image), command=command,
            log_path="main.log")
        container.linux.security_context.namespace_options.CopyFrom(sandbox.linux.security_context.namespace_options)
        pathlib.Path(sandbox.log_directory).mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        pod = self.runtime.RunPodSandbox(self.pb.RunPodSandboxRequest(config=sandbox), timeout=60).pod_sandbox_id
        ran = time.perf_counter()
        created = self.runtime.CreateContainer(
            self.pb.CreateContainerRequest(pod_sandbox_id=pod, config=container, sandbox_config=sandbox), timeout=60)
        made = time.perf_counter()
        self.runtime.StartContainer(self.pb.StartContainerRequest(container_id=created.container_id), timeout=60)
        spent = time.perf_counter() - began
        self.parts.append((ran - began, made - ran, began + spent - made))
        wait_for_line(pathlib.Path(sandbox.log_directory) / "main.log")
        return pod, created.container_id, spent

    def end_pod(self, pod, container):
        """StopContainer, StopPodSandbox and the removals; the seconds it took."""
        began = time.perf_counter()
        self.runtime.StopContainer(self.pb.StopContainerRequest(container_id=container, timeout=10), timeout=60)
        self.runtime.StopPodSandbox(self.pb.StopPodSandboxRequest(pod_sandbox_id=pod), timeout=60)
        self.runtime.RemoveContainer(self.pb.RemoveContainerRequest(container_id=container), timeout=60)
        self.runtime.RemovePodSandbox(self.pb.RemovePodSandboxRequest(pod_sandbox_id=pod), timeout=60)
        return time.perf_counter() - began

    def exec_true(self, container):
        began = time.perf_counter()
        answer = self.runtime.ExecSync(
            self.pb.ExecSyncRequest(container_id=container, cmd=["/bin/true"], timeout=10), timeout=30)
        if answer.exit_code != 0:
            raise RuntimeError(f"ExecSync of true on {self.daemon.name}: {answer}")
        return time.perf_counter() - began

    def remove_everything(self):
        for pod in self.runtime.ListPodSandbox(self.pb.ListPodSandboxRequest(), timeout=60).items:
            self.runtime.StopPodSandbox(self.pb.StopPodSandboxRequest(pod_sandbox_id=pod.id), timeout=60)
            self.runtime.RemovePodSandbox(self.pb.RemovePodSandboxRequest(pod_sandbox_id=pod.id), timeout=60)

    def first_answer(self, process, timeout=60):
        """Polls until Version is answered; the seconds since the call."""
        began = time.perf_counter()
        while not accepts(self.daemon.socket):
            if process.poll() is not None:
                raise RuntimeError(f"{self.daemon.name} ended with status {process.returncode}: {self.daemon.log_tail()}")
            if time.perf_counter() - began > timeout:
                raise RuntimeError(f"{self.daemon.name} does not listen: {self.daemon.log_tail()}")
            time.sleep(0.001)
        self.connect()
        while True:
            try:
                self.runtime.Version(self.pb.VersionRequest(), timeout=5, wait_for_ready=True)
                return time.perf_counter() - began
            except grpc.RpcError:
                if time.perf_counter() - began > timeout:
                    raise

    def wait_for_pods(self, count, timeout=120):
        """Polls until so many pods are ready and as many containers run."""
        began = time.perf_counter()
        while True:
            try:
                pods = self.runtime.ListPodSandbox(self.pb.ListPodSandboxRequest(), timeout=30).items
                containers = self.runtime.ListContainers(self.pb.ListContainersRequest(), timeout=30).containers
                ready = sum(pod.state == self.pb.SANDBOX_READY for pod in pods)
                running = sum(one.state == self.pb.CONTAINER_RUNNING for one in containers)
                if ready == count and running == count:
                    return
            except grpc.RpcError as error:
                ready = running = error.code()
            if time.perf_counter() - began > timeout:
                raise RuntimeError(f"{self.daemon.name} recovered {ready} pods, {running} containers of {count}")
            time.sleep(0.002)


def wait_for_line(log, timeout=20):
    """Waits until the container has said that it is ready."""
    end = time.perf_counter() + timeout
    while not log.exists() or b"ready" not in log.read_bytes():
        if time.perf_counter() > end:
            raise RuntimeError(f"no line in {log} after {timeout} s")
        time.sleep(0.001)


def accepts(path):
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(str(path))
        return True
    except OSError:
        return False
    finally:
        client.close()
