internal import BerthBase
internal import BerthServices
internal import Logging

/// Layers that are usable and not yet safe from a power cut: made durable in the background, many by one flush.
struct DurabilityQueue: Sendable {
    /// The most layers that wait; beyond it the oldest are left to the next start, which looks for them.
    static let maxWaiting = 4096

    private struct Item: Sendable {
        let name: SnapshotKey
        let target: SnapshotTarget
    }

    private let items: AsyncStream<Item>
    private let continuation: AsyncStream<Item>.Continuation

    init() { (items, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(Self.maxWaiting)) }

    func add(_ name: SnapshotKey, on target: SnapshotTarget) { continuation.yield(Item(name: name, target: target)) }

    /// Works until the task is cancelled. First comes what an earlier run of the daemon left.
    func run(_ snapshots: any SnapshotService, _ logger: Logger) async {
        for name in snapshots.snapshotters {
            guard let driver = try? snapshots.driver(name), let all = try? await driver.list() else { continue }
            for info in all where info.kind == .committed {
                guard let durability = try? await driver.durability(of: info.key), durability != .durable else {
                    continue
                }
                do { try await driver.makeDurable(info.key) } catch { report(error, info.key, logger) }
            }
        }
        // The driver joins flushes that are asked for while one runs.
        await withDiscardingTaskGroup { group in
            for await item in items {
                group.addTask {
                    do { try await snapshots.makeDurable(item.name, on: item.target) } catch {
                        report(error, item.name, logger)
                    }
                }
            }
        }
    }

    private func report(_ error: any Error, _ name: SnapshotKey, _ logger: Logger) {
        // Removed meanwhile: nothing to keep.
        if (error as? BerthError)?.code == .notFound || error is CancellationError { return }
        logger.warning("a layer could not be made durable", metadata: ["snapshot": "\(name)", "error": "\(error)"])
    }
}
