import BerthBase
import Testing

@testable import BerthShim

@Suite struct StartTests {
    @Test func `containerd's command line is understood`() throws {
        let words = [
            "-namespace", "default", "-address", "/run/c.sock", "-publish-binary", "/usr/bin/containerd", "-id=x",
            "-debug",
            "start",
        ]
        let arguments = try ShimArguments(words)
        #expect(arguments.action == .start && arguments.namespace == "default" && arguments.id == "x")
        #expect(arguments.address == "/run/c.sock" && arguments.publisher == "/usr/bin/containerd" && arguments.debug)
        #expect(try ShimArguments(["-v"]).action == .version)
        #expect(try ShimArguments(["-info"]).action == .info)
    }

    @Test(arguments: [
        (["start"], "-namespace is missing"), (["-namespace", "n", "delete"], "-id is missing"),
        (["-nonsense", "1", "start"], "unknown option '-nonsense'"), (["-id"], "option '-id' needs a value"),
        (["-id", "x", "stop"], "unknown action 'stop': it is start or delete"),
        ([], "no action: this program is started by containerd or berthd (start, delete)"),
    ])
    func `a wrong command line is refused by name`(words: [String], message: String) {
        #expect { try ShimArguments(words) } throws: { "\($0)" == message }
    }

    @Test func `annotations are found in a specification without decoding it`() {
        let json = #"""
            {"ociVersion":"1.0","process":{"env":["A=\"io.kubernetes.cri.sandbox-id\":\"no\"","B=}"],"args":[]},
             "annotations" : { "x": "y", "io.kubernetes.cri.sandbox-id" : "pod1" }, "linux":{"n":[{},[1,2]]}}
            """#
        let found = AnnotationScanner.find(StartCommand.groupAnnotations, in: Array(json.utf8))
        #expect(found == ["io.kubernetes.cri.sandbox-id": "pod1"])
    }

    @Test(arguments: ["", "[]", "{", #"{"annotations":"#, #"{"annotations":{"a"}}"#, #"{"a":1,}"#])
    func `a broken specification has no annotations`(json: String) {
        #expect(AnnotationScanner.find(["a"], in: Array(json.utf8)).isEmpty)
    }

    @Test func `sockets differ by daemon, namespace and group and fit into an address`() {
        let one = ShimSocket(address: "/a", namespace: "n", group: "g").path
        #expect(one != ShimSocket(address: "/b", namespace: "n", group: "g").path)
        #expect(one != ShimSocket(address: "/a", namespace: "m", group: "g").path)
        #expect(one != ShimSocket(address: "/a", namespace: "n", group: "h").path)
        #expect(one == ShimSocket(address: "/a", namespace: "n", group: "g").path && one.utf8.count < 108)
    }

    @Test func `streams are read as clients name them`() throws {
        #expect(try StreamTarget("") == .null)
        #expect(try StreamTarget("/run/fifo") == .fifo("/run/fifo"))
        #expect(try StreamTarget("file:///tmp/a%20b") == .file("/tmp/a b"))
        #expect(try StreamTarget("cri:///var/log/pods/x/0.log") == .criLog("/var/log/pods/x/0.log"))
        #expect(
            try StreamTarget("binary:///bin/logger?-f=x%3Dy&flag")
                == .logger(path: "/bin/logger", arguments: ["-f", "x=y", "flag"]))
    }

    @Test(arguments: ["relative", "https://x/y", "cri://relative"])
    func `other streams are refused`(text: String) {
        #expect(throws: BerthError.self) { try StreamTarget(text) }
    }
}
