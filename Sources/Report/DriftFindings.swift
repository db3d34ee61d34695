import Foundation

/// Findings of a drift report in JSON, as far as a page shows them.
public struct DriftFindings: Decodable, Sendable {
  struct Estimate: Decodable {
    let value: Double
    let error: Double
  }

  struct Interval: Decodable {
    let low: Double
    let high: Double
  }

  struct Quantile: Decodable {
    let fraction: Double
    let value: Double
  }

  struct Statistics: Decodable {
    let positions: Int
    let perplexity: Estimate
    let basePerplexity: Estimate
    let divergence: Estimate
    let divergenceQuantiles: [Quantile]
    let sameTop: Estimate
  }

  struct Kind: Decodable {
    let kind: String
    let statistics: Statistics
    let interval: Interval
  }

  struct Model: Decodable {
    let name: String
    let bytes: Int
    let bitsPerWeight: Double
    let statistics: Statistics
    let interval: Interval
    let kinds: [Kind]
  }

  struct Base: Decodable { let name: String }
  struct Text: Decodable { let name: String }

  let base: Base
  let texts: [Text]
  let context: Int
  let models: [Model]

  /// - Throws: `DecodingError` if the data is something else.
  public init(json: Data) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    self = try decoder.decode(DriftFindings.self, from: json)
  }

  /// Whether another run measured the same text against the same model.
  func isComparable(with other: DriftFindings) -> Bool {
    base.name == other.base.name && context == other.context && texts.map(\.name) == other.texts.map(\.name)
  }

  /// The name of the reference model.
  public var baseName: String { base.name }
}
