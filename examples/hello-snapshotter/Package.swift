// swift-tools-version: 6.2
import PackageDescription

// A package of one's own: a snapshotter, a daemon that has it beside everything in tree, and the test that it conforms.
let package = Package(
    name: "hello-snapshotter",
    products: [.executable(name: "hello-berthd", targets: ["hello-berthd"])],
    dependencies: [.package(name: "berth", path: "../..")],
    targets: [
        .target(name: "HelloSnapshotter", dependencies: [.product(name: "BerthServices", package: "berth")]),
        .executableTarget(
            name: "hello-berthd", dependencies: ["HelloSnapshotter", .product(name: "BerthDaemon", package: "berth")]),
        .testTarget(
            name: "HelloSnapshotterTests",
            dependencies: ["HelloSnapshotter", .product(name: "BerthConformance", package: "berth")]),
    ]
)
