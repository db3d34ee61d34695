import Tensors

/// The type that keys and values are cached in.
public enum CacheType: String, Sendable, CaseIterable, Codable {
  case f16
  case q8_0

  public var type: GGMLType { self == .f16 ? .f16 : .q8_0 }
}

/// What a model remembers of the tokens before: bytes by context and type.
///
/// A layer keeps `heads_kv x key length` elements of keys and `heads_kv x value length` of values for every token. Latent
/// attention keeps one compressed row for both; its old form keeps every head expanded.
public struct KeyValueCache: Sendable, Equatable {
  /// Elements of the rows that a token adds, a row for each layer's keys and each layer's values.
  public let rows: [Int]
  /// Elements of one head: what blocks of a quantized cache must divide.
  private let headLengths: [Int]

  public init(_ dimensions: ModelDimensions) {
    self.init(dimensions, expanded: dimensions.latent?.isExpanded ?? false)
  }

  /// The cache in the form that `expanded` asks for; it says nothing where attention isn't latent.
  public init(_ dimensions: ModelDimensions, expanded: Bool) {
    if let latent = dimensions.latent {
      if expanded {
        headLengths = [latent.key, latent.value]
        let layer = [latent.key * dimensions.heads, latent.value * dimensions.heads]
        rows = Array(repeating: layer, count: dimensions.layers).flatMap { $0 }
      } else {
        headLengths = [latent.compressed]
        rows = Array(repeating: latent.compressed, count: dimensions.layers)
      }
      return
    }
    headLengths = [dimensions.keyLength, dimensions.valueLength]
    let lengths = headLengths
    rows = dimensions.keyHeads.flatMap { heads in lengths.map { $0 * heads } }
  }

  /// Bytes that one token takes; nil where heads are no whole number of the type's blocks.
  public func bytesPerToken(_ type: CacheType) -> Int? {
    guard headLengths.allSatisfy({ $0 % type.type.blockLength == 0 }) else { return nil }
    return rows.reduce(0) { $0 + (type.type.rowBytes(columns: $1) ?? 0) }
  }

  /// Bytes at `context` tokens, which llama.cpp rounds up to a multiple of 256.
  public func bytes(context: Int, _ type: CacheType) -> Int? {
    bytesPerToken(type).map { $0 * Self.cells(context) }
  }

  static func cells(_ context: Int) -> Int { (context + 255) / 256 * 256 }
}
