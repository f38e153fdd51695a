internal import BerthBase
package import BerthKernel
internal import BerthServices
internal import Logging

/// Settings of `operations.table`.
package struct OperationsConfig: PluginConfig {
    /// The most operations in flight or kept; more are refused.
    package var maxOperations = 4096
    /// The most callers that wait for one operation; more are refused.
    package var maxWaiters = 256
    /// How long a result that nobody took is kept for a retry, in seconds.
    package var keepSeconds = 600

    package init() {}

    package static var keys: [ConfigKey] {
        [
            ConfigKey("max_operations", "the most operations in flight or kept for a retry; more are refused"),
            ConfigKey("max_waiters", "the most callers that wait for one operation; more are refused"),
            ConfigKey("keep_seconds", "how long a result that nobody took is kept for a retry, then undone"),
        ]
    }

    package func validate() throws {
        for (name, value) in [
            ("max_operations", maxOperations), ("max_waiters", maxWaiters), ("keep_seconds", keepSeconds),
        ]
        where value < 1 { throw BerthError(.invalidArgument, "\(name) is \(value) and must be at least 1") }
    }
}

extension Plugin {
    /// The table of what is in flight: retried calls join, callers that give up detach.
    package static let operationTable = Plugin(
        "table", provides: .operations, config: OperationsConfig.self
    ) { context in
        let table = JoiningOperationTable(config: context.config, clock: ContinuousClock(), logger: context.logger)
        context.onStop("end operations") { await table.close() }
        return table
    }
}
