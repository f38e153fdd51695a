internal import BerthBase
internal import BerthServices
internal import BerthSystem
internal import SystemPackage

/// The files that keep the pods' namespaces.
struct PodNamespaces: Sendable {
    /// The kinds that are made before the shim.
    enum Kind: String { case network = "net", user }

    let directory: FilePath

    /// `/run/netns/berth-<pod>`, and `…-user` beside it.
    func path(of pod: PodID, kind: Kind) -> FilePath {
        directory.appending(kind == .network ? "berth-\(pod)" : "berth-\(pod)-user")
    }

    func makeNetwork(pod: PodID, userns: FilePath?) async throws -> FilePath {
        let path = path(of: pod, kind: .network)
        let user = userns?.string
        try await Blocking.run { try NamespaceFiles.makeNetwork(at: path.string, userns: user) }
        return path
    }

    func makeUser(pod: PodID, uids: [IDMapping], gids: [IDMapping]) async throws -> FilePath {
        func lines(_ maps: [IDMapping]) -> [NamespaceFiles.MapLine] {
            maps.map { ($0.containerID, $0.hostID, $0.size) }
        }
        let path = path(of: pod, kind: .user)
        let (uidLines, gidLines) = (lines(uids), lines(gids))
        try await Blocking.run { try NamespaceFiles.makeUser(at: path.string, uids: uidLines, gids: gidLines) }
        return path
    }

    /// Removes whatever there is of the pod's.
    func remove(pod: PodID) async throws {
        let paths = [path(of: pod, kind: .network).string, path(of: pod, kind: .user).string]
        try await Blocking.run { for path in paths { try NamespaceFiles.remove(path) } }
    }
}
