import Files
import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Handling of Ctrl-C: long work calls ``check()`` between blocks and unwinds, so that temporary files are removed. A second
/// Ctrl-C ends the process at once.
struct Interruption: StopRequest {
  private static let requested = Atomic<Bool>(false)

  static func install() {
    // A parent process may have blocked them, and its mask is inherited.
    var mask = sigset_t()
    sigemptyset(&mask)
    // SIGTERM is sent when the machine shuts down.
    for number in [SIGINT, SIGTERM] {
      signal(number) { _ in
        if Interruption.requested.exchange(true, ordering: .relaxed) { _exit(130) }
      }
      sigaddset(&mask, number)
    }
    pthread_sigmask(SIG_UNBLOCK, &mask, nil)
    // If a reader closes the pipe (qtool … | head), output ends, but a run that writes a file continues.
    signal(SIGPIPE, SIG_IGN)
    // Writing beyond `ulimit -f` then fails with an error that can be reported.
    signal(SIGXFSZ, SIG_IGN)
  }

  /// The command line of this process, quoted for a shell. Running it again continues an interrupted run.
  static var resumeCommand: String { quoted(CommandLine.arguments) }

  /// A command line, quoted for a shell.
  static func quoted(_ arguments: [String]) -> String {
    let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=+:,@%")
    return arguments.map { argument in
      !argument.isEmpty && argument.allSatisfy(plain.contains)
        ? argument : "'" + argument.replacing("'", with: #"'\''"#) + "'"
    }.joined(separator: " ")
  }

  static var isRequested: Bool { requested.load(ordering: .relaxed) }

  static func check() throws {
    if isRequested { throw Interruption() }
  }
}
