import BerthAPI
import BerthBase
import BerthServices
import BerthSystem
import BerthTestSupport
import Glibc
import Testing

@testable import CRIPlugins

/// Users by name and number: what an image says is hostile, digits are never names.
@Suite struct UserTests {
    private let files = AccountFiles(
        passwd: Array(
            "root:x:0:0::/:/\nada:x:1000:1001::/:/\n1234:x:0:0::/:/\n99999999999:x:0:0::/:/\nbad:x:y:z\n".utf8),
        group: Array("root:x:0:\nada:x:1001:\naudio:x:29:ada\nwheel:x:10:root,ada\n99999999999:x:0:\n".utf8))

    private func resolve(_ text: String, _ extra: [UInt32] = [], strict: Bool = false) throws -> ResolvedUser {
        try files.resolve(AccountRequest(text), supplemental: extra, strict: strict)
    }

    @Test func `a name is looked up, its group and its memberships with it`() throws {
        #expect(try resolve("ada") == ResolvedUser(uid: 1000, gid: 1001, groups: [1001, 29, 10]))
        #expect(try resolve("ada:audio") == ResolvedUser(uid: 1000, gid: 29, groups: [29, 10]))
        #expect(try resolve("ada:5") == ResolvedUser(uid: 1000, gid: 5, groups: [5, 29, 10]))
        #expect(try resolve("0") == ResolvedUser(uid: 0, gid: 0, groups: [0, 10]))
    }

    @Test func `digits are a number even if /etc/passwd has a user of that name`() throws {
        #expect(try resolve("1234").uid == 1234)
        #expect(try resolve("1234:1234") == ResolvedUser(uid: 1234, gid: 1234, groups: [1234]))
        #expect(try resolve("1") == ResolvedUser(uid: 1, gid: 0, groups: [0]))
        #expect(try resolve("1:2") == ResolvedUser(uid: 1, gid: 2, groups: [2]))
    }

    @Test(arguments: [
        "2147483648", "4294967294", "4294967295", "4294967296", "-1", "99999999999", "99999999999999999999",
    ])
    func `a number out of range is refused, never wrapped and never a name`(_ number: String) {
        for text in [number, "\(number):0", "0:\(number)"] {
            #expect(throws: BerthError.self, "\(text)") { try resolve(text) }
        }
    }

    @Test func `the largest number is taken`() throws { #expect(try resolve("2147483647").uid == 2_147_483_647) }

    @Test(arguments: [":2", "1:", "x", "ada:nobody", "a:b:c", "ada\n", "a b"])
    func `what is no user is refused`(_ text: String) {
        #expect(throws: BerthError.self) { try resolve(text) }
    }

    @Test func `strict leaves the image's groups out, the primary group is always in`() throws {
        #expect(try resolve("ada", [7], strict: true).groups == [1001, 7])
        #expect(try resolve("ada", [7, 29], strict: false).groups == [1001, 29, 10, 7])
    }

    @Test func `a line without end is no account`() throws {
        let long = AccountFiles(passwd: [UInt8](repeating: 0x61, count: 1 << 20) + Array(":x:5:5\n".utf8), group: [])
        #expect(try long.resolve(AccountRequest("0"), supplemental: [], strict: false).groups == [0])
    }

    private func accounts(_ folder: TemporaryFolder) throws -> AccountFiles {
        let root = try Files.directory(folder.path)
        return try RootfsView.accounts(below: root.rawValue)
    }

    @Test func `account files are read in the root, whatever links say`() throws {
        let folder = try TemporaryFolder("berth-cri-accounts")
        mkdir(folder.path + "/etc", 0o755)
        symlink("/etc/hostname", folder.path + "/etc/passwd")
        #expect(try accounts(folder).passwd.isEmpty)
        try Files.replace(folder.path + "/etc/hostname", with: [1, 2], mode: 0o644)
        #expect(try accounts(folder).passwd == [1, 2])
    }

    @Test func `a FIFO, a directory and a huge file are refused at once`() throws {
        let folder = try TemporaryFolder("berth-cri-accounts")
        let group = folder.path + "/etc/group"
        mkdir(folder.path + "/etc", 0o755)
        mkfifo(group, 0o644)
        #expect(throws: BerthError.self) { try accounts(folder) }
        unlink(group)
        mkdir(group, 0o755)
        #expect(throws: BerthError.self) { try accounts(folder) }
        rmdir(group)
        try Files.replace(group, with: [], mode: 0o644)
        truncate(group, 2 << 30)
        #expect(throws: BerthError.self) { try accounts(folder) }
    }
}

@Suite struct SignalTests {
    @Test func `signals have names, numbers and real-time forms`() throws {
        #expect(try SignalName.number("SIGTERM") == 15)
        #expect(try SignalName.number("term") == 15)
        #expect(try SignalName.number("15") == 15)
        #expect(try SignalName.number("SIGRTMIN+3") == 37)
        #expect(try SignalName.number("SIGRTMAX-1") == 63)
        for bad in ["", "0", "65", "SIGNOTHING", "SIGRTMIN+40", "SIGRTMIN-1", "-9"] {
            #expect(throws: BerthError.self, "\(bad)") { try SignalName.number(bad) }
        }
        #expect(SignalName.name(of: 15) == "SIGTERM")
        #expect(SignalName.name(of: 37) == "SIGRTMIN+3")
    }

    @Test func `every signal of CRI has the name that its enum says`() throws {
        #expect(try SignalTranslation.name(.runtimeDefault).isEmpty)
        #expect(try SignalTranslation.name(.sigterm) == "SIGTERM")
        #expect(try SignalTranslation.name(.sigrtminplus3) == "SIGRTMIN+3")
        #expect(try SignalTranslation.name(.sigrtmax) == "SIGRTMAX")
        #expect(try SignalTranslation.name(.sigrtmaxminus1) == "SIGRTMAX-1")
        #expect(SignalTranslation.signal("SIGTERM") == .sigterm)
    }
}
