import BerthBase
import BerthServices
import BerthKernel
import BerthSystem
import BerthTestSupport
import Glibc
import SystemPackage
import Testing

@testable import NetworkPlugins

/// Debian's plugins, in a network namespace that stands for the node's.
@Suite(.enabled(if: isRoot && access("/usr/lib/cni/bridge", X_OK) == 0, "needs root and containernetworking-plugins"))
struct RealPluginTests {
    private func world(_ chained: String = "") throws -> World {
        let world = try World()
        try world.useRealPlugins()
        try world.write(
            "conf/10-bridge.conflist",
            """
            {"cniVersion":"1.0.0","name":"real","plugins":[
              {"type":"bridge","bridge":"br0","isGateway":true,"ipMasq":false,
               "ipam":{"type":"host-local","dataDir":"\(world.folder.path)/ipam","ranges":[[{"subnet":"10.88.0.0/24"}]]}}
              \(chained)]}
            """)
        return world
    }

    private func leases(_ world: World) throws -> [String] {
        try Files.names(in: world.folder.path + "/ipam/real").filter { $0.hasPrefix("10.") }
    }

    @Test func `bridge and host-local connect pods that reach each other`() async throws {
        let world = try world()
        let (first, second) = (World.pod(), World.pod())
        try await world.with { network in
            let one = try await world.connect(first, network)
            let two = try await world.connect(second, network)
            #expect(one.addresses == ["10.88.0.2"] && two.addresses == ["10.88.0.3"])
            let ping = try world.inside(
                world.folder.path + "/netns/berth-\(first)",
                "/bin/busybox ping -c 1 -W 5 10.88.0.3 && /bin/busybox ping -c 1 -W 5 127.0.0.1")
            #expect(ping.status == 0, "\(ping.output)")
            try await network.check(pod: first)
            // CHECK tells when somebody takes the interface away.
            _ = try world.inside(world.folder.path + "/netns/berth-\(first)", "ip link del eth0")
            let broken = await failure { try await network.check(pod: first) }
            #expect(broken.message.contains("CHECK failed"))
            for pod in [first, second] { try await network.detach(pod: pod, patience: .seconds(20)) }
            #expect(await network.pendingTeardowns().isEmpty)
        }
        #expect(try leases(world).isEmpty)
        #expect(try world.inside(world.node, "ip -o link show type veth").output.isEmpty)
        #expect(try Files.names(in: world.folder.path + "/netns") == ["node"])
    }

    @Test func `portmap and bandwidth get what the pod asks for and leave nothing`() async throws {
        let world = try world(
            #","# + #"{"type":"portmap","snat":true,"capabilities":{"portMappings":true}},"#
                + #"{"type":"bandwidth","capabilities":{"bandwidth":true}}"#)
        let pod = World.pod()
        try await world.with { network in
            try await world.connect(pod, network) { request in
                request.portMappings = [PortMapping(transport: "tcp", containerPort: 80, hostPort: 18080)]
                request.ingressRate = 1_000_000
                request.egressRate = 1_000_000
            }
            let rules = try world.inside(world.node, "iptables-save -t nat").output
            #expect(rules.contains("--dport 18080") && rules.contains("10.88.0.2:80"))
            #expect(try world.inside(world.node, "tc qdisc show").output.contains("tbf"))
            try await network.detach(pod: pod, patience: .seconds(20))
        }
        #expect(try !world.inside(world.node, "iptables-save -t nat").output.contains("18080"))
        #expect(try world.inside(world.node, "ip -o link show type ifb").output.isEmpty)
        #expect(try leases(world).isEmpty)
    }

    @Test func `an address is given back although the namespace has gone`() async throws {
        let world = try world()
        let pod = World.pod()
        try await world.with { network in
            try await world.connect(pod, network)
            #expect(try leases(world) == ["10.88.0.2"])
            // A reboot takes the mount and may leave the file.
            let path = world.folder.path + "/netns/berth-\(pod)"
            try NamespaceFiles.remove(path)
            try world.write("netns/berth-\(pod)", "")
            try await network.detach(pod: pod, patience: .seconds(20))
            #expect(await network.pendingTeardowns().isEmpty)
        }
        #expect(try leases(world).isEmpty)
        #expect(try Files.names(in: world.folder.path + "/netns") == ["node"])
    }

    @Test func `a pod's user namespace owns its network namespace`() async throws {
        let world = try world()
        let pod = World.pod()
        try await world.with { network in
            let map = [IDMapping(containerID: 0, hostID: 200_000, size: 65536)]
            let user = try await network.makeUserNamespace(pod: pod, uids: map, gids: map)
            let netns = try await network.makeNamespace(pod: pod, userns: user)
            let result = try await network.attach(PodNetworkRequest(pod: pod, netns: netns.string))
            #expect(result.addresses == ["10.88.0.2"])
            // Its loopback is up, and its owner is the pod's user namespace: NS_GET_USERNS is ioctl 0xb701.
            let lo = try world.inside(netns.string, "ip -o addr show lo").output
            #expect(lo.contains("127.0.0.1"))
            let net = try Files.open(netns.string, O_RDONLY)
            let owner = OwnedFD(ioctl(net.rawValue, 0xb701, 0))
            let expected = try Files.status(user.string)
            #expect(try Files.status(of: owner.rawValue).inode == expected.inode)
            try await network.detach(pod: pod, patience: .seconds(20))
        }
        #expect(try Files.names(in: world.folder.path + "/netns") == ["node"])
    }

    @Test func `many pods at once get addresses of their own`() async throws {
        let world = try world()
        let pods = (0..<12).map { _ in World.pod() }
        try await world.with { network in
            let addresses = try await withThrowingTaskGroup(of: [String].self) { group in
                for pod in pods { group.addTask { try await world.connect(pod, network).addresses } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(Set(addresses).count == pods.count)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for pod in pods { group.addTask { try await network.detach(pod: pod, patience: .seconds(30)) } }
                try await group.waitForAll()
            }
            try await eventually("all are torn down") { await network.pendingTeardowns().isEmpty }
        }
        #expect(try leases(world).isEmpty)
        #expect(try Files.names(in: world.folder.path + "/netns") == ["node"])
    }
}
