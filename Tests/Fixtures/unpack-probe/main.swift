internal import BerthArchive
internal import Glibc

// The unpack helper as a program of its own: what tests run in the place of `berthd unpack-helper`.
exit(UnpackHelper.main(Array(CommandLine.arguments.dropFirst(2))))
