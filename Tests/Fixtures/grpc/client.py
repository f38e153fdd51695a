"""A gRPC client that is neither ours nor Swift: checks what a server of the test service must do.

usage: client.py SOCKET. Prints one line a check, and exits with 1 at the first that fails.
"""
import sys
import threading
import time

import grpc

BYTES = dict(request_serializer=lambda b: b, response_deserializer=lambda b: b)
SERVICE = "/test.v1.Test/"


def expect(name, condition, *details):
    print("ok" if condition else "FAILED", name, *details, flush=True)
    if not condition:
        sys.exit(1)


def error(call):
    try:
        call()
    except grpc.RpcError as failure:
        return failure
    return None


def unary(channel):
    echo = channel.unary_unary(SERVICE + "Echo", **BYTES)
    for size in (0, 1, 1000, 100_000, 3_000_000):
        expect(f"echo of {size} bytes", echo(b"x" * size) == b"x" * size)
    later = channel.unary_unary(SERVICE + "EchoLater", **BYTES)
    futures = [later.future(str(number).encode()) for number in range(500)]
    expect("500 calls at once", all(f.result() == str(n).encode() for n, f in enumerate(futures)))
    answer, call = echo.with_call(b"m", metadata=(("x-text", "a b"), ("x-blob-bin", b"\x00\xff\n")))
    expect("metadata is accepted", answer == b"m" and call.code() == grpc.StatusCode.OK)


def errors(channel):
    fail = channel.unary_unary(SERVICE + "Fail", **BYTES)
    for code in grpc.StatusCode:
        if code != grpc.StatusCode.OK:
            failure = error(lambda: fail(bytes([code.value[0]])))
            expect(f"code {code.name}", failure.code() == code)
            expect("its message", failure.details() == "fail: 100% ünlucky\nsecond line", repr(failure.details()))
    for path in ("/test.v1.Test/Nope", "/no.Such/Echo", "//test.v1.Test/Echo", "/test.v1.Test/Echo/"):
        failure = error(lambda: channel.unary_unary(path, **BYTES)(b""))
        expect(f"{path} is unimplemented", failure.code() == grpc.StatusCode.UNIMPLEMENTED, failure.details())
    failure = error(lambda: channel.unary_unary(SERVICE + "Echo", **BYTES)(b"x" * (17 << 20)))
    expect("17 MiB are too much", failure.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, failure.details())


def compression(path):
    with grpc.insecure_channel(path, compression=grpc.Compression.Gzip) as channel:
        failure = error(lambda: channel.unary_unary(SERVICE + "Echo", **BYTES)(b"x" * 10_000))
        expect("gzip is refused", failure.code() == grpc.StatusCode.UNIMPLEMENTED, failure.details())


def ends(channel):
    hang = channel.unary_unary(SERVICE + "Hang", **BYTES)
    begin = time.monotonic()
    failure = error(lambda: hang(b"", timeout=0.2))
    expect("a deadline ends a call", failure.code() == grpc.StatusCode.DEADLINE_EXCEEDED)
    expect("in time", 0.1 < time.monotonic() - begin < 5)
    future = hang.future(b"")
    threading.Timer(0.1, future.cancel).start()
    try:
        future.result(timeout=5)
        expect("a cancelled call has no result", False)
    except grpc.FutureCancelledError:
        expect("a call is cancelled", True)


def streams(channel):
    all_of = channel.stream_stream(SERVICE + "EchoAll", **BYTES)
    messages = [bytes([n % 256]) * (n * 997 % 50_000) for n in range(300)]
    expect("300 messages there and back", list(all_of(iter(messages))) == messages)
    source = channel.unary_stream(SERVICE + "Source", **BYTES)
    seen = 0
    for message in source((10_000).to_bytes(2, "big")):
        if seen < 20:
            time.sleep(0.01)  # a slow reader
        seen += len(message) == 10_000
    expect("a slow reader gets everything", seen == 1000)
    sink = channel.stream_unary(SERVICE + "Sink", **BYTES)
    expect("a slow handler gets everything", sink(iter([b"y" * 10_000] * 200)) == b"2000000")
    call = source((10_000).to_bytes(2, "big"))
    next(call)
    call.cancel()
    late = channel.unary_stream(SERVICE + "FailLate", **BYTES)(b"")
    expect("messages before an error", [next(late), next(late)] == [b"\x01", b"\x02"])
    failure = error(lambda: next(late))
    expect("and the error", failure.code() == grpc.StatusCode.ABORTED and failure.details() == "enough")


def main():
    path = "unix:" + sys.argv[1]
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(path, options=options) as channel:
        for check in (unary, errors, ends, streams):
            check(channel)
    compression(path)
    print("all checks passed")


main()
