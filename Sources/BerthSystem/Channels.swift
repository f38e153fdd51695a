internal import CBerthSystem
internal import Glibc
package import SystemPackage

/// The two ends of a pipe.
package struct PipeEnds: ~Copyable {
    package var reader: OwnedFD
    package var writer: OwnedFD

    /// Makes a pipe, both ends close-on-exec.
    package init() throws(Errno) {
        var ends: [Int32] = [-1, -1]
        // SAFETY: pipe2(2) writes two numbers into an array of two.
        try sys(unsafe berth_pipe2(&ends, O_CLOEXEC))
        reader = OwnedFD(ends[0])
        writer = OwnedFD(ends[1])
    }

    /// Gives both ends away: the caller closes.
    package consuming func release() -> (reader: Int32, writer: Int32) { (reader.release(), writer.release()) }
}

/// Two connected message sockets (`SOCK_SEQPACKET`).
package struct SocketPair: ~Copyable {
    package var first: OwnedFD
    /// nil once it was given away.
    package var second: OwnedFD?

    package init() throws(Errno) {
        var ends: [Int32] = [-1, -1]
        let type = Int32(bitPattern: SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue)
        // SAFETY: socketpair writes two numbers into an array of two.
        try check(unsafe socketpair(AF_UNIX, type, 0, &ends))
        first = OwnedFD(ends[0])
        second = OwnedFD(ends[1])
    }
}

/// Messages with descriptors over unix sockets.
package enum Messages {
    /// The most descriptors one message carries.
    package static let maxDescriptors = BERTH_MAX_PASSED_FDS

    /// One received message; empty bytes mean the peer is gone.
    package struct Received: ~Copyable {
        package var bytes: [UInt8]
        package var descriptor: OwnedFD?
    }

    /// Sends one message, with at most one descriptor (which stays the caller's).
    package static func send(_ bytes: [UInt8], descriptor: Int32? = nil, on socket: Int32) throws(Errno) {
        try send(bytes, descriptors: descriptor.map { [$0] } ?? [], on: socket)
    }

    /// Sends one message with at most `maxDescriptors` descriptors, which stay the caller's.
    package static func send(_ bytes: [UInt8], descriptors fds: [Int32], on socket: Int32) throws(Errno) {
        try sysRetrying {
            // SAFETY: both buffers live through the call and are as long as their counts say.
            unsafe bytes.withUnsafeBytes { unsafe berth_send(socket, $0.baseAddress, $0.count, fds, Int32(fds.count)) }
        }
    }

    /// Receives one message of at most `limit` bytes, with at most one descriptor.
    package static func receive(on socket: Int32, limit: Int = 65536) throws(Errno) -> Received {
        var bytes = [UInt8](repeating: 0, count: limit)
        var descriptor: Int32 = -1
        var count: Int32 = 0
        let length = try sysRetrying {
            // SAFETY: the buffer is as long as its count says; room for one descriptor is given.
            unsafe bytes.withUnsafeMutableBytes {
                unsafe berth_receive(socket, $0.baseAddress, $0.count, &descriptor, 1, &count)
            }
        }
        bytes.removeLast(limit - Int(length))
        return Received(bytes: bytes, descriptor: count == 1 ? OwnedFD(descriptor) : nil)
    }

    /// Listens at `name` below a directory, with a file of mode 0600.
    package static func listen(at name: String, below directory: Int32) throws(Errno) -> OwnedFD {
        // SAFETY: the string lives through the call.
        OwnedFD(try sys(unsafe berth_unix_socket(directory, name, 1, 0o600)))
    }

    /// Connects to the socket `name` below a directory.
    package static func connect(to name: String, below directory: Int32) throws(Errno) -> OwnedFD {
        // SAFETY: the string lives through the call.
        OwnedFD(try sysRetrying { unsafe berth_unix_socket(directory, name, 0, 0) })
    }
}

extension Messages {
    /// Connects to a stream socket, as console sockets are.
    package static func connectStream(to path: String) throws(Errno) -> OwnedFD {
        // SAFETY: the string lives through the call.
        OwnedFD(try sysRetrying { unsafe berth_connect_stream(path) })
    }
}

/// The signals of a thread as a descriptor. For programs with one thread: nothing else handles signals then.
package struct SignalQueue: ~Copyable {
    package let descriptor: OwnedFD

    /// Blocks all signals, which from now on wait here.
    package init() throws(Errno) { descriptor = OwnedFD(try sys(berth_signal_descriptor())) }

    /// The next signal's number; nil if none waits.
    package func next() -> Int32? { SignalQueue.next(from: descriptor.rawValue) }

    /// The next signal of a descriptor of signals; nil if none waits.
    package static func next(from descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 128)
        // SAFETY: the buffer holds one whole `struct signalfd_siginfo`.
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, 128) }
        guard count == 128 else { return nil }
        return Int32(bytes[0])
    }
}

/// Files in memory.
package enum MemoryFile {
    /// A memory file with this content; sealed, it can never change again.
    package static func make(_ name: String, _ bytes: [UInt8], sealed: Bool) throws(Errno) -> OwnedFD {
        let executable: UInt32 = sealed ? 0x10 : 0
        let base: UInt32 = 0x1 | (sealed ? 0x2 : 0)
        // SAFETY: the string lives through the call. MFD_EXEC (0x10) is unknown before Linux 6.3: EINVAL.
        var number = unsafe berth_memfd_create(name, base | executable)
        if number < 0 { number = unsafe berth_memfd_create(name, base) }
        let file = OwnedFD(try sys(number))
        try Files.write(bytes, to: file.rawValue)
        if sealed {
            let seals = 0x1 | 0x2 | 0x4 | 0x8  // SEAL, SHRINK, GROW, WRITE
            try sys(berth_fcntl(file.rawValue, 1033, seals))
        } else {
            try check(lseek(file.rawValue, 0, SEEK_SET))
        }
        return file
    }
}
