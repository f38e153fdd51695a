/// One member of a tar archive, with everything its headers say. Names are bytes as they stand in the archive.
package struct TarEntry: Sendable {
    /// What a member is.
    package enum Kind: Sendable, Hashable {
        case file, hardLink, symlink, characterDevice, blockDevice, directory, fifo
    }

    /// A run of bytes of a sparse file that is in the archive; the rest is holes.
    package struct Segment: Sendable, Hashable {
        package var offset: Int64
        package var length: Int64
        package init(offset: Int64, length: Int64) {
            self.offset = offset
            self.length = length
        }
    }

    /// An extended attribute.
    package struct Attribute: Sendable, Hashable {
        package var name: [UInt8]
        package var value: [UInt8]
        package init(name: [UInt8], value: [UInt8]) {
            self.name = name
            self.value = value
        }
    }

    /// A point in time, in whole seconds and nanoseconds.
    package struct Time: Sendable, Hashable {
        package var seconds: Int64
        package var nanoseconds: Int64
        package init(seconds: Int64, nanoseconds: Int64 = 0) {
            self.seconds = seconds
            self.nanoseconds = nanoseconds
        }
    }

    package var name: [UInt8] = []
    package var linkName: [UInt8] = []
    package var kind: Kind = .file
    /// Permission bits, set-ID bits and the sticky bit.
    package var mode: UInt32 = 0
    package var uid: UInt32 = 0
    package var gid: UInt32 = 0
    /// The size of the file once it is written, holes included.
    package var size: Int64 = 0
    package var modified = Time(seconds: 0)
    package var accessed: Time?
    package var deviceMajor: UInt32 = 0
    package var deviceMinor: UInt32 = 0
    package var attributes: [Attribute] = []
    /// What the archive holds of a sparse file; nil for one that is stored whole.
    package var segments: [Segment]?

    /// Makes an empty file's entry.
    package init() {}

    /// Makes an entry; a name given as text.
    package init(_ kind: Kind, _ name: String, mode: UInt32 = 0o644, link: String = "") {
        self.kind = kind
        self.name = Array(name.utf8)
        self.mode = mode
        linkName = Array(link.utf8)
    }

    /// The name for messages.
    package var text: String { String(decoding: name.prefix(200), as: UTF8.self) }
}

/// What a tar reader tells of an archive, in its order.
package protocol TarConsumer {
    /// A member begins.
    mutating func begin(_ entry: TarEntry) throws
    /// Bytes of the member that began last, which belong at `offset`. Valid during the call only.
    mutating func data(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws
    /// The member is complete.
    mutating func end() throws
}
