/// The media types of images. Sources: OCI image spec, "Media Types"; docker's image manifest, version 2, schema 2.
package enum MediaType {
    package static let ociIndex = "application/vnd.oci.image.index.v1+json"
    package static let ociManifest = "application/vnd.oci.image.manifest.v1+json"
    package static let ociConfig = "application/vnd.oci.image.config.v1+json"
    package static let dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
    package static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    package static let dockerConfig = "application/vnd.docker.container.image.v1+json"

    package static func isIndex(_ type: String) -> Bool { type == ociIndex || type == dockerList }
    package static func isManifest(_ type: String) -> Bool { type == ociManifest || type == dockerManifest }
    package static func isConfig(_ type: String) -> Bool { type == ociConfig || type == dockerConfig }

    /// Docker's first schema, signed or not: it has no digests of what is unpacked.
    package static func isSchema1(_ type: String) -> Bool {
        type.hasPrefix("application/vnd.docker.distribution.manifest.v1+")
    }

    /// Layers that their makers do not let registries keep; they come from the descriptor's URLs.
    package static func isForeignLayer(_ type: String) -> Bool {
        type.contains(".nondistributable.") || type.contains(".foreign.")
    }
}
