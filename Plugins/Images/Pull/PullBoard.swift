internal import BerthBase
internal import BerthServices
internal import Synchronization

/// Where a pull is: tells the caller, and knows when something last moved.
final class PullBoard: Sendable {
    /// Reports of mere bytes come no more often than this.
    static let interval: Duration = .milliseconds(100)

    private struct State {
        var progress = PullProgress(stage: "resolving")
        var lastReport: ContinuousClock.Instant?
        var lastMove = ContinuousClock.now
        var moving = ""
    }

    private let report: @Sendable (PullProgress) -> Void
    private let state = Mutex(State())
    /// Reports go out one at a time and in order.
    private let turn = Mutex(())

    init(_ report: @escaping @Sendable (PullProgress) -> Void) { self.report = report }

    private func change(force: Bool = true, _ body: (inout PullProgress) -> Void) {
        turn.withLock { _ in
            let progress = state.withLock { state -> PullProgress? in
                body(&state.progress)
                state.lastMove = .now
                if !force, let last = state.lastReport, .now - last < Self.interval { return nil }
                state.lastReport = .now
                return state.progress
            }
            if let progress { report(progress) }
        }
    }

    func enter(_ stage: String) { change { $0.stage = stage } }

    /// The layers are known.
    func begin(_ layers: [Descriptor]) {
        change { progress in
            progress.stage = "fetching"
            progress.layers = layers.map { .init(digest: $0.digest, state: .waiting, offset: 0, total: $0.size) }
        }
    }

    func set(_ digest: Digest, _ layerState: PullProgress.Layer.State) {
        change { progress in
            for index in progress.layers.indices where progress.layers[index].digest == digest {
                let layer = progress.layers[index]
                // A layer that is unpacked while it arrives counts as arriving until it is here.
                if layerState == .unpacking, layer.offset < layer.total { continue }
                progress.layers[index].state = layerState
                if layerState == .done || layerState == .exists { progress.layers[index].offset = layer.total }
            }
        }
    }

    /// Compressed bytes of a layer that are here.
    func advance(_ digest: Digest, to offset: Int64) {
        change(force: false) { progress in
            for index in progress.layers.indices where progress.layers[index].digest == digest {
                progress.layers[index].offset = offset
                if progress.layers[index].state == .waiting { progress.layers[index].state = .downloading }
            }
        }
    }

    /// Something moved that is no byte from the network.
    func touch() { state.withLock { $0.lastMove = .now } }

    /// How long nothing has moved.
    var idle: Duration { .now - state.withLock { $0.lastMove } }
}
