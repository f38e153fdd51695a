package import BerthBase
internal import BerthSystem
internal import Glibc

extension Container {
    /// The most looks at the process table for descendants that appeared while others were killed.
    static let maxTreeRounds = 20

    /// Kills a process of the container and its descendants: by their parents, and by the session they are in, which
    /// outlives a parent. One that left both is not found.
    package func killTree(of root: Int32) throws(BerthError) {
        var known: Set<Int32> = [root]
        try? signalTree(root)
        for _ in 0..<Container.maxTreeRounds {
            let found = try descendants(of: &known)
            if found.isEmpty { return }
            for pid in found { try? signalTree(pid) }
        }
    }

    private func signalTree(_ pid: Int32) throws {
        let process = try PidFD.open(pid)
        try PidFD.signal(process.rawValue, SIGKILL)
    }

    /// Processes of the container that are alive and whose parent or session is known; they are known from then on.
    private func descendants(of known: inout Set<Int32>) throws(BerthError) -> [Int32] {
        var left = try pids().compactMap { pid in ProcessFamily(pid).map { (pid, $0) } }
        var found: [Int32] = []
        var grew = true
        while grew {
            grew = false
            for (pid, family) in left
            where known.contains(family.parent) || known.contains(family.session) || known.contains(pid) {
                known.insert(pid)
                found.append(pid)
                grew = true
            }
            left.removeAll { known.contains($0.0) }
        }
        return found
    }
}

/// Whose child a live process is, and of which session.
private struct ProcessFamily {
    let parent: Int32
    let session: Int32

    init?(_ pid: Int32) {
        guard let text = try? Files.text("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 3, fields[0] != "Z", fields[0] != "X", let parent = Int32(fields[1]),
            let session = Int32(fields[3])
        else { return nil }
        self.parent = parent
        self.session = session
    }
}
