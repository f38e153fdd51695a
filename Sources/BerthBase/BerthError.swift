/// The one error currency of the project: a canonical gRPC code, what was attempted on which thing, and why.
///
/// Messages are lower case, without a full stop. An error an operator can act on says how.
public struct BerthError: Error, Sendable, CustomStringConvertible {
    /// The sixteen canonical codes, with the numbers gRPC and ttrpc put on the wire.
    public enum Code: Int32, Sendable, CaseIterable {
        case cancelled = 1
        case unknown = 2
        case invalidArgument = 3
        case deadlineExceeded = 4
        case notFound = 5
        case alreadyExists = 6
        case permissionDenied = 7
        case resourceExhausted = 8
        case failedPrecondition = 9
        case aborted = 10
        case outOfRange = 11
        case unimplemented = 12
        case `internal` = 13
        case unavailable = 14
        case dataLoss = 15
        case unauthenticated = 16
    }

    /// What kind of failure this is.
    public let code: Code
    /// What was attempted on which thing, and why it failed.
    public let message: String
    /// The error this one was made from, if any.
    public let cause: (any Error)?

    /// Makes an error; `cause` is appended to the description.
    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The message, then `: ` and the cause's, if there is one.
    public var description: String {
        guard let cause else { return message }
        return "\(message): \(cause)"
    }

    /// The given error if it is a `BerthError`, `cancelled` for a `CancellationError`, else `unknown` around it.
    public static func wrapping(_ error: any Error) -> BerthError {
        if let known = error as? BerthError { return known }
        if error is CancellationError { return BerthError(.cancelled, "the operation was cancelled") }
        return BerthError(.unknown, "\(error)")
    }

    /// The same failure with what was being attempted put in front: `pull 'x': connection refused`.
    public func during(_ attempt: String) -> BerthError {
        BerthError(code, "\(attempt): \(message)", cause: cause)
    }
}

/// Runs `body`; a thrown error gets `attempt` in front of its message and keeps its code.
public nonisolated(nonsending) func during<T>(
    _ attempt: @autoclosure () -> String, _ body: () async throws -> T
) async throws -> T {
    do { return try await body() } catch { throw BerthError.wrapping(error).during(attempt()) }
}
