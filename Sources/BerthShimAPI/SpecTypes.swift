/// The type URLs of OCI documents within an `Any`; their bytes are JSON.
package enum SpecType {
    package static let spec = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
    package static let process = "types.containerd.io/opencontainers/runtime-spec/1/Process"
    package static let linuxResources = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
}

extension WireAny {
    /// An OCI process.
    package static func process(_ json: [UInt8]) -> WireAny { WireAny(typeURL: SpecType.process, value: json) }
    /// OCI resources.
    package static func resources(_ json: [UInt8]) -> WireAny { WireAny(typeURL: SpecType.linuxResources, value: json) }
}
