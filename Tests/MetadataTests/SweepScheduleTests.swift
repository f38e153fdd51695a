import BerthBase
import BerthKernel
import BerthServices
import BerthTestSupport
import Testing

@testable import MetadataPlugins

@Suite struct SweepScheduleTests {
    /// A schedule on a clock that stands still, over a store with one image and its blob.
    private func with(
        _ body: @Sendable (World, SQLiteMetadata, FakeContent, ManualClock, Shared<[PluginHealth]>) async throws -> Void
    ) async throws {
        let world = try World()
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let content = FakeContent()
            let sweeper = GarbageSweeper(
                config: SweeperConfig(), metadata: store, content: content, snapshots: try await world.snapshots(store),
                logger: world.logger)
            let clock = ManualClock()
            let schedule = SweepSchedule(config: SweeperConfig(), clock: clock, logger: world.logger, sweeper: sweeper)
            let digest = try Digest.test("1")
            content.put(digest, size: 1)
            try await store.write { writer in
                try writer.putBlob(BlobRecord(digest: digest, size: 1), in: "ns")
                let target = Descriptor(mediaType: "m", digest: digest, size: 1)
                try writer.putImage(ImageRecord(name: "a", target: target), in: "ns")
            }
            let health = Shared<[PluginHealth]>([])
            let hints = await store.hints()
            let running = Task {
                try await schedule.run(hints: hints) { state in health.withLock { $0.append(state) } }
            }
            // The schedule's own period and the delay after the start.
            await clock.waitForSleepers(2)
            try await body(world, store, content, clock, health)
            running.cancel()
            _ = await running.result
        }
    }

    /// Moves the clock in small steps until the condition holds; a loaded machine only makes it slower.
    private func advance(_ clock: ManualClock, until isDone: () async -> Bool) async throws -> Bool {
        for _ in 0..<20_000 {
            if await isDone() { return true }
            clock.advance(by: .milliseconds(100))
            try await Task.sleep(for: .milliseconds(3))
        }
        return await isDone()
    }

    @Test func `nothing is collected right after the start, and then what was left before it`() async throws {
        try await with { _, store, content, clock, health in
            try await store.write { try $0.deleteImage("a", in: "ns") }
            clock.advance(by: .seconds(9))
            try await Task.sleep(for: .milliseconds(20))
            #expect(content.digests.count == 1)
            #expect(try await advance(clock) { content.digests.isEmpty })
            #expect(try await advance(clock) { health.withLock { $0.last } == .healthy })
        }
    }

    @Test func `a removal is followed by a collection`() async throws {
        try await with { _, store, content, clock, health in
            #expect(try await advance(clock) { health.withLock { !$0.isEmpty } })
            try await Task.sleep(for: .milliseconds(20))
            try await store.write { try $0.deleteImage("a", in: "ns") }
            #expect(try await advance(clock) { content.digests.isEmpty })
        }
    }

    @Test func `the expiry of an image wakes it`() async throws {
        try await with { _, store, content, clock, health in
            #expect(try await advance(clock) { health.withLock { !$0.isEmpty } })
            let soon = Timestamp(nanoseconds: Timestamp.now().nanoseconds + 200_000_000)
            try await store.write { writer in
                var image = try writer.image("a", in: "ns")
                image.labels["containerd.io/gc.expire"] = soon.rfc3339
                try writer.putImage(image, in: "ns")
            }
            try await Task.sleep(for: .milliseconds(250))
            #expect(try await advance(clock) { content.digests.isEmpty })
        }
    }

    @Test func `after rows were lost nothing goes by itself until somebody has collected by hand`() async throws {
        try await with { _, store, content, clock, health in
            try await store.write { writer in
                try writer.setValue(Array("a page was damaged".utf8), for: DamageNote.key, table: DamageNote.table)
                try writer.deleteImage("a", in: "ns")
            }
            #expect(try await advance(clock) { health.withLock { !$0.isEmpty } })
            guard case .degraded(let why) = try #require(health.withLock { $0.last }) else {
                Issue.record("not degraded")
                return
            }
            #expect(why.contains("a page was damaged") && why.contains("berth gc"))
            #expect(content.digests.count == 1)
        }
    }
}
