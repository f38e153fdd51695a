import BerthBase
import BerthSystem
import Glibc
import SystemPackage

/// A registry that misbehaves as a test tells it (Tests/Fixtures/hostile-registry.py).
final class HostileRegistry: Sendable {
    let host: String
    private let rulesPath: String
    private let logPath: String
    private let companion: Companion

    /// One request it got.
    struct Request {
        var method: String
        var path: String
        var query: String
        var authorization: String?
        var range: String?
        var tenant: String?
    }

    init(_ layout: ImageLayout, in folder: String, _ options: String = "") async throws {
        let name = "\(folder)/hostile-\(UInt32.random(in: .min ... .max))"
        (rulesPath, logPath) = (name + ".rules", name + ".requests")
        let script = FilePath(#filePath).removingLastComponent().removingLastComponent()
            .appending("Fixtures/hostile-registry.py")
        try Files.replace(rulesPath, with: Array("[]".utf8), mode: 0o644)
        let files = "--port-file '\(name).port' --rules '\(rulesPath)' --log '\(logPath)'"
        companion = try Companion(
            "python3 '\(script)' --layout '\(layout.folder)' \(files) \(options)", log: name + ".log")
        var port: String?
        for _ in 0..<2400 where port == nil {
            port = try? Files.text(name + ".port")
            if port == nil { try await Task.sleep(for: .milliseconds(25)) }
        }
        guard let port else {
            throw BerthError(.unavailable, "no hostile registry: \((try? Files.text(name + ".log")) ?? "")")
        }
        host = "127.0.0.1:\(port)"
    }

    /// Replaces the rules: JSON objects.
    func rules(_ rules: String...) throws {
        try Files.replace(rulesPath, with: Array("[\(rules.joined(separator: ","))]".utf8), mode: 0o644)
    }

    /// What was asked so far.
    var requests: [Request] {
        let text = (try? Files.text(logPath)) ?? ""
        return text.split(separator: "\n").compactMap { line in
            guard let json = try? JSONValue(parsing: Array(line.utf8)), let method = json["method"]?.string,
                let path = json["path"]?.string
            else { return nil }
            return Request(
                method: method, path: path, query: json["query"]?.string ?? "",
                authorization: json["authorization"]?.string, range: json["range"]?.string,
                tenant: json["tenant"]?.string)
        }
    }

    func end() { companion.end() }
}

/// A certificate authority and a certificate for 127.0.0.1 signed by it, made by openssl.
struct Certificates {
    let authority: String
    let certificate: String
    let key: String

    init(in folder: String) throws {
        (authority, certificate, key) = ("\(folder)/ca.crt", "\(folder)/server.crt", "\(folder)/server.key")
        let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        try Self.openssl(
            ["req", "-x509"] + new + ["-keyout", "\(folder)/ca.key", "-out", authority, "-subj", "/CN=test authority"])
        try Self.openssl(
            ["req"] + new.dropLast(2) + ["-keyout", key, "-out", "\(folder)/server.csr", "-subj", "/CN=registry"])
        try Files.replace("\(folder)/ext", with: Array("subjectAltName=IP:127.0.0.1".utf8), mode: 0o600)
        try Self.openssl([
            "x509", "-req", "-in", "\(folder)/server.csr", "-CA", authority, "-CAkey", "\(folder)/ca.key",
            "-CAcreateserial", "-days", "2", "-out", certificate, "-extfile", "\(folder)/ext",
        ])
    }

    private static func openssl(_ words: [String]) throws {
        let outcome = try ChildProcess.run(
            .init("/usr/bin/openssl", words, environment: ["PATH=/usr/bin:/bin", "HOME=/tmp"], deadline: .seconds(30)))
        guard outcome.status == 0 else {
            throw BerthError(.internal, "openssl: \(String(decoding: outcome.errors, as: UTF8.self))")
        }
    }
}
