"""A CRI client by grpcio, over messages generated from the project's own .proto files."""
import importlib
import pathlib
import subprocess
import sys
import tempfile

import grpc

TOP = pathlib.Path(__file__).resolve().parents[2]


def _generate():
    from grpc_tools import protoc

    source = TOP / "Sources/BerthAPI/Protos"
    out = tempfile.mkdtemp(prefix="berth-protos.")
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{source}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(arguments + ["cri_runtime_v1.proto", "berth.proto"]) != 0:
        raise RuntimeError("the .proto files do not compile")
    sys.path.insert(0, out)
    return out


_generate()
api = importlib.import_module("cri_runtime_v1_pb2")
_stubs = importlib.import_module("cri_runtime_v1_pb2_grpc")

POD, CONTAINER, NODE = 0, 1, 2

#: As the kubelet has them: it takes messages of at most 16 MiB.
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 16 << 20)]


class CRI:
    """One connection. Calls have a deadline, so that a hang is a failure and not a test run without an end."""

    def __init__(self, daemon, timeout=60):
        self.daemon, self.timeout = daemon, timeout
        self.channel = grpc.insecure_channel(f"unix://{daemon.socket}", options=OPTIONS)
        self.runtime = _stubs.RuntimeServiceStub(self.channel)
        self.image = _stubs.ImageServiceStub(self.channel)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def warm_up(self, image):
        """Pulls and lives once: folders that the first pod makes are no leak. Returns the census after it."""
        self.pull(image)
        config = self.pod_config("first")
        pod = self.run_pod(config)
        self.create(pod, self.container_config("first", image, ["true"]), config)
        self.remove_pod(pod)
        return self.daemon.census()

    # Images

    def pull(self, reference, **options):
        request = api.PullImageRequest(image=api.ImageSpec(image=reference))
        return self.image.PullImage(request, timeout=options.get("timeout", self.timeout)).image_ref

    def images(self):
        return list(self.image.ListImages(api.ListImagesRequest(), timeout=self.timeout).images)

    def remove_image(self, reference):
        request = api.RemoveImageRequest(image=api.ImageSpec(image=reference))
        self.image.RemoveImage(request, timeout=self.timeout)

    # Pods

    def pod_config(self, name, host_network=False, attempt=0, **changes):
        config = api.PodSandboxConfig(
            metadata=api.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="test", attempt=attempt),
            hostname="" if host_network else name,
            log_directory=str(self.daemon.folder / "logs" / name),
            labels={"app": name},
            annotations={"note": "end to end"},
            linux=api.LinuxPodSandboxConfig(
                cgroup_parent=self.daemon.cgroup_parent,
                security_context=api.LinuxSandboxSecurityContext(
                    namespace_options=api.NamespaceOption(network=NODE if host_network else POD, pid=CONTAINER)
                ),
            ),
        )
        for key, value in changes.items():
            field = getattr(config, key)
            if hasattr(field, "CopyFrom"):
                field.CopyFrom(value)
            elif hasattr(field, "update"):
                field.update(value)
            elif hasattr(field, "extend"):
                field.extend(value)
            else:
                setattr(config, key, value)
        return config

    def run_pod(self, config, timeout=None):
        request = api.RunPodSandboxRequest(config=config)
        return self.runtime.RunPodSandbox(request, timeout=timeout or self.timeout).pod_sandbox_id

    def stop_pod(self, pod):
        self.runtime.StopPodSandbox(api.StopPodSandboxRequest(pod_sandbox_id=pod), timeout=self.timeout)

    def remove_pod(self, pod):
        self.runtime.RemovePodSandbox(api.RemovePodSandboxRequest(pod_sandbox_id=pod), timeout=self.timeout)

    def pod_status(self, pod, verbose=False):
        request = api.PodSandboxStatusRequest(pod_sandbox_id=pod, verbose=verbose)
        answer = self.runtime.PodSandboxStatus(request, timeout=self.timeout)
        return answer if verbose else answer.status

    def pods(self, **wanted):
        request = api.ListPodSandboxRequest(filter=api.PodSandboxFilter(**wanted))
        return list(self.runtime.ListPodSandbox(request, timeout=self.timeout).items)

    # Containers

    def container_config(self, name, image, command=None, args=None, **changes):
        config = api.ContainerConfig(
            metadata=api.ContainerMetadata(name=name),
            image=api.ImageSpec(image=image),
            command=command or [],
            args=args or [],
            log_path=f"{name}.log",
            labels={"container": name},
            linux=api.LinuxContainerConfig(),
        )
        for key, value in changes.items():
            field = getattr(config, key)
            if hasattr(field, "CopyFrom"):
                field.CopyFrom(value)
            elif hasattr(field, "extend"):
                field.extend(value)
            else:
                setattr(config, key, value)
        return config

    def create(self, pod, config, pod_config):
        request = api.CreateContainerRequest(pod_sandbox_id=pod, config=config, sandbox_config=pod_config)
        return self.runtime.CreateContainer(request, timeout=self.timeout).container_id

    def start(self, container):
        self.runtime.StartContainer(api.StartContainerRequest(container_id=container), timeout=self.timeout)

    def stop(self, container, grace=2):
        request = api.StopContainerRequest(container_id=container, timeout=grace)
        self.runtime.StopContainer(request, timeout=self.timeout)

    def remove(self, container):
        self.runtime.RemoveContainer(api.RemoveContainerRequest(container_id=container), timeout=self.timeout)

    def status(self, container):
        request = api.ContainerStatusRequest(container_id=container)
        return self.runtime.ContainerStatus(request, timeout=self.timeout).status

    def containers(self, **wanted):
        request = api.ListContainersRequest(filter=api.ContainerFilter(**wanted))
        return list(self.runtime.ListContainers(request, timeout=self.timeout).containers)

    def exec(self, container, *command, timeout=10):
        request = api.ExecSyncRequest(container_id=container, cmd=list(command), timeout=timeout)
        return self.runtime.ExecSync(request, timeout=self.timeout)


def code(call, *arguments, **options):
    """The status code's name of a call that must fail."""
    return failure(call, *arguments, **options).code().name


def failure(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"{getattr(call, '__name__', call)} succeeded")


def log_lines(path):
    """The lines of a CRI log: (time, stream, tag, text)."""
    text = pathlib.Path(path).read_text(errors="replace")
    return [tuple(line.split(" ", 3)) for line in text.splitlines()]
