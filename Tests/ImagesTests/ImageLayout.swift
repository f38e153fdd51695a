import BerthArchive
import BerthBase
import BerthDigest
import BerthOCI
import BerthSystem
import Glibc
import SystemPackage

/// An OCI image layout on disk, made by hand, so that a test can put anything into it.
struct ImageLayout {
    let folder: String

    init(_ folder: String) throws {
        self.folder = folder
        try attempting("make a layout") { () throws(Errno) in
            try Files.makeDirectories(folder + "/blobs/sha256", mode: 0o755)
            try Files.makeDirectories(folder + "/types", mode: 0o755)
        }
        try write("oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
    }

    private func write(_ name: String, _ bytes: [UInt8]) throws {
        try Files.replace(folder + "/" + name, with: bytes, mode: 0o644)
    }

    /// Adds a blob.
    func add(_ bytes: [UInt8], type: String) throws -> Descriptor {
        let digest = try ContentHash.digest(of: bytes)
        try write("blobs/sha256/\(digest.hex)", bytes)
        try write("types/\(digest.hex)", Array(type.utf8))
        return Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count))
    }

    /// Adds a layer, compressed by the program of its type.
    func layer(_ tar: [UInt8], _ compression: Compression = .gzip) throws -> (blob: Descriptor, diffID: Digest) {
        let base = "application/vnd.oci.image.layer.v1.tar"
        let diffID = try ContentHash.digest(of: tar)
        switch compression {
        case .none: return (try add(tar, type: base), diffID)
        case .gzip: return (try add(try Self.filter(tar, "gzip", "-1nc"), type: base + "+gzip"), diffID)
        case .zstd: return (try add(try Self.filter(tar, "zstd", "-qc1"), type: base + "+zstd"), diffID)
        }
    }

    private static func filter(_ bytes: [UInt8], _ words: String...) throws -> [UInt8] {
        var command = ChildProcess.Command(
            "/usr/bin/env", words, environment: ["PATH=/usr/bin:/bin"], input: bytes, deadline: .seconds(60))
        command.outputLimit = 1 << 30
        return try ChildProcess.run(command).output
    }

    /// A config for some layers.
    static func config(_ diffIDs: [Digest], architecture: String = "amd64", more: String = "") -> String {
        let texts = diffIDs.map { "\"\($0)\"" }.joined(separator: ",")
        return #"{"architecture":"\#(architecture)","os":"linux","config":{"Cmd":["/bin/sh"],"Env":["A=b"]\#(more)},"#
            + #""rootfs":{"type":"layers","diff_ids":[\#(texts)]}}"#
    }

    static func json(_ descriptor: Descriptor, more: String = "") -> String {
        #"{"mediaType":"\#(descriptor.mediaType)","digest":"\#(descriptor.digest)","size":\#(descriptor.size)\#(more)}"#
    }

    static func manifest(_ config: Descriptor, _ layers: [Descriptor], type: String = MediaType.ociManifest) -> String {
        let list = layers.map { json($0) }.joined(separator: ",")
        return #"{"schemaVersion":2,"mediaType":"\#(type)","config":\#(json(config)),"layers":[\#(list)]}"#
    }

    /// Adds config and manifest for layers.
    func image(_ layers: [(blob: Descriptor, diffID: Digest)], architecture: String = "amd64") throws -> Descriptor {
        let text = Self.config(layers.map(\.diffID), architecture: architecture)
        let config = try add(Array(text.utf8), type: MediaType.ociConfig)
        return try add(Array(Self.manifest(config, layers.map(\.blob)).utf8), type: MediaType.ociManifest)
    }

    /// Makes something the one thing that the layout is about.
    func finish(_ target: Descriptor) throws {
        try write("index.json", Array(#"{"schemaVersion":2,"manifests":[\#(Self.json(target))]}"#.utf8))
    }

    /// A layer of some text files.
    static func files(_ files: [String: String]) -> [UInt8] {
        var writer = TarWriter()
        for (name, text) in files.sorted(by: { $0.key < $1.key }) {
            if name.hasSuffix("/") {
                writer.add(TarEntry(.directory, String(name.dropLast()), mode: 0o755))
            } else {
                writer.add(TarEntry(.file, name), Array(text.utf8))
            }
        }
        return writer.finished()
    }

    /// Bytes that do not compress.
    static func noise(_ count: Int) -> [UInt8] {
        var state: UInt64 = 88_172_645_463_325_252
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            for index in 0..<count {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                buffer[index] = UInt8(truncatingIfNeeded: state)
            }
            filled = count
        }
    }
}
