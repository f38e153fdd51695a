internal import BerthBase
internal import BerthRuntime
internal import BerthSystem
internal import SystemPackage

/// Hears when memory runs out in a container's cgroup.
final class OOMWatch {
    private let loop: EventLoop
    private let descriptor: OwnedBox
    private let container: Container
    private var known: UInt64 = 0
    private let report: () -> Void

    /// nil if the host's cgroups tell nothing of memory.
    init?(_ container: Container, loop: EventLoop, report: @escaping () -> Void) {
        guard let opened = try? container.watchMemory() else { return nil }
        self.loop = loop
        self.container = container
        self.report = report
        descriptor = OwnedBox(opened)
        guard (try? loop.watch(descriptor.number, .input, { [unowned self] _ in look() })) != nil else { return nil }
    }

    deinit { loop.forget(descriptor.number) }

    /// Reports kills that were not reported yet. The descriptor also wakes for changes that are none.
    func look() {
        _ = try? LocalSocket.receive(descriptor.number, limit: 4096)
        guard let kills = container.oomKills, kills > known else { return }
        known = kills
        report()
    }
}
