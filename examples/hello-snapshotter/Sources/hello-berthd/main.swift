import BerthDaemon
import HelloSnapshotter

Daemon.main(plugins: .builtins + [.hello])
