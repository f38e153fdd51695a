internal import BerthBase
internal import BerthOCI
internal import BerthServices

extension LocalPodEngine {
    func inspect(_ id: String, in namespace: NamespaceID) async throws -> [UInt8] {
        if let row = try await foundContainer(ContainerID(id), in: namespace) { return try await inspect(row) }
        if let row = try await foundPod(PodID(id), in: namespace) { return try inspect(row) }
        throw BerthError(.notFound, "there is no container and no pod '\(id)'")
    }

    private func inspect(_ row: ContainerRow) async throws -> [UInt8] {
        var fields: [String: JSONValue] = [
            "id": .string(row.id.rawValue), "namespace": .string(row.namespace.rawValue), "kind": .string("container"),
            "state": .string(row.state.rawValue),
            "origin": try JSONValue(parsing: OCIJSON.encode(row.origin)),
            "status": try JSONValue(parsing: OCIJSON.encode(row.status)),
        ]
        if let spec = try? await rows.spec(of: row) { fields["spec"] = try JSONValue(parsing: spec) }
        return JSONValue.object(fields).encoded()
    }

    private func inspect(_ row: PodRow) throws -> [UInt8] {
        var fields: [String: JSONValue] = [
            "id": .string(row.id.rawValue), "namespace": .string(row.namespace.rawValue), "kind": .string("pod"),
            "state": .string(row.info.state.rawValue),
            "origin": try JSONValue(parsing: OCIJSON.encode(row.origin)),
            "status": try JSONValue(parsing: OCIJSON.encode(row.status)),
            "files": .string(files.paths(of: row.id).directory),
            "containers": .array(table.containers(of: row.id).map { .string($0.id.rawValue) }),
        ]
        if let network = try? JSONValue(parsing: Array(row.status.networkResult.utf8)) { fields["network"] = network }
        return JSONValue.object(fields).encoded()
    }
}
