internal import BerthDaemon

Daemon.main(plugins: .builtins)
