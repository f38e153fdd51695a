internal import BerthShim
internal import Glibc

exit(ShimProgram.run(Array(CommandLine.arguments.dropFirst())))
