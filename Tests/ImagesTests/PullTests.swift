import BerthArchive
import BerthBase
import BerthOCI
import BerthServices
import BerthSystem
import Testing

/// Pulls from Debian's docker-registry.
@Suite(.serialized) struct PullTests {
    @Test func `an image of three kinds of layers is pulled and unpacked`() async throws {
        try await inWorld { world in
            let registry = try await DockerRegistry(in: world.folder + "/registry")
            world.with { registry.end() }
            let layout = try ImageLayout(world.folder + "/layout")
            let image = try layout.image([
                try layout.layer(ImageLayout.files(["bin/": "", "bin/a": "one", "gone": "x"])),
                try layout.layer(ImageLayout.files(["bin/b": "two", ".wh.gone": ""]), .zstd),
                try layout.layer(ImageLayout.files(["c": "three"]), .none),
            ])
            try layout.finish(image)
            try registry.push(layout.folder, as: "some/image:v1")
            let services = try await world.start()
            let seen = Shared<[PullProgress]>([])
            let info = try await services.pull("\(registry.host)/some/image:v1") { step in
                seen.withLock { $0.append(step) }
            }
            #expect(info.names == ["\(registry.host)/some/image:v1", "\(registry.host)/some/image@\(image.digest)"])
            #expect(info.target.digest == image.digest && info.diffIDs.count == 3 && info.platform.os == "linux")
            #expect(try ImageConfiguration(info.config).command == ["/bin/sh"])
            #expect(try await services.text("bin/a", of: info) == "one")
            #expect(try await services.text("bin/b", of: info) == "two")
            #expect(try await services.text("c", of: info) == "three")
            #expect(try await services.leftovers() == [])
            let steps = seen.withLock { $0 }
            #expect(steps.first?.stage == "resolving" && steps.last?.stage == "done")
            #expect(steps.last?.layers.map(\.state) == [.done, .done, .done])
        }
    }

    @Test func `a layer is unpacked while it arrives`() async throws {
        try await inWorld { world in
            let layout = try ImageLayout(world.folder + "/layout")
            let layer = try layout.layer(
                ImageLayout.files(["a": "first", "b": String(repeating: "x", count: 12_000_000)]), .none)
            try layout.finish(try layout.image([layer]))
            let registry = try await HostileRegistry(layout, in: world.folder)
            world.with { registry.end() }
            try registry.rules(#"{"path": "GET .*/blobs/\#(layer.blob.digest)", "pace": 500000}"#)
            let services = try await world.start()
            let seen = Shared<PullProgress.Layer?>(nil)
            let pull = Task {
                try await services.pull("\(registry.host)/x:1") { step in seen.withLock { $0 = step.layers.first } }
            }
            var early = false
            while !early, seen.withLock({ $0?.state }) != .done {
                let before = seen.withLock { $0 }
                let folder = world.root + "/snapshotter.overlay/snapshots"
                let names = (try? Files.names(in: folder)) ?? []
                // The first file is there, and bytes of the second are still to come.
                let isThere = names.contains { (try? Files.text("\(folder)/\($0)/fs/a")) == "first" }
                if isThere, let before, before.state == .downloading, before.offset < before.total { early = true }
                try await Task.sleep(for: .milliseconds(5))
            }
            #expect(early)
            let image = try await pull.value
            #expect(try await services.text("a", of: image) == "first")
        }
    }
}
