import BerthBase
import BerthOCI
import BerthRuntime
import BerthSystem
import Glibc
import SystemPackage
import Testing

extension RuntimeTests { @Suite struct FieldTests {} }

extension RuntimeTests.FieldTests {
    @Test func `user, groups, umask, limits, capabilities and no_new_privs are as asked`() throws {
        let world = try World()
        let outcome = try world.run("id -u; id -g; id -G; umask; ulimit -n; grep -E 'Cap|NoNew' /proc/self/status; pwd")
        { spec in
            spec.process?.user = OCIUser(uid: 11, gid: 12, umask: 0o077, additionalGids: [13])
            spec.process?.rlimits = [OCIRlimit(type: "RLIMIT_NOFILE", hard: 99, soft: 98)]
            spec.process?.capabilities = OCICapabilities(
                bounding: ["CAP_KILL", "CAP_CHOWN"], effective: ["CAP_KILL"], inheritable: ["CAP_KILL"],
                permitted: ["CAP_KILL"], ambient: ["CAP_KILL"])
            spec.process?.cwd = "/made/here"
        }
        let lines = outcome.output.split(separator: "\n").map(String.init)
        #expect(lines[..<5] == ["11", "12", "12 13", "0077", "98"])
        let kill = "0000000000000020"
        #expect(
            lines[5...] == [
                "CapInh:\t\(kill)", "CapPrm:\t\(kill)", "CapEff:\t\(kill)", "CapBnd:\t0000000000000021",
                "CapAmb:\t\(kill)",
                "NoNewPrivs:\t1", "/made/here",
            ])
    }

    @Test func `a user namespace maps the ids, and its root may set what is its own`() throws {
        let world = try World()
        // The mapped root may not write to a root file system that belongs to the host's.
        for name in ["proc", "sys", "dev"] { try Files.makeDirectories(world.rootfs + "/" + name, mode: 0o755) }
        let outcome = try world.run(
            "id -u; cat /proc/self/uid_map /proc/sys/net/ipv4/ip_unprivileged_port_start; echo x > /dev/null && echo y"
        ) { spec in
            spec.linux?.namespaces?.append(OCINamespace(.user))
            spec.linux?.uidMappings = [OCIIDMapping(containerID: 0, hostID: 100_000, size: 65536)]
            spec.linux?.gidMappings = [OCIIDMapping(containerID: 0, hostID: 100_000, size: 65536)]
            spec.linux?.sysctl = ["net.ipv4.ip_unprivileged_port_start": "77"]
        }
        #expect(
            outcome.output.split(whereSeparator: { $0 == " " || $0 == "\n" }) == [
                "0", "0", "100000", "65536", "77", "y",
            ])
    }

    @Test func `a time namespace has its offsets`() throws {
        let world = try World()
        let outcome = try world.run("cat /proc/self/timens_offsets") { spec in
            spec.linux?.namespaces?.append(OCINamespace(.time))
            spec.linux?.timeOffsets = ["boottime": OCITimeOffset(secs: 1000)]
        }
        #expect(outcome.output.split(separator: "\n")[1].split(separator: " ") == ["boottime", "1000", "0"])
    }

    @Test func `namespaces are joined by path and by the pod's descriptors`() throws {
        let world = try World()
        let other = try World()
        try world.with { container in
            let ns = "/proc/\(container.pid)/ns/"
            let script = "for n in ipc uts net pid; do stat -L -c %i /proc/self/ns/$n; done; ps | grep -c sleep"
            let expected = try ["ipc", "uts", "net", "pid"].map { name in
                let file = try Files.open(ns + name, O_RDONLY)
                return String(try Files.status(of: file.rawValue).inode)
            }
            let uts = try Files.open(ns + "uts", O_RDONLY)
            var spec = other.spec(script)
            spec.hostname = nil
            spec.linux?.namespaces = [
                OCINamespace(.mount), OCINamespace(.ipc, path: ns + "ipc"), OCINamespace(.uts, path: "pod://uts"),
                OCINamespace(.network, path: ns + "net"), OCINamespace(.pid, path: ns + "pid"),
            ]
            let number = uts.rawValue
            let outcome = try other.run(spec) { $0.podNamespaces = [.uts: number] }
            #expect(outcome.output.split(separator: "\n").prefix(4).map(String.init) == expected)
            expectFailure(is: "namespace 'pod://uts': the pod has no uts namespace") { _ = try other.run(spec) }
        }
    }

    @Test func `masked paths read empty, read-only ones refuse writes, the root too`() throws {
        let world = try World()
        try Files.makeDirectories(world.rootfs + "/secret", mode: 0o755)
        try Files.replace(world.rootfs + "/secret/file", with: Array("x".utf8), mode: 0o644)
        try Files.replace(world.rootfs + "/single", with: Array("x".utf8), mode: 0o644)
        let outcome = try world.run(
            "ls /secret; cat /single; cat /proc/timer_list; touch /secret/new; touch /frozen/x; touch /y; echo 1 > /proc/sys/vm/swappiness"
        ) { spec in
            spec.linux?.maskedPaths = ["/secret", "/single", "/proc/timer_list", "/proc/keys", "/none"]
            spec.linux?.readonlyPaths = ["/proc/sys", "/bin", "/none"]
            spec.root?.readonly = true
        }
        #expect(
            outcome.output == """
                touch: /secret/new: Read-only file system
                touch: /frozen/x: No such file or directory
                touch: /y: Read-only file system
                sh: can't create /proc/sys/vm/swappiness: Read-only file system

                """)
    }

    @Test func `bind mounts take attributes, recursive ones and id maps`() throws {
        let world = try World()
        let source = world.folder + "/source"
        try Files.makeDirectories(source, mode: 0o755)
        try Files.replace(source + "/file", with: Array("content".utf8), mode: 0o644)
        let outcome = try world.run(
            "cat /a/file /f; touch /a/x; touch /f; stat -c %u:%g /i/file; grep ' /a ' /proc/self/mountinfo | cut -d' ' -f6"
        ) { spec in
            spec.mounts?.append(
                OCIMount(destination: "/a", source: source, options: ["rbind", "rro", "nosuid", "rprivate"]))
            spec.mounts?.append(OCIMount(destination: "/f", type: "bind", source: source + "/file", options: ["ro"]))
            var mapped = OCIMount(destination: "/i", source: source, options: ["bind", "idmap"])
            mapped.uidMappings = [OCIIDMapping(containerID: 0, hostID: 7000, size: 10)]
            mapped.gidMappings = [OCIIDMapping(containerID: 0, hostID: 8000, size: 10)]
            spec.mounts?.append(mapped)
        }
        let lines = outcome.output.split(separator: "\n").map(String.init)
        #expect(lines[0] == "contentcontenttouch: /a/x: Read-only file system")
        #expect(lines[1] == "touch: /f: Read-only file system")
        #expect(lines[2] == "7000:8000")
    }

    @Test func `limits are in the cgroup's files, and an update changes them`() throws {
        let world = try World()
        try world.with(
            "sleep 1000",
            { spec in
                var memory = OCIMemory(), cpu = OCICPU()
                memory.limit = 64 << 20
                (cpu.shares, cpu.quota, cpu.period) = (512, 20_000, 100_000)
                spec.linux?.resources?.memory = memory
                spec.linux?.resources?.cpu = cpu
                spec.linux?.resources?.pids = OCIPids(limit: 33)
            }
        ) { container in
            let stats = try container.stats()
            #expect(stats.memoryLimitBytes == 64 << 20)
            #expect(stats.pidsLimit == 33)
            let cgroup = try Cgroup(host: .current(), path: "/" + world.id)
            if !cgroup.host.isV2 {
                #expect(try Files.text((cgroup.directory(of: "cpu") ?? "") + "/cpu.shares") == "512")
                #expect(try Files.text((cgroup.directory(of: "cpu") ?? "") + "/cpu.cfs_quota_us") == "20000")
            }
            var update = OCIResources()
            update.pids = OCIPids(limit: 44)
            try container.update(update)
            #expect(try container.stats().pidsLimit == 44)
        }
    }

    @Test func `a limit without a controller is refused by its name`() throws {
        let world = try World()
        guard try !CgroupHost.current().isV2 else { return }
        let error = World.failure {
            _ = try world.run("true") { $0.linux?.resources?.unified = ["memory.high": "1"] }
        }
        #expect(error.contains("linux.resources.unified needs cgroup v2"))
    }

    @Test func `a device that no rule allows cannot be opened`() throws {
        let world = try World()
        let outcome = try world.run("cat < /dev/kmsgx; echo x > /dev/null && echo fine") { spec in
            spec.linux?.devices = [OCIDevice(path: "/dev/kmsgx", type: "c", major: 1, minor: 11, fileMode: 0o600)]
        }
        #expect(outcome.output == "sh: can't open /dev/kmsgx: Operation not permitted\nfine\n")
    }

    @Test func `a seccomp filter refuses what it names, its conditions hold together, and needs no no_new_privs`()
        throws
    {
        let world = try World()
        for noNewPrivileges in [true, false] {
            let outcome = try world.run(
                "mkdir /d; touch /t && echo touched; chmod 700 /t; chmod 711 /t; grep -E 'CapEff|Seccomp:' /proc/self/status"
            ) { spec in
                var seccomp = OCISeccomp(defaultAction: "SCMP_ACT_ALLOW")
                seccomp.architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]
                func both(_ path: String, _ mode: UInt64) -> [OCISeccompArgument] {
                    [.init(index: 0, value: 0, op: path), .init(index: 1, value: mode, op: "SCMP_CMP_EQ")]
                }
                seccomp.syscalls = [
                    OCISyscall(["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 30),
                    OCISyscall(["chmod"], action: "SCMP_ACT_ERRNO", errnoRet: 30, args: both("SCMP_CMP_NE", 0o700)),
                    OCISyscall(["chmod"], action: "SCMP_ACT_ERRNO", errnoRet: 30, args: both("SCMP_CMP_EQ", 0o711)),
                ]
                spec.linux?.seccomp = seccomp
                spec.process?.noNewPrivileges = noNewPrivileges
                spec.process?.user = OCIUser(uid: 0, gid: 0)
            }
            #expect(
                outcome.output == """
                    mkdir: can't create directory '/d': Read-only file system
                    touched
                    chmod: /t: Read-only file system
                    CapEff:\t0000000020000420
                    Seccomp:\t2

                    """)
        }
    }

    @Test func `the default profile refuses the kernel's crypto sockets and io_uring, and serves a shell`() throws {
        let world = try World()
        let script = #"""
            for my $f (2, 38, 40) { print socket(my $s, $f, 1, 0) ? "yes" : $! == 1 ? "EPERM" : $! + 0, " "; }
            syscall(425, 1, 0); print $! + 0, " "; syscall(435, 0, 0); print $! + 0, "\n";
            """#
        let outcome = try world.run("perl -e '\(script)'") { spec in
            for folder in ["/usr", "/lib", "/lib64"] {
                spec.mounts?.append(OCIMount(destination: folder, source: folder, options: ["rbind", "ro"]))
            }
            spec.linux?.seccomp = DefaultSeccomp.profile(capabilities: [], architecture: "amd64")
        }
        #expect(outcome.output == "yes EPERM EPERM 1 38\n")
    }

    @Test func `an oom score below our own is clamped and reported`() throws {
        let world = try World()
        let higher = try world.run("cat /proc/self/oom_score_adj") { $0.process?.oomScoreAdj = 500 }
        #expect(higher.output == "500\n")
        #expect(higher.warnings.isEmpty)
        let lower = try world.run("cat /proc/self/oom_score_adj") { $0.process?.oomScoreAdj = -998 }
        #expect(lower.output == "-998\n" || lower.warnings.first?.contains("oomScoreAdj -998") == true)
    }

    @Test func `scheduling, personality and affinity are as asked`() throws {
        let world = try World()
        let outcome = try world.run(
            "cat /proc/self/personality; grep Cpus_allowed_list /proc/self/status; cut -d' ' -f41 /proc/self/stat"
        ) { spec in
            spec.linux?.personality = OCIPersonality(domain: "LINUX32")
            spec.process?.scheduler = OCIScheduler(policy: "SCHED_BATCH")
            spec.process?.execCPUAffinity = OCIExecCPUAffinity()
            spec.process?.execCPUAffinity?.final = "0"
        }
        #expect(outcome.output == "00000008\nCpus_allowed_list:\t0\n3\n")
    }

    @Test func `what is not supported is refused by its name`() throws {
        let world = try World()
        func refused(_ words: String, _ change: (inout OCISpec) -> Void) {
            let error = World.failure { _ = try world.run("true", change) }
            #expect(error.contains(words))
        }
        refused("linux.intelRdt") { $0.linux?.intelRdt = OCIIntelRdt() }
        refused("linux.netDevices") { $0.linux?.netDevices = ["eth0": OCINetDevice()] }
        refused("AppArmor is not enabled") { $0.process?.apparmorProfile = "x" }
        refused("'vm.swappiness'") { $0.linux?.sysctl = ["vm.swappiness": "1"] }
        refused("mount namespace") { $0.linux?.namespaces?.removeAll { $0.type == .mount } }
        refused("tmpcopyup") { $0.mounts?.append(OCIMount(destination: "/x", type: "tmpfs", options: ["tmpcopyup"])) }
        refused("hop") { $0.mounts?.append(OCIMount(destination: "/x", source: "/tmp", options: ["bind", "hop"])) }
        refused("RLIMIT_X") { $0.process?.rlimits = [OCIRlimit(type: "RLIMIT_X", hard: 1, soft: 1)] }
    }
}
