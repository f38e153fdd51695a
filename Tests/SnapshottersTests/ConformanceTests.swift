import BerthConformance
import SnapshottersPlugins
import Testing

@Suite struct ConformanceTests {
    @Test(arguments: SnapshotterConformance.cases(for: [.mounts, .persistent, .deepChains]))
    func `the overlay snapshotter conforms`(_ test: SnapshotterConformance.Case) async throws {
        try await test.run { try await DirectorySnapshotter(at: $0, layout: OverlayLayout()) }
    }

    @Test(arguments: SnapshotterConformance.cases(for: [.mounts, .persistent, .deepChains]))
    func `the native snapshotter conforms`(_ test: SnapshotterConformance.Case) async throws {
        try await test.run { try await DirectorySnapshotter(at: $0, layout: NativeLayout()) }
    }

    @Test(arguments: SnapshotterConformance.cases(for: []))
    func `the fake snapshotter conforms`(_ test: SnapshotterConformance.Case) async throws {
        try await test.run { _ in FakeSnapshotter() }
    }
}
