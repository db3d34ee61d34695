import Files
import Foundation
import TestSupport
import Testing

/// A lock ends with its run, even where a child process between fork and exec shares its descriptor. A duplicate of the
/// descriptor simulates the child.
@Suite struct LockTests {
  private func duplicate(of path: String) throws -> Int32 {
    var file = stat()
    try #require(stat(path, &file) == 0)
    let descriptor = try #require(
      (Int32(3)..<4096).first { descriptor in
        var other = stat()
        return fstat(descriptor, &other) == 0 && other.st_dev == file.st_dev && other.st_ino == file.st_ino
      })
    return dup(descriptor)
  }

  @Test func aJournalIsFreeOnceItsRunEnds() throws {
    let directory = try TemporaryDirectory()
    let output = directory.path("out")
    let identity = RunIdentity([RunIdentity.Field("model", "m")])
    var journal: RunJournal? = try RunJournal(output: output, identity: identity, restart: false)
    let shared = try duplicate(of: RunJournal.path(for: output))
    defer { close(shared) }
    let error = #expect(throws: FileError.self) {
      try RunJournal(output: output, identity: identity, restart: false)
    }
    #expect(error?.code == EBUSY)
    #expect(journal != nil)
    journal = nil
    journal = try RunJournal(output: output, identity: identity, restart: false)
  }

  @Test func anOutputIsFreeOnceItsRunEnds() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("out")
    var output: OutputFile? = try OutputFile(path: path)
    output?.keepTemporary()
    let shared = try duplicate(of: path + ".part")
    defer { close(shared) }
    let error = #expect(throws: FileError.self) { try OutputFile(path: path) }
    #expect(error?.code == EBUSY)
    output = nil
    output = try OutputFile(path: path)
  }
}
