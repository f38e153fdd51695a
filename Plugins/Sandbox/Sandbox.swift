package import BerthKernel

extension [Plugin] {
    /// The plugins that run sandboxes.
    package static var sandboxPlugins: [Plugin] { [.podSandbox] }
}
