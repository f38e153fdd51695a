internal import BerthBase
internal import Glibc

/// What a shim answers when it starts, and what is known of it since: the bundle's `bootstrap.json`.
package struct ShimBootstrap: Sendable, Hashable {
    /// `unix:///…`.
    package var address: String
    /// `ttrpc`; the only protocol Berth speaks to shims.
    package var protocolName: String
    /// The version of its Task service, 2 or 3.
    package var version: Int
    /// The runtime it was started for.
    package var runtime: String
    /// What it announced (`ShimCapability`); nothing for the shims of others.
    package var capabilities: Set<String> = []
    /// Its process; 0 when it is not known.
    package var pid: Int32 = 0
    /// When that process was started, in the kernel's ticks, so that a pid that came back is not taken for it.
    package var startTicks: UInt64 = 0

    /// The file's name.
    package static let file = "bootstrap.json"

    /// Reads what `start` printed: JSON of generation 3, or the bare address of generation 2.
    package init(parsing bytes: [UInt8], runtime: String) throws {
        self.runtime = runtime
        let text = String(decoding: bytes, as: UTF8.self)
        let trimmed = text.split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
        if trimmed.hasPrefix("{") {
            let json = try JSONValue(parsing: Array(trimmed.utf8))
            address = json["address"]?.string ?? ""
            protocolName = json["protocol"]?.string ?? "ttrpc"
            version = Int(json["version"]?.integer ?? 2)
        } else {
            (address, protocolName, version) = (trimmed, "ttrpc", 2)
        }
        guard address.hasPrefix("unix:///") else {
            throw BerthError(
                .internal, "start a shim for '\(runtime)': it printed '\(trimmed.prefix(200))', not an address")
        }
        guard protocolName == "ttrpc" else {
            throw BerthError(
                .unimplemented, "the shim of '\(runtime)' speaks '\(protocolName)'; Berth speaks ttrpc to shims")
        }
        guard version == 2 || version == 3 else {
            throw BerthError(
                .unimplemented, "the shim of '\(runtime)' has Task version \(version); Berth speaks 2 and 3")
        }
    }

    /// Reads a bundle's `bootstrap.json`.
    package init(record: [UInt8]) throws {
        let json = try JSONValue(parsing: record)
        address = json["address"]?.string ?? ""
        protocolName = json["protocol"]?.string ?? ""
        version = Int(json["version"]?.integer ?? 0)
        runtime = json["runtime"]?.string ?? ""
        capabilities = Set((json["capabilities"]?.array ?? []).compactMap(\.string))
        pid = Int32(clamping: json["pid"]?.integer ?? 0)
        startTicks = UInt64(clamping: json["start_ticks"]?.integer ?? 0)
        guard address.hasPrefix("unix:///"), version == 2 || version == 3 else {
            throw BerthError(.dataLoss, "the record of a shim is damaged: address '\(address)', version \(version)")
        }
    }

    /// The text of `bootstrap.json`.
    package var record: [UInt8] {
        JSONValue.object([
            "address": .string(address), "protocol": .string(protocolName), "version": .number("\(version)"),
            "runtime": .string(runtime), "capabilities": .array(capabilities.sorted().map { .string($0) }),
            "pid": .number("\(pid)"), "start_ticks": .number("\(startTicks)"),
        ]).encoded()
    }

    /// The socket's path.
    package var socketPath: String { String(address.dropFirst("unix://".count)) }

    /// The start of a process in the kernel's ticks; nil when there is none.
    package static func ticks(of pid: Int32) -> UInt64? {
        guard pid > 0, let file = fopen("/proc/\(pid)/stat", "re") else { return nil }
        defer { fclose(file) }
        var buffer = [CChar](repeating: 0, count: 2048)
        let count = fread(&buffer, 1, buffer.count, file)
        let text = String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // The name in parentheses may hold anything; after it the start time is the twentieth field.
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }
}
