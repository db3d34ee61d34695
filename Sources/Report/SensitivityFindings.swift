import Foundation

/// Findings of a sensitivity table in JSON, as far as a page shows them.
public struct SensitivityFindings: Decodable, Sendable {
  struct Entry: Decodable {
    let tensor: String
    let coefficient: Double
  }

  let model: String
  let entries: [Entry]

  /// - Throws: `DecodingError` if the data is something else.
  public init(json: Data) throws {
    self = try JSONDecoder().decode(SensitivityFindings.self, from: json)
  }
}
