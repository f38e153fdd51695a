import BerthBase
import BerthShimAPI
import Testing

@Suite struct MessageTests {
    func reason(_ bytes: [UInt8]) -> String {
        do {
            _ = try StateResponse(decoding: bytes)
            return "no error"
        } catch {
            let known = BerthError.wrapping(error)
            #expect(known.code == .invalidArgument)
            return known.message
        }
    }

    @Test func `the bytes are protobuf's`() throws {
        var exit = TaskExitEvent()
        exit.containerID = "c1"
        exit.id = "c1"
        exit.pid = 300
        exit.exitStatus = 137
        exit.exitedAt = Timestamp(nanoseconds: 1_500_000_007)
        // As `protoc --encode` writes it.
        let wire: [UInt8] = [
            0x0a, 2, 0x63, 0x31, 0x12, 2, 0x63, 0x31, 0x18, 0xac, 0x02, 0x20, 0x89, 0x01, 0x2a, 8, 0x08, 1, 0x10, 0x87,
            0xca, 0xb5, 0xee, 0x01,
        ]
        #expect(exit.encoded() == wire)
        #expect(try TaskExitEvent(decoding: wire) == exit)
    }

    @Test func `every kind of field makes the round trip`() throws {
        var request = CreateTaskRequest()
        request.id = "c"
        var mount = MountMessage()
        mount.type = "overlay"
        mount.options = ["lowerdir=/a:/b", "", "ro"]
        request.rootfs = [mount, MountMessage()]
        request.terminal = true
        request.options = WireAny(typeURL: "x", value: [0, 255])
        #expect(try CreateTaskRequest(decoding: request.encoded()) == request)

        var metrics = CgroupV1Metrics()
        metrics.cpu = CgroupV1CPUStat()
        metrics.cpu?.usage = CgroupV1CPUUsage()
        metrics.cpu?.usage?.perCpu = [0, 1, .max]
        #expect(try CgroupV1Metrics(decoding: metrics.encoded()) == metrics)

        var pressure = CgroupV2PSIData()
        pressure.avg10 = 1.5
        pressure.total = 7
        #expect(try CgroupV2PSIData(decoding: pressure.encoded()) == pressure)

        var status = RPCStatus()
        status.code = -1
        #expect(try RPCStatus(decoding: status.encoded()) == status)

        var update = UpdateTaskRequest()
        update.annotations = ["b": "2", "a": ""]
        #expect(try UpdateTaskRequest(decoding: update.encoded()) == update)
    }

    @Test func `repeated numbers are read packed and unpacked`() throws {
        let unpacked: [UInt8] = [0x20, 1, 0x20, 2]
        let packed: [UInt8] = [0x22, 2, 1, 2]
        #expect(try CgroupV1CPUUsage(decoding: unpacked).perCpu == [1, 2])
        #expect(try CgroupV1CPUUsage(decoding: packed).perCpu == [1, 2])
    }

    @Test func `the time that Go sends for never reads as none`() throws {
        // Seconds of 0001-01-01, as `google.protobuf.Timestamp`.
        let seconds: [UInt8] = [0x08, 0x80, 0x92, 0xb8, 0xc3, 0x98, 0xfe, 0xff, 0xff, 0xff, 0x01]
        let state = try StateResponse(decoding: [0x52, UInt8(seconds.count)] + seconds)
        #expect(state.exitedAt == nil)
    }

    @Test func `unknown fields of every wire type are skipped`() throws {
        let unknown: [[UInt8]] = [
            [0xa0, 0x06, 0xff, 0x01], [0xa1, 0x06] + [UInt8](repeating: 1, count: 8), [0xa2, 0x06, 2, 1, 1],
            [0xa3, 0x06, 0x08, 1, 0xa4, 0x06], [0xa5, 0x06, 1, 2, 3, 4],
        ]
        for field in unknown {
            #expect(try PidsRequest(decoding: field + [0x0a, 1, 0x61] + field).id == "a")
        }
    }

    @Test func `what is no message is refused with the reason`() {
        let name = "decode containerd.task.v3.StateResponse: "
        #expect(reason([0x0a]) == name + "a truncated number")
        #expect(reason([0x0a, 0xff]) == name + "a truncated number")
        #expect(reason([0x0a, 5, 1]) == name + "field 1 claims 5 bytes of 1")
        let huge: [UInt8] = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
        #expect(reason(huge) == name + "field 1 claims \(UInt64.max) bytes of 0")
        #expect(reason([0x18] + [UInt8](repeating: 0x80, count: 10) + [0]) == name + "a number longer than 64 bits")
        #expect(reason([0x18] + [UInt8](repeating: 0xff, count: 9) + [2]) == name + "a number longer than 64 bits")
        #expect(reason([0x0a, 1, 0xff]) == name + "field 1 is not UTF-8")
        #expect(reason([0x08, 1]) == name + "field 1 has wire type 0, not 2")
        #expect(reason([0x02, 0]) == name + "field number 0")
        #expect(reason([0x0e]) == name + "wire type 6")
        #expect(reason([0x0c]) == name + "field 1 has wire type 4, not 2")
        #expect(reason([0xa4, 0x06]) == name + "the end of a group that never began")
        #expect(reason([0xa3, 0x06, 0xac, 0x06]) == name + "group 100 ends as 101")
        let deep = [UInt8]((0..<40).flatMap { _ in [UInt8(0xa3), 0x06] })
        #expect(reason(deep) == name + "groups nested deeper than 16")
    }

    @Test func `every prefix and every flipped bit of a message decodes or is refused, and nothing traps`() {
        var request = CreateTaskRequest()
        request.id = "container"
        var mount = MountMessage()
        mount.options = ["a", "b"]
        request.rootfs = [mount]
        request.options = WireAny(typeURL: "t", value: [1, 2, 3])
        let wire = request.encoded()
        var refused = 0
        for count in 0..<wire.count where (try? CreateTaskRequest(decoding: Array(wire[..<count]))) == nil {
            refused += 1
        }
        for bit in 0..<wire.count * 8 {
            var broken = wire
            broken[bit / 8] ^= 1 << UInt8(bit % 8)
            if (try? CreateTaskRequest(decoding: broken)) == nil { refused += 1 }
        }
        #expect(refused > 20)
    }

    @Test func `random bytes decode or are refused`() {
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 0...64)).map { _ in UInt8.random(in: 0...255) }
            _ = try? CreateTaskRequest(decoding: bytes)
            _ = try? CgroupV2Metrics(decoding: bytes)
            _ = try? TTRPCRequest(decoding: bytes)
        }
    }

    @Test func `an any unpacks by its name, with or without a host`() throws {
        var start = TaskStartEvent()
        start.pid = 7
        #expect(start.asAny.typeURL == "containerd.events.TaskStart")
        #expect(try start.asAny.unpack(TaskStartEvent.self) == start)
        let hosted = WireAny(typeURL: "type.googleapis.com/containerd.events.TaskStart", value: start.encoded())
        #expect(try hosted.unpack(TaskStartEvent.self) == start)
        #expect(try hosted.unpack(TaskExitEvent.self) == nil)
    }

    @Test func `exit records survive a line that was cut short`() {
        var exit = ShimExit()
        exit.sequence = 1
        exit.containerID = "abc"
        exit.pid = 42
        exit.exitStatus = 137
        exit.exitedAt = Timestamp(nanoseconds: 5)
        exit.oomKilled = true
        var exec = exit
        exec.sequence = 2
        exec.execID = "e"
        let file = ExitRecord(exit).line + ExitRecord(exec).line
        #expect(ExitRecord.parse(file) == [exit, exec])
        for cut in 1..<ExitRecord(exec).line.count {
            #expect(ExitRecord.parse(Array(file.dropLast(cut))) == [exit])
        }
        #expect(ExitRecord.parse(Array("garbage\n".utf8) + ExitRecord(exit).line) == [exit])
    }

    @Test func `errors keep their code over the wire`() {
        for code in BerthError.Code.allCases {
            #expect(RPCStatus(BerthError(code, "m")).error?.code == code)
        }
        var status = RPCStatus()
        #expect(status.error == nil)
        status.code = 99
        #expect(status.error?.code == .unknown)
    }

    @Test func `timeouts are nanoseconds and never overflow`() {
        func nanoseconds(_ timeout: Duration?) -> Int64 {
            TTRPCRequest(service: "s", method: "m", payload: [], timeout: timeout).timeoutNano
        }
        #expect(nanoseconds(nil) == 0)
        #expect(nanoseconds(.milliseconds(1500)) == 1_500_000_000)
        #expect(nanoseconds(.seconds(Int64.max / 2)) == .max)
        #expect(nanoseconds(.zero) == 1)
    }
}
