internal import BerthBase
internal import BerthOCI
internal import BerthServices
internal import Synchronization

/// Specs of containers that were made a moment ago and will be started in the next: saves reading them back.
final class PendingSpecs: Sendable {
    /// Specs kept; a further one is read from the database when it is needed.
    static let maxSpecs = 64

    private let specs = Mutex<[ContainerID: [UInt8]]>([:])

    func keep(_ spec: [UInt8], of id: ContainerID) {
        specs.withLock { specs in
            if specs.count < Self.maxSpecs { specs[id] = spec }
        }
    }

    func take(_ id: ContainerID) -> [UInt8]? { specs.withLock { $0.removeValue(forKey: id) } }
}

/// The processes of containers in which commands were run: a probe runs every few seconds.
final class ProcessCache: Sendable {
    /// Processes kept; when it is full all go.
    static let maxProcesses = 512

    private let processes = Mutex<[ContainerID: OCIProcess]>([:])

    func process(of id: ContainerID) -> OCIProcess? { processes.withLock { $0[id] } }

    func keep(_ process: OCIProcess, of id: ContainerID) {
        processes.withLock { processes in
            if processes.count >= Self.maxProcesses { processes.removeAll() }
            processes[id] = process
        }
    }

    func forget(_ id: ContainerID) { processes.withLock { _ = $0.removeValue(forKey: id) } }
}
