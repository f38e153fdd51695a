import BerthBase
import BerthServices
import Testing

@testable import MetadataPlugins

@Suite struct EventBusTests {
    private func bus(_ change: (inout EventsConfig) -> Void = { _ in }) -> JournalEventBus {
        var config = EventsConfig()
        change(&config)
        return JournalEventBus(config: config, epoch: 1)
    }

    private func event(_ topic: String, bytes: Int = 1) -> EventEnvelope {
        EventEnvelope(
            namespace: "k8s.io", topic: topic, event: AnyMessage(typeURL: "t", value: Array(repeating: 0, count: bytes))
        )
    }

    @Test func `each subscriber gets every event from its subscription on, in order`() async throws {
        let bus = bus()
        await bus.publish(event("before"))
        var one = await bus.subscribe(after: nil).makeAsyncIterator()
        var two = await bus.subscribe(after: nil).makeAsyncIterator()
        for topic in ["a", "b"] { await bus.publish(event(topic)) }
        for topic in ["a", "b"] {
            #expect(try await one.next()?.topic == topic)
            #expect(try await two.next()?.topic == topic)
        }
    }

    @Test func `a subscriber that waits is woken by the next event`() async throws {
        let bus = bus()
        let stream = await bus.subscribe(after: nil)
        let waiting = Task {
            var iterator = stream.makeAsyncIterator()
            return try await iterator.next()?.topic
        }
        while await bus.waiting == 0 { await Task.yield() }
        await bus.publish(event("a"))
        #expect(try await waiting.value == "a")
    }

    @Test func `numbers grow by one and a client resumes after the last it saw`() async throws {
        let bus = bus()
        var first = await bus.subscribe(after: nil).makeAsyncIterator()
        for topic in ["a", "b", "c"] { await bus.publish(event(topic)) }
        let seen = try #require(try await first.next())
        var resumed = await bus.subscribe(after: seen.sequence).makeAsyncIterator()
        let next = try #require(try await resumed.next())
        #expect(next.topic == "b")
        #expect(next.sequence == seen.sequence + 1)
    }

    @Test(arguments: [true, false])
    func `a subscriber that falls behind is told so`(byCount: Bool) async throws {
        let bus = bus { if byCount { $0.journalEvents = 3 } else { $0.journalBytes = 3 * 1256 } }
        var slow = await bus.subscribe(after: nil).makeAsyncIterator()
        for number in 0..<4 { await bus.publish(event("\(number)", bytes: 1000)) }
        var error: BerthError?
        do { _ = try await slow.next() } catch let thrown as BerthError { error = thrown }
        #expect(error?.code == .resourceExhausted)
        var resumed = await bus.subscribe(after: nil).makeAsyncIterator()
        await bus.publish(event("after"))
        #expect(try await resumed.next()?.topic == "after")
    }

    @Test func `a number of another life of the daemon is out of range`() async throws {
        let bus = JournalEventBus(config: EventsConfig(), epoch: 2)
        await bus.publish(event("a"))
        for foreign in [5, 1 << 32 + 9, 2 << 32 + 2, 3 << 32] as [UInt64] {
            var iterator = await bus.subscribe(after: foreign).makeAsyncIterator()
            var error: BerthError?
            do { _ = try await iterator.next() } catch let thrown as BerthError { error = thrown }
            #expect(error?.code == .outOfRange, "\(foreign)")
        }
        var known = await bus.subscribe(after: UInt64(2) << 32).makeAsyncIterator()
        #expect(try await known.next()?.topic == "a")
    }

    @Test func `an event larger than the journal is still delivered`() async throws {
        let bus = bus { $0.journalBytes = 10 }
        var iterator = await bus.subscribe(after: nil).makeAsyncIterator()
        await bus.publish(event("large", bytes: 5000))
        #expect(try await iterator.next()?.topic == "large")
    }

    @Test func `more subscribers than the limit are refused`() async throws {
        let bus = bus { $0.maxSubscribers = 1 }
        let stream = await bus.subscribe(after: nil)
        let first = Task {
            var iterator = stream.makeAsyncIterator()
            return try await iterator.next()
        }
        while await bus.waiting == 0 { await Task.yield() }
        var second = await bus.subscribe(after: nil).makeAsyncIterator()
        var error: BerthError?
        do { _ = try await second.next() } catch let thrown as BerthError { error = thrown }
        #expect(error?.code == .resourceExhausted)
        await bus.close()
        #expect(try await first.value == nil)
    }

    @Test func `a cancelled subscriber leaves, and closing ends the rest`() async throws {
        let bus = bus()
        let stream = await bus.subscribe(after: nil)
        let waiting = Task {
            var iterator = stream.makeAsyncIterator()
            return try await iterator.next()
        }
        waiting.cancel()
        _ = await waiting.result
        let other = await bus.subscribe(after: nil)
        await bus.publish(event("last"))
        await bus.close()
        var topics: [String] = []
        for try await event in other { topics.append(event.topic) }
        #expect(topics == ["last"])
    }
}
