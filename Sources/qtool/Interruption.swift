import Files
import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Ctrl-C: long work asks ``check()`` between blocks and unwinds, so that temporary files go; a second Ctrl-C ends the
/// process at once.
struct Interruption: StopRequest {
  private static let requested = Atomic<Bool>(false)

  static func install() {
    // A parent may have blocked them, and its mask is inherited.
    var mask = sigset_t()
    sigemptyset(&mask)
    // SIGTERM: what a machine that shuts down sends.
    for number in [SIGINT, SIGTERM] {
      signal(number) { _ in
        if Interruption.requested.exchange(true, ordering: .relaxed) { _exit(130) }
      }
      sigaddset(&mask, number)
    }
    pthread_sigmask(SIG_UNBLOCK, &mask, nil)
    // A reader that goes away (qtool … | head) ends the output, not the run that writes a file.
    signal(SIGPIPE, SIG_IGN)
    // Beyond `ulimit -f`, too, writing fails with an error that can be told.
    signal(SIGXFSZ, SIG_IGN)
  }

  /// The command line of this process, for a shell: started again, it goes on.
  static var resumeCommand: String {
    let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=+:,@%")
    return CommandLine.arguments.map { argument in
      !argument.isEmpty && argument.allSatisfy(plain.contains)
        ? argument : "'" + argument.replacing("'", with: #"'\''"#) + "'"
    }.joined(separator: " ")
  }

  static var isRequested: Bool { requested.load(ordering: .relaxed) }

  static func check() throws {
    if isRequested { throw Interruption() }
  }
}
