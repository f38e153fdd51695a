internal import BerthBase
internal import BerthShimAPI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// The exits of a shim's processes, written to its bundle before anybody hears of them.
///
/// Not synced: the file must outlive the shim, and after a power cut nothing of the pod is left anyway.
struct ExitJournal {
    /// The most exits that are kept to be asked for: more than one pod's containers ever are.
    static let maxKept = 1024
    /// A file beyond this size is written anew without the exits of deleted tasks.
    static let maxFileBytes = 65536

    private let folder: String
    private var sequence: UInt64
    private var recent: [ShimExit] = []
    private var fileBytes: Int

    /// Goes on after what the file in `folder` has.
    init(folder: String) {
        self.folder = folder
        let bytes = (try? Files.read("\(folder)/\(ExitRecord.file)")) ?? []
        recent = ExitRecord.parse(bytes).suffix(ExitJournal.maxKept)
        sequence = recent.last?.sequence ?? 0
        fileBytes = bytes.count
    }

    /// Numbers an exit and writes it, also into the bundle of the task if that is another.
    ///
    /// - Throws: what could not be written; the exit has its number and is kept all the same.
    mutating func record(_ exit: inout ShimExit, bundle: String) throws(BerthError) {
        sequence += 1
        exit.sequence = sequence
        recent.append(exit)
        if recent.count > ExitJournal.maxKept { recent.removeFirst() }
        let line = ExitRecord(exit).line
        fileBytes += line.count
        try attempting("record the exit of '\(exit.containerID)' in '\(folder)'") { () throws(Errno) in
            try append(line, in: folder)
            if bundle != folder { try append(line, in: bundle) }
        }
    }

    private func append(_ line: [UInt8], in folder: String) throws(Errno) {
        let file = try Files.open("\(folder)/\(ExitRecord.file)", O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
        try Files.write(line, to: file.rawValue)
    }

    /// The daemon has taken note: the task is deleted.
    mutating func forget(container: String) {
        recent.removeAll { $0.containerID == container }
        guard fileBytes > ExitJournal.maxFileBytes else { return }
        let bytes = recent.flatMap { ExitRecord($0).line }
        // The old file is as good but for its length.
        try? Files.replace("\(folder)/\(ExitRecord.file)", with: bytes, mode: 0o600)
        fileBytes = bytes.count
    }

    /// The exits of init processes after one, of tasks that were not deleted.
    func exits(after sequence: UInt64) -> [ShimExit] {
        recent.filter { $0.sequence > sequence && $0.execID.isEmpty }
    }
}
