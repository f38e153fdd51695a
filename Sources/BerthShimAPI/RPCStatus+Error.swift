package import BerthBase

extension RPCStatus {
    /// The status of an error. The message alone goes over the wire, with its cause's.
    package init(_ error: BerthError) {
        self.init()
        code = error.code.rawValue
        message = error.description
    }

    /// The error, or nil for success. A code nobody knows is `unknown`.
    package var error: BerthError? {
        guard code != 0 else { return nil }
        return BerthError(BerthError.Code(rawValue: code) ?? .unknown, message)
    }
}

extension TTRPCResponse {
    /// A success.
    package init(payload: [UInt8]) {
        self.init()
        self.payload = payload
    }

    /// A failure.
    package init(_ error: BerthError) {
        self.init()
        status = RPCStatus(error)
    }
}

extension TTRPCRequest {
    /// A call of a method; a timeout of nil is none.
    package init(service: String, method: String, payload: [UInt8], timeout: Duration? = nil) {
        self.init()
        self.service = service
        self.method = method
        self.payload = payload
        if let timeout {
            let (seconds, attoseconds) = timeout.components
            let (whole, tooBig) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
            timeoutNano = tooBig ? .max : max(1, whole + attoseconds / 1_000_000_000)
        }
    }
}
