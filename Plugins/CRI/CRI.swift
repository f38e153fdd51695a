package import BerthKernel

extension [Plugin] {
    /// The plugins of this family.
    package static var criPlugins: [Plugin] { [.localPods, .criRPC] }
}
