package import BerthKernel

extension [Plugin] {
    /// The plugins that store layers.
    package static var snapshotterPlugins: [Plugin] { [.overlaySnapshotter, .nativeSnapshotter] }
}
