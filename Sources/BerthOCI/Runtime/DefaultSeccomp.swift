/// The seccomp profile of containers that ask for the runtime's default.
package enum DefaultSeccomp {}
