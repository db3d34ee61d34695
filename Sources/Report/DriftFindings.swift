import Foundation

/// What `qtool drift --json` found, as far as a page shows it.
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

  /// - Throws: `DecodingError` where it is something else.
  public init(json: Data) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    self = try decoder.decode(DriftFindings.self, from: json)
  }

  /// Whether another run measured on the same text against the same model.
  func isComparable(with other: DriftFindings) -> Bool {
    base.name == other.base.name && context == other.context && texts.map(\.name) == other.texts.map(\.name)
  }

  /// The name of what the models were compared with.
  public var baseName: String { base.name }
}
