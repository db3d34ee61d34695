import Foundation
import TestSupport
import Testing

/// The small random models of Fixtures/reference.
enum ReferenceModel {
  /// A copy of one, with the tokenizer that all share.
  static func copy(_ name: String) throws -> DemoCopy {
    let fixtures = try #require(Bundle.module.url(forResource: "Fixtures/reference", withExtension: nil))
    return try DemoCopy(
      [name, "tokenizer"].flatMap {
        try FileManager.default.contentsOfDirectory(at: fixtures.appending(path: $0), includingPropertiesForKeys: nil)
      })
  }
}
