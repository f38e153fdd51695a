internal import BerthKernel
internal import BerthTOML

/// Prints configurations from the plugins' declared keys.
struct ConfigPrinter {
    let plugins: [Plugin]

    /// The plugins that the default configuration starts.
    static let optional: Set<String> = []

    private var ids: [String] { plugins.map(\.id.description).sorted() }

    /// The shipped `config.toml`.
    func defaults() throws -> String {
        let enabled = ids.filter { !Self.optional.contains($0) }
        var text = """
            # The default configuration of berthd: every key with its default. `berthd config print` shows what is in
            # force.

            # The version of this file's layout.
            version = 1

            # Files to read after this one, with wildcards: ["/etc/berth/conf.d/*.toml"]. They win over this one, later
            # ones over earlier ones; tables merge key by key, anything else is replaced.
            imports = []

            # Content that survives a reboot.
            root = "/var/lib/berth"

            # State that a reboot clears.
            state = "/run/berth"

            # The plugins to start. The order does not matter.
            enable = [

            """
        text += enabled.map { "    \"\($0)\",\n" }.joined()
        text += "]\n\n# The plugins without which berthd does not start.\n"
        let required = ["rpc.cri", "server.grpc"].filter(enabled.contains)
        text += "required = [\(required.map { "\"\($0)\"" }.joined(separator: ", "))]\n"
        text += """

            [log]
            # trace, debug, info, notice, warning, error or critical.
            level = "info"
            # text or json.
            format = "text"
            # Levels of single plugins: plugins = { "rpc.cri" = "debug" }.
            plugins = {}

            """
        for plugin in plugins.sorted(by: { $0.id < $1.id }) where !plugin.configKeys.isEmpty {
            text += "\n[plugin.\(plugin.id)]\n"
            let values = try plugin.defaultConfig()
            for key in plugin.configKeys {
                text += "# \(sentence(key.summary))\(reloadNote(key))\n"
                if let value = values[key.name] {
                    text += "\(key.name) = \(value.text)\n"
                } else {
                    text += "# \(key.name) =\n"
                }
            }
        }
        return text
    }

    /// What is in force, each value with where it came from; itself a configuration that means the same.
    func effective(_ configuration: Configuration) throws -> String {
        func origin(_ path: String...) -> String {
            if let key = path.first, path.count == 1, configuration.overrides.contains(key) { return "command line" }
            let node = path.count == 1 ? configuration.merged[path[0]] : configuration.merged.node(at: path)
            return node.map { "\($0.position.file):\($0.position.line)" } ?? "default"
        }
        func list(_ items: [String]) -> String {
            items.isEmpty ? "[]" : "[\n" + items.map { "    \(quoted($0)),\n" }.joined() + "]"
        }
        var text = """
            # Read from: \(configuration.files.joined(separator: ", "))
            version = 1
            root = \(quoted("\(configuration.root)"))  # \(origin("root"))
            state = \(quoted("\(configuration.state)"))  # \(origin("state"))
            enable = \(list(configuration.enable))  # \(origin("enable"))
            required = \(list(configuration.required))  # \(origin("required"))

            [log]
            level = "\(configuration.log.level.rawValue)"  # \(origin("log", "level"))
            format = "\(configuration.log.format.rawValue)"  # \(origin("log", "format"))

            """
        let levels = configuration.log.plugins.sorted { $0.key < $1.key }.map {
            "\(quoted($0.key)) = \"\($0.value.rawValue)\""
        }
        text += "plugins = {\(levels.joined(separator: ", "))}  # \(origin("log", "plugins"))\n"
        for plugin in plugins.sorted(by: { $0.id < $1.id }) where !plugin.configKeys.isEmpty {
            guard configuration.enable.contains(plugin.id.description) else { continue }
            text += "\n[plugin.\(plugin.id)]\n"
            let values = try plugin.defaultConfig()
            let given = configuration.plugins[plugin.id.description]?.table
            for key in plugin.configKeys {
                let source = given?[key.name].map { "\($0.position.file):\($0.position.line)" } ?? "default"
                text += "# \(sentence(key.summary))\n"
                if let value = given?[key.name] ?? values[key.name] {
                    text += "\(key.name) = \(value.text)  # \(source)\n"
                } else {
                    text += "# \(key.name) =  # not set\n"
                }
            }
        }
        return text
    }

    private func quoted(_ text: String) -> String {
        TOMLNode(.string(text), at: SourcePosition(file: "", line: 0, column: 0)).text
    }

    /// The reference page, Markdown.
    func reference() throws -> String {
        var text = """
            # Configuration reference

            Generated by `berthd config reference`; a test keeps it equal to the code. Unknown keys are errors.

            | Key | Default | Meaning |
            |---|---|---|
            | `version` | `1` | The version of the file's layout. |
            | `imports` | `[]` | Files to read after this one, with wildcards; they win over it, tables key by key. |
            | `root` | `"/var/lib/berth"` | Content that survives a reboot. |
            | `state` | `"/run/berth"` | State that a reboot clears. |
            | `enable` | see `config.toml` | The plugins to start. |
            | `required` | see `config.toml` | The plugins without which berthd does not start. |
            | `log.level` | `"info"` | trace, debug, info, notice, warning, error or critical. Applied by a reload. |
            | `log.format` | `"text"` | text or json. |
            | `log.plugins` | `{}` | Levels of single plugins. Applied by a reload. |

            """
        for plugin in plugins.sorted(by: { $0.id < $1.id }) {
            text += "\n## `plugin.\(plugin.id)`\n\n"
            if plugin.configKeys.isEmpty {
                text += "No settings.\n"
                continue
            }
            let values = try plugin.defaultConfig()
            text += "| Key | Default | Meaning |\n|---|---|---|\n"
            for key in plugin.configKeys {
                let initial = values[key.name].map { "`\($0.text)`" } ?? "none"
                text +=
                    "| `\(key.name)` | \(initial) | \(sentence(key.summary))\(reloadNote(key)) |\n"
            }
        }
        return text
    }

    private func reloadNote(_ key: ConfigKey) -> String { key.reloads ? " Applied by a reload." : "" }

    private func sentence(_ summary: String) -> String {
        summary.prefix(1).uppercased() + summary.dropFirst() + "."
    }
}
