import BerthConformance
import HelloSnapshotter
import Testing

@Suite struct ConformanceTests {
    @Test(arguments: SnapshotterConformance.cases(for: [.mounts, .persistent, .deepChains]))
    func `the hello snapshotter conforms`(_ test: SnapshotterConformance.Case) async throws {
        try await test.run { try HelloSnapshotter(at: $0) }
    }
}
