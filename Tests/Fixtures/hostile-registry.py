#!/usr/bin/env python3
"""A registry that serves an OCI layout and misbehaves as it is told. Python's standard library alone.

    hostile-registry.py --layout DIR --port-file FILE --rules FILE --log FILE [--tls CERT KEY] [--auth MODE] [--realm URL]

The rules file is read at every request: a JSON list of objects, the first that matches and is not used up counts.

    path     a regular expression for method, space and path, e.g. "GET /v2/.*/blobs/"
    times    how often the rule counts (default: always)
    status, headers, body      answer that
    drop_after: N              send the true headers and N bytes of the body, then drop the connection
    stall_after: N             send N bytes of the body, then nothing
    claim: N                   say that the body has N bytes more than it has, and send so many more (or fewer)
    corrupt: true              flip a byte of the body
    endless: true              send bytes for ever, chunked
    no_range: true             ignore Range
    type: TEXT                 another content type
    redirect: URL              with "{path}" replaced by the path

The log has one JSON object a request: path, method, authorization, range, query.
Authorization: "none", "basic" (user:secret), "bearer" (tokens from /token, for user:secret, for nobody if --anonymous,
or for the refresh token "refresh-me").
"""
import argparse, base64, http.server, json, os, re, ssl, sys, threading, time, urllib.parse

options = argparse.ArgumentParser()
for name in ("layout", "rules", "log"): options.add_argument("--" + name, required=True)
options.add_argument("--port-file", required=True)
options.add_argument("--tls", nargs=2)
options.add_argument("--auth", default="none")
options.add_argument("--realm")
options.add_argument("--anonymous", action="store_true")
options.add_argument("--lifetime", type=int, default=300)
options = options.parse_args()

lock = threading.Lock()
used = {}
tokens = {}
BASIC = "Basic " + base64.b64encode(b"user:secret").decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_): pass

    def note(self, path, query):
        entry = {"method": self.command, "path": path, "query": query, "port": options.port,
                 "authorization": self.headers.get("Authorization"), "range": self.headers.get("Range"),
                 "tenant": self.headers.get("X-Tenant")}
        with lock, open(options.log, "a") as file: file.write(json.dumps(entry) + "\n")

    def rule(self, path):
        try:
            with open(options.rules) as file: text = file.read()
            rules = json.loads(text)
        except (OSError, ValueError):
            return {}
        for index, rule in enumerate(rules):
            if not re.match(rule["path"], f"{self.command} {path}"): continue
            with lock:
                key = (text, index)
                if used.get(key, 0) >= rule.get("times", 1 << 30): continue
                used[key] = used.get(key, 0) + 1
            return rule
        return {}

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers: self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)

    def do_HEAD(self): self.do_GET()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        path = urllib.parse.urlsplit(self.path).path
        self.note(path, body)
        if path != "/token": return self.answer(405)
        form = urllib.parse.parse_qs(body)
        if form.get("grant_type") != ["refresh_token"] or form.get("refresh_token") != ["refresh-me"]:
            return self.answer(401)
        self.token(form.get("scope", [""])[0])

    def token(self, scope):
        token = f"token-{len(tokens)}-{time.time_ns()}"
        tokens[token] = (scope, time.time() + options.lifetime)
        self.answer(200, json.dumps({"token": token, "expires_in": options.lifetime}).encode(),
                    [("Content-Type", "application/json")])

    def allowed(self, path):
        given = self.headers.get("Authorization") or ""
        if options.auth == "none": return True
        if options.auth == "basic":
            if given == BASIC: return True
            self.answer(401, b"{}", [("WWW-Authenticate", 'Basic realm="test"')])
            return False
        match = re.match(r"/v2/(.*)/(manifests|blobs)/", path)
        scope = f"repository:{match[1]}:pull" if match else ""
        known = tokens.get(given.removeprefix("Bearer "))
        if known and known[0] == scope and known[1] > time.time(): return True
        scheme = "https" if options.tls else "http"
        realm = options.realm or f"{scheme}://127.0.0.1:{options.port}/token"
        self.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"secret message"}]}',
                    [("WWW-Authenticate", f'Bearer realm="{realm}",service="test",scope="{scope}"')])
        return False

    def do_GET(self):
        parts = urllib.parse.urlsplit(self.path)
        path = parts.path
        self.note(path, parts.query)
        rule = self.rule(path)
        if "redirect" in rule:
            return self.answer(307, b"", [("Location", rule["redirect"].replace("{path}", path))])
        if "status" in rule:
            return self.answer(rule["status"], rule.get("body", "").encode(), list(rule.get("headers", {}).items()))
        if path == "/token":
            given = self.headers.get("Authorization")
            if given != BASIC and not (options.anonymous and given is None): return self.answer(401)
            return self.token(urllib.parse.parse_qs(parts.query).get("scope", [""])[0])
        if not self.allowed(path): return
        if path.rstrip("/") == "/v2": return self.answer(200, b"{}")
        try:
            body, kind, digest = self.content(path)
        except (OSError, KeyError, IndexError, ValueError):
            return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"?"}]}')
        self.serve(rule, body, kind, digest)

    def content(self, path):
        match = re.match(r"(?:/v2)?/(.*)/(manifests|blobs)/(.*)", path)
        name = match[3] if match else path.rsplit("/", 1)[1]
        if not name.startswith("sha256:"):
            with open(options.layout + "/index.json") as file: name = json.load(file)["manifests"][0]["digest"]
        digits = name.removeprefix("sha256:")
        with open(f"{options.layout}/blobs/sha256/{digits}", "rb") as file: body = file.read()
        with open(f"{options.layout}/types/{digits}") as file: kind = file.read()
        return body, kind, name

    def serve(self, rule, body, kind, digest):
        whole = len(body)
        start, status = 0, 200
        wanted = re.match(r"bytes=(\d+)-$", self.headers.get("Range") or "")
        if wanted and not rule.get("no_range"): start, status = int(wanted[1]), 206
        body = bytearray(body[start:])
        if rule.get("corrupt") and body: body[len(body) // 2] ^= 1
        claim = rule.get("claim", 0)
        body = body + b"x" * claim if claim > 0 else body[:len(body) + claim]
        self.send_response(status)
        self.send_header("Content-Type", rule.get("type", kind))
        if status == 206: self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        if "digest" in rule: self.send_header("Docker-Content-Digest", rule["digest"])
        if rule.get("endless"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while True: self.wfile.write(b"10000\r\n" + b"{" * 65536 + b"\r\n")
        if rule.get("chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), bytes(body)))
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD": return
        if "drop_after" in rule:
            self.wfile.write(body[:rule["drop_after"]])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        if "stall_after" in rule:
            self.wfile.write(body[:rule["stall_after"]])
            self.wfile.flush()
            time.sleep(3600)
        pace = rule.get("pace")
        if pace:
            for at in range(0, len(body), pace):
                self.wfile.write(body[at:at + pace])
                time.sleep(0.05)
            return
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_): pass

    def finish_request(self, request, address):
        if options.tls:
            request = context.wrap_socket(request, server_side=True)
        self.RequestHandlerClass(request, address, self)


if options.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*options.tls)
server = Server(("127.0.0.1", 0), Handler)
options.port = server.server_address[1]
with open(options.port_file + ".new", "w") as file: file.write(str(options.port))
os.rename(options.port_file + ".new", options.port_file)
server.serve_forever()
