import BerthKernel
import Glibc
import SystemPackage

/// Settings whose description is wrong.
struct Misdescribed: PluginConfig {
    var size = 1
    var colour: String?
    static var keys: [ConfigKey] {
        [ConfigKey("colour", "its colour."), ConfigKey("weight", "how heavy it is")]
    }
}

/// Plugins that break one rule each: the conformance suite must find it.
let badPlugins = [
    Plugin("descriptor", provides: ServiceKey<Int32>("bad-descriptor"), config: NoConfig.self) { _ in
        open("/dev/null", O_RDONLY)
    },
    Plugin("socket", provides: ServiceKey<Int32>("bad-socket"), config: NoConfig.self) { context in
        mkfifo(context.state.appending("left").string, 0o600)
    },
    Plugin("thread", provides: ServiceKey<Int>("bad-thread"), config: NoConfig.self) { _ in
        var thread = pthread_t()
        return Int(pthread_create(&thread, nil, { _ in
            sleep(100)
            return nil
        }, nil))
    },
    Plugin("settings", provides: ServiceKey<Int>("bad-settings"), config: Misdescribed.self) { _ in 1 },
    Plugin("stop", provides: ServiceKey<Int>("bad-stop"), config: NoConfig.self) { context in
        context.onStop("close") { try? await Task.sleep(for: .seconds(30)) }
        return 1
    },
]
