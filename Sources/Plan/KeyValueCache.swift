import Tensors

/// The type of cached keys and values.
public enum CacheType: String, Sendable, CaseIterable, Codable {
  case f16
  case q8_0

  /// The element type.
  public var type: GGMLType { self == .f16 ? .f16 : .q8_0 }
}

/// The key/value cache: bytes by context length and type.
///
/// A layer keeps `heads_kv x key length` elements of keys and `heads_kv x value length` of values for every token.
/// Latent attention keeps one compressed row for both; its old form keeps every head expanded.
public struct KeyValueCache: Sendable, Equatable {
  /// Elements of the rows that one token adds: a row of keys and a row of values per layer.
  let rows: [Int]
  /// Elements of one head; a multiple of the block length of a quantized cache.
  private let headLengths: [Int]

  package init(_ dimensions: ModelDimensions) {
    self.init(dimensions, expanded: dimensions.latent?.isExpanded ?? false)
  }

  /// - Parameter expanded: whether latent attention caches all heads expanded; ignored for other kinds of attention.
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
    let layers = dimensions.keyHeads.enumerated().map { layer, heads in
      (heads: heads, lengths: dimensions.lengths(layer: layer))
    }
    headLengths = layers.flatMap(\.lengths)
    rows = layers.flatMap { layer in layer.lengths.map { $0 * layer.heads } }
  }

  /// Bytes per token; nil if a head's length is not a multiple of the type's block length.
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
