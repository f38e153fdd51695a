package import BerthKernel

extension [Plugin] {
    /// The plugins that connect pods.
    package static var networkPlugins: [Plugin] { [.cniNetwork] }
}
