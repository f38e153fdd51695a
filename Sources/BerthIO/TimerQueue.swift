/// Names one timer of a loop.
package struct TimerID: Sendable, Hashable {
    fileprivate let number: UInt64
}

/// Timers in the order of their deadlines: a binary heap, from which removed timers are dropped late.
struct TimerQueue {
    private struct Entry {
        let deadline: ContinuousClock.Instant
        let number: UInt64
    }
    private var heap: [Entry] = []
    private var jobs: [UInt64: @Sendable () -> Void] = [:]
    private var last: UInt64 = 0
    /// Removed entries the heap may hold beyond the live ones before it is made anew: most deadlines are removed
    /// long before they pass.
    static let slack = 64

    var isEmpty: Bool { jobs.isEmpty }
    var entries: Int { heap.count }

    /// Adds a timer; whether it is the next to fire.
    mutating func add(_ deadline: ContinuousClock.Instant, _ job: @escaping @Sendable () -> Void) -> (
        TimerID, Bool
    ) {
        last += 1
        jobs[last] = job
        heap.append(Entry(deadline: deadline, number: last))
        rise(heap.count - 1)
        return (TimerID(number: last), heap[0].number == last)
    }

    mutating func remove(_ id: TimerID) {
        guard jobs.removeValue(forKey: id.number) != nil else { return }
        guard heap.count > 2 * jobs.count + Self.slack else { return }
        heap = heap.filter { jobs[$0.number] != nil }.sorted { $0.deadline < $1.deadline }
    }

    /// Takes the jobs whose deadline has passed, in order.
    mutating func takeDue(_ now: ContinuousClock.Instant) -> [@Sendable () -> Void] {
        var due: [@Sendable () -> Void] = []
        while let first = heap.first, first.deadline <= now || jobs[first.number] == nil {
            if let job = jobs.removeValue(forKey: first.number) { due.append(job) }
            dropFirst()
        }
        return due
    }

    /// How long until the next timer, rounded up, -1 without one; to be called after `takeDue`.
    func milliseconds(after now: ContinuousClock.Instant) -> Int32 {
        guard let first = heap.first else { return -1 }
        let (seconds, attoseconds) = (first.deadline - now).components
        if seconds > 3600 { return 3_600_000 }
        return max(0, Int32(seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1))
    }

    private mutating func dropFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < heap.count && heap[child].deadline < heap[least].deadline { least = child }
            if least == index { return }
            heap.swapAt(index, least)
            index = least
        }
    }

    private mutating func rise(_ start: Int) {
        var index = start
        while index > 0, heap[index].deadline < heap[(index - 1) / 2].deadline {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }
}
