package import BerthBase

extension OCISpec {
    /// Reads a specification from the bytes of a `config.json`.
    ///
    /// - Throws: `invalidArgument` that names the place at fault.
    package init(json: [UInt8]) throws(BerthError) { self = try OCIJSON.decode(OCISpec.self, json, as: "config.json") }

    /// The bytes of a `config.json`.
    package func json() throws(BerthError) -> [UInt8] { try OCIJSON.encode(self) }
}

/// JSON in and out for the types of the runtime specification.
package enum OCIJSON {
    /// Decodes one value; `what` names the document in errors.
    package static func decode<T: Decodable>(
        _ type: T.Type, _ json: [UInt8], as what: String
    ) throws(BerthError) -> T {
        do {
            return try JSONValueDecoder().decode(type, from: json)
        } catch {
            throw BerthError(.invalidArgument, "parse \(what): \(explain(error))")
        }
    }

    /// Encodes one value, keys in order.
    package static func encode(_ value: some Encodable, pretty: Bool = false) throws(BerthError) -> [UInt8] {
        do {
            return try JSONValueEncoder().encode(value).encoded(pretty: pretty)
        } catch {
            throw BerthError(.internal, "encode \(type(of: value)): \(error)")
        }
    }

    private static func explain(_ error: any Error) -> String {
        if let error = error as? BerthError { return error.message }
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .keyNotFound(let key, let context): return "\(path(context)) has no '\(key.stringValue)'"
        case .typeMismatch(let type, let context): return "\(path(context)) is not a \(type)"
        case .valueNotFound(let type, let context): return "\(path(context)) is null and not a \(type)"
        case .dataCorrupted(let context): return "\(path(context)): \(context.debugDescription)"
        @unknown default: return "\(error)"
        }
    }

    private static func path(_ context: DecodingError.Context) -> String {
        let parts = context.codingPath.map { key in key.intValue.map { "[\($0)]" } ?? ".\(key.stringValue)" }
        let joined = parts.joined()
        return joined.isEmpty ? "the document" : "'" + joined.drop { $0 == "." } + "'"
    }
}
