internal import BerthBase
internal import BerthOCI
internal import BerthServices

/// Writes the rows of blobs for one pull.
struct BlobRecorder: Sendable {
    let reference: ImageReference
    let lease: PullLease
    let metadata: any MetadataStore

    /// Makes a blob visible in the namespace, held by the lease. Labels that it has stay; where it comes from is added.
    func record(_ blobs: [(descriptor: Descriptor, labels: [String: String])], durability: CommitDurability)
        async throws
    {
        let (lease, source) = (lease.id, reference)
        let namespace = self.lease.namespace
        try await metadata.write(durability: durability) { writer in
            for (descriptor, labels) in blobs {
                try Self.put(descriptor, labels, source, writer, namespace)
                try writer.addResource(.content(descriptor.digest), to: lease, in: namespace)
            }
        }
    }

    static func put(
        _ descriptor: Descriptor, _ labels: [String: String], _ source: ImageReference, _ writer: any MetadataWriter,
        _ namespace: NamespaceID
    ) throws {
        let before = try? writer.blob(descriptor.digest, in: namespace)
        var record = before ?? BlobRecord(digest: descriptor.digest, size: descriptor.size)
        record.labels.merge(labels) { _, new in new }
        let key = GCLabel.source(source.domain)
        // Repositories the blob is known to be in, as containerd lists them.
        var repositories = record.labels[key]?.split(separator: ",").map(String.init) ?? []
        if !repositories.contains(source.path) { repositories.append(source.path) }
        let text = repositories.sorted().joined(separator: ",")
        // A label has a limit; a blob of very many repositories keeps those it has.
        if key.utf8.count + text.utf8.count < 4000 { record.labels[key] = text }
        guard record.labels != before?.labels || before == nil else { return }
        try writer.putBlob(record, in: namespace)
    }
}
