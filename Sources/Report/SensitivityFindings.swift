import Foundation

/// The fields of a sensitivity table that a page shows.
public struct SensitivityFindings: Decodable, Sendable {
  struct Entry: Decodable {
    let tensor: String
    let coefficient: Double
  }

  let model: String
  let entries: [Entry]

  /// Reads the file of `qtool sensitivity`.
  ///
  /// - Throws: `DecodingError` if a field is missing or has another type.
  public init(json: Data) throws {
    self = try JSONDecoder().decode(SensitivityFindings.self, from: json)
  }
}
