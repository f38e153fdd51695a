import BerthBase
import BerthOCI
import BerthServices
import Testing

@testable import CRIPlugins

/// The OCI spec of a container, field by field: pure.
@Suite struct SpecTests {
    /// The plan of a plain container.
    private func plain(
        with change: (inout ContainerPlan) -> Void = { _ in }, pod podChange: (inout PodSpec) -> Void = { _ in }
    ) -> ContainerPlan {
        plan(with: change, pod: podChange) { _ in }
    }

    /// The plan of a container whose request was changed.
    private func plan(
        with change: (inout ContainerPlan) -> Void = { _ in }, pod podChange: (inout PodSpec) -> Void = { _ in },
        _ specChange: (inout ContainerSpec) -> Void
    ) -> ContainerPlan {
        var image = ImageConfig()
        image.command = ["sh"]
        image.environment = ["PATH=/image", "A=1", "B=2", "broken"]
        var plan = ContainerPlan(
            id: "c1", spec: .test("app", specChange), podID: "p1234567890abcdef", pod: .test("web", podChange),
            namespace: "k8s.io", image: image, user: ResolvedUser(uid: 1, gid: 2, groups: [2, 3]), facts: World.facts)
        plan.sandboxPID = 42
        plan.netns = "/run/netns/p"
        plan.files = PodFilePaths(directory: "/files")
        change(&plan)
        return plan
    }

    private func options(_ spec: OCISpec, _ destination: String) -> [String]? {
        spec.mounts?.first { $0.destination == destination }?.options
    }

    @Test(
        arguments: [
            (["ep"], ["cmd"], [], [], ["ep", "cmd"]), (["ep"], ["cmd"], [], ["a"], ["ep", "a"]),
            (["ep"], ["cmd"], ["c"], [], ["c"]), (["ep"], ["cmd"], ["c"], ["a"], ["c", "a"]),
            ([], ["cmd"], [], [], ["cmd"]),
        ] as [([String], [String], [String], [String], [String])])
    func `a request's command replaces both, its args only the command`(
        _ entrypoint: [String], _ command: [String], _ asked: [String], _ args: [String], _ expected: [String]
    ) throws {
        let plan = plan(with: { ($0.image.entrypoint, $0.image.command) = (entrypoint, command) }) {
            ($0.command, $0.args) = (asked, args)
        }
        #expect(try plan.build().process?.args == expected)
    }

    @Test func `no command at all is refused`() {
        #expect(throws: BerthError.self) { try plain(with: { $0.image.command = [] }).build() }
    }

    @Test func `the request's variables win over the image's, in the image's order`() throws {
        let plan = plan { $0.environment = [.init("A", "3"), .init("C", "x=y")] }
        #expect(try plan.build().process?.env == ["PATH=/image", "HOSTNAME=p1234567890a", "A=3", "B=2", "C=x=y"])
    }

    @Test func `a terminal sets TERM`() throws {
        let process = try #require(try plan { $0.terminal = true }.build().process)
        #expect(process.terminal == true)
        #expect(process.env?.contains("TERM=xterm") == true)
    }

    @Test func `the directory is the request's, the image's, the root`() throws {
        #expect(try plain().build().process?.cwd == "/")
        #expect(try plain(with: { $0.image.workingDirectory = "w" }).build().process?.cwd == "/w")
        #expect(
            try plan(with: { $0.image.workingDirectory = "/w" }) { $0.workingDirectory = "/r" }.build().process?.cwd
                == "/r")
    }

    @Test func `user, groups, no_new_privs, oom score and a read-only root`() throws {
        let spec = try plan {
            $0.security.noNewPrivileges = true
            $0.security.readOnlyRootfs = true
            $0.resources.oomScoreAdj = 500
        }.build()
        #expect(spec.process?.user?.uid == 1)
        #expect(spec.process?.user?.gid == 2)
        #expect(spec.process?.user?.additionalGids == [2, 3])
        #expect(spec.process?.noNewPrivileges == true)
        #expect(spec.process?.oomScoreAdj == 500)
        #expect(spec.root?.readonly == true)
        #expect(options(spec, "/etc/hosts")?.contains("ro") == true)
    }

    @Test func `the pod's namespaces are joined, the container's own are made`() throws {
        let kinds = try #require(try plain().build().linux?.namespaces)
        #expect(
            kinds == [
                OCINamespace(.mount), OCINamespace(.network, path: "/run/netns/p"),
                OCINamespace(.uts, path: "/proc/42/ns/uts"),
                OCINamespace(.ipc, path: "/proc/42/ns/ipc"), OCINamespace(.pid),
            ])
    }

    @Test func `host namespaces are not made; a shared or a target's PID namespace is joined`() throws {
        let host = plan(pod: { ($0.namespaces.network, $0.namespaces.ipc) = (.node, .node) }) {
            $0.security.pid = .node
        }
        #expect(try host.build().linux?.namespaces == [OCINamespace(.mount)])
        #expect(try host.build().mounts?.first { $0.destination == "/dev/shm" }?.source == "/dev/shm")
        #expect(try host.build().mounts?.contains { $0.destination == "/etc/hostname" } == false)
        let shared = plan { $0.security.pid = .pod }
        #expect(try shared.build().linux?.namespaces?.last == OCINamespace(.pid, path: "/proc/42/ns/pid"))
        let target = plan(with: { $0.targetPID = 9 }) { $0.security.pid = .target }
        #expect(try target.build().linux?.namespaces?.last == OCINamespace(.pid, path: "/proc/9/ns/pid"))
    }

    @Test func `a cgroup namespace is made on cgroup v2 unless privileged`() throws {
        let v2 = { (plan: inout ContainerPlan) in plan.facts.cgroupV2 = true }
        #expect(try plain(with: v2).build().linux?.namespaces?.last == OCINamespace(.cgroup))
        #expect(
            try plan(with: v2) { $0.security.privileged = true }.build().linux?.namespaces?.last == OCINamespace(.pid))
    }

    @Test func `the cgroup lies beside the pod's, below the parent`() throws {
        #expect(
            try plain(pod: { $0.cgroupParent = "/kubepods/pod1" }).build().linux?.cgroupsPath == "/kubepods/pod1/c1")
        #expect(try plain().build().linux?.cgroupsPath == "/k8s.io/c1")
    }

    @Test func `limits go into the spec, what is not set does not`() throws {
        let linux = try #require(
            try plan {
                $0.resources.cpuPeriod = 100_000
                $0.resources.cpuQuota = 50_000
                $0.resources.cpuShares = 512
                $0.resources.memoryLimit = 1 << 26
                $0.resources.memorySwapLimit = 1 << 27
                $0.resources.cpusetCPUs = "0-1"
                $0.resources.cpusetMems = "0"
                $0.resources.hugepages = ["2MB": 4096]
                $0.resources.unified = ["memory.high": "9"]
            }.build().linux?.resources)
        #expect(linux.cpu?.period == 100_000 && linux.cpu?.quota == 50_000 && linux.cpu?.shares == 512)
        #expect(linux.cpu?.cpus == "0-1" && linux.cpu?.mems == "0")
        #expect(linux.memory?.limit == 1 << 26 && linux.memory?.swap == 1 << 27)
        #expect(linux.hugepageLimits == [OCIHugepageLimit(pageSize: "2MB", limit: 4096)])
        #expect(linux.unified == ["memory.high": "9"])
        let bare = plan(with: { $0.facts.hugetlb = false }) { $0.resources.hugepages = ["2MB": 0] }
        #expect(try bare.build().linux?.resources?.hugepageLimits == nil)
        let none = try #require(try plain().build().linux?.resources)
        #expect(none.cpu == nil && none.memory == nil && none.unified == nil)
    }

    @Test func `devices are made and allowed, nothing else is`() throws {
        let null = HostDevice(
            device: OCIDevice(path: "/dev/x", type: "c", major: 1, minor: 3, fileMode: 0o666), access: "rw")
        let linux = try #require(try plain(with: { $0.devices = [null] }).build().linux)
        #expect(linux.devices == [null.device])
        #expect(
            linux.resources?.devices == [
                OCIDeviceRule(allow: false, access: "rwm"),
                OCIDeviceRule(allow: true, type: "c", major: 1, minor: 3, access: "rw"),
            ])
    }

    @Test func `a privileged container has everything`() throws {
        let spec = try plan {
            $0.security.privileged = true
            $0.security.maskedPaths = ["/proc/kcore"]
        }.build()
        #expect(spec.process?.capabilities?.effective == World.facts.capabilities)
        #expect(spec.linux?.seccomp == nil)
        #expect(spec.linux?.maskedPaths == nil)
        #expect(options(spec, "/sys")?.contains("rw") == true)
        #expect(spec.linux?.resources?.devices == [OCIDeviceRule(allow: true, access: "rwm")])
    }

    @Test func `masked and read-only paths are those of the request`() throws {
        let linux = try plan {
            $0.security.maskedPaths = ["/proc/kcore"]
            $0.security.readOnlyPaths = ["/proc/sys"]
        }.build().linux
        #expect(linux?.maskedPaths == ["/proc/kcore"])
        #expect(linux?.readonlyPaths == ["/proc/sys"])
    }

    @Test func `the seccomp profile is the default, none, or a file's`() throws {
        #expect(try plain().build().linux?.seccomp?.defaultAction == "SCMP_ACT_ERRNO")
        #expect(try plan { $0.security.seccomp = .unconfined }.build().linux?.seccomp == nil)
        let own = OCISeccomp(defaultAction: "SCMP_ACT_LOG")
        let local = plan(with: { $0.seccomp = own }) { $0.security.seccomp = .localhost("/p.json") }
        #expect(try local.build().linux?.seccomp == own)
    }

    @Test func `mounts come parents first, and a request's takes the place of the standard one`() throws {
        let spec = try plain(with: { plan in
            plan.mounts = [
                VolumeMount(target: "/a/b", source: "/h/ab"), VolumeMount(target: "/a", source: "/h/a", readOnly: true),
                VolumeMount(target: "/etc/hosts", source: "/h/hosts"),
                VolumeMount(target: "//dev/./shm", source: "/h/shm"),
            ]
        }).build()
        let all = (spec.mounts ?? []).map(\.destination)
        let (a, b) = (try #require(all.firstIndex(of: "/a")), try #require(all.firstIndex(of: "/a/b")))
        #expect(a < b)
        #expect(spec.mounts?.filter { $0.destination == "/etc/hosts" }.map(\.source) == ["/h/hosts"])
        #expect(spec.mounts?.filter { $0.destination == "/dev/shm" }.map(\.source) == ["/h/shm"])
        #expect(options(spec, "/a") == ["rbind", "rprivate", "ro"])
    }

    @Test func `propagation, recursive read-only and further options of a mount`() throws {
        var slave = VolumeMount(target: "/s", source: "/h")
        slave.propagation = .hostToContainer
        var locked = VolumeMount(target: "/l", source: "/h", readOnly: true)
        locked.recursiveReadOnly = true
        locked.options = ["noexec"]
        let spec = try plain(with: { ($0.mounts, $0.rootfsPropagation) = ([slave, locked], .hostToContainer) }).build()
        #expect(options(spec, "/s") == ["rbind", "rslave", "rw"])
        #expect(options(spec, "/l") == ["rbind", "rprivate", "ro", "rro", "noexec"])
        #expect(spec.linux?.rootfsPropagation == "rslave")
    }

    @Test func `annotations name the pod as other runtimes do`() throws {
        let all = try #require(try plain().build().annotations)
        #expect(all["io.kubernetes.cri.container-type"] == "container")
        #expect(all["io.kubernetes.cri.sandbox-id"] == "p1234567890abcdef")
        #expect(all["io.kubernetes.cri.sandbox-namespace"] == "default")
        #expect(all["io.kubernetes.cri.container-name"] == "app")
        #expect(all["io.kubernetes.cri.image-name"] == "busybox")
    }

    @Test func `containers made of one image do not share its variables`() throws {
        for index in 0..<200 {
            let env = try plan { $0.environment = [.init("MARK\(index)", "1")] }.build().process?.env ?? []
            #expect(env.filter { $0.hasPrefix("MARK") } == ["MARK\(index)=1"])
        }
    }

    @Test func `a pod's spec has its namespaces, its settings and no process`() {
        let spec = SandboxSpecBuilder.build(
            .test { ($0.sysctls, $0.namespaces.pid) = (["net.core.somaxconn": "9"], .pod) }, id: "p1",
            namespace: "k8s.io",
            netns: "/n", userns: "")
        #expect(spec.process == nil)
        #expect(spec.linux?.namespaces?.map(\.type) == [.network, .uts, .ipc, .pid])
        #expect(spec.linux?.sysctl?["net.core.somaxconn"] == "9")
        #expect(spec.linux?.sysctl?["net.ipv4.ip_unprivileged_port_start"] == "0")
        #expect(spec.annotations?["io.kubernetes.cri.container-type"] == "sandbox")
    }
}

/// Capabilities by what was asked.
@Suite struct CapabilityTests {
    private func sets(_ add: [String], _ drop: [String], ambient: [String] = []) throws -> OCICapabilities {
        var security = ContainerSecurity()
        (security.addCapabilities, security.dropCapabilities, security.ambientCapabilities) = (add, drop, ambient)
        return try CapabilityChoice.sets(
            security, host: World.facts.capabilities, known: World.facts.knownCapabilities)
    }

    @Test func `the default set, nothing inheritable or ambient`() throws {
        let sets = try sets([], [])
        #expect(sets.bounding == CapabilityChoice.defaults.sorted())
        #expect(sets.inheritable == nil && sets.ambient == nil)
    }

    @Test func `add and drop, by name with and without prefix, and ALL`() throws {
        #expect(try sets(["net_admin"], []).bounding?.contains("CAP_NET_ADMIN") == true)
        #expect(try sets([], ["CAP_KILL"]).bounding?.contains("CAP_KILL") == false)
        #expect(try sets(["ALL"], []).bounding == World.facts.capabilities.sorted())
        #expect(try sets([], ["all"]).bounding == [])
        #expect(try sets(["KILL"], ["ALL"]).bounding == ["CAP_KILL"])
        #expect(try sets(["ALL"], ["KILL"]).bounding == World.facts.capabilities.filter { $0 != "CAP_KILL" }.sorted())
        #expect(throws: BerthError.self) { try sets(["NO_SUCH"], []) }
    }

    @Test func `ambient ones are inheritable too, since the kernel wants it so`() throws {
        let sets = try sets([], ["ALL"], ambient: ["NET_BIND_SERVICE"])
        #expect(sets.ambient == ["CAP_NET_BIND_SERVICE"])
        #expect(sets.inheritable == ["CAP_NET_BIND_SERVICE"])
        #expect(sets.permitted == ["CAP_NET_BIND_SERVICE"])
    }
}
