public import BerthKernel
internal import CRIPlugins
internal import ContentPlugins
internal import ImagesPlugins
internal import MetadataPlugins
internal import NetworkPlugins
internal import SandboxPlugins
internal import ServersPlugins
internal import SnapshottersPlugins
internal import TasksPlugins

extension [Plugin] {
    /// Every plugin in tree. A daemon of one's own adds to it: `Daemon.main(plugins: .builtins + [.mine])`.
    public static var builtins: [Plugin] {
        contentPlugins + snapshotterPlugins + metadataPlugins + imagePlugins + networkPlugins + taskPlugins
            + sandboxPlugins + criPlugins + serverPlugins
    }
}
