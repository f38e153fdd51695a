import BerthArchive
import BerthBase
import BerthOCI
import BerthServices
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
}
