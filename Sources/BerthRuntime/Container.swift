package import BerthBase
package import BerthOCI
package import BerthSystem

/// One OCI container. Everything here is synchronous; the caller reaps the processes it gets.
package final class Container: Sendable {
    package let id: String
    package let environment: RuntimeEnvironment

    init(id: String, environment: RuntimeEnvironment) {
        self.id = id
        self.environment = environment
    }

    /// Makes the container and its process, which waits for `start`.
    package static func create(
        _ request: ContainerRequest, in environment: RuntimeEnvironment
    ) throws(BerthError) -> CreatedContainer {
        throw unimplemented()
    }

    /// The container with this ID from the state directory.
    ///
    /// - Throws: `notFound` if there is none.
    package static func load(_ id: String, in environment: RuntimeEnvironment) throws(BerthError) -> Container {
        throw unimplemented()
    }

    /// Lets the created process execute the user's program.
    package func start() throws(BerthError) { throw Container.unimplemented() }

    /// Runs one more process in the container.
    package func exec(_ request: ExecRequest) throws(BerthError) -> LaunchedProcess { throw Container.unimplemented() }

    /// The state as `state` prints it.
    package func state() throws(BerthError) -> OCIState { throw Container.unimplemented() }

    /// Sends a signal to the first process, or to all in the cgroup. An ended process is success with `all`.
    package func kill(signal: Int32, all: Bool) throws(BerthError) { throw Container.unimplemented() }
    package func pause() throws(BerthError) { throw Container.unimplemented() }
    package func resume() throws(BerthError) { throw Container.unimplemented() }
    package func update(_ resources: OCIResources) throws(BerthError) { throw Container.unimplemented() }
    /// The processes in the container's cgroup, by the caller's pid namespace.
    package func pids() throws(BerthError) -> [Int32] { throw Container.unimplemented() }
    package func stats() throws(BerthError) -> CgroupStats { throw Container.unimplemented() }

    /// Removes what is left of a stopped container; with `force` a running one is killed first.
    package func delete(force: Bool) throws(BerthError) { throw Container.unimplemented() }

    private static func unimplemented() -> BerthError { BerthError(.unimplemented, "not written yet") }
}
