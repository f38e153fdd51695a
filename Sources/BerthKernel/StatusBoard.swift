internal import BerthBase

/// What every plugin's life has come to; written by the kernel, read by anyone.
final class StatusBoard: KernelView {
    private struct State {
        var reports: [PluginReport] = []
        var startTime = Duration.zero
    }
    private let state = Shared(State())
    private let libraries: @Sendable () -> [String: String]

    init(versions: @escaping @Sendable () -> [String: String] = { [:] }) { libraries = versions }

    var versions: [String: String] { libraries() }

    func enroll(_ report: PluginReport) { state.withLock { $0.reports.append(report) } }

    func change(_ id: PluginID, _ body: @Sendable (inout PluginReport) -> Void) {
        state.withLock { state in
            guard let index = state.reports.firstIndex(where: { $0.id == id }) else { return }
            body(&state.reports[index])
        }
    }

    func set(_ id: PluginID, _ new: PluginState) { change(id) { $0.state = new } }

    func report(_ id: PluginID) -> PluginReport? { plugins().first { $0.id == id } }

    func finish(after time: Duration) { state.withLock { $0.startTime = time } }

    func plugins() -> [PluginReport] { state.withLock { $0.reports } }

    var startTime: Duration { state.withLock { $0.startTime } }
}
