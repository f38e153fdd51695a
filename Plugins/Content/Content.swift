package import BerthKernel

extension [Plugin] {
    /// The stores of blobs.
    package static var contentPlugins: [Plugin] { [.localContent] }
}
