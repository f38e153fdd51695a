internal import BerthGRPC

extension RuntimeRPC {
    var statsMethods: [GRPCMethod] {
        Unimplemented.methods(
            of: name,
            [
                "ContainerStats", "ListContainerStats", "StreamContainerStats", "PodSandboxStats",
                "ListPodSandboxStats",
                "StreamPodSandboxStats",
            ])
    }
}
