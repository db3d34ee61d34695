import Foundation

/// What `qtool sensitivity` measured, as far as a page shows it.
public struct SensitivityFindings: Decodable, Sendable {
  struct Entry: Decodable {
    let tensor: String
    let coefficient: Double
  }

  let model: String
  let entries: [Entry]

  /// - Throws: `DecodingError` where it is something else.
  public init(json: Data) throws {
    self = try JSONDecoder().decode(SensitivityFindings.self, from: json)
  }
}
