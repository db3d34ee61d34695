import Files
import Foundation
import TestSupport
import Testing

/// Pipes, devices and directories.
@Suite struct IrregularFileTests {
  let directory: TemporaryDirectory
  let pipe: String
  let folder: String

  init() throws {
    directory = try TemporaryDirectory()
    (pipe, folder) = (directory.path("pipe"), directory.path("folder"))
    try #require(mkfifo(pipe, 0o600) == 0)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
  }

  /// Opening a pipe must not wait for a writer.
  @Test func isNotRead() throws {
    #expect(throws: FileError(.open, path: pipe, code: ESPIPE)) { try PositionedFile(path: pipe) }
    #expect(throws: FileError(.open, path: "/dev/zero", code: ESPIPE)) { try PositionedFile(path: "/dev/zero") }
    #expect(throws: FileError(.open, path: folder, code: EISDIR)) { try PositionedFile(path: folder) }
  }

  /// The error is thrown before the work, not at the final rename.
  @Test func isNotReplaced() throws {
    for overwrite in [false, true] {
      #expect(throws: FileError(.create, path: pipe, code: ESPIPE)) {
        try OutputFile(path: pipe, overwrite: overwrite)
      }
      for path in [folder, folder + "/"] {
        #expect(throws: FileError(.create, path: path, code: EISDIR)) {
          try OutputFile(path: path, overwrite: overwrite)
        }
      }
    }
    #expect(Set(directory.contents) == ["pipe", "folder"])
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
  }
}
