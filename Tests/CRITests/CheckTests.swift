import BerthBase
import BerthServices
import Testing

@testable import CRIPlugins

/// Requests that are refused before anything is made.
@Suite struct CheckTests {
    private func pod(_ change: (inout PodSpec) -> Void) -> BerthError.Code? {
        do {
            try PodSpecCheck.check(.test("web", change), World.facts)
            return nil
        } catch { return BerthError.wrapping(error).code }
    }

    private func container(
        pod podChange: (inout PodSpec) -> Void = { _ in }, _ change: (inout ContainerSpec) -> Void
    ) -> BerthError.Code? {
        do {
            try ContainerSpecCheck.check(.test("app", change), pod: .test("web", podChange), World.facts)
            return nil
        } catch { return BerthError.wrapping(error).code }
    }

    @Test func `plain ones are taken`() {
        #expect(pod { _ in } == nil)
        #expect(container { _ in } == nil)
    }

    @Test(arguments: ["../x", "a/b", "/x", "x\0y", "..", ".", "a\nb", ""])
    func `a pod's name is one path component`(_ name: String) {
        #expect(pod { $0.name = name } == .invalidArgument)
        if !name.isEmpty { #expect(pod { $0.uid = name } == .invalidArgument) }
    }

    @Test(arguments: [
        ("kernel.shm_rmid_forced", "1"), ("net.core.somaxconn", "1024"), ("net/ipv4/tcp_syncookies", "0"),
        ("fs.mqueue.msg_max", "1"), ("kernel.sem", "250 32000 32 128"), ("net.ipv4.ip_local_port_range", "1 2"),
    ])
    func `settings of the pod's own namespaces are taken`(_ name: String, _ value: String) {
        #expect(pod { $0.sysctls = [name: value] } == nil)
    }

    @Test(arguments: [
        ("kernel.core_pattern", "x"), ("net/../kernel/core_pattern", "x"), ("net..core", "1"), ("vm.swappiness", "1"),
        ("net.core.x y", "1"), ("kernel.shmmax", "1+kernel.core_pattern=|/x"), ("kernel.shmmax", "1=2"),
        ("kernel.shmmax", "1\n2"), ("kernel.shmmax", "1\0"), ("net", "1"),
    ])
    func `other settings, and values that hide another one, are refused`(_ name: String, _ value: String) {
        #expect(pod { $0.sysctls = [name: value] } == .invalidArgument)
    }

    @Test func `settings of a namespace that is the host's are refused`() {
        #expect(
            pod { ($0.namespaces.network, $0.sysctls) = (.node, ["net.core.somaxconn": "1"]) } == .invalidArgument)
        #expect(pod { ($0.namespaces.ipc, $0.sysctls) = (.node, ["kernel.shmmax": "1"]) } == .invalidArgument)
    }

    @Test func `a systemd slice, a relative path and one with dots are no cgroup parent`() {
        #expect(pod { $0.cgroupParent = "kubepods-pod1.slice" } == .unimplemented)
        #expect(pod { $0.cgroupParent = "kubepods" } == .invalidArgument)
        #expect(pod { $0.cgroupParent = "/kubepods/../x" } == .invalidArgument)
        #expect(pod { $0.cgroupParent = "/kubepods/burstable/pod1" } == nil)
    }

    @Test func `hostnames, ports, resolver words and namespaces that make no sense`() {
        #expect(pod { $0.hostname = String(repeating: "a", count: 65) } == .invalidArgument)
        #expect(pod { $0.hostname = "a b" } == .invalidArgument)
        #expect(
            pod { $0.ports = [PortMapping(transport: "tcp", containerPort: 70000, hostPort: 1)] } == .invalidArgument)
        #expect(pod { $0.dns = PodDNS(servers: ["1.1.1.1\nsearch evil"]) } == .invalidArgument)
        #expect(pod { $0.namespaces.network = .container } == .invalidArgument)
        #expect(pod { $0.namespaces.pid = .target } == .invalidArgument)
        #expect(pod { $0.namespaces.ipc = .target } == .invalidArgument)
        #expect(pod { $0.logDirectory = "/var/log/../x" } == .invalidArgument)
        #expect(
            pod {
                $0.namespaces.uids = [IDMapping(containerID: 0, hostID: 65536, size: 65536)]
                $0.namespaces.gids = $0.namespaces.uids
            } == .unimplemented)
    }

    @Test func `a privileged container needs a privileged pod`() {
        #expect(container { $0.security.privileged = true } == .invalidArgument)
        #expect(container(pod: { $0.privileged = true }) { $0.security.privileged = true } == nil)
    }

    @Test func `PID namespaces that are not there are refused`() {
        #expect(container { $0.security.pid = .pod } == .invalidArgument)
        #expect(container(pod: { $0.namespaces.pid = .pod }) { $0.security.pid = .pod } == nil)
        #expect(container { $0.security.pid = .target } == .invalidArgument)
    }

    @Test func `limits that make no sense are refused`() {
        #expect(container { $0.resources.oomScoreAdj = 1001 } == .invalidArgument)
        #expect(container { $0.resources.memoryLimit = -2 } == .invalidArgument)
        #expect(container { ($0.resources.memoryLimit, $0.resources.memorySwapLimit) = (2, 1) } == .invalidArgument)
        #expect(container { $0.resources.cpusetCPUs = "0;1" } == .invalidArgument)
        #expect(container { $0.resources.hugepages = ["3MB": 1] } == .invalidArgument)
        #expect(container { $0.resources.unified = ["memory.max": "max"] } == .invalidArgument)
        var bare = World.facts
        bare.hugetlb = false
        var pages = ResourceLimits()
        pages.hugepages = ["2MB": 0]
        #expect(throws: Never.self) { try ResourceCheck.check(pages, bare) }
        pages.hugepages = ["2MB": 1 << 21]
        #expect(throws: BerthError.self) { try ResourceCheck.check(pages, bare) }
        #expect(throws: Never.self) { try ResourceCheck.check(pages, World.facts) }
        var facts = World.facts
        facts.cgroupV2 = true
        var limits = ResourceLimits()
        limits.memoryLimit = 5
        limits.unified = ["memory.max": "max"]
        #expect(throws: BerthError.self) { try ResourceCheck.check(limits, facts) }
        limits.unified = ["memory.high": "4"]
        #expect(throws: Never.self) { try ResourceCheck.check(limits, facts) }
        limits.unified = ["../x.y": "4"]
        #expect(throws: BerthError.self) { try ResourceCheck.check(limits, facts) }
    }

    @Test func `mounts that make no sense are refused`() {
        func mount(_ target: String, _ change: (inout VolumeMount) -> Void = { _ in }) -> BerthError.Code? {
            var mount = VolumeMount(target: target, source: "/h")
            change(&mount)
            return container { $0.mounts = [mount] }
        }
        #expect(mount("/x") == nil)
        #expect(mount("x") == .invalidArgument)
        #expect(mount("/") == .invalidArgument)
        #expect(mount("/a/../") == .invalidArgument)
        for target in ["/proc", "/proc/self/attr", "/proc/sys", "//proc/./sys"] {
            #expect(mount(target) == .invalidArgument, "\(target)")
        }
        #expect(mount("/proc/cpuinfo") == nil)
        #expect(mount("/x") { $0.source = "relative" } == .invalidArgument)
        #expect(mount("/x") { $0.recursiveReadOnly = true } == .invalidArgument)
        #expect(mount("/x") { ($0.recursiveReadOnly, $0.readOnly) = (true, true) } == nil)
        #expect(
            mount("/x") { ($0.recursiveReadOnly, $0.readOnly, $0.propagation) = (true, true, .hostToContainer) }
                == .invalidArgument)
        #expect(mount("/x") { $0.options = ["noexec"] } == nil)
        #expect(mount("/x") { $0.options = ["lowerdir=/"] } == .invalidArgument)
    }

    @Test func `devices, commands, variables and directories that make no sense are refused`() {
        #expect(
            container { $0.devices = [DeviceMapping(target: "/d", source: "/dev/null", permissions: "rwx")] }
                == .invalidArgument)
        #expect(container { $0.args = ["a\0b"] } == .invalidArgument)
        #expect(container { $0.environment = [.init("A=B", "c")] } == .invalidArgument)
        #expect(container { $0.environment = [.init("A", "c\0")] } == .invalidArgument)
        #expect(container { $0.workingDirectory = "w" } == .invalidArgument)
        #expect(container { $0.image = "" } == .invalidArgument)
        #expect(container { $0.name = "" } == .invalidArgument)
        #expect(container { $0.stopSignal = "SIGNOTHING" } == .invalidArgument)
        #expect(
            container { $0.args = [String(repeating: "a", count: ContainerSpecCheck.maxArguments)] } == .invalidArgument
        )
    }

    @Test func `labels and profiles of a host's security modules are refused where the host has them or lacks them`() {
        #expect(container { $0.security.apparmor = .localhost("x") } == .invalidArgument)
        #expect(container { $0.security.apparmor = .runtimeDefault } == nil)
        #expect(container { $0.security.selinuxLabel = "::spc_t:" } == nil)
        #expect(container { $0.security.seccomp = .localhost("relative.json") } == .invalidArgument)
        var facts = World.facts
        (facts.appArmor, facts.seLinux) = (true, true)
        let labelled = ContainerSpec.test { $0.security.selinuxLabel = "::spc_t:" }
        #expect(throws: BerthError.self) { try ContainerSpecCheck.check(labelled, pod: .test(), facts) }
        let profile = ContainerSpec.test { $0.security.apparmor = .localhost("x") }
        #expect(throws: Never.self) { try ContainerSpecCheck.check(profile, pod: .test(), facts) }
    }

    @Test(arguments: ["/proc", "/proc/x", "/sys", "/dev", "x", "/", "/a\0"])
    func `an image's volume cannot be where the kernel's files are`(_ path: String) {
        #expect(throws: BerthError.self) { try PathCheck.volume(path) }
    }

    @Test func `bandwidth annotations are rates`() throws {
        let name = "kubernetes.io/ingress-bandwidth"
        #expect(try Bandwidth.rate([name: "10M"], name) == 10_000_000)
        #expect(try Bandwidth.rate([name: "1Ki"], name) == 1024)
        #expect(try Bandwidth.rate([:], name) == 0)
        for bad in ["", "x", "-1M", "1.5M", "99999999999999999999"] {
            #expect(throws: BerthError.self, "\(bad)") { try Bandwidth.rate([name: bad], name) }
        }
    }
}
