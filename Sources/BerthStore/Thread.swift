internal import BerthBase
internal import Glibc

/// A thread that runs one closure to its end.
struct Thread {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    private final class Start {
        let thread: Thread
        init(_ thread: Thread) { self.thread = thread }
    }

    func start() throws {
        var id = pthread_t()
        // SAFETY: the box is retained here and released once by the thread.
        let argument = unsafe Unmanaged.passRetained(Start(self)).toOpaque()
        let code = unsafe pthread_create(
            &id, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                start.thread.body()
                return nil
            }, argument)
        guard code == 0 else { throw BerthError(.resourceExhausted, "make a thread: error \(code)") }
        pthread_detach(id)
    }
}
