internal import BerthBase

// SAFETY (for the whole file): `Bytes` point into a buffer of nghttp2, valid during the call that hands them over;
// what outlives it is copied.

/// The headers of a request, judged one by one as they come.
struct RequestHead {
    /// What `:path` found.
    enum Target {
        case route(RouteTable.Route)
        case unknown(String)
    }
    private(set) var target: Target?
    private(set) var timeout: Duration?
    private(set) var metadata: [(name: String, value: [UInt8])] = []
    /// The first thing that was wrong, and the HTTP status that says it to who speaks no gRPC.
    private(set) var problem: (error: BerthError, http: String)?
    /// The compression asked for, if any.
    private(set) var compression: String?
    private var isPost = false
    private var isGRPC = false
    private var size = 0
    /// What HTTP/2 counts for a field beside its bytes.
    private static let fieldOverhead = 32
    /// The end of a path that is not served is cut off in messages.
    private static let maxShownPath = 256

    /// How many times longer than the limit a list is read on, to be answered instead of reset.
    private static let patience = 2

    /// Counts a field; the size of the list so far.
    mutating func count(_ name: Bytes, _ value: Bytes) -> Int {
        size += name.count + value.count + Self.fieldOverhead
        return size
    }

    /// Takes a field; false when the list is far longer than `limit`.
    mutating func add(_ name: Bytes, _ value: Bytes, _ routes: RouteTable, limit: Int) -> Bool {
        guard unsafe count(name, value) <= limit, let first = unsafe name.first else {
            fail(.resourceExhausted, "the headers are more than \(limit) bytes", http: "431")
            return size <= Self.patience * limit
        }
        if first == UInt8(ascii: ":") {
            unsafe addPseudo(name, value, routes)
        } else if unsafe name.is("content-type") {
            isGRPC = unsafe Self.isGRPC(value)
            if !isGRPC {
                let text = unsafe String(decoding: value.prefix(Self.maxShownPath), as: UTF8.self)
                fail(.invalidArgument, "content-type '\(text)' is not application/grpc", http: "415")
            }
        } else if unsafe name.starts(with: "grpc-") {
            unsafe addReserved(name, value)
        } else if unsafe !(name.is("te") || name.is("accept-encoding")) {
            unsafe addMetadata(name, value)
        }
        return true
    }

    /// What is wrong with the whole.
    mutating func finish() {
        if problem != nil { return }
        if !isPost { fail(.internal, "the method is not POST", http: "405") }
        if !isGRPC { fail(.invalidArgument, "the request has no content-type application/grpc", http: "415") }
    }

    /// The path as text.
    var path: String {
        switch target {
        case .route(let route): route.path
        case .unknown(let path): path
        case nil: ""
        }
    }

    private mutating func fail(_ code: BerthError.Code, _ message: String, http: String) {
        if problem == nil { problem = (BerthError(code, message), http) }
    }

    private mutating func addPseudo(_ name: Bytes, _ value: Bytes, _ routes: RouteTable) {
        if unsafe name.is(":path") {
            if let route = unsafe routes.find(value) {
                target = .route(route)
            } else {
                target = unsafe .unknown(String(decoding: value.prefix(Self.maxShownPath), as: UTF8.self))
            }
        } else if unsafe name.is(":method") {
            isPost = unsafe value.is("POST")
        }
    }

    private mutating func addReserved(_ name: Bytes, _ value: Bytes) {
        if unsafe name.is("grpc-timeout") {
            timeout = unsafe GRPCTimeout.parse(value)
            if timeout == nil { fail(.internal, "malformed grpc-timeout", http: "400") }
        } else if unsafe name.is("grpc-encoding"), unsafe !value.is("identity") {
            compression = unsafe String(decoding: value.prefix(Self.maxShownPath), as: UTF8.self)
        }
        // The other names of gRPC are not for handlers.
    }

    private mutating func addMetadata(_ name: Bytes, _ value: Bytes) {
        let key = unsafe String(decoding: name, as: UTF8.self)
        guard key.hasSuffix("-bin") else { return metadata.append((key, unsafe Array(value))) }
        // Several values may be joined by commas.
        for part in unsafe String(decoding: value, as: UTF8.self).split(
            separator: ",", omittingEmptySubsequences: false)
        {
            guard let bytes = Base64.decode(String(part).trimmed) else {
                return fail(.internal, "malformed base64 in metadata '\(key)'", http: "400")
            }
            metadata.append((key, bytes))
        }
    }

    /// `application/grpc`, alone or with `+format` or `;parameters`.
    private static func isGRPC(_ value: Bytes) -> Bool {
        let type: StaticString = "application/grpc"
        guard unsafe value.starts(with: type) else { return false }
        let count = type.utf8CodeUnitCount
        return unsafe value.count == count || value[count] == UInt8(ascii: "+")
            || value[count] == UInt8(ascii: ";")
    }
}

extension String {
    fileprivate var trimmed: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes are those of a text.
    func `is`(_ text: StaticString) -> Bool {
        unsafe count == text.utf8CodeUnitCount && starts(with: text)
    }

    /// Whether the bytes begin with those of a text.
    func starts(with text: StaticString) -> Bool {
        guard count >= text.utf8CodeUnitCount else { return false }
        for index in 0..<text.utf8CodeUnitCount {
            // SAFETY: the index is within both.
            if unsafe self[index] != text.utf8Start[index] { return false }
        }
        return true
    }
}
