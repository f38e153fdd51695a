internal import BerthBase
internal import BerthIO
package import BerthKernel
package import BerthServices
internal import BerthShimAPI
package import BerthShimClient
internal import BerthTTRPC
package import Logging

extension Plugin {
    /// Listens for the events that shims forward, and publishes them.
    package static let ttrpcServer = Plugin(
        "ttrpc", provides: .server, config: NoConfig.self, requires: .one(.shims), .one(.events)
    ) { context, shims, events in
        let forwarding = ShimEvents(shims: shims, events: events, logger: context.logger)
        let server = try TTRPCServer(
            at: shims.eventsPath, on: try EventLoop.ofProcess(),
            methods: ["\(EventsService.name)/\(EventsService.forward)": { try await forwarding.forward($0) }])
        context.run("accept shims") { try await server.run() }
        context.onStop("close") { server.close() }
        return EventsSocket(addresses: ["unix://\(shims.eventsPath)"])
    }
}

/// The running socket for events.
struct EventsSocket: Server {
    let addresses: [String]
}

/// Takes the events of shims to the bus.
package struct ShimEvents: Sendable {
    let shims: ShimRegistry
    let events: any EventBus
    let logger: Logger

    package init(shims: ShimRegistry, events: any EventBus, logger: Logger) {
        self.shims = shims
        self.events = events
        self.logger = logger
    }

    /// Answers `Forward`.
    package func forward(_ payload: [UInt8]) async throws -> [UInt8] {
        guard let envelope = try ForwardRequest(decoding: payload).envelope, let event = envelope.event else {
            throw BerthError(.invalidArgument, "forward an event: there is none")
        }
        guard !envelope.topic.isEmpty, !envelope.namespace.isEmpty else {
            throw BerthError(.invalidArgument, "forward an event: it has no topic or no namespace")
        }
        let namespace = NamespaceID(envelope.namespace)
        if let oom = try? event.unpack(TaskOOMEvent.self) {
            await shims.noteOutOfMemory(ShimKey(namespace, oom.containerID))
        }
        await events.publish(
            EventEnvelope(
                namespace: namespace, topic: envelope.topic,
                event: AnyMessage(typeURL: event.typeURL, value: event.value), timestamp: envelope.timestamp ?? .now()))
        return WireEmpty().encoded()
    }
}
