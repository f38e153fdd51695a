internal import BerthBase
internal import BerthServices

/// One half of `USER[:GROUP]`.
enum AccountName: Sendable, Hashable {
    /// Digits are a number, whatever /etc/passwd says (CVE-2016-3697, CVE-2026-46680).
    case number(UInt32)
    case name(String)

    /// The largest ID: what Kubernetes allows, and what fits a signed number everywhere (CVE-2024-40635).
    static let maxID: Int64 = 0x7fff_ffff

    /// - Throws: `invalidArgument` for an empty one, a control character, or a number out of range.
    init(_ text: Substring, of whole: String) throws {
        guard !text.isEmpty else { throw BerthError(.invalidArgument, "user '\(whole)': a part is empty") }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw BerthError(.invalidArgument, "user '\(whole)' has a space or a control character")
        }
        let digits = text.first == "-" ? text.dropFirst() : text
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            self = .name(String(text))
            return
        }
        guard let number = Int64(text), (0...Self.maxID).contains(number), let id = UInt32(exactly: number) else {
            throw BerthError(.invalidArgument, "user '\(whole)': \(text) is not between 0 and \(Self.maxID)")
        }
        self = .number(id)
    }
}

/// A user as it was asked for, parsed whole (CVE-2026-30892).
struct AccountRequest: Sendable, Hashable {
    var user: AccountName
    var group: AccountName?

    init(user: AccountName, group: AccountName? = nil) {
        self.user = user
        self.group = group
    }

    /// Parses `USER[:GROUP]`.
    init(_ text: String) throws {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { throw BerthError(.invalidArgument, "user '\(text)' is not USER[:GROUP]") }
        user = try AccountName(parts[0], of: text)
        group = parts.count == 2 ? try AccountName(parts[1], of: text) : nil
    }

    /// What a container asks for, given what its image says.
    init(_ choice: ContainerUser, image: String) throws {
        switch choice {
        case .image: self = image.isEmpty ? AccountRequest(user: .number(0)) : try AccountRequest(image)
        case .named(let text): try self.init(text)
        case .ids(let uid, let gid): self.init(user: .number(uid), group: gid.map { .number($0) })
        }
    }
}

/// The result: numbers.
struct ResolvedUser: Sendable, Hashable, Codable {
    var uid: UInt32
    var gid: UInt32
    /// The primary group first, always (CVE-2023-25173).
    var groups: [UInt32]
}

/// /etc/passwd and /etc/group of a root file system, as far as one user needs them.
struct AccountFiles: Sendable {
    var passwd: [UInt8]
    var group: [UInt8]

    /// Longer lines are no accounts (CVE-2026-47262).
    static let maxLine = 64 << 10

    /// Resolves names and adds groups. `strict` leaves out the groups that /etc/group gives the user.
    /// - Throws: `invalidArgument` for a user or group that is not there.
    func resolve(_ request: AccountRequest, supplemental: [UInt32], strict: Bool) throws -> ResolvedUser {
        let entry = try findUser(request.user)
        let uid: UInt32
        switch request.user {
        case .number(let number): uid = number
        case .name(let name):
            guard let entry else {
                throw BerthError(.invalidArgument, "user '\(name)' is not in the image's /etc/passwd")
            }
            uid = entry.uid
        }
        var gid = entry?.gid ?? 0
        switch request.group {
        case nil: break
        case .number(let number): gid = number
        case .name(let name): gid = try findGroup(name)
        }
        var groups = [gid]
        if !strict, let name = entry?.name { groups += try memberships(of: name) }
        groups += supplemental
        var seen: Set<UInt32> = []
        return ResolvedUser(uid: uid, gid: gid, groups: groups.filter { seen.insert($0).inserted })
    }

    private struct Entry {
        var name: String
        var uid: UInt32
        var gid: UInt32
    }

    private func findUser(_ wanted: AccountName) throws -> Entry? {
        for fields in Self.lines(passwd) where fields.count >= 4 {
            guard let uid = Self.id(fields[2]), let gid = Self.id(fields[3]), !fields[0].isEmpty else { continue }
            switch wanted {
            case .number(let number): guard uid == number else { continue }
            case .name(let name): guard fields[0] == name else { continue }
            }
            return Entry(name: fields[0], uid: uid, gid: gid)
        }
        return nil
    }

    private func findGroup(_ name: String) throws -> UInt32 {
        for fields in Self.lines(group) where fields.count >= 3 && fields[0] == name {
            if let id = Self.id(fields[2]) { return id }
        }
        throw BerthError(.invalidArgument, "group '\(name)' is not in the image's /etc/group")
    }

    private func memberships(of name: String) throws -> [UInt32] {
        Self.lines(group).compactMap { fields in
            guard fields.count >= 4, fields[3].split(separator: ",").contains(Substring(name)) else { return nil }
            return Self.id(fields[2])
        }
    }

    private static func id(_ text: String) -> UInt32? {
        guard let number = Int64(text), (0...AccountName.maxID).contains(number) else { return nil }
        return UInt32(exactly: number)
    }

    private static func lines(_ bytes: [UInt8]) -> some Sequence<[String]> {
        bytes.split(separator: 0x0a).lazy
            .filter { $0.count <= maxLine && $0.first != UInt8(ascii: "#") }
            .map { line in
                line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
                    .map { String(decoding: $0, as: UTF8.self) }
            }
    }
}
