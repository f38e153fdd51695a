package import BerthKernel

extension [Plugin] {
    /// The plugins that run tasks.
    package static var taskPlugins: [Plugin] { [.localShims, .shimTasks, .ttrpcServer] }
}
