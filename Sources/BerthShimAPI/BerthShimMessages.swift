package import BerthBase

/// What Berth's own shims can do beyond containerd's services. A shim announces what it has by `Capabilities`; one
/// that answers `unimplemented` has nothing of it.
///
/// ```proto
/// syntax = "proto3";
/// package berth.shim.v1;
///
/// service Shim {
///   rpc Capabilities(CapabilitiesRequest) returns (CapabilitiesResponse);
///   // Output comes in data frames as it is read, each an ExecSyncOutput; the answer ends it. The call's own
///   // timeout is longer than the process's. After its exit, output is drained for at most two seconds.
///   rpc ExecSync(ExecSyncRequest) returns (stream ExecSyncOutput, then ExecSyncResponse);
///   rpc ReopenLog(ReopenLogRequest) returns (google.protobuf.Empty);
///   // The exits of init processes of tasks that are not deleted yet, those with a sequence above `after`.
///   // With `wait` an answer without any is held back until there is one.
///   rpc Exits(ExitsRequest) returns (ExitsResponse);
/// }
///
/// message CapabilitiesRequest {}
/// message CapabilitiesResponse { string version = 1; uint32 pid = 2; repeated string capabilities = 3; }
/// message ExecSyncRequest {
///   string id = 1;            // the container
///   bytes process = 2;        // an OCI process, JSON
///   int64 timeout_nano = 3;   // 0: none; then the process and its descendants are killed
///   uint64 limit = 4;         // bytes kept of each stream; what is beyond is read and dropped
/// }
/// message ExecSyncOutput { bytes stdout = 1; bytes stderr = 2; }
/// message ExecSyncResponse { int32 exit_code = 1; bool truncated = 2; }
/// message ReopenLogRequest { string id = 1; }
/// message ExitsRequest { uint64 after = 1; bool wait = 2; }
/// message ExitsResponse { repeated Exit exits = 1; }
/// message Exit {
///   uint64 sequence = 1; string container_id = 2; string exec_id = 3; uint32 pid = 4; uint32 exit_status = 5;
///   google.protobuf.Timestamp exited_at = 6; bool oom_killed = 7;
/// }
/// ```
package enum BerthShimService {
    package static let name = "berth.shim.v1.Shim"
}

/// The capabilities a shim can announce.
package enum ShimCapability {
    package static let execSync = "exec-sync"
    /// `cri:///path` as standard output: the shim writes the CRI log itself.
    package static let criLog = "cri-log"
    package static let reopenLog = "reopen-log"
    package static let exits = "exits"
    package static let sandbox = "sandbox"
}

package struct ShimCapabilitiesRequest: WireMessage {
    package static var messageName: String { "berth.shim.v1.CapabilitiesRequest" }

    package init() {}
    package mutating func code(_ wire: inout WireCoder) throws {}
}

package struct ShimCapabilitiesResponse: WireMessage {
    package static var messageName: String { "berth.shim.v1.CapabilitiesResponse" }
    package var version = ""
    package var pid: UInt32 = 0
    package var capabilities: [String] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &version)
        try wire.field(2, &pid)
        try wire.field(3, &capabilities)
    }
}

package struct ExecSyncRequest: WireMessage {
    package static var messageName: String { "berth.shim.v1.ExecSyncRequest" }
    package var id = ""
    package var process: [UInt8] = []
    package var timeoutNano: Int64 = 0
    package var limit: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &process)
        try wire.field(3, &timeoutNano)
        try wire.field(4, &limit)
    }
}

package struct ExecSyncOutput: WireMessage {
    package static var messageName: String { "berth.shim.v1.ExecSyncOutput" }
    package var stdout: [UInt8] = []
    package var stderr: [UInt8] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &stdout)
        try wire.field(2, &stderr)
    }
}

package struct ExecSyncResponse: WireMessage {
    package static var messageName: String { "berth.shim.v1.ExecSyncResponse" }
    package var exitCode: Int32 = 0
    package var truncated = false

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &exitCode)
        try wire.field(2, &truncated)
    }
}

package struct ReopenLogRequest: WireMessage {
    package static var messageName: String { "berth.shim.v1.ReopenLogRequest" }
    package var id = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
    }
}

package struct ShimExitsRequest: WireMessage {
    package static var messageName: String { "berth.shim.v1.ExitsRequest" }
    package var after: UInt64 = 0
    package var wait = false

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &after)
        try wire.field(2, &wait)
    }
}

package struct ShimExit: WireMessage {
    package static var messageName: String { "berth.shim.v1.Exit" }
    /// Counts from 1 in the shim's life.
    package var sequence: UInt64 = 0
    package var containerID = ""
    /// Empty: the container's init process.
    package var execID = ""
    package var pid: UInt32 = 0
    package var exitStatus: UInt32 = 0
    package var exitedAt: Timestamp?
    package var oomKilled = false

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sequence)
        try wire.field(2, &containerID)
        try wire.field(3, &execID)
        try wire.field(4, &pid)
        try wire.field(5, &exitStatus)
        try wire.field(6, &exitedAt)
        try wire.field(7, &oomKilled)
    }
}

package struct ShimExitsResponse: WireMessage {
    package static var messageName: String { "berth.shim.v1.ExitsResponse" }
    package var exits: [ShimExit] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &exits)
    }
}
