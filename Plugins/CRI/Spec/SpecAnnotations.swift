internal import BerthBase
internal import BerthServices

/// The annotations by which runtimes, hooks and tools know a Kubernetes pod; containerd's names.
enum SpecAnnotations {
    private static let prefix = "io.kubernetes.cri."

    static func pod(_ spec: PodSpec, id: PodID) -> [String: String] {
        var all = common(spec, id: id)
        all[prefix + "container-type"] = "sandbox"
        all[prefix + "sandbox-log-directory"] = spec.logDirectory
        let limits = spec.resources ?? ResourceLimits()
        all[prefix + "sandbox-cpu-period"] = String(limits.cpuPeriod)
        all[prefix + "sandbox-cpu-quota"] = String(limits.cpuQuota)
        all[prefix + "sandbox-cpu-shares"] = String(limits.cpuShares)
        all[prefix + "sandbox-memory"] = String(limits.memoryLimit)
        if let overhead = spec.overhead {
            all[prefix + "pod-overhead-cpu-quota"] = String(overhead.cpuQuota)
            all[prefix + "pod-overhead-memory"] = String(overhead.memoryLimit)
        }
        return all
    }

    static func container(_ spec: ContainerSpec, pod: PodSpec, id: PodID) -> [String: String] {
        var all = common(pod, id: id)
        all[prefix + "container-type"] = "container"
        all[prefix + "container-name"] = spec.name
        all[prefix + "image-name"] = spec.image
        return all
    }

    private static func common(_ spec: PodSpec, id: PodID) -> [String: String] {
        [
            prefix + "sandbox-id": id.rawValue, prefix + "sandbox-name": spec.name,
            prefix + "sandbox-namespace": spec.group, prefix + "sandbox-uid": spec.uid,
        ]
    }
}
