import Foundation
import TestSupport

/// The text of the sources, for tests of rules that the compiler does not check.
enum SourceFiles {
  /// Swift files below Sources, by their path from there, without the lines that are comments.
  static func withoutComments() throws -> [String: String] {
    let sources = Repository.root.appending(path: "Sources").path
    var files: [String: String] = [:]
    for path in try FileManager.default.subpathsOfDirectory(atPath: sources) where path.hasSuffix(".swift") {
      let text = try String(contentsOfFile: sources + "/" + path, encoding: .utf8)
      files[path] = text.split(separator: "\n").filter { !$0.drop(while: { $0 == " " }).hasPrefix("//") }
        .joined(separator: "\n")
    }
    return files
  }
}
