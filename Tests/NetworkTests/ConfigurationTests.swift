import BerthBase
import BerthServices
import BerthKernel
import BerthSystem
import BerthTestSupport
import SystemPackage
import Testing

@testable import NetworkPlugins

@Suite(.enabled(if: isRoot, "pod networks need root")) struct ConfigurationTests {
    @Test func `the first valid file in name order is the pods' network`() async throws {
        let world = try World()
        try world.addPlugin("one")
        try world.addPlugin("two")
        try world.addNetwork("20-b.conflist", plugins: ["two"])
        try world.write("conf/10-a.conf", #"{"cniVersion":"0.4.0","name":"a","type":"one"}"#)
        try world.write("conf/05-no.txt", "not looked at")
        try world.write("conf/00-lo.conf", #"{"cniVersion":"1.0.0","name":"lo","type":"loopback"}"#)
        try await world.with { network in
            try await world.connect(World.pod(), network)
            #expect(world.calls.map { $0.split(separator: " ")[1] } == ["one"])
        }
    }

    @Test func `a change of the files is followed without a restart`() async throws {
        let world = try World()
        try world.addPlugin("one")
        try world.addPlugin("two")
        try await world.with { network in
            #expect(await network.notReadyReason()?.contains("no CNI configuration in") == true)
            let refused = await failure { try await world.connect(World.pod(), network) }
            #expect(refused.code == .unavailable)
            try world.addNetwork("20-b.conflist", plugins: ["two"])
            #expect(await network.notReadyReason() == nil)
            try await world.connect(World.pod(), network)
            try world.addNetwork("10-a.conflist", plugins: ["one"])
            try await world.connect(World.pod(), network)
            #expect(world.calls.map { $0.split(separator: " ")[1] } == ["two", "one"])
        }
    }

    @Test func `a broken file is left out and told about`() async throws {
        let world = try World()
        try world.addPlugin("two")
        try world.write("conf/10-a.conflist", #"{"cniVersion":"1.0.0","name":"#)
        try await world.with { network in
            let reason = await network.notReadyReason()
            #expect(reason?.contains("10-a.conflist") == true)
            try world.addNetwork("20-b.conflist", plugins: ["two"])
            #expect(await network.notReadyReason() == nil)
            #expect(await network.complaint()?.contains("10-a.conflist") == true)
        }
    }

    @Test(arguments: [
        (#"{"cniVersion":"1.0.0","name":"n","type":"../../bin/sh"}"#, "must be a file name, not a path"),
        (#"{"cniVersion":"1.0.0","name":"n","type":".."}"#, "must be a file name, not a path"),
        (#"{"cniVersion":"9.0.0","name":"n","type":"one"}"#, "cniVersion '9.0.0' is none of"),
        (#"{"cniVersion":"1.0.0","name":"a/b","type":"one"}"#, "'name' must be letters"),
        (#"{"cniVersion":"1.0.0","name":"n","plugins":[]}"#, "'plugins' must be a list of plugins"),
        (#"{"cniVersion":"1.0.0","name":"n","plugins":[{}]}"#, "a plugin has no 'type'"),
        (#"[]"#, "it is no JSON object"),
    ])
    func `a wrong configuration is refused with its file and what is wrong`(_ text: String, _ words: String) throws {
        do {
            _ = try NetworkConfiguration(file: "/etc/cni/net.d/10-x.conf", bytes: Array(text.utf8))
            Issue.record("it was taken")
        } catch let error as BerthError {
            #expect(error.code == .invalidArgument)
            #expect(error.message.contains("/etc/cni/net.d/10-x.conf"))
            #expect(error.message.contains(words))
        }
    }

    @Test func `of several versions the highest known is spoken`() throws {
        let text = #"{"cniVersion":"0.4.0","cniVersions":["0.4.0","1.0.0","7.0.0"],"name":"n","plugins":[{"type":"x"}]}"#
        #expect(try NetworkConfiguration(file: "f", bytes: Array(text.utf8)).cniVersion == "1.0.0")
    }

    @Test func `a file larger than the limit is refused`() async throws {
        let world = try World()
        let filler = String(repeating: " ", count: ConfigurationLoader.maxBytes)
        try world.write("conf/10-a.conf", #"{"cniVersion":"1.0.0","name":"n","type":"one"}"# + filler)
        try await world.with { network in
            #expect(await network.notReadyReason()?.contains("is larger than") == true)
        }
    }

    @Test func `capabilities go only to plugins that declare them`() async throws {
        let world = try World()
        try world.addPlugin("one")
        try world.addPlugin("two")
        try world.write(
            "conf/10-a.conflist",
            """
            {"cniVersion":"1.0.0","name":"n","plugins":[{"type":"one","capabilities":{"portMappings":true,"dns":false}},
             {"type":"two","capabilities":{"bandwidth":true,"dns":true,"cgroupPath":true,"ipRanges":true}}]}
            """)
        try await world.with { network in
            try await network.setPodCIDR("10.77.0.0/24,fd00::/64")
            try await world.connect(World.pod(), network) { request in
                request.portMappings = [
                    PortMapping(transport: "TCP", containerPort: 80, hostPort: 8080),
                    PortMapping(transport: "udp", containerPort: 53, hostPort: 0),
                ]
                request.ingressRate = 1000
                request.dnsServers = ["10.0.0.10"]
                request.cgroupPath = "/pods/x"
                request.arguments = ["K8S_POD_NAME": "web"]
            }
        }
        let one = try JSONValue(parsing: Array(world.read("input.one.ADD").utf8))
        let two = try JSONValue(parsing: Array(world.read("input.two.ADD").utf8))
        #expect(one["name"]?.string == "n" && one["cniVersion"]?.string == "1.0.0" && one["capabilities"] == nil)
        #expect(one["prevResult"] == nil && two["prevResult"]?["ips"]?.array?.count == 2)
        #expect(
            one["runtimeConfig"]?.encoded() == Array(
                #"{"portMappings":[{"containerPort":80,"hostIP":"","hostPort":8080,"protocol":"tcp"}]}"#.utf8))
        #expect(Set(two["runtimeConfig"]?.object?.keys.map { $0 } ?? []) == ["bandwidth", "dns", "cgroupPath", "ipRanges"])
        #expect(two["runtimeConfig"]?["bandwidth"]?.object?.keys.sorted() == ["ingressBurst", "ingressRate"])
        #expect(two["runtimeConfig"]?["ipRanges"]?.array?.count == 2)
        let environment = world.read("env.one.ADD")
        #expect(environment.contains("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=web\n"))
        #expect(environment.contains("CNI_IFNAME=eth0\n"))
    }

    @Test func `a pod name cannot add a CNI argument`() async throws {
        let world = try World()
        try world.addPlugin("one")
        try world.addNetwork(plugins: ["one"])
        try await world.with { network in
            let refused = await failure {
                try await world.connect(World.pod(), network) { $0.arguments = ["K8S_POD_NAME": "x;K8S_POD_NAMESPACE=y"] }
            }
            #expect(refused.code == .invalidArgument)
            #expect(world.calls.isEmpty)
        }
    }

    @Test func `the page lists every key`() throws {
        let page = try Files.text(sourceRoot + "/docs/plugins/network.cni.md")
        for key in CNIConfig.keys { #expect(page.contains("`\(key.name)`"), "\(key.name)") }
    }

    private var sourceRoot: String { String(#filePath.dropLast("/Tests/NetworkTests/ConfigurationTests.swift".count)) }
}
