import BerthBase
import BerthSystem
import Glibc
import Testing

/// The process ends at each fault point of a pull; the next one must find nothing that hinders it, and leave nothing.
@Suite struct CrashTests {
    static let points = [
        "pull.leased", "pull.document", "pull.resolved", "pull.config", "pull.blob", "pull.blob:2", "pull.blob-row",
        "content.before-rename:3", "content.after-rename:3", "pull.prepared", "pull.unpacked", "pull.committed",
        "pull.prepared:2", "snapshots.after-row", "snapshots.after-commit", "snapshots.after-commit:2",
        "snapshotter.prepare.directory", "snapshotter.prepare.recorded", "pull.layers", "pull.rows", "pull.named",
        "pull.released",
    ]

    @Test(arguments: points)
    func `the same pull succeeds after the process ended`(_ point: String) async throws {
        try await inWorld { world in
            let layout = try ImageLayout(world.folder + "/layout")
            let layers = [
                try layout.layer(ImageLayout.files(["a": "one"])), try layout.layer(ImageLayout.files(["b": "two"])),
            ]
            try layout.finish(try layout.image(layers))
            let registry = try await HostileRegistry(layout, in: world.folder)
            world.with { registry.end() }
            let probe = try World.program("pull-probe")
            func pull(_ environment: [String]) throws -> (status: Int32, text: String) {
                let outcome = try ChildProcess.run(
                    .init(
                        probe, [world.folder, "\(registry.host)/x:1"], environment: environment, deadline: .seconds(60))
                )
                return (outcome.status, String(decoding: outcome.output, as: UTF8.self))
            }
            let crashed = try pull(["BERTH_FAULT=\(point)"])
            #expect(crashed.status == FaultPoint.exitStatus, "\(crashed)")
            let after = try pull([])
            #expect(after.status == 0 && after.text.contains("pulled sha256:"), "\(after)")
            let lines = after.text.split(separator: "\n")
            // What was being written may stay to be resumed; leases and unfinished snapshots go with the start.
            #expect(lines.first?.contains("lease") == false && lines.first?.contains("snapshot") == false, "\(after)")
            #expect(lines.first?.contains("active") == false, "\(after)")
            #expect(lines.last == "at end: []", "\(after)")
        }
    }
}
