// swift-tools-version: 6.2
import PackageDescription

// Targets are declared by `module` (base, kernel, processes), `c` (C leaves), `library` (system libraries) and
// `plugins` (one family a target). `BERTH_ONLY=BerthTOML,BerthTOMLTests swift test` leaves the other targets
// out of the build: a loop over one module does not wait for the rest.

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

func module(_ name: String, _ needs: [Target.Dependency] = [], wrapsC: Bool = false) -> Target {
    .target(name: name, dependencies: needs, swiftSettings: wrapsC ? strict + [.strictMemorySafety()] : strict)
}
func program(_ name: String, _ needs: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: needs, swiftSettings: strict)
}
func plugins(_ family: String, _ needs: [Target.Dependency], resources: [Resource]? = nil) -> Target {
    .target(
        name: "\(family)Plugins", dependencies: ["BerthBase", "BerthKernel", "BerthServices", log, system] + needs,
        path: "Plugins/\(family)", resources: resources, swiftSettings: strict)
}
func tests(_ name: String, _ needs: [Target.Dependency]) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: needs, path: "Tests/\(name)Tests", exclude: [], swiftSettings: strict)
}
func c(_ name: String) -> Target {
    .target(name: name, cSettings: [.define("_GNU_SOURCE")])
}
func library(_ name: String) -> Target { .systemLibrary(name: name) }

let targets: [Target] = [
    // C, and nothing else in C
    c("CBerthSystem"), c("CBerthClone"), c("CBerthUnpack"),
    library("CSQLite"), library("CNghttp2"), library("CLibcap"), library("CLibseccomp"),
    library("CCurl"), library("CCrypto"), library("CZstd"), library("CDeflate"),
    // base
    module("BerthBase", [log, system]),
    module("BerthSystem", ["BerthBase", "CBerthSystem", "CLibcap", system], wrapsC: true),
    module("BerthTOML", ["BerthBase"]),
    module("BerthStore", ["BerthBase", "BerthKernel", "CSQLite", log, system], wrapsC: true),
    module("BerthDigest", ["BerthBase", "CCrypto"], wrapsC: true),
    module("BerthIO", ["BerthBase", "BerthSystem", "CBerthSystem", system], wrapsC: true),
    module("BerthTTRPC", ["BerthBase", "BerthIO", "BerthShimAPI", "BerthSystem", system]),
    module("BerthGRPC", ["BerthBase", "BerthIO", "BerthSystem", "CNghttp2", log, protobuf], wrapsC: true),
    module("BerthShimAPI", ["BerthBase"]),
    module("BerthShimClient", ["BerthBase", "BerthIO", "BerthKernel", "BerthShimAPI", "BerthSystem", "BerthTTRPC", log, system]),
    .target(name: "BerthAPI", dependencies: [protobuf], exclude: ["Protos"], swiftSettings: [.swiftLanguageMode(.v6)]),
    module("BerthOCI", ["BerthBase", system]),
    module("BerthArchive", ["BerthBase", "BerthDigest", "BerthSystem", "CBerthSystem", "CBerthUnpack", "CZstd", "CDeflate", system]),
    // the kernel
    module("BerthKernel", ["BerthBase", "BerthTOML", log, system]),
    module("BerthServices", ["BerthBase", "BerthKernel", "BerthOCI", "BerthGRPC", log, system]),
    // processes
    module("BerthDaemon", [
        "BerthBase", "BerthKernel", "BerthServices", "BerthSystem", "BerthTOML", "BerthArchive", "BerthDigest",
        "BerthGRPC", "BerthStore", "ContentPlugins", "SnapshottersPlugins", "MetadataPlugins", "ImagesPlugins", "NetworkPlugins", "TasksPlugins", "SandboxPlugins",
        "CRIPlugins", "ServersPlugins", log, system,
    ]),
    module("BerthRuntime", ["BerthBase", "BerthSystem", "BerthOCI", "CBerthClone", "CBerthSystem", "CLibseccomp", system], wrapsC: true),
    module("BerthShim", ["BerthBase", "BerthSystem", "BerthOCI", "BerthRuntime", "BerthTTRPC", "BerthShimAPI", system]),
    program("berthd", ["BerthDaemon"]),
    program("containerd-shim-berth-v1", ["BerthShim"]),
    program("berth-oci", ["BerthRuntime", "BerthBase", "BerthOCI", "BerthSystem", system]),
    program("berth", ["BerthAPI", "BerthGRPC", "BerthBase", "BerthIO", protobuf, arguments, system]),
    // for tests, importable by plugin authors
    module("BerthConformance", ["BerthBase", "BerthKernel", "BerthServices", "BerthSystem", "BerthOCI", log, system]),
    module("BerthTestSupport", ["BerthBase", "BerthSystem", "CBerthSystem", system]),
    // plugins
    plugins("Content", ["BerthDigest", "BerthSystem"]),
    plugins("Snapshotters", ["BerthSystem", "BerthOCI", "BerthStore", "BerthArchive"]),
    plugins("Metadata", ["BerthStore", "BerthOCI", "BerthSystem"]),
    plugins("Images", ["BerthOCI", "BerthArchive", "BerthDigest", "BerthSystem", "CCurl", "BerthTOML"]),
    plugins("Network", ["BerthOCI", "BerthSystem"]),
    plugins("Tasks", ["BerthShimClient", "BerthTTRPC", "BerthShimAPI", "BerthIO", "BerthSystem", "BerthOCI"]),
    plugins("Sandbox", ["BerthShimClient", "BerthTTRPC", "BerthShimAPI", "BerthIO", "BerthSystem", "BerthOCI"]),
    plugins("CRI", ["BerthGRPC", "BerthAPI", "BerthShimAPI", "BerthOCI", "BerthSystem", "BerthDigest", "BerthArchive", protobuf]),
    plugins("Servers", ["BerthGRPC", "BerthAPI", "BerthIO", "BerthOCI", "BerthSystem", protobuf]),
    // tests, one target a module or family
    tests("BerthBase", ["BerthBase"]),
    tests("BerthSystem", ["BerthSystem", "BerthBase", "BerthTestSupport", system]),
    tests("BerthTOML", ["BerthTOML", "BerthBase"]),
    tests("BerthStore", ["BerthStore", "BerthBase", "BerthTestSupport", log, system]),
    tests("BerthIO", ["BerthIO", "BerthBase", "BerthSystem", "BerthTestSupport", system]),
    tests("BerthGRPC", ["BerthGRPC", "BerthIO", "BerthBase", "BerthSystem", "BerthTestSupport", protobuf, system]),
    tests("BerthTTRPC", ["BerthTTRPC", "BerthIO", "BerthBase", "BerthShimAPI", "BerthTestSupport", system]),
    tests("BerthShim", ["BerthShim", "BerthShimAPI", "BerthTTRPC", "BerthRuntime", "BerthOCI", "BerthSystem", "BerthBase", "BerthTestSupport", "containerd-shim-berth-v1", system]),
    tests("BerthOCI", ["BerthOCI", "BerthBase"]),
    .executableTarget(
        name: "unpack-probe", dependencies: ["BerthArchive"], path: "Tests/Fixtures/unpack-probe", swiftSettings: strict),
    tests("BerthArchive", ["BerthArchive", "unpack-probe", "BerthSystem", "BerthBase", "BerthTestSupport", system]),
    tests("BerthKernel", ["BerthKernel", "BerthTOML", "BerthBase", "BerthTestSupport", log, system]),
    tests("BerthRuntime", ["BerthRuntime", "BerthOCI", "BerthSystem", "BerthBase", "BerthTestSupport", system]),
    tests("Content", ["BerthSystem", "ContentPlugins", "BerthConformance", "BerthServices", "BerthKernel", "BerthBase", "BerthTestSupport", log, system]),
    tests("Snapshotters", ["SnapshottersPlugins", "BerthArchive", "BerthSystem", "BerthConformance", "BerthServices", "BerthKernel", "BerthBase", "BerthTestSupport", log, system]),
    tests("Metadata", ["MetadataPlugins", "BerthStore", "BerthConformance", "BerthServices", "BerthKernel", "BerthBase", "BerthTestSupport", log, system]),
    .executableTarget(
        name: "pull-probe",
        dependencies: [
            "ImagesPlugins", "ContentPlugins", "MetadataPlugins", "SnapshottersPlugins", "BerthArchive", "BerthServices",
            "BerthKernel", "BerthBase", log, system,
        ], path: "Tests/Fixtures/pull-probe", swiftSettings: strict),
    tests("Images", ["ImagesPlugins", "pull-probe", "ContentPlugins", "MetadataPlugins", "SnapshottersPlugins", "unpack-probe", "BerthArchive", "BerthDigest", "BerthOCI", "BerthSystem", "BerthConformance", "BerthServices", "BerthKernel", "BerthBase", "BerthTestSupport", log, system]),
    tests("Network", ["NetworkPlugins", "MetadataPlugins", "BerthStore", "BerthSystem", "BerthServices", "BerthKernel", "BerthBase", "BerthTestSupport", log, system]),
    tests("Tasks", ["TasksPlugins", "SandboxPlugins", "BerthShimClient", "BerthShimAPI", "BerthTTRPC", "BerthIO", "BerthOCI", "BerthSystem", "containerd-shim-berth-v1", "BerthServices", "BerthKernel", "BerthBase", "BerthTestSupport", log, system]),
    tests("CRI", ["CRIPlugins", "BerthShimAPI", "MetadataPlugins", "BerthStore", "BerthGRPC", "BerthSystem", protobuf, "BerthAPI", "BerthOCI", "BerthServices", "BerthKernel", "BerthBase", "BerthTestSupport", log, system]),
    .executableTarget(
        name: "slow-daemon", dependencies: ["BerthDaemon", "BerthKernel", "BerthServices", log],
        path: "Tests/Fixtures/slow-daemon", swiftSettings: strict),
    tests("Servers", ["ServersPlugins", "BerthGRPC", "BerthIO", "BerthAPI", "BerthSystem", "BerthServices", "BerthKernel", "BerthTOML", "BerthBase", "BerthTestSupport", log, protobuf, system]),
    .executableTarget(
        name: "plugin-probe", dependencies: ["BerthDaemon", "BerthKernel", "BerthConformance"],
        path: "Tests/Fixtures/plugin-probe", swiftSettings: strict),
    tests("BerthDaemon", ["BerthDaemon", "berthd", "slow-daemon", "plugin-probe", "BerthConformance", "BerthServices", "BerthKernel", "BerthTOML", "BerthBase", "BerthTestSupport", log, system]),
    tests("BerthCommand", ["berth", "BerthAPI", "BerthBase", protobuf, arguments]),
    tests("Tidy", ["BerthTestSupport", "BerthBase", system]),
]

/// The targets to build: all, or those named in `BERTH_ONLY` with everything they need.
func selected(_ all: [Target]) -> [Target] {
    guard let only = Context.environment["BERTH_ONLY"], !only.isEmpty else { return all }
    let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
    var wanted: Set<String> = []
    var queue = only.split(separator: ",").map(String.init)
    while let name = queue.popLast() {
        guard let target = byName[name], wanted.insert(name).inserted else { continue }
        for case .byNameItem(let need, _) in target.dependencies { queue.append(need) }
    }
    return all.filter { wanted.contains($0.name) }
}

let chosen = selected(targets)
let names = Set(chosen.map(\.name))

func product(_ name: String, _ targets: [String]) -> [Product] {
    targets.allSatisfy(names.contains) ? [.library(name: name, targets: targets)] : []
}

let package = Package(
    name: "berth",
    products: product("BerthDaemon", ["BerthDaemon"]) + product("BerthConformance", ["BerthConformance"])
        + product("BerthServices", ["BerthServices", "BerthKernel", "BerthBase"]),
    dependencies: [
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system.git", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
    ],
    targets: chosen,
    cLanguageStandard: .c11
)
