import BerthDaemon
import BerthKernel
import BerthServices
import Logging

// A daemon of one's own with plugins that misbehave, for the tests of the daemon's manners.

struct Patience: PluginConfig {
    var seconds = 60
    var colour = "red"
    static var keys: [ConfigKey] {
        [
            ConfigKey("seconds", "how long it dawdles", reloads: true),
            ConfigKey("colour", "its colour"),
        ]
    }
}

let hangsInStart = Plugin("start", provides: ServiceKey<Int>("slow-start"), config: Patience.self) { context in
    try await Task.sleep(for: .seconds(context.config.seconds))
    return 1
}
let hangsInStop = Plugin("stop", provides: ServiceKey<Int>("slow-stop"), config: Patience.self) { context in
    let seconds = context.config.seconds
    context.onStop("dawdle") { try? await Task.sleep(for: .seconds(seconds)) }
    context.onReload { config in
        guard config.seconds < 1000 else { throw PluginSkipped("too long") }
        context.logger.info("new patience", metadata: ["seconds": "\(config.seconds)"])
    }
    return 1
}
let fails = Plugin("now", provides: ServiceKey<Int>("fails"), config: NoConfig.self) { context -> Int in
    context.logger.debug("about to fail")
    throw PluginSkipped("it always does")
}
let chatters = Plugin("box", provides: ServiceKey<Int>("chatter"), config: NoConfig.self) { context in
    context.run("chatter") {
        while true {
            context.logger.debug("a word", metadata: ["odd": "two\nlines \"quoted\""])
            try await Task.sleep(for: .milliseconds(20))
        }
    }
    return 1
}

Daemon.main(plugins: .builtins + [hangsInStart, hangsInStop, fails, chatters])
